"""The objective is the exact expectation: held against enumeration in plain Python."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
import torch

from agent.core.types import BenchmarkKind, TargetKind
from lem.bars.simulate import simulate_with_drift
from lem.evaluation.evaluation_spec import EvaluationSpec
from lem.evaluation.paths import Paths, evaluation_inputs, make_orders
from lem.network.checkpoint import fresh_model
from lem.network.dataset import context_rows
from lem.network.model import LEM
from lem.network.model_config import SCENARIOS, ModelConfig, TrainConfig
from lem.network.objective import (
    ARRIVAL_COUNTS,
    TIE_BREAK,
    Orders,
    Rollout,
    _hazard,
    drift_cost,
    finish_probability,
    loss,
    roll,
)
from lem.training.batches import draw_batch

IMPACT = 0.7


def small_world(seed: int) -> tuple[LEM, Orders, Rollout]:
    """Five intervals at most, an untrained model whose hazards are spread out."""
    config = ModelConfig(lookback=12)
    model = fresh_model(config, seed)
    with torch.no_grad():
        model.policy.out.normal_(0.0, 0.3)
    batch = draw_batch(np.random.default_rng(seed), config, TrainConfig(series=3, starts=2, n_min=3, n_max=5))
    orders = batch.orders.to(torch.float64)
    with torch.no_grad():
        return model, orders, roll(model, batch.contexts(model, batch.encoded(model)), orders)


def cost_by_hand(rollout: Rollout, orders: Orders, s: int, i: int, finish: int) -> float:
    """c + lambda (c+)^2 of scenario ``s``, order ``i``, finishing in ``finish``."""
    side, kind, benchmark = SCENARIOS[s]
    shares = [float(x) for x in rollout.share[s, i, :finish]] + [float(rollout.remaining[s, i, finish])]
    price = 1.0 + orders.price[i, : finish + 1].numpy()
    volume = orders.volume[i, : finish + 1].numpy()
    if kind is TargetKind.NOTIONAL:
        achieved = 1.0 / np.sum(np.array(shares) / price)
    else:
        achieved = np.sum(np.array(shares) * price)
    mean = np.average(price, weights=volume if benchmark is BenchmarkKind.VWAP else None)
    slippage = int(side) * (achieved / mean - 1.0)
    if float(orders.m[i]) >= float(orders.n[i]):
        slippage = abs(slippage)
    weight = float(orders.arrival_weight[i])  # the arrival price is the reference: a deviation of 0
    slippage = (1.0 - weight) * slippage + weight * int(side) * (achieved - 1.0)
    own = np.array(shares) * float(orders.participation[i] * orders.n[i] * orders.usual_volume[i])
    impact = np.sum(np.array(shares) * IMPACT * float(orders.scale[i]) * np.sqrt(own / volume))
    c = (slippage + impact) / (float(orders.scale[i]) * np.sqrt(float(orders.n[i])))
    return float(c + float(orders.risk_aversion[i]) * max(c, 0.0) ** 2)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_loss_is_the_enumerated_expectation(seed: int) -> None:
    """Over all 2^n sequences of coin throws "finish now?", weighted by their probability, and over orders."""
    _, orders, rollout = small_world(seed)
    total = 0.0
    count = orders.price.shape[0]
    counts = np.where(orders.arrival_weight > 0, ARRIVAL_COUNTS, 1.0) / (1.0 + orders.risk_aversion.numpy())
    for s in range(len(SCENARIOS)):
        for i in range(count):
            n = int(orders.n[i])
            hazard = [float(h) for h in rollout.hazard[s, i, :n]]
            costs = [cost_by_hand(rollout, orders, s, i, t) for t in range(n)]
            for coins in product((False, True), repeat=n - 1):
                weight = np.prod([h if c else 1.0 - h for h, c in zip(hazard, coins, strict=False)])
                finish = coins.index(True) if True in coins else n - 1
                total += weight * costs[finish] * counts[i]
    expected = total / (len(SCENARIOS) * counts.sum())
    orders = replace(orders, drift=torch.full_like(orders.price, np.nan))  # as realised, not as expected
    assert float(loss(rollout, orders, IMPACT)) == pytest.approx(expected, rel=1e-4, abs=1e-6)


@cache
def known_world(market: str, count: int = 8_000) -> tuple[Orders, Rollout]:
    """An untrained model's orders on a market whose drift is told to the objective (not to the model).

    What is expected holds for any policy, so the network is a narrow one.
    """
    config = ModelConfig(lookback=12, embedding=4, hidden=8, heads=2, sublayer_width=4, policy_hidden=16)
    model = fresh_model(config, 3)
    with torch.no_grad():
        model.policy.out.normal_(0.0, 0.3)
    spec = EvaluationSpec(n=6, min_periods=(0, 3), orders=count, sigma=1e-4, history=12)
    bars, drift = simulate_with_drift(market, np.random.default_rng(1), count, 18, 1e-4, spec.delta_ns)
    paths = Paths(bars, np.zeros(count, np.int64), 12)
    ahead = torch.from_numpy(drift[:, 12:]).repeat_interleave(2, 0)
    with torch.no_grad():
        orders = replace(make_orders(paths, spec), drift=ahead)
        inputs, start = evaluation_inputs(paths, spec.delta_ns, 12)
        encoded = model.encoder(inputs.values, inputs.mask, inputs.valid)[0]
        rows = np.arange(count)
        contexts = context_rows(encoded, model.encoder.void, rows, np.full(count, start), 6)
        return orders, roll(model, contexts.repeat_interleave(2, 0), orders)


MARKETS_KNOWN = ["gaussian", "gaussian-bars-volume", "momentum", "mean-reversion", "book-signal", "regimes"]


@pytest.mark.slow
@pytest.mark.parametrize("market", MARKETS_KNOWN)
def test_expected_gains_have_the_mean_of_realised_ones(market: str) -> None:
    """What is expected of the finishing interval agrees on average with what it brings, whenever it stops."""
    _, rollout = known_world(market)
    chance = finish_probability(rollout.hazard)
    pairs = ((rollout.gain, rollout.fair_gain), (rollout.arrival_gain, rollout.fair_arrival_gain))
    for realised, fair in pairs:
        difference = (chance * (realised - fair)).sum(-1)
        error = difference.mean(0).std() / np.sqrt(difference.shape[1] / 2)  # two orders share a path
        assert float(difference.std()) > 1e-6
        assert abs(float(difference.mean())) < 4.0 * float(error)


@pytest.mark.slow
@pytest.mark.parametrize("market", MARKETS_KNOWN)
def test_the_drift_is_all_that_shares_are_paid_for(market: str) -> None:
    """A buyer's realised arrival cost and the drift's part of it have the same mean, and most is noise."""
    orders, rollout = known_world(market)
    quantity = slice(0, 2)  # buy; a notional's mean differs by sigma^2
    chance = finish_probability(rollout.hazard)[quantity]
    paid = (chance * -rollout.arrival_gain[quantity]).sum(-1)
    drifted = (chance * drift_cost(rollout, orders)[quantity]).sum(-1)
    difference = (paid - drifted).mean(0)
    error = difference.std() / np.sqrt(len(difference) / 2)
    assert abs(float(difference.mean())) < 4.0 * float(error)
    assert float(drifted.std()) < 0.7 * float(paid.std())
    if market == "momentum":  # and the drift is there at all
        assert float(drifted.std()) > 1e-5


def test_an_unknown_drift_leaves_shares_to_impact_and_risk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real bars, benchmark orders, no risk, no tie-break: the linear cost has no gradient for the shares."""
    monkeypatch.setattr("lem.network.objective.TIE_BREAK", 0.0)
    _, orders, rollout = small_world(1)
    free = replace(
        orders,
        drift=torch.full_like(orders.price, np.nan),
        participation=torch.zeros_like(orders.n),
        risk_aversion=torch.zeros_like(orders.n),
        m=torch.zeros_like(orders.n),
    )
    for weight, moves in ((0.0, False), (1.0, True)):
        terms = replace(free, arrival_weight=torch.full_like(orders.n, weight))
        share = rollout.share.clone().requires_grad_(True)
        arrival = rollout.arrival_gain + share  # any dependence on the shares
        moved = replace(rollout, share=share, gain=rollout.gain + share, arrival_gain=arrival)
        (slope,) = torch.autograd.grad(loss(moved, terms, 0.0), share)
        assert bool((slope != 0).any()) is moves


