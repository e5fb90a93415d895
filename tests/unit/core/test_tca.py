"""TCA against examples worked by hand, buy and sell, quantity and notional."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.instrument import Instrument
from agent.core.market.mids import MidTrack
from agent.core.measures import tca
from agent.core.measures.data_faults import DataFaults
from agent.core.measures.data_quality import OrderTimes, Stand
from agent.core.measures.tca import Fill, IntervalTrades
from agent.core.measures.tca_report import PWP_RATE, TcaFacts, measure, money_measures, slippage_rows
from agent.core.measures.traded_volume import Prints, participation
from agent.core.types import NS_PER_S, BenchmarkKind, ParentState, Side, TargetKind
from tests.fakes import mid_track
from tests.perold import perold
from tests.property.drawn_orders import parent

BTC = Instrument(0, "binance", "BTC/USDT", "BTC", "USDT", "USDT", Decimal("0.01"), Decimal("0.001"))
MINUTE_NS = 60 * NS_PER_S
# Three intervals at 1000, 1010 and (no trades) the last price 1020.
TRADES = (
    IntervalTrades(100_000, 100, 1_000),
    IntervalTrades(303_000, 300, 1_020),
    IntervalTrades(0, 0, 1_020),
)


PRINTS = Prints(
    *(np.array(column, np.int64) for column in ((5, 65, 70), (100, 100, 200), (100_000, 99_000, 204_000)))
)
"""Trades of the intervals above: 100 at 1000; 100 at 990 and 200 at 1020."""

TIMES = OrderTimes(
    submitted_ns=0,
    start_ns=0,
    arrival_ns=0,
    ended_ns=2 * MINUTE_NS,
    used_end_ns=2 * MINUTE_NS,
    full_end_ns=3 * MINUTE_NS,
    known_ns=3 * MINUTE_NS,
    price_ns=0,
    last_fill_ns=70 * NS_PER_S,
)


def stand(faults: DataFaults | None = None, **times: int) -> Stand:
    """A stand on data without fault, or with these."""
    return Stand(replace(TIMES, **times), faults or DataFaults(), lambda begin, end: 400)


def facts(side: Side, fill_prices: tuple[int, int], decision: int, end: int) -> TcaFacts:
    """80 of 100 lots filled (50, then 30) in two of three intervals; arrival mid 1000 ticks."""
    spec = parent(TargetKind.QUANTITY, 100, side, n=3, m=0).spec
    first, second = fill_prices
    return TcaFacts(
        spec=spec,
        state=ParentState.EXPIRED,
        start_ns=0,
        end_ns=2 * MINUTE_NS,
        filled_lots=80,
        filled_tl=50 * first + 30 * second,
        fee_tlp=40_000_000,
        sent_lots=100,
        decision_mid_half_ticks=decision,
        arrival_mid_half_ticks=2_000,
        end_mid_half_ticks=end,
        used_intervals=2,
        trades=TRADES,
        fills=(
            Fill(first, 50, True, 10 * NS_PER_S, 2_000, first + side),
            Fill(second, 30, False, 70 * NS_PER_S, 2_004, second),
        ),
        mids=mid_track([(0, 2_000), (MINUTE_NS, 2_004), (2 * MINUTE_NS, 2_020)], known_ns=3 * MINUTE_NS),
        stand=stand(),
        participation=participation(PRINTS, 80, PWP_RATE, inverse=False),
    )


BUY = facts(Side.BUY, (1_002, 1_006), decision=1_996, end=2_020)
SELL = facts(Side.SELL, (998, 994), decision=2_004, end=1_980)


@pytest.mark.parametrize("order", [BUY, SELL])
def test_shortfall_by_hand(order: TcaFacts) -> None:
    """Delay 100 x 2, trading 80 x 3.5, opportunity 20 x 10, fees 40 ticks x lots: 720 in all."""
    parts = measure(order).shortfall
    halves = (parts.delay, parts.trading, parts.opportunity, parts.fees)
    assert halves == (400, 560, 400, 80)
    assert parts.total == 1_440
    rows = money_measures(measure(order), BTC)
    assert [rows[f"shortfall_{k}"] for k in ("delay", "trading", "opportunity", "fees", "total")] == [
        "0.002",
        "0.0028",
        "0.002",
        "0.0004",
        "0.0072",
    ]
    paper = 100 * (998 if order is BUY else 1_002)
    assert rows["shortfall_total_bps"] == pytest.approx(720 / paper * 1e4)


def test_gains_by_hand() -> None:
    """A buyer at 1003.5 beats a VWAP of 1007.5 and a TWAP of 1005; the seller at 996.5 loses to both."""
    buy = {b.name: b for b in measure(BUY).benchmarks}
    assert buy["vwap"].used_ticks == Fraction(403_000, 400)
    assert buy["vwap"].gain_bps == pytest.approx(-(1003.5 / 1007.5 - 1) * 1e4)
    assert buy["twap"].used_ticks == 1_005
    assert buy["twap"].gain_bps == pytest.approx(-(1003.5 / 1005 - 1) * 1e4)
    assert buy["twap"].full_ticks == 1_010
    assert buy["twap_mid"].used_ticks == 1_001
    assert buy["twap_mid"].full_ticks == Fraction(2_000 + 2_004 + 2_020, 6)
    sell = {b.name: b for b in measure(SELL).benchmarks}
    assert sell["vwap"].gain_bps == pytest.approx((996.5 / 1007.5 - 1) * 1e4)
    assert measure(BUY).arrival_slippage_bps == pytest.approx(35.0)
    assert measure(SELL).arrival_slippage_bps == pytest.approx(35.0)
    assert measure(BUY).participation_rate == pytest.approx(80 / 400)


def test_full_window_waits_for_the_tape() -> None:
    """Until the tape has shown all n intervals the full benchmarks are None, the used ones known."""
    early = replace(BUY, trades=TRADES[:2], mids=mid_track([(0, 2_000)], known_ns=2 * MINUTE_NS))
    for gain in measure(early).benchmarks:
        assert gain.full_ticks is None
        assert gain.full_gain_bps is None
        assert gain.used_ticks > 0


def test_fill_quality_by_hand() -> None:
    """Spread, improvement, markouts, reversion, fill rate and maker share of the two fills."""
    got = measure(BUY).measures
    spread = (50 * 2 * (1_002 - 1_000) / 1_000 + 30 * 2 * (1_006 - 1_002) / 1_002) / 80 * 1e4
    assert got["effective_spread_bps"] == pytest.approx(spread)
    assert got["price_improvement_bps"] == pytest.approx(50 * (1 / 1_003) / 80 * 1e4)
    one_s = (50 * (1_000 - 1_002) / 1_002 + 30 * (1_002 - 1_006) / 1_006) / 80 * 1e4
    assert got["markout_1s_bps"] == pytest.approx(one_s)
    minute = (50 * (1_002 - 1_002) / 1_002 + 30 * (1_010 - 1_006) / 1_006) / 80 * 1e4
    assert got["markout_60s_bps"] == pytest.approx(minute)
    assert got["reversion_bps"] == pytest.approx(0.0)
    assert got["fill_rate"] == pytest.approx(0.8)
    assert got["maker_share"] == pytest.approx(50 / 80)
    blind = replace(BUY, mids=mid_track([(0, 2_000)], known_ns=30 * NS_PER_S))
    assert measure(blind).measures["markout_10s_bps"] is None


def test_reversion_sign() -> None:
    """A price that falls back after a buy is positive reversion; after a sell, negative."""
    assert tca.reversion_bps(Side.BUY, 2_000, 1_998) == pytest.approx(10.0)
    assert tca.reversion_bps(Side.SELL, 2_000, 1_998) == pytest.approx(-10.0)
    assert tca.reversion_bps(Side.BUY, 2_000, None) is None


def test_participation_weighted_price_by_hand() -> None:
    """At 10 %, trade by trade: 15 lots took until half of the second trade, at its own price."""
    found = participation(PRINTS, 15, Fraction(1, 10), inverse=False)
    assert (found.price_ticks, found.reached_ns) == (Fraction(100 * 1_000 + 50 * 990, 150), 65)
    assert participation(PRINTS, 40, Fraction(1, 10), inverse=False).price_ticks == Fraction(403_000, 400)
    short = participation(PRINTS, 41, Fraction(1, 10), inverse=False)
    assert (short.price_ticks, short.reached_ns, short.traded_lots, short.need_lots) == (None, None, 400, 410)
    assert participation(PRINTS, 0, Fraction(1, 10), inverse=False).price_ticks is None


def test_what_is_not_known_says_why() -> None:
    """A market that has not traded enough, a markout past the tape, a full window not yet shown."""
    rows = slippage_rows(BUY, BTC, 5, 6)
    assert rows[0].measures["pwp_slippage_bps"] is None
    assert rows[0].reasons == {
        "pwp_slippage_bps": (
            "the tape ends before 0.8 BTC, of which the order would be 10%, has traded: 50.0% of it has"
        )
    }
    early = replace(
        BUY,
        trades=TRADES[:2],
        mids=mid_track([(0, 2_000)], known_ns=2 * MINUTE_NS),
        stand=stand(known_ns=2 * MINUTE_NS),
    )
    why = slippage_rows(early, BTC, 5, 6)[0].reasons
    assert why["full_gain_bps"] == "the tape has not shown the whole of the allowed window"
    assert why["markout_60s_bps"] == "no mid 60 s after a fill: the tape ends before"
    assert why["reversion_bps"] == "no mid 60 s after the order's end: the tape ends before"


def test_a_hole_in_a_window_is_a_flag_with_its_share() -> None:
    """A gap of trades from 75 s to 90 s, two of them lost for good: an eighth of the two minutes used."""
    faults = DataFaults()
    faults.began("trades", 75 * NS_PER_S)
    faults.ended("trades", 0, 90 * NS_PER_S, lost=2)
    row = slippage_rows(replace(BUY, stand=stand(faults)), BTC, 5, 6)[0]
    assert row.flags["gain_bps"] == {"gap": 0.125, "lost_trades": 0.125}
    assert row.flags["participation_rate"] == row.flags["shortfall_trading"] == row.flags["gain_bps"]
    assert row.flags["full_gain_bps"]["gap"] == pytest.approx(15 / 180)
    assert "markout_1s_bps" not in row.flags  # the last fill was at 70 s
    assert row.flags["markout_10s_bps"] == {"gap": 5 / 80, "lost_trades": 5 / 80}
    assert "arrival_price" not in row.flags


def test_a_late_trade_marks_what_trades_are_in() -> None:
    """It came after the start: the fills and the benchmark stand on it, the mid of the arrival does not."""
    faults = DataFaults()
    faults.late(np.array([[-NS_PER_S, NS_PER_S, 4]]))
    row = slippage_rows(replace(BUY, stand=stand(faults)), BTC, 5, 6)[0]
    assert row.flags["gain_bps"] == row.flags["shortfall_trading"] == {"late_trades": 0.01}
    assert not {"arrival_price", "shortfall_delay", "shortfall_delay_bps"} & row.flags.keys()
    by_money = stand(faults, by_quantity=0)  # its size is known when it has filled
    notional = slippage_rows(replace(BUY, stand=by_money), BTC, 5, 6)[0]
    assert notional.flags["shortfall_delay"] == {"late_trades": 0.01}


def test_the_tape_that_ends_within_the_used_window_is_a_gap() -> None:
    """What was not seen is missing: the share of the window and a sentence say so."""
    row = slippage_rows(replace(BUY, stand=stand(known_ns=90 * NS_PER_S)), BTC, 5, 6)[0]
    assert row.flags["gain_bps"] == {"gap": 0.25}
    assert "the tape ends within the used window" in str(row.measures["flags"])


def test_more_than_the_market_traded_gets_a_note() -> None:
    """80 lots where 32 traded: 250 %."""
    row = slippage_rows(replace(BUY, trades=(IntervalTrades(32_000, 32, 1_000),) * 3), BTC, 5, 6)[0]
    assert row.participation_rate == 80 / 64
    assert "participation of 125%: more was filled than the market traded meanwhile" in str(
        row.measures["flags"]
    )


def test_no_reversion_without_a_fill_or_a_mid_at_the_end() -> None:
    """An order that never traded moved nothing; after a hole at its end nobody knows what it moved."""
    none = replace(BUY, filled_lots=0, filled_tl=0, fills=())
    row = slippage_rows(none, BTC, 5, 6)[0]
    assert (row.measures["reversion_bps"], row.reasons["reversion_bps"]) == (None, "nothing was filled")
    holed = MidTrack(
        np.array([0, MINUTE_NS]),
        np.array([2_000, 2_004]),
        4 * MINUTE_NS,
        [(2 * MINUTE_NS - 5, 2 * MINUTE_NS + 5)],
    )
    row = slippage_rows(replace(BUY, mids=holed), BTC, 5, 6)[0]
    assert row.measures["reversion_bps"] is None
    assert row.reasons["reversion_bps"].startswith("no mid at the order's end: the book was not followed")


def test_rows_carry_every_term_and_name_the_own_benchmark() -> None:
    """Three rows, one the order's own; money in quote currency, prices in the instrument's unit."""
    rows = slippage_rows(BUY, BTC, at_ns=5, seq=6)
    assert [r.benchmark for r in rows] == ["vwap", "twap", "twap_mid"]
    assert [r.own_benchmark for r in rows] == [True, False, False]
    assert rows[0].avg_price == pytest.approx(10.035)
    assert rows[0].arrival_price == pytest.approx(10.0)
    assert rows[0].measures["shortfall_total"] == "0.0072"
    assert rows[0].measures["flags"] is None
    own_twap = replace(BUY, spec=replace(BUY.spec, benchmark=BenchmarkKind.TWAP))
    assert [r.own_benchmark for r in slippage_rows(own_twap, BTC, 5, 6)] == [False, True, False]


def test_nothing_filled_is_all_opportunity() -> None:
    """An order that never filled has no gain (NaN), and its whole shortfall is delay and opportunity."""
    none = replace(BUY, filled_lots=0, filled_tl=0, fee_tlp=0, fills=(), sent_lots=0)
    result = measure(none)
    assert (result.shortfall.trading, result.shortfall.opportunity) == (0, 2_000)
    assert isnan(slippage_rows(none, BTC, 0, 0)[0].gain_bps)
    assert result.measures["fill_rate"] is None
    assert result.measures["flags"] == "nothing filled"


def test_missing_mids_are_flagged() -> None:
    """Without a mid at submission delay is 0, and the row says so; so does a market without trades."""
    bare = replace(
        BUY, decision_mid_half_ticks=None, end_mid_half_ticks=None, trades=(IntervalTrades(0, 0, 1_000),) * 3
    )
    result = measure(bare)
    assert result.shortfall.delay == 0
    assert result.shortfall.opportunity == 0
    flags = str(result.measures["flags"])
    assert "delay counted as 0" in flags
    assert "arrival" in flags
    assert "no market trades" in flags
    assert result.benchmarks[0].used_ticks == 1_000


def test_notional_order_by_hand() -> None:
    """100,000 ticks x lots, 80,280 filled in 80 lots at arrival 1000: S = 80 + 19.72 lots."""
    order = replace(BUY, spec=replace(BUY.spec, target_kind=TargetKind.NOTIONAL, target=100_000))
    result = measure(order)
    assert result.size_lots == Fraction(9_972, 100)
    assert result.avg_ticks == Fraction(80_280, 80)
    assert result.shortfall.opportunity == Fraction(1_972, 100) * 20


@given(
    side=st.sampled_from(Side),
    kind=st.sampled_from(TargetKind),
    fills=st.lists(st.tuples(st.integers(1, 1_000), st.integers(1, 10**7)), max_size=8),
    unfilled=st.integers(0, 10**9),
    fee_tlp=st.integers(-(10**12), 10**15),
    mids=st.tuples(*[st.integers(1, 2 * 10**7)] * 3),
)
def test_parts_sum_exactly_to_perold(
    side: Side,
    kind: TargetKind,
    fills: list[tuple[int, int]],
    unfilled: int,
    fee_tlp: int,
    mids: tuple[int, int, int],
) -> None:
    """For any fills and mids the four parts equal Perold's one formula, and the strings add up too."""
    decision, arrival, end = mids
    lots, tl = sum(q for q, _ in fills), sum(q * p for q, p in fills)
    target = (lots if kind is TargetKind.QUANTITY else tl) + unfilled
    size = tca.parent_lots(kind, target, lots, tl, arrival)
    parts = tca.shortfall(side, size, lots, tl, fee_tlp, decision=decision, arrival=arrival, end=end)
    assert parts.total == perold(side, size, lots, tl, fee_tlp, decision=decision, end=end)
    spec = replace(BUY.spec, side=side, target_kind=kind, target=max(target, 1))
    whole = replace(BUY, spec=spec, filled_lots=lots, filled_tl=tl, fee_tlp=fee_tlp, fills=())
    rows = money_measures(measure(whole), BTC)
    named = [
        Fraction(Decimal(str(rows[f"shortfall_{k}"]))) for k in ("delay", "trading", "opportunity", "fees")
    ]
    assert sum(named) == Fraction(Decimal(str(rows["shortfall_total"])))
    exact = measure(whole).shortfall.total / 2 * Fraction(BTC.notional(1))
    assert abs(Fraction(Decimal(str(rows["shortfall_total"]))) - exact) <= Fraction(2, 10**12)


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 10**4)), min_size=1, max_size=40))
def test_a_mean_of_prices_is_exact(rows: list[tuple[int, int]]) -> None:
    """Whatever the lots: the mean as one sum after another gives it, to the last digit."""
    trades = [IntervalTrades(997 * lots + rest, lots, 1) for lots, rest in rows]
    assert tca.twap(trades) == sum((t.price_ticks for t in trades), Fraction(0)) / len(trades)
