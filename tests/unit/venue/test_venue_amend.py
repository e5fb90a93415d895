"""Amending a resting order: what keeps its place in the queue, what loses it, and what is refused.

50 lots stand at 99.99 when our bid of 20 joins; messages take 30 ms to arrive and 15 ms to be heard.
"""

from __future__ import annotations

from decimal import Decimal

import pytest

from agent.core.market.tape import Kind
from agent.core.orders.venue_messages import ReportKind, VenueOrder
from agent.core.types import Side, TimeInForce
from agent.venue.wire.latency import Latency, MeasuredLatency
from tests.venue import BALANCES, MS, Stand

ACK, FILLED, AMENDED = ReportKind.ACKNOWLEDGED, ReportKind.FILLED, ReportKind.AMENDED
REFUSED = ReportKind.AMEND_REJECTED


def bid(stand: Stand, lots: int = 20, tif: TimeInForce = TimeInForce.POST_ONLY) -> VenueOrder:
    order = stand.send(0, tif=tif, price_ticks=9_999, lots=lots)
    stand.until(50)
    return order


def amend(stand: Stand, order: VenueOrder, price: int, lots: int, at_ms: float = 50) -> None:
    stand.amend(order.number, price, lots, round(at_ms * MS))
    stand.until(at_ms + 49)


def test_an_amendment_travels_and_is_answered() -> None:
    """Sent at 50 ms it acts at 80 and is heard of at 95 ms, with the new price and total."""
    stand = Stand()
    order = bid(stand)
    stand.amend(order.number, 9_998, 15, 50 * MS)
    stand.until(94)
    assert stand.kinds() == [ACK]
    stand.until(95)
    at_ns, report = stand.reports[-1]
    assert (at_ns, report.kind, report.price_ticks, report.lots) == (95 * MS, AMENDED, 9_998, 15)


@pytest.mark.parametrize(
    ("keeps", "price", "lots", "filled"),
    [
        (True, 9_999, 12, 12),  # smaller in place: 60 traded, 50 were ahead, 10 of ours and 2 more
        (True, 9_999, 20, 12),  # unchanged
        (False, 9_999, 12, 2),  # by the other rule it joins behind 50 again, the book showing 60
        (True, 9_999, 25, 2),  # larger: behind
    ],
)
def test_only_a_smaller_order_keeps_its_place(keeps: bool, price: int, lots: int, filled: int) -> None:
    """Ten lots join behind us before the amendment; then 62 lots trade at our price."""
    stand = Stand(rules={"amend_keeps_queue": keeps})
    order = bid(stand)
    stand.tape(60, (Kind.LEVEL, 9_999, 60, 1))
    amend(stand, order, price, lots, 70)
    stand.tape(200, (Kind.TRADE, 9_999, 62, -1))
    stand.until(300)
    assert sum(lots for _, lots in stand.fills()) == filled


def test_a_new_price_waits_behind_what_is_there() -> None:
    """Moved to 99.98 it stands behind 90; moved back it stands behind 50 again, though it was there first."""
    stand = Stand()
    order = bid(stand)
    stand.tape(60, (Kind.TRADE, 9_999, 45, -1))
    amend(stand, order, 9_998, 20, 70)
    amend(stand, order, 9_999, 20, 130)
    stand.tape(200, (Kind.TRADE, 9_999, 49, -1))
    stand.until(300)
    assert stand.fills() == []


def test_our_own_orders_behind_move_up() -> None:
    """Two bids of 20: the first shrinks to 8, so the second has 58 ahead and fills 5 of a trade of 63."""
    stand = Stand()
    first = bid(stand)
    second = stand.send(50, tif=TimeInForce.POST_ONLY, price_ticks=9_999, lots=20)
    stand.until(100)
    amend(stand, first, 9_999, 8, 100)
    stand.tape(200, (Kind.TRADE, 9_999, 63, -1))
    stand.until(300)
    assert [sum(r.lots for r in stand.of(o) if r.kind is FILLED) for o in (first, second)] == [8, 5]


def test_a_new_price_that_crosses_takes() -> None:
    """A GTC bid moved through the asks walks them as a new order does, after its answer; the rest stands."""
    stand = Stand()
    order = bid(stand, lots=120, tif=TimeInForce.GTC)
    amend(stand, order, 10_002, 120)
    assert stand.kinds() == [ACK, AMENDED, FILLED, FILLED]
    assert stand.fills() == [(10_001, 30), (10_002, 70)]
    assert int(stand.market.state.counts[0]) == 1


