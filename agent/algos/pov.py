"""Percentage of volume: keep own volume a fixed share of the market's."""

from __future__ import annotations

from math import isfinite

import numpy as np

from agent.algos.common import closing, percent, volumes
from agent.core.types import MarketView, OrderView, Slice

RATE = 0.1
"""Default of ``algo_params["rate"]``: own volume as a share of the market's."""

RECENT_BARS = 12


class Pov:
    """Trades what brings own volume to ``rate`` of the market's by the end of the coming interval.

    The market's volume is what traded since the start plus the mean of recent intervals for the coming
    one. A day too quiet leaves a remainder, which the last interval trades.
    """

    name = "pov"

    def decide(self, order: OrderView, market: MarketView) -> Slice:
        end = closing(order)
        if end is not None:
            return end
        rate = order.params.get("rate", RATE)
        known = _market_volume(order, market)
        if known is None:
            share = order.remaining / (order.n - order.t)
            return Slice(share, False, reason="pov: no market volume seen yet, so evenly over what is left")
        traded, coming = known
        filled = 1.0 - order.remaining
        share = min(order.remaining, max(0.0, rate * (traded + coming) - filled))
        finish = share >= order.remaining and order.t + 1 >= order.m
        reason = (
            f"pov: own volume is {percent(order.own_volume_share)} of the market's against a target of"
            f" {percent(rate)}"
        )
        return Slice(share, finish, reason=reason + ("; this completes the order" if finish else ""))


def _market_volume(order: OrderView, market: MarketView) -> tuple[float, float] | None:
    """Return volume since the start and expected in the coming interval, in units of the whole order."""
    seen = volumes(market.bars)
    target = market.lot / order.lot_share if order.lot_share > 0 else 0.0  # base units
    recent = seen[np.isfinite(seen)][-RECENT_BARS:]
    if recent.sum() > 0 and target > 0:
        own = seen[max(0, seen.size - order.t) :] if order.t else seen[:0]
        return float(np.nansum(own)) / target, float(recent.mean()) / target
    expected = order.expected_participation
    if isfinite(expected) and expected > 0:
        per_interval = 1.0 / (expected * order.n)
        return order.t * per_interval, per_interval
    return None
