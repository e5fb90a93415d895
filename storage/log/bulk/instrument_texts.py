"""Prices, quantities and money of an instrument as exact text; what comes again and again is made once."""

from __future__ import annotations

import operator
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache

from agent.core.instrument import Instrument
from agent.core.money import PPM

REMEMBERED = 1024
"""Texts of a kind: the prices of some busy minutes, in a fifth of a megabyte."""
_PPM = Decimal(PPM)


def text(value: Decimal) -> str:
    """Return a decimal in full, never in exponents."""
    plain = str(value)  # half the time of a format, which only exponents need
    return format(value, "f") if "E" in plain else plain


class InstrumentTexts:
    """Integers of one instrument in, exact decimals out."""

    def __init__(self, on: Instrument) -> None:
        self._on = on
        self._unit = None if on.inverse else on.tick * on.lot * on.multiplier
        self._value: Callable[[int, int], int] = on.value_tl if on.inverse else operator.mul
        remembered = lru_cache(REMEMBERED)
        self.price: Callable[[int], str] = remembered(lambda ticks: text(on.price(ticks)))
        self.mid: Callable[[int], str] = remembered(lambda half_ticks: text(on.tick * half_ticks / 2))

    def quantity(self, lots: int) -> str:
        """Not remembered: few sizes come again, and then it saves little."""
        return text(self._on.lot * lots)

    def money(self, tl: int) -> Decimal:
        """What a value (``agent.core.money``) is in the settle currency."""
        return self._on.notional(tl) if self._unit is None else self._unit * tl

    def notional(self, price_ticks: int, lots: int) -> str:
        """Of a fill, in the settle currency."""
        return text(self.money(self._value(price_ticks, lots)))

    def fee(self, fee_tlp: int) -> str:
        """In the settle currency."""
        return text(self.money(fee_tlp) / _PPM)
