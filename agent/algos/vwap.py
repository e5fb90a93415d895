"""Trade in step with the market's usual volume; the dynamic one also uses today's.

``vwap`` follows the intraday profile. ``vwap_dynamic`` splits volume into that profile and a deviation
that decays, log v = log profile + x with x an AR(1), after Bialkowski, Darolles and Le Fol, "Improving
VWAP strategies: a dynamic volume approach" (Journal of Banking & Finance, 2008): when the market is
busier than usual now, more is traded now, because the rest of the day is expected to calm down.
"""

from __future__ import annotations

import numpy as np

from agent.algos.common import closing, percent, volumes
from agent.algos.volume_profile import expected_curve, volume_profile
from agent.core.arrays import FloatArray
from agent.core.types import MarketView, OrderView, Slice

PERSISTENCE = 0.7
"""Default of ``algo_params["persistence"]``: how much of a log-volume deviation lasts an interval."""

MAX_DEVIATION = float(np.log(4.0))
LEVEL_BARS = 60


class Vwap:
    """Shares in proportion to the expected volume of the intervals left."""

    name = "vwap"

    def decide(self, order: OrderView, market: MarketView) -> Slice:
        end = closing(order)
        if end is not None:
            return end
        curve, source = expected_curve(order, market)
        return _slice(order, curve, f"vwap ({source})")


class VwapDynamic:
    """The same, with the curve bent by how busy the last intervals were against expectation."""

    name = "vwap_dynamic"

    def decide(self, order: OrderView, market: MarketView) -> Slice:
        end = closing(order)
        if end is not None:
            return end
        curve, source = expected_curve(order, market)
        rho = order.params.get("persistence", PERSISTENCE)
        deviation = _deviation(market, rho)
        if deviation is None:
            return _slice(order, curve, f"vwap_dynamic ({source}; no volume seen yet)")
        ahead = np.arange(1, curve.size + 1)
        busy = f"volume {np.exp(deviation):.2f} times the usual"
        return _slice(order, curve * np.exp(deviation * rho**ahead), f"vwap_dynamic ({source}; {busy})")


def _deviation(market: MarketView, rho: float) -> float | None:
    """Return the smoothed log deviation of recent volume from what was expected; None if unknown."""
    seen = volumes(market.bars)[-LEVEL_BARS:]
    known = np.isfinite(seen)
    if known.sum() < 2 or np.nansum(seen) <= 0:
        return None
    usual = _usual(market, seen)
    # Half an average interval on both sides keeps an empty interval from being infinitely quiet.
    floor = 0.5 * usual.mean()
    x = np.clip(np.log((seen + floor) / (usual + floor)), -MAX_DEVIATION, MAX_DEVIATION)
    age = np.arange(seen.size - 1, -1, -1)
    weights = rho ** age[known]
    return float((weights * x[known]).sum() / weights.sum()) if weights.sum() > 0 else None


def _usual(market: MarketView, seen: FloatArray) -> FloatArray:
    """Return the volume expected of each seen bar: by profile and lot where known, else their mean."""
    flat = np.full(seen.size, np.nanmean(seen))
    profile = volume_profile(market.klines, market.now_ns)
    if profile is None or market.lot <= 0:
        return flat
    starts = market.bars["start_ns"][-seen.size :]
    usual = profile.expected_each(starts, market.delta_ns) * market.lot
    return np.where(np.isfinite(usual) & (usual > 0), usual, flat)


def _slice(order: OrderView, curve: FloatArray, what: str) -> Slice:
    part = float(curve[0] / curve.sum())
    share = order.remaining * part
    reason = f"{what}: {percent(part)} of the volume expected until the end falls in this interval"
    return Slice(share, False, reason=reason)
