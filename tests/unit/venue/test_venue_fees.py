"""Fees: tiers, rebates, what they are charged in, and that no balance ever falls below zero.

The stand's asks are 100.01 x 30 and 100.02 x 70 lots of 0.001: 60 lots cost 6.0009 in quote.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.market.tape import Kind
from agent.core.orders.venue_messages import Report, ReportKind
from agent.core.types import Side, TimeInForce
from agent.venue.fees import Fees, FeeTier
from tests.venue import MS, Stand

D = Decimal
UNIT = D("0.00001")  # money of one tick x lot
BNB = {"BTC": D(10), "USDT": D(10_000), "BNB": D("0.00002")}


def bought(stand: Stand, lots: int, at_ms: float = 0) -> list[Report]:
    """Buy at most ``lots``; the fills."""
    order = stand.send(at_ms, lots=lots)
    stand.until(at_ms + 100)
    return [r for r in stand.of(order) if r.kind is ReportKind.FILLED]


def test_volume_moves_up_the_tiers() -> None:
    """From 999,998 of volume the first fill of 3.0003 pays 1,000 ppm, and the next, past 1,000,000, 800."""
    tier = FeeTier(D(1_000_000), -50, 800)
    stand = Stand(fees=Fees(100, 1000, tiers=(tier,), start_volume=D(999_998)))
    fills = bought(stand, 60)
    assert [f.fee_tlp // (f.price_ticks * f.lots) for f in fills] == [1000, 800]
    assert [f.fee_tlp for f in fills] == [10_001 * 30 * 1000, 10_002 * 30 * 800]


def test_a_tier_begins_at_its_volume() -> None:
    """At 1,000,000 to the cent the tier of 1,000,000 holds; of two tiers reached, the last."""
    tiers = (FeeTier(D(10), 90, 900), FeeTier(D(1_000_000), 80, 800))
    for volume, ppm in ((D("999999.99"), 900), (D(1_000_000), 800), (D(9), 1000)):
        assert Fees(100, 1000, tiers=tiers, start_volume=volume).ppm(False, volume) == ppm


def test_each_lane_has_its_own_volume() -> None:
    """What a shadow trades moves nobody else up."""
    stand = Stand(fees=Fees(100, 1000, tiers=(FeeTier(D(6), 0, 0),)))
    bought(stand, 60)
    order = stand.send(100, lots=60, lane=1)
    stand.until(200)
    fees = [r.fee_tlp for r in stand.of(order) if r.kind is ReportKind.FILLED]
    assert all(fee > 0 for fee in fees)
    assert bought(stand, 10, 200)[0].fee_tlp == 0


def test_a_rebate_is_paid_out() -> None:
    """A maker at -200 ppm receives it: 20 lots at 99.99 cost 1.9998 less 0.00039996."""
    stand = Stand(fees=Fees(-200, 1000))
    stand.send(0, tif=TimeInForce.POST_ONLY, price_ticks=9_999, lots=20)
    stand.tape(50, (Kind.TRADE, 9_998, 20, -1))
    stand.until(100)
    fill = stand.reports[-1][1]
    assert (fill.fee_tlp, fill.fee_currency) == (-9_999 * 20 * 200, "USDT")
    value = D("1.9998")
    assert stand.venue.account(0).balances()["USDT"] == D(10_000) - value + value * 200 / 1_000_000


def third(discount_ppm: int = 250_000) -> Fees:
    return Fees(100, 1000, "BNB", rate=D(600), discount_ppm=discount_ppm)


def test_a_third_currency_pays_at_its_rate_and_discount() -> None:
    """3.0003 at 1,000 ppm less a quarter is 0.002250225 USDT: 0.00000376 BNB at 600, rounded up."""
    stand = Stand(fees=third(), balances=BNB)
    (fill,) = bought(stand, 30)
    assert fill.fee_tlp == 10_001 * 30 * 750
    assert (fill.fee_currency, fill.fee_amount) == ("BNB", D("0.00000376"))
    assert stand.venue.account(0).balances()["BNB"] == BNB["BNB"] - D("0.00000376")
    assert stand.venue.account(0).balances()["USDT"] == D(10_000) - D("3.0003")


def test_a_discount_is_exact_or_rounded_against_us() -> None:
    """333,333 ppm off leave 200,020,100.01: the next whole tick x lot x ppm is charged."""
    assert third(333_333).discounted(300_030_000) == 200_020_101
    assert third(333_333).discounted(-300_030_000) == -300_030_000  # a rebate stays whole


def test_a_third_currency_that_runs_out_hands_over_once() -> None:
    """The first fill that it does not cover is charged in quote, undiscounted, and says so."""
    stand = Stand(fees=third(), balances={**BNB, "BNB": D("0.000004")})
    first, second = bought(stand, 60)
    (last,) = bought(stand, 10, 100)
    assert [f.fee_currency for f in (first, second, last)] == ["BNB", "USDT", "USDT"]
    assert second.fee_tlp == 10_002 * 30 * 1000
    assert second.reason == (
        "0.00000024 BNB do not cover the fee of 0.00000376 BNB: fees are charged in USDT from here on"
    )
    assert (first.reason, last.reason) == ("", "")
    assert second.fee_amount is None


def test_without_any_of_it_fees_are_in_quote_from_the_start() -> None:
    """A third currency that the account does not hold: said with the first fill."""
    (fill,) = bought(Stand(fees=third()), 10)
    assert fill.fee_currency == "USDT"
    assert fill.reason.startswith("0 BNB do not cover")


def test_the_quote_currency_by_its_name_is_no_third_currency() -> None:
    """Charged as "quote" is: what the account pays is what the fill says, whatever the rate."""
    stand = Stand(fees=Fees(1000, 1000, "USDT", rate=D(600), discount_ppm=250_000))
    (fill,) = bought(stand, 10)
    assert (fill.fee_currency, fill.fee_amount) == ("USDT", None)
    paid = 10_000 - stand.venue.account(0).balances()["USDT"] - D("1.0001")
    assert paid == D("0.0010001") == fill.fee_tlp * UNIT / 10**6


def test_what_is_received_says_its_amount() -> None:
    """A buyer charged in the base currency: the report has the amount in it."""
    (fill,) = bought(Stand(fees=Fees(100, 1000, "received")), 20)
    assert (fill.fee_currency, fill.fee_amount) == ("BTC", D("0.00002"))


# --- never below zero ---------------------------------------------------------------------------------

orders = st.fixed_dictionaries(
    {
        "side": st.sampled_from(Side),
        "tif": st.sampled_from(TimeInForce),
        "price_ticks": st.integers(9_997, 10_003),
        "lots": st.integers(5, 80),
        "cap_tl": st.one_of(st.just(0), st.integers(60_000, 800_000)),
        "lane": st.sampled_from([0, 0, 0, 1]),
    }
)
moves = st.one_of(
    st.tuples(st.just("order"), orders),
    st.tuples(st.just("trade"), st.tuples(st.integers(9_995, 10_005), st.sampled_from([1, -1]))),
    st.tuples(st.just("level"), st.tuples(st.integers(9_996, 10_004), st.integers(0, 300))),
    st.tuples(st.just("cancel"), st.integers(1, 12)),
    st.tuples(st.just("amend"), st.tuples(st.integers(1, 6), st.integers(9_990, 10_012), st.integers(5, 80))),
)
schemes = st.sampled_from(
    [Fees(1000, 1000), Fees(-500, 2000), Fees(0, 1000, "received"), third(), Fees(500_000, 900_000)]
)


@settings(max_examples=120, deadline=None)
@given(
    steps=st.lists(moves, min_size=8, max_size=30),
    fees=schemes,
    rules=st.sampled_from([{}, {"self_trade": "allow"}, {"price_protection_bps": 1.0}]),
)
def test_no_balance_falls_below_zero(
    steps: Sequence[tuple[str, Any]], fees: Fees, rules: dict[str, Any]
) -> None:
    """Small accounts, every kind of order, amendments and cancels: totals stay, and what is free, above 0."""
    stand = Stand(fees=fees, rules=rules, balances={"BTC": D("0.060"), "USDT": D(8), "BNB": D("0.00001")})
    for i, (what, values) in enumerate(steps):
        at_ms = 40.0 * (i + 1)
        if what == "order":
            stand.send(at_ms, **values, expire_ns=round((at_ms + 200) * MS))
        elif what == "trade":
            stand.tape(at_ms, (Kind.TRADE, values[0], 50, values[1]))
        elif what == "level":
            stand.tape(at_ms, (Kind.LEVEL, *values, 1 if values[0] < 10_000 else -1))
        elif what == "cancel":
            stand.cancel(values, round(at_ms * MS))
        else:
            stand.amend(*values, round(at_ms * MS))
        stand.until(at_ms + 39)
        for lane in (0, 1):
            account = stand.venue.account(lane)
            assert all(total >= 0 for total in account.balances().values()), account.balances()
            assert all(account.available(c) >= 0 for c in ("BTC", "USDT", "BNB"))
    stand.until(10**6)


@settings(max_examples=60, deadline=None)
@given(lots=st.lists(st.integers(5, 60), min_size=1, max_size=6), fees=schemes)
def test_every_fill_is_paid_for_exactly(lots: list[int], fees: Fees) -> None:
    """What the reports say of prices, lots and fees is what the balances moved by, to the last digit."""
    stand = Stand(fees=fees, balances=BNB)
    for i, n in enumerate(lots):
        bought(stand, n, 200.0 * i)
    fills = [r for _, r in stand.reports if r.kind is ReportKind.FILLED]
    paid: dict[str, Decimal] = {"BTC": D(0), "USDT": D(0), "BNB": D(0)}
    for f in fills:
        paid["USDT"] += f.price_ticks * f.lots * UNIT
        paid["BTC"] -= f.lots * D("0.001")
        paid[f.fee_currency] += f.fee_tlp * UNIT / 1_000_000 if f.fee_amount is None else f.fee_amount
    after = stand.venue.account(0).balances()
    assert {c: BNB[c] - after[c] for c in paid} == paid


@pytest.mark.parametrize(("held", "sold"), [("0.198", 0), ("0.200", 199)])
def test_a_sale_by_money_never_oversells(held: str, sold: int) -> None:
    """Money for 198 lots at the mid takes 199 lower down: it is refused where only 198 are there."""
    stand = Stand(balances={"BTC": D(held), "USDT": D(0)})
    stand.tape(1, (Kind.LEVEL, 9_999, 5, 1), (Kind.LEVEL, 9_998, 0, 1), (Kind.LEVEL, 9_900, 300, 1))
    stand.send(10, side=Side.SELL, price_ticks=9_900, lots=1000, cap_tl=1_980_000)
    stand.until(100)
    assert sum(lots for _, lots in stand.fills()) == sold
    assert stand.venue.account(0).balances()["BTC"] == D(held) - sold * D("0.001")
