"""Percentage of volume: keep own volume a fixed share of the market's.

The rate is a promise, kept by the volume that has traded and not by a forecast: inside an interval the engine
lets out no more than ``rate`` times what the market has traded since the start, less what is done already
(``agent.algos.pace``). So own volume never runs ahead of the market's, and lags it by a thirtieth of an
interval or by what the least order needs. What the rate has not bought by the end expires, unless
``complete`` says that the last interval trades it. A slice is what the rate is expected to give in its
interval. Where only bars are known, an order is worked on that forecast alone.
"""

from __future__ import annotations

from math import isfinite

import numpy as np

from agent.algos.common import percent, volumes
from agent.core.types import MarketView, OrderView, Slice

RATE = 0.1
"""Default of ``algo_params["rate"]``: own volume as a share of the market's."""

COMPLETE = "complete"
"""Parameter: 1 trades in the last interval what the rate has left; 0, the default, lets it expire."""

RECENT_BARS = 12


class Pov:
    """Trades what brings own volume to ``rate`` of the market's by the end of the coming interval.

    The market's volume is what traded since the start plus the mean of recent intervals for the coming one.
    """

    name = "pov"

    def decide(self, order: OrderView, market: MarketView) -> Slice:
        rate, last = order.params.get("rate", RATE), order.t >= order.n - 1
        if last and order.params.get(COMPLETE, 0.0):
            return Slice(order.remaining, True, reason="pov: last interval: trade all that is left")
        known = _market_volume(order, market)
        if known is None:
            share = order.remaining / (order.n - order.t)
            reason = f"pov: no market volume seen yet: up to {percent(rate)} of what trades"
            return Slice(share, last, reason=reason)
        traded, coming = known
        filled = 1.0 - order.remaining
        share = min(order.remaining, max(0.0, rate * (traded + coming) - filled))
        finish = share >= order.remaining and order.t + 1 >= order.m
        return Slice(share, finish or last, reason=_reason(order, rate, finish, last))


def _reason(order: OrderView, rate: float, completes: bool, last: bool) -> str:
    own = percent(order.own_volume_share)
    end = "; this completes the order" if completes else "; what it leaves expires" if last else ""
    return f"pov: own volume is {own} of the market's against a target of {percent(rate)}{end}"


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
