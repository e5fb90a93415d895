"""What a tactic may ask of its order and do for it, and what all tactics share.

Each works towards a cumulative amount, the interval's goal, so that what one child misses the next one
carries. A marketable child is an IOC with a limit a few basis points beyond the far touch; an order with a
money target bounds each child by money, as an exchange's quote-quantity order does.

Amounts are in the target's unit (lots, or ticks x lots of a notional order) unless a name says otherwise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

from agent.core.agenda import Action
from agent.core.orders.child_order import ChildOrder
from agent.core.orders.venue_messages import VenueTraits
from agent.core.types import ChildState, ParentSpec, Side, TimeInForce
from agent.engine.obstacles import obstacle
from agent.engine.pretrade import Ticket
from agent.engine.settings import TacticSettings


class WorkingOrder(Protocol):
    """The order a tactic works. Implemented by ``agent.engine.execution.Execution``."""

    settings: TacticSettings
    traits: VenueTraits

    # --- what a tactic may ask

    @property
    def spec(self) -> ParentSpec: ...

    @property
    def done(self) -> bool: ...

    @property
    def by_quantity(self) -> bool: ...

    @property
    def filled_units(self) -> int: ...

    @property
    def remaining(self) -> int: ...

    def open_children(self) -> list[ChildOrder]: ...

    def in_flight(self) -> int:
        """What open children may still fill."""
        ...

    def in_flight_of(self, child: ChildOrder) -> int: ...

    def touch(self) -> tuple[int, int]:
        """(best bid, best ask) in ticks; 0, 0 while there is no two-sided book."""
        ...

    def to_units(self, lots: int, price_ticks: int) -> int: ...

    def to_lots(self, units: int, price_ticks: int) -> int: ...

    def least_units(self) -> int:
        """The smallest child an exchange takes."""
        ...

    def allowed(self, price_ticks: int) -> int:
        """What the participation caps leave now."""
        ...

    def beyond_cap(self, child: ChildOrder) -> int:
        """Lots of a resting child that the participation caps no longer leave: one was amended."""
        ...

    def market_lots(self) -> int:
        """Market volume since the order's start, in lots."""
        ...

    # --- what a tactic may do

    def send(self, ticket: Ticket, now_ns: int) -> None: ...

    def amend(self, child: ChildOrder, price_ticks: int, lots: int, now_ns: int) -> bool:
        """Ask for a new price and total of lots; False when risk refused."""
        ...

    def cancel(self, child: ChildOrder, now_ns: int) -> None: ...

    def at(self, at_ns: int, action: Action) -> None:
        """Call ``action`` at a time."""
        ...

    def note_obstacle(self, cause: str) -> None:
        """Count what stood in the way, to name it should the order expire."""
        ...


class Tactic(ABC):
    """The interval's goal, and how to cross towards it. A tactic says when: ``plan``."""

    rests: ClassVar[bool] = False
    """Whether its orders wait in a queue, which a market of bars has none of."""

    def __init__(self, order: WorkingOrder) -> None:
        self.order = order
        self.interval = 0
        self.finishing = False
        self.goal = 0
        self._round = 0  # timers of an interval that was stopped find another number here
        self._filled_before = 0
        self._due = 0  # the part of the goal that was due last
        self._working = False

    # --- what the worker calls --------------------------------------------------------------------

    def begin(self, interval: int, units: int, finishing: bool, now_ns: int, end_ns: int) -> None:
        """Work ``units`` until ``end_ns``."""
        self._round += 1
        self.interval, self.finishing = interval, finishing
        self._filled_before = self.order.filled_units
        self.goal = units
        self._due, self._working = 0, units > 0
        if units > 0:
            self.plan(now_ns, end_ns)

    @abstractmethod
    def plan(self, now_ns: int, end_ns: int) -> None:
        """Schedule the interval's children."""

    def stop(self, now_ns: int) -> None:
        """Send nothing more and call back what rests."""
        self._round += 1
        self._working = False
        for child in self.order.open_children():
            self.call_back(child, now_ns)

    def child_ended(self, child: ChildOrder, now_ns: int) -> None:
        """The next timer carries what was missed; what ended by no fault of its own is sent again at once."""
        if cause := obstacle(child):
            self.order.note_obstacle(cause)
        in_time = now_ns > child.sent_ns  # where no message takes any, it would be sent again for ever
        if child.again and in_time and self._working and self._due > 0:
            self.cross(now_ns, self._due)

    # --- what tactics share -----------------------------------------------------------------------

    def at(self, at_ns: int, action: Action) -> None:
        """Call ``action`` at a time, unless the interval has been stopped by then."""
        scheduled_in = self._round

        def fire(now_ns: int) -> None:
            if self._round == scheduled_in and not self.order.done:
                action(now_ns)

        self.order.at(at_ns, fire)

    def call_back(self, child: ChildOrder, now_ns: int) -> None:
        """Cancel a resting child; a marketable one answers by itself."""
        marketable = child.tif in (TimeInForce.IOC, TimeInForce.FOK)
        if not marketable and not child.done and child.state is not ChildState.PENDING_CANCEL:
            self.order.cancel(child, now_ns)

    def missing(self, goal: int) -> int:
        """Units between ``goal`` for this interval and what is filled or in flight."""
        filled = self.order.filled_units - self._filled_before
        return min(goal - filled, self.order.remaining) - self.order.in_flight()

    def last_call_ns(self, end_ns: int, now_ns: int) -> int:
        """When what is left of the interval is crossed."""
        return end_ns - int((end_ns - now_ns) * self.order.settings.cross_share)

    def cross(self, now_ns: int, goal: int) -> None:
        """Send a marketable child for what is missing to ``goal``."""
        self._due = goal
        units = self.with_dust(self.missing(goal))
        if units < (1 if self.finishing else self.order.least_units()):
            return
        far = self.order.touch()[1 if self.order.spec.side is Side.BUY else 0]
        if far == 0:
            self.order.note_obstacle("no two-sided book")
            return
        limit = self._limit(far)
        # Where an order waits for prices not shown yet, a limit short of the far touch may still be met.
        short = self._reach(far) if self.order.traits.fills_later else 0
        if (far - limit) * self.order.spec.side > short:
            self.order.note_obstacle("limit price")
            return
        units = min(units, self.order.allowed(limit))
        if units >= 1:
            self._send_ioc(units, far, limit, now_ns)

    def with_dust(self, units: int) -> int:
        """A finishing order leaves nothing behind that is too small to be sent alone."""
        free = self.order.remaining - self.order.in_flight()
        if self.finishing and 0 < free - units < self.order.least_units() and self.goal >= free:
            return free
        return units

    def _limit(self, far_ticks: int) -> int:
        """The limit of a marketable child: beyond the far touch, within the parent's own limit."""
        spec = self.order.spec
        limit = far_ticks + spec.side * self._reach(far_ticks)
        if spec.limit_price_ticks is None:
            return limit
        own = spec.limit_price_ticks
        return min(limit, own) if spec.side is Side.BUY else max(limit, own)

    def _reach(self, far_ticks: int) -> int:
        return int(far_ticks * self.order.settings.reach_bps * 1e-4)

    def _send_ioc(self, units: int, far: int, limit: int, now_ns: int) -> None:
        lots, cap_tl = units, 0
        if not self.order.by_quantity:
            # Lots bound nothing here, money does: enough lots for the cheapest price conceivable.
            lots, cap_tl = units // min(limit, 2 * far - limit), units
        if lots >= 1:
            market_lots = self.order.market_lots()
            self.order.send(Ticket(self.interval, TimeInForce.IOC, limit, lots, cap_tl, market_lots), now_ns)
