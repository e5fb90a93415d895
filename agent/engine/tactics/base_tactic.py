"""What a tactic may ask of its order and do for it, and what all tactics share.

Each works towards a cumulative amount, the interval's goal, so that what one child misses the next one
carries. A fill counts for the interval that sent its child, however late it is heard: else what the interval
before sent would be taken for this one's work. A marketable child is an IOC with a limit a few basis points
beyond the far touch; an order with a money target bounds each child by money, as an exchange's quote-quantity
order does.

Orders take time to arrive. The last call of a finishing interval comes early enough for a second try, and
nothing is sent in it that would arrive after its end, as far as the venue's usual travel time tells.

Amounts are in the target's unit (lots, or ticks x lots of a notional order) unless a name says otherwise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import ClassVar, Protocol

from agent.core.agenda import Action
from agent.core.orders.child_order import ChildOrder
from agent.core.orders.order_value import reach_ticks, send_price_ticks
from agent.core.orders.venue_messages import VenueTraits
from agent.core.types import ChildState, ParentSpec, Side, TimeInForce
from agent.engine.obstacles import obstacle
from agent.engine.pretrade import Ticket
from agent.engine.settings import TacticSettings

LOOKS = 30
"""How often an interval looks at the volume: own volume lags the rate by a thirtieth of an interval."""

LEAST_LOOK_NS = 50_000_000


class WorkingOrder(Protocol):
    """The order a tactic works. Implemented by ``agent.engine.execution.Execution``."""

    settings: TacticSettings
    traits: VenueTraits
    rate: float | None  # most own volume, as a share of the market's: the slice follows the volume
    at_once: bool  # a slice is crossed at its interval's beginning, unless the tactic rests

    # --- what a tactic may ask

    @property
    def spec(self) -> ParentSpec: ...

    @property
    def done(self) -> bool: ...

    @property
    def by_quantity(self) -> bool: ...

    @property
    def remaining(self) -> int: ...

    def open_children(self) -> list[ChildOrder]: ...

    def in_flight(self) -> int:
        """What open children may still fill."""
        ...

    def in_flight_of(self, child: ChildOrder) -> int: ...

    def done_in(self, interval: int) -> int:
        """What the children of an interval have filled or may still fill."""
        ...

    def touch(self) -> tuple[int, int]:
        """(best bid, best ask) in ticks; 0, 0 while there is no two-sided book."""
        ...

    def to_units(self, lots: int, price_ticks: int) -> int: ...

    def to_lots(self, units: int, price_ticks: int) -> int: ...

    def least_units(self) -> int:
        """The smallest child an exchange takes."""
        ...

    def allowed(self, price_ticks: int) -> int:
        """What the participation caps and the rate leave now."""
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

    def note_bound(self) -> None:
        """Count that caps or rate kept an order back."""
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
        self._due: int | None = None  # the part of the goal that was due last
        self._working = False
        self._deadline_ns = 0  # what is sent later arrives after the interval's end

    # --- what the worker calls --------------------------------------------------------------------

    def begin(self, interval: int, units: int, finishing: bool, now_ns: int, end_ns: int) -> None:
        """Work ``units`` until ``end_ns``; finishing, also what comes back from earlier children."""
        self._round += 1
        self.interval, self.finishing = interval, finishing
        self.goal = units if self.order.rate is None else self._most_by_rate()
        self._due, self._working = None, self.goal > 0 or finishing
        last = finishing or interval == self.order.spec.max_intervals - 1
        self._deadline_ns = max(now_ns, end_ns - (self.order.traits.travel_ns if last else 0))
        if not self._working:
            return
        if self.order.at_once and not self.rests:
            self.look_often(now_ns)
        elif self.order.rate is not None:
            self.follow_volume(now_ns, end_ns)
        else:
            self.plan(now_ns, end_ns)

    def _most_by_rate(self) -> int:
        """All that the bounds allow: how much of it is sent, the volume says as it trades."""
        free = self.free()
        last = free if self.finishing else free - self.order.least_units()
        return max(0, min(last, int(self.order.spec.max_rate * self.order.spec.target)))

    @abstractmethod
    def plan(self, now_ns: int, end_ns: int) -> None:
        """Schedule the interval's children."""

    def stop(self, now_ns: int) -> None:
        """Send nothing more and call back what rests."""
        self._round += 1
        self._working = False
        for child in self.order.open_children():
            self.call_back(child, now_ns)

    def halt(self) -> bool:
        """Forget what was planned: time was lost, and nothing rests any more. Whether it was working."""
        was, self._working = self._working, False
        self._round += 1
        return was

    def child_ended(self, child: ChildOrder, now_ns: int) -> None:
        """The next timer carries what was missed; what ended by no fault of its own is sent again at once."""
        if cause := obstacle(child):
            self.order.note_obstacle(cause)
        in_time = now_ns > child.sent_ns  # where no message takes any, it would be sent again for ever
        if child.again and in_time and self._working and self._due is not None:
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

    def free(self) -> int:
        """Units that nothing has filled and no open child may still fill."""
        return self.order.remaining - self.order.in_flight()

    def missing(self, goal: int) -> int:
        """Units from what the interval's children did to ``goal``; at the end, all that is free."""
        if self.finishing and goal >= self.goal:
            return self.free()
        return min(goal - self.order.done_in(self.interval), self.free())

    def last_call_ns(self, end_ns: int, now_ns: int) -> int:
        """When what is left of the interval is crossed."""
        last_ns = end_ns - int((end_ns - now_ns) * self.order.settings.cross_share)
        if self.finishing:
            last_ns = min(last_ns, self._deadline_ns - self.order.traits.round_trip_ns)
        return max(now_ns, last_ns)

    def second_call_ns(self, last_ns: int) -> int:
        """When what the last call missed is tried again: its answer is known, and it arrives in time."""
        half_ns = (last_ns + self._deadline_ns) // 2
        return min(max(half_ns, last_ns + self.order.traits.round_trip_ns), self._deadline_ns)

    def follow_volume(self, now_ns: int, end_ns: int) -> None:
        """Send what the rate has come to allow, again and again."""
        self.look_often(now_ns)

    def look_often(self, from_ns: int) -> None:
        """Cross towards the goal ``LOOKS`` times an interval, from ``from_ns`` on while it is in time."""
        step_ns = max(LEAST_LOOK_NS, self.order.spec.interval_ns // LOOKS)
        for at_ns in range(from_ns, self._deadline_ns + 1, step_ns):
            self.at(at_ns, partial(self.cross, goal=self.goal))

    def cross(self, now_ns: int, goal: int) -> None:
        """Send a marketable child for what is missing to ``goal``."""
        self._due = goal
        units = self.with_dust(self.missing(goal))
        if not self.worth_sending(units):
            return
        spec, touch, reach_bps = self.order.spec, self.order.touch(), self.order.settings.reach_bps
        far = touch[1 if spec.side is Side.BUY else 0]
        if far == 0:
            self.order.note_obstacle("no two-sided book")
            return
        limit = send_price_ticks(spec.side, touch, reach_bps, spec.limit_price_ticks)
        # Where an order waits for prices not shown yet, a limit short of the far touch may still be met.
        short = reach_ticks(far, reach_bps) if self.order.traits.fills_later else 0
        if (far - limit) * spec.side > short:
            self.order.note_obstacle("limit price")
            return
        units = self.bounded(units, limit)
        if units >= 1:
            self._send_ioc(units, far, limit, now_ns)

    def with_dust(self, units: int) -> int:
        """A finishing order leaves nothing behind that is too small to be sent alone."""
        free = self.free()
        if self.finishing and 0 < free - units < self.order.least_units():
            return free
        return units

    def worth_sending(self, units: int) -> bool:
        """An exchange takes the least order; the very rest of an order is tried even where it is smaller."""
        return units >= self.order.least_units() or (self.finishing and 1 <= units == self.free())

    def bounded(self, units: int, price_ticks: int) -> int:
        """``units`` within caps and rate; what they cut leaves a rest that can still be sent. 0: wait."""
        most, least, free = self.order.allowed(price_ticks), self.order.least_units(), self.free()
        if most >= units:
            return units
        if 0 < free - most < least:
            most = free - least
        if most >= least:
            return most
        self.order.note_bound()
        return 0

    def _send_ioc(self, units: int, far: int, limit: int, now_ns: int) -> None:
        lots, cap_tl = units, 0
        if not self.order.by_quantity:
            # Lots bound nothing here, money does: enough lots for the cheapest price conceivable.
            lots, cap_tl = units // min(limit, 2 * far - limit), units
        if lots >= 1:
            market_lots = self.order.market_lots()
            self.order.send(Ticket(self.interval, TimeInForce.IOC, limit, lots, cap_tl, market_lots), now_ns)
