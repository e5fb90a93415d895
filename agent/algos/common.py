"""What the schedules share: the end of an order, and plain estimates from interval bars."""

from __future__ import annotations

from math import isfinite

import numpy as np

from agent.core.arrays import FloatArray
from agent.core.market.bars import FBarArray
from agent.core.types import OrderView, Slice

VOLATILITY_BARS = 60


def closing(order: OrderView) -> Slice | None:
    """Return the slice that ends the order where there is no choice left, else None."""
    if order.finishing:
        return Slice(order.remaining, True, reason="finish was decided: trade all that is left")
    if order.t >= order.n - 1:
        return Slice(order.remaining, True, reason="last interval: trade all that is left")
    return None


def volumes(bars: FBarArray) -> FloatArray:
    """Return the bars' base volumes, NaN where a bar is unknown."""
    seen: FloatArray = bars["volume"].astype(np.float64)
    return np.where(np.isfinite(seen) & (seen >= 0), seen, np.nan)


def interval_volatility(bars: FBarArray) -> float | None:
    """Return the volatility of close-to-close log returns an interval; None with fewer than two.

    The mean is taken as 0, as over intervals of minutes its estimate is noise.
    """
    close = bars["close"][-(VOLATILITY_BARS + 1) :]
    close = close[np.isfinite(close) & (close > 0)]
    if close.size < 3:
        return None
    sigma = float(np.sqrt(np.mean(np.diff(np.log(close)) ** 2)))
    return sigma if isfinite(sigma) and sigma > 0 else None


def percent(share: float) -> str:
    """As in 12.5 %."""
    return f"{100 * share:.1f} %"
