"""How far the exchange's clock is from ours, from its answers to "what time is it?"."""

from __future__ import annotations

from collections import deque

from agent.core.types import NS_PER_MS


class ClockOffset:
    """The exchange's clock minus ours, from the shortest of the last round trips.

    A request answered in ``r`` bounds the offset to +- r/2 around the midpoint, so the quickest
    answer in the window is the one to believe. A new estimate is adopted only when it moves by more
    than ``step_ns``: stamps of neighbouring trades are then not reordered by noise.
    """

    def __init__(self, window: int = 16, step_ns: int = 2 * NS_PER_MS) -> None:
        self._probes: deque[tuple[int, int]] = deque(maxlen=window)
        self._step_ns = step_ns
        self.offset_ns = 0
        self.round_trip_ns: int | None = None  # None: never measured, the offset is 0

    def add(self, sent_ns: int, server_ms: int, received_ns: int) -> None:
        """Take one answer: asked at ``sent_ns``, answered ``server_ms``, here at ``received_ns``."""
        # the exchange truncates to a millisecond: half of one is the best guess of what it cut
        middle_ns = server_ms * NS_PER_MS + NS_PER_MS // 2
        self._probes.append((received_ns - sent_ns, middle_ns - (sent_ns + received_ns) // 2))
        round_trip_ns, offset_ns = min(self._probes)
        if self.round_trip_ns is None or abs(offset_ns - self.offset_ns) > self._step_ns:
            self.offset_ns = offset_ns
        self.round_trip_ns = round_trip_ns
