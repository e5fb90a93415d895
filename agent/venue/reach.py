"""How far an arriving order walks, and what that leaves: price protection, our own orders, impact, money."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent.core.orders.venue_messages import VenueOrder
from agent.venue.checks import Checks
from agent.venue.impact import Impact
from agent.venue.kernel.tape_market import TapeMarket
from agent.venue.ledger import OpenOrder
from agent.venue.rules import VenueRules


@dataclass(frozen=True, slots=True)
class Walk:
    """How far an order may walk; why no further ("": its own limit); whether that cancels the rest."""

    limit_ticks: int
    why: str = ""
    ends: bool = False


class Reach:
    """Answers for an order that is about to match. Changes nothing."""

    def __init__(self, market: TapeMarket, rules: VenueRules, checks: Checks, impact: Impact | None) -> None:
        self._market, self._rules, self._checks, self._impact = market, rules, checks, impact

    def walk(self, order: VenueOrder, opposite: Sequence[VenueOrder]) -> Walk:
        """Where the order stops. ``opposite``: what of its lane rests on the other side of its instrument."""
        instrument = self._market.instruments[order.instrument]
        walk, side, most_bps = Walk(order.price_ticks), order.side, self._rules.price_protection_bps
        if most_bps is not None:
            far = self._checks.far_touch(order)
            edge = far + side * int(far * most_bps * 1e-4)
            if (walk.limit_ticks - edge) * side > 0:
                why = (
                    f"no more was offered up to {instrument.price(edge):f}: price protection is"
                    f" {most_bps:g} bps from the far touch {instrument.price(far):f}"
                    " (venue.price_protection_bps)"
                )
                walk = Walk(edge, why)
        own = self._checks.own_touch(order, opposite)
        if own is not None and (walk.limit_ticks - own) * side >= 0:
            price = instrument.price(own)
            why = f"self_trade: the rest would meet our own order at {price:f} (venue.self_trade)"
            walk = Walk(own - side, why, ends=True)
        return walk

    def too_little(self, state: OpenOrder, reach: VenueOrder, walk: Walk, now_ns: int) -> str:
        """Why a fill-or-kill order cannot be filled whole; "" when it can."""
        offered = self._offered(self.within_impact(reach, now_ns), now_ns)
        by_lots_alone = self._offered(self.within_impact(replace(reach, cap_tl=0), now_ns), now_ns)
        if offered >= state.left or (reach.cap_tl and 0 < offered < by_lots_alone):
            return ""  # whole, or all of its money
        instrument = self._market.instruments[reach.instrument]
        found, wanted = instrument.quantity(offered), instrument.quantity(state.left)
        if reach.cap_tl:
            return f"fill-or-kill: {found:f} were offered, which does not spend its money"
        return f"fill-or-kill: {found:f} of {wanted:f} were offered at its limit" + (
            walk.why and f"; {walk.why}"
        )

    def _offered(self, order: VenueOrder, now_ns: int) -> int:
        return sum(lots for _, lots in self._market.preview(order.lane, order, now_ns))

    def affordable(self, state: OpenOrder, price_ticks: int) -> int:
        """Lots of the rest that may stand: a bound on the order's money holds for them too."""
        if not state.order.cap_tl:
            return state.left
        return min(state.left, (state.order.cap_tl - state.spent_tl) // price_ticks)

    def within_impact(self, order: VenueOrder, now_ns: int) -> VenueOrder:
        """The order cut to what its limit stands, and its money pays, of our own impact."""
        if self._impact is None:
            return order
        flow = (order.lane, order.instrument, order.side)
        mid = self._market.mid_half_ticks(order.instrument)
        lots = self._impact.most_lots(*flow, order.price_ticks, order.lots, mid, now_ns)
        if order.cap_tl and lots:
            walk = self._market.preview(order.lane, replace(order, lots=lots, cap_tl=0), now_ns)
            lots = self._impact.affordable(*flow, walk, order.cap_tl, mid, now_ns)
        return replace(order, lots=lots, cap_tl=0)

    def why_unfilled(self, order: VenueOrder, walk: Walk) -> str:
        """Why the rest of an order expires."""
        after = "" if self._impact is None else ", our own impact counted in"
        if walk.why:
            return f"{walk.why}{after}"
        price = self._market.instruments[order.instrument].price(order.price_ticks)
        short = f"no more was offered at its limit {price:f} (order.limit_price, tactics.reach_bps){after}"
        return f"its money is spent, or {short}" if order.cap_tl else short
