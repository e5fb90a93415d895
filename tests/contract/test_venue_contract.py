"""What every venue must keep, shown on the paper venue: latency, rejects, fees, money, queue."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from agent.core.market.tape import Kind
from agent.core.orders.venue_messages import ReportKind
from agent.core.types import Side, TimeInForce
from agent.venue.fees import Fees
from agent.venue.kernel import loop as kernel
from agent.venue.wire.latency import Latency
from tests.venue import BALANCES, MS, Stand


@pytest.fixture
def stand() -> Stand:
    return Stand()


def test_an_order_meets_the_book_of_its_arrival(stand: Stand) -> None:
    """Sent at 100 ms, entry 20 and market data 10: the tape up to 130 ms counts, and nothing later."""
    stand.send(100)
    stand.tape(130, (Kind.LEVEL, 10_001, 0, -1))  # gone in time
    stand.tape(131, (Kind.LEVEL, 10_001, 500, -1))  # too late
    stand.until(1000)
    assert stand.fills() == [(10_002, 10)]
    at_ns, report = stand.reports[1]
    assert report.venue_ns == 130 * MS
    assert at_ns == 145 * MS  # heard 25 - 10 ms after the tape showed it


def test_a_walk_takes_levels_in_order_and_never_twice(stand: Stand) -> None:
    """60 lots take 30 and 30; the next 60 find 40 left, until the tape shows more."""
    stand.send(0, lots=60)
    stand.until(100)
    stand.send(100, lots=60)
    stand.until(300)
    assert stand.fills() == [(10_001, 30), (10_002, 30), (10_002, 40)]
    stand.tape(300, (Kind.LEVEL, 10_001, 36, -1))  # six more than before
    stand.send(301, lots=60)
    stand.until(500)
    assert stand.fills()[3:] == [(10_001, 6)]


def test_a_money_bound_is_kept(stand: Stand) -> None:
    """An order bounded by money stops before it, within one lot's value."""
    stand.send(0, lots=1000, cap_tl=450_000)
    stand.until(100)
    spent = sum(price * lots for price, lots in stand.fills())
    assert 450_000 - 10_002 < spent <= 450_000


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"lots": 1}, "minimum 0.002"),
        ({"lots": 4}, "minimum 0.5"),
        ({"price_ticks": 11_000}, "at most 500 bps is allowed (venue.price_band_bps)"),
        ({"lots": 200_000}, "balance 10000 USDT does not cover"),
        ({"side": Side.SELL, "price_ticks": 9_999, "lots": 10_001}, "balance 10 BTC does not cover"),
        ({"tif": TimeInForce.POST_ONLY, "price_ticks": 10_001}, "traded at once"),
    ],
)
def test_what_an_exchange_rejects(stand: Stand, order: dict[str, Any], words: str) -> None:
    """Minimums, band, balance and crossing post-only orders are rejected with the reason."""
    stand.send(0, **order)
    stand.until(100)
    assert stand.kinds() == [ReportKind.REJECTED]
    assert words in stand.reports[0][1].reason
    assert stand.venue.account(0).balances() == BALANCES


def test_money_is_conserved_to_the_last_digit(stand: Stand) -> None:
    """Balances move by value and fee exactly, and nothing stays set aside."""
    stand.send(0, lots=60)
    stand.until(100)
    value = sum(Decimal(price * lots) for price, lots in stand.fills()) * Decimal("0.00001")
    account = stand.venue.account(0)
    assert account.balances() == {
        "BTC": Decimal(10) + Decimal("0.060"),
        "USDT": Decimal(10_000) - value - value / 1000,
    }
    assert account.available("USDT") == account.balances()["USDT"]


def test_a_fee_in_what_is_received() -> None:
    """A buyer's fee can be charged in the base currency, worth the same at the fill's price."""
    stand = Stand(fees=Fees(100, 1000, "received"))
    stand.send(0, lots=20)
    stand.until(100)
    assert stand.venue.account(0).balances()["BTC"] == Decimal(10) + Decimal("0.020") * Decimal("0.999")


def test_a_resting_order_waits_its_turn(stand: Stand) -> None:
    """50 lots stand ahead: 45 traded change nothing, 15 more fill ten; a cancel behind does not help."""
    stand.send(0, tif=TimeInForce.POST_ONLY, price_ticks=9_999, lots=20)
    stand.tape(50, (Kind.TRADE, 9_999, 45, -1))
    stand.until(60)
    assert stand.fills() == []
    stand.tape(70, (Kind.TRADE, 9_999, 15, -1))
    stand.until(200)
    assert stand.fills() == [(9_999, 10)]
    assert stand.reports[-1][1].maker


def test_a_trade_through_the_price_fills_it(stand: Stand) -> None:
    """A trade below a resting bid would have met it first: it fills it by its own lots, and by no more."""
    stand.send(0, tif=TimeInForce.GTC, price_ticks=9_999, lots=20)
    stand.tape(50, (Kind.TRADE, 9_998, 7, -1))
    stand.until(200)
    assert stand.fills() == [(9_999, 7)]
    stand.tape(250, (Kind.TRADE, 9_998, 90, -1))
    stand.until(400)
    assert stand.fills() == [(9_999, 7), (9_999, 13)]


