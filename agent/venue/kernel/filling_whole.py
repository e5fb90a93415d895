"""The reference's rule (``venue.reach: whole``): what reaches an order fills all of it.

hftbacktest fills a resting order whole where a trade is at a worse price, or the far touch reaches it. That
is right for orders that are small beside the book, and no bound for large ones. It is kept for the
comparison with it, and for sessions recorded before there was another; every trade counts in the tape's turn.
"""

from __future__ import annotations

from agent.core.compile.jit import njit_inner
from agent.core.market.ladder import BEST, NOTHING, level_lots, next_key
from agent.venue.kernel.queue import fill_resting, side_row
from agent.venue.kernel.state import (
    C_LOTS,
    FIRST,
    M_MID,
    N_RESTING,
    R_INSTRUMENT,
    R_LANE,
    R_LOTS,
    R_PRICE,
    R_SIDE,
    KernelState,
)
from agent.venue.kernel.taking import find_consumed


@njit_inner
def trade_fills_whole(s: KernelState, inst: int, taker_side: int, price: int, lots: int, ns: int) -> None:
    """A trade at our price eats the queue ahead of us, then us; one through our price fills us."""
    mid = s.market[inst, M_MID]
    for i in range(s.counts[N_RESTING]):
        r = s.resting[i]
        if r[R_INSTRUMENT] == inst and r[R_SIDE] != taker_side and r[R_PRICE] == price:
            s.traded[i] += lots
            s.ahead[i] -= max(0, lots - _own_better(s, i))
    i = FIRST
    while i < s.counts[N_RESTING]:
        r = s.resting[i]
        if r[R_INSTRUMENT] == inst and r[R_SIDE] != taker_side:
            filled = int(r[R_LOTS]) if (r[R_PRICE] - price) * r[R_SIDE] > 0 else 0
            if s.ahead[i] < 0:
                filled = min(int(0.5 - s.ahead[i]), r[R_LOTS])  # to the nearest lot: ahead may be a fraction
                s.ahead[i] = 0.0
            if filled > 0 and fill_resting(s, i, filled, ns, mid):
                continue
        i += 1


@njit_inner
def _own_better(s: KernelState, i: int) -> int:
    """Lots of the lane of row ``i`` that rest at better prices: a trade at its price met them before."""
    r = s.resting[i]
    lots = 0
    for j in range(s.counts[N_RESTING]):
        q = s.resting[j]
        if q[R_LANE] == r[R_LANE] and q[R_SIDE] == r[R_SIDE] and q[R_INSTRUMENT] == r[R_INSTRUMENT]:
            lots += q[R_LOTS] if (q[R_PRICE] - r[R_PRICE]) * r[R_SIDE] > 0 else 0
    return lots


@njit_inner
def touch_fills_whole(s: KernelState, inst: int, bid: int, ask: int, ns: int, mid: int) -> None:
    """The far touch has reached a resting order: it would have traded, at its own price."""
    i = FIRST
    while i < s.counts[N_RESTING]:
        r = s.resting[i]
        crossed = r[R_PRICE] >= ask if r[R_SIDE] > 0 else r[R_PRICE] <= bid
        if r[R_INSTRUMENT] == inst and crossed:
            lots = _crossing_lots(s, i)
            if lots > 0 and fill_resting(s, i, lots, ns, mid):
                continue
        i += 1


@njit_inner
def _crossing_lots(s: KernelState, i: int) -> int:
    """Lots of row ``i`` that the levels beyond its price fill: all, if its lane left one untouched.

    The rest of an order that walked the book stands beyond levels which the tape still shows and the
    lane has consumed: these fill it by what they have left, and no lot twice.
    """
    r = s.resting[i]
    lane, left = r[R_LANE], r[R_LOTS]
    row, worst = side_row(r[R_INSTRUMENT], -r[R_SIDE]), -r[R_PRICE] * r[R_SIDE]
    filled = 0
    for take_them in range(2):  # look first: nothing is consumed where an untouched level fills it all
        k = s.book.head[row, BEST]
        while k != NOTHING and k >= worst:
            c = find_consumed(s, lane, row, k)
            if c < 0:
                return int(left)
            if take_them:
                lots = min(left - filled, max(0, level_lots(s.book, row, k) - s.consumed[c, C_LOTS]))
                s.consumed[c, C_LOTS] += lots
                filled += lots
            k = next_key(s.book, row, k)
    return int(filled)
