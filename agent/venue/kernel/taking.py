"""Marketable orders, and what each lane has already taken from the displayed book.

Consumption rule: what a lane took from a level is remembered, and the level offers that lane only
the rest. A size that grows adds to what is offered; a size that shrinks never does; a level that
disappears is forgotten. So the same displayed lots never fill one lane twice, resting or not: what the
far touch shows to a resting order is taken in the same way (``take_level``).
"""

from __future__ import annotations

from agent.core.compile.jit import njit_flat, njit_inner
from agent.core.market.ladder import BEST, NOTHING, level_lots, next_key
from agent.venue.kernel.state import (
    C_COLUMNS,
    C_KEY,
    C_LANE,
    C_LOTS,
    C_ROW,
    FIRST,
    M_BOOK_NS,
    M_MID,
    N_CONSUMED,
    N_FILLS,
    NO_HIGH,
    NO_LOW,
    S_TAKEN_HIGH,
    S_TAKEN_LOW,
    TAKER,
    KernelState,
    emit_fill,
)


@njit_flat
def take(
    s: KernelState,
    order: int,
    lane: int,
    inst: int,
    side: int,
    limit_ticks: int,
    lots: int,
    cap_tl: int,
    now_ns: int,
) -> int:
    """Walk the far side from the touch to ``limit_ticks``; fills go to ``s.fills``.

    ``side`` is the order's (+1 buys from the asks). ``cap_tl`` bounds the money spent or received
    (0: no bound). Returns the lots filled. Returns -1 when an array must grow first.
    """
    row = 2 * inst + (1 if side > 0 else 0)
    worst = -limit_ticks if side > 0 else limit_ticks
    mid, book_ns = s.market[inst, M_MID], s.market[inst, M_BOOK_NS]
    if mid == 0:
        return 0
    reachable = levels_within(s, row, worst)
    if s.counts[N_FILLS] + reachable >= len(s.fills) or s.counts[N_CONSUMED] + reachable >= len(s.consumed):
        return -1
    filled = 0
    spent = 0
    k = s.book.head[row, BEST]
    while filled < lots and k != NOTHING and k >= worst:
        price = -k if side > 0 else k
        take_lots = lots - filled
        if cap_tl > 0:
            take_lots = min(take_lots, (cap_tl - spent) // price)
        take_lots = take_level(s, lane, row, k, take_lots)
        if take_lots > 0:
            filled += take_lots
            spent += take_lots * price if cap_tl > 0 else 0  # bounded by the cap, or not of interest
            emit_fill(s, order, price, take_lots, TAKER, now_ns, mid, book_ns)
        if cap_tl > 0 and cap_tl - spent < price:
            break  # a sale does not pass by lots to find one cheap enough for the money that is left
        k = next_key(s.book, row, k)
    return int(filled)


@njit_inner
def take_level(s: KernelState, lane: int, row: int, k: int, most: int) -> int:
    """Take up to ``most`` lots of level ``k`` for a lane, of those it has not taken before. Returns them.

    Takers and resting orders take displayed lots here and nowhere else. The caller has seen to space for
    an entry.
    """
    c = find_consumed(s, lane, row, k)
    lots = min(most, level_lots(s.book, row, k) - (s.consumed[c, C_LOTS] if c >= 0 else 0))
    if lots <= 0:
        return 0
    if c < 0:
        c = _new_consumed(s, lane, row, k)
    s.consumed[c, C_LOTS] += lots
    return int(lots)


@njit_inner
def levels_within(s: KernelState, row: int, worst: int) -> int:
    n = 0
    k = s.book.head[row, BEST]
    while k != NOTHING and k >= worst:
        n += 1
        k = next_key(s.book, row, k)
    return n


@njit_inner
def find_consumed(s: KernelState, lane: int, row: int, k: int) -> int:
    """The entry of what ``lane`` took at key ``k``, -1 if it never did."""
    if s.span[row, S_TAKEN_LOW] <= k <= s.span[row, S_TAKEN_HIGH]:
        for i in range(s.counts[N_CONSUMED]):
            c = s.consumed[i]
            if c[C_LANE] == lane and c[C_KEY] == k and c[C_ROW] == row:
                return i
    return -1


@njit_inner
def _new_consumed(s: KernelState, lane: int, row: int, k: int) -> int:
    n = s.counts[N_CONSUMED]
    s.consumed[n, C_LANE] = lane
    s.consumed[n, C_ROW] = row
    s.consumed[n, C_KEY] = k
    s.consumed[n, C_LOTS] = 0
    s.counts[N_CONSUMED] = n + 1
    s.span[row, S_TAKEN_LOW] = min(s.span[row, S_TAKEN_LOW], k)
    s.span[row, S_TAKEN_HIGH] = max(s.span[row, S_TAKEN_HIGH], k)
    return int(n)


@njit_inner
def refresh_consumed(s: KernelState, row: int, k: int, before: int, after: int, in_snapshot: int) -> None:
    """A displayed size went from ``before`` to ``after``: what lanes took of it shrinks with it."""
    i = FIRST
    while i < s.counts[N_CONSUMED]:
        c = s.consumed[i]
        if c[C_ROW] == row and c[C_KEY] == k:
            if in_snapshot:
                c[C_LOTS] = min(c[C_LOTS], after)  # a re-sent book is not a refill
            elif after < before:
                c[C_LOTS] = max(0, c[C_LOTS] - (before - after))
            if c[C_LOTS] == 0 or after == 0:
                _remove_consumed(s, i)
                continue
        i += 1


@njit_inner
def drop_vanished(s: KernelState, inst: int) -> None:
    """After a snapshot, forget what was consumed at levels that are no longer there."""
    i = FIRST
    while i < s.counts[N_CONSUMED]:
        c = s.consumed[i]
        if c[C_ROW] >> 1 == inst and level_lots(s.book, c[C_ROW], c[C_KEY]) == 0:
            _remove_consumed(s, i)
        else:
            i += 1


@njit_flat
def forget_lane(s: KernelState, lane: int) -> None:
    """Drop what ``lane`` had consumed (its orders are done for good)."""
    i = FIRST
    while i < s.counts[N_CONSUMED]:
        if s.consumed[i, C_LANE] == lane:
            _remove_consumed(s, i)
        else:
            i += 1


@njit_inner
def _remove_consumed(s: KernelState, i: int) -> None:
    """Remove entry ``i`` by moving the last one into its place."""
    row, k = s.consumed[i, C_ROW], s.consumed[i, C_KEY]
    last = s.counts[N_CONSUMED] - 1
    for j in range(C_COLUMNS):
        s.consumed[i, j] = s.consumed[last, j]
    s.counts[N_CONSUMED] = last
    if k == s.span[row, S_TAKEN_LOW] or k == s.span[row, S_TAKEN_HIGH]:
        _span_consumed(s, row)


@njit_inner
def _span_consumed(s: KernelState, row: int) -> None:
    low, high = NO_LOW, NO_HIGH
    for i in range(s.counts[N_CONSUMED]):
        if s.consumed[i, C_ROW] == row:
            low, high = min(low, s.consumed[i, C_KEY]), max(high, s.consumed[i, C_KEY])
    s.span[row, S_TAKEN_LOW], s.span[row, S_TAKEN_HIGH] = low, high
