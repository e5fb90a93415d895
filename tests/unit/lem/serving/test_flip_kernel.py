"""What a stored decision says of itself: the bars looked at most, and the move of the price that turns it."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from agent.core.market.features import recent_sigma
from agent.core.types import MarketView, OrderView, Side
from lem.bars.simulate import simulate
from lem.evaluation.evaluation_spec import EvaluationSpec
from lem.network.checkpoint import Checkpoint, load_checkpoint
from lem.network.model_config import SCENARIOS
from lem.serving.explain import explain
from lem.serving.flip_kernel import GRID, flip_z
from lem.serving.policy_kernel import POLICY_COLUMNS, decide
from lem.serving.predictor import Predictor
from lem.serving.weights import CompiledModel
from tests.unit.lem.serving.test_weights import CONFIG, shaken
from tests.unit.lem.worlds import Walk

SPEC = EvaluationSpec(n=12, risk_aversion=0.5, participation=0.02)
TOLERANCE = 0.02  # sigmas


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint()


def views(seed: int, t: int, history: int = 150) -> tuple[OrderView, MarketView]:
    bars = simulate("gaussian-bars", np.random.default_rng(seed), 1, 180, 5e-4, SPEC.delta_ns)[0]
    return Walk(bars, history, SPEC, 0, SCENARIOS[seed % 8]).views(t, [1 / 12] * t)


@pytest.mark.parametrize("seed", range(8))
def test_it_turns_where_the_explanation_flips(checkpoint: Checkpoint, seed: int) -> None:
    """The stored move takes the last price to the flip that ``lem explain`` names, in every scenario."""
    order, market = views(seed, 5)
    answer = Predictor(checkpoint).decide_many([(order, market)])[0]
    found = explain(checkpoint.model, order, market)
    flip = next(f for f in found.flips if "last price" in f.name)
    assert (flip.flips_at is None) == (answer.turns_at_bps is None)
    if answer.turns_at_bps is not None and flip.flips_at is not None:
        sigma = float(recent_sigma(market.bars)[-1])
        moved = float(market.bars["close"][-1]) * (1.0 + 1e-4 * answer.turns_at_bps)
        z = order.side * (moved / order.benchmark_price - 1.0) / sigma
        assert z == pytest.approx(flip.flips_at, abs=TOLERANCE)


def test_the_shipped_model_has_turning_points(checkpoint: Checkpoint) -> None:
    """Of eight scenarios most can be turned by the price alone, so the comparison above is not empty."""
    answers = Predictor(checkpoint).decide_many([views(seed, 5) for seed in range(8)])
    assert sum(a.turns_at_bps is not None for a in answers) > 4


@pytest.mark.parametrize("seed", range(4))
def test_a_turning_point_is_the_nearest_turn(seed: int) -> None:
    """Models and orders at random: finishing differs on its two sides, and no step of the grid is nearer.

    None is named only where the network answers alike at every point of the grid.
    """
    policy, rng = CompiledModel.of(shaken(seed)).policy, np.random.default_rng(seed)
    none, found = 0, 0
    for k in range(60):
        context = rng.normal(0.0, 1.0, CONFIG.hidden).astype(np.float32)
        row = _random_order(rng)

        def finishes(z: float, row: np.ndarray = row, context: np.ndarray = context, k: int = k) -> bool:
            moved = row.copy()
            moved[POLICY_COLUMNS.index("last_z")] = z
            return decide(policy, k % 8, context, moved)[1] > 0.5

        own = float(row[POLICY_COLUMNS.index("last_z")])
        point, grid = flip_z(policy, k % 8, context, row), np.sort([*GRID, own])
        turns = [(a, b) for a, b in pairwise(grid) if finishes(a) != finishes(b)]
        if math.isnan(point):
            assert not turns
            none += 1
            continue
        found += 1
        assert finishes(point - TOLERANCE) != finishes(point + TOLERANCE)
        assert abs(point - own) <= min(max(abs(a - own), abs(b - own)) for a, b in turns)
    assert none > 5
    assert found > 5


def _random_order(rng: np.random.Generator) -> np.ndarray:
    n = float(rng.integers(3, 40))
    t = float(rng.integers(1, int(n) - 1))
    known = {
        "t": t,
        "n": n,
        "m": float(rng.integers(0, int(t) + 1)),
        "last_z": rng.normal(0.0, 2.0),
        "elapsed_volume": t * 2 * rng.random(),
        "sigma_known": 1.0,
        "participation": 0.3 * rng.random(),
        "max_rate": 1.0,
        "risk_aversion": 10 ** rng.uniform(-2, 1),
        "remaining": 1.0 - t / n,
        "achieved_z": rng.normal(0.0, 1.0),
        "own_share": 0.3 * rng.random(),
    }
    return np.array([known.get(name, 0.0) for name in POLICY_COLUMNS])


def test_a_buyer_finishes_on_a_fall_and_a_seller_on_a_rise(checkpoint: Checkpoint) -> None:
    """The sign is that of the price, not of the order: below its benchmark a buyer's window may close."""
    asked = [views(seed, 5) for seed in range(16)]
    answers = zip(asked, Predictor(checkpoint).decide_many(asked), strict=True)
    open_ = [(o.side, a.turns_at_bps) for (o, _), a in answers if not a.finish and a.turns_at_bps is not None]
    assert {side for side, _ in open_} == set(Side)
    assert all(side * move < 0 for side, move in open_)


