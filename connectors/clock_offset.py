"""How far the exchange's clock is from ours, from its answers to requests for its time.

Theory of operation
-------------------
A request sent at ``s`` (our clock), received at ``r``, was answered at some moment between. If the
exchange's clock said ``t`` then, the offset (theirs minus ours) is ``t - (s + r) / 2``, wrong by half the
round trip ``r - s`` at most: so the quickest answer of the last sixteen is the one to believe. The exchange
cuts its time to whole milliseconds: half a millisecond is added back. A new estimate is adopted only when it
is more than ``step_ns`` from the one in use, so that noise does not reorder the stamps of neighbouring
trades.

Worked example (``tests/unit/connectors/test_normalise.py`` holds it), in milliseconds, step 2:

    ======  ========  ========  ==========  ===============================  ============
    sent    received  they say  round trip  estimate                         in use after
    ======  ========  ========  ==========  ===============================  ============
    1,000   1,040     6,050     40          6,050.5 - 1,020 = 5,030.5 +- 20  5,030.5
    2,000   2,004     7,029     4           7,029.5 - 2,002 = 5,027.5 +- 2   5,027.5
    3,000   3,010     8,036     10          5,031.5: slower, not believed    5,027.5
    4,000   4,002     9,028     2           9,028.5 - 4,001 = 5,027.5 +- 1   5,027.5
    ======  ========  ========  ==========  ===============================  ============

A stamp of the exchange's is brought onto our clock by taking the offset in use away.
"""

from __future__ import annotations

from collections import deque

from agent.core.types import NS_PER_MS


class ClockOffset:
    """The exchange's clock minus ours, by the shortest of the last round trips."""

    def __init__(self, window: int = 16, step_ns: int = 2 * NS_PER_MS) -> None:
        self._probes: deque[tuple[int, int]] = deque(maxlen=window)
        self._step_ns = step_ns
        self.offset_ns = 0
        self.round_trip_ns: int | None = None  # None: never measured, the offset is 0

    def add(self, sent_ns: int, server_ms: int, received_ns: int) -> None:
        """Take one answer, to a request of ``sent_ns``, that came at ``received_ns``."""
        # the exchange truncates to a millisecond: half of one is the best guess of what it cut
        middle_ns = server_ms * NS_PER_MS + NS_PER_MS // 2
        self._probes.append((received_ns - sent_ns, middle_ns - (sent_ns + received_ns) // 2))
        round_trip_ns, offset_ns = min(self._probes)
        if self.round_trip_ns is None or abs(offset_ns - self.offset_ns) > self._step_ns:
            self.offset_ns = offset_ns
        self.round_trip_ns = round_trip_ns
