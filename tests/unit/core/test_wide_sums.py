"""Sums of money past 64 bits: of buckets, windows, prints, mids and books, against Python's integers."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.core.arrays import IntArray
from agent.core.errors import SessionError
from agent.core.instrument import Instrument
from agent.core.market.ladder import MOST_SHOWN, lots_within, new_ladders, put_level
from agent.core.market.mids import MidTrack
from agent.core.market.tape import BAR
from agent.core.market.trade_bars import BarSeries, TradeColumns
from agent.core.measures.data_faults import DataFaults, Fault
from agent.core.measures.traded_volume import Prints, participation
from agent.core.money import MOST_TL, all_fit, as_array, exact_sum, fits, running_sum, sums_from, values_tl
from agent.core.types import NS_PER_S
from agent.preflight.volume_forecast import expected_lots

DELTA_NS = 10 * NS_PER_S
FINE = Instrument(0, "x", "A/B", "A", "B", "B", Decimal("1e-7"), Decimal("1e-8"))
COIN = Instrument(
    0, "x", "A/B:A", "A", "B", "A", Decimal("0.1"), Decimal(1), multiplier=Decimal(100), inverse=True
)
WHOLE = st.integers(0, MOST_TL)
Trades = list[tuple[int, int, int, int]]
"""(bucket, ticks, lots, side) of each."""


@st.composite
def _trades(draw: st.DrawFn) -> Trades:
    """Up to the bound each, so that a few of them are past 64 bits."""
    found = []
    for _ in range(draw(st.integers(1, 12))):
        lots = draw(st.integers(1, 62).flatmap(lambda bits: st.integers(1, 2**bits)))
        ticks = draw(st.sampled_from([1, MOST_TL // lots, max(1, MOST_TL // lots // 3)]))
        found.append((draw(st.integers(-2, 3)), ticks, lots, draw(st.sampled_from([1, -1]))))
    return found


def _columns(trades: Trades) -> TradeColumns:
    stamped = [(k * DELTA_NS + i, t, q, s) for i, (k, t, q, s) in enumerate(trades)]
    ns, ticks, lots, side = zip(*stamped, strict=True)
    as_ints = (np.array(column, np.int64) for column in (ns, ticks, lots))
    return TradeColumns(*as_ints, np.array(side, np.int8))


@example([(0, 1, MOST_TL, 1)] * 12, [12])
@example([(0, MOST_TL, 1, 1), (0, 1, MOST_TL // 2, -1), (1, MOST_TL // 7, 7, 1)] * 4, [1, 5])
@given(_trades(), st.lists(st.integers(0, 12), max_size=3))
@settings(deadline=None)
def test_buckets_and_windows_are_exact(trades: Trades, cuts: list[int]) -> None:
    """However the trades come in batches: lots, money and averages are Python's."""
    series, columns = BarSeries(FINE, DELTA_NS, 0, 2), _columns(trades)
    for end in sorted({min(cut, len(trades)) for cut in cuts} | {len(trades)}):
        series.update(TradeColumns(*(column[:end] for column in columns[:4])))  # type: ignore[arg-type]
        series.totals(-2, 4)
    by_bucket = [[(t, q, s) for k, t, q, s in trades if k == bucket] for bucket in range(-2, 4)]
    right = [(sum(q for _, q, _ in each), sum(t * q for t, q, _ in each)) for each in by_bucket]
    assert series.traded(-2, 4) == right
    assert series.totals(-2, 4) == tuple(map(sum, zip(*right, strict=True)))
    bars = series.view(4)[-6:] if len(series.view(4)) >= 6 else series.view(4)
    for (lots, money), each, bar in zip(right[::-1], by_bucket[::-1], bars[::-1], strict=False):
        assert bar["volume"] == pytest.approx(lots * 1e-8, rel=1e-12)
        assert bar["quote_volume"] == pytest.approx(money * 1e-15, rel=1e-12)
        assert bar["taker_volume"] == pytest.approx(sum(q for _, q, s in each if s > 0) * 1e-8, rel=1e-12)
        if lots:
            assert bar["vwap"] == pytest.approx(float(Fraction(money, lots)) * 1e-7, rel=1e-12)


