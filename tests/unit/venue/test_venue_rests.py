"""What is left of an order: what fills it later, and when it is over."""

from __future__ import annotations

from decimal import Decimal

from agent.core.market.tape import EventArray, Kind, empty_events
from agent.core.orders.venue_messages import ReportKind
from agent.core.types import Side, TimeInForce
from agent.venue.impact import ImpactLaw
from agent.venue.kernel import loop as kernel
from agent.venue.wire.latency import Latency
from tests.venue import LAST, MS, Stand

LAW = ImpactLaw(y=1.0, sigma_bps_per_day=300.0, volume_per_day=1000.0, half_life_ns=10**12)


def test_what_our_impact_put_out_of_reach_does_not_fill_the_rest() -> None:
    """A walk stopped by the law: the next update of the book gives the rest only what a level gains."""
    stand = Stand(rules={"impact": {"BTC/USDT": LAW}})
    order = stand.send(1, tif=TimeInForce.GTC, price_ticks=10_002, lots=90)
    stand.tape(60, (Kind.LEVEL, 9_990, 5, 1))
    stand.until(500)
    taken = sum(lots for _, lots in stand.fills())
    assert 30 <= taken < 90
    stand.tape(501, (Kind.LEVEL, 10_002, 77, -1))
    stand.until(1000)
    last = stand.of(order)[-1]
    assert (last.maker, last.lots) == (True, 7)


def test_a_resting_order_ends_with_its_money() -> None:
    """A bound on money that rests: filled as far as it goes, the order is over and its rest is free."""
    stand = Stand()
    order = stand.send(1, tif=TimeInForce.POST_ONLY, price_ticks=9_999, lots=10, cap_tl=6 * 9_999 + 1)
    stand.until(100)
    stand.tape(101, (Kind.TRADE, 9_998, 10, -1))
    stand.until(500)
    assert [said.kind for said in stand.of(order)][1:] == [ReportKind.FILLED, ReportKind.EXPIRED]
    assert stand.fills() == [(9_999, 6)]
    assert stand.of(order)[-1].reason == "its money is spent"
    account = stand.venue.account(0)
    assert account.available("USDT") == account.balances()["USDT"]
    sale = stand.send(600, side=Side.SELL, tif=TimeInForce.POST_ONLY, price_ticks=10_000, lots=6)
    stand.until(1000)
    assert stand.of(sale)[-1].kind is ReportKind.ACKNOWLEDGED


def test_a_trade_through_one_of_our_orders_does_not_fill_the_next_with_the_same_lots() -> None:
    """What traded at the worse of two prices of ours met the ten lots at the better price first."""
    for traded, second_gets in ((10, []), (15, [5])):
        stand = Stand()
        stand.send(1, tif=TimeInForce.POST_ONLY, price_ticks=10_000, lots=10)
        second = stand.send(1, tif=TimeInForce.POST_ONLY, price_ticks=9_997, lots=10)
        stand.until(100)
        stand.tape(101, (Kind.TRADE, 9_997, traded, -1))
        stand.until(500)
        assert stand.fills()[0] == (10_000, 10)
        assert [said.lots for said in stand.of(second)[1:]] == second_gets


def test_an_order_moves_up_when_our_own_ahead_of_it_is_cancelled() -> None:
    """Fifty shown, ten of ours, then ten more: without the first ten the next are filled from the 51st on."""
    stand = Stand()
    first = stand.send(1, tif=TimeInForce.POST_ONLY, price_ticks=9_999, lots=10)
    second = stand.send(2, tif=TimeInForce.POST_ONLY, price_ticks=9_999, lots=10)
    stand.until(100)
    stand.cancel(first.number, 100 * MS)
    stand.until(200)
    stand.tape(201, (Kind.TRADE, 9_999, 53, -1))
    stand.until(500)
    assert [said.lots for said in stand.of(second)[1:]] == [3]


def test_a_cancel_does_not_overtake_its_order() -> None:
    """A cancel that is drawn faster arrives with its order: else the order would rest, called off in vain."""
    stand = Stand(cancel_latency=Latency(5 * MS))
    order = stand.send(1, tif=TimeInForce.POST_ONLY, price_ticks=9_999, lots=10)
    stand.cancel(order.number, 2 * MS)
    stand.until(500)
    assert [said.kind for said in stand.of(order)] == [ReportKind.ACKNOWLEDGED, ReportKind.CANCELLED]


def test_a_batch_may_end_within_the_update_that_filled_us() -> None:
    """Two trades of one update, cut between them: the fill is handed over at the update's end, not later."""
    rows: EventArray = empty_events(3)
    rows["recv_ns"] = rows["exch_ns"] = [101 * MS, 101 * MS, 5000 * MS]
    rows["kind"], rows["side"], rows["qty_lots"] = Kind.TRADE, -1, 10
    rows["price_ticks"], rows["flags"] = [9_999, 10_005, 10_006], [0, LAST, LAST]
    for cut in (0, 1, 2):
        stand = Stand()
        stand.send(1, tif=TimeInForce.POST_ONLY, price_ticks=10_000, lots=10)
        stand.until(100)
        if cut:
            stand.market.run(rows[:cut], 0, 2**62)
        if cut < 2:
            assert stand.market.run(rows[cut:], 0, 2**62) == (2 - cut, kernel.FILLED)
        assert [row[:3] for row in stand.market.drain_fills()] == [(1, 10_000, 10)]


def test_nothing_is_remembered_of_orders_that_are_over() -> None:
    """Filled, expired, rejected, cancelled, cancelled too late: after the last word all are forgotten."""
    stand = Stand(balances={"BTC": Decimal(10**9), "USDT": Decimal(10**12)})
    for n in range(200):
        taker = stand.send(n * 10, lots=1)
        rests = stand.send(n * 10, tif=TimeInForce.POST_ONLY, price_ticks=9_990, lots=1)
        stand.send(n * 10, lots=0)
        stand.until(n * 10 + 5)
        stand.cancel(rests.number, (n * 10 + 5) * MS)
        stand.cancel(taker.number, (n * 10 + 5) * MS)
    stand.until(10_000)
    assert len(stand.reports) >= 5 * 200
    assert len(stand.venue._answers) == 0
    assert not stand.venue._sent._last_ns