@pytest.mark.parametrize(
    ("price", "lots", "words"),
    [
        (
            10_001,
            20,
            "post-only order at 100.01 would have traded at once: 100.01 is offered",
        ),
        (
            9_000,
            20,
            "price 90.00 is 1000.00 bps from the mid 100.00, at most 500 bps is allowed",
        ),
        (9_999, 1, "quantity 0.001 is below the minimum 0.002"),
        (9_999, 1_000_000, "balance 10000.00000000 USDT does not cover 100089.99"),
    ],
)
def test_a_refused_amendment_leaves_the_order(price: int, lots: int, words: str) -> None:
    """The reason is given; price, place and money stay: a trade of 60 fills ten as if nothing was asked."""
    stand = Stand()
    order = bid(stand)
    free = stand.venue.account(0).available("USDT")
    amend(stand, order, price, lots)
    assert stand.kinds() == [ACK, REFUSED]
    assert stand.reports[-1][1].reason.startswith(words)
    assert stand.venue.account(0).available("USDT") == free
    stand.tape(200, (Kind.TRADE, 9_999, 60, -1))
    stand.until(300)
    assert stand.fills() == [(9_999, 10)]


def test_fills_race_an_amendment() -> None:
    """Fifteen of twenty fill on the way: 15 is no more than that and refused, 18 leaves three."""
    for lots, kind, left in ((15, REFUSED, 5), (18, AMENDED, 3)):
        stand = Stand()
        order = bid(stand)
        stand.amend(order.number, 9_999, lots, 50 * MS)
        stand.tape(70, (Kind.TRADE, 9_999, 65, -1))
        stand.until(200)
        assert stand.kinds() == [ACK, FILLED, kind]
        stand.tape(200, (Kind.TRADE, 9_998, 5, -1))
        stand.until(300)
        assert stand.fills() == [(9_999, 15), (9_999, left)]
    assert stand.reports[-2][1].lots == 18


def test_reports_of_an_order_stay_in_order() -> None:
    """Measured latencies fall from 400 to 30 ms: the later answer waits for the earlier one."""
    slow_then_fast = MeasuredLatency.of(((0, 400 * MS), (80 * MS, 30 * MS)), nearest=True)
    stand = Stand(acknowledgement=slow_then_fast)
    order = bid(stand)
    stand.tape(200, (Kind.TRADE, 9_998, 1, -1))
    stand.until(1000)
    assert [at for at, _ in stand.reports] == [420 * MS] * 2  # heard alone the fill would come at 220 ms
    assert [r.kind for r in stand.of(order)] == [ACK, FILLED]


def test_an_amendment_does_not_overtake_its_order() -> None:
    """Measured latencies fall from 400 to 5 ms: amendment and cancel arrive after what left before."""
    slow_then_fast = MeasuredLatency.of(((0, 400 * MS), (80 * MS, 5 * MS)), nearest=True)
    stand = Stand(entry=slow_then_fast, cancel_latency=slow_then_fast)
    order = stand.send(0, tif=TimeInForce.POST_ONLY, price_ticks=9_999, lots=20)
    stand.amend(order.number, 9_998, 30, 100 * MS)
    stand.until(1000)
    assert stand.kinds() == [ACK, AMENDED]
    stand = Stand(entry=slow_then_fast, cancel_latency=Latency(0))
    order = stand.send(0, tif=TimeInForce.POST_ONLY, price_ticks=9_999, lots=20)
    stand.amend(order.number, 9_998, 30, 20 * MS)
    stand.cancel(order.number, 30 * MS)
    stand.until(1000)
    assert stand.kinds() == [ACK, AMENDED, ReportKind.CANCELLED]


def test_an_order_that_is_gone_cannot_be_amended() -> None:
    """It filled on the way, or was cancelled: the answer says so."""
    stand = Stand()
    order = bid(stand)
    stand.tape(60, (Kind.TRADE, 9_998, 20, -1))
    amend(stand, order, 9_998, 20, 61)
    assert stand.kinds() == [ACK, FILLED, REFUSED]
    assert stand.reports[-1][1].reason == "the order was no longer open when the amendment arrived"


def test_money_follows_the_amendment() -> None:
    """What is set aside is what the new order may cost, to the last digit, and all of it comes back."""
    stand = Stand()
    order = bid(stand)
    amend(stand, order, 9_998, 40)
    cost = Decimal("99.98") * Decimal("0.040") * Decimal("1.001")
    assert stand.venue.account(0).available("USDT") == BALANCES["USDT"] - cost
    stand.cancel(order.number, 100 * MS)
    stand.until(200)
    assert stand.venue.account(0).available("USDT") == BALANCES["USDT"]


def test_an_amendment_may_use_what_the_order_set_aside() -> None:
    """A bid for six tenths of the balance grows to seven: what it holds already counts for it."""
    stand = Stand()
    order = bid(stand, lots=60_000)
    amend(stand, order, 9_999, 70_000)
    assert stand.kinds() == [ACK, AMENDED]
    cost = Decimal("99.99") * 70 * Decimal("1.001")
    assert stand.venue.account(0).available("USDT") == BALANCES["USDT"] - cost


def test_an_order_bounded_by_money_cannot_be_amended() -> None:
    """Its lots are no promise, so they cannot be changed."""
    stand = Stand()
    order = stand.send(0, tif=TimeInForce.GTC, side=Side.BUY, price_ticks=9_999, lots=1000, cap_tl=2_000_000)
    stand.until(50)
    amend(stand, order, 9_998, 500)
    assert stand.reports[-1][1].reason == "an order bounded by money cannot be amended: cancel it"
