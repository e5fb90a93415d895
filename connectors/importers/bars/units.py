"""Ticks and lots of numbers that come as floats: the largest power of ten up to 1 that divides them all.

Above 1 round numbers would be taken for a rule: a market in which only hundreds traded may trade ones.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from agent.barfiles.calendars import when
from agent.core.arrays import BoolArray, FloatArray, IntArray
from agent.core.errors import InputError
from agent.core.money import MOST_TL

MOST_DECIMALS = 8
ROUNDING = 1e-15  # relative: a decimal is stored within half a unit in the last place


def largest_unit(values: FloatArray, name: str, of: str) -> Decimal:
    """Return the unit of ``values``, as in 0.01, from 1e-8 to 1. Raises InputError where there is none.

    ``name`` is what it is called (tick, lot), ``of`` what the values are (prices, volumes).
    """
    values = values[values != 0]
    if not len(values):
        raise InputError(f"no {name} can be inferred: all {of} are 0; give --{name}-size")
    for decimals in range(MOST_DECIMALS + 1):
        with np.errstate(over="ignore", invalid="ignore"):  # too large for any unit: refused later
            scaled = values * 10.0**decimals
            off = np.abs(scaled - np.rint(scaled)) > np.abs(scaled) * ROUNDING + 1e-9
        if not off.any():
            return Decimal(1).scaleb(-decimals)
    odd = Decimal(f"{values[np.flatnonzero(off)[0]]:.12g}")
    raise InputError(
        f"no {name} can be inferred: {of} have more than {MOST_DECIMALS} decimals, as in"
        f" {odd:f}; give --{name}-size, to which they are rounded"
    )


def in_units(values: FloatArray, unit: Decimal) -> tuple[FloatArray, BoolArray]:
    """(whole units, nearest; bool: which values are no multiple)."""
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = values / float(unit)
        whole = np.rint(scaled)
        return whole, np.abs(scaled - whole) > np.abs(scaled) * 1e-12 + 1e-6


def refuse_too_much(ticks: FloatArray, lots: FloatArray, start_ns: IntArray, lot: Decimal) -> None:
    """Raise InputError where a bar's money, or one of its prices, does not fit 64 bits.

    ``ticks``: a price of each bar that is not below its mean. To be called before they become integers.
    """
    with np.errstate(over="ignore"):
        worth = ticks * np.maximum(lots, 1)
    if (worth > MOST_TL).any():
        k = int(np.argmax(worth))
        raise InputError(
            f"the bar of {when(start_ns[k])} is worth {worth[k]:.2g} ticks x lots, and at most"
            f" {MOST_TL:.2g} can be held: give a larger --lot-size than {lot:f}, or correct its prices and"
            " amounts if they are wrong"
        )
