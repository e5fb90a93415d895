"""The book-and-venue kernel: one compiled loop over the tape for every instrument and every lane.

``run`` consumes tape rows until the batch ends, something is due, one of our resting orders was
filled, or a row needs the engine's attention. Rows are consumed one at a time and every hand-over
happens at the end of an exchange update (flag LAST), so how a tape is cut into batches cannot matter.

What it knows is described in ``state``, marketable orders in ``taking``, resting ones in ``queue``, what the
tape gives these in ``filling``. The loop looks at our orders only where a row says something about a price
that they reach.
"""

from __future__ import annotations

from agent.core.arrays import IntArray
from agent.core.compile.jit import njit_flat, njit_inline, njit_inner
from agent.core.market.ladder import (
    BEST,
    LEVELS,
    NOTHING,
    clear_levels,
    put_level,
    quick_put,
)
from agent.core.market.tape import EventArray
from agent.venue.kernel.filling import queue_on_trade
from agent.venue.kernel.queue import queue_on_level, rest, side_row, withdraw
from agent.venue.kernel.state import (
    F_LOTS,
    F_PRICE,
    LOG_PROBABILITY,
    M_BOOK_NS,
    M_COLUMNS,
    M_CROSSED,
    M_IN_SNAPSHOT,
    M_MID,
    M_MIDS,
    M_TOUCHED,
    M_TRADES,
    N_CONSUMED,
    N_EVENTS,
    N_FILLS,
    N_RESTING,
    N_WANTED,
    POWER_PROBABILITY,
    QUEUE_MODELS,
    REACHES,
    RISK_AVERSE,
    S_REST_HIGH,
    S_REST_LOW,
    S_TAKEN_HIGH,
    S_TAKEN_LOW,
    SHOWN,
    WHOLE,
    KernelState,
    grown,
    has_room,
    new_state,
)
from agent.venue.kernel.taking import drop_vanished, forget_lane, refresh_consumed, take
from agent.venue.kernel.update_end import (
    BATCH_END,
    DUE,
    FILLED,
    GROW,
    NOTICE,
    book_time,
    crosses_ours,
    end_of_update,
    entries_wanted,
    set_mid,
)

__all__ = [
    "BATCH_END",
    "DUE",
    "FILLED",
    "F_LOTS",
    "F_PRICE",
    "GROW",
    "LOG_PROBABILITY",
    "M_BOOK_NS",
    "M_COLUMNS",
    "M_CROSSED",
    "M_MID",
    "M_MIDS",
    "M_TRADES",
    "NOTICE",
    "N_CONSUMED",
    "N_FILLS",
    "N_RESTING",
    "POWER_PROBABILITY",
    "QUEUE_MODELS",
    "REACHES",
    "RISK_AVERSE",
    "SHOWN",
    "WHOLE",
    "KernelState",
    "forget_lane",
    "grown",
    "new_state",
    "rest",
    "run",
    "take",
    "withdraw",
]

# Kind and Flag as plain constants: Numba freezes them into the loop.
TRADE, LEVEL, SNAPSHOT_BEGIN, SNAPSHOT_END, BBO = 1, 2, 3, 4, 5
LAST, HISTORY, LATE, BACKFILL, IMPOSSIBLE = 1, 2, 4, 8, 128

JUST_NOW = 2**62  # when a trade happened that the tape tells in its turn: after all that came before it

AHEAD = 32  # rows: some cache lines, well within the nearest cache

# Where ``_plain_rows`` stopped: before a row, or before the end of the update that it ends.
ROW, UPDATE_END = 0, 1


@njit_flat
def run(s: KernelState, events: EventArray, start: int, end: int, due_ns: int) -> tuple[int, int]:
    """Consume ``events[start:end]`` with ``recv_ns <= due_ns``. Returns (next index, why).

    On NOTICE the row before the returned index is the one to look at; on GROW grow and call again.
    """
    i, why = start, BATCH_END if has_room(s) else GROW
    half_done = s.counts[N_WANTED] > 0  # the first row's update wanted space to end, and has it now
    while i < end and why == BATCH_END:
        stop = UPDATE_END if half_done and events[i].kind <= BBO else ROW
        # With fills the batch was cut, or had to grow, within the update that filled us.
        if s.counts[N_FILLS] == 0 and not half_done:
            i, stop = _plain_rows(s, events, i, end, due_ns)
        while i < end and why == BATCH_END:  # until the end of an update that filled us
            if events[i].recv_ns > due_ns:
                why = DUE
                break
            if stop != UPDATE_END:
                why = _row(s, events, i)
            if events[i].flags & LAST:
                s.counts[N_WANTED] = entries_wanted(s, int(events[i].instrument))
                if s.counts[N_WANTED] > 0:
                    why = GROW
                    break
                told_ns = events[i].exch_ns
                why = end_of_update(s, int(events[i].instrument), events[i].recv_ns, told_ns, why)
            i, stop, half_done = i + 1, ROW, False
            if s.counts[N_FILLS] == 0:
                break
    s.counts[N_EVENTS] += i - start
    return i, why


