"""The building blocks: the spline against its definition, the compiled recurrence against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lem.checkpoint import fresh_model, load_checkpoint
from lem.config import SCENARIOS, ModelConfig
from lem.layers import TKAN, KANSublayers, SlidingAttention
from lem.paths import Question
from lem.predictor import order_state
from lem.scan import CompiledTKAN
from lem.simulate import simulate
from tests.unit.lem.worlds import Walk

BARS = simulate("gaussian", np.random.default_rng(1), 1, 20, 1e-3, 60_000_000_000)[0]
WALK = Walk(BARS, 10, Question(n=8), 0, SCENARIOS[0])
ORDERS = ((WALK.views(3, [0.1] * 3)[0], -1.0), (WALK.views(3, [0.2] * 3)[0], 1.0))


def cox_de_boor(x: float, knots: list[float], i: int, degree: int) -> float:
    """The textbook recursion for B-spline i."""
    if degree == 0:
        return 1.0 if knots[i] <= x < knots[i + 1] else 0.0
    left = (x - knots[i]) / (knots[i + degree] - knots[i]) * cox_de_boor(x, knots, i, degree - 1)
    right = (knots[i + degree + 1] - x) / (knots[i + degree + 1] - knots[i + 1])
    return left + right * cox_de_boor(x, knots, i + 1, degree - 1)


@pytest.mark.parametrize("x", [-1.93, -0.4, 0.0, 0.77, 1.6, 5.0])
def test_edges_are_cubic_b_splines(x: float) -> None:
    """One edge with weight 1 on each basis function equals the Cox-de Boor recursion, plus its SiLU."""
    layer = KANSublayers(1, 1, 5)
    step = 0.8
    knots = [-2.0 + step * (j - 3) for j in range(12)]
    with torch.no_grad():
        for b in range(8):
            layer.edges.zero_()
            layer.edges[0, b, 0] = 1.0
            value = float(layer(torch.tensor([[[x]]]))[0, 0, 0])
            assert value == pytest.approx(cox_de_boor(x, knots, b, 3), abs=1e-6)
        layer.edges.zero_()
        layer.edges[0, 8, 0] = 1.0
        silu = float(layer(torch.tensor([[[x]]]))[0, 0, 0])
    assert silu == pytest.approx(x / (1.0 + np.exp(-x)), abs=1e-6)


@pytest.mark.parametrize(("first", "end"), [(0, 152), (37, 130), (119, 120)])
def test_the_compiled_recurrence_is_the_layer(first: int, end: int) -> None:
    """On the shipped weights, with void steps before and after: equal to 2e-6."""
    cell = load_checkpoint().model.encoder.tkan
    x = torch.randn(1, 152, cell.width, generator=torch.Generator().manual_seed(1))
    valid = torch.zeros(1, 152, dtype=torch.bool)
    valid[0, first:end] = True
    with torch.inference_mode():
        expected, compiled = cell(x, valid), CompiledTKAN(cell)(x, first, end)
    assert float((expected - compiled).abs().max()) < 2e-6
    assert float(compiled[0, first:end].abs().min(-1).values.max()) > 0
    assert (compiled[0, :first] == 0).all()


def test_void_steps_reset_the_state() -> None:
    """What came before a void stretch does not reach beyond it."""
    torch.manual_seed(1)
    cell = TKAN(8, 2, 4, 5)
    x = torch.randn(1, 20, 8)
    valid = torch.ones(1, 20, dtype=torch.bool)
    valid[0, :10] = False
    other = x.clone()
    other[0, :10] = 100.0
    assert torch.equal(cell(x, valid)[0, 10:], cell(other, valid)[0, 10:])


def test_attention_sees_its_window_only() -> None:
    """Neither later steps nor steps older than the window change a bit."""
    torch.manual_seed(2)
    attention = SlidingAttention(8, 2, 5)
    x, valid = torch.randn(1, 20, 8), torch.ones(1, 20, dtype=torch.bool)
    other = x.clone()
    other[0, :8] = 1e3
    other[0, 13:] = -1e3
    before, after = attention(x, valid), attention(other, valid)
    assert torch.equal(before[0, 12], after[0, 12])
    assert not torch.equal(before[0, 11], after[0, 11])


def test_the_ablation_without_order_state_hides_the_order() -> None:
    """With ``conditioned_on_order`` off, the order's prices and progress change nothing."""
    moved = {}
    for shown in (True, False):
        model = fresh_model(ModelConfig(conditioned_on_order=shown), 1)
        with torch.no_grad():
            model.policy.out.normal_()
            projected = model.policy.project_context(torch.zeros(1, model.config.hidden))
            answers = [model.policy(projected, order_state(o, z, -z, True)) for o, z in ORDERS]
        moved[shown] = float((answers[0][1] - answers[1][1]).abs().max())
    assert moved[True] > 0
    assert moved[False] == 0
