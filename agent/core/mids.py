"""The path of the mid: a step function of time, asked for its value and for its time-weighted mean.

Times are int nanoseconds, mids half ticks; every answer is exact. The path says None about times it has
not been shown, so that a markout still in the future is absent rather than wrong.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from fractions import Fraction

import numpy as np
import numpy.typing as npt


class MidPath:
    """Mids in the order they were seen, each valid from its own time to the next one's."""

    __slots__ = ("_area", "_at_ns", "_known_ns", "_mids")

    def __init__(self, steps: Iterable[tuple[int, int]] = (), known_ns: int | None = None) -> None:
        """Take ``(at_ns, mid_half_ticks)`` steps, oldest first; ``known_ns``: how far the tape has come."""
        self._at_ns: list[int] = []
        self._mids: list[int] = []
        self._area: list[int] = []  # half ticks x ns from the first step to this one
        self._known_ns = -1
        for at_ns, mid in steps:
            self.append(at_ns, mid)
        if known_ns is not None:
            self.advance_to(known_ns)

    def append(self, at_ns: int, mid_half_ticks: int) -> None:
        """Add a step. Raises ValueError on a step back in time; the same time replaces the value."""
        if self._at_ns and at_ns < self._at_ns[-1]:
            raise ValueError(f"mid at {at_ns} comes before the last one at {self._at_ns[-1]}")
        if not self._at_ns:
            area = 0
        elif at_ns == self._at_ns[-1]:
            self._mids[-1] = mid_half_ticks
            return
        else:
            area = self._area[-1] + self._mids[-1] * (at_ns - self._at_ns[-1])
        if not self._mids or mid_half_ticks != self._mids[-1]:
            self._at_ns.append(at_ns)
            self._mids.append(mid_half_ticks)
            self._area.append(area)
        self.advance_to(at_ns)

    def advance_to(self, known_ns: int) -> None:
        """Say that the tape has been seen up to ``known_ns``: the last mid held until then."""
        self._known_ns = max(self._known_ns, known_ns)

    def at(self, at_ns: int) -> int | None:
        """Return the mid in force at ``at_ns``; None before the first step or beyond what is known."""
        k = bisect_right(self._at_ns, at_ns) - 1
        return self._mids[k] if k >= 0 and at_ns <= self._known_ns else None

    def mean(self, start_ns: int, end_ns: int) -> Fraction | None:
        """Return the time-weighted mid over ``[start_ns, end_ns)``; None where it is not all known.

        A path that begins inside the window is averaged from its first step on: before it there was
        no book.
        """
        if not self._at_ns or end_ns > self._known_ns:
            return None
        start_ns = max(start_ns, self._at_ns[0])
        if end_ns <= start_ns:
            return None
        return Fraction(self._integral(end_ns) - self._integral(start_ns), end_ns - start_ns)

    def _integral(self, at_ns: int) -> int:
        k = bisect_right(self._at_ns, at_ns) - 1
        return self._area[k] + self._mids[k] * (at_ns - self._at_ns[k])


class MidTrack:
    """The same over arrays, as the kernel keeps them: ``0`` is a time without a two-sided book.

    ``known_ns`` is how far the tape has come. Nothing is copied.
    """

    __slots__ = ("_at_ns", "_known_ns", "_mids")

    def __init__(self, at_ns: npt.NDArray[np.int64], mids: npt.NDArray[np.int64], known_ns: int) -> None:
        self._at_ns, self._mids, self._known_ns = at_ns, mids, known_ns

    def at(self, at_ns: int) -> int | None:
        """Return the mid in force at ``at_ns``; None where there was none or it is not known yet."""
        k = int(np.searchsorted(self._at_ns, at_ns, side="right")) - 1
        return int(self._mids[k]) or None if k >= 0 and at_ns <= self._known_ns else None

    def mean(self, start_ns: int, end_ns: int) -> Fraction | None:
        """Return the time-weighted mid over ``[start_ns, end_ns)``, times without a mid left out.

        None where the window is not all known or had no mid at all.
        """
        if end_ns > self._known_ns or not len(self._at_ns):
            return None
        first = max(0, int(np.searchsorted(self._at_ns, start_ns, side="right")) - 1)
        stop = int(np.searchsorted(self._at_ns, end_ns, side="left"))
        mids = self._mids[first:stop]
        edges = np.clip(np.append(self._at_ns[first:stop], end_ns), start_ns, None)
        lasted = np.diff(edges) * (mids > 0)
        total = int(lasted.sum())
        if total <= 0:
            return None
        base = int(mids[np.flatnonzero(mids)[0]])
        return base + Fraction(_dot(mids - base, lasted), total)


_LOW_BITS = 14


def _dot(differences: npt.NDArray[np.int64], lasted: npt.NDArray[np.int64]) -> int:
    """Sum of ``differences * lasted``, exact: one int64 sum passes 2^63 within a day of a 1 % move.

    Low and high bits of the times are summed apart. Each sum stays within int64 for 30 days, ten million
    steps and differences up to fifty million half ticks.
    """
    low = lasted & ((1 << _LOW_BITS) - 1)
    high = lasted >> _LOW_BITS
    return (int((differences * high).sum()) << _LOW_BITS) + int((differences * low).sum())
