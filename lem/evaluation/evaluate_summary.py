"""The one line per evaluation: buy and sell together, over the min periods that leave room to stop.

Each order path counts once: its gains, as fractions of the bound, are averaged over sides and min periods
before any interval is made, because what one path does in them is not independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.core.market.bars import FloatArray
from agent.core.types import BenchmarkKind, TargetKind
from lem.evaluation.evaluate_rows import MODEL, RULE, Judged, Pick
from lem.evaluation.statistics import Mean
from lem.network.model_config import SCENARIOS

ALL = "all"


@dataclass(frozen=True, slots=True)
class Blend:
    """Mean over several picks of gain / bound for each path, and what has mean 0 on a martingale; [N]."""

    fraction: FloatArray
    exposure: FloatArray
    paired: FloatArray


def room(judged: Judged) -> list[int]:
    """Which min periods count: up to n / 2, with something to gain."""
    n = judged.question.n
    periods = enumerate(judged.question.min_periods)
    return [i for i, m in periods if 2 * m <= n and judged.bound(judged.pick(0, i)) > 0]


def blend(judged: Judged, name: str, picks: Sequence[Pick]) -> Blend:
    """One strategy's ``Blend`` over ``picks``."""
    outcome = judged.outcomes[name]
    bounds = [judged.bound(pick) for pick in picks]

    def mean(columns: Sequence[FloatArray]) -> FloatArray:
        out: FloatArray = np.mean([c / bound for c, bound in zip(columns, bounds, strict=True)], axis=0)
        return out

    return Blend(
        mean([outcome.gain[p] for p in picks]),
        mean([outcome.exposure[p] for p in picks]),
        mean([judged.known_zero(p) for p in picks]),
    )


def summary_of(judged: Judged) -> list[dict[str, Any]]:
    """A record per target and benchmark, and one over all; none where no min period leaves room."""
    periods = room(judged)
    if not periods:
        return []
    kinds = [(kind.value, benchmark.value) for kind in TargetKind for benchmark in BenchmarkKind]
    return [_record(judged, periods, *which) for which in [*kinds, (ALL, ALL)]]


def _record(judged: Judged, periods: list[int], kind: str, benchmark: str) -> dict[str, Any]:
    rows = [
        s for s, (_, k, b) in enumerate(SCENARIOS) if kind in (k.value, ALL) and benchmark in (b.value, ALL)
    ]
    picks = [judged.pick(s, i) for i in periods for s in rows]
    by_period = {
        judged.question.min_periods[i]: _fraction(judged, MODEL, [judged.pick(s, i) for s in rows])
        for i in periods
    }
    lowest = min(by_period, key=lambda m: by_period[m].value)
    found = _fraction(judged, MODEL, picks)
    versus = difference(judged, picks)
    return {
        "target_kind": kind,
        "benchmark": benchmark,
        "sides": [side.name.lower() for side in dict.fromkeys(SCENARIOS[s][0] for s in rows)],
        "min_periods": list(by_period),
        "orders": len(judged.outcomes[MODEL].gain[picks[0]]),
        "gain_bps_mean": float(np.mean([judged.outcomes[MODEL].gain[p].mean() for p in picks])),
        "bound_gain_bps": float(np.mean([judged.bound(p) for p in picks])),
        "fraction_of_bound": found.value,
        "ci95": found.interval,
        "lowest": {
            "min_period": lowest,
            "fraction_of_bound": by_period[lowest].value,
            "ci95": by_period[lowest].interval,
        },
        "rule_fraction_of_bound": _fraction(judged, RULE, picks).value,
        **_arrival(judged, picks),
        "versus_rule": {"fraction_of_bound": versus.value, "ci95": versus.interval},
    }


def _fraction(judged: Judged, name: str, picks: Sequence[Pick]) -> Mean:
    one = blend(judged, name, picks)
    return judged.estimate.mean(one.fraction, one.exposure, None if name == RULE else one.paired)


def _arrival(judged: Judged, picks: Sequence[Pick]) -> dict[str, Any]:
    """Gain against the price before the order: of buy and sell together the market's drift has no part."""
    own = judged.outcomes[MODEL]
    gain = np.mean([own.arrival[p] for p in picks], axis=0)
    mean = judged.estimate.mean(gain, np.mean([own.exposure[p] for p in picks], axis=0))
    return {"arrival_gain_bps_mean": mean.value, "arrival_gain_bps_ci95": mean.interval}


def difference(judged: Judged, picks: Sequence[Pick]) -> Mean:
    """Model less stopping rule, as a fraction of the bound, paired."""
    own, rule = blend(judged, MODEL, picks), blend(judged, RULE, picks)
    return judged.estimate.mean(own.fraction - rule.fraction, own.exposure - rule.exposure, own.paired)
