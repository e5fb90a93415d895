"""Orders on bars alone: fills, benchmarks and times by hand; multi-day orders; what bad input gets."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from agent.app.replay_session import replay_session
from agent.config import Bars, Config, Order, RehearsalSection
from agent.core.errors import ConfigError, InputError, OrderError, SessionError
from agent.core.events import ChildChanged, ChildFilled, DecisionTaken, ParentChanged, SlippageMeasured
from agent.core.types import MarketView, OrderView
from tests.bar_sessions import HOUR, MIDNIGHT, MONEY, Bar, config, hourly, of, run, session

# VWAPs of the traded hours: 1010, 1030, 1000, 1020. Half a spread of 10 bps is about 1.
PRICES = (999, 1009, 1029, 999, 1019, 1050)
ORDER = Order(
    side="buy",
    quantity=Decimal(4),
    benchmark="twap",
    min_duration=4 * HOUR,
    max_duration=4 * HOUR,
    interval=HOUR,
    algo="twap",
    shadows=(),
)


Views = list[tuple[float, float]]


def _wall(ns: int) -> datetime:
    return datetime.fromtimestamp(ns / 1e9, UTC)


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_twap_order_gains_minus_half_the_spread_exactly(tmp_path: Path, side: str) -> None:
    """Four equal shares, each at its bar's VWAP and 10 bps worse: the TWAP benchmark is missed by 10 bps."""
    path = session(tmp_path, hourly(PRICES), lot=Decimal("0.001"), tick=Decimal("0.01"))
    order = replace(ORDER, side=side)
    _, events = run(path, config(order), start=MIDNIGHT + timedelta(hours=1))
    sign = 1 if side == "buy" else -1
    money: dict[int, Decimal] = {}
    for fill in of(events, ChildFilled):
        assert fill.price_model == "bars:vwap"
        price = fill.price_ticks * fill.qty_lots * Decimal("0.01") * Decimal("0.001")
        money[fill.fill_ns] = money.get(fill.fill_ns, Decimal(0)) + price
    vwaps = [1010, 1030, 1000, 1020]
    assert list(money.values()) == [v * (1 + sign * Decimal("0.001")) for v in vwaps]
    assert [_wall(ns) for ns in money] == [MIDNIGHT + timedelta(hours=k) for k in (2, 3, 4, 5)]
    own = next(e for e in of(events, SlippageMeasured)[::-1] if e.own_benchmark)
    assert own.gain_bps == pytest.approx(-10.0, abs=1e-12)
    assert own.full_gain_bps == pytest.approx(-10.0, abs=1e-12)
    assert own.used_price == 1015.0
    assert own.arrival_price == 999.0  # the close of the last bar before the start
    assert own.arrival_slippage_bps == pytest.approx(sign * (1015 * (1 + sign * 0.001) / 999 - 1) * 1e4)
    assert own.participation_rate == pytest.approx(4 / 400)


def test_the_vwap_benchmark_is_that_of_the_bars(tmp_path: Path) -> None:
    """With unequal volumes VWAP and TWAP differ, and each is the bars' own."""
    bars = hourly(PRICES)
    bars[2] = Bar(bars[2].start, 1029, 1032, 1027, 1029, 500.0, 1030 * 500.0, 7, 0.0)
    path = session(tmp_path, bars)
    _, events = run(path, config(ORDER), start=MIDNIGHT + timedelta(hours=1))
    prices = {e.benchmark: e.used_price for e in of(events, SlippageMeasured)}
    # By hand: hours 1 to 4 have volumes 100, 500, 100, 100 at 1010, 1030, 1000, 1020.
    assert prices["vwap"] == pytest.approx((1010 * 100 + 1030 * 500 + 1000 * 100 + 1020 * 100) / 800)
    assert prices["twap"] == pytest.approx(1015.0)