def test_the_rest_of_a_walk_waits_for_new_lots(stand: Stand) -> None:
    """100 of 150 lots are taken; what the tape still shows of them fills nobody, 5 and 7 new lots do."""
    stand.send(0, tif=TimeInForce.GTC, price_ticks=10_002, lots=150)
    stand.until(100)
    assert stand.fills() == [(10_001, 30), (10_002, 70)]
    stand.tape(110, (Kind.LEVEL, 9_998, 80, 1))  # the book moves elsewhere
    stand.tape(120, (Kind.LEVEL, 10_001, 20, -1))  # ten of the lots we took are taken by others too
    stand.until(200)
    assert len(stand.fills()) == 2
    stand.tape(210, (Kind.LEVEL, 10_001, 25, -1))
    stand.tape(220, (Kind.LEVEL, 10_002, 77, -1))
    stand.tape(230, (Kind.LEVEL, 9_998, 90, 1))
    stand.until(300)
    assert stand.fills()[2:] == [(10_002, 5), (10_002, 7)]
    stand.tape(310, (Kind.LEVEL, 10_000, 9, -1))  # a level that we never took from: what it shows, no more
    stand.until(400)
    assert stand.fills()[4:] == [(10_002, 9)]


def test_cancels_ahead_move_the_queue_by_the_model() -> None:
    """Risk-averse moves up only by what no longer fits; power-probability shares cancels out."""
    moved = {}
    for model in (kernel.RISK_AVERSE, kernel.POWER_PROBABILITY):
        stand = Stand(queue=model)
        stand.send(0, tif=TimeInForce.POST_ONLY, price_ticks=9_999, lots=20)
        stand.until(40)
        stand.tape(50, (Kind.LEVEL, 9_999, 90, 1))  # 40 joined behind us
        stand.tape(60, (Kind.LEVEL, 9_999, 70, 1))  # 20 cancelled somewhere
        moved[model] = float(stand.market.state.ahead[0])
    assert moved[kernel.RISK_AVERSE] == 50.0
    assert 30.0 < moved[kernel.POWER_PROBABILITY] < 50.0


@pytest.mark.parametrize(("after", "ahead", "filled"), [(80, 43.39, [(9_999, 1)]), (70, 36.77, [])])
def test_an_estimated_queue_fills_to_the_nearest_lot(
    after: int, ahead: float, filled: list[tuple[int, int]]
) -> None:
    """A trade that reaches 0.61 of our lot fills it, one that reaches 0.23 of it does not."""
    stand = Stand(queue=kernel.POWER_PROBABILITY)
    stand.send(0, tif=TimeInForce.POST_ONLY, price_ticks=9_999, lots=20)
    stand.until(40)
    stand.tape(50, (Kind.LEVEL, 9_999, 90, 1))
    stand.tape(60, (Kind.LEVEL, 9_999, after, 1))
    assert float(stand.market.state.ahead[0]) == pytest.approx(ahead, abs=0.005)
    stand.tape(70, (Kind.TRADE, 9_999, int(ahead) + 1, -1))
    stand.until(200)
    assert stand.fills() == filled


def test_a_cancel_may_come_too_late(stand: Stand) -> None:
    """The order fills while the cancel travels: the fill stands, the cancel is refused."""
    order = stand.send(0, tif=TimeInForce.POST_ONLY, price_ticks=9_999, lots=20)
    stand.until(50)
    stand.cancel(order.number, 50 * MS)
    stand.tape(80, (Kind.TRADE, 9_998, 25, -1))
    stand.until(200)
    assert stand.kinds() == [ReportKind.ACKNOWLEDGED, ReportKind.FILLED, ReportKind.CANCEL_REJECTED]
    assert np.count_nonzero(stand.market.state.counts[kernel.N_RESTING]) == 0


def test_a_cancel_in_time_frees_the_money(stand: Stand) -> None:
    """What was set aside comes back with the cancel."""
    order = stand.send(0, tif=TimeInForce.POST_ONLY, price_ticks=9_999, lots=20)
    stand.until(50)
    assert stand.venue.account(0).available("USDT") < Decimal(10_000)
    stand.cancel(order.number, 50 * MS)
    stand.until(200)
    assert stand.kinds()[-1] is ReportKind.CANCELLED
    assert stand.venue.account(0).available("USDT") == Decimal(10_000)


def test_latency_draws_depend_on_the_order_alone() -> None:
    """Lognormal draws are the same whatever was drawn before, and differ between orders and seeds."""
    latency = Latency(20 * MS, 0.5)
    first = [latency.draw(7, 0, n) for n in range(50)]
    assert first == [latency.draw(7, 0, n) for n in reversed(range(50))][::-1]
    assert len(set(first)) == 50
    assert first[0] != latency.draw(8, 0, 0)
    assert 10 * MS < float(np.median(first)) < 40 * MS
