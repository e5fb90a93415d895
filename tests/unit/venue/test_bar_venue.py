"""The venue of bars, driven by hand: what a bar gives an order, at what price, and what it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.agenda import Agenda
from agent.core.market.tape import BAR, BarArray
from agent.core.market.trading_time import BarFlag
from agent.core.orders.venue_messages import Report, ReportKind, VenueOrder
from agent.core.types import Side, TimeInForce
from agent.venue.bars.bar_market import BarMarket, half_spread_ticks
from agent.venue.bars.bar_venue import BarVenue, cost_tl, in_whole_ticks
from agent.venue.fees import Fees
from agent.venue.impact import ImpactLaw, mean_root
from agent.venue.rules import BarRules, VenueRules
from agent.venue.wire.latency import Latencies, Latency
from tests.venue import BTC

S = 10**9
FILLED, EXPIRED = ReportKind.FILLED, ReportKind.EXPIRED


@dataclass
class Stand:
    """Bars of a second at a price around 10,000 ticks, and what the venue reported."""

    half_spread_bps: Fraction = Fraction(10)
    max_participation: Fraction = Fraction(1, 5)
    rules: Mapping[str, Any] = field(default_factory=dict)
    symbols: int = 1

    def __post_init__(self) -> None:
        known = [BTC, replace(BTC, number=1, symbol="ETH/USDT", base="ETH")][: self.symbols]
        self.market = BarMarket(known, BarRules(self.half_spread_bps, self.max_participation, Fraction(5000)))
        self.agenda, self.reports = Agenda(), list[tuple[int, Report]]()
        ways = Latencies(Latency(0), Latency(0), Latency(0), Latency(0))
        balances = {"BTC": Decimal(10), "USDT": Decimal(10_000)}
        rules = VenueRules(ways, Fees(0, 1000), balances, 5000.0, 0, 1, **self.rules)
        self.venue = BarVenue(self.market, self.agenda, rules)
        self.venue.connect(lambda r: self.reports.append((r.recv_ns, r)))
        self.now_ns = self.sent = 0
        self.orders: dict[int, VenueOrder] = {}
        self.bar(10_000, 1000)

    def bar(self, vwap: int, lots: int, flags: int = 0) -> None:
        """The next bar, all of it at ``vwap``."""
        self.until((self.now_ns // S + 1) * S - 1)
        self.now_ns += 1
        row: BarArray = np.zeros(1, BAR)
        for name in ("open_ticks", "high_ticks", "low_ticks", "close_ticks"):
            row[name] = vwap
        row["recv_ns"], row["open_ns"], row["delta_ns"] = self.now_ns, self.now_ns - S, S
        row["base_lots"], row["quote_tl"], row["flags"] = lots, lots * vwap, flags
        for row["instrument"] in range(self.symbols):
            self.market.run(row, 0, self.now_ns)
        self.venue.collect()
        self.until(self.now_ns)

    def until(self, at_ns: int) -> None:
        while (due := self.agenda.pop(at_ns)) is not None:
            due[1](due[0])
        self.now_ns = at_ns

    def send(self, side: Side, lots: int, **how: Any) -> int:
        self.sent += 1
        price = 11_000 if side > 0 else 9_000
        how = {"lane": 0, "instrument": 0, "tif": TimeInForce.IOC, "price_ticks": price, **how}
        self.orders[self.sent] = VenueOrder(number=self.sent, side=side, lots=lots, **how)
        self.venue.submit(self.orders[self.sent], self.now_ns)
        self.until(self.now_ns)
        return self.sent

    def fills(self, number: int) -> list[tuple[int, int]]:
        return [(r.price_ticks, r.lots) for _, r in self.reports if r.number == number and r.kind is FILLED]

    def last(self, number: int) -> Report:
        return [r for _, r in self.reports if r.number == number][-1]


def test_a_fill_is_half_a_spread_worse_than_the_vwap() -> None:
    """At 10,020 with 10 bps: 10,030.02 for a buyer, 10,009.98 for a seller, at the bar's end."""
    stand = Stand()
    bought, sold = stand.send(Side.BUY, 50), stand.send(Side.SELL, 50)
    stand.bar(10_020, 1000)
    assert stand.fills(bought) == [(10_030, 49), (10_031, 1)]  # 501,501: just 50 x 10,030.02
    assert stand.fills(sold) == [(10_009, 1), (10_010, 49)]
    fill = next(r for _, r in stand.reports if r.kind is FILLED)
    assert (fill.venue_ns, fill.price_model, fill.maker) == (2 * S, "bars:vwap", False)
    assert fill.mid_half_ticks == 20_040


