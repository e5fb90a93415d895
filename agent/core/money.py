"""Money in integers, linear and inverse: the one place where a price and a size become a value.

A value (``*_tl``) is an integer of the instrument's money unit:

* linear: ticks x lots, of tick x lot x multiplier in the settle (quote) currency each; exact;
* inverse: ``INVERSE_UNITS`` x lots / ticks, rounded half up, of multiplier x lot / tick / INVERSE_UNITS in
  the settle (base) currency each: a contract is a fixed sum of the quote currency, so the dearer the
  base, the less of it a contract is worth.

The average price is what turns the lots into the same value again: arithmetic in the prices of a linear
instrument, harmonic in those of an inverse one. That is how exchanges state the average entry of inverse
contracts, and the volume-weighted price of coin-margined klines (contracts x size / base volume).

How much money 64 bits hold
---------------------------
``MOST_TL`` bounds every single thing that comes in: a trade, a bar, a limit price times its lots; an order is
bounded lower, by ``MOST_ORDER_TL``, since the price may rise while it works. What is more is refused where it
comes in. A price is at least one tick, so whatever bounds the money bounds the lots.

Sums have no bound. Where many things are added up, it is in Python's integers, in ``exact_sum``, or in two
words (``agent.core.market.trade_bars``).
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from agent.core.arrays import BoolArray, IntArray
from agent.core.compile.jit import njit, njit_part

MOST_TL = 2**62
"""The most that one trade, one bar, or one price times lots may be worth: two of them fit 64 bits."""

MOST_ORDER_TL = MOST_TL // 4
"""The most that an order may be worth at its start: at eight times the price its fills still fit 64 bits."""

INVERSE_UNITS = 10**15
"""BTC/USD:BTC (100 USD, tick 0.1) counts in 1e-12 BTC; int64 holds 9,000 lots for each tick of the price."""

PPM = 1_000_000
"""Fees (``fee_tlp``) count values, and rehearsals orders, in parts per million."""

_COARSE, _FINE = 10**6, 10**9
_MOST, _INVERSE = float(MOST_TL), float(INVERSE_UNITS)
_MOST_INVERSE_LOTS, _MOST_INVERSE_TICKS = MOST_TL // _COARSE, MOST_TL // _FINE


@njit
def fits(price_ticks: int, lots: int, inverse: bool) -> bool:
    """Whether lots at a price are worth at most ``MOST_TL``; told in floats, which never wrap."""
    if inverse:
        counted = 0 < price_ticks <= _MOST_INVERSE_TICKS and lots <= _MOST_INVERSE_LOTS
        return counted and float(lots) * _INVERSE <= _MOST * float(price_ticks)
    return abs(float(price_ticks) * float(lots)) <= _MOST and abs(lots) <= MOST_TL


def all_fit(price_ticks: IntArray, lots: IntArray, *, inverse: bool) -> BoolArray:
    """``fits``, for each row."""
    ticks, amounts = price_ticks.astype(np.float64), lots.astype(np.float64)
    if inverse:
        counted = (price_ticks > 0) & (price_ticks <= _MOST_INVERSE_TICKS) & (lots <= _MOST_INVERSE_LOTS)
        found: BoolArray = counted & (amounts * _INVERSE <= _MOST * ticks)
        return found
    return (np.abs(ticks * amounts) <= _MOST) & (np.abs(amounts) <= _MOST)


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


def values_tl(price_ticks: IntArray, lots: IntArray, *, inverse: bool) -> IntArray:
    """The value of each row; in Python's integers where one does not fit."""
    if not inverse and all_fit(price_ticks, lots, inverse=False).all():
        return price_ticks * lots
    pairs = zip(price_ticks.tolist(), lots.tolist(), strict=True)
    return as_array([value_tl(price, qty, inverse=inverse) for price, qty in pairs])


def as_array(values: list[int]) -> IntArray:
    """Integers as int64, or, where one does not fit it, as Python's."""
    wide = any(abs(value) > MOST_TL for value in values)
    found: IntArray = np.array(values, object if wide else np.int64)
    return found


def exact_sum(values: IntArray) -> int:
    """The sum of up to two billion integers, whatever it comes to: high and low halves apart."""
    if values.dtype == object:
        return sum(values.tolist())
    return (int((values >> 32).sum()) << 32) + int((values & 0xFFFFFFFF).sum())


def running_sum(values: IntArray) -> IntArray:
    """The sum up to each row: int64 where the last fits, else Python's integers. No value is below 0."""
    wide = values.dtype == object or exact_sum(values) > MOST_TL
    found: IntArray = np.cumsum(values.astype(object) if wide else values)
    return found


def sums_from(values: IntArray, starts: IntArray) -> IntArray:
    """The sum of each run of rows, which begin at ``starts``: int64 where they all fit, else Python's."""
    wide = values.dtype == object or exact_sum(np.abs(values)) > MOST_TL
    found: IntArray = np.add.reduceat(values.astype(object) if wide else values, starts)
    return found


@njit_part
def mean_ticks(value: float, lots: float, inverse: bool) -> float:
    """The average price of what traded, as a float; an inverse ``value`` is not 0."""
    ratio = value / lots
    return _INVERSE / ratio if inverse else ratio


def average_ticks(value: int, lots: int, *, inverse: bool) -> Fraction:
    """The price at which ``lots`` have that value."""
    return Fraction(lots * INVERSE_UNITS, value) if inverse else Fraction(value, lots)


def cost_of_half_ticks(half_ticks: int, *, inverse: bool) -> Fraction:
    """Twice the value of one lot at a price in half ticks, such that it rises with the price.

    The value of an inverse lot falls with the price, so it is taken with a minus: then a buy above a
    reference costs, and a sale below it, for either kind.
    """
    return Fraction(-4 * INVERSE_UNITS, half_ticks) if inverse else Fraction(half_ticks)
