"""The predictor: the evaluation's decisions, bit-stable in company, and never at a loss for an answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from agent.algos.optimal_stopping import OptimalStopping
from agent.core.market.bars import empty_fbars
from lem.bars.simulate import simulate
from lem.evaluation.evaluation_spec import EvaluationSpec
from lem.evaluation.paths import Outcome, Paths, policy_paths, realise
from lem.network.checkpoint import Checkpoint, fresh_model
from lem.network.model_config import SCENARIOS
from lem.network.objective import scenario_columns
from lem.serving.predictor import LemAlgo, Predictor
from tests.unit.lem.worlds import Walk

SPEC = EvaluationSpec(n=10, min_periods=(0, 5), participation=0.08)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.load()


def walk(history: int = 40, seed: int = 5, scenario: int = 0, market: str = "seasonal") -> Walk:
    bars = simulate(market, np.random.default_rng(seed), 1, history + SPEC.n, 5e-4, SPEC.delta_ns)
    return Walk(bars[0], history, SPEC, 0, SCENARIOS[scenario])


@pytest.mark.parametrize("history", [3, 40, 200])
def test_evaluation_and_predictor_decide_alike(predictor: Predictor, history: int) -> None:
    """The same bars through the evaluation's path and through the predictor: equal to 1e-5."""
    bars = simulate("stochastic-vol", np.random.default_rng(9), 2, history + SPEC.n, 5e-4, SPEC.delta_ns)
    paths = Paths(bars, np.zeros(2, np.int64), history)
    rollout, _ = policy_paths(predictor.checkpoint.model, paths, SPEC)
    for s, scenario in enumerate(SCENARIOS):
        for i in range(2):
            for j, m in enumerate(SPEC.min_periods):
                row = i * len(SPEC.min_periods) + j
                answers = Walk(bars[i], history, SPEC, m, scenario).decisions(predictor)
                for t, answer in enumerate(answers):
                    expected = rollout.remaining if answer.finish else rollout.share
                    assert answer.share == pytest.approx(float(expected[s, row, t]), abs=1e-5)
                    hazard = float(rollout.hazard[s, row, t])
                    assert answer.finish == (hazard > 0.5)
                    if 0.0 < hazard < 1.0:
                        assert answer.finish_probability == pytest.approx(hazard, abs=1e-5)


def test_neighbours_change_nothing(predictor: Predictor) -> None:
    """A request alone, in company and in another order gives identical answers, bit for bit."""
    requests = [
        walk(history=1 + 10 * k, seed=k, scenario=k % 8).views(4, [0.1, 0.1, 0.05, 0.1]) for k in range(12)
    ]
    together = Predictor(predictor.checkpoint).decide_many(requests)
    alone = [Predictor(predictor.checkpoint).decide_many([r])[0] for r in requests]
    backwards = Predictor(predictor.checkpoint).decide_many(requests[::-1])[::-1]
    assert together == alone == backwards


def test_the_next_decision_of_an_order_beside_it_changes_nothing(predictor: Predictor) -> None:
    """Two decisions of one order in one call share a stream: shares, history and importances as if alone."""
    requests = [walk().views(t, [0.1] * t) for t in (3, 4)]
    together = Predictor(predictor.checkpoint).decide_many(requests)
    assert together == [Predictor(predictor.checkpoint).decide_many([r])[0] for r in requests]


def test_views_of_the_same_bars_share_a_context(predictor: Predictor) -> None:
    """Two orders, each with a view of its own of one series, are one context; other bars are another."""
    order, market = walk().views(4, [0.1] * 4)
    requests = [(order, market), (order, replace(market)), (order, replace(market, bars=market.bars[1:]))]
    assert predictor._contexts(requests).which.tolist() == [0, 0, 1]


def test_older_bars_than_needed_change_nothing(predictor: Predictor) -> None:
    """More than lookback + FEATURE_SPAN bars before the start give the same decision."""
    long = walk(history=400)
    order, market = long.views(2, [0.1, 0.1])
    short = replace(market, bars=market.bars[-(predictor.bars_needed + 2) :])
    assert predictor.decide_many([(order, market)]) == predictor.decide_many([(order, short)])


