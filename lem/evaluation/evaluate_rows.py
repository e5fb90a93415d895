"""Rows of the evaluation: each scenario and min period, its baselines, and paired differences to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.core.arrays import FloatArray
from agent.core.types import BenchmarkKind, TargetKind
from lem.evaluation.baselines import CURVE, DUMP, OPTIMAL_IMPACT, OPTIMAL_RISK, RULE, TWAP
from lem.evaluation.evaluation_document import (
    BaselineMeasures,
    CurveSlippage,
    EvaluationRow,
    FractionOfBound,
    ImpactFractions,
    NetMeasures,
    Versus,
)
from lem.evaluation.evaluation_spec import EvaluationSpec
from lem.evaluation.optimum_gains import OptimumGains
from lem.evaluation.paths import BPS, Outcome
from lem.evaluation.statistics import Estimate, Mean, controlled_mean, gain_summary
from lem.network.model_config import SCENARIOS

MODEL = "lem"
NEGLIGIBLE = 1e-3
"""In units of sigma: a smaller gain is rounding, and nothing is given as a fraction of it."""

Pick = tuple[int, slice]
"""A scenario's row and one min period's columns of an outcome [8, N * M]."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Outcomes of every strategy, [8, N * M], the optimum's gains, and how means are estimated."""

    outcomes: dict[str, Outcome]
    spec: EvaluationSpec
    optimum: OptimumGains
    estimate: Estimate

    def pick(self, scenario: int, period: int) -> Pick:
        """The orders of a scenario and of a min period, by their places."""
        return scenario, slice(period, None, len(self.spec.min_periods))

    def period(self, pick: Pick) -> int:
        """The min period of a pick, in intervals."""
        return self.spec.min_periods[pick[1].start]

    def optimum_gain(self, pick: Pick) -> float:
        """The optimum's gain in bps."""
        benchmark: BenchmarkKind = SCENARIOS[pick[0]][2]
        return self.optimum.gains[benchmark, self.period(pick)]

    def known_zero(self, pick: Pick) -> FloatArray:
        """The optimal policy's controlled gain less its exact mean, on the pick's own paths: of mean 0.

        Taken from quantity against TWAP, whose mean is exactly the optimum's: against VWAP the policy is not
        optimal.
        """
        best = self.outcomes[RULE]
        known = (SCENARIOS.index((SCENARIOS[pick[0]][0], TargetKind.QUANTITY, BenchmarkKind.TWAP)), pick[1])
        return best.gain[known] + best.exposure[known] - self.optimum_gain(known)


@dataclass(frozen=True, slots=True)
class _Measured:
    """One strategy on one pick: its mean gain, the deviation of its gains, and the rest."""

    mean: Mean
    std: float
    net: NetMeasures

    def record(self) -> BaselineMeasures:
        return {"gain_bps_mean": self.mean.value, "gain_bps_std": self.std, **self.net}


def rows_of(evaluation: Evaluation) -> list[EvaluationRow]:
    """One record per scenario and min period."""
    periods = range(len(evaluation.spec.min_periods))
    return [_row(evaluation, evaluation.pick(s, i)) for s in range(len(SCENARIOS)) for i in periods]


def _row(evaluation: Evaluation, pick: Pick) -> EvaluationRow:
    side, kind, benchmark = SCENARIOS[pick[0]]
    m, best, optimum = evaluation.period(pick), evaluation.optimum_gain(pick), evaluation.optimum
    own = _measured(evaluation, MODEL, pick)
    others = {name: _measured(evaluation, name, pick) for name in evaluation.outcomes if name != MODEL}
    may_stop = m < evaluation.spec.n and best > 0
    gains = evaluation.outcomes[MODEL].gain[pick]
    row: EvaluationRow = {
        "side": side.name.lower(),
        "target_kind": kind.value,
        "benchmark": benchmark.value,
        "min_period": m,
        "orders": len(gains),
        "gain_bps": gain_summary(gains, own.mean),
        "abs_slippage_bps_mean": own.net["abs_slippage_bps_mean"],
        "gain_after_impact_bps_mean": own.net["gain_after_impact_bps_mean"],
        "arrival_gain_bps_mean": own.net["arrival_gain_bps_mean"],
        "arrival_gain_bps_ci95": own.net["arrival_gain_bps_ci95"],
        "intervals_mean": own.net["intervals_mean"],
        "bound_gain_bps": best,
        "fraction_of_bound": own.mean.value / best if may_stop else None,
        "baselines": {name: measured.record() for name, measured in others.items()},
        "versus": {name: _versus(evaluation, name, pick) for name in others},
        "arrival_achievable_bps": optimum.arrival,
        "arrival_fraction": own.net["arrival_gain_bps_mean"] / optimum.arrival if optimum.arrival else None,
    }
    if may_stop and optimum.regrets is not None and kind is TargetKind.QUANTITY:
        row["regret"] = _regret(optimum.regrets[pick], best)
    if OPTIMAL_IMPACT in others:
        row["impact"] = _impact_fractions(own, others, NEGLIGIBLE * BPS * optimum.sigma)
    if m == evaluation.spec.n and benchmark is BenchmarkKind.VWAP:
        row["slippage_against_curve"] = _curve_slippage(evaluation, pick)
    return row


