"""Gain against risk and impact: what the model reaches at each risk aversion, beside the exact optimum.

On both martingale markets, m = 0, fixed quantity against TWAP: the model, the programme that solves its
own objective (``lem.optima.risk_optimum``) and the rules, all on the same paths. A point has three
coordinates (mean gain, deviation, impact); ``objective`` is what an order of that risk aversion minimises,
so the programme's is the least there is, and ``excess`` says, paired, by how much the model misses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from agent.core.market.bars import FloatArray
from agent.core.types import BenchmarkKind, Side, TargetKind
from lem.bars.simulate import simulate
from lem.evaluation.baselines import OPTIMAL_IMPACT, baselines, outcome_of
from lem.evaluation.paths import (
    BPS,
    CHUNK,
    Outcome,
    Paths,
    Progress,
    Question,
    contexts_of,
    make_orders,
    realise,
)
from lem.evaluation.statistics import Mean, controlled_mean
from lem.network.checkpoint import Checkpoint
from lem.network.model import LEM
from lem.network.model_config import SCENARIOS
from lem.network.objective import Orders, roll, scenario_columns
from lem.optima.bound import PRICE_MODEL, gain_sigma
from lem.optima.impact_optimum import solve_impact
from lem.optima.programme import Terms
from lem.optima.risk_optimum import RiskProgramme, solve_risk

MARKETS = ("gaussian", "gaussian-bars")
AVERSIONS = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0)
PARTICIPATIONS = (0.0, 0.05, 0.2)
ORDERS = 2_000
PROGRAMME = "programme"
RULES = ("optimal_stopping", "dump", "twap", OPTIMAL_IMPACT)
SIDES = tuple(
    (side, SCENARIOS.index((side, TargetKind.QUANTITY, BenchmarkKind.TWAP))) for side in (Side.BUY, Side.SELL)
)


@dataclass(frozen=True, slots=True)
class Known:
    """Some paths of a market with the contexts that the model's encoder made of them, [N, n, d]."""

    paths: Paths
    contexts: torch.Tensor


@dataclass(frozen=True, slots=True)
class Exam:
    """What is asked of a market: its paths in parts, and variates of mean 0 in sigmas, [C, 2, N].

    A control is an exact optimum on these paths: what it got, less luck and less what it must get.
    """

    market: str
    parts: list[Known]
    controls: FloatArray


