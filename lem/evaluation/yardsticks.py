"""What a gain is divided by: exact optima at a volatility, or nothing where nobody knows the optimum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.core.market.bars import FloatArray
from agent.core.types import BenchmarkKind, Side, TargetKind
from lem.bars.simulate import MARTINGALES, PREDICTABLE, VOLUME_SIGMA
from lem.evaluation.paths import BPS, Question
from lem.network.model_config import SCENARIOS
from lem.network.objective import Orders
from lem.optima.arrival_optimum import arrival_gain_sigma
from lem.optima.bound import PRICE_MODEL, gain_sigma
from lem.optima.programme import Terms
from lem.optima.regret import regret
from lem.optima.vwap_optimum import solve_vwap

OWN = "the market's own optimum"
TRAILING = "the optimum on driftless bars of the windows' mean trailing volatility"
NOMINAL = "the optimum on driftless bars of the nominal volatility, not this market's own"


@dataclass(frozen=True, slots=True)
class Yardsticks:
    """The optimum's gain for (benchmark, m) in bps at ``sigma``, and of the arrival price."""

    bounds: dict[tuple[BenchmarkKind, int], float]
    bound_is: str
    sigma: float
    arrival: float | None = None
    regrets: FloatArray | None = None  # [8, N * M] bps, where the optimum's programme is known


def bounds(market: str, question: Question) -> dict[tuple[BenchmarkKind, int], float]:
    """The optimum's gain in bps; against VWAP with random volume it has a programme of its own.

    ``market`` "": real bars. The min rate changes nothing: a mean depends on when one stops only.
    """
    out = {}
    price_model = price_model_of(market)
    for m in question.min_periods:
        plain = gain_sigma(question.n, m, question.max_rate, price_model)
        volume = plain
        if market.endswith("-volume") and m < question.n:
            terms = Terms(question.n, m, question.min_rate, question.max_rate, price_model)
            volume = solve_vwap(terms, VOLUME_SIGMA).gain_sigma
        out[BenchmarkKind.TWAP, m] = BPS * question.sigma * plain
        out[BenchmarkKind.VWAP, m] = BPS * question.sigma * volume
    return out


def price_model_of(market: str) -> str:
    return PRICE_MODEL.get(market, "bars")


def bound_is(market: str) -> str:
    """What the bounds are, in words."""
    if not market:
        return TRAILING
    return OWN if market in MARTINGALES else NOMINAL


def achievable(market: str, question: Question, history: int) -> float | None:
    """What the best policy earns against the arrival price, bps; None where nobody knows or asks."""
    asked = question.arrival_weight == 1.0 and question.participation == 0.0 and question.max_rate == 1.0
    if market not in PREDICTABLE or not asked:
        return None
    return BPS * question.sigma * arrival_gain_sigma(market, question.n, max(2, history))


def no_regret(market: str, question: Question) -> str | None:
    """Why regret is not measured; None where it is."""
    if market not in MARTINGALES:
        return "this market's own stopping programme is not known"
    if market.endswith("-volume"):
        return "its programme is for a time-weighted benchmark under constant volume"
    if question.participation > 0:
        return "orders that take part in the market also stop to save impact"
    if question.max_rate < 1 or question.min_rate > 0:
        return "its programme has no rate limits"
    return None


def regrets(
    orders: Orders, finish: npt.NDArray[np.int64], question: Question, bars: bool, sigma: float
) -> FloatArray:
    """Bps given up by stopping when the model does, [8, N * M]; NaN for a notional: it has no programme."""
    price, last = orders.price.numpy() / sigma, orders.last.numpy() / sigma
    out = np.full(finish.shape, np.nan)
    periods = len(question.min_periods)
    for side in Side:
        rows = [s for s, (x, kind, _) in enumerate(SCENARIOS) if x is side and kind is TargetKind.QUANTITY]
        for i, m in enumerate(question.min_periods):
            at = slice(i, None, periods)
            out[rows, at] = regret(price[at], last[at], int(side), finish[rows, at], question.n, m, bars)
    return BPS * sigma * out