def _regret(lost_bps: FloatArray, best: float) -> FractionOfBound:
    lost = controlled_mean(lost_bps, [])
    low, high = lost.interval
    return {"fraction_of_bound": 1.0 - lost.value / best, "ci95": [1.0 - high / best, 1.0 - low / best]}


def _impact_fractions(own: _Measured, others: dict[str, _Measured], least_bps: float) -> ImpactFractions:
    """Gain after impact as the fraction of what an exact optimum adds to TWAP, and the better simple rule.

    Two optima: of the order's risk aversion (the "programme"), and of the mean alone, which no policy can
    exceed ("neutral"). None where the optimum adds less than ``least_bps``: TWAP is then as good as optimal.
    """

    def net(measured: _Measured) -> float:
        return measured.net["gain_after_impact_bps_mean"]

    even, averse, neutral = (net(others[name]) for name in (TWAP, OPTIMAL_RISK, OPTIMAL_IMPACT))
    rule = max(net(others[RULE]), net(others[DUMP]))

    def fraction(best: float) -> float | None:
        return (net(own) - even) / (best - even) if best - even > least_bps else None

    return {
        "fraction_of_programme": fraction(averse),
        "programme_bps": averse,
        "fraction_of_neutral": fraction(neutral),
        "neutral_bps": neutral,
        "better_rule_bps": rule,
        "above_better_rule_bps": net(own) - rule,
    }


def _curve_slippage(evaluation: Evaluation, pick: Pick) -> CurveSlippage | None:
    """Mean absolute slippage against the static volume curve's, in percent more; None where that is 0."""
    own = np.abs(evaluation.outcomes[MODEL].gain[pick])
    curve = np.abs(evaluation.outcomes[CURVE].gain[pick])
    if curve.mean() <= NEGLIGIBLE * BPS * evaluation.optimum.sigma:
        return None
    ratio = evaluation.estimate.ratio(own, curve)
    return {"percent": 100.0 * (ratio.value - 1.0), "ci95": [100.0 * (end - 1.0) for end in ratio.interval]}


def _measured(evaluation: Evaluation, name: str, pick: Pick) -> _Measured:
    outcome = evaluation.outcomes[name]
    itself = name == RULE and SCENARIOS[pick[0]][1] is TargetKind.QUANTITY  # the variate is made of it
    paired = None if itself else evaluation.known_zero(pick)
    mean = evaluation.estimate.mean(outcome.gain[pick], outcome.exposure[pick], paired)
    arrival = evaluation.estimate.mean(outcome.arrival[pick], outcome.exposure[pick])
    net: NetMeasures = {
        "abs_slippage_bps_mean": float(np.abs(outcome.gain[pick]).mean()),
        "gain_after_impact_bps_mean": mean.value - float(outcome.impact[pick].mean()),
        "arrival_gain_bps_mean": arrival.value,
        "arrival_gain_bps_ci95": arrival.interval,
        "intervals_mean": float(outcome.finish[pick].mean()) + 1.0,
    }
    return _Measured(mean, float(outcome.gain[pick].std()), net)


def _versus(evaluation: Evaluation, name: str, pick: Pick) -> Versus:
    """Model less baseline on the same orders: mean and interval of gain, gain after impact, arrival gain."""
    own, other, estimate = evaluation.outcomes[MODEL], evaluation.outcomes[name], evaluation.estimate
    gain = own.gain[pick] - other.gain[pick]
    impact = own.impact[pick] - other.impact[pick]
    exposure = own.exposure[pick] - other.exposure[pick]
    paired = evaluation.known_zero(pick)
    gross, net = estimate.mean(gain, exposure, paired), estimate.mean(gain - impact, exposure, paired)
    arrival = estimate.mean(own.arrival[pick] - other.arrival[pick], exposure)
    return {
        "gain_bps_mean": gross.value,
        "gain_bps_ci95": gross.interval,
        "gain_after_impact_bps_mean": net.value,
        "gain_after_impact_bps_ci95": net.interval,
        "arrival_gain_bps_mean": arrival.value,
        "arrival_gain_bps_ci95": arrival.interval,
    }
