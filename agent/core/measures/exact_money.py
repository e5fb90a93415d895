"""Money of the cost analysis in the settle currency: exact decimals, and how they are written."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

from agent.core.instrument import Instrument

MONEY_STEP = Decimal("1e-12")
"""Components that have no finite decimal (a notional order divided by its arrival price) round to this."""

MONEY_DIGITS = 60


def settled(half_ticks_x_lots: Fraction, instrument: Instrument) -> Decimal:
    """Return money as a Decimal: exact where a finite decimal exists, else rounded to MONEY_STEP."""
    exact = half_ticks_x_lots / 2 * Fraction(instrument.notional(1))
    with localcontext() as context:
        context.prec = MONEY_DIGITS
        value = Decimal(exact.numerator) / Decimal(exact.denominator)
        return value if Fraction(value) == exact else value.quantize(MONEY_STEP)


def plain(value: Decimal) -> str:
    """Write without exponent and without trailing zeros: 12.5, 0, -0.0003."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
