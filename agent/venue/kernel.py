"""The book-and-venue kernel: one compiled loop over the tape for every instrument and every lane.

A *lane* is one copy of the paper venue: lane 0 works the real parents, each shadow has its own.
Lanes share the market (book, trades, mid) and differ in what they have consumed and what rests.

``run`` consumes tape rows until the batch ends, something is due, one of our resting orders was
filled, or a row needs the engine's attention. Rows are consumed one at a time and every hand-over
happens at the end of an exchange update (flag LAST), so how a tape is cut into batches cannot matter.

Consumption rule: what a lane took from a level is remembered, and the level offers that lane only
the rest. A size that grows adds to what is offered; a size that shrinks never does; a level that
disappears is forgotten. So the same displayed lots never fill one lane twice, resting or not.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from agent.core.book import depth_within, level_qty, set_level, side_index
from agent.core.jit import njit
from agent.core.tape import EventArray

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
T = TypeVar("T", bound=np.generic)

# Kind and Flag as plain constants: Numba freezes them into the loop.
TRADE, LEVEL, SNAPSHOT_BEGIN, SNAPSHOT_END, BBO = 1, 2, 3, 4, 5
LAST, HISTORY = 1, 2

# Why ``run`` came back.
BATCH_END, DUE, FILLED, NOTICE, GROW = 0, 1, 2, 3, 4

# Columns of ``market``, one row an instrument.
(
    M_IN_SNAPSHOT,
    M_BOOK_NS,  # recv_ns of the last book update; 0 before the first
    M_CROSSED,  # updates that ended with a crossed book
    M_LAST_TRADE_TICKS,
    M_TRADES,  # rows used in the trade store
    M_MID,  # half-ticks; 0 while there is no two-sided, uncrossed book
    M_MIDS,  # rows used in the path of the mid
    M_TOUCHED,  # the book changed since the last LAST
    M_COLUMNS,
) = range(9)

# Columns of ``resting``, one row a resting order.
R_ORDER, R_LANE, R_INSTRUMENT, R_SIDE, R_PRICE, R_LOTS, R_COLUMNS = range(7)

# Columns of ``consumed``.
C_LANE, C_INSTRUMENT, C_SIDE, C_KEY, C_LOTS, C_COLUMNS = range(6)

# Columns of ``fills``.
F_ORDER, F_PRICE, F_LOTS, F_MAKER, F_NS, F_MID, F_BOOK_NS, F_COLUMNS = range(8)

# Entries of ``counts``.
N_RESTING, N_CONSUMED, N_FILLS, N_EVENTS, N_COUNTS = range(5)

RISK_AVERSE, POWER_PROBABILITY = 0, 1


class KernelState(NamedTuple):
    """Everything the kernel knows, as flat arrays: it can be saved, compared and restored."""

    key: IntArray  # [instrument, side, level]
    qty: IntArray  # [instrument, side, level]
    depth: IntArray  # [instrument, side]
    market: IntArray  # [instrument, M_COLUMNS]
    trade_ns: IntArray  # [instrument, trade] exch_ns
    trade_ticks: IntArray
    trade_lots: IntArray
    trade_side: npt.NDArray[np.int8]
    mid_ns: IntArray  # [instrument, step] when the mid changed ...
    mid_half_ticks: IntArray  # ... and to what; 0: no two-sided, uncrossed book
    resting: IntArray  # [order, R_COLUMNS]
    ahead: FloatArray  # [order] lots in front of us in the queue
    traded: FloatArray  # [order] lots traded at our price since the level last changed
    consumed: IntArray  # [entry, C_COLUMNS]
    fills: IntArray  # [fill, F_COLUMNS]
    counts: IntArray  # [N_COUNTS]
    queue_model: IntArray  # [1]
    queue_power: FloatArray  # [1]


def new_state(instruments: int, queue_model: int = RISK_AVERSE, queue_power: float = 3.0) -> KernelState:
    """Return an empty state; arrays grow as the tape needs."""
    levels, trades, orders = 2048, 1 << 14, 64
    return KernelState(
        key=np.zeros((instruments, 2, levels), np.int64),
        qty=np.zeros((instruments, 2, levels), np.int64),
        depth=np.zeros((instruments, 2), np.int64),
        market=np.zeros((instruments, M_COLUMNS), np.int64),
        trade_ns=np.zeros((instruments, trades), np.int64),
        trade_ticks=np.zeros((instruments, trades), np.int64),
        trade_lots=np.zeros((instruments, trades), np.int64),
        trade_side=np.zeros((instruments, trades), np.int8),
        mid_ns=np.zeros((instruments, trades), np.int64),
        mid_half_ticks=np.zeros((instruments, trades), np.int64),
        resting=np.zeros((orders, R_COLUMNS), np.int64),
        ahead=np.zeros(orders),
        traded=np.zeros(orders),
        consumed=np.zeros((256, C_COLUMNS), np.int64),
        fills=np.zeros((1024, F_COLUMNS), np.int64),
        counts=np.zeros(N_COUNTS, np.int64),
        queue_model=np.array([queue_model], np.int64),
        queue_power=np.array([queue_power]),
    )


def grown(s: KernelState, force: bool = False) -> KernelState:
    """Return the state with every array that is nearly full doubled along its growing axis.

    ``force`` doubles what marketable and resting orders use in any case.
    """
    levels = s.key.shape[2]
    if s.depth.max() + 2 > levels:
        s = s._replace(key=_wider(s.key, 2), qty=_wider(s.qty, 2))
    if s.market[:, M_TRADES].max() + 2 > s.trade_ns.shape[1]:
        s = s._replace(
            trade_ns=_wider(s.trade_ns, 1),
            trade_ticks=_wider(s.trade_ticks, 1),
            trade_lots=_wider(s.trade_lots, 1),
            trade_side=_wider(s.trade_side, 1),
        )
    if s.market[:, M_MIDS].max() + 2 > s.mid_ns.shape[1]:
        s = s._replace(mid_ns=_wider(s.mid_ns, 1), mid_half_ticks=_wider(s.mid_half_ticks, 1))
    if force or s.counts[N_RESTING] + 2 > len(s.resting):
        s = s._replace(resting=_wider(s.resting, 0), ahead=_wider(s.ahead, 0), traded=_wider(s.traded, 0))
    if force or s.counts[N_CONSUMED] + 64 > len(s.consumed):
        s = s._replace(consumed=_wider(s.consumed, 0))
    if force or s.counts[N_FILLS] + 2 * len(s.resting) + 64 > len(s.fills):
        s = s._replace(fills=_wider(s.fills, 0))
    return s


def _wider(array: npt.NDArray[T], axis: int) -> npt.NDArray[T]:
    return np.concatenate([array, np.zeros_like(array)], axis=axis)


@njit
def run(s: KernelState, events: EventArray, start: int, end: int, due_ns: int) -> tuple[int, int]:
    """Consume ``events[start:end]`` with ``recv_ns <= due_ns``. Returns (next index, why).

    On NOTICE the row before the returned index is the one to look at; on GROW nothing of the
    returned row was consumed: grow and call again.
    """
    counts = s.counts
    key, qty, depth, market = s.key, s.qty, s.depth, s.market
    level_room = key.shape[2] - 1
    trade_room = s.trade_ns.shape[1] - 1
    fill_room = len(s.fills) - 1
    mid_room = s.mid_ns.shape[1] - 1
    for i in range(start, end):
        e = events[i]
        if e.recv_ns > due_ns:
            return i, DUE
        if counts[N_FILLS] + 2 * counts[N_RESTING] >= fill_room:
            return i, GROW  # a row fills a resting order at most twice: as a trade, and as an update
        kind = e.kind
        inst = e.instrument
        m = market[inst]
        if m[M_MIDS] >= mid_room:
            return i, GROW
        notice = False
        if kind == LEVEL:
            side = side_index(e.side)
            if depth[inst, side] >= level_room:
                return i, GROW
            k = e.price_ticks if side == 0 else -e.price_ticks
            depth[inst, side], before = set_level(
                key[inst, side], qty[inst, side], depth[inst, side], k, e.qty_lots
            )
            m[M_TOUCHED] = 1
            if counts[N_CONSUMED] > 0:
                _refresh_consumed(s, inst, side, k, before, e.qty_lots, m[M_IN_SNAPSHOT])
            if counts[N_RESTING] > 0:
                _queue_on_level(s, inst, side, e.price_ticks, before, e.qty_lots)
        elif kind == TRADE:
            n = m[M_TRADES]
            if n >= trade_room:
                return i, GROW
            s.trade_ns[inst, n] = e.exch_ns
            s.trade_ticks[inst, n] = e.price_ticks
            s.trade_lots[inst, n] = e.qty_lots
            s.trade_side[inst, n] = e.side
            m[M_TRADES] = n + 1
            m[M_LAST_TRADE_TICKS] = e.price_ticks
            if counts[N_RESTING] > 0 and not e.flags & HISTORY:
                _queue_on_trade(s, inst, e.side, e.price_ticks, e.qty_lots, e.recv_ns)
        elif kind == SNAPSHOT_BEGIN:
            depth[inst, 0] = 0
            depth[inst, 1] = 0
            m[M_IN_SNAPSHOT] = 1
        elif kind == SNAPSHOT_END:
            m[M_IN_SNAPSHOT] = 0
            m[M_TOUCHED] = 1
            _drop_vanished(s, inst)
        elif kind != BBO:
            notice = True
        counts[N_EVENTS] += 1
        if e.flags & LAST:
            if m[M_TOUCHED]:
                _end_of_update(s, inst, e.recv_ns)
            if counts[N_FILLS] > 0:
                return i + 1, FILLED
        if notice:
            return i + 1, NOTICE
    return end, BATCH_END


@njit
def _end_of_update(s: KernelState, inst: int, recv_ns: int) -> None:
    """The book is whole: match what it crossed, and take the new mid."""
    m = s.market[inst]
    m[M_TOUCHED] = 0
    if m[M_IN_SNAPSHOT]:
        return
    m[M_BOOK_NS] = recv_ns
    nb, na = s.depth[inst, 0], s.depth[inst, 1]
    mid = 0
    if nb > 0 and na > 0:
        bid, ask = s.key[inst, 0, nb - 1], -s.key[inst, 1, na - 1]
        if bid >= ask:
            m[M_CROSSED] += 1
        else:
            mid = bid + ask
            if s.counts[N_RESTING] > 0:
                _match_crossed(s, inst, bid, ask, recv_ns, mid)
    if mid != m[M_MID]:
        n = m[M_MIDS]
        s.mid_ns[inst, n] = recv_ns
        s.mid_half_ticks[inst, n] = mid
        m[M_MIDS] = n + 1
        m[M_MID] = mid


@njit
def _emit(
    s: KernelState, order: int, price: int, lots: int, maker: int, ns: int, mid: int, book: int
) -> None:
    f = s.fills[s.counts[N_FILLS]]
    f[F_ORDER] = order
    f[F_PRICE] = price
    f[F_LOTS] = lots
    f[F_MAKER] = maker
    f[F_NS] = ns
    f[F_MID] = mid
    f[F_BOOK_NS] = book
    s.counts[N_FILLS] += 1


# --- what a lane has already taken from the displayed book ---------------------------------------


@njit
def _refresh_consumed(
    s: KernelState, inst: int, side: int, k: int, before: int, after: int, in_snapshot: int
) -> None:
    i = 0
    while i < s.counts[N_CONSUMED]:
        c = s.consumed[i]
        if c[C_INSTRUMENT] == inst and c[C_SIDE] == side and c[C_KEY] == k:
            if in_snapshot:
                c[C_LOTS] = min(c[C_LOTS], after)  # a re-sent book is not a refill
            elif after < before:
                c[C_LOTS] = max(0, c[C_LOTS] - (before - after))
            if c[C_LOTS] == 0 or after == 0:
                _remove_consumed(s, i)
                continue
        i += 1


@njit
def _remove_consumed(s: KernelState, i: int) -> None:
    """Remove entry ``i`` by moving the last one into its place."""
    last = s.counts[N_CONSUMED] - 1
    if i != last:
        s.consumed[i] = s.consumed[last]
    s.counts[N_CONSUMED] = last


@njit
def _drop_vanished(s: KernelState, inst: int) -> None:
    """After a snapshot, forget what was consumed at levels that are no longer there."""
    i = 0
    while i < s.counts[N_CONSUMED]:
        c = s.consumed[i]
        side = c[C_SIDE]
        if c[C_INSTRUMENT] == inst and (
            level_qty(s.key[inst, side], s.qty[inst, side], s.depth[inst, side], c[C_KEY]) == 0
        ):
            _remove_consumed(s, i)
        else:
            i += 1


@njit
def _find_consumed(s: KernelState, lane: int, inst: int, side: int, k: int) -> int:
    for i in range(s.counts[N_CONSUMED]):
        c = s.consumed[i]
        if c[C_LANE] == lane and c[C_KEY] == k and c[C_INSTRUMENT] == inst and c[C_SIDE] == side:
            return i
    return -1


@njit
def forget_lane(s: KernelState, lane: int) -> None:
    """Drop what ``lane`` had consumed (its orders are done for good)."""
    i = 0
    while i < s.counts[N_CONSUMED]:
        if s.consumed[i, C_LANE] == lane:
            _remove_consumed(s, i)
        else:
            i += 1


# --- marketable orders ---------------------------------------------------------------------------


@njit
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
    far = 1 if side > 0 else 0
    worst = -limit_ticks if side > 0 else limit_ticks
    key, qty, n = s.key[inst, far], s.qty[inst, far], s.depth[inst, far]
    mid, book_ns = s.market[inst, M_MID], s.market[inst, M_BOOK_NS]
    if mid == 0:
        return 0
    reachable = 0
    for j in range(n - 1, -1, -1):
        if key[j] < worst:
            break
        reachable += 1
    if s.counts[N_FILLS] + reachable >= len(s.fills) or s.counts[N_CONSUMED] + reachable >= len(s.consumed):
        return -1
    filled = 0
    spent = 0
    for j in range(n - 1, n - 1 - reachable, -1):
        if filled >= lots:
            break
        price = -key[j] if side > 0 else key[j]
        c = _find_consumed(s, lane, inst, far, key[j])
        available = qty[j] - (s.consumed[c, C_LOTS] if c >= 0 else 0)
        take_lots = min(lots - filled, available)
        if cap_tl > 0:
            take_lots = min(take_lots, (cap_tl - spent) // price)
        if take_lots <= 0:
            if cap_tl > 0 and (cap_tl - spent) < price:
                break
            continue
        if c < 0:
            c = s.counts[N_CONSUMED]
            s.counts[N_CONSUMED] = c + 1
            s.consumed[c, C_LANE] = lane
            s.consumed[c, C_INSTRUMENT] = inst
            s.consumed[c, C_SIDE] = far
            s.consumed[c, C_KEY] = key[j]
            s.consumed[c, C_LOTS] = 0
        s.consumed[c, C_LOTS] += take_lots
        filled += take_lots
        spent += take_lots * price
        _emit(s, order, price, take_lots, 0, now_ns, mid, book_ns)
    return int(filled)


# --- resting orders ------------------------------------------------------------------------------


@njit
def rest(s: KernelState, order: int, lane: int, inst: int, side: int, price_ticks: int, lots: int) -> int:
    """Join the queue at ``price_ticks`` behind what is displayed. Returns its row, -1: grow first."""
    n = s.counts[N_RESTING]
    if n + 1 >= len(s.resting):
        return -1
    near = side_index(side)
    k = price_ticks if near == 0 else -price_ticks
    r = s.resting[n]
    r[R_ORDER] = order
    r[R_LANE] = lane
    r[R_INSTRUMENT] = inst
    r[R_SIDE] = side
    r[R_PRICE] = price_ticks
    r[R_LOTS] = lots
    displayed = level_qty(s.key[inst, near], s.qty[inst, near], s.depth[inst, near], k)
    s.ahead[n] = displayed + _own_ahead(s, n)
    s.traded[n] = 0.0
    s.counts[N_RESTING] = n + 1
    return int(n)


@njit
def withdraw(s: KernelState, order: int) -> int:
    """Take ``order`` out of the queue. Returns the lots that were still open, 0 if it is not there."""
    for i in range(s.counts[N_RESTING]):
        if s.resting[i, R_ORDER] == order:
            lots = int(s.resting[i, R_LOTS])
            _remove_resting(s, i)
            return lots
    return 0


@njit
def _remove_resting(s: KernelState, i: int) -> None:
    """Remove row ``i``, keeping the others in order: fills are reported in order of arrival."""
    last = s.counts[N_RESTING] - 1
    for j in range(i, last):
        s.resting[j] = s.resting[j + 1]
        s.ahead[j] = s.ahead[j + 1]
        s.traded[j] = s.traded[j + 1]
    s.counts[N_RESTING] = last


@njit
def _fill_resting(s: KernelState, i: int, lots: int, ns: int, mid: int) -> bool:
    """Fill row ``i`` by ``lots`` at its own price; True when that removed it."""
    r = s.resting[i]
    inst = r[R_INSTRUMENT]
    _emit(s, r[R_ORDER], r[R_PRICE], lots, 1, ns, mid, s.market[inst, M_BOOK_NS])
    r[R_LOTS] -= lots
    if r[R_LOTS] == 0:
        _remove_resting(s, i)
        return True
    return False


@njit
def _queue_on_trade(s: KernelState, inst: int, taker_side: int, price: int, lots: int, ns: int) -> None:
    """A trade at our price eats the queue ahead of us, then us; one through our price fills us.

    Lanes are separate hypotheses: one trade may fill orders of several. Within a lane nothing is
    filled twice, because an order's queue counts the lane's own earlier orders at its price.
    """
    mid = s.market[inst, M_MID]
    i = 0
    while i < s.counts[N_RESTING]:
        r = s.resting[i]
        if r[R_INSTRUMENT] != inst or r[R_SIDE] == taker_side:
            i += 1
            continue
        through = (r[R_PRICE] - price) * r[R_SIDE]
        if through > 0:
            if _fill_resting(s, i, r[R_LOTS], ns, mid):
                continue
        elif through == 0:
            s.traded[i] += lots
            s.ahead[i] -= lots
            if s.ahead[i] < 0:
                filled = min(int(0.5 - s.ahead[i]), r[R_LOTS])  # to the nearest lot: ahead may be a fraction
                s.ahead[i] = 0.0
                if filled > 0 and _fill_resting(s, i, filled, ns, mid):
                    continue
        i += 1


@njit
def _queue_on_level(s: KernelState, inst: int, side: int, price: int, before: int, after: int) -> None:
    """A displayed size changed at our price: move up by the cancels that were ahead of us.

    Risk-averse: only when fewer lots are left than stood ahead. Power-probability: a cancel of
    ``d`` lots was behind us with probability back^p / (back^p + front^p), trades taken out first.
    """
    for i in range(s.counts[N_RESTING]):
        r = s.resting[i]
        if r[R_INSTRUMENT] != inst or r[R_PRICE] != price or side_index(r[R_SIDE]) != side:
            continue
        front = s.ahead[i]
        if s.queue_model[0] == POWER_PROBABILITY:
            cancelled = before - after - s.traded[i]
            back = max(0.0, before - front)
            if cancelled > 0 and front > 0:
                p = s.queue_power[0]
                behind = back**p / (back**p + front**p)
                front = front - (1.0 - behind) * cancelled + min(back - behind * cancelled, 0.0)
        s.traded[i] = 0.0
        s.ahead[i] = max(0.0, min(front, float(after + _own_ahead(s, i))))


@njit
def _own_ahead(s: KernelState, i: int) -> int:
    """Lots of the same lane at the same price that joined the queue before row ``i``."""
    r = s.resting[i]
    lots = 0
    for j in range(i):
        q = s.resting[j]
        if (
            q[R_LANE] == r[R_LANE]
            and q[R_PRICE] == r[R_PRICE]
            and q[R_SIDE] == r[R_SIDE]
            and q[R_INSTRUMENT] == r[R_INSTRUMENT]
        ):
            lots += q[R_LOTS]
    return lots


@njit
def _match_crossed(s: KernelState, inst: int, bid: int, ask: int, ns: int, mid: int) -> None:
    """The far touch has reached a resting order: it would have traded, at its own price."""
    i = 0
    while i < s.counts[N_RESTING]:
        r = s.resting[i]
        crossed = r[R_PRICE] >= ask if r[R_SIDE] > 0 else r[R_PRICE] <= bid
        if r[R_INSTRUMENT] == inst and crossed:
            lots = _crossing_lots(s, i)
            if lots > 0 and _fill_resting(s, i, lots, ns, mid):
                continue
        i += 1


@njit
def _crossing_lots(s: KernelState, i: int) -> int:
    """Lots of row ``i`` that the levels beyond its price fill: all, if its lane left one untouched.

    The rest of an order that walked the book stands beyond levels which the tape still shows and the
    lane has consumed: these fill it by what they have left, and no lot twice.
    """
    r = s.resting[i]
    lane, inst, left = r[R_LANE], r[R_INSTRUMENT], r[R_LOTS]
    far = 1 if r[R_SIDE] > 0 else 0
    worst = -r[R_PRICE] if r[R_SIDE] > 0 else r[R_PRICE]
    key, qty, n = s.key[inst, far], s.qty[inst, far], s.depth[inst, far]
    filled = 0
    for take_them in range(2):  # look first: nothing is consumed where an untouched level fills it all
        for j in range(n - 1, -1, -1):
            if key[j] < worst:
                break
            c = _find_consumed(s, lane, inst, far, key[j])
            if c < 0:
                return int(left)
            if take_them:
                lots = min(left - filled, max(0, qty[j] - s.consumed[c, C_LOTS]))
                s.consumed[c, C_LOTS] += lots
                filled += lots
    return int(filled)


# --- what others may look at ---------------------------------------------------------------------


@njit
def book_sample(s: KernelState, inst: int, band_bps: float) -> tuple[int, int, int, int, int, int]:
    """(bid ticks, bid lots, ask ticks, ask lots, bid lots within the band, ask lots within it).

    All 0 while there is no two-sided, uncrossed book.
    """
    if s.market[inst, M_MID] == 0:
        return 0, 0, 0, 0, 0, 0
    nb, na = s.depth[inst, 0], s.depth[inst, 1]
    bid, ask = s.key[inst, 0, nb - 1], -s.key[inst, 1, na - 1]
    half_band = (bid + ask) * 0.5 * band_bps * 1e-4
    mid = (bid + ask) * 0.5
    low, high = int(np.ceil(mid - half_band)), int(np.floor(mid + half_band))
    return (
        bid,
        s.qty[inst, 0, nb - 1],
        ask,
        s.qty[inst, 1, na - 1],
        depth_within(s.key[inst, 0], s.qty[inst, 0], nb, low),
        depth_within(s.key[inst, 1], s.qty[inst, 1], na, -high),
    )