@njit_inner
def _plain_rows(s: KernelState, events: EventArray, i: int, end: int, due_ns: int) -> tuple[int, int]:
    """Consume rows that concern no order of ours, need no space and do nothing rare. Returns (index, stop).

    With stop UPDATE_END the row at the index has been consumed but for the end of its update; otherwise
    nothing of it has. Nearly every row of a tape is plain. All that this loop calls is small and inlined:
    one call of a large function, however rare, costs every row the half of its speed.
    """
    head, lots, words, groups = s.book.head, s.book.lots, s.book.words, s.book.groups
    market, span = s.market, s.span
    level_room = s.book.far_key.shape[1] - 2
    trade_room = s.trade_ns.shape[1] - 2
    mid_room = s.mid_ns.shape[1] - 2
    ready = i  # rows before it are due by now
    while i < end:
        if i == ready:  # a pass ahead, which waits for memory once where the other would for every row
            ahead = min(end, i + AHEAD)
            while ready < ahead and events[ready].recv_ns <= due_ns:
                ready += 1
            if i == ready:
                return i, ROW
        e = events[i]
        inst = int(e.instrument)
        if e.kind == LEVEL:
            row = side_row(inst, e.side)
            k = e.price_ticks if e.side > 0 else -e.price_ticks
            if (
                head[row, LEVELS] >= level_room
                or span[row, S_TAKEN_LOW] <= k <= span[row, S_TAKEN_HIGH]
                or span[row, S_REST_LOW] <= k <= span[row, S_REST_HIGH]
                or quick_put(head, lots, words, groups, row, k, e.qty_lots) < 0
            ):
                return i, ROW
            market[inst, M_TOUCHED] = 1
        elif e.kind == TRADE:
            if market[inst, M_TRADES] >= trade_room or _reaches_ours(span, inst, e.side, e.price_ticks):
                return i, ROW
            if not e.flags & IMPOSSIBLE:
                _add_trade(s, inst, e.exch_ns, e.price_ticks, e.qty_lots, e.side)
        elif e.kind != BBO:
            return i, ROW
        if e.flags & LAST and market[inst, M_TOUCHED]:
            bid, ask_key = head[2 * inst, BEST], head[2 * inst + 1, BEST]
            mid = bid - ask_key
            if (
                market[inst, M_IN_SNAPSHOT]
                or bid == NOTHING
                or ask_key == NOTHING
                or bid + ask_key >= 0
                or market[inst, M_MIDS] >= mid_room
                or crosses_ours(span, inst, bid, ask_key)
            ):
                return i, UPDATE_END
            market[inst, M_TOUCHED] = 0
            market[inst, M_BOOK_NS] = book_time(e.recv_ns, e.exch_ns)
            set_mid(s, inst, mid, e.recv_ns)
        i += 1
    return i, ROW


@njit_inner
def _reaches_ours(span: IntArray, inst: int, taker_side: int, price: int) -> bool:
    """Whether a trade is at or through the best price of ours that rests on the other side.

    One whose taker is unknown reaches nobody: who waited for it, and who came, cannot be told.
    """
    bids, asks = span[2 * inst, S_REST_HIGH], span[2 * inst + 1, S_REST_HIGH]
    return bool((taker_side < 0 and bids >= price) or (taker_side > 0 and asks >= -price))


@njit_inner
def _row(s: KernelState, events: EventArray, i: int) -> int:
    """Consume any row, but for the end of its update. Returns why ``run`` should return, or BATCH_END."""
    e = events[i]
    inst = int(e.instrument)
    if e.kind == LEVEL:
        row = side_row(inst, e.side)
        k = e.price_ticks if e.side > 0 else -e.price_ticks
        before = put_level(s.book, row, k, e.qty_lots)
        s.market[inst, M_TOUCHED] = 1
        if s.span[row, S_TAKEN_LOW] <= k <= s.span[row, S_TAKEN_HIGH]:
            refresh_consumed(s, row, k, before, e.qty_lots, s.market[inst, M_IN_SNAPSHOT])
        if s.span[row, S_REST_LOW] <= k <= s.span[row, S_REST_HIGH]:
            queue_on_level(s, inst, row, k, before, e.qty_lots)
    elif e.kind == TRADE and not e.flags & IMPOSSIBLE:
        _add_trade(s, inst, e.exch_ns, e.price_ticks, e.qty_lots, e.side)
        if _reaches_ours(s.span, inst, e.side, e.price_ticks) and not e.flags & HISTORY:
            happened_ns = e.exch_ns if e.flags & (LATE | BACKFILL) else JUST_NOW
            queue_on_trade(s, inst, e.side, e.price_ticks, e.qty_lots, e.recv_ns, happened_ns)
    elif e.kind == SNAPSHOT_BEGIN:
        clear_levels(s.book, 2 * inst)
        clear_levels(s.book, 2 * inst + 1)
        s.market[inst, M_IN_SNAPSHOT] = 1
    elif e.kind == SNAPSHOT_END:
        s.market[inst, M_IN_SNAPSHOT] = 0
        s.market[inst, M_TOUCHED] = 1
        drop_vanished(s, inst)
    elif e.kind != BBO and e.kind != TRADE:
        return NOTICE
    return BATCH_END if has_room(s) else GROW


@njit_inline
def _add_trade(s: KernelState, inst: int, exch_ns: int, ticks: int, lots: int, side: int) -> None:
    n = s.market[inst, M_TRADES]
    s.trade_ns[inst, n] = exch_ns
    s.trade_ticks[inst, n] = ticks
    s.trade_lots[inst, n] = lots
    s.trade_side[inst, n] = side
    s.market[inst, M_TRADES] = n + 1
