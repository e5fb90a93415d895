"""What is carried from look to look is, to the bit, what it would be if it were made anew.

Trades come in any order of their stamps, as late ones do, before and after the order's start; books and looks
come in between. After each look a series that has taken in the same trades at once, and a benchmark written
out as its definition says, must agree.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from math import nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.instrument import Instrument
from agent.core.market.bars import FBarArray
from agent.core.market.tape import BAR, BarArray
from agent.core.market.trade_bars import BarSeries, BookSample, TradeColumns
from agent.core.measures.running_benchmark import RunningBenchmark
from agent.core.types import BenchmarkKind

LINEAR = Instrument(0, "test", "BTC/USDT", "BTC", "USDT", "USDT", Decimal("0.1"), Decimal("0.001"))
INVERSE = replace(LINEAR, symbol="BTC/USD:BTC", settle="BTC", inverse=True)
DELTA, PHASE, REACH, LAST = 10, 100, 3, 9

Trade = tuple[int, int, int, int]
"""(exch_ns, price_ticks, lots, side)"""

trades = st.tuples(
    st.integers(PHASE - 5 * DELTA, PHASE + (LAST + 2) * DELTA),
    st.integers(90, 110),
    st.integers(1, 9),
    st.sampled_from([1, -1]),
)
samples = st.builds(BookSample, st.integers(0, 99), *[st.integers(1, 50)] * 5)
steps = st.lists(
    st.one_of(
        st.lists(trades, min_size=1, max_size=4),
        st.tuples(st.integers(-2, LAST), samples),
        st.integers(0, LAST),
    ),
    max_size=40,
)


def columns(found: list[Trade]) -> TradeColumns:
    ns, ticks, lots, side = (np.array([t[i] for t in found], np.int64) for i in range(4))
    return TradeColumns(ns, ticks, lots, side.astype(np.int8))


def klines() -> BarArray:
    """Two buckets before the phase, of which the second traded nothing."""
    rows = np.zeros(2, BAR)
    rows["open_ns"], rows["delta_ns"] = [PHASE - 3 * DELTA, PHASE - 2 * DELTA], DELTA
    for name in ("open_ticks", "high_ticks", "low_ticks", "close_ticks"):
        rows[name] = 95
    rows["base_lots"], rows["quote_tl"], rows["trades"] = [4, 0], [380, 0], [2, 0]
    return rows


@dataclass
class Story:
    """A series that is looked at as it grows, and all that it was given."""

    instrument: Instrument
    history: bool
    trades: list[Trade] = field(default_factory=list)
    books: list[tuple[int, BookSample]] = field(default_factory=list)
    views: list[tuple[FBarArray, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.series = self.new()
        self.benchmarks = {kind: RunningBenchmark(self.series, kind) for kind in BenchmarkKind}

    def new(self) -> BarSeries:
        series = BarSeries(self.instrument, DELTA, PHASE, REACH)
        if self.history:
            series.use_klines(klines())
        return series

    def anew(self) -> BarSeries:
        """The same, made at once by somebody who has never looked."""
        series = self.new()
        series.update(columns(self.trades))
        for k, sample in self.books:
            series.note_book(k, sample)
        return series

    def take(self, step: list[Trade] | tuple[int, BookSample] | int) -> None:
        if isinstance(step, list):
            self.trades += step
            self.series.update(columns(self.trades))
        elif isinstance(step, tuple):
            self.books.append(step)
            self.series.note_book(*step)
        else:
            self.look(step)

    def look(self, k: int) -> None:
        """All that a decision in interval ``k`` sees."""
        fresh, view = self.anew(), self.series.view(k)
        assert view.tobytes() == fresh.view(k).tobytes()
        self.views.append((view, view.tobytes()))
        for first, end in ((0, k), (0, LAST + 5), (-REACH, k)):
            lots, values = zip((0, 0), *fresh.traded(first, end), strict=True)
            assert self.series.totals(first, end) == (sum(lots), sum(values))
        for kind, benchmark in self.benchmarks.items():
            assert np.array_equal(benchmark.price_ticks(k), self.benchmark(kind, k), equal_nan=True)

    def benchmark(self, kind: BenchmarkKind, k: int) -> float:
        """As its definition says, from every interval."""
        rows, before = self.anew().prices(0, k)
        prices: list[float] = []
        for lots, value in rows:
            if lots:
                prices.append(float(self.instrument.average_ticks(value, lots)))
            elif prices or before:
                prices.append(prices[-1] if prices else float(before))
        if not prices:
            return nan
        total = 0.0
        for price in prices:
            total += price
        lots = sum(lots for lots, _ in rows)
        if kind is BenchmarkKind.TWAP:
            return total / len(prices)
        value = sum(value for _, value in rows)
        return float(self.instrument.average_ticks(value, lots)) if lots else prices[-1]


@pytest.mark.parametrize("instrument", [LINEAR, INVERSE], ids=["linear", "inverse"])
@settings(deadline=None)
@given(taken=steps, history=st.booleans())
def test_carried_is_made_anew(
    instrument: Instrument, taken: list[list[Trade] | tuple[int, BookSample] | int], history: bool
) -> None:
    """Bars, totals and benchmarks after any trades, books and looks are those of a series never looked at."""
    story = Story(instrument, history)
    for step in taken:
        story.take(step)
    story.look(LAST)
    for view, was in story.views:
        assert view.tobytes() == was, "a view changed after it was given out"


def test_late_trades_beyond_the_first_memory() -> None:
    """Hundreds of intervals, each with a trade of the one before and one of long ago, as from scratch."""
    story = Story(LINEAR, history=True)
    for k in range(300):
        start_ns = PHASE + k * DELTA
        late = [(start_ns - 1, 100 + k % 7, 2, 1), (PHASE + k // 2 * DELTA, 99, 1, -1)]
        story.take([(start_ns + 1, 100 + k % 11, 3, 1), *(late if k % 3 else [])])
        if k % 40 == 39:
            story.look(k)
        else:
            story.series.view(k)
            story.benchmarks[BenchmarkKind.TWAP].price_ticks(k)
    story.look(300)


def test_a_view_cannot_be_written_to() -> None:
    """It shares its memory with later ones."""
    story = Story(LINEAR, history=False)
    story.take([(PHASE + 1, 100, 1, 1)])
    with pytest.raises(ValueError, match="read-only"):
        story.series.view(1)["close"][0] = 1.0
