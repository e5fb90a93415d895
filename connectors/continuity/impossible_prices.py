"""A trade's price far from everything around it is no price: marked, and kept on the tape as sent.

The rule. A price is *impossible* when it is not above zero, or when it is more than half again as high as
everything around it, or less than two thirds of it, and more than ``NEAR_TICKS`` away (a coin of a few ticks
may well double). Around it are the last ``REMEMBERED`` possible trades and the two sides of the book. So a
fall that walks through the book passes, however deep: each price is near the one before or near the book.

A market that has really moved, as after a halt, says so by its book, which is then around the new price; or
by ``MOVED`` trades in a row near each other, where there is no book. Before that many, its trades are marked.

What is marked moves no benchmark, no bar and no feature, fills nothing, and flags the measures whose windows
hold it (``impossible_price``). The mark is on the tape's row, so a replay has it too.

Worked example, a book of 100 and 101 and trades at 100, in ticks: 140 is possible (140 < 1.5 x 101); 160 is
not, nor are 1,000, 60 (60 < 100 / 1.5) and -1. With trades at 3 ticks and no book, 8 is possible.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from agent.core.arrays import BoolArray, IntArray

REMEMBERED = 64
NEAR_TICKS = 10
MOVED = 5
MOVED_BY_BOOK = 50
"""Where the book says otherwise, it takes more: its stream may be the one that is wrong."""
FEW = 3
"""Prices of a first batch by whose median the others are judged."""

Touch = tuple[int, int] | None
"""Best bid and ask in ticks, where they are known."""


class PriceJudge:
    """Of one stream of trades, in the order they came."""

    def __init__(self) -> None:
        self._around: deque[int] = deque(maxlen=REMEMBERED)
        self._run: list[int] = []  # impossible ones in a row, near each other

    def impossible(self, ticks: IntArray, touch: Touch) -> BoolArray:
        """Which of a batch's prices are impossible; the others are remembered."""
        if not len(ticks):
            return np.zeros(0, dtype=np.bool_)
        if not self._around and len(ticks) >= FEW:
            self._around.append(int(np.median(ticks)))
        lo, hi = self._bounds(touch)
        lowest, highest = int(ticks.min()), int(ticks.max())
        if self._around and lowest > 0 and 3 * lowest >= 2 * lo and 2 * highest <= 3 * hi:
            self._around.extend(ticks[-REMEMBERED:].tolist())
            self._run = []
            return np.zeros(len(ticks), dtype=np.bool_)
        return np.array([self._is_impossible(price, touch) for price in ticks.tolist()])

    def _bounds(self, touch: Touch) -> tuple[int, int]:
        """The lowest and the highest of what is around; 0 where nothing is known."""
        around = [*self._around, *(touch or ())]
        return min(around, default=0), max(around, default=0)

    def _is_impossible(self, price: int, touch: Touch) -> bool:
        lo, hi = self._bounds(touch)
        if price > 0 and (not hi or (_not_above(price, hi) and _not_below(price, lo))):
            self._around.append(price)
            self._run = []
            return False
        if price <= 0:
            return True
        near = not self._run or (_not_above(price, self._run[-1]) and _not_below(price, self._run[-1]))
        self._run = [*self._run, price] if near else [price]
        if len(self._run) < (MOVED if touch is None else MOVED_BY_BOOK):
            return True
        self._around.clear()
        self._around.append(price)
        self._run = []
        return False


def _not_above(price: int, highest: int) -> bool:
    return 2 * price <= 3 * highest or price - highest <= NEAR_TICKS


def _not_below(price: int, lowest: int) -> bool:
    return 3 * price >= 2 * lowest or lowest - price <= NEAR_TICKS