def test_klines_of_one_bucket_may_be_past_64_bits() -> None:
    """Six bars of nearly the bound each, in one bucket."""
    rows = np.zeros(6, BAR)
    rows["open_ns"], rows["delta_ns"] = np.arange(6) * DELTA_NS - 6 * DELTA_NS, DELTA_NS
    rows["base_lots"], rows["quote_tl"], rows["taker_base_lots"] = MOST_TL // 3, MOST_TL - 5, MOST_TL // 4
    series = BarSeries(FINE, 6 * DELTA_NS, 0, 1)
    series.use_klines(rows)
    assert series.traded(-1, 0) == [(6 * (MOST_TL // 3), 6 * (MOST_TL - 5))]
    assert series.view(0)["taker_volume"][0] == pytest.approx(6 * (MOST_TL // 4) * 1e-8, rel=1e-12)


def test_a_trade_beyond_the_bound_is_named() -> None:
    """It would wrap: the session is refused with its price, size and what can be counted."""
    series = BarSeries(FINE, DELTA_NS, 0, 2)
    with pytest.raises(
        SessionError, match=r"a trade of 10000000 A of A/B at 0\.1000000 .* 4611\.68\S* B that can"
    ):
        series.update(_columns([(0, 10**6, 10**15, 1)]))
    with pytest.raises(SessionError, match="more than"):
        BarSeries(COIN, DELTA_NS, 0, 2).update(_columns([(0, 1, MOST_TL // 10**14, 1)]))


@given(st.integers(1, MOST_TL), st.integers(0, MOST_TL), st.booleans())
@settings(deadline=None)
def test_what_fits_is_told_in_floats_and_right(ticks: int, lots: int, inverse: bool) -> None:
    """Within a part in 2^50 of the bound it may be told either way, and then it still fits 64 bits."""
    told = bool(fits(ticks, lots, inverse))
    pair = np.array([ticks], np.int64), np.array([lots], np.int64)
    assert told == bool(all_fit(*pair, inverse=inverse)[0])
    value = Fraction(lots * 10**15, ticks) if inverse else lots * ticks
    assert value < 2**63 if told else (inverse or value > MOST_TL * (1 - 2**-50))


def test_values_that_do_not_fit_are_pythons() -> None:
    """Inspecting a tape that was recorded with too fine a lot gives right sums all the same."""
    ticks, lots = np.array([2**40, 3, 5], np.int64), np.array([2**40, 7, 2**61], np.int64)
    values = values_tl(ticks, lots, inverse=False)
    assert values.tolist() == [2**80, 21, 5 * 2**61]
    assert exact_sum(values) == 2**80 + 21 + 5 * 2**61


@given(st.lists(WHOLE, min_size=1, max_size=40), st.data())
def test_sums_of_columns_are_exact(values: list[int], data: st.DataObject) -> None:
    """All of them, up to each, and of runs."""
    column = np.array(values, np.int64)
    starts = sorted(data.draw(st.sets(st.integers(0, len(values) - 1), max_size=5)) | {0})
    ends = [*starts[1:], len(values)]
    assert exact_sum(column) == sum(values)
    assert running_sum(column).tolist() == [sum(values[: k + 1]) for k in range(len(values))]
    right = [sum(values[a:b]) for a, b in zip(starts, ends, strict=True)]
    assert sums_from(column, np.array(starts)).tolist() == right
    assert as_array([v * v for v in values]).tolist() == [v * v for v in values]


@example([(0, 1, MOST_TL, 1), *[(1, MOST_TL // 2, 2, 1)] * 6, *[(2, 1, MOST_TL, 1)] * 6], 2 * MOST_TL)
@given(_trades(), st.integers(1, 10**18))
@settings(deadline=None)
def test_the_participation_price_is_exact(trades: Trades, filled: int) -> None:
    """Over prints whose sums are past 64 bits."""
    columns = _columns(sorted(trades))
    prints = Prints(
        columns.exch_ns, columns.qty_lots, values_tl(columns.price_ticks, columns.qty_lots, inverse=False)
    )
    found = participation(prints, filled, Fraction(1, 3), inverse=False)
    left, money = Fraction(filled * 3), Fraction(0)
    for _, ticks, lots, _ in sorted(trades):
        part = min(left, Fraction(lots))
        left, money = left - part, money + part * ticks
    assert found.traded_lots == sum(t[2] for t in trades)
    assert found.price_ticks == (None if left else money / (filled * 3))


@given(st.lists(st.tuples(st.integers(1, 10**17), st.integers(0, 2**54)), min_size=2, max_size=8))
def test_the_mean_mid_is_exact(steps: list[tuple[int, int]]) -> None:
    """Days of a price that moves by trillions of ticks."""
    at_ns = np.cumsum(np.array([ns for ns, _ in steps], np.int64))
    mids = np.array([mid for _, mid in steps], np.int64)
    mean = MidTrack(at_ns, mids, int(at_ns[-1])).mean(int(at_ns[0]), int(at_ns[-1]))
    lasted = [(int(at_ns[k + 1] - at_ns[k]), int(mids[k])) for k in range(len(steps) - 1)]
    known = sum(ns for ns, mid in lasted if mid)
    assert mean == (Fraction(sum(ns * mid for ns, mid in lasted), known) if known else None)


def test_a_book_deeper_than_64_bits_has_a_depth() -> None:
    """Two hundred levels of the bound: as many lots as are told apart, and not fewer than none."""
    book = new_ladders(1, 512)
    for k in range(200):
        put_level(book, 0, 1000 + k, MOST_TL)
    assert lots_within(book, 0, 1000) == MOST_SHOWN
    assert lots_within(book, 0, 2000) == 0


def test_volume_past_64_bits_is_expected() -> None:
    """A minute's klines and trades of the bound each."""
    klines = np.zeros(4, BAR)
    klines["open_ns"], klines["delta_ns"], klines["base_lots"] = np.arange(4) * DELTA_NS, DELTA_NS, MOST_TL
    trades = np.arange(4, 6) * DELTA_NS, np.full(2, MOST_TL, np.int64)
    expected = expected_lots(klines, *trades, 6 * DELTA_NS, DELTA_NS)
    assert expected == pytest.approx(MOST_TL, rel=1e-12)


def test_late_lots_past_64_bits_have_a_share() -> None:
    """Eight late trades of the bound, of sixteen in all."""
    late: IntArray = np.array([[k, k + 5, MOST_TL] for k in range(8)], np.int64)
    faults = DataFaults()
    faults.late(late)
    assert faults.shares(0, 20, lambda a, b: 16 * MOST_TL) == {Fault.LATE_TRADES.value: 0.5}
