"""Regimes: orders sorted by what the market had done before they began; nothing after that counts.

Volatility and trend are split into thirds, and stress is the top twentieth, within each series: pooled over
series, a regime would say which symbol it is rather than how the symbol is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.core.market.bars import FBarArray, FloatArray
from agent.core.market.features import LONG_SPAN, SHORT_SPAN, recent_sigma
from agent.core.types import Side
from lem.evaluation.evaluate_rows import MODEL, RULE, Judged, Pick
from lem.evaluation.evaluate_summary import blend, room
from lem.evaluation.statistics import BoolArray, Mean
from lem.network.model_config import SCENARIOS

STRESS = 0.05
FEW = 20  # orders: below it no interval is given
DEFINITIONS = {
    "volatility": f"thirds of the volatility of the last {LONG_SPAN} bars before the order",
    "trend": f"thirds of the move over the last {LONG_SPAN} bars before the order, in its own volatility",
    "stress": f"volatility of the last {SHORT_SPAN} bars before the order among the top {STRESS:.0%}, or not",
}


@dataclass(frozen=True, slots=True)
class Conditions:
    """What each order began in, [N]; NaN where too few bars are known. ``inside``: what came, for reading."""

    sigma: FloatArray
    burst: FloatArray
    trend: FloatArray
    inside: FloatArray

    @staticmethod
    def join(parts: Sequence[Conditions]) -> Conditions:
        names = Conditions.__slots__
        return Conditions(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


@dataclass(frozen=True, slots=True)
class Regime:
    """One kind's level and which orders are in it, [N]."""

    kind: str
    level: str
    chosen: BoolArray


def conditions(bars: FBarArray, start: int) -> Conditions:
    """Conditions of orders that start at row ``start`` of ``bars`` [N, T], NaN before they are known."""
    known = bars[:, max(0, start - LONG_SPAN - 1) : start]
    nothing = np.full(len(bars), np.nan)
    closes = np.log(bars["close"][:, max(0, start - 1) :])
    inside = np.sqrt(np.nanmean(np.diff(closes, axis=1) ** 2, axis=1))
    if known.shape[1] < SHORT_SPAN + 1:
        return Conditions(nothing, nothing, nothing, inside)
    moves = np.diff(np.log(known["close"]), axis=1)
    sigma = recent_sigma(known)[:, -1]
    burst = np.sqrt((moves[:, -SHORT_SPAN:] ** 2).mean(1))
    with np.errstate(divide="ignore", invalid="ignore"):
        trend = moves.sum(1) / (sigma * np.sqrt(moves.shape[1]))
    return Conditions(sigma, burst, np.where(np.isfinite(trend), trend, np.nan), inside)


def regimes(found: Conditions, series: npt.NDArray[np.int64]) -> list[Regime]:
    """Sort orders [N] by their conditions; ``series`` [N] says which series each belongs to."""
    out = []
    for kind, column, names in (
        ("volatility", found.sigma, ("low", "middle", "high")),
        ("trend", found.trend, ("falling", "sideways", "rising")),
    ):
        rank = _rank(column, series)
        edges = (-0.5, 1 / 3, 2 / 3, 1.5)
        for name, low, high in zip(names, edges[:-1], edges[1:], strict=True):
            out.append(Regime(kind, name, (rank >= low) & (rank < high)))
    rank = _rank(found.burst, series)
    out.append(Regime("stress", "yes", rank >= 1.0 - STRESS))
    out.append(Regime("stress", "no", rank < 1.0 - STRESS))
    return [regime for regime in out if regime.chosen.any()]


def _rank(x: FloatArray, series: npt.NDArray[np.int64]) -> FloatArray:
    """Rank in [0, 1) of each order among those of its series; NaN where ``x`` is."""
    rank = np.full(len(x), np.nan)
    for one in np.unique(series):
        rows = np.flatnonzero((series == one) & np.isfinite(x))
        rank[rows[np.argsort(x[rows], kind="stable")]] = np.arange(len(rows)) / max(1, len(rows))
    return rank


def regimes_of(
    judged: Judged, found: Conditions, series: npt.NDArray[np.int64], constant: bool
) -> dict[str, Any]:
    """Rows by scenario and min period, and their summary by side, for every regime.

    The bound is at the regime's own mean trailing volatility, or where that is ``constant`` at the market's.
    """
    rows, summary = [], []
    periods = range(len(judged.question.min_periods))
    for regime in regimes(found, series):
        scale = 1.0 if constant else float(found.sigma[regime.chosen].mean()) / judged.yard.sigma
        shared = {
            "kind": regime.kind,
            "regime": regime.level,
            "orders": int(regime.chosen.sum()),
            "sigma": scale * judged.yard.sigma,
            "sigma_inside": float(np.nanmean(found.inside[regime.chosen])),
        }
        picks = [judged.pick(s, i) for s in range(len(SCENARIOS)) for i in periods]
        rows += [shared | _row(judged, pick, regime.chosen, scale) for pick in picks]
        summary += [shared | record for record in _by_side(judged, regime.chosen, scale)]
    return {"definitions": DEFINITIONS, "summary": summary, "rows": rows}


def _row(judged: Judged, pick: Pick, chosen: BoolArray, scale: float) -> dict[str, Any]:
    side, kind, benchmark = SCENARIOS[pick[0]]
    own, rule = judged.outcomes[MODEL], judged.outcomes[RULE]
    m, bound = judged.question.min_periods[pick[1].start], scale * judged.bound(pick)
    gain = judged.estimate.within(own.gain[pick], own.exposure[pick], chosen)
    versus = judged.estimate.within(
        own.gain[pick] - rule.gain[pick], own.exposure[pick] - rule.exposure[pick], chosen
    )
    return {
        "side": side.name.lower(),
        "target_kind": kind.value,
        "benchmark": benchmark.value,
        "min_period": m,
        **_told("gain_bps", gain, chosen),
        "bound_gain_bps": bound,
        "fraction_of_bound": gain.value / bound if bound > 0 and m < judged.question.n else None,
        **_told("versus_rule_bps", versus, chosen),
    }


def _by_side(judged: Judged, chosen: BoolArray, scale: float) -> list[dict[str, Any]]:
    """Means over targets, benchmarks and the min periods with room to stop, as fractions of the bound."""
    periods = room(judged)
    if not periods:
        return []
    out = []
    for side in Side:
        rows = [s for s, scenario in enumerate(SCENARIOS) if scenario[0] is side]
        picks = [judged.pick(s, i) for s in rows for i in periods]
        own, rule = blend(judged, MODEL, picks), blend(judged, RULE, picks)
        fraction = judged.estimate.within(own.fraction / scale, own.exposure / scale, chosen)
        versus = judged.estimate.within(
            (own.fraction - rule.fraction) / scale, (own.exposure - rule.exposure) / scale, chosen
        )
        gains = np.mean([judged.outcomes[MODEL].gain[p][chosen].mean() for p in picks])
        out.append(
            {
                "side": side.name.lower(),
                "min_periods": [judged.question.min_periods[i] for i in periods],
                "gain_bps_mean": float(gains),
                **_told("fraction_of_bound", fraction, chosen),
                **_told("versus_rule_fraction", versus, chosen),
            }
        )
    return out


def _told(name: str, mean: Mean, chosen: BoolArray) -> dict[str, Any]:
    enough = int(chosen.sum()) >= FEW
    return {f"{name}_mean": mean.value, f"{name}_ci95": mean.interval if enough else None}