def test_a_lane_gets_its_share_of_a_bar_and_no_more() -> None:
    """A fifth of 1,000 lots: the first order takes 150, the second what is left, another lane its own 200."""
    stand = Stand()
    first, second = stand.send(Side.BUY, 150), stand.send(Side.BUY, 150)
    other = stand.send(Side.BUY, 300, lane=1)
    stand.bar(10_000, 1000)
    lots = [sum(q for _, q in stand.fills(n)) for n in (first, second, other)]
    assert lots == [150, 50, 200]
    assert stand.last(second).kind is EXPIRED
    assert "bars.max_participation" in stand.last(second).reason


@pytest.mark.parametrize(("lots", "flags"), [(0, 0), (1000, int(BarFlag.CLOSED))])
def test_nothing_is_filled_without_volume_or_in_a_closed_bar(lots: int, flags: int) -> None:
    """An order that may rest waits through both, and is filled in the next bar."""
    stand = Stand()
    waits = stand.send(Side.BUY, 10, tif=TimeInForce.GTC)
    stand.bar(10_000, lots, flags)
    assert stand.fills(waits) == []
    stand.bar(10_000, 1000)
    assert stand.fills(waits) == [(10_010, 10)]


def test_an_immediate_order_lives_for_one_traded_bar() -> None:
    """It expires where nothing traded, and stands through a bar in which the market was closed for a part."""
    stand = Stand()
    empty = stand.send(Side.BUY, 10)
    stand.bar(10_000, 0)
    assert stand.last(empty).kind is EXPIRED
    closed = stand.send(Side.BUY, 10)
    stand.bar(10_000, 1000, int(BarFlag.CLOSED))
    stand.bar(10_000, 1000)
    assert stand.fills(closed) == [(10_010, 10)]


def test_the_limit_is_never_passed() -> None:
    """10,010 is filled at a limit of 10,010, and one tick of the VWAP more is not."""
    stand = Stand()
    at, beyond = (stand.send(Side.BUY, 10, price_ticks=10_010, tif=TimeInForce.GTC) for _ in range(2))
    stand.bar(10_000, 50)  # ten lots of it for us
    stand.bar(10_001, 1000)
    assert stand.fills(at) == [(10_010, 10)]
    assert stand.fills(beyond) == []


def test_fill_or_kill_is_all_or_nothing() -> None:
    """300 of 1,000 are more than a fifth: nothing; 200 are filled."""
    stand = Stand()
    killed, filled = (stand.send(Side.BUY, n, tif=TimeInForce.FOK) for n in (300, 200))
    stand.bar(10_000, 1000)
    assert (stand.fills(killed), stand.last(killed).kind) == ([], EXPIRED)
    assert sum(q for _, q in stand.fills(filled)) == 200


def test_money_bounds_hold() -> None:
    """500,600 ticks x lots buy 50 lots at 10,010, and leave less than one."""
    stand = Stand()
    number = stand.send(Side.BUY, 100, cap_tl=500_600)
    stand.bar(10_000, 1000)
    assert stand.fills(number) == [(10_010, 50)]
    assert "its money is spent" in stand.last(number).reason


def test_a_good_till_date_order_ends_with_the_bar_of_its_end() -> None:
    """It is filled in the bar that ends first, and what it lacks then expires."""
    stand = Stand()
    number = stand.send(Side.BUY, 300, tif=TimeInForce.GTD, expire_ns=2 * S)
    stand.bar(10_000, 1000)
    assert sum(q for _, q in stand.fills(number)) == 200
    assert stand.last(number).kind is EXPIRED


def test_what_bars_cannot_show_is_refused() -> None:
    """Post-only orders, amendments, and what an exchange refuses anywhere."""
    stand = Stand()
    posted = stand.send(Side.BUY, 10, tif=TimeInForce.POST_ONLY)
    assert "no queue to rest in" in stand.last(posted).reason
    small = stand.send(Side.BUY, 1)
    assert "below the minimum" in stand.last(small).reason
    resting = stand.send(Side.BUY, 10, tif=TimeInForce.GTC)
    stand.venue.amend(stand.orders[resting], 10_000, 5, stand.now_ns)
    stand.until(stand.now_ns)
    assert stand.last(resting).kind is ReportKind.AMEND_REJECTED
    stand.venue.cancel(stand.orders[resting], stand.now_ns)
    stand.until(stand.now_ns)
    assert stand.last(resting).kind is ReportKind.CANCELLED
    stand.venue.cancel(stand.orders[resting], stand.now_ns)
    stand.until(stand.now_ns)
    assert stand.last(resting).kind is ReportKind.CANCEL_REJECTED


