"""The end of an exchange update: the book is whole, so that it may reach our orders and move the mid."""

from __future__ import annotations

from agent.core.arrays import IntArray
from agent.core.compile.jit import njit_inline, njit_inner
from agent.core.market.ladder import BEST, NOTHING
from agent.venue.kernel.filling import entries_to_match, match_crossed
from agent.venue.kernel.state import (
    M_BOOK_NS,
    M_CROSSED,
    M_IN_SNAPSHOT,
    M_MID,
    M_MIDS,
    M_TOUCHED,
    N_CONSUMED,
    N_FILLS,
    S_REST_HIGH,
    KernelState,
    has_room,
)

# Why ``run`` came back.
BATCH_END, DUE, FILLED, NOTICE, GROW = 0, 1, 2, 3, 4


@njit_inner
def crosses_ours(span: IntArray, inst: int, bid: int, ask_key: int) -> bool:
    """Whether the touch, given by its keys, has reached an order of ours on the other side."""
    return bool(span[2 * inst, S_REST_HIGH] >= -ask_key or span[2 * inst + 1, S_REST_HIGH] >= -bid)


READ_LATE_NS = 1_000_000_000
NO_STAMP_NS = 86_400_000_000_000
"""A stamp that much older than its arrival is none."""


@njit_inline
def book_time(recv_ns: int, told_ns: int) -> int:
    """Since when the book is known so: its arrival, or the exchange's stamp where it was read long after it.

    After a stall the queued updates are read all at once; none of them shows the market of now.
    """
    return told_ns if READ_LATE_NS < recv_ns - told_ns < NO_STAMP_NS else recv_ns


@njit_inner
def end_of_update(s: KernelState, inst: int, recv_ns: int, told_ns: int, why: int) -> int:
    """The book is whole: match what it crossed, take the new mid, report fills. ``why`` as in ``_row``."""
    market = s.market
    if market[inst, M_TOUCHED]:
        market[inst, M_TOUCHED] = 0
        if not market[inst, M_IN_SNAPSHOT]:
            market[inst, M_BOOK_NS] = book_time(recv_ns, told_ns)
            _match_and_mid(s, inst, recv_ns)
    if why == NOTICE:
        return NOTICE
    if s.counts[N_FILLS] > 0:
        return FILLED
    return BATCH_END if has_room(s) else GROW


@njit_inner
def entries_wanted(s: KernelState, inst: int) -> int:
    """Entries of ``consumed`` that the end of an update may use, where there is no space for them; else 0."""
    bid, ask_key = s.book.head[2 * inst, BEST], s.book.head[2 * inst + 1, BEST]
    if s.market[inst, M_TOUCHED] == 0 or not crosses_ours(s.span, inst, bid, ask_key):
        return 0
    wanted = entries_to_match(s, inst)
    return wanted if s.counts[N_CONSUMED] + wanted >= len(s.consumed) else 0


@njit_inner
def _match_and_mid(s: KernelState, inst: int, recv_ns: int) -> None:
    bid, ask_key = s.book.head[2 * inst, BEST], s.book.head[2 * inst + 1, BEST]
    mid = 0
    if bid != NOTHING and ask_key != NOTHING:
        if bid + ask_key >= 0:
            s.market[inst, M_CROSSED] += 1
        else:
            mid = bid - ask_key
            if crosses_ours(s.span, inst, bid, ask_key):
                match_crossed(s, inst, bid, -ask_key, recv_ns, mid)
    set_mid(s, inst, mid, recv_ns)


@njit_inline
def set_mid(s: KernelState, inst: int, mid: int, recv_ns: int) -> None:
    """Keep the mid's path: a new mid is a step of it."""
    if mid != s.market[inst, M_MID]:
        n = s.market[inst, M_MIDS]
        s.mid_ns[inst, n] = recv_ns
        s.mid_half_ticks[inst, n] = mid
        s.market[inst, M_MIDS] = n + 1
        s.market[inst, M_MID] = mid
