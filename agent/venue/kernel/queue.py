"""Resting orders: a place in the queue, moved by trades at the price and by cancels ahead.

Theory of operation
-------------------
State, for each resting order, in order of arrival (row ``i``):

* ``resting[i]``: order, lane, instrument, side, price, the lots still open, and since when it is there;
* ``ahead[i]``: lots in front of it at its price, as the model has it: those displayed when it came, and the
  lane's own that came before it. A fraction under the probability models;
* ``traded[i]``: lots traded at its price since that level was last set. The level's next size holds them
  already, so that they are not taken for cancels too;
* ``span``: the range of keys at which anything rests. A row of the tape outside it costs nothing.

The tape says three things about an order (what it then gets is in ``filling``):

1. A trade at its price against its side takes the lots ahead, then the order's own. One at a worse price
   would have met the order first: nothing is ahead any more, and it fills by the trade's lots, at its own
   price. A trade told late (LATE, BACKFILL) concerns the orders only that were there when it happened.
2. A new size of its level (``queue_on_level``): what went and was not traded was cancelled. Risk-averse:
   every cancel stood behind us, until fewer lots are left than were ahead. Probability models: a share
   ``back^p / (back^p + front^p)`` of them stood behind.
3. The far touch reaches its price: it fills, at its own price, by what is shown up to there and the lane has
   not taken before, whether as a taker or at rest.

Invariants, after each row of the tape: ``0 <= ahead[i] <= displayed lots + own lots ahead``; rows stay in
order of arrival; an order fills no lot twice. Lanes are separate hypotheses: one trade may fill orders of
several. Within a lane nothing is filled twice: one trade gives a lane its lots at most, better prices first
and then in order of arrival; and over any time no price gives more than was shown and traded up to it
(``tests/property/test_fill_bounds.py``, and ``replay --verify`` of every session).

Worked example (``tests/property/test_queue.py`` holds it): a bid of 5 lots at 99, where 20 are displayed.

    ======================  ===========  =============================================================
    the tape                risk-averse  probability, p = 1
    ======================  ===========  =============================================================
    we join                 ahead 20     ahead 20
    8 sold at 99            ahead 12     ahead 12; traded 8
    level 20 -> 12          ahead 12     20 - 12 - 8 traded = 0 cancelled: ahead 12; traded 0
    level 12 -> 30          ahead 12     18 join behind: ahead 12
    level 30 -> 20          ahead 12     10 cancelled, behind 18 / (18 + 12) = 0.6 of them: ahead 12 - 4 = 8
    10 sold at 99           ahead 2      10 - 8 = 2 lots fill; ahead 0, 3 lots open
    1 sold at 98            1 lot fills  1 lot fills, at 99; nothing is ahead any more, 2 lots open
    level 20 -> 0           4 lots open  2 lots open
    3 offered at 98         3 lots fill  2 lots fill, at 99: the order is done
    4 offered at 98         1 lot fills  the fourth is new, and all that is left for us
    ======================  ===========  =============================================================
"""

from __future__ import annotations

import math

from agent.core.compile.jit import njit_flat, njit_inner
from agent.core.market.ladder import level_lots
from agent.venue.kernel.state import (
    LOG_PROBABILITY,
    M_BOOK_NS,
    MAKER,
    N_RESTING,
    NO_HIGH,
    NO_LOW,
    R_COLUMNS,
    R_GIVEN,
    R_INSTRUMENT,
    R_LANE,
    R_LOTS,
    R_ORDER,
    R_PRICE,
    R_SIDE,
    R_THERE_NS,
    RISK_AVERSE,
    S_REST_HIGH,
    S_REST_LOW,
    KernelState,
    emit_fill,
)


@njit_inner
def side_row(inst: int, side: int) -> int:
    """The row of the book's side where orders of ``side`` (+1 bids, -1 asks) rest."""
    return 2 * inst + (0 if side > 0 else 1)


@njit_flat
def rest(
    s: KernelState,
    order: int,
    lane: int,
    inst: int,
    side: int,
    price_ticks: int,
    lots: int,
    there_ns: int,
) -> int:
    """Join the queue at ``price_ticks`` behind what is displayed. Returns its row, -1: grow first.

    ``there_ns``: since when, by the exchange's clock, the order has been there.
    """
    n = s.counts[N_RESTING]
    if n + 1 >= len(s.resting):
        return -1
    r = s.resting[n]
    r[R_ORDER] = order
    r[R_LANE] = lane
    r[R_INSTRUMENT] = inst
    r[R_SIDE] = side
    r[R_PRICE] = price_ticks
    r[R_LOTS] = lots
    r[R_THERE_NS] = there_ns
    r[R_GIVEN] = 0
    row = side_row(inst, side)
    s.ahead[n] = level_lots(s.book, row, price_ticks * side) + own_ahead(s, n)
    s.traded[n] = 0.0
    s.counts[N_RESTING] = n + 1
    _span_resting(s, row)
    return int(n)


