"""Interval bars: against sums written out, and what late trades, klines and silence do to them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.instrument import Instrument
from agent.core.market.bars import FBAR, FBarArray
from agent.core.market.tape import BAR, BarArray
from agent.core.market.trade_bars import (
    BASE,
    CLOSE,
    COLUMNS,
    HIGH,
    LOW,
    OPEN,
    QUOTE,
    TRADES,
    BarSeries,
    BookSample,
    TradeColumns,
    put_floats,
)

BTC = Instrument(0, "test", "BTC/USDT", "BTC", "USDT", "USDT", Decimal("0.5"), Decimal("0.25"))
DELTA, PHASE, REACH = 10, 100, 3  # buckets from 70 ns on; bucket 0 starts at 100
Trade = tuple[int, int, int, int]
"""(exch_ns, price_ticks, lots, side)"""


def columns(trades: list[Trade]) -> TradeColumns:
    ns, ticks, lots, side = (np.array([t[i] for t in trades], np.int64) for i in range(4))
    return TradeColumns(ns, ticks, lots, side.astype(np.int8))


def series_of(*trades: Trade) -> BarSeries:
    series = BarSeries(BTC, DELTA, PHASE, REACH)
    series.update(columns(list(trades)))
    return series


def klines(*rows: tuple[int, int, int, int], delta: int = DELTA) -> BarArray:
    """(open_ns, close_ticks, lots, taker lots) each; all prices of a row are its close."""
    bars: Any = np.zeros(len(rows), BAR)
    for bar, (open_ns, close, lots, taker) in zip(bars, rows, strict=True):
        bar["open_ns"], bar["delta_ns"] = open_ns, delta
        for name in ("open_ticks", "high_ticks", "low_ticks", "close_ticks"):
            bar[name] = close
        bar["base_lots"], bar["quote_tl"], bar["trades"] = lots, lots * close, 1
        bar["taker_base_lots"] = taker
    return bars  # type: ignore[no-any-return]


def same(a: FBarArray, b: FBarArray) -> bool:
    return a.tobytes() == b.tobytes()


trades_in_order = st.lists(
    st.tuples(st.integers(70, 149), st.integers(90, 110), st.integers(1, 9), st.sampled_from([1, -1])),
    max_size=30,
)


@settings(deadline=None)
@given(trades=trades_in_order, cuts=st.lists(st.integers(0, 30), max_size=4))
def test_bars_are_sums_written_out(trades: list[Trade], cuts: list[int]) -> None:
    """Every bucket is the plain sum of its trades by exchange time, however often somebody looked."""
    series = BarSeries(BTC, DELTA, PHASE, REACH)
    for cut in sorted(cuts):
        series.update(columns(trades[:cut]))
    series.update(columns(trades))
    for k in range(-REACH, 5):
        start_ns = PHASE + k * DELTA
        mine = [t for t in trades if start_ns <= t[0] < start_ns + DELTA]
        lots, money = sum(t[2] for t in mine), sum(t[1] * t[2] for t in mine)
        assert series.totals(k, k + 1) == (lots, money)
        if not mine:
            assert series.closes(k, k + 1) == [0]
            continue
        newest = max(t[0] for t in mine)
        assert series.closes(k, k + 1) == [[t[1] for t in mine if t[0] == newest][-1]]
    assert series.totals(-REACH, 5)[0] == sum(t[2] for t in trades)


def test_a_bar_in_the_units_of_the_market() -> None:
    """Ticks of 0.5 and lots of 0.25 become prices and volumes; taker volume counts buyers only."""
    (bar,) = series_of((70, 9, 1, 1), (100, 10, 4, 1), (105, 14, 4, -1), (109, 12, 8, 1)).view(1)[-1:]
    assert [float(bar[n]) for n in ("open", "high", "low", "close", "vwap")] == [5.0, 7.0, 5.0, 6.0, 6.0]
    assert (bar["volume"], bar["quote_volume"], bar["trades"], bar["taker_volume"]) == (4.0, 24.0, 3, 3.0)


def test_a_late_trade_revises_its_bar_for_later_looks_only() -> None:
    """What was looked at before stands; the next look has the trade in the bucket of its own time."""
    early: list[Trade] = [(70, 100, 1, 1), (101, 100, 1, 1), (112, 100, 1, 1)]
    series = series_of(*early)
    before = series.view(2)
    kept = before.copy()
    series.update(columns([*early, (100, 120, 3, -1)]))
    assert same(before, kept)
    revised = series.view(2)[-2]
    assert (revised["open"], revised["close"], revised["volume"]) == (60.0, 50.0, 1.0)
    assert same(series.view(2)[-1:], before[-1:])


def test_silence_has_the_last_price_and_no_volume() -> None:
    """An interval without trades carries the close before it through every price."""
    bars = series_of((70, 100, 1, 1), (105, 104, 1, 1)).view(3)
    for bar in bars[-2:]:
        assert [float(bar[n]) for n in ("open", "high", "low", "close", "vwap")] == [52.0] * 5
        assert (bar["volume"], bar["trades"]) == (0.0, 0.0)


@pytest.mark.parametrize(("first_ns", "start_ns"), [(70, 70), (71, 80), (80, 80), (99, 100), (200, 120)])
def test_a_view_begins_with_the_first_whole_bucket(first_ns: int, start_ns: int) -> None:
    """A bucket whose beginning nobody saw is not shown as a bar of little volume."""
    bars = series_of((first_ns, 100, 1, 1)).view(3)
    shown = bars["start_ns"].tolist()
    assert shown == list(range(start_ns, 130, DELTA)) if start_ns < 120 else shown == []


def test_klines_fill_what_came_before_the_trades() -> None:
    """Buckets begun before the first trade come from klines, two to a bucket where they are shorter."""
    series = series_of((85, 100, 1, 1), (95, 98, 2, 1))
    series.use_klines(
        klines((70, 90, 1, 1), (75, 92, 2, 0), (80, 94, 3, 3), (85, 96, 4, -1), (90, 1, 1, 1), delta=5)
    )
    bars = series.view(0)
    assert bars["start_ns"].tolist() == [70, 80, 90]
    assert bars["volume"].tolist() == [0.75, 1.75, 0.5]  # the trade at 85 is in its kline, once
    assert bars["quote_volume"].tolist() == [(90 + 184) * 0.125, (282 + 384) * 0.125, 196 * 0.125]
    assert bars["close"].tolist() == [46.0, 48.0, 49.0]
    assert bars["taker_volume"][[0, 2]].tolist() == [0.25, 0.5]
    assert np.isnan(bars["taker_volume"][1])  # one of its two klines does not say


def test_klines_apart_from_the_trades_are_not_shown() -> None:
    """A hole between klines and trades is unknown, not silent: the view begins after it."""
    series = series_of((95, 100, 1, 1))
    series.use_klines(klines((70, 90, 1, 1), (80, 92, 2, 0)))
    assert series.view(2)["start_ns"].tolist() == [100, 110]


def test_klines_before_a_hole_are_not_shown() -> None:
    """Of klines with a hole among them, those after it join the trades; those before it are apart."""
    series = series_of((95, 100, 1, 1))
    series.use_klines(klines((70, 90, 1, 1), (90, 92, 2, 0)))
    assert series.view(1)["start_ns"].tolist() == [90, 100]


@pytest.mark.parametrize(
    "rows",
    [
        klines((72, 90, 1, 1), (82, 90, 1, 1)),  # off the grid
        klines((70, 90, 1, 1), delta=20),  # longer than an interval
        klines((70, 90, 1, 1), (80, 90, 1, 1), delta=5),  # halves only
        klines((100, 90, 1, 1)),  # a bucket the trades speak of
    ],
)
def test_klines_that_do_not_fit_are_left_out(rows: BarArray) -> None:
    """A kline that would fill part of a bucket, or one the trades speak of, changes nothing."""
    series, plain = series_of((95, 100, 1, 1)), series_of((95, 100, 1, 1))
    series.use_klines(rows)
    assert same(series.view(2), plain.view(2))
    assert series.totals(-REACH, 2) == plain.totals(-REACH, 2)


def test_the_first_book_of_a_bucket_is_kept() -> None:
    """Spread, imbalance, microprice and depth are of the bucket's end; no book leaves them unknown."""
    series = series_of((70, 100, 1, 1))
    series.note_book(0, BookSample(0, 0, 0, 0, 0, 0))  # no two-sided book: not a sample
    series.note_book(0, BookSample(99, 3, 101, 1, 30, 10))
    series.note_book(0, BookSample(50, 1, 150, 1, 1, 1))  # too late
    bars = series.view(1)
    bar = bars[-1]
    assert bar["spread_bps"] == pytest.approx(200.0)
    assert (bar["touch_imbalance"], bar["bid_depth"], bar["ask_depth"]) == (0.5, 7.5, 2.5)
    assert bar["microprice_bps"] == pytest.approx(50.0)  # 100.5 against 100
    assert np.isnan(bars["spread_bps"][:-1]).all()


