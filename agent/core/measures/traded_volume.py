"""The market's volume as a clock: from an order's arrival on, trade by trade, until so much has traded.

The participation-weighted price is the VWAP of that stretch, wherever it ends: within the order's window or
past it. The trade that completes it counts in part, at its own price.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import numpy as np

from agent.core.arrays import IntArray
from agent.core.money import INVERSE_UNITS, exact_sum, running_sum


@dataclass(frozen=True, slots=True)
class Prints:
    """What traded, in the order of the exchange's time: trades, or bars where only these are known.

    Columns of equal length; ``value_tl`` is their money as ``agent.core.money`` counts it.
    """

    at_ns: IntArray
    lots: IntArray
    value_tl: IntArray


NO_PRINTS = Prints(*(np.zeros(0, np.int64) for _ in range(3)))


@dataclass(frozen=True, slots=True)
class Participation:
    """How far the market has traded of what an order would have been ``rate`` of."""

    need_lots: Fraction  # X / rate
    traded_lots: int  # so far
    price_ticks: Fraction | None  # the VWAP until ``need_lots``; None: not traded yet, or nothing filled
    reached_ns: int | None  # when it had traded


def participation(prints: Prints, filled_lots: int, rate: Fraction, *, inverse: bool) -> Participation:
    """Walk the prints until ``filled_lots / rate`` has traded."""
    need = filled_lots / rate
    traded = running_sum(prints.lots)
    total = int(traded[-1]) if len(traded) else 0
    last = int(np.searchsorted(traded, ceil(need)))  # the print that completes it
    if need <= 0 or last == len(traded):
        return Participation(need, total, None, None)
    before = int(traded[last - 1]) if last else 0
    part = (need - before) / int(prints.lots[last])
    money = exact_sum(prints.value_tl[:last]) + part * int(prints.value_tl[last])
    price = need * INVERSE_UNITS / money if inverse else money / need
    return Participation(need, total, price, int(prints.at_ns[last]))
