"""The agenda: everything that is due at a time, in one deterministic order.

Theory of operation
-------------------
All that happens in a run stands in one total order. Rows of the tape come by ``(recv_ns, seq)``. An entry of
the agenda due at T comes after every row with ``recv_ns <= T`` and before any later one. Entries among
themselves go by ``(at_ns, rank, order of scheduling)``: never by identity or hash, so that two runs of one
tape are the same.

Invariants: entries come out in that order; an action may schedule others, at its own time too, and they take
their place among what is still due; a time that is past is not refused, its entry is simply the next.

Worked example (``tests/unit/core/test_agenda.py`` holds it). Scheduled in this order: a timer at 10, an
order that reaches the venue at 10, another one at 10, a report at 9. The tape has rows at 9, 10 and 11. What
happens:

    row 9, report 9, row 10, order 1, order 2, timer, row 11

If order 1 makes a report due at 10, that comes after order 2, whose rank goes first, and before the timer.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from enum import IntEnum

FAR_FUTURE_NS = 2**62


class Rank(IntEnum):
    """What comes first among entries due at the same nanosecond."""

    VENUE = 0  # an order or cancel reaches the venue
    REPORT = 1  # a venue report reaches us
    TIMER = 2  # the engine's own: interval starts, slices
    MEASURE = 3  # analysis of what has ended


Action = Callable[[int], None]
"""Called with the time it was due at."""


class Agenda:
    """A heap of ``(at_ns, rank, order of scheduling, action)``."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, Action]] = []
        self._scheduled = 0

    @property
    def next_ns(self) -> int:
        """When the next entry is due; FAR_FUTURE_NS when there is none."""
        return self._heap[0][0] if self._heap else FAR_FUTURE_NS

    def add(self, at_ns: int, rank: Rank, action: Action) -> None:
        self._scheduled += 1
        heapq.heappush(self._heap, (at_ns, rank, self._scheduled, action))

    def pop(self, until_ns: int) -> tuple[int, Action] | None:
        """Take the next entry due at or before ``until_ns``, or None."""
        if not self._heap or self._heap[0][0] > until_ns:
            return None
        at_ns, _, _, action = heapq.heappop(self._heap)
        return at_ns, action

    def skip(self, to_ns: int, measures_ns: int) -> int:
        """Time up to ``to_ns`` was lost. Returns when all that a venue had said by then has been heard.

        Nothing on its way to the venue arrives, no timer of that time fires; what the venue had said is
        heard at its end, and what was to be measured in it is measured at ``measures_ns``.
        """
        heard_ns, kept = to_ns, []
        for at_ns, rank, scheduled, action in self._heap:
            if rank == Rank.VENUE or (rank == Rank.TIMER and at_ns <= to_ns):
                continue
            if rank == Rank.REPORT:
                heard_ns = max(heard_ns, at_ns)
            if at_ns <= to_ns:
                at_ns = to_ns if rank == Rank.REPORT else measures_ns
            kept.append((at_ns, rank, scheduled, action))
        heapq.heapify(kept)
        self._heap = kept
        return heard_ns

    def __len__(self) -> int:
        return len(self._heap)
