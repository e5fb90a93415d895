"""Views as numbers: gaps and times of bars, slices projected as everywhere, scenarios in their places."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from agent.core.market.bars import FBarArray
from agent.core.orders.projection import project
from lem.bars.simulate import simulate
from lem.evaluation.evaluation_spec import EvaluationSpec
from lem.network.checkpoint import load_checkpoint
from lem.network.model_config import SCENARIOS
from lem.serving.decision_inputs import market_inputs, since_gap
from lem.serving.policy_kernel import VIEW_COLUMNS, elapsed_volume, project_all
from lem.serving.predictor import Predictor, _scenario
from tests.unit.lem.worlds import Walk

SPEC = EvaluationSpec(n=10, participation=0.05)
DELTA = SPEC.delta_ns
ROWS = 200


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(load_checkpoint())


def bars() -> FBarArray:
    return simulate("seasonal", np.random.default_rng(3), 1, ROWS, 5e-4, DELTA)[0]


def without_time(rows: slice) -> FBarArray:
    out = bars()
    out["start_ns"][rows] = 0
    return out


def moved(row: int, by: int) -> FBarArray:
    """Bars from ``row`` on begin ``by`` ns later."""
    out = bars()
    out["start_ns"][row:] += by
    return out


@pytest.mark.parametrize(
    ("series", "first"),
    [
        (bars(), 0),
        (without_time(slice(None)), 0),  # no times at all: neighbours by their place
        (without_time(slice(40, 60)), 0),  # unknown for a while, and what follows fits
        (without_time(slice(0, 40)), 0),
        (without_time(slice(150, None)), 0),
        (moved(50, DELTA), 50),  # a bar is missing
        (moved(50, 1), 50),  # another grid
        (moved(50, -DELTA), 50),  # a time twice
        (moved(50, -10 * DELTA), 50),  # back in time
        (np.concatenate([moved(50, DELTA)[:120], moved(50, 9 * DELTA)[120:]]), 120),  # the last of two counts
        (bars()[:1], 0),
        (bars()[:0], 0),
    ],
)
def test_where_history_begins(series: FBarArray, first: int) -> None:
    """After the last place where a dated bar is not where the dated one before it says."""
    assert since_gap(series, DELTA) == first
    assert since_gap(np.concatenate([bars()[:0], series]), DELTA) == first


def test_times_unknown_across_a_hole_hide_no_gap() -> None:
    """Ten undated bars where twelve intervals passed: history begins at the first dated bar after them."""
    series = moved(60, 2 * DELTA)
    series["start_ns"][50:60] = 0
    assert since_gap(series, DELTA) == 60


@pytest.mark.parametrize("gap", [1, 37, 100, 196])
def test_bars_before_a_gap_are_not_used(predictor: Predictor, gap: int) -> None:
    """Whatever stands before a gap, the decision is that of the bars after it alone, and it says so."""
    order, market = Walk(moved(ROWS - gap, 5 * DELTA), ROWS - 3, SPEC, 0, SCENARIOS[0]).views(3, [0.1] * 3)
    answer = predictor.decide_many([(order, market)])[0]
    alone = predictor.decide_many([(order, replace(market, bars=market.bars[-gap:]))])[0]
    assert answer.reason == alone.reason + " since a gap"
    assert answer.history_bars == min(gap, predictor.lookback + 3)
    assert replace(answer, reason="") == replace(alone, reason="")
    spoilt = market.bars.copy()
    for name in ("close", "vwap", "volume"):
        spoilt[name][:-gap] = 12.3
    assert predictor.decide_many([(order, replace(market, bars=spoilt))])[0] == answer


def test_a_gap_that_comes_later_starts_the_stream_again(predictor: Predictor) -> None:
    """Bar by bar across a gap: each decision is a fresh predictor's; history starts at 1 and grows."""
    walk = Walk(moved(ROWS - 4, DELTA), ROWS - 8, SPEC, 0, SCENARIOS[2])
    histories = []
    for t in range(8):
        request = walk.views(t, [0.05] * t)
        answer = predictor.decide_many([request])[0]
        assert answer == Predictor(predictor.checkpoint).decide_many([request])[0]
        histories.append(answer.history_bars)
    assert histories == [120, 121, 122, 123, 124, 1, 2, 3]