@njit_flat
def withdraw(s: KernelState, order: int) -> int:
    """Take ``order`` out of the queue. Returns the lots that were still open, 0 if it is not there."""
    for i in range(s.counts[N_RESTING]):
        if s.resting[i, R_ORDER] == order:
            lots = int(s.resting[i, R_LOTS])
            for j in range(i + 1, s.counts[N_RESTING]):  # our own behind it move up
                if same_queue(s, i, j):
                    s.ahead[j] = max(0.0, s.ahead[j] - lots)
            _remove_resting(s, i)
            return lots
    return 0


@njit_inner
def _remove_resting(s: KernelState, i: int) -> None:
    """Remove row ``i``, keeping the others in order: fills are reported in order of arrival."""
    row = side_row(s.resting[i, R_INSTRUMENT], s.resting[i, R_SIDE])
    last = s.counts[N_RESTING] - 1
    for j in range(i, last):
        for c in range(R_COLUMNS):
            s.resting[j, c] = s.resting[j + 1, c]
        s.ahead[j] = s.ahead[j + 1]
        s.traded[j] = s.traded[j + 1]
    s.counts[N_RESTING] = last
    _span_resting(s, row)


@njit_inner
def _span_resting(s: KernelState, row: int) -> None:
    low, high = NO_LOW, NO_HIGH
    for i in range(s.counts[N_RESTING]):
        r = s.resting[i]
        if side_row(r[R_INSTRUMENT], r[R_SIDE]) == row:
            k = r[R_PRICE] * r[R_SIDE]
            low, high = min(low, k), max(high, k)
    s.span[row, S_REST_LOW], s.span[row, S_REST_HIGH] = low, high


@njit_inner
def fill_resting(s: KernelState, i: int, lots: int, ns: int, mid: int) -> bool:
    """Fill row ``i`` by ``lots`` at its own price; True when that removed it."""
    r = s.resting[i]
    emit_fill(s, r[R_ORDER], r[R_PRICE], lots, MAKER, ns, mid, s.market[r[R_INSTRUMENT], M_BOOK_NS])
    r[R_LOTS] -= lots
    if r[R_LOTS] == 0:
        _remove_resting(s, i)
        return True
    return False


@njit_inner
def queue_on_level(s: KernelState, inst: int, row: int, k: int, before: int, after: int) -> None:
    """A displayed size changed at our price: move up by the cancels that were ahead of us.

    Risk-averse: only when fewer lots are left than stood ahead. Probability models: of a cancel of
    ``d`` lots, trades taken out first, the share ``_behind`` was behind us.
    """
    for i in range(s.counts[N_RESTING]):
        r = s.resting[i]
        if r[R_INSTRUMENT] != inst or r[R_PRICE] * r[R_SIDE] != k or side_row(inst, r[R_SIDE]) != row:
            continue
        front = s.ahead[i]
        if s.queue_model[0] != RISK_AVERSE:
            cancelled = before - after - s.traded[i]
            back = max(0.0, before - front)
            if cancelled > 0 and front > 0:
                behind = _behind(s, back, front)
                front = front - (1.0 - behind) * cancelled + min(back - behind * cancelled, 0.0)
        s.traded[i] = 0.0
        s.ahead[i] = max(0.0, min(front, float(after + own_ahead(s, i))))


@njit_inner
def _behind(s: KernelState, back: float, front: float) -> float:
    """The probability that a cancelled lot stood behind us: f(back) / (f(back) + f(front)).

    f(x) = x^p, or log(1 + x). Source: E. Rigtorp, "Estimating order queue position" (2013), as put in
    hftbacktest's documentation, "Order Fill": https://hftbacktest.readthedocs.io. ``front`` > 0.
    """
    if s.queue_model[0] == LOG_PROBABILITY:
        b, f = math.log(1.0 + back), math.log(1.0 + front)
    else:
        b, f = back ** s.queue_power[0], front ** s.queue_power[0]
    return b / (b + f)


@njit_inner
def same_queue(s: KernelState, i: int, j: int) -> bool:
    """Whether rows ``i`` and ``j`` are one lane's orders at one price."""
    r, q = s.resting[i], s.resting[j]
    return bool(
        q[R_LANE] == r[R_LANE]
        and q[R_PRICE] == r[R_PRICE]
        and q[R_SIDE] == r[R_SIDE]
        and q[R_INSTRUMENT] == r[R_INSTRUMENT]
    )


@njit_inner
def own_ahead(s: KernelState, i: int) -> int:
    """Lots of the same lane at the same price that joined the queue before row ``i``."""
    lots = 0
    for j in range(i):
        if same_queue(s, i, j):
            lots += s.resting[j, R_LOTS]
    return lots
