"""Gain against risk and impact: what the model reaches at each risk aversion, beside the exact optimum.

On both martingale markets, m = 0, fixed quantity against TWAP, all strategies on the same paths. A point has
three coordinates: mean gain, standard deviation, impact. ``objective`` is what an order of that risk aversion
minimises (``lem.optima.risk_optimum``), so the optimum's is the smallest there is, and ``excess`` is, paired,
how far the model's is above it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from agent.core.arrays import FloatArray
from agent.core.orders.order_defaults import NO_MAX_RATE, NO_MIN_RATE
from agent.core.types import BenchmarkKind, Side, TargetKind
from lem.bars.simulate import simulate
from lem.evaluation.baselines import DUMP, OPTIMAL_IMPACT, RULE, TWAP, baselines, outcome_of
from lem.evaluation.evaluation_document import (
    Frontier,
    FrontierCurve,
    FrontierPoint,
    ModelPoint,
    PointNumbers,
    RulePoint,
)
from lem.evaluation.evaluation_spec import EvaluationSpec
from lem.evaluation.paths import BPS, CHUNK, OnProgress, Outcome, Paths, make_orders, path_contexts, realise
from lem.evaluation.statistics import controlled_mean
from lem.network.checkpoint import Checkpoint
from lem.network.model import LEM
from lem.network.model_config import SCENARIOS
from lem.network.objective import Orders, roll, scenario_columns
from lem.optima.impact_optimum import solve_impact
from lem.optima.optimum_terms import Terms
from lem.optima.risk_optimum import RiskOptimum, solve_risk
from lem.optima.stopping_optimum import PRICE_MODEL, gain_sigma

MARKETS = ("gaussian", "gaussian-bars")
AVERSIONS = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0)
PARTICIPATIONS = (0.0, 0.05, 0.2)
ORDERS = 2_000
MODEL, OPTIMUM = "lem", "programme"
RULES = (RULE, DUMP, TWAP, OPTIMAL_IMPACT)
SIDES = tuple(
    (side, SCENARIOS.index((side, TargetKind.QUANTITY, BenchmarkKind.TWAP))) for side in (Side.BUY, Side.SELL)
)


@dataclass(frozen=True, slots=True)
class EncodedPaths:
    """Some paths of a market with the contexts that the model's encoder made of them, [N, n, d]."""

    paths: Paths
    contexts: torch.Tensor


@dataclass(frozen=True, slots=True)
class Setup:
    """A market and participation: its paths in chunks, and control variates in sigmas, [C, 2, N].

    A variate is an exact optimum on these paths: its gain with control variates, less its exact mean.
    """

    market: str
    chunks: list[EncodedPaths]
    controls: FloatArray


