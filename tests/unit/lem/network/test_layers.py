"""The building blocks: the spline against its definition, the compiled recurrence against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lem.network.checkpoint import fresh_model
from lem.network.layers import TKAN, KANSublayers, SlidingAttention
from lem.network.model import GIVEN_INPUTS, OWN_INPUTS, PRICE_INPUTS
from lem.network.model_config import ModelConfig


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
    """With ``conditioned_on_order`` off, the order's prices and progress change nothing; else they do."""
    moved = {}
    for shown in (True, False):
        model = fresh_model(ModelConfig(conditioned_on_order=shown), 1)
        contexts, left = torch.zeros(1, model.config.hidden), torch.tensor([5.0])
        given, own = torch.zeros(2, 8, 1, len(GIVEN_INPUTS)), torch.randn(2, 8, 1, len(OWN_INPUTS))
        given[1, ..., list(PRICE_INPUTS)] = 1.0
        with torch.no_grad():
            model.policy.out.normal_()
            answers = [model.policy(contexts, given[k], own[k], left)[1] for k in range(2)]
        moved[shown] = float((answers[0] - answers[1]).abs().max())
    assert moved[True] > 0
    assert moved[False] == 0


@pytest.mark.parametrize("change", [{"cell": "lstm"}, {"selection": False}, {"attention": False}])
def test_ablated_encoders_are_causal(change: dict[str, object]) -> None:
    """Each ablation gives contexts that no later bar changes, and finite gradients."""
    encoder = fresh_model(ModelConfig(**change), 1).encoder  # type: ignore[arg-type]
    values = torch.randn(2, 20, ModelConfig().features)
    mask, valid = torch.ones_like(values, dtype=torch.bool), torch.ones(2, 20, dtype=torch.bool)
    mask[0, 3], valid[1, :4] = False, False
    later = values.clone()
    later[:, 12:] = 7.0
    contexts, weights = encoder(values, mask, valid)
    assert torch.allclose(contexts[:, :12], encoder(later, mask, valid)[0][:, :12], atol=1e-6)
    assert torch.allclose(weights.sum(-1), torch.ones(2, 20), atol=1e-5)
    contexts.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in encoder.parameters())
    assert encoder.embedding.scale.grad.abs().sum() > 0
