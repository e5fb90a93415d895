"""The track of the mid: a step function of time, its value at a moment and its time-weighted mean.

Times are int nanoseconds, mids half ticks; every answer is exact. The answer is None for times that the tape
has not reached, so that a markout still in the future is absent rather than wrong, and inside a hole of the
book, so that the last mid before it is not taken for the market's.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from agent.core.arrays import IntArray
from agent.core.money import exact_sum


class MidTrack:
    """Mids as the kernel keeps them, each valid from its time to the next one's; 0 where no two-sided book.

    Times and mids are int64 [steps], oldest first, and are not copied; ``known_ns`` is how far the tape
    has come. ``holes`` are spans in which the book was not followed, in order and apart: a mid ends where
    one begins, and there is none until it ends.
    """

    __slots__ = ("_at_ns", "_holes", "_known_ns", "_mids")

    def __init__(
        self, at_ns: IntArray, mids: IntArray, known_ns: int, holes: Sequence[tuple[int, int]] = ()
    ) -> None:
        self._at_ns, self._mids, self._known_ns, self._holes = at_ns, mids, known_ns, holes

    def at(self, at_ns: int) -> int | None:
        """Return the mid in force at ``at_ns``; None where there was none or it is not known yet."""
        return self.each_at([at_ns])[0]

    def each_at(self, times_ns: Sequence[int]) -> list[int | None]:
        """``at`` of many moments at the cost of one look."""
        if not len(self._at_ns):
            return [None] * len(times_ns)
        at_ns = np.array(times_ns, np.int64)
        k = self._at_ns.searchsorted(at_ns, "right") - 1
        known = (k >= 0) & (at_ns <= self._known_ns)
        for begin, end in self._holes:
            known &= (at_ns <= begin) | (at_ns >= end)
        return [mid or None for mid in np.where(known, self._mids[k], 0).tolist()]

    def why_none(self, at_ns: int) -> str:
        """Why ``at`` gives None there."""
        if at_ns > self._known_ns:
            return "the tape ends before"
        if self._in_hole(at_ns):
            return "the book was not followed then (a gap or a stale book)"
        return "there was no two-sided book then"

    def _in_hole(self, at_ns: int) -> bool:
        return bool(self._holes) and any(begin < at_ns < end for begin, end in self._holes)

    def mean(self, start_ns: int, end_ns: int) -> Fraction | None:
        """Return the time-weighted mid over ``[start_ns, end_ns)``, times without a mid left out.

        None where the window is not all known or had no mid at all.
        """
        if end_ns > self._known_ns or not len(self._at_ns):
            return None
        sums = [self._weighted(a, b) for a, b in self._followed(start_ns, end_ns)]
        total = sum(lasted for _, lasted in sums)
        return Fraction(sum(weighted for weighted, _ in sums), total) if total > 0 else None

    def _followed(self, start_ns: int, end_ns: int) -> list[tuple[int, int]]:
        """The window without its holes."""
        found = []
        for begin, end in self._holes:
            if start_ns < begin < end_ns:
                found.append((start_ns, begin))
            if begin < end_ns:
                start_ns = max(start_ns, end)
        return [*found, (start_ns, end_ns)] if start_ns < end_ns else found

    def _weighted(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """(sum of mid x time, time with a mid) over ``[start_ns, end_ns)``."""
        first = max(0, int(np.searchsorted(self._at_ns, start_ns, side="right")) - 1)
        stop = int(np.searchsorted(self._at_ns, end_ns, side="left"))
        mids = self._mids[first:stop]
        edges = np.clip(np.append(self._at_ns[first:stop], end_ns), start_ns, None)
        lasted = np.diff(edges) * (mids > 0)
        total = int(lasted.sum())
        if total <= 0:
            return 0, 0
        base = int(mids[np.flatnonzero(mids)[0]])
        return base * total + _dot(mids - base, lasted), total


_LOW_BITS = 14


def _dot(differences: IntArray, lasted: IntArray) -> int:
    """Sum of ``differences * lasted``, exact: one int64 sum passes 2^63 within a day of a 1 % move.

    Low and high bits of the times are multiplied apart, and the products added by ``exact_sum``. Where a
    product would not fit int64 (prices that move by more than 2^49 half ticks), it is Python that multiplies.
    """
    high = lasted >> _LOW_BITS
    widest = int(np.abs(differences).max(initial=0))
    if widest * max(int(high.max(initial=0)), 1 << _LOW_BITS) >= 1 << 63:
        return sum(a * b for a, b in zip(differences.tolist(), lasted.tolist(), strict=True))
    low = lasted & ((1 << _LOW_BITS) - 1)
    return (exact_sum(differences * high) << _LOW_BITS) + exact_sum(differences * low)
