"""Numbers as people write them on a command line: exact amounts, and plain numbers."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from agent.core.errors import InputError


def parse_amount(text: str, what: str) -> Decimal:
    """Return a positive finite decimal. Raises InputError."""
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise InputError(f"{what} {text!r} is not a number: write it as in 0.5") from error
    return check_positive(value, what)


def check_positive(value: Decimal, what: str) -> Decimal:
    """Return ``value`` when it is finite and above 0. Raises InputError."""
    if not value.is_finite() or value <= 0:
        raise InputError(f"{what} {value} is not allowed: it must be a positive number")
    return value


def parse_number(text: str, what: str) -> float:
    """Return a number of any sign. Raises InputError."""
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{what} {text!r} is not a number: write it as in 0.5") from error