def frontier(
    checkpoint: Checkpoint,
    question: Question,
    progress: Progress,
    participations: Sequence[float] = PARTICIPATIONS,
    aversions: Sequence[float] = AVERSIONS,
    markets: Sequence[str] = MARKETS,
) -> dict[str, Any]:
    """The "frontier" of an evaluation's document: a curve for each market and participation, in sigmas.

    At most ``ORDERS`` paths a market, rates not limited. Raises InputError on a question that makes no sense.
    """
    question = replace(question.checked(), min_periods=(0,), arrival_weight=0.0, min_rate=0.0, max_rate=1.0)
    question = replace(question, orders=min(question.orders, ORDERS))
    total = len(markets) * len(participations) * len(aversions)
    curves: list[dict[str, Any]] = []
    for market in markets:
        parts = list(_encoded(checkpoint.model, market, question))
        for participation in participations:
            asked = replace(question, participation=participation)
            rules = _outcomes(market, parts, asked)
            exam = Exam(market, parts, _controls(market, rules, asked))
            points: list[dict[str, Any]] = []
            for aversion in aversions:
                points += _points(checkpoint.model, exam, replace(asked, risk_aversion=aversion))
                progress(len(curves) * len(aversions) + len(points) // 4, total)
            beside = _rules(rules, exam, asked)
            curves.append(
                {"market": market, "participation": participation, "points": points, "rules": beside}
            )
    return {"n": question.n, "min_period": 0, "orders": question.orders, "curves": curves}


def _controls(market: str, rules: dict[str, Outcome], question: Question) -> FloatArray:
    """The bound's policy, and with impact the risk-neutral optimum, whose means are known exactly."""
    unit, price = BPS * question.sigma, PRICE_MODEL[market]
    best, n = rules["optimal_stopping"], question.n
    found = [
        [(best.gain[row] + best.exposure[row]) / unit - gain_sigma(n, 0, 1.0, price) for _, row in SIDES]
    ]
    if OPTIMAL_IMPACT in rules:
        net, exact = rules[OPTIMAL_IMPACT], solve_impact(Terms(n, price=price), question.participation)
        got = net.gain + net.exposure - net.impact
        found.append([got[row] / unit - exact.gain_sigma for _, row in SIDES])
    return np.array(found)


def _encoded(model: LEM, market: str, question: Question) -> Iterator[Known]:
    """The paths of a market, encoded once for all questions."""
    history = min(question.history, model.config.bars_needed)
    rng = np.random.default_rng(question.seed)
    bars = simulate(market, rng, question.orders, history + question.n, question.sigma, question.delta_ns)
    whole = Paths(bars, np.zeros(len(bars), np.int64), history)
    for first in range(0, len(bars), CHUNK):
        paths = whole.part(slice(first, first + CHUNK))
        yield Known(paths, contexts_of(model, paths, question))


@torch.no_grad()
def _points(model: LEM, exam: Exam, question: Question) -> list[dict[str, Any]]:
    """The model's and the programme's point for each side at one risk aversion and participation."""
    terms = Terms(question.n, 0, question.min_rate, question.max_rate, PRICE_MODEL[exam.market])
    best = solve_risk(terms, question.participation, question.risk_aversion)
    own, optimum = [], []
    for some in exam.parts:
        orders = make_orders(some.paths, question)
        rollout = roll(model, some.contexts, orders)
        own.append(realise(rollout, orders, scenario_columns(orders.price)[0], question.participation))
        optimum.append(_programme(best, orders, question))
    lem, programme = Outcome.join(own), Outcome.join(optimum)
    out = []
    for k, (side, row) in enumerate(SIDES):
        told = {"side": side.name.lower(), "risk_aversion": question.risk_aversion}
        ours, least = (_objective(o, row, question) for o in (lem, programme))
        excess = controlled_mean(ours - least, [lem.exposure[row], programme.exposure[row]])
        out += [
            told | {"strategy": "lem"} | _point(lem, exam, k, question) | _interval("excess", excess),
            told | {"strategy": PROGRAMME} | _point(programme, exam, k, question),
        ]
    return out


def _programme(best: RiskProgramme, orders: Orders, question: Question) -> Outcome:
    """The programme's outcome in the rows of ``SIDES``; other rows repeat them and are not looked at."""
    price, last = orders.price.numpy(), orders.last.numpy()
    by_side = {side: best.run(price, last, int(side), question.sigma) for side, _ in SIDES}
    runs = [by_side[side] for side, _, _ in SCENARIOS]
    shares = torch.from_numpy(np.stack([run.shares for run in runs]))
    finish = np.stack([run.finish for run in runs])
    return outcome_of(orders, shares, finish, question.participation)


def _outcomes(market: str, parts: list[Known], question: Question) -> dict[str, Outcome]:
    """Every rule on every path; those whose schedule depends on the risk aversion are left out."""
    found: dict[str, list[Outcome]] = {}
    for some in parts:
        orders = make_orders(some.paths, question)
        price, share = PRICE_MODEL[market], question.participation
        rules = baselines(orders, question, price, question.sigma, share, programmes=(OPTIMAL_IMPACT,))
        for name in RULES:
            if name in rules:
                found.setdefault(name, []).append(rules[name])
    return {name: Outcome.join(outcomes) for name, outcomes in found.items()}


def _rules(rules: dict[str, Outcome], exam: Exam, question: Question) -> list[dict[str, Any]]:
    """The rules' points, which do not depend on the risk aversion, for each side."""
    return [
        {"side": side.name.lower(), "strategy": name} | _point(outcome, exam, k, question, weighed=False)
        for k, (side, _) in enumerate(SIDES)
        for name, outcome in rules.items()
    ]


def _objective(outcome: Outcome, row: int, question: Question) -> FloatArray:
    """c + lambda max(c, 0)^2 of each order, as ``lem.network.objective.loss`` has it."""
    unit = BPS * question.sigma * question.n**0.5
    cost = (outcome.impact[row] - outcome.gain[row]) / unit
    out: FloatArray = cost + question.risk_aversion * np.maximum(cost, 0.0) ** 2
    return out


def _point(outcome: Outcome, exam: Exam, k: int, question: Question, weighed: bool = True) -> dict[str, Any]:
    """One point in units of sigma; ``weighed``: with the objective at the question's risk aversion."""
    unit, (_, row) = BPS * question.sigma, SIDES[k]
    gain, impact = outcome.gain[row] / unit, outcome.impact[row] / unit
    controls = [outcome.exposure[row], *exam.controls[:, k]]
    point = {
        **_interval("gain_sigma", controlled_mean(gain, controls)),
        "std_sigma": float(gain.std()),
        "impact_sigma": float(impact.mean()),
        **_interval("net_sigma", controlled_mean(gain - impact, controls)),
    }
    if weighed:
        point |= _interval("objective", controlled_mean(_objective(outcome, row, question), controls))
    return point


def _interval(name: str, mean: Mean) -> dict[str, Any]:
    return {name: mean.value, f"{name}_ci95": mean.interval}
