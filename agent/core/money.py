"""Money in integers, linear and inverse: the one place where a price and a size become a value.

A value (``*_tl``) is an integer of the instrument's money unit:

* linear: ticks x lots, of tick x lot x multiplier in the settle (quote) currency each; exact;
* inverse: ``INVERSE_UNITS`` x lots / ticks, rounded half up, of multiplier x lot / tick / INVERSE_UNITS in
  the settle (base) currency each: a contract is a fixed sum of the quote currency, so the dearer the
  base, the less of it a contract is worth.

The average price is what turns the lots into the same value again: arithmetic in the prices of a linear
instrument, harmonic in those of an inverse one. That is how exchanges state the average entry of inverse
contracts, and the volume-weighted price of coin-margined klines (contracts x size / base volume).
"""

from __future__ import annotations

from fractions import Fraction

from agent.core.arrays import FloatArray, IntArray
from agent.core.compile.jit import njit

INVERSE_UNITS = 10**15
"""BTC/USD:BTC (100 USD, tick 0.1) counts in 1e-12 BTC; int64 holds 9,000 lots for each tick of the price."""

PPM = 1_000_000
"""Fees (``fee_tlp``) count values, and rehearsals orders, in parts per million."""

_COARSE, _FINE = 10**6, 10**9


@njit
def inverse_value(price_ticks: int, lots: int) -> int:
    """``INVERSE_UNITS x lots / price``, rounded half up, without leaving int64 on the way."""
    whole, rest = lots * _COARSE // price_ticks, lots * _COARSE % price_ticks
    return whole * _FINE + (rest * _FINE + price_ticks // 2) // price_ticks


def value_tl(price_ticks: int, lots: int, *, inverse: bool) -> int:
    """The value of ``lots`` at a price, which must be positive for an inverse instrument."""
    if not inverse:
        return price_ticks * lots
    return (lots * INVERSE_UNITS + price_ticks // 2) // price_ticks


def value_at_mean_price(linear_tl: int, lots: int) -> int:
    """The value of inverse ``lots`` whose ticks x lots sum to ``linear_tl``, at their mean price."""
    return lots * lots * INVERSE_UNITS // linear_tl


def mean_ticks(values: IntArray, lots: IntArray, *, inverse: bool) -> FloatArray:
    """The average price of each row, as floats; NaN or infinite where nothing traded."""
    ratio: FloatArray = values / lots
    return INVERSE_UNITS / ratio if inverse else ratio


def average_ticks(value: int, lots: int, *, inverse: bool) -> Fraction:
    """The price at which ``lots`` have that value."""
    return Fraction(lots * INVERSE_UNITS, value) if inverse else Fraction(value, lots)


def cost_of_half_ticks(half_ticks: int, *, inverse: bool) -> Fraction:
    """Twice the value of one lot at a price in half ticks, such that it rises with the price.

    The value of an inverse lot falls with the price, so it is taken with a minus: then a buy above a
    reference costs, and a sale below it, for either kind.
    """
    return Fraction(-4 * INVERSE_UNITS, half_ticks) if inverse else Fraction(half_ticks)
