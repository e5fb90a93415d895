"""What an evaluation's gains are divided by: the gains of exact optima, where they are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.core.arrays import FloatArray, IntArray
from agent.core.orders.order_defaults import NO_MAX_RATE
from agent.core.types import BenchmarkKind, Side, TargetKind
from lem.bars.simulate import MARTINGALES, PREDICTABLE, VOLUME_SIGMA
from lem.evaluation.evaluation_spec import EvaluationSpec
from lem.evaluation.paths import BPS
from lem.network.model_config import SCENARIOS
from lem.network.objective import Orders
from lem.optima.arrival_optimum import arrival_gain_sigma
from lem.optima.optimum_terms import Terms
from lem.optima.regret import regret
from lem.optima.stopping_optimum import PRICE_MODEL, gain_sigma
from lem.optima.vwap_optimum import solve_vwap

OWN = "the market's own optimum"
TRAILING = "the optimum on driftless bars of the windows' mean trailing volatility"
NOMINAL = "the optimum on driftless bars of the nominal volatility, not this market's own"


@dataclass(frozen=True, slots=True)
class OptimumGains:
    """Gains of exact optima in bps, at the volatility ``sigma``.

    ``gains``: by benchmark and min period; ``description``: of which market they are the optimum;
    ``arrival``: against the arrival price; ``regrets`` [8, N * M]: what the model's stops gave up, where the
    stopping optimum is known.
    """

    gains: dict[tuple[BenchmarkKind, int], float]
    description: str
    sigma: float
    arrival: float | None = None
    regrets: FloatArray | None = None


def optimum_gains(market: str, spec: EvaluationSpec) -> dict[tuple[BenchmarkKind, int], float]:
    """The optimum's gain in bps by benchmark and min period; ``market`` "" is real bars.

    Against VWAP with random volume there is an optimum of its own. The min rate changes nothing: a mean gain
    depends on the time of stopping only.
    """
    out = {}
    price_model = price_model_of(market)
    for m in spec.min_periods:
        plain = gain_sigma(spec.n, m, spec.max_rate, price_model)
        volume = plain
        if market.endswith("-volume") and m < spec.n:
            terms = Terms(spec.n, m, spec.min_rate, spec.max_rate, price_model)
            volume = solve_vwap(terms, VOLUME_SIGMA).gain_sigma
        out[BenchmarkKind.TWAP, m] = BPS * spec.sigma * plain
        out[BenchmarkKind.VWAP, m] = BPS * spec.sigma * volume
    return out


def price_model_of(market: str) -> str:
    """The price model of a market's optimum: "walk" or "bars"."""
    return PRICE_MODEL.get(market, "bars")


def optimum_description(market: str, participation: float = 0.0) -> str:
    """Whose optimum the gains are divided by, for people: one without impact, whatever the orders are."""
    whose = TRAILING if not market else OWN if market in MARTINGALES else NOMINAL
    if not participation:
        return whose
    return f"{whose}, for orders that move no price; these are {100 * participation:g} % of the volume"


def arrival_optimum_gain(market: str, spec: EvaluationSpec, history: int) -> float | None:
    """The best policy's gain against the arrival price, bps; None where it is not known or not aimed at."""
    aimed_at = spec.arrival_weight == 1.0 and spec.participation == 0.0 and spec.max_rate == NO_MAX_RATE
    if market not in PREDICTABLE or not aimed_at:
        return None
    return BPS * spec.sigma * arrival_gain_sigma(market, spec.n, max(2, history))


def why_no_regret(market: str, spec: EvaluationSpec) -> str | None:
    """Why regret is not measured; None where it is."""
    if market not in MARTINGALES:
        return "this market's own exact optimum is not known"
    if market.endswith("-volume"):
        return "its exact optimum is for a time-weighted benchmark under constant volume"
    if spec.participation > 0:
        return "orders that take part in the market also stop to save impact"
    if spec.max_rate < 1 or spec.min_rate > 0:
        return "its exact optimum has no rate limits"
    return None


def regrets_bps(
    orders: Orders, finish: IntArray, spec: EvaluationSpec, bars: bool, sigma: float
) -> FloatArray:
    """Bps given up by stopping in ``finish``, [8, N * M]; NaN for a notional, whose optimum is not known."""
    price, last = orders.price.numpy() / sigma, orders.last.numpy() / sigma
    out = np.full(finish.shape, np.nan)
    periods = len(spec.min_periods)
    for side in Side:
        rows = [s for s, (x, kind, _) in enumerate(SCENARIOS) if x is side and kind is TargetKind.QUANTITY]
        for i, m in enumerate(spec.min_periods):
            at = slice(i, None, periods)
            out[rows, at] = regret(price[at], last[at], int(side), finish[rows, at], spec.n, m, bars)
    return BPS * sigma * out