def test_the_tie_break_teaches_shares_only_and_costs_nothing() -> None:
    """No drift, no impact, no aversion to risk: the loss is what it was, and shares learn to deviate less."""
    orders, rollout = known_world("gaussian-bars")
    terms = replace(orders, participation=0.0 * orders.n, risk_aversion=0.0 * orders.n, m=0.0 * orders.n)
    hazard = rollout.hazard.clone().requires_grad_(True)
    gain = rollout.gain.clone().requires_grad_(True)
    value = loss(replace(rollout, hazard=hazard, gain=gain), terms, 0.0)
    on_gain, on_hazard = torch.autograd.grad(value, (gain, hazard))
    chance = finish_probability(rollout.hazard)
    unit = (terms.scale * terms.n.sqrt())[:, None]
    expected = (chance * -rollout.fair_gain / unit).sum(-1).mean()
    assert float(value.detach()) == pytest.approx(float(expected), rel=1e-9)
    scale = 2.0 * TIE_BREAK * chance / unit.square() / chance[..., 0].numel()
    torch.testing.assert_close(on_gain, scale * rollout.gain)  # of the mean squared slippage
    (alone,) = torch.autograd.grad(
        (finish_probability(hazard) * -rollout.fair_gain / unit).sum(-1).mean(), hazard
    )
    torch.testing.assert_close(on_hazard, alone)


