"""Explanations are statements about the model: each is held against the model itself."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from agent.core.types import MarketView, OrderView, Slice
from lem.bars.simulate import simulate
from lem.evaluation.evaluation_spec import EvaluationSpec
from lem.network.checkpoint import Checkpoint, load_checkpoint
from lem.network.model_config import SCENARIOS
from lem.page.explanation_page import explanation_page
from lem.serving.explain import Explanation, explain
from lem.serving.predictor import Predictor
from tests.page_checks import check_numbers, check_page
from tests.unit.lem.worlds import Walk

SPEC = EvaluationSpec(n=12, risk_aversion=0.5, participation=0.02)


@cache
def shipped() -> Checkpoint:
    return load_checkpoint()


@pytest.fixture
def checkpoint() -> Checkpoint:
    return shipped()


def walk(seed: int) -> Walk:
    bars = simulate("gaussian-bars", np.random.default_rng(seed), 1, 180, 5e-4, SPEC.delta_ns)[0]
    return Walk(bars, 150, SPEC, 0, SCENARIOS[seed % 8])


@cache
def explained(seed: int, t: int = 4) -> tuple[Explanation, Walk]:
    """Made once: an explanation asks the network some 700 times."""
    one = walk(seed)
    return explain(shipped().model, *one.views(t, [1 / 12] * t)), one


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_explains_the_decision_that_is_taken(checkpoint: Checkpoint, seed: int) -> None:
    """Share and probability are the predictor's own, weights and attention sum to one."""
    found, one = explained(seed)
    taken = Predictor(checkpoint).decide_many([one.views(4, [1 / 12] * 4)])[0]
    assert found.finish_probability == pytest.approx(taken.finish_probability, abs=2e-3)
    if not taken.finish:
        assert found.share == pytest.approx(taken.share, abs=2e-3)
    assert sum(f.weight for f in found.features) == pytest.approx(1.0, abs=1e-5)
    assert sum(f.mean_weight for f in found.features) == pytest.approx(1.0, abs=1e-5)
    assert sum(found.attention) == pytest.approx(1.0, abs=1e-5)


def test_history_before_a_gap_is_not_looked_at(checkpoint: Checkpoint) -> None:
    """As the predictor begins anew after a gap, so does the explanation of what it decided."""
    one = walk(2)
    order, market = one.views(4, [1 / 12] * 4)
    bars = market.bars.copy()
    bars["start_ns"] = SPEC.delta_ns * (1 + np.arange(len(bars)) + 5 * (np.arange(len(bars)) >= 80))
    gapped = replace(market, bars=bars)
    found = explain(checkpoint.model, order, gapped)
    assert len(found.attention) == len(bars) - 80
    taken = Predictor(checkpoint).decide_many([(order, gapped)])[0]
    assert found.finish_probability == pytest.approx(taken.finish_probability, abs=2e-3)


@pytest.mark.slow
def test_a_flip_is_where_the_decision_turns(checkpoint: Checkpoint) -> None:
    """On one side of the value named the model finishes, on the other it goes on."""
    tried = 0
    predictor = Predictor(checkpoint)

    def take(orders: list[OrderView], market: MarketView) -> list[Slice]:
        return predictor.decide_many([(order, market) for order in orders])

    for seed in range(1, 7):
        found, one = explained(seed, 7)
        order, market = one.views(7, [1 / 12] * 7)
        for name, field in (("remaining share", "remaining"), ("risk aversion", "risk_aversion")):
            flip = next(f for f in found.flips if f.name == name)
            if flip.flips_at is None:
                continue
            step = 1e-3 * (flip.high - flip.low)
            ends = [replace(order, **{field: flip.flips_at + side * step}) for side in (-1.0, 1.0)]
            one_side, other = (decided.finish_probability for decided in take(ends, market))
            assert (one_side > 0.5) != (other > 0.5), (seed, name)
            tried += 1
    assert tried > 0


@pytest.mark.parametrize("seed", [1, 2])
def test_a_price_far_enough_below_finishes(checkpoint: Checkpoint, seed: int) -> None:
    """There is a last price at which the order would finish, and on the martingale it is a better one."""
    found, _ = explained(seed, 7)
    flip = next(f for f in found.flips if "last price" in f.name)
    assert flip.flips_at is not None
    assert -4.0 < flip.flips_at < 1.0


def test_without_bars_there_is_nothing_to_explain(checkpoint: Checkpoint) -> None:
    """An empty window is refused."""
    order, market = walk(1).views(0, [])
    with pytest.raises(ValueError, match="no bars"):
        explain(checkpoint.model, order, replace(market, bars=market.bars[:0]))


def test_the_command_refuses_a_session_without_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    """The golden session was traded by a schedule: one message, exit code 2."""
    from lem.cli import main

    golden = Path(__file__).parents[3] / "data" / "small-session"
    with pytest.raises(SystemExit) as stop:
        main(["explain", str(golden)])
    assert stop.value.code == 2
    assert "holds no decision by the model" in capsys.readouterr().err


def test_weights_by_age_are_the_selection_weights(checkpoint: Checkpoint) -> None:
    """At every bar they add up to one; the newest is the weight named, and their mean the mean weight."""
    found, one = explained(1)
    table = np.array([f.weights for f in found.features])
    np.testing.assert_allclose(table.sum(0), 1.0, atol=1e-4)
    np.testing.assert_allclose(table[:, 0], [f.weight for f in found.features], atol=1e-6)
    np.testing.assert_allclose(table.mean(1), [f.mean_weight for f in found.features], atol=1e-6)
    _, market = one.views(4, [1 / 12] * 4)
    assert len(found.closes) == len(found.attention) == table.shape[1]
    assert found.closes[:3] == tuple(market.bars["close"][::-1][:3])


@pytest.mark.parametrize("seed", [1, 2])
def test_the_page_says_what_the_explanation_says(checkpoint: Checkpoint, seed: int) -> None:
    """Well-formed, alone, deterministic; every number is the document's, and every input is named."""
    found, _ = explained(seed, 7)
    document = json.loads(json.dumps({"decision": "x/7", "interval": 7, "digest": "d"} | found.to_json()))
    text = explanation_page(document)
    assert text == explanation_page(document)
    root = check_page(text, document)
    assert check_numbers(root, document) > 4 * len(found.features)
    assert len(list(root.iter("figure"))) == 4
    words = "".join(root.itertext())
    assert all(flip.name in words for flip in found.flips)
    assert ("It finishes" in words) == (found.may_finish and found.finish_probability > 0.5)


def test_a_page_of_a_model_without_attention(checkpoint: Checkpoint) -> None:
    """What a model does not have is left out."""
    found, _ = explained(1)
    document = json.loads(json.dumps(found.to_json())) | {
        "attention": [0.0] * len(found.attention),
        "flips": [],
    }
    root = check_page(explanation_page(document), document)
    assert {e.get("id") for e in root.iter("figure")} == {"figure-closes", "figure-weights"}
