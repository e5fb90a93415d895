"""No look-ahead: bars from interval t on may be anything, decision t is the same to the bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from agent.core.market.bars import FBarArray
from lem.bars.simulate import simulate
from lem.evaluation.evaluation_spec import EvaluationSpec
from lem.evaluation.paths import Paths, policy_paths
from lem.network.checkpoint import load_checkpoint
from lem.network.model_config import SCENARIOS
from lem.serving.predictor import Predictor
from tests.unit.lem.worlds import Walk

GARBAGE = (float("nan"), float("inf"), -3.0, 1e12)
N = 8
HISTORY = 20
SPEC = EvaluationSpec(n=N, min_periods=(0, 3, N), participation=0.1)


def spoil(bars: FBarArray, first: int, garbage: float) -> FBarArray:
    """Replace every bar from row ``first`` on."""
    spoilt = bars.copy()
    for name in bars.dtype.names or ():
        spoilt[name][..., first:] = 0 if name == "start_ns" else garbage
    return spoilt


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("history", [HISTORY, 0])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_training_path(garbage: float, history: int) -> None:
    """Encoder, order state and rollout over many orders, as in training and evaluation; all scenarios."""
    model = load_checkpoint().model
    bars = simulate("stochastic-vol", np.random.default_rng(3), 4, history + N, 1e-3, SPEC.delta_ns)
    paths = Paths(bars, np.zeros(4, np.int64), history)
    clean, _ = policy_paths(model, paths, SPEC)
    for t in range(N):
        dirty, _ = policy_paths(model, replace(paths, bars=spoil(bars, history + t, garbage)), SPEC)
        for name in ("share", "hazard", "remaining"):
            before, after = getattr(clean, name)[..., : t + 1], getattr(dirty, name)[..., : t + 1]
            assert torch.equal(before, after), (name, t)


@pytest.mark.parametrize("garbage", GARBAGE)
def test_predictor_path(garbage: float) -> None:
    """A window padded with bars yet to come gives the bits of the window that ends in time."""
    predictor = Predictor.load()
    bars = simulate("gaussian-bars", np.random.default_rng(4), 1, HISTORY + N, 1e-3, SPEC.delta_ns)[0]
    for scenario in SCENARIOS:
        walk = Walk(bars, HISTORY, SPEC, 0, scenario)
        answers = walk.decisions(predictor)
        for t, answer in enumerate(answers):
            fresh = Predictor(predictor.checkpoint)  # no cached encoding can hide a leak
            again = replace(walk, bars=spoil(bars, HISTORY + t, garbage))
            view = again.views(t, [a.share for a in answers[:t]])
            assert fresh.decide_many([view])[0] == answer
