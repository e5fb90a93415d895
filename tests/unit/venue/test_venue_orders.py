"""Time in force, price protection and self-trade prevention, order by order on a small book.

The book of the stand: bids 99.99 x 50 and 99.98 x 90 lots, asks 100.01 x 30 and 100.02 x 70.
"""

from __future__ import annotations

import pytest

from agent.core.market.tape import Kind
from agent.core.orders.venue_messages import ReportKind
from agent.core.types import Side, TimeInForce
from tests.venue import BALANCES, MS, Stand

ACK, FILLED, EXPIRED = ReportKind.ACKNOWLEDGED, ReportKind.FILLED, ReportKind.EXPIRED
REJECTED = ReportKind.REJECTED


@pytest.fixture
def stand() -> Stand:
    return Stand()


def end_of(stand: Stand) -> tuple[ReportKind, str]:
    report = stand.reports[-1][1]
    return report.kind, report.reason


# --- fill or kill -----------------------------------------------------------------------------------


def test_fill_or_kill_fills_whole(stand: Stand) -> None:
    """100 lots are offered up to its limit: it walks both levels at once."""
    stand.send(0, tif=TimeInForce.FOK, lots=100)
    stand.until(100)
    assert stand.fills() == [(10_001, 30), (10_002, 70)]


def test_fill_or_kill_takes_nothing_when_one_lot_is_missing(stand: Stand) -> None:
    """101 of 100 lots: nothing is filled, the money is free again, and the book still offers all."""
    stand.send(0, tif=TimeInForce.FOK, lots=101)
    stand.until(100)
    assert stand.kinds() == [ACK, EXPIRED]
    assert end_of(stand)[1] == "fill-or-kill: 0.100 of 0.101 were offered at its limit"
    assert stand.venue.account(0).available("USDT") == BALANCES["USDT"]
    stand.send(100, lots=100)
    stand.until(200)
    assert sum(lots for _, lots in stand.fills()) == 100


def test_fill_or_kill_sees_what_its_lane_took(stand: Stand) -> None:
    """After 30 lots were taken 70 are left to lane 0, and still 100 to another lane."""
    stand.send(0, lots=30)
    stand.until(100)
    own = stand.send(100, tif=TimeInForce.FOK, lots=71)
    other = stand.send(100, tif=TimeInForce.FOK, lots=71, lane=1)
    stand.until(300)
    assert [r.kind for r in stand.of(own)] == [ACK, EXPIRED]
    assert [r.kind for r in stand.of(other)] == [ACK, FILLED, FILLED]


@pytest.mark.parametrize(("money", "filled"), [(450_000, 44), (1_100_000, 0)])
def test_fill_or_kill_by_money(stand: Stand, money: int, filled: int) -> None:
    """Money that the book can take is spent to within a lot; more than that, and nothing is."""
    stand.send(0, tif=TimeInForce.FOK, lots=1000, cap_tl=money)
    stand.until(100)
    assert sum(lots for _, lots in stand.fills()) == filled
    assert end_of(stand)[0] is EXPIRED  # its lots were an upper bound


# --- good till date ---------------------------------------------------------------------------------


def test_good_till_date_ends_at_its_time(stand: Stand) -> None:
    """It rests until 500 ms of engine time; the end is heard 15 ms later, and its money is free."""
    stand.send(0, tif=TimeInForce.GTD, price_ticks=9_999, lots=20, expire_ns=500 * MS)
    stand.until(514)
    assert stand.kinds() == [ACK]
    stand.until(515)
    assert end_of(stand) == (EXPIRED, "good till 1970-01-01T00:00:00.500Z")
    assert stand.venue.account(0).available("USDT") == BALANCES["USDT"]


@pytest.mark.parametrize(("trade_ms", "filled"), [(500, 20), (500.001, 0)])
def test_an_expiry_races_fills(stand: Stand, trade_ms: float, filled: int) -> None:
    """A trade at the very nanosecond of the end still fills it, one a microsecond later does not."""
    stand.send(0, tif=TimeInForce.GTD, price_ticks=9_999, lots=20, expire_ns=500 * MS)
    stand.tape(trade_ms, (Kind.TRADE, 9_998, 20, -1))
    stand.until(600)
    assert sum(lots for _, lots in stand.fills()) == filled
    assert (EXPIRED in stand.kinds()) == (filled == 0)


def test_good_till_date_after_a_cancel_ends_once(stand: Stand) -> None:
    """The time of an order that was cancelled passes without a word."""
    order = stand.send(0, tif=TimeInForce.GTD, price_ticks=9_999, lots=20, expire_ns=500 * MS)
    stand.until(50)
    stand.cancel(order.number, 50 * MS)
    stand.until(1000)
    assert stand.kinds() == [ACK, ReportKind.CANCELLED]


GTD_PAST = (
    "good-till-date order arrived at 1970-01-01T00:00:00.030Z, after its end 1970-01-01T00:00:00.030Z"
    " (exchange.good_till_date)"
)


