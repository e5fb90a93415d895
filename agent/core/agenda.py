"""The agenda: everything that is due at a time, in one deterministic order.

Ties are broken by rank, then by the order of scheduling, never by identity or hash. An entry due at
T is handled after every market event with ``recv_ns <= T`` and before any later one.
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
    SAMPLE = 2  # a mid is looked at (markouts, arrival)
    TIMER = 3  # the engine's own: interval starts, slices
    MEASURE = 4  # analysis of what has ended


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

    def __len__(self) -> int:
        return len(self._heap)
