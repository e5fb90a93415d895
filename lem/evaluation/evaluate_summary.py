"""Summary rows of an evaluation: buy and sell together, over the min periods up to n / 2.

Each path counts once: its gains, as fractions of the optimum's, are averaged over sides and min periods
before any interval is estimated, because what one path does in them is not independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.core.arrays import FloatArray
from agent.core.types import BenchmarkKind, TargetKind
from lem.evaluation.baselines import RULE
from lem.evaluation.evaluate_rows import MODEL, Evaluation, Pick
from lem.evaluation.evaluation_document import SummaryRow
from lem.evaluation.statistics import Mean
from lem.network.model_config import SCENARIOS

ALL = "all"


@dataclass(frozen=True, slots=True)
class Blend:
    """Mean over several picks of gain / optimum's gain for each path, and its control variates; [N] each."""

    fraction: FloatArray
    exposure: FloatArray
    paired: FloatArray


def flexible_periods(evaluation: Evaluation) -> list[int]:
    """Places of the min periods that count: up to n / 2, where the optimum gains something."""
    n = evaluation.spec.n
    periods = enumerate(evaluation.spec.min_periods)
    return [i for i, m in periods if 2 * m <= n and evaluation.optimum_gain(evaluation.pick(0, i)) > 0]


def blend(evaluation: Evaluation, name: str, picks: Sequence[Pick]) -> Blend:
    """One strategy's ``Blend`` over ``picks``."""
    outcome = evaluation.outcomes[name]
    gains = [evaluation.optimum_gain(pick) for pick in picks]

    def mean(columns: Sequence[FloatArray]) -> FloatArray:
        out: FloatArray = np.mean([c / gain for c, gain in zip(columns, gains, strict=True)], axis=0)
        return out

    return Blend(
        mean([outcome.gain[p] for p in picks]),
        mean([outcome.exposure[p] for p in picks]),
        mean([evaluation.known_zero(p) for p in picks]),
    )


def summary_of(evaluation: Evaluation) -> list[SummaryRow]:
    """A row per target and benchmark, and one over all; none where no min period is flexible."""
    periods = flexible_periods(evaluation)
    if not periods:
        return []
    kinds = [(kind.value, benchmark.value) for kind in TargetKind for benchmark in BenchmarkKind]
    return [_summary_row(evaluation, periods, *which) for which in [*kinds, (ALL, ALL)]]


def _summary_row(evaluation: Evaluation, periods: list[int], kind: str, benchmark: str) -> SummaryRow:
    rows = [
        s for s, (_, k, b) in enumerate(SCENARIOS) if kind in (k.value, ALL) and benchmark in (b.value, ALL)
    ]
    picks = [evaluation.pick(s, i) for i in periods for s in rows]
    by_period = {
        evaluation.spec.min_periods[i]: _fraction(evaluation, MODEL, [evaluation.pick(s, i) for s in rows])
        for i in periods
    }
    lowest = min(by_period, key=lambda m: by_period[m].value)
    fraction, versus = _fraction(evaluation, MODEL, picks), difference(evaluation, picks)
    arrival, own = _arrival(evaluation, picks), evaluation.outcomes[MODEL]
    return {
        "target_kind": kind,
        "benchmark": benchmark,
        "sides": [side.name.lower() for side in dict.fromkeys(SCENARIOS[s][0] for s in rows)],
        "min_periods": list(by_period),
        "orders": len(own.gain[picks[0]]),
        "gain_bps_mean": float(np.mean([own.gain[p].mean() for p in picks])),
        "bound_gain_bps": float(np.mean([evaluation.optimum_gain(p) for p in picks])),
        "fraction_of_bound": fraction.value,
        "ci95": fraction.interval,
        "lowest": {
            "min_period": lowest,
            "fraction_of_bound": by_period[lowest].value,
            "ci95": by_period[lowest].interval,
        },
        "rule_fraction_of_bound": _fraction(evaluation, RULE, picks).value,
        "arrival_gain_bps_mean": arrival.value,
        "arrival_gain_bps_ci95": arrival.interval,
        "versus_rule": {"fraction_of_bound": versus.value, "ci95": versus.interval},
    }


def _fraction(evaluation: Evaluation, name: str, picks: Sequence[Pick]) -> Mean:
    one = blend(evaluation, name, picks)
    return evaluation.estimate.mean(one.fraction, one.exposure, None if name == RULE else one.paired)


def _arrival(evaluation: Evaluation, picks: Sequence[Pick]) -> Mean:
    """Gain against the price before the order: over buy and sell together the market's drift cancels."""
    own = evaluation.outcomes[MODEL]
    gain = np.mean([own.arrival[p] for p in picks], axis=0)
    return evaluation.estimate.mean(gain, np.mean([own.exposure[p] for p in picks], axis=0))


def difference(evaluation: Evaluation, picks: Sequence[Pick]) -> Mean:
    """Model less stopping rule, as a fraction of the optimum's gain, paired."""
    own, rule = blend(evaluation, MODEL, picks), blend(evaluation, RULE, picks)
    return evaluation.estimate.mean(own.fraction - rule.fraction, own.exposure - rule.exposure, own.paired)