def test_fills_are_flagged_and_the_session_says_so(tmp_path: Path) -> None:
    """The replay's notes, its JSON and every measurement name the model; what bars cannot show is absent."""
    done, events = run(session(tmp_path, hourly(PRICES)), config(ORDER))
    words = "bars-only session: fills are modelled at the interval's VWAP"
    assert done.notes[0].startswith(words)
    assert done.to_json()["notes"] == list(done.notes)
    for row in of(events, SlippageMeasured):
        assert words in str(row.measures["flags"])
        assert row.measures["markout_1s_bps"] is None
        assert row.measures["effective_spread_bps"] is None


@pytest.mark.parametrize("algo", ["vwap", "optimal_stopping", "lem"])
def test_batches_of_any_size_give_the_same(tmp_path: Path, algo: str) -> None:
    """One bar at a time, seven, all at once: the same digest, shadows included."""
    rng = np.random.default_rng(3)
    prices = np.round(1000 + 5 * rng.standard_normal(60).cumsum())
    path = session(tmp_path, hourly([float(p) for p in prices]))
    order = replace(ORDER, algo=algo, shadows=("twap", "pov"), min_duration=HOUR)
    digests = {run(path, config(order), rows)[0].result.digest for rows in (1, 7, 10**6)}
    assert len(digests) == 1


def test_decisions_see_completed_bars_only(tmp_path: Path) -> None:
    """Another future after the third bar of the order changes no decision up to then, and some after."""
    rng = np.random.default_rng(4)
    prices = [float(p) for p in np.round(1000 + 5 * rng.standard_normal(40).cumsum())]
    order = replace(ORDER, min_duration=8 * HOUR, max_duration=8 * HOUR, quantity=Decimal(8))
    start = MIDNIGHT + timedelta(hours=30)
    seen = []
    for name, last in (("a", 0.0), ("b", 50.0)):
        folder = tmp_path / name
        folder.mkdir()
        path = session(folder, hourly([*prices[:33], *(p + last for p in prices[33:])]))
        views: list[tuple[float, float]] = []

        def asked(
            _: str, order: OrderView, market: MarketView, to: list[tuple[float, float]] = views
        ) -> None:
            to.append((market.mid, float(market.bars["vwap"][-1])))
            assert market.klines is not None
            assert int(market.klines["recv_ns"].max()) <= order.start_ns

        chosen = config(order)
        replay_session(
            path,
            chosen,
            override=True,
            verify=False,
            speed=None,
            shown=asked,
            start_ns=int(start.timestamp()) * 10**9,
        )
        seen.append(views)
    assert seen[0][:4] == seen[1][:4]  # at hours 30, 31, 32, 33
    assert seen[0][3] == (prices[32], prices[32] + 1)
    assert seen[0] != seen[1]


def test_history_keeps_counts_and_takers(tmp_path: Path) -> None:
    """Bars before and during the order show the source's counts of trades and taker volumes."""
    views: list[MarketView] = []
    path = session(tmp_path, hourly([1000.0 + k for k in range(12)]))
    start_ns = int((MIDNIGHT + timedelta(hours=6)).timestamp()) * 10**9
    replay_session(
        path,
        config(ORDER),
        override=True,
        verify=False,
        speed=None,
        shown=lambda _i, _o, market: views.append(market),
        start_ns=start_ns,
    )
    last = views[-1].bars
    assert list(last["trades"]) == [10.0 + k for k in range(9)]
    assert list(last["taker_volume"]) == [25.0] * 9
    assert list(last["vwap"]) == [1001.0 + k for k in range(9)]
    assert np.isnan(last["spread_bps"]).all()  # a modelled book is no observation


def test_an_interval_of_several_bars_is_worked_bar_by_bar(tmp_path: Path) -> None:
    """Two-hour intervals on hourly bars: half of each share in either hour."""
    path = session(tmp_path, hourly(PRICES), lot=Decimal("0.001"), tick=Decimal("0.01"))
    order = replace(ORDER, interval=2 * HOUR)
    _, events = run(path, config(order), start=MIDNIGHT + timedelta(hours=1))
    lots: dict[int, int] = {}
    for fill in of(events, ChildFilled):
        lots[fill.fill_ns] = lots.get(fill.fill_ns, 0) + fill.qty_lots
    assert list(lots.values()) == [1000] * 4


