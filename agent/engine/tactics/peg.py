"""Rest at the near touch, follow it, and cross what is left in the last part of the interval."""

from __future__ import annotations

from agent.core.orders.child_order import ChildOrder
from agent.core.types import ChildState, Side, TimeInForce
from agent.engine.pretrade import Ticket
from agent.engine.tactics.base_tactic import Tactic


class Peg(Tactic):
    """A post-only child at the touch, looked at every ``repeg_ns``; marketable ones from the last call on."""

    rests = True
    _crossing = False

    def plan(self, now_ns: int, end_ns: int) -> None:
        self._crossing = False
        last_ns = self.last_call_ns(end_ns, now_ns)
        self.at(last_ns, self._begin_crossing)
        self.at(self.second_call_ns(last_ns), self._cross_all)
        if last_ns > now_ns:
            self._follow(now_ns)

    def last_call_ns(self, end_ns: int, now_ns: int) -> int:
        """Early enough for what rests to be called back, and for what that leaves to be crossed."""
        last_ns = super().last_call_ns(end_ns, now_ns)
        return max(now_ns, min(last_ns, self._deadline_ns - 2 * self.order.traits.round_trip_ns))

    def halt(self) -> bool:
        self._crossing = False
        return super().halt()

    def follow_volume(self, now_ns: int, end_ns: int) -> None:
        """Rest what the rate has come to allow, and cross it in the interval's last part."""
        self.plan(now_ns, end_ns)
        self.look_often(self.last_call_ns(end_ns, now_ns))

    def child_ended(self, child: ChildOrder, now_ns: int) -> None:
        """Once called back and gone, cross at once."""
        if self._crossing and child.tif is TimeInForce.POST_ONLY:
            self._cross_all(now_ns)
        else:
            super().child_ended(child, now_ns)

    def _follow(self, now_ns: int) -> None:
        """Rest what is missing, or move an order that is no longer at the touch or within an amended cap."""
        if self._crossing:
            return
        touch = self._near_touch()
        resting = [c for c in self.order.open_children() if c.tif is TimeInForce.POST_ONLY]
        if touch and not resting:
            self._rest(touch, now_ns)
        for child in resting:
            if touch and (child.price_ticks != touch or self.order.beyond_cap(child) > 0):
                self._move(child, touch, now_ns)
        self.at(now_ns + self.order.settings.repeg_ns, self._follow)

    def _move(self, child: ChildOrder, touch: int, now_ns: int) -> None:
        """Take a child to the touch: by an amendment, or off the book to be sent anew at the next look."""
        order = self.order
        if not order.settings.repeg_by_amend:
            self.call_back(child, now_ns)
        elif child.state in (ChildState.OPEN, ChildState.PARTIALLY_FILLED):
            units = self.missing(self.goal) + order.in_flight_of(child)
            most_lots = child.remaining_lots - order.beyond_cap(child)
            lots = min(most_lots, order.to_lots(units, touch))
            enough = lots > 0 and order.to_units(lots, touch) >= order.least_units()
            if not enough or not order.amend(child, touch, child.filled_lots + lots, now_ns):
                self.call_back(child, now_ns)

    def _near_touch(self) -> int:
        """The near touch in ticks, no further than the parent's limit; 0 without a book."""
        spec = self.order.spec
        near = self.order.touch()[0 if spec.side is Side.BUY else 1]
        if near == 0 or spec.limit_price_ticks is None:
            return near
        own = spec.limit_price_ticks
        return min(near, own) if spec.side is Side.BUY else max(near, own)

    def _rest(self, touch: int, now_ns: int) -> None:
        order = self.order
        units = self.with_dust(self.missing(self.goal))
        if not self.worth_sending(units) or (units := self.bounded(units, touch)) < 1:
            return
        lots, market_lots = order.to_lots(units, touch), order.market_lots()
        order.send(Ticket(self.interval, TimeInForce.POST_ONLY, touch, lots, 0, market_lots), now_ns)

    def _begin_crossing(self, now_ns: int) -> None:
        self._crossing = True
        for child in self.order.open_children():
            self.call_back(child, now_ns)
        self._cross_all(now_ns)

    def _cross_all(self, now_ns: int) -> None:
        self.cross(now_ns, self.goal)