def test_what_must_or_may_not_finish_turns_nowhere(checkpoint: Checkpoint) -> None:
    """Too early, the last interval, finishing already, too much left, no benchmark yet, no history."""
    order, market = views(1, 5)
    cases = {
        "open": (order, market),
        "too early": (replace(order, m=7), market),
        "last interval": (replace(order, n=6), market),
        "finishing": (replace(order, finishing=True), market),
        "too much left": (replace(order, max_rate=0.5), market),
        "no benchmark": (replace(order, benchmark_price=math.nan), market),
        "not begun": views(1, 0),
        "no history": (order, replace(market, bars=market.bars[:0])),
        "no last price": (order, replace(market, bars=_without_last(market))),
    }
    answers = Predictor(checkpoint).decide_many(list(cases.values()))
    turning = {n for n, a in zip(cases, answers, strict=True) if a.turns_at_bps is not None}
    assert turning == {"open"}


def _without_last(market: MarketView) -> np.ndarray:
    bars = market.bars.copy()
    bars["close"][-1] = np.nan
    return bars


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_bars_looked_at_most_are_the_explanations(checkpoint: Checkpoint, seed: int) -> None:
    """Three ages, heaviest first, with the mean weight over heads that ``lem explain`` gives them."""
    order, market = views(seed, 5)
    looked = Predictor(checkpoint).decide_many([(order, market)])[0].attention
    attention = explain(checkpoint.model, order, market).attention
    assert list(looked.values()) == pytest.approx(sorted(attention, reverse=True)[:3], abs=1e-4)
    assert [attention[age] for age in looked] == pytest.approx(list(looked.values()), abs=1e-4)


def test_attention_is_the_encodings_own(checkpoint: Checkpoint) -> None:
    """A model whose bars matter: each start has its own ages; with one bar it is that bar, with none none."""
    model = Checkpoint(shaken(6), "shaken", Path("none"))
    order, market = views(3, 2)
    short, none = (replace(market, bars=market.bars[-k:] if k else market.bars[:0]) for k in (1, 0))
    one = replace(order, t=0)
    answers = Predictor(model).decide_many([(order, market), (one, market), (one, short), (one, none)])
    seen = [a.attention for a in answers]
    assert seen[0] != seen[1]
    assert all(len(a) == 3 and 0 < sum(a.values()) <= 1.0 + 1e-5 for a in seen[:2])
    assert seen[2] == {0: 1.0}
    assert seen[3] == {}
    assert CONFIG.lookback + order.t > max(seen[0])
