"""Finds trades that came late or at an impossible price among rows consumed: rare, and cheap to look for."""

from __future__ import annotations

from agent.core.compile.jit import njit_flat
from agent.core.market.tape import EventArray

# Kind and Flag as plain constants, as in the loop.
TRADE = 1
LATE_FETCHED_OR_IMPOSSIBLE = 4 | 8 | 128
HISTORY_OR_CARRIED = 2 | 64  # warm-up, or a slice's opening: no trade of this tape


@njit_flat
def next_marked_trade(events: EventArray, start: int, end: int) -> int:
    """The first from ``start`` on that is late, fetched for a gap or impossible; ``end`` if none is."""
    for i in range(start, end):
        flags = events[i].flags
        if flags & LATE_FETCHED_OR_IMPOSSIBLE and not flags & HISTORY_OR_CARRIED and events[i].kind == TRADE:
            return i
    return end
