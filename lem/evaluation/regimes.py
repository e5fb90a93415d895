"""Regimes: orders sorted by what the market had done before they began, and the model's results in each.

Volatility and trend are split into thirds, and stress is the top twentieth, within each series: pooled over
series, a regime would tell symbols apart rather than times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.core.arrays import BoolArray, FloatArray, IntArray
from agent.core.market.bars import FBarArray
from agent.core.market.features import LONG_SPAN, SHORT_SPAN, recent_sigma
from agent.core.types import Side
from lem.evaluation.baselines import RULE
from lem.evaluation.evaluate_rows import MODEL, Evaluation, Pick
from lem.evaluation.evaluate_summary import blend, flexible_periods
from lem.evaluation.evaluation_document import Interval, RegimeKey, RegimeRow, Regimes, RegimeSummary
from lem.evaluation.statistics import Mean
from lem.network.model_config import SCENARIOS

STRESS = 0.05
FEW = 20  # orders: with fewer no interval is given
DEFINITIONS = {
    "volatility": f"thirds of the volatility of the last {LONG_SPAN} bars before the order",
    "trend": f"thirds of the move over the last {LONG_SPAN} bars before the order, in its own volatility",
    "stress": f"volatility of the last {SHORT_SPAN} bars before the order among the top {STRESS:.0%}, or not",
}


@dataclass(frozen=True, slots=True)
class Conditions:
    """The market when each order began, [N]; NaN where too few bars are known.

    ``sigma``: volatility of the last LONG_SPAN bars, ``burst`` of the last SHORT_SPAN, fractions of the price
    an interval; ``trend``: the move over LONG_SPAN bars in its own volatility; ``inside``: the volatility
    while the order ran, which sorts nothing.
    """

    sigma: FloatArray
    burst: FloatArray
    trend: FloatArray
    inside: FloatArray

    @staticmethod
    def join(parts: Sequence[Conditions]) -> Conditions:
        """Conditions of several batches of orders, one after another."""
        names = Conditions.__slots__
        return Conditions(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


@dataclass(frozen=True, slots=True)
class Regime:
    """One level of one kind, and which orders are in it, [N]."""

    kind: str
    level: str
    chosen: BoolArray


def conditions(bars: FBarArray, start: int) -> Conditions:
    """Conditions of orders that start at row ``start`` of ``bars`` [N, T]."""
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


def regimes(found: Conditions, series: IntArray) -> list[Regime]:
    """Sort orders [N] by their conditions; ``series`` [N]: the series each belongs to."""
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


def _rank(x: FloatArray, series: IntArray) -> FloatArray:
    """Rank in [0, 1) of each order among those of its series; NaN where ``x`` is."""
    rank = np.full(len(x), np.nan)
    for one in np.unique(series):
        rows = np.flatnonzero((series == one) & np.isfinite(x))
        rank[rows[np.argsort(x[rows], kind="stable")]] = np.arange(len(rows)) / max(1, len(rows))
    return rank


def regimes_of(evaluation: Evaluation, found: Conditions, series: IntArray, constant: bool) -> Regimes:
    """Rows by scenario and min period, and their summary by side, for every regime.

    The optimum is taken at the regime's own mean trailing volatility, or at the market's where that is
    ``constant``.
    """
    rows: list[RegimeRow] = []
    summary: list[RegimeSummary] = []
    for regime in regimes(found, series):
        scale = 1.0
        if not constant:
            scale = float(found.sigma[regime.chosen].mean()) / evaluation.optimum.sigma
        view = _View(evaluation, regime, scale, float(np.nanmean(found.inside[regime.chosen])))
        rows += view.rows()
        summary += view.by_side()
    return {"definitions": DEFINITIONS, "summary": summary, "rows": rows}


@dataclass(frozen=True, slots=True)
class _View:
    """An evaluation within one regime; ``scale``: its volatility in units of the whole evaluation's."""

    evaluation: Evaluation
    regime: Regime
    scale: float
    sigma_inside: float

    def rows(self) -> list[RegimeRow]:
        periods = range(len(self.evaluation.spec.min_periods))
        return [self._row(self.evaluation.pick(s, i)) for s in range(len(SCENARIOS)) for i in periods]

    def by_side(self) -> list[RegimeSummary]:
        """Means over targets, benchmarks and flexible min periods, as fractions of the optimum's gain."""
        periods = flexible_periods(self.evaluation)
        return [self._side(side, periods) for side in Side] if periods else []

    def _key(self, side: Side) -> RegimeKey:
        return {
            "kind": self.regime.kind,
            "regime": self.regime.level,
            "orders": self._orders,
            "sigma": self._sigma,
            "sigma_inside": self.sigma_inside,
            "side": side.name.lower(),
        }

    def _row(self, pick: Pick) -> RegimeRow:
        side, kind, benchmark = SCENARIOS[pick[0]]
        own, rule = self.evaluation.outcomes[MODEL], self.evaluation.outcomes[RULE]
        m, best = self.evaluation.period(pick), self.scale * self.evaluation.optimum_gain(pick)
        gain = self._within(own.gain[pick], own.exposure[pick])
        versus = self._within(own.gain[pick] - rule.gain[pick], own.exposure[pick] - rule.exposure[pick])
        return {
            **self._key(side),
            "target_kind": kind.value,
            "benchmark": benchmark.value,
            "min_period": m,
            "gain_bps_mean": gain.value,
            "gain_bps_ci95": self._interval(gain),
            "bound_gain_bps": best,
            "fraction_of_bound": gain.value / best if best > 0 and m < self.evaluation.spec.n else None,
            "versus_rule_bps_mean": versus.value,
            "versus_rule_bps_ci95": self._interval(versus),
        }

    def _side(self, side: Side, periods: list[int]) -> RegimeSummary:
        evaluation, scale = self.evaluation, self.scale
        rows = [s for s, scenario in enumerate(SCENARIOS) if scenario[0] is side]
        picks = [evaluation.pick(s, i) for s in rows for i in periods]
        own, rule = blend(evaluation, MODEL, picks), blend(evaluation, RULE, picks)
        fraction = self._within(own.fraction / scale, own.exposure / scale)
        versus = self._within((own.fraction - rule.fraction) / scale, (own.exposure - rule.exposure) / scale)
        gains = np.mean([evaluation.outcomes[MODEL].gain[p][self.regime.chosen].mean() for p in picks])
        return {
            **self._key(side),
            "min_periods": [evaluation.spec.min_periods[i] for i in periods],
            "gain_bps_mean": float(gains),
            "fraction_of_bound_mean": fraction.value,
            "fraction_of_bound_ci95": self._interval(fraction),
            "versus_rule_fraction_mean": versus.value,
            "versus_rule_fraction_ci95": self._interval(versus),
        }

    def _within(self, x: FloatArray, exposure: FloatArray) -> Mean:
        return self.evaluation.estimate.within(x, exposure, self.regime.chosen)

    @property
    def _orders(self) -> int:
        return int(self.regime.chosen.sum())

    @property
    def _sigma(self) -> float:
        return self.scale * self.evaluation.optimum.sigma

    def _interval(self, mean: Mean) -> Interval | None:
        return mean.interval if self._orders >= FEW else None