def test_missing_history_is_not_refused(predictor: Predictor) -> None:
    """No bar, one bar, unknown bars, a book for some: an answer within what is left, and it says so."""
    order, market = walk().views(0, [])
    assert predictor.decide_many([(order, market)])[0].history_bars == 40
    for bars in (market.bars[:0], market.bars[-1:], empty_fbars(5)):
        answer = predictor.decide_many([(order, replace(market, bars=bars))])[0]
        assert 0.0 <= answer.share <= 1.0
        assert answer.history_bars == len(bars)
        assert f"{len(bars)} bars of history" in answer.reason
    late, _ = walk().views(6, [0.1] * 6)
    assert (
        0.0 <= predictor.decide_many([(late, replace(market, bars=market.bars[:0]))])[0].share <= 0.4 + 1e-9
    )


def test_a_decision_says_what_it_rests_on(predictor: Predictor) -> None:
    """Model digest, odds of finishing, main features and a reason in words."""
    answer = LemAlgo(predictor).decide(*walk().views(3, [0.1, 0.1, 0.1]))
    assert answer.model == predictor.digest
    assert answer.finish_probability is not None
    assert 0.0 <= answer.finish_probability <= 1.0
    assert 0 < len(answer.importances) <= 5
    assert 0.0 < sum(answer.importances.values()) <= 1.0 + 1e-5
    assert "sigma" in answer.reason


def outcome(predictor: Predictor, spec: EvaluationSpec) -> tuple[np.ndarray, Outcome]:
    """Unfinished shares [8, N, n] of the shipped model on fixed paths, and what it realises there.

    Impact is charged for a fifth of the market's volume, whatever the model was told.
    """
    bars = simulate("gaussian-bars", np.random.default_rng(2), 200, 40 + spec.n, 1e-3, spec.delta_ns)
    paths = Paths(bars, np.zeros(200, np.int64), 40)
    rollout, orders = policy_paths(predictor.checkpoint.model, paths, replace(spec, min_periods=(0,)))
    side = scenario_columns(orders.price)[0]
    return rollout.share.numpy(), realise(rollout, orders, side, 0.2)


def test_allocations_change_with_risk_aversion(predictor: Predictor) -> None:
    """The order's own risk aversion moves what the shipped model trades, and when it is afraid it risks less.

    Risk is what the objective says it is: the mean square of costs, gains not counted.
    """
    calm, calm_outcome = outcome(predictor, replace(SPEC, risk_aversion=0.05))
    afraid, afraid_outcome = outcome(predictor, replace(SPEC, risk_aversion=10.0))
    assert np.abs(calm - afraid).mean() > 2e-3
    risks = [np.mean(np.minimum(o.gain - o.impact, 0.0) ** 2) for o in (calm_outcome, afraid_outcome)]
    assert risks[1] < risks[0]


def test_allocations_change_with_participation(predictor: Predictor) -> None:
    """Told that it is a fifth of the market's volume, an order is traded differently and pays less impact."""
    small, unaware = outcome(predictor, replace(SPEC, participation=0.0))
    large, aware = outcome(predictor, replace(SPEC, participation=0.2))
    assert np.abs(small - large).mean() > 5e-3
    assert aware.impact.mean() < unaware.impact.mean()
    assert (aware.gain - aware.impact).mean() > (unaware.gain - unaware.impact).mean()


@pytest.mark.parametrize("layer", ["hidden", "out_bias"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_an_answer_that_is_not_finite_is_left_to_the_rule(
    predictor: Predictor, layer: str, value: float
) -> None:
    """With weights that are not finite: the optimal stopping rule decides, and the slice says so."""
    model = fresh_model(predictor.checkpoint.model.config, 1)
    with torch.no_grad():
        getattr(model.policy, layer)[:, 0, 0] = value
    broken = Predictor(Checkpoint(model, "broken", predictor.checkpoint.path))
    order, market = walk().views(3, [0.1, 0.1, 0.1])
    answer = broken.decide_many([(order, market)])[0]
    rule = OptimalStopping().decide(order, market)
    assert (answer.share, answer.finish) == (rule.share, rule.finish)
    assert "not finite, so the rule decides" in answer.reason
    assert answer.model == "broken"


def test_bars_of_nonsense_leave_a_feasible_answer(predictor: Predictor) -> None:
    """The newest bars NaN, infinite or negative: still a share within bounds."""
    order, market = walk().views(3, [0.1, 0.1, 0.1])
    for nonsense in (np.nan, np.inf, -1.0):
        bars = market.bars.copy()
        for name in ("close", "vwap", "volume", "high"):
            bars[name][-4:] = nonsense
        answer = predictor.decide_many([(order, replace(market, bars=bars))])[0]
        assert 0.0 <= answer.share <= order.remaining
