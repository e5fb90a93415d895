"""Rows of the evaluation: each scenario and min period, its baselines, and paired differences to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.core.market.bars import FloatArray
from agent.core.types import BenchmarkKind, TargetKind
from lem.evaluation.baselines import CURVE, OPTIMAL_IMPACT, OPTIMAL_RISK, TWAP
from lem.evaluation.paths import BPS, Outcome, Question
from lem.evaluation.statistics import Estimate, Mean, controlled_mean, summary
from lem.evaluation.yardsticks import Yardsticks
from lem.network.model_config import SCENARIOS

MODEL, RULE = "lem", "optimal_stopping"
NOTHING = 1e-3
"""What is below this part of sigma is rounding: nothing can be a fraction of it."""

Pick = tuple[int, slice]
"""A scenario's row and one min period's columns of an outcome [8, N * M]."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Outcomes of every strategy, [8, N * M], what they are divided by, and how means are estimated."""

    outcomes: dict[str, Outcome]
    question: Question
    yard: Yardsticks
    estimate: Estimate

    def pick(self, scenario: int, period: int) -> Pick:
        return scenario, slice(period, None, len(self.question.min_periods))

    def known_zero(self, pick: Pick) -> FloatArray:
        """The optimal policy's controlled gain less its exact mean, on the pick's own paths.

        Of quantity against TWAP, whose mean is exactly the bound: against VWAP the policy is not optimal.
        """
        best = self.outcomes[RULE]
        known = (SCENARIOS.index((SCENARIOS[pick[0]][0], TargetKind.QUANTITY, BenchmarkKind.TWAP)), pick[1])
        return best.gain[known] + best.exposure[known] - self.bound(known)

    def bound(self, pick: Pick) -> float:
        benchmark: BenchmarkKind = SCENARIOS[pick[0]][2]
        return self.yard.bounds[benchmark, self.question.min_periods[pick[1].start]]


def rows_of(judged: Judged) -> list[dict[str, Any]]:
    """One record per scenario and min period, as the command line contract names them."""
    periods = range(len(judged.question.min_periods))
    return [_row(judged, judged.pick(s, i)) for s in range(len(SCENARIOS)) for i in periods]


def _row(judged: Judged, pick: Pick) -> dict[str, Any]:
    side, kind, benchmark = SCENARIOS[pick[0]]
    m, bound, yard = judged.question.min_periods[pick[1].start], judged.bound(pick), judged.yard
    own = _measures(judged, MODEL, pick)
    others = {name: _measures(judged, name, pick) for name in judged.outcomes if name != MODEL}
    bounded = m < judged.question.n and bound > 0
    gains = judged.outcomes[MODEL].gain[pick]
    row = {
        "side": side.name.lower(),
        "target_kind": kind.value,
        "benchmark": benchmark.value,
        "min_period": m,
        "orders": len(gains),
        "gain_bps": summary(gains, own["mean"]),
        **_without(own, "gain_bps_mean", "gain_bps_std"),
        "bound_gain_bps": bound,
        "fraction_of_bound": own["mean"].value / bound if bounded else None,
        "baselines": {name: _without(values) for name, values in others.items()},
        "versus": {name: _versus(judged, name, pick) for name in others},
        "arrival_achievable_bps": yard.arrival,
        "arrival_fraction": own["arrival_gain_bps_mean"] / yard.arrival if yard.arrival else None,
    }
    if bounded and yard.regrets is not None and kind is TargetKind.QUANTITY:
        row["regret"] = _regret(yard.regrets[pick], bound)
    if OPTIMAL_IMPACT in others:
        row["impact"] = _against_programme(own, others, NOTHING * BPS * judged.yard.sigma)
    if m == judged.question.n and benchmark is BenchmarkKind.VWAP:
        row["slippage_against_curve"] = _against_curve(judged, pick)
    return row


def _without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {k: v for k, v in values.items() if k != "mean" and k not in names}