def frontier(
    checkpoint: Checkpoint,
    spec: EvaluationSpec,
    progress: OnProgress,
    participations: Sequence[float] = PARTICIPATIONS,
    aversions: Sequence[float] = AVERSIONS,
    markets: Sequence[str] = MARKETS,
) -> Frontier:
    """The "frontier" of an evaluation's document: a curve for each market and participation, in sigmas.

    At most ``ORDERS`` paths a market, rates not limited. Raises InputError on a spec that makes no sense.
    """
    spec = replace(
        spec.checked(),
        min_periods=(0,),
        arrival_weight=0.0,
        min_rate=NO_MIN_RATE,
        max_rate=NO_MAX_RATE,
    )
    spec = replace(spec, orders=min(spec.orders, ORDERS))
    total = len(markets) * len(participations) * len(aversions)
    curves: list[FrontierCurve] = []
    for market in markets:
        chunks = list(_encoded(checkpoint.model, market, spec))
        for participation in participations:
            sized = replace(spec, participation=participation)
            rules = _rule_outcomes(market, chunks, sized)
            setup = Setup(market, chunks, _controls(market, rules, sized))
            points: list[FrontierPoint] = []
            for aversion in aversions:
                points += _points(checkpoint.model, setup, replace(sized, risk_aversion=aversion))
                progress(len(curves) * len(aversions) + len(points) // 4, total)
            curves.append(
                {
                    "market": market,
                    "participation": participation,
                    "points": points,
                    "rules": _rule_points(rules, setup, sized),
                }
            )
    return {"n": spec.n, "min_period": 0, "orders": spec.orders, "curves": curves}


def _controls(market: str, rules: dict[str, Outcome], spec: EvaluationSpec) -> FloatArray:
    """The stopping optimum, and with impact the risk-neutral one, whose means are known exactly."""
    unit, price = BPS * spec.sigma, PRICE_MODEL[market]
    best, n = rules[RULE], spec.n
    found = [
        [(best.gain[row] + best.exposure[row]) / unit - gain_sigma(n, 0, 1.0, price) for _, row in SIDES]
    ]
    if OPTIMAL_IMPACT in rules:
        net, exact = rules[OPTIMAL_IMPACT], solve_impact(Terms(n, price=price), spec.participation)
        got = net.gain + net.exposure - net.impact
        found.append([got[row] / unit - exact.gain_sigma for _, row in SIDES])
    return np.array(found)


def _encoded(model: LEM, market: str, spec: EvaluationSpec) -> Iterator[EncodedPaths]:
    """The paths of a market, encoded once for all participations and risk aversions."""
    history = min(spec.history, model.config.bars_needed)
    rng = np.random.default_rng(spec.seed)
    bars = simulate(market, rng, spec.orders, history + spec.n, spec.sigma, spec.delta_ns)
    whole = Paths(bars, np.zeros(len(bars), np.int64), history)
    for first in range(0, len(bars), CHUNK):
        paths = whole.subset(slice(first, first + CHUNK))
        yield EncodedPaths(paths, path_contexts(model, paths, spec))


@torch.no_grad()
def _points(model: LEM, setup: Setup, spec: EvaluationSpec) -> list[FrontierPoint]:
    """The model's and the optimum's point for each side at one risk aversion and participation."""
    terms = Terms(spec.n, 0, spec.min_rate, spec.max_rate, PRICE_MODEL[setup.market])
    best = solve_risk(terms, spec.participation, spec.risk_aversion)
    of_model, of_optimum = [], []
    for chunk in setup.chunks:
        orders = make_orders(chunk.paths, spec)
        rollout = roll(model, chunk.contexts, orders)
        of_model.append(realise(rollout, orders, scenario_columns(orders.price)[0], spec.participation))
        of_optimum.append(_optimum_outcome(best, orders, spec))
    lem, optimum = Outcome.join(of_model), Outcome.join(of_optimum)
    out: list[FrontierPoint] = []
    for k, (_, row) in enumerate(SIDES):
        ours, least = (_objective(o, row, spec) for o in (lem, optimum))
        excess = controlled_mean(ours - least, [lem.exposure[row], optimum.exposure[row]])
        own: ModelPoint = {
            **_point(MODEL, lem, setup, k, spec),
            "excess": excess.value,
            "excess_ci95": excess.interval,
        }
        out += [own, _point(OPTIMUM, optimum, setup, k, spec)]
    return out


def _optimum_outcome(best: RiskOptimum, orders: Orders, spec: EvaluationSpec) -> Outcome:
    """The optimum's outcome in the rows of ``SIDES``; other rows repeat them and are not used."""
    price, last = orders.price.numpy(), orders.last.numpy()
    by_side = {side: best.run(price, last, int(side), spec.sigma) for side, _ in SIDES}
    runs = [by_side[side] for side, _, _ in SCENARIOS]
    shares = torch.from_numpy(np.stack([run.shares for run in runs]))
    finish = np.stack([run.finish for run in runs])
    return outcome_of(orders, shares, finish, spec.participation)


def _rule_outcomes(market: str, chunks: list[EncodedPaths], spec: EvaluationSpec) -> dict[str, Outcome]:
    """Every rule on every path, but those whose schedule depends on the risk aversion."""
    found: dict[str, list[Outcome]] = {}
    for chunk in chunks:
        orders = make_orders(chunk.paths, spec)
        price, share = PRICE_MODEL[market], spec.participation
        rules = baselines(orders, spec, price, spec.sigma, share, optima=(OPTIMAL_IMPACT,))
        for name in RULES:
            if name in rules:
                found.setdefault(name, []).append(rules[name])
    return {name: Outcome.join(outcomes) for name, outcomes in found.items()}


def _rule_points(rules: dict[str, Outcome], setup: Setup, spec: EvaluationSpec) -> list[RulePoint]:
    """The rules' points for each side."""
    return [
        {"side": side.name.lower(), "strategy": name, **_numbers(outcome, setup, k, spec)}
        for k, (side, _) in enumerate(SIDES)
        for name, outcome in rules.items()
    ]


def _point(strategy: str, outcome: Outcome, setup: Setup, k: int, spec: EvaluationSpec) -> FrontierPoint:
    """A strategy's point at the spec's risk aversion."""
    side, row = SIDES[k]
    objective = controlled_mean(_objective(outcome, row, spec), _variates(outcome, setup, k))
    return {
        "side": side.name.lower(),
        "risk_aversion": spec.risk_aversion,
        "strategy": strategy,
        **_numbers(outcome, setup, k, spec),
        "objective": objective.value,
        "objective_ci95": objective.interval,
    }


def _numbers(outcome: Outcome, setup: Setup, k: int, spec: EvaluationSpec) -> PointNumbers:
    """Where a strategy is, in units of sigma; net: gain less impact."""
    unit, (_, row) = BPS * spec.sigma, SIDES[k]
    gain, impact = outcome.gain[row] / unit, outcome.impact[row] / unit
    variates = _variates(outcome, setup, k)
    mean, net = controlled_mean(gain, variates), controlled_mean(gain - impact, variates)
    return {
        "gain_sigma": mean.value,
        "gain_sigma_ci95": mean.interval,
        "std_sigma": float(gain.std()),
        "impact_sigma": float(impact.mean()),
        "net_sigma": net.value,
        "net_sigma_ci95": net.interval,
    }


def _variates(outcome: Outcome, setup: Setup, k: int) -> list[FloatArray]:
    return [outcome.exposure[SIDES[k][1]], *setup.controls[:, k]]


def _objective(outcome: Outcome, row: int, spec: EvaluationSpec) -> FloatArray:
    """c + lambda max(c, 0)^2 of each order, as ``lem.network.objective.loss`` has it."""
    unit = BPS * spec.sigma * spec.n**0.5
    cost = (outcome.impact[row] - outcome.gain[row]) / unit
    out: FloatArray = cost + spec.risk_aversion * np.maximum(cost, 0.0) ** 2
    return out
