"""Tactics: how an interval's slice becomes child orders.

Each works towards a cumulative amount, so that what one child misses the next one carries. A
marketable child is an IOC with a limit a few basis points beyond the far touch; an order with a
money target bounds each child by money, as an exchange's quote-quantity order does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from agent.core.agenda import Rank
from agent.core.orders.child_order import ChildOrder
from agent.core.types import ChildState, Side, TacticKind, TimeInForce
from agent.engine.pretrade import Ticket

if TYPE_CHECKING:
    from agent.engine.worker import Worker


class Tactic(Protocol):
    def begin(self, interval: int, units: int, finishing: bool, now_ns: int, end_ns: int) -> None:
        """Work ``units`` (of the target) until ``end_ns``."""
        ...

    def stop(self, now_ns: int) -> None:
        """Send nothing more and call back what rests."""
        ...

    def child_ended(self, child: ChildOrder, now_ns: int) -> None: ...


class _Base:
    """What the tactics share: the interval's goal, and how to cross towards it."""

    def __init__(self, worker: Worker) -> None:
        self.w = worker
        self._round = 0  # timers of an interval that was stopped find another number here
        self.interval = 0
        self.finishing = False
        self._filled_before = 0
        self.goal = 0
        self._due = 0  # the part of the goal that was due last
        self._working = False

    def begin(self, interval: int, units: int, finishing: bool, now_ns: int, end_ns: int) -> None:
        self._round += 1
        self.interval, self.finishing = interval, finishing
        self._filled_before = self.w.order.filled
        self.goal = units
        self._due, self._working = 0, units > 0
        if units > 0:
            self.plan(now_ns, end_ns)

    def plan(self, now_ns: int, end_ns: int) -> None:
        raise NotImplementedError  # every tactic below has its own

    def stop(self, now_ns: int) -> None:
        self._round += 1
        self._working = False
        for child in list(self.w.children.values()):
            self.call_back(child, now_ns)

    def call_back(self, child: ChildOrder, now_ns: int) -> None:
        """Cancel a resting child; a marketable one answers by itself."""
        if (
            child.tif not in (TimeInForce.IOC, TimeInForce.FOK)
            and not child.done
            and child.state != "pending_cancel"
        ):
            self.w.desk.cancel(child, now_ns)

    def child_ended(self, child: ChildOrder, now_ns: int) -> None:
        """The next timer carries what was missed; what ended by no fault of its own is sent again at once."""
        if cause := obstacle(child):
            self.w.obstacles[cause] += 1
        in_time = now_ns > child.sent_ns  # where no message takes any, it would be sent again for ever
        if child.again and in_time and self._working and self._due > 0:
            self.cross(now_ns, self._due)

    def at(self, at_ns: int, action: str, *args: int) -> None:
        """Schedule a method of ours, void once the interval was stopped."""
        current = self._round

        def fire(now_ns: int) -> None:
            if self._round == current and not self.w.order.done:
                getattr(self, action)(now_ns, *args)

        self.w.agenda.add(at_ns, Rank.TIMER, fire)

    def missing(self, goal: int) -> int:
        """Units between ``goal`` for this interval and what is filled or in flight."""
        done = self.w.order.filled - self._filled_before
        return min(goal - done, self.w.order.remaining) - self.w.in_flight()

    def last_call(self, end_ns: int, now_ns: int) -> int:
        """When what is left of the interval is crossed."""
        return end_ns - int((end_ns - now_ns) * self.w.settings.tactics.cross_share)

    def cross(self, now_ns: int, goal: int) -> None:
        """Send a marketable child for what is missing to ``goal``."""
        w = self.w
        self._due = goal
        units = self._take_dust(self.missing(goal))
        least = w.least_units()
        if units < (least if not self.finishing else 1):
            return
        book = w.market.book(w.order.spec.instrument)
        far = book.ask_ticks if w.order.spec.side is Side.BUY else book.bid_ticks
        if far == 0:
            w.obstacles["no two-sided book"] += 1
            return
        limit = self._reach(far)
        # On bars an order waits for the end of its bar, so a limit not yet reached may still be met.
        short = self._beyond(far) if w.settings.bars is not None else 0
        if (far - limit) * w.order.spec.side > short:
            w.obstacles["limit price"] += 1
            return
        units = min(units, self._allowed(limit))
        if units < 1:
            return
        self._send_ioc(units, far, limit, now_ns)

    def _take_dust(self, units: int) -> int:
        """A finishing order leaves nothing behind that is too small to be sent alone."""
        free = self.w.order.remaining - self.w.in_flight()
        if self.finishing and 0 < free - units < self.w.least_units() and self.goal >= free:
            return free
        return units

    def _reach(self, far_ticks: int) -> int:
        """The limit of a marketable child: beyond the far touch, within the parent's own limit."""
        spec = self.w.order.spec
        limit = far_ticks + spec.side * self._beyond(far_ticks)
        if spec.limit_price_ticks is None:
            return limit
        own = spec.limit_price_ticks
        return min(limit, own) if spec.side is Side.BUY else max(limit, own)

    def _beyond(self, far_ticks: int) -> int:
        return int(far_ticks * self.w.settings.tactics.reach_bps * 1e-4)

    def _allowed(self, price_ticks: int) -> int:
        """Units the participation caps leave, against what has traded since the start."""
        w = self.w
        caps = [
            c for c in (w.order.spec.participation_cap, w.settings.risk.max_participation) if c is not None
        ]
        if not caps:
            return w.order.remaining
        committed = w.order.filled_lots + sum(w.desk.in_flight(c)[0] for c in w.children.values())
        lots = int(min(caps) * self.market_lots()) - committed
        if lots < 1:
            w.obstacles["participation cap"] += 1
            return 0
        return w.to_units(lots, price_ticks)

    def market_lots(self) -> int:
        """Market volume since the order's start, in lots."""
        w = self.w
        w.series.update(w.market.trades(w.order.spec.instrument))
        return w.series.totals(0, w.order.spec.max_intervals + 1)[0]

    def _send_ioc(self, units: int, far: int, limit: int, now_ns: int) -> None:
        w = self.w
        lots, cap_tl = units, 0
        if not w.by_quantity:
            # Lots bound nothing here, money does: enough lots for the cheapest price conceivable.
            lots, cap_tl = units // min(limit, 2 * far - limit), units
        ticket = Ticket(self.interval, TimeInForce.IOC, limit, lots, cap_tl, self.market_lots())
        if ticket.lots < 1:
            return
        self.send(ticket, now_ns)

    def send(self, ticket: Ticket, now_ns: int) -> None:
        child = self.w.desk.send(self.w, ticket, now_ns)
        if child is None:
            self.w.obstacles["refused by risk"] += 1
        else:
            self.w.sent(child)