def test_a_wrong_stamp_takes_no_memory() -> None:
    """A trade stamped years ahead is in no bar, and the table stays bounded."""
    series = series_of((70, 100, 1, 1), (10**18, 100, 5, 1), (101, 100, 2, 1))
    assert series.totals(0, 1) == (2, 200)
    assert series.totals(-REACH, 1000)[0] == 3


def test_prices_of_an_order_and_the_one_before() -> None:
    """Sums a bucket for exact benchmarks, and the last close before the first of them."""
    series = series_of((75, 90, 1, 1), (85, 95, 1, 1), (115, 100, 2, 1))
    assert series.prices(0, 3) == ([(0, 0), (2, 200), (0, 0)], 95)


@pytest.mark.parametrize("last", [7.5, np.nan])
def test_a_price_is_carried_to_where_nothing_traded(last: float) -> None:
    """From the bar before; before the first that traded it is the last one known, which may be none."""
    table, bars = np.zeros((6, COLUMNS), np.int64), np.zeros(6, FBAR)
    table[3, [OPEN, HIGH, LOW, CLOSE, BASE, QUOTE, TRADES]] = (5, 7, 4, 6, 2, 11, 1)
    bars["close"][0] = last
    put_floats(table, bars.view(np.float64).reshape(6, -1), 1, 6, 0.5, 0.25, False)
    np.testing.assert_array_equal(bars["close"][1:], [last, last, 3.0, 3.0, 3.0])
    np.testing.assert_array_equal(bars["open"][1:], [last, last, 2.5, 3.0, 3.0])
    np.testing.assert_array_equal(bars["vwap"][1:], [last, last, 2.75, 3.0, 3.0])
    assert bars["volume"][1:].tolist() == [0.0, 0.0, 0.5, 0.0, 0.0]
    assert bars["quote_volume"][1:].tolist() == [0.0, 0.0, 11 * 0.125, 0.0, 0.0]


def test_an_inverse_bar_worth_nothing_has_no_finite_price() -> None:
    """Some klines give a volume and no value: no division by it ends the run."""
    table, bars = np.zeros((1, COLUMNS), np.int64), np.zeros(1, FBAR)
    table[0, BASE] = 2
    put_floats(table, bars.view(np.float64).reshape(1, -1), 0, 1, 0.5, 0.25, True)
    assert np.isinf(bars["vwap"][0])
    assert np.isnan(bars["trades"][0])
