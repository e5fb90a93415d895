"""One order's children: what its tactic may ask and do, and what came of it.

Amounts are in the target's unit unless a name says lots or ticks: lots for a quantity, ticks x lots for a
notional. The worker decides how much and when; a tactic how; everything a tactic does goes through here.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from agent.core.agenda import Action, Agenda, Rank
from agent.core.errors import InternalError
from agent.core.events import ChildFilled
from agent.core.market.trade_bars import TradeBarSeries
from agent.core.orders.child_order import ChildOrder
from agent.core.orders.parent_order import ParentOrder
from agent.core.orders.venue_messages import VenueTraits
from agent.core.ports import Market
from agent.core.types import ChildState, ParentSpec, TargetKind
from agent.engine.desk import Desk
from agent.engine.obstacles import obstacle
from agent.engine.pretrade import Ticket
from agent.engine.settings import RiskSettings, TacticSettings


class Listener(Protocol):
    """Who works the order: called after the books are kept."""

    def on_fill(self, now_ns: int) -> None: ...

    def on_child_ended(self, child: ChildOrder, now_ns: int) -> None: ...


class Execution:
    """The children of one parent or shadow. See ``agent.engine.tactics.base_tactic.WorkingOrder``."""

    def __init__(
        self,
        order: ParentOrder,
        lane: int,
        market: Market,
        series: TradeBarSeries,
        desk: Desk,
        agenda: Agenda,
        traits: VenueTraits,
        tactics: TacticSettings,
        risk: RiskSettings,
    ) -> None:
        self.order, self.lane, self.settings, self.traits = order, lane, tactics, traits
        self.children: dict[str, ChildOrder] = {}  # those that are open
        self.fills: list[tuple[ChildFilled, ChildOrder]] = []
        self.sent_lots = 0
        self.obstacles: Counter[str] = Counter()
        self.listener: Listener | None = None
        self._market, self._series, self._desk, self._agenda = market, series, desk, agenda
        self._most_participation = risk.max_participation

    # --- what a tactic may ask ------------------------------------------------------------------------

    @property
    def spec(self) -> ParentSpec:
        return self.order.spec

    @property
    def done(self) -> bool:
        return self.order.done

    @property
    def by_quantity(self) -> bool:
        return self.order.spec.target_kind is TargetKind.QUANTITY

    @property
    def filled_units(self) -> int:
        return self.order.filled

    @property
    def remaining(self) -> int:
        return self.order.remaining

    def open_children(self) -> list[ChildOrder]:
        return list(self.children.values())

    def in_flight(self) -> int:
        """What open children may still fill."""
        return sum(self.in_flight_of(child) for child in self.children.values())

    def in_flight_of(self, child: ChildOrder) -> int:
        return self._desk.in_flight(child)[0 if self.by_quantity else 1]

    def touch(self) -> tuple[int, int]:
        """(best bid, best ask) in ticks; 0, 0 while there is no two-sided book."""
        return self._market.touch(self.order.spec.instrument)

    def to_units(self, lots: int, price_ticks: int) -> int:
        """Lots in the target's unit."""
        return lots if self.by_quantity else self._value_tl(price_ticks, lots)

    def _value_tl(self, price_ticks: int, lots: int) -> int:
        return self._market.instruments[self.spec.instrument].value_tl(price_ticks, lots)

    def to_lots(self, units: int, price_ticks: int) -> int:
        """Whole lots that ``units`` buy at a price."""
        return units if self.by_quantity else units // price_ticks

    def least_units(self) -> int:
        """The smallest child an exchange takes; at least one lot."""
        instrument = self._market.instruments[self.order.spec.instrument]
        price = max(1, self._market.mid_half_ticks(instrument.number) // 2)
        least_tl = -int(-(instrument.min_notional / instrument.quote_notional(1, 1)) // 1)
        if self.by_quantity:
            return max(1, instrument.min_lots, least_tl if instrument.inverse else -(-least_tl // price))
        return max(price, instrument.value_tl(price, instrument.min_lots), least_tl)

    def allowed(self, price_ticks: int) -> int:
        """What the participation caps leave, against what has traded since the start."""
        lots = self._room_lots()
        if lots is None:
            return self.order.remaining
        if lots < 1:
            self.note_obstacle("participation cap")
            return 0
        return self.to_units(lots, price_ticks)

    def beyond_cap(self, child: ChildOrder) -> int:
        """Lots of a resting child that the participation caps no longer leave: one was amended."""
        lots = self._room_lots()
        return 0 if lots is None else min(max(0, -lots), child.remaining_lots)

    def _room_lots(self) -> int | None:
        """Lots that the participation caps leave beside what is filled and open; None without a cap."""
        caps = [c for c in (self.spec.participation_cap, self._most_participation) if c is not None]
        if not caps:
            return None
        flying = sum(self._desk.in_flight(child)[0] for child in self.children.values())
        return int(min(caps) * self.market_lots()) - self.order.filled_lots - flying

    def market_lots(self) -> int:
        """Market volume since the order's start, in lots."""
        self._series.update(self._market.trades(self.spec.instrument))
        return self._series.totals(0, self.spec.max_intervals + 1)[0]

    # --- what a tactic may do -------------------------------------------------------------------------

    def send(self, ticket: Ticket, now_ns: int) -> None:
        """Send a child, unless risk refuses it."""
        child = self._desk.send(self, ticket, now_ns)
        if child is None:
            self.note_obstacle("refused by risk")
            return
        self.children[child.child_id] = child
        self.sent_lots += child.qty_lots

    def amend(self, child: ChildOrder, price_ticks: int, lots: int, now_ns: int) -> bool:
        """Ask for a new price and total of lots; False when risk refused."""
        return self._desk.amend(self, child, price_ticks, lots, now_ns)

    def cancel(self, child: ChildOrder, now_ns: int) -> None:
        self._desk.cancel(child, now_ns)

    def at(self, at_ns: int, action: Action) -> None:
        """Call ``action`` at a time, as one of the engine's timers."""
        self._agenda.add(at_ns, Rank.TIMER, action)

    def note_obstacle(self, cause: str) -> None:
        """Count what stood in the way, to name it should the order expire."""
        self.obstacles[cause] += 1

    # --- what the desk reports --------------------------------------------------------------------

    def filled(self, child: ChildOrder, fill: ChildFilled, now_ns: int) -> None:
        """A child was filled; the parent's progress is booked already."""
        self.fills.append((fill, child))
        self._listener().on_fill(now_ns)

    def child_ended(self, child: ChildOrder, now_ns: int) -> None:
        """A child is over: filled, cancelled, rejected or expired."""
        self.children.pop(child.child_id, None)
        used_up = child.state is ChildState.EXPIRED and self.traits.own_impact
        if used_up and not obstacle(child):  # by our own flow; a rule of the venue is counted by its name
            self.note_obstacle(child.reason)
        self._listener().on_child_ended(child, now_ns)

    def _listener(self) -> Listener:
        if self.listener is None:
            raise InternalError(f"{self.spec.parent_id} has children and nobody who works it")
        return self.listener
