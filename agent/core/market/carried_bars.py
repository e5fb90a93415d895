"""What is made of a series' buckets, carried from look to look: only what has changed is made again.

Theory of operation
-------------------
A decision looks at every bar of its order, and most of them are what they were at the last one. So a series
notes the first bucket that a trade, a kline or a book has touched, for each that watches it (``Changed``).
Whoever carries something forward keeps it up to that bucket and makes the rest again: the newest bucket, as a
rule; more of them where a trade was late.

Invariants: what is carried is to the bit what it would be if it were made anew from all buckets
(``tests/property/test_carried_bars.py``); a view that was given out never changes, because rows that have
been shown are not written to: where one is revised, all go to new memory, and the old stays as it was.

Worked example: buckets 0 to 9 were shown. A trade of bucket 7 comes late and two of bucket 10. The first
bucket touched is 7, so rows 7 to 10 are made again for the view up to 11: their prices, sums, and what an
empty bucket takes over from the one before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from agent.core.arrays import IntArray
from agent.core.compile.jit import njit_flat
from agent.core.market.bars import FBAR, FBarArray, empty_fbars

NOTHING = 2**62
_LOW_BITS, _LOW = 32, 2**32 - 1


@dataclass(slots=True)
class Changed:
    """The first row of a series that has changed since it was last taken; NOTHING when none has."""

    first: int = 0

    def note(self, row: int) -> None:
        self.first = min(self.first, row)

    def take(self) -> int:
        first, self.first = self.first, NOTHING
        return first


@njit_flat
def run_up(
    before: IntArray,
    table: IntArray,
    low: IntArray,
    over: IntArray,
    per_over: int,
    first: int,
    end: int,
) -> None:
    """Go on with the sums ``before`` each row, of which those up to ``first`` stand, to before ``end``."""
    half = len(low)
    for row in range(first, end):
        for k in range(half):
            value = table[row, low[k]]
            before[row + 1, k] = before[row, k] + (value & _LOW)
            more = (value >> _LOW_BITS) + table[row, over[k]] * per_over
            before[row + 1, half + k] = before[row, half + k] + more


class CarriedTotals:
    """Running totals of some columns of a table: the sum over any rows at the cost of two look-ups.

    A column's sum stands in two words, (column, column of how often ``word`` is to be added). What is run up
    is its low 32 bits and the rest, so that no total of two million rows leaves int64.
    """

    def __init__(self, changed: Changed, columns: tuple[tuple[int, int], ...], word: int) -> None:
        self._changed, self._per_over = changed, word >> _LOW_BITS
        self._low, self._over = (np.array([pair[i] for pair in columns]) for i in (0, 1))
        self._before = np.zeros((1, 2 * len(columns)), np.int64)  # row k: what rows 0 .. k - 1 sum to
        self._known = 0  # rows that are in

    def between(self, table: IntArray, first: int, end: int) -> list[int]:
        """The sums over rows ``first`` to ``end`` (exclusive)."""
        self._known = min(self._known, self._changed.take())
        if end > self._known:
            self._extend(table, end)
        total: list[int] = (self._before[end] - self._before[first]).tolist()
        half = len(self._low)
        return [low + (high << _LOW_BITS) for low, high in zip(total[:half], total[half:], strict=True)]

    def _extend(self, table: IntArray, end: int) -> None:
        half = len(self._low)
        if end >= len(self._before):
            grown = np.zeros((2 * end + 1, 2 * half), np.int64)
            grown[: self._known + 1] = self._before[: self._known + 1]
            self._before = grown
        run_up(self._before, table, self._low, self._over, self._per_over, self._known, end)
        self._known = end


class CarriedFloats:
    """The bars of a series as floats. ``make``: rows ``first`` to ``end`` into the first array it is given,
    where those before ``first`` stand already.
    """

    def __init__(self, changed: Changed, make: Callable[[FBarArray, int, int], None]) -> None:
        self._changed, self._make = changed, make
        self._bars = empty_fbars(0)
        self._known = 0  # rows that are in
        self._shown = 0  # rows of this memory that somebody may be looking at

    def view(self, start: int, stop: int) -> FBarArray:
        """Rows ``start`` to ``stop`` (exclusive), not to be written to; they stay what they are now."""
        self._known = min(self._known, self._changed.take())
        if stop > self._known:
            if stop > len(self._bars) or self._known < self._shown:
                self._move(stop)
            self._make(self._bars, self._known, stop)
            self._known = stop
        self._shown = max(self._shown, stop)
        rows: FBarArray = self._bars[start:stop]
        rows.flags.writeable = False
        return rows

    def _move(self, stop: int) -> None:
        size = len(self._bars) if stop <= len(self._bars) else 2 * stop
        moved = np.empty(size, FBAR)
        moved[: self._known] = self._bars[: self._known]
        self._bars, self._shown = moved, 0