def test_good_till_date_that_has_passed_is_refused(stand: Stand) -> None:
    """An order that arrives at or after its end is rejected with that time."""
    stand.send(0, tif=TimeInForce.GTD, price_ticks=9_999, lots=20, expire_ns=30 * MS)
    stand.until(100)
    assert end_of(stand) == (REJECTED, GTD_PAST)


# --- price protection -------------------------------------------------------------------------------


def protected(bps: float | None) -> Stand:
    stand = Stand(rules={"price_protection_bps": bps})
    stand.tape(1, (Kind.LEVEL, 10_060, 500, -1))
    return stand


@pytest.mark.parametrize(("bps", "filled"), [(None, 150), (60.0, 150), (10.0, 100), (0.5, 30)])
def test_a_walk_stops_at_price_protection(bps: float | None, filled: int) -> None:
    """A limit at 100.60 walks as far as the protection lets it, measured from the far touch 100.01."""
    stand = protected(bps)
    stand.send(10, price_ticks=10_060, lots=150)
    stand.until(200)
    assert sum(lots for _, lots in stand.fills()) == filled
    if filled < 150:
        assert "price protection is" in end_of(stand)[1]
        assert "from the far touch 100.01" in end_of(stand)[1]


def test_the_rest_of_a_protected_order_stands_at_the_edge() -> None:
    """A GTC order's rest stands where protection stopped it, and is never filled beyond."""
    stand = protected(10.0)
    stand.send(10, tif=TimeInForce.GTC, price_ticks=10_060, lots=150)
    stand.tape(100, (Kind.LEVEL, 9_998, 91, 1))
    stand.tape(110, (Kind.LEVEL, 10_002, 75, -1))
    stand.until(200)
    assert stand.fills() == [(10_001, 30), (10_002, 70), (10_011, 5)]
    assert int(stand.market.state.counts[0]) == 1


# --- our own orders on both sides -------------------------------------------------------------------


def resting_ask(rule: str, price: int = 10_002) -> Stand:
    """A stand on which our own ask of 20 lots rests at ``price``."""
    stand = Stand(rules={"self_trade": rule})
    stand.send(0, side=Side.SELL, tif=TimeInForce.POST_ONLY, price_ticks=price, lots=20)
    stand.until(50)
    return stand


@pytest.mark.parametrize("tif", [TimeInForce.IOC, TimeInForce.GTC])
def test_a_newer_order_stops_before_our_own(tif: TimeInForce) -> None:
    """It takes what is better than our own ask, and the rest is cancelled, saying so; ours stays."""
    stand = resting_ask("cancel_newest")
    order = stand.send(50, tif=tif, lots=60, price_ticks=10_003)
    stand.until(200)
    assert [r.kind for r in stand.of(order)] == [ACK, FILLED, EXPIRED]
    assert stand.fills() == [(10_001, 30)]
    assert end_of(stand)[1] == "self_trade: the rest would meet our own order at 100.02 (venue.self_trade)"
    assert int(stand.market.state.counts[0]) == 1


def test_a_fill_or_kill_that_would_need_our_own_order_dies() -> None:
    """31 lots would reach the level our own ask stands at: nothing is filled."""
    stand = resting_ask("cancel_newest")
    stand.send(50, tif=TimeInForce.FOK, lots=31)
    stand.until(200)
    assert stand.fills() == []
    assert "self_trade" in end_of(stand)[1]


def test_a_post_only_order_that_would_meet_our_own_is_refused() -> None:
    """Inside the spread our own ask is the touch, though the tape does not show it."""
    stand = resting_ask("cancel_newest", price=10_000)
    stand.send(50, tif=TimeInForce.POST_ONLY, price_ticks=10_000, lots=20)
    stand.until(200)
    assert end_of(stand) == (
        REJECTED,
        "self_trade: post-only at 100.00 would meet our own order at 100.00 (venue.self_trade)",
    )


def test_the_nearest_of_our_own_orders_counts() -> None:
    """Asks of ours at 100.02 and 100.03: the walk stops before the better one, whichever came first."""
    for prices in ((10_002, 10_003), (10_003, 10_002)):
        stand = Stand()
        for i, price in enumerate(prices):
            stand.send(50 * i, side=Side.SELL, tif=TimeInForce.POST_ONLY, price_ticks=price, lots=20)
        stand.until(100)
        stand.send(100, lots=60, price_ticks=10_004)
        stand.until(200)
        assert stand.fills() == [(10_001, 30)]


def test_other_lanes_are_other_accounts() -> None:
    """A shadow's order passes ours: they are different worlds."""
    stand = resting_ask("cancel_newest")
    stand.send(50, lots=60, lane=1)
    stand.until(200)
    assert stand.fills() == [(10_001, 30), (10_002, 30)]


def test_own_orders_may_pass_where_allowed() -> None:
    """``allow`` keeps the older behaviour: both live, neither trades with the other."""
    stand = resting_ask("allow")
    stand.send(50, lots=60)
    stand.until(200)
    assert stand.fills() == [(10_001, 30), (10_002, 30)]
    assert int(stand.market.state.counts[0]) == 1
