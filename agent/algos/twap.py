"""Even over time. The horizon is the max duration: a TWAP has no stopping rule."""

from __future__ import annotations

from agent.algos.common import closing, percent
from agent.core.types import MarketView, OrderView, Slice


class Twap:
    """Trades what is left evenly over the intervals left, so that missed fills are spread, not chased."""

    name = "twap"

    def decide(self, order: OrderView, market: MarketView) -> Slice:
        end = closing(order)
        if end is not None:
            return end
        left = order.n - order.t
        share = order.remaining / left
        return Slice(
            share,
            False,
            reason=f"twap: {percent(order.remaining)} left, evenly over {left} intervals",
        )
