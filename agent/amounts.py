"""What people write on a command line: exact amounts, plain numbers, and what is wrong with a value."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from agent.core.errors import InputError

MOST_DIGITS, MOST_DECIMALS = 18, 18
"""Of an amount: more than any market has, and what exact sums hold."""


def parse_amount(text: str, what: str) -> Decimal:
    """Return a positive finite decimal. Raises InputError."""
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise InputError(f"{what} {text!r} is not a number: write it as in 0.5") from error
    return without_exponent(check_positive(value, what))


def without_exponent(value: Decimal) -> Decimal:
    """The same number written out: 7000, not 7E+3. One too large for an amount stays as it is."""
    exponent = value.as_tuple().exponent
    written_out = isinstance(exponent, int) and exponent > 0 and value.adjusted() < MOST_DIGITS
    return Decimal(f"{value:f}") if written_out else value


def check_positive(value: Decimal, what: str) -> Decimal:
    """Return ``value`` when it is above 0 and no more exact or large than an amount. Raises InputError."""
    if not value.is_finite() or value <= 0:
        raise InputError(f"{what} {value} is not allowed: it must be a positive number")
    exponent = int(value.as_tuple().exponent)
    if value.adjusted() >= MOST_DIGITS or exponent < -MOST_DECIMALS:
        shown = f"{value:.6e}"
        raise InputError(
            f"{what} {shown} is not allowed: it must be below 10^{MOST_DIGITS}, with at most"
            f" {MOST_DECIMALS} decimals"
        )
    return value


def parse_number(text: str, what: str) -> float:
    """Return a number of any sign. Raises InputError."""
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{what} {text!r} is not a number: write it as in 0.5") from error