def test_open_orders_are_counted_by_symbol() -> None:
    """As on a tape: an order that waits in one symbol is none of another's."""
    stand = Stand(rules={"max_open_orders": 1}, symbols=2)
    stand.send(Side.BUY, 10, tif=TimeInForce.GTC)
    other = stand.send(Side.BUY, 10, tif=TimeInForce.GTC, instrument=1)
    assert stand.last(other).kind is ReportKind.ACKNOWLEDGED
    again = stand.send(Side.BUY, 10, tif=TimeInForce.GTC, instrument=1)
    assert "1 orders of ours are open on ETH/USDT" in stand.last(again).reason


def test_money_moves_with_the_fills() -> None:
    """50 lots of 0.001 at 100.10: 5.005 USDT and its fee of 10 bps are gone, and nothing stays set aside."""
    stand = Stand()
    stand.send(Side.BUY, 50)
    stand.bar(10_000, 1000)
    account = stand.venue.account(0)
    assert account.available("BTC") == Decimal("10.05")
    assert account.available("USDT") == Decimal(10_000) - Decimal("5.005") * Decimal("1.001")


def test_impact_is_added_to_the_model_price() -> None:
    """The law's displacement of the whole fill, in half ticks against us, on top of VWAP and half spread."""
    law = ImpactLaw(y=1.0, sigma_bps_per_day=300.0, volume_per_day=1.0, half_life_ns=60 * S)
    stand = Stand(rules={"impact": {"BTC/USDT": law}})
    number = stand.send(Side.BUY, 100)
    stand.bar(10_000, 1000)
    # 1 a day is 1,000 lots: I = 300 bps x sqrt(q / 1,000), its mean over the fill two thirds of that.
    displaced = 20_020 * 0.03 * mean_root(0.0, 100.0) / 1000**0.5
    report = next(r for _, r in stand.reports if r.kind is FILLED)
    assert report.displacement_half_ticks == int(-(-displaced // 1))
    assert report.price_model == "bars:vwap+impact"
    paid = sum(p * q for p, q in stand.fills(number))
    assert paid == cost_tl(1, Fraction(10_010) + Fraction(report.displacement_half_ticks, 2), 100)


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_money_is_spent_to_the_last_lot_with_impact_on(side: Side) -> None:
    """A bound on money holds at the price really paid: less than a lot of it is left."""
    law = ImpactLaw(y=1.0, sigma_bps_per_day=300.0, volume_per_day=10.0, half_life_ns=S)
    stand = Stand(rules={"impact": {"BTC/USDT": law}})
    number = stand.send(side, 200, cap_tl=100 * 10_000)
    stand.bar(10_000, 1000)
    money = sum(price * lots for price, lots in stand.fills(number))
    assert 0 <= 100 * 10_000 - money < 11_000


@given(
    side=st.sampled_from([1, -1]),
    price=st.fractions(min_value=1, max_value=10**6, max_denominator=10**6),
    lots=st.integers(1, 10**6),
)
def test_two_neighbouring_prices_make_the_model_price(side: int, price: Fraction, lots: int) -> None:
    """Whatever the price, the parts are whole, and cost at most one tick of one lot more than it says."""
    found = in_whole_ticks(side, price, lots)
    paid = sum(p * q for p, q in found)
    assert sum(q for _, q in found) == lots
    assert all(q > 0 for _, q in found)
    assert 0 <= side * (paid - price * lots) < 1
    assert max(p for p, _ in found) - min(p for p, _ in found) <= 1


def test_the_book_shown_is_half_a_spread_from_the_close() -> None:
    """Whole ticks, at least one: 10 bps of 10,000 is 10, 1 bps of 50 is still one."""
    book = Stand().market.book(0)
    assert (book.bid_ticks, book.ask_ticks) == (9_990, 10_010)
    assert half_spread_ticks(50, Fraction(1)) == 1