def _regret(lost_bps: FloatArray, bound: float) -> dict[str, Any]:
    lost = controlled_mean(lost_bps, [])
    low, high = lost.interval
    return {
        "fraction_of_bound": 1.0 - lost.value / bound,
        "ci95": [1.0 - high / bound, 1.0 - low / bound],
    }


def _against_programme(
    own: dict[str, Any], others: dict[str, dict[str, Any]], least_bps: float
) -> dict[str, Any]:
    """Gain after impact: the part of what an exact optimum adds to TWAP, and the better simple rule.

    Two optima: of the same risk aversion (the programme), and of the mean alone, which nobody can exceed.
    No part where the optimum adds less than ``least_bps``: TWAP is then as good as optimal.
    """
    name = "gain_after_impact_bps_mean"
    even, averse, neutral = (others[k][name] for k in (TWAP, OPTIMAL_RISK, OPTIMAL_IMPACT))
    rule = max(others[RULE][name], others["dump"][name])

    def part(best: float) -> float | None:
        return (own[name] - even) / (best - even) if best - even > least_bps else None

    return {
        "fraction_of_programme": part(averse),
        "programme_bps": averse,
        "fraction_of_neutral": part(neutral),
        "neutral_bps": neutral,
        "better_rule_bps": rule,
        "above_better_rule_bps": own[name] - rule,
    }


def _against_curve(judged: Judged, pick: Pick) -> dict[str, Any] | None:
    """Mean absolute slippage against the static volume curve's, in percent more; None of next to nothing."""
    own = np.abs(judged.outcomes[MODEL].gain[pick])
    curve = np.abs(judged.outcomes[CURVE].gain[pick])
    if curve.mean() <= NOTHING * BPS * judged.yard.sigma:
        return None
    ratio = judged.estimate.ratio(own, curve)
    return {"percent": 100.0 * (ratio.value - 1.0), "ci95": [100.0 * (end - 1.0) for end in ratio.interval]}


def _measures(judged: Judged, name: str, pick: Pick) -> dict[str, Any]:
    mine = judged.outcomes[name]
    own_bound = name == RULE and SCENARIOS[pick[0]][1] is TargetKind.QUANTITY  # it would explain itself
    paired = None if own_bound else judged.known_zero(pick)
    mean = judged.estimate.mean(mine.gain[pick], mine.exposure[pick], paired)
    arrival = judged.estimate.mean(mine.arrival[pick], mine.exposure[pick])
    return {
        "mean": mean,
        "gain_bps_mean": mean.value,
        "gain_bps_std": float(mine.gain[pick].std()),
        "abs_slippage_bps_mean": float(np.abs(mine.gain[pick]).mean()),
        "gain_after_impact_bps_mean": mean.value - float(mine.impact[pick].mean()),
        "arrival_gain_bps_mean": arrival.value,
        "arrival_gain_bps_ci95": arrival.interval,
        "intervals_mean": float(mine.finish[pick].mean()) + 1.0,
    }


def _versus(judged: Judged, name: str, pick: Pick) -> dict[str, Any]:
    """Model less baseline on the same orders: mean and interval of gain, gain after impact, arrival gain."""
    own, other = judged.outcomes[MODEL], judged.outcomes[name]
    gain = own.gain[pick] - other.gain[pick]
    impact = own.impact[pick] - other.impact[pick]
    exposure = own.exposure[pick] - other.exposure[pick]
    paired = judged.known_zero(pick)
    found: dict[str, Mean] = {
        "gain_bps": judged.estimate.mean(gain, exposure, paired),
        "gain_after_impact_bps": judged.estimate.mean(gain - impact, exposure, paired),
        "arrival_gain_bps": judged.estimate.mean(own.arrival[pick] - other.arrival[pick], exposure),
    }
    out: dict[str, Any] = {}
    for measure, mean in found.items():
        out[f"{measure}_mean"], out[f"{measure}_ci95"] = mean.value, mean.interval
    return out