def test_unknown_times_leave_only_the_time_features_out(predictor: Predictor) -> None:
    """Bars without start_ns are as much history; the features of the clock are absent."""
    walk = Walk(without_time(slice(None)), ROWS - 3, SPEC, 0, SCENARIOS[0])
    order, market = walk.views(3, [0.1] * 3)
    answer = predictor.decide_many([(order, market)])[0]
    assert answer.history_bars == 123
    assert not {"day_sin", "day_cos", "week_sin", "week_cos"} & set(answer.importances)
    assert "since a gap" not in answer.reason


def test_volatility_is_that_since_the_gap() -> None:
    """A jump across the gap is no return."""
    series = moved(150, DELTA)
    series["close"][:150] *= 2.0
    _, market = Walk(series, ROWS - 2, SPEC, 0, SCENARIOS[0]).views(0, [])
    assert market_inputs(market).sigma < 2e-3
    assert market_inputs(market).gap


def test_compiled_slices_are_projected_like_all_others() -> None:
    """Random, extreme and senseless wishes: the share and the finish of ``agent.core.orders.projection``."""
    rng = np.random.default_rng(1)
    count = 4_000
    facts, answers = rng.random((count, len(VIEW_COLUMNS))), rng.random((count, 2))
    n = rng.integers(1, 20, count)
    facts[:, 3], facts[:, 1] = n, rng.integers(0, 2**31, count) % (n + 2)
    facts[:, 2] = rng.integers(0, 2**31, count) % (n + 1)
    facts[:, 14] = rng.random(count) < 0.1
    facts[rng.random(count) < 0.1, 4] = 0.0
    answers[rng.random(count) < 0.1, 0] = rng.choice([0.0, 1.0, np.nan, np.inf])
    shares, finishes = np.empty(count), np.empty(count, np.bool_)
    project_all(answers, facts, shares, finishes)
    names = {name: k for k, name in enumerate(VIEW_COLUMNS)}
    for i in range(count):
        fact = {name: float(facts[i, k]) for name, k in names.items()}
        t, m, last = int(fact["t"]), int(fact["m"]), int(fact["n"])
        wanted, chance = float(answers[i, 0]) * fact["remaining"], answers[i, 1]
        share, finish = project(
            wanted,
            bool(fact["finishing"]) or chance > 0.5,
            fact["remaining"],
            last - 1 - t,
            m,
            t,
            fact["min_rate"],
            fact["max_rate"],
            fact["least_share"],
        )
        assert (shares[i], finishes[i]) == (share, finish)


def test_scenarios_are_at_their_places() -> None:
    """An order's network is the one of its side, target and benchmark."""
    for k, scenario in enumerate(SCENARIOS):
        order, _ = Walk(bars(), 50, SPEC, 0, scenario).views(0, [])
        assert _scenario(order) == k
    assert math.prod(len({s[i] for s in SCENARIOS}) for i in range(3)) == len(SCENARIOS) == 8


@pytest.mark.parametrize("rows", [0, 1, 5, 8, 31, 33, 60])
def test_elapsed_volume_is_in_units_of_the_mean_before(rows: int) -> None:
    """Volume of the last t bars over the mean of up to 32 bars before them, NumPy's mean to the bit."""
    volume = np.random.default_rng(rows).lognormal(1.0, 1.0, rows)
    volumes = np.concatenate([[0.0], volume.cumsum()])
    for t in range(-1, rows + 3):
        own = min(max(t, 0), rows)
        total = volumes[rows] - volumes[rows - own]
        before = volume[max(0, rows - own - 32) : rows - own]
        usual = before.mean() if len(before) else volume[-own] if own else 1.0
        assert elapsed_volume(volume, volumes, t) == (total / usual if own else 0.0)
