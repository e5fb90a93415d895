"""Everything now: the arrival-price baseline."""

from __future__ import annotations

from agent.algos.common import closing
from agent.core.types import MarketView, OrderView, Slice


class Immediate:
    """Trades all that is left at once, and finishes as soon as the min duration allows."""

    name = "immediate"

    def decide(self, order: OrderView, market: MarketView) -> Slice:
        end = closing(order)
        if end is not None:
            return end
        if order.t + 1 >= order.m:
            return Slice(order.remaining, True, reason="immediate: trade everything now")
        wait = order.m - order.t - 1
        return Slice(
            order.remaining,
            False,
            reason=f"immediate: all but the last lot, which waits {wait} intervals for the min duration",
        )