def test_participation_is_capped_and_what_is_left_expires_named(tmp_path: Path) -> None:
    """5 % of 100 a bar for four bars is 20: an order for 40 expires half filled, and says why."""
    order = replace(ORDER, quantity=Decimal(40))
    path = session(tmp_path, hourly(PRICES), lot=Decimal("0.001"))
    chosen = config(order, Bars(half_spread_bps=Decimal(1), max_participation=Decimal("0.05")))
    _, events = run(path, chosen)
    last = of(events, ParentChanged)[-1]
    assert last.state.value == "expired"
    assert last.filled_lots == 20_000
    assert "bars.max_participation" in last.reason


def test_a_bar_without_volume_fills_nothing(tmp_path: Path) -> None:
    """An empty hour, in the file or missing from it, is an interval in which nothing can be had."""
    bars = hourly(PRICES)
    bars[2] = Bar(bars[2].start, 1009, 1009, 1009, 1009, 0.0, 0.0, 0, 0.0)
    del bars[3]
    _, events = run(session(tmp_path, bars), config(ORDER), start=MIDNIGHT + timedelta(hours=1))
    hours = sorted({_wall(f.fill_ns).hour for f in of(events, ChildFilled)})
    assert hours == [2, 5]
    assert of(events, ParentChanged)[-1].state.value == "completed"


def test_the_limit_price_holds(tmp_path: Path) -> None:
    """A buyer's limit of 1015 lets the bars at 1010 and 1000 fill, though the last close may be above it."""
    order = replace(ORDER, limit_price=Decimal(1015))
    path = session(tmp_path, hourly(PRICES))
    _, events = run(path, config(order), start=MIDNIGHT + timedelta(hours=1))
    fills = of(events, ChildFilled)
    assert {_wall(f.fill_ns).hour for f in fills} == {2, 4}
    assert max(f.price_ticks for f in fills) <= 1015
    last = of(events, ParentChanged)[-1]
    assert last.reason == "1 BTC unfilled: the venue's rule bars.reach_bps or the limit price (2x)"


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_bar_too_far_from_the_last_close_fills_neither_side(tmp_path: Path, side: str) -> None:
    """Closes of 999, an hour that trades 2 % away on our side, and a reach of 1 %: that hour is left out."""
    away = 979 if side == "buy" else 1019
    bars = hourly([999, 999, away, 999, 999, 999])
    path = session(tmp_path, bars, lot=Decimal("0.001"), tick=Decimal("0.01"))
    for reach, hours in ((300, {2, 3, 4, 5}), (100, {2, 5})):
        given = config(replace(ORDER, side=side), Bars(half_spread_bps=Decimal(10), reach_bps=reach))
        _, events = run(path, given, start=MIDNIGHT + timedelta(hours=1))
        assert {_wall(f.fill_ns).hour for f in of(events, ChildFilled)} == hours
    reasons = {c.reason for c in of(events, ChildChanged) if c.reason}
    assert any("from the last close, on our side (bars.reach_bps)" in reason for reason in reasons)


def test_a_notional_order_spends_its_money(tmp_path: Path) -> None:
    """Money in four equal parts; what is spent stays within a lot of the target."""
    order = replace(ORDER, quantity=None, notional=Decimal(4000))
    path = session(tmp_path, hourly(PRICES), lot=Decimal("0.001"), tick=Decimal("0.01"))
    done, events = run(path, config(order), start=MIDNIGHT + timedelta(hours=1))
    parent = done.summary.parents()[0]
    assert parent["state"] == "completed"
    assert Decimal(4000) - Decimal(parent["filled"]) < Decimal("1.1")
    assert len({f.fill_ns for f in of(events, ChildFilled)}) == 4


# --- calendars ------------------------------------------------------------------------------------


