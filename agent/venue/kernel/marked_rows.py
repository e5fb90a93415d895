"""Finds the trades that came late among rows already consumed: they are rare, and looking costs little."""

from __future__ import annotations

from agent.core.compile.jit import njit_flat
from agent.core.market.tape import EventArray

# Kind and Flag as plain constants, as in the loop.
TRADE = 1
LATE_OR_FETCHED = 4 | 8
HISTORY_OR_CARRIED = 2 | 64  # warm-up, or a slice's opening: no trade of this tape


@njit_flat
def next_late_trade(events: EventArray, start: int, end: int) -> int:
    """The first trade from ``start`` on that is marked late or was fetched for a gap; ``end`` if none is."""
    for i in range(start, end):
        flags = events[i].flags
        if flags & LATE_OR_FETCHED and not flags & HISTORY_OR_CARRIED and events[i].kind == TRADE:
            return i
    return end