class TwapMicro(_Base):
    """Small marketable slices, evenly spread over the interval."""

    def plan(self, now_ns: int, end_ns: int) -> None:
        last_ns = self.last_call(end_ns, now_ns)
        most = max(1, self.goal // self.w.least_units())
        count = min(self.w.settings.tactics.micro_slices, most)
        for j in range(count):
            at_ns = now_ns + (last_ns - now_ns) * j // count
            self.at(at_ns, "slice", self.goal * (j + 1) // count)
        self.at(last_ns, "slice", self.goal)
        if self.finishing:
            self.at((last_ns + end_ns) // 2, "slice", self.goal)

    def slice(self, now_ns: int, goal: int) -> None:
        self.cross(now_ns, goal)


class Sweep(_Base):
    """One marketable order at once; what it misses is tried again at the end of the interval."""

    def plan(self, now_ns: int, end_ns: int) -> None:
        self.cross(now_ns, self.goal)
        self.at(self.last_call(end_ns, now_ns), "slice")

    def slice(self, now_ns: int) -> None:
        self.cross(now_ns, self.goal)


class Peg(_Base):
    """Rest at the near touch, follow it, and cross what is left in the last part of the interval."""

    def plan(self, now_ns: int, end_ns: int) -> None:
        self._crossing = False
        self._last_ns = self.last_call(end_ns, now_ns)
        self.at(self._last_ns, "begin_crossing")
        self.at((self._last_ns + end_ns) // 2, "slice")
        self.follow(now_ns)

    def follow(self, now_ns: int) -> None:
        """Rest what is missing, or move an order that is no longer at the touch."""
        if self._crossing:
            return
        touch = self._near_touch()
        resting = [c for c in self.w.children.values() if c.tif is TimeInForce.POST_ONLY]
        if touch and not resting:
            self._rest(touch, now_ns)
        for child in resting:
            if touch and child.price_ticks != touch:
                self._move(child, touch, now_ns)
        self.at(now_ns + self.w.settings.tactics.repeg_ns, "follow")

    def _move(self, child: ChildOrder, touch: int, now_ns: int) -> None:
        """Take a child to the touch: by an amendment, or off the book to be sent anew at the next look."""
        if not self.w.settings.tactics.repeg_by_amend:
            self.call_back(child, now_ns)
        elif child.state in (ChildState.OPEN, ChildState.PARTIALLY_FILLED):
            own = self.w.desk.in_flight(child)[0 if self.w.by_quantity else 1]
            units = self.missing(self.goal) + own
            lots = min(child.remaining_lots, units if self.w.by_quantity else units // touch)
            enough = lots > 0 and self.w.to_units(lots, touch) >= self.w.least_units()
            if not enough or not self.w.desk.amend(self.w, child, touch, child.filled_lots + lots, now_ns):
                self.call_back(child, now_ns)

    def _near_touch(self) -> int:
        """The near touch in ticks, no further than the parent's limit; 0 without a book."""
        spec = self.w.order.spec
        book = self.w.market.book(spec.instrument)
        near = book.bid_ticks if spec.side is Side.BUY else book.ask_ticks
        if near == 0 or spec.limit_price_ticks is None:
            return near
        own = spec.limit_price_ticks
        return min(near, own) if spec.side is Side.BUY else max(near, own)

    def _rest(self, touch: int, now_ns: int) -> None:
        w = self.w
        units = min(self._take_dust(self.missing(self.goal)), self._allowed(touch))
        if units < w.least_units():
            return
        lots = units if w.by_quantity else units // touch
        self.send(Ticket(self.interval, TimeInForce.POST_ONLY, touch, lots, 0, self.market_lots()), now_ns)

    def begin_crossing(self, now_ns: int) -> None:
        self._crossing = True
        for child in list(self.w.children.values()):
            self.call_back(child, now_ns)
        self.slice(now_ns)

    def slice(self, now_ns: int) -> None:
        self.cross(now_ns, self.goal)

    def child_ended(self, child: ChildOrder, now_ns: int) -> None:
        """Once called back and gone, cross at once."""
        if self._crossing and child.tif is TimeInForce.POST_ONLY and self.goal > 0:
            self.slice(now_ns)
        else:
            super().child_ended(child, now_ns)


def obstacle(child: ChildOrder) -> str:
    """What the venue had against a child, without values, so that alike ones are counted together; or ""."""
    named = re.search(r"\((venue\.[a-z_.]+|bars\.[^)]+)", child.reason)
    if named and child.state in (ChildState.REJECTED, ChildState.EXPIRED):
        return f"the venue's rule {named[1]}"
    if child.state is not ChildState.REJECTED or child.tif is TimeInForce.POST_ONLY:
        return ""  # a post-only order that came too late is sent again
    words = [word for word in child.reason.split() if not word[:1].isdigit()]
    return f"rejected by the venue: {' '.join(words)}"


_TACTICS: dict[TacticKind, type[TwapMicro] | type[Sweep] | type[Peg]] = {
    TacticKind.TWAP_MICRO: TwapMicro,
    TacticKind.PEG: Peg,
    TacticKind.SWEEP: Sweep,
}


def create_tactic(kind: TacticKind, worker: Worker) -> Tactic:
    """Return the tactic of an order."""
    return _TACTICS[kind](worker)
