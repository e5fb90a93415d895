"""What the tape gives to resting orders: no more than it traded and showed, shared among a lane's orders.

A trade and the far touch each come in two steps: first every order is given its part, better prices before
worse ones and then in order of arrival, and only then all are filled. The parts of one trade, for a lane, are
together no more than its lots; displayed lots are taken as a taker takes them, so that none serves twice.

The rule has another side, ``agent.venue.kernel.filling_whole``, which ``venue.reach: whole`` asks for.
"""

from __future__ import annotations

from agent.core.compile.jit import njit_inner
from agent.core.market.ladder import BEST, next_key
from agent.venue.kernel.filling_whole import touch_fills_whole, trade_fills_whole
from agent.venue.kernel.queue import fill_resting, same_queue, side_row
from agent.venue.kernel.state import (
    FIRST,
    M_MID,
    N_RESTING,
    Q_REACH,
    R_GIVEN,
    R_INSTRUMENT,
    R_LANE,
    R_LOTS,
    R_PRICE,
    R_SIDE,
    R_THERE_NS,
    WHOLE,
    KernelState,
)
from agent.venue.kernel.taking import levels_within, take_level

WAITS = -1  # in R_GIVEN: the far touch has reached it, and it has not been given its part


@njit_inner
def queue_on_trade(
    s: KernelState, inst: int, taker_side: int, price: int, lots: int, ns: int, happened_ns: int
) -> None:
    """A trade at our price eats the queue ahead of us, then us; one through our price found no queue.

    ``happened_ns``: an order that came to the exchange after it has nothing of the trade.
    """
    if s.queue_model[Q_REACH] == WHOLE:
        trade_fills_whole(s, inst, taker_side, price, lots, ns)
        return
    for i in range(s.counts[N_RESTING]):
        r = s.resting[i]
        r[R_GIVEN] = 0
        met = r[R_INSTRUMENT] == inst and r[R_SIDE] != taker_side and r[R_THERE_NS] <= happened_ns
        if met and (r[R_PRICE] - price) * r[R_SIDE] >= 0:
            _give_of_trade(s, i, price, lots, happened_ns)
    _fill_given(s, ns, s.market[inst, M_MID])


@njit_inner
def _give_of_trade(s: KernelState, i: int, price: int, lots: int, happened_ns: int) -> None:
    """The part of row ``i`` in a trade of ``lots``, and its place in the queue after it."""
    r = s.resting[i]
    better, earlier, given_here, given = _own_before(s, i, happened_ns)
    comes_by = max(0, lots - better)  # what our own orders at better prices leave of it
    if r[R_PRICE] == price:
        s.traded[i] += lots
        s.ahead[i] -= comes_by
        part = int(0.5 - s.ahead[i]) if s.ahead[i] < 0 else 0  # to the nearest lot: ahead may be a fraction
    else:
        part = comes_by - earlier
        s.ahead[i] = earlier - comes_by
    s.ahead[i] = max(0.0, s.ahead[i])
    r[R_GIVEN] = max(0, min(part, r[R_LOTS], comes_by - given_here, lots - given))


@njit_inner
def _own_before(s: KernelState, i: int, happened_ns: int) -> tuple[int, int, int, int]:
    """Of the lane of row ``i``: lots at better prices; in its queue before it; given there; given in all."""
    r = s.resting[i]
    better = earlier = given_here = given = 0
    for j in range(s.counts[N_RESTING]):
        q = s.resting[j]
        if q[R_LANE] != r[R_LANE] or q[R_INSTRUMENT] != r[R_INSTRUMENT] or q[R_THERE_NS] > happened_ns:
            continue
        if q[R_SIDE] == r[R_SIDE] and (q[R_PRICE] - r[R_PRICE]) * r[R_SIDE] > 0:
            better += q[R_LOTS]
        if j < i:
            given += q[R_GIVEN]
            if same_queue(s, i, j):
                earlier += q[R_LOTS]
                given_here += q[R_GIVEN]
    return better, earlier, given_here, given


@njit_inner
def match_crossed(s: KernelState, inst: int, bid: int, ask: int, ns: int, mid: int) -> None:
    """The far touch has reached resting orders: they get what it shows up to their price, at their price."""
    if s.queue_model[Q_REACH] == WHOLE:
        touch_fills_whole(s, inst, bid, ask, ns, mid)
        return
    for i in range(s.counts[N_RESTING]):
        r = s.resting[i]
        reached = r[R_PRICE] >= ask if r[R_SIDE] > 0 else r[R_PRICE] <= bid
        r[R_GIVEN] = WAITS if reached and r[R_INSTRUMENT] == inst else 0
    i = _next_waiting(s)
    while i >= 0:
        _give_of_shown(s, i)
        i = _next_waiting(s)
    _fill_given(s, ns, mid)


@njit_inner
def _next_waiting(s: KernelState) -> int:
    """The first order of the best price that waits for its part, -1: none does."""
    best, best_key = -1, 0
    for i in range(s.counts[N_RESTING]):
        r = s.resting[i]
        if r[R_GIVEN] == WAITS and (best < 0 or r[R_PRICE] * r[R_SIDE] > best_key):
            best, best_key = i, r[R_PRICE] * r[R_SIDE]
    return best


@njit_inner
def _give_of_shown(s: KernelState, i: int) -> None:
    """Take for row ``i`` what is shown up to its price; its lane's later orders there move up."""
    r = s.resting[i]
    row, worst = side_row(r[R_INSTRUMENT], -r[R_SIDE]), -r[R_PRICE] * r[R_SIDE]
    lots = 0
    k = s.book.head[row, BEST]
    while lots < r[R_LOTS] and k >= worst:
        lots += take_level(s, r[R_LANE], row, k, r[R_LOTS] - lots)
        k = next_key(s.book, row, k)
    r[R_GIVEN] = lots
    for j in range(i + 1, s.counts[N_RESTING]):
        if same_queue(s, i, j):
            s.ahead[j] = max(0.0, s.ahead[j] - lots)


@njit_inner
def _fill_given(s: KernelState, ns: int, mid: int) -> None:
    """Fill every order by its part, in order of arrival."""
    i = FIRST
    while i < s.counts[N_RESTING]:
        lots = s.resting[i, R_GIVEN]
        if lots > 0 and fill_resting(s, i, lots, ns, mid):
            continue
        i += 1


@njit_inner
def entries_to_match(s: KernelState, inst: int) -> int:
    """The most entries of ``consumed`` that ``match_crossed`` may add now."""
    entries = 0
    if s.queue_model[Q_REACH] == WHOLE:
        return entries
    for i in range(s.counts[N_RESTING]):
        r = s.resting[i]
        if r[R_INSTRUMENT] == inst:
            levels = levels_within(s, side_row(inst, -r[R_SIDE]), -r[R_PRICE] * r[R_SIDE])
            entries += min(levels, r[R_LOTS])
    return entries