def test_a_rate_limit_is_felt_before_it_is_reached() -> None:
    """Too much left to finish: the hazard is 0, yet grows with the wish to end and what is traded before."""
    _, orders, _ = small_world(1)
    limited = replace(orders, max_rate=torch.full_like(orders.n, 0.3), m=torch.zeros_like(orders.n))
    late = replace(limited, m=torch.full_like(orders.n, 5.0))
    wish = torch.full((8, len(orders.n)), 0.6, dtype=orders.n.dtype, requires_grad=True)
    for terms, remaining, value, slope in (
        (limited, 0.9, 0.0, True),
        (limited, 0.45, 0.0, True),
        (limited, 0.25, 0.6, False),
        (late, 0.9, 0.0, False),  # before the min duration nothing finishes
    ):
        left = torch.full_like(wish, remaining, requires_grad=True)
        hazard = _hazard(1, terms, left, wish)
        assert bool((hazard == value).all())
        on_left, on_wish = torch.autograd.grad(hazard.sum(), (left, wish), allow_unused=True)
        assert on_left is not None
        assert on_wish is not None
        assert bool((on_left < 0).all()) is slope
        assert bool((on_wish > 0).all()) is (slope or value > 0)


def test_a_step_runs_wholly_on_its_device() -> None:
    """On torch's shape-only device, which refuses to mix with CPU tensors: nothing is left on the CPU."""
    model = fresh_model(ModelConfig(lookback=12), 1).to("meta")
    config = TrainConfig(series=3, starts=2, n_max=8)
    batch = draw_batch(np.random.default_rng(0), model.config, config).to("meta")
    value = batch.loss(model, config)
    assert value.device.type == "meta"
    value.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.device.type == "meta" for p in model.parameters())


@pytest.mark.parametrize("seed", [1, 2])
def test_finishing_is_certain_and_obeys_the_bounds(seed: int) -> None:
    """P(finish at T) sums to 1, is 0 before m and after n, and shares stay within the rates."""
    _, orders, rollout = small_world(seed)
    chance = finish_probability(rollout.hazard)
    assert torch.allclose(chance.sum(-1), torch.ones_like(chance[..., 0]), atol=1e-6)
    t = torch.arange(chance.shape[-1])
    early = (t + 1 < orders.m[:, None]) & (t < orders.n[:, None] - 1)
    late = t >= orders.n[:, None]
    assert chance[:, early | late].abs().max() == 0
    assert (rollout.share <= orders.max_rate[:, None] + 1e-9).all()
    assert (rollout.share >= 0).all()


def test_the_loss_has_gradients_for_every_parameter() -> None:
    """Training reaches the encoder, the KAN edges and all eight networks, with finite slopes."""
    model = fresh_model(ModelConfig(lookback=12), 1)
    config = TrainConfig(series=6, starts=3, n_max=8)
    batch = draw_batch(np.random.default_rng(0), model.config, config)
    value = batch.loss(model, TrainConfig())
    value.backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_the_worked_example_of_hazards() -> None:
    """Hazards 0.2, 0.5, 1 and costs 3, 1, 2: chances 0.2, 0.4, 0.4, mean 1.8, slope 1.5 in the first."""
    hazard = torch.tensor([0.2, 0.5, 1.0], dtype=torch.float64, requires_grad=True)
    chance = finish_probability(hazard)
    assert chance.tolist() == pytest.approx([0.2, 0.4, 0.4])
    cost = (chance * torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64)).sum()
    cost.backward()
    assert float(cost.detach()) == pytest.approx(1.8)
    assert float(hazard.grad[0]) == pytest.approx(1.5)
