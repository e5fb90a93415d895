"""Every baseline over random orders and markets: feasible answers, and runs that sum exactly to the order.

The run below is the engine's in miniature: an answer is projected on what the rates allow, as the
model's specification has it, cut to whole lots, and may be missed in part by the market.
"""

from __future__ import annotations

from dataclasses import replace
from math import floor, isfinite

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.algos.registry import ALGOS, create
from agent.core.market.bars import FBarArray, empty_fbars
from agent.core.market.tape import BAR
from agent.core.types import NS_PER_S, BenchmarkKind, MarketView, OrderView, Side, Slice, TargetKind

BASELINES = [n for n in ALGOS if n != "optimal_stopping"]
MINUTE_NS = 60 * NS_PER_S
START_NS = 20_000 * 86_400 * NS_PER_S + 11 * MINUTE_NS


@st.composite
def orders(draw: st.DrawFn) -> OrderView:
    """Any order with feasible rates, at its start."""
    n = draw(st.integers(1, 30))
    return OrderView(
        side=draw(st.sampled_from(Side)),
        target_kind=draw(st.sampled_from(TargetKind)),
        benchmark=draw(st.sampled_from(BenchmarkKind)),
        t=0,
        m=draw(st.integers(0, n)),
        n=n,
        interval_ns=MINUTE_NS,
        start_ns=START_NS,
        remaining=1.0,
        lot_share=(lot := 1.0 / draw(st.integers(1, 10_000))),
        least_share=lot,
        min_rate=0.0,
        max_rate=draw(st.floats(min(1.0, 1.0 / n + 1e-9), 1.0)),
        achieved_price=float("nan"),
        benchmark_price=float("nan"),
        arrival_price=draw(st.sampled_from([100.0, float("nan")])),
        own_volume_share=0.0,
        expected_participation=draw(st.sampled_from([0.0, 1e-6, 0.05, 0.5, 10.0, float("nan")])),
        risk_aversion=draw(st.floats(0.001, 100.0)),
    )


@st.composite
def histories(draw: st.DrawFn) -> tuple[FBarArray, np.ndarray | None]:
    """Bars before the order (some unknown, some empty) and perhaps klines."""
    count = draw(st.integers(0, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = empty_fbars(count + 30)
    rows["start_ns"] = START_NS + MINUTE_NS * (np.arange(count + 30) - count)
    rows["close"] = 100.0 * np.exp(
        np.cumsum(rng.normal(0, draw(st.sampled_from([0.0, 1e-4, 0.1])), count + 30))
    )
    rows["volume"] = rng.lognormal(0, 2, count + 30) * (rng.random(count + 30) < 0.8)
    rows[rng.random(count + 30) < 0.1] = empty_fbars(1)[0]
    rows["start_ns"] = START_NS + MINUTE_NS * (np.arange(count + 30) - count)
    if draw(st.booleans()):
        return rows, None
    klines = np.zeros(draw(st.sampled_from([0, 1, 50, 300])), dtype=BAR)
    klines["delta_ns"] = 15 * MINUTE_NS
    klines["open_ns"] = (
        START_NS - START_NS % (15 * MINUTE_NS) - 15 * MINUTE_NS * np.arange(klines.size, 0, -1)
    )
    klines["base_lots"] = rng.integers(0, 1_000, klines.size)
    return rows, klines


def market_at(order: OrderView, rows: FBarArray, klines: np.ndarray | None, t: int) -> MarketView:
    """What is known at the start of interval ``t``: bars before it only."""
    now_ns = order.start_ns + t * MINUTE_NS
    past = rows[rows["start_ns"] < now_ns]
    return MarketView(now_ns, MINUTE_NS, past, 100.0, 0.01, klines, lot=0.01)


def assert_feasible(answer: Slice, order: OrderView) -> None:
    assert isfinite(answer.share)
    assert 0.0 <= answer.share <= order.remaining + 1e-12
    assert answer.reason
    if order.t == order.n - 1 or order.finishing:
        assert answer.finish
        assert answer.share == order.remaining
    if answer.finish and not order.finishing:
        assert order.t + 1 >= order.m


def project(answer: Slice, order: OrderView, lots_left: int, lots: int) -> tuple[int, bool]:
    """Return the lots to trade and whether this interval finishes, by the specification's rule."""
    k_left = order.n - order.t - 1
    may = order.t + 1 >= order.m and order.remaining <= order.max_rate + 1e-12
    finishing = order.finishing or k_left == 0 or (answer.finish and may)
    if finishing and order.remaining <= order.max_rate + 1e-12:
        return lots_left, True
    hi = min(order.max_rate * lots, float(lots_left if finishing else lots_left - 1))
    lo = min(hi, max(order.min_rate * lots, lots_left - k_left * order.max_rate * lots))
    return floor(min(hi, max(lo, answer.share * lots)) + 1e-9), finishing


@pytest.mark.parametrize("name", BASELINES)
@settings(max_examples=60, deadline=None)
@given(order=orders(), history=histories(), seed=st.integers(0, 2**32 - 1), misses=st.booleans())
def test_a_run_is_feasible_and_sums_exactly(
    name: str,
    order: OrderView,
    history: tuple[FBarArray, np.ndarray | None],
    seed: int,
    misses: bool,
) -> None:
    """Each answer is a share of what is left; with max rate 1 the run trades every lot by interval n.

    Missed fills (up to all of a slice before the last interval) are made up for by the end.
    """
    algo, rng = create(name), np.random.default_rng(seed)
    lots = round(1.0 / order.lot_share)
    order = replace(order, max_rate=1.0) if misses else order
    if name == "pov":  # else what its rate does not buy expires
        order = replace(order, params={"complete": 1.0})
    left, t, finishing, ended = lots, 0, False, -1
    for t in range(order.n):
        view = replace(order, t=t, remaining=left / lots, finishing=finishing)
        answer = algo.decide(view, market_at(order, *history, t))
        assert_feasible(answer, view)
        traded, finishing = project(answer, view, left, lots)
        if misses and not finishing:
            traded = int(traded * rng.random())
        assert 0 <= traded <= left
        left -= traded
        if finishing and left == 0:
            ended = t
            break
        assert left >= 1  # the last lot waits for the finishing interval
    if order.max_rate == 1.0:
        assert left == 0
        assert order.m <= ended + 1 <= order.n
    else:
        # Slices are whole lots: a rate so tight that rounding bites leaves at most a lot an interval.
        assert left <= order.n


@pytest.mark.parametrize("name", BASELINES)
@settings(max_examples=30, deadline=None)
@given(order=orders(), history=histories(), t=st.integers(0, 29), lots=st.integers(0, 10**12))
def test_a_kline_that_has_not_ended_changes_nothing(
    name: str, order: OrderView, history: tuple[FBarArray, np.ndarray | None], t: int, lots: int
) -> None:
    """Klines still open at the decision, whatever they hold, leave it bit for bit as it was."""
    rows, klines = history
    t %= order.n
    now_ns = order.start_ns + t * MINUTE_NS
    known = np.zeros(0, dtype=BAR) if klines is None else klines
    open_yet = np.zeros(2, dtype=BAR)
    open_yet["open_ns"], open_yet["delta_ns"] = [now_ns - MINUTE_NS + 1, now_ns], MINUTE_NS
    open_yet["base_lots"] = lots
    view, algo = replace(order, t=t, remaining=0.5), create(name)
    answer = algo.decide(view, market_at(order, rows, known, t))
    assert answer == algo.decide(view, market_at(order, rows, np.concatenate([known, open_yet]), t))