def _sessions(days: int) -> list[Bar]:
    """Hourly bars of New York sessions from 2025-03-03 (a Monday), the first of each holding the open."""
    bars, day = [], MIDNIGHT
    while days:
        if day.weekday() < 5:
            open_utc = 14 if day < datetime(2025, 3, 9, tzinfo=UTC) else 13  # summer time begins on the 9th
            for k in range(7):
                p = 100.0 + k + day.day
                bars.append(
                    Bar(day + timedelta(hours=open_utc + k), p, p + 3, p - 2, p, 1000.0, (p + 1) * 1000)
                )
            days -= 1
        day += timedelta(days=1)
    return bars


def test_a_multi_day_order_counts_trading_bars(tmp_path: Path) -> None:
    """Twelve hours over three sessions: six bars a day, no night, no week-end, no opening auction."""
    path = session(tmp_path, _sessions(8), "IBM/USD", calendar="XNYS", tick=Decimal("0.01"))
    order = replace(ORDER, quantity=Decimal(120), min_duration=HOUR, max_duration=12 * HOUR)
    thursday = datetime(2025, 3, 6, 18, tzinfo=UTC)
    done, events = run(path, config(order), start=thursday)
    fills = [_wall(ns) for ns in sorted({f.fill_ns for f in of(events, ChildFilled)})]
    day = [datetime(2025, 3, 6, h, tzinfo=UTC) for h in (19, 20, 21)]
    day += [datetime(2025, 3, 7, h, tzinfo=UTC) for h in (16, 17, 18, 19, 20, 21)]
    day += [datetime(2025, 3, 10, h, tzinfo=UTC) for h in (15, 16, 17)]  # an hour earlier: summer time
    assert fills == day
    asked = [_wall(d.asked_ns) for d in of(events, DecisionTaken)]
    assert asked[3] == datetime(2025, 3, 7, 15, tzinfo=UTC)  # decided in the morning, after the opening hour
    assert any("2 bars of the window hold an auction" in note for note in done.notes)
    own = next(e for e in of(events, SlippageMeasured)[::-1] if e.own_benchmark)
    assert own.gain_bps == pytest.approx(-10.0, abs=0.01)


def test_what_the_closed_bar_shows_is_known_and_not_traded(tmp_path: Path) -> None:
    """The mid of the morning's first decision is the close of the untraded opening hour."""
    path = session(tmp_path, _sessions(4), "IBM/USD", calendar="XNYS")
    order = replace(ORDER, quantity=Decimal(80), max_duration=8 * HOUR, min_duration=HOUR)
    _, events = run(path, config(order), start=datetime(2025, 3, 4, 20, tzinfo=UTC))
    mids = [d.market_mid for d in of(events, DecisionTaken)]
    assert mids[0] == 109.0  # Tuesday's bar from 19:00 UTC
    assert mids[1] == 105.0  # Wednesday's opening hour
    closes = [d.market_close for d in of(events, DecisionTaken)]
    assert closes[1] == 110.0  # the last traded bar is still Tuesday's


def test_algos_see_no_time_of_day_where_the_market_closes(tmp_path: Path) -> None:
    """Bars follow each other for the model: no night is taken for a gap."""
    views: list[MarketView] = []
    path = session(tmp_path, _sessions(6), "IBM/USD", calendar="XNYS")
    replay_session(
        path,
        config(replace(ORDER, quantity=Decimal(40), algo="lem", min_duration=HOUR)),
        override=True,
        verify=False,
        speed=None,
        shown=lambda _i, _o, market: views.append(market),
    )
    assert views
    assert not any(v.bars["start_ns"].any() for v in views)
    assert all(v.klines is None for v in views)


def test_no_order_crosses_a_split(tmp_path: Path) -> None:
    """2 for 1 after thirty calm days: refused across it; after it, the history begins with it."""
    start = datetime(2025, 3, 3, tzinfo=UTC)
    days = [start + timedelta(days=k) for k in range(56) if k % 7 < 5]
    bars = []
    for k, day in enumerate(days):
        p = (100.0 if k < 30 else 50.0) + k % 3 * 0.5
        bars.append(Bar(day, p, p + 1, p - 1, p, 1e6, p * 1e6))
    path = session(tmp_path, bars, "IBM/USD", calendar="XNYS")
    day_ns = 24 * HOUR
    change = {"interval": day_ns, "min_duration": 4 * day_ns, "max_duration": 4 * day_ns}
    with pytest.raises(OrderError, match="crosses a split before 2025-04-14"):
        run(path, config(replace(ORDER, **change)), start=days[27])
    views: list[MarketView] = []
    replay_session(
        path,
        config(replace(ORDER, **change)),
        override=True,
        verify=False,
        speed=None,
        shown=lambda _i, _o, market: views.append(market),
        start_ns=int(days[33].timestamp()) * 10**9,
    )
    assert len(views[0].bars) == 3  # three days since the split


# --- what bad input gets ----------------------------------------------------------------------------

BAD_ORDERS = [
    ({"interval": HOUR // 2}, "interval 30m is not a multiple of the session's 1h bars: the nearest is 1h"),
    ({"interval": 3 * HOUR // 2, "min_duration": 3 * HOUR, "max_duration": 3 * HOUR}, "nearest is 2h"),
    ({"max_duration": 48 * HOUR}, "max duration 2d is 48 bars of 1h, and the session holds 6"),
    ({"tactic": "peg"}, "tactic peg rests in a queue, and bars hold none: use twap_micro or sweep"),
]


@pytest.mark.parametrize(("change", "words"), BAD_ORDERS)
def test_orders_that_do_not_fit_are_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    """One message with the value, what is allowed and what to do."""
    path = session(tmp_path, hourly(PRICES))
    with pytest.raises(OrderError, match=re.escape(words)):
        run(path, config(replace(ORDER, **change)))


def test_a_start_that_leaves_too_few_bars_is_refused(tmp_path: Path) -> None:
    """The message says from when to when an order of that length may start."""
    path = session(tmp_path, hourly(PRICES))
    with pytest.raises(OrderError, match=r"give 2025-03-03T01:00:00\.000Z to 2025-03-03T02:00:00\.000Z"):
        run(path, config(ORDER), start=MIDNIGHT + timedelta(hours=3))


def test_an_account_without_the_currency_is_named(tmp_path: Path) -> None:
    """Before anything starts, not by every child order that is rejected."""
    path = session(tmp_path, hourly(PRICES), "IBM/EUR")
    with pytest.raises(ConfigError, match="holds no EUR to buy IBM/EUR with"):
        run(path, config(ORDER))


def test_start_is_for_bars(tmp_path: Path) -> None:
    """On a tape the option would be ignored: it is refused."""
    golden = Path(__file__).parents[2] / "data" / "small-session"
    with pytest.raises(InputError, match="--start is for sessions of bars"):
        replay_session(golden, Config(), override=True, verify=False, speed=None, start_ns=1)


def test_nothing_recorded_is_nothing_to_verify(tmp_path: Path) -> None:
    """It is said before anything is said of the configuration's order, which may not fit the session."""
    path = session(tmp_path, hourly(PRICES))
    with pytest.raises(InputError, match="recorded without an order to compare with"):
        replay_session(path, Config(), override=False, verify=True, speed=None)


def test_a_session_without_the_bars_is_refused(tmp_path: Path) -> None:
    """Its segments were lost: there is nothing to trade on."""
    path = session(tmp_path, hourly(PRICES))
    for file in path.glob("bars-*"):
        file.unlink()
    with pytest.raises(SessionError, match="holds no bars of BTC/USDT: import some"):
        run(path, config(ORDER))


def test_rehearsals_of_a_live_wire_are_off(tmp_path: Path) -> None:
    """Nothing is lost on the way to a bar: an order completes though every request would be rejected."""
    venue = MONEY.model_copy(update={"rehearsal": RehearsalSection(reject_ppm=10**6)})
    done, _ = run(session(tmp_path, hourly(PRICES)), config(ORDER, venue=venue))
    assert done.summary.parents()[0]["state"] == "completed"
