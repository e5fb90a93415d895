"""One order's children: what its tactic may ask and do, and what came of it.

Amounts are in the target's unit unless a name says lots or ticks: lots for a quantity, ticks x lots for a
notional. The worker decides how much and when; a tactic how; everything a tactic does goes through here.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from agent.algos.pace import Pace
from agent.core.agenda import Action, Agenda, Rank
from agent.core.errors import InternalError
from agent.core.events import ChildFilled
from agent.core.market.trade_bars import BarSeries
from agent.core.measures.tca import Fill
from agent.core.orders.child_order import ChildOrder
from agent.core.orders.parent_order import ParentOrder
from agent.core.orders.risk import Refusal, tightest_cap
from agent.core.orders.together import MAX_SYMBOL_PARTICIPATION
from agent.core.orders.venue_messages import VenueTraits
from agent.core.ports import Market
from agent.core.types import ChildState, ParentSpec, TargetKind
from agent.engine.child_sizes import least_units, too_small, within_most
from agent.engine.desk import Desk
from agent.engine.obstacles import obstacle, refused, without_values
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
        series: BarSeries,
        desk: Desk,
        agenda: Agenda,
        traits: VenueTraits,
        tactics: TacticSettings,
        risk: RiskSettings,
        pace: Pace,
    ) -> None:
        self.order, self.lane, self.settings, self.traits = order, lane, tactics, traits
        self.at_once, self._pace = pace.at_once, pace
        self.rate = None if traits.fills_later else pace.rate
        self._by_forecast = traits.fills_later and pace.rate is not None
        self.children: dict[str, ChildOrder] = {}  # those that are open
        self.fills: list[Fill] = []  # for the cost analysis: no child is kept for it
        self.sent_lots = 0
        self.obstacles: Counter[str] = Counter()
        self.listener: Listener | None = None
        self._least: tuple[tuple[int, int], ParentSpec, int] | None = None
        self._market, self._series, self._desk, self._agenda = market, series, desk, agenda
        self._most_participation = risk.max_participation
        self._filled_in: Counter[int] = Counter()  # by interval, what its children filled
        self._most_quantities = (risk.max_child_quantity, traits.max_quantity)

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
    def remaining(self) -> int:
        return self.order.remaining

    def open_children(self) -> list[ChildOrder]:
        return list(self.children.values())

    def in_flight(self) -> int:
        """What open children may still fill."""
        return sum(self.in_flight_of(child) for child in self.children.values())

    def on_its_way(self) -> int:
        """What open children are expected to fill: those that are called back are not."""
        alive = (c for c in self.children.values() if c.state is not ChildState.PENDING_CANCEL)
        return sum(map(self.in_flight_of, alive))

    def done_in(self, interval: int) -> int:
        """What the children of an interval have filled or may still fill, whenever a fill is heard."""
        mine = (c for c in self.children.values() if c.interval == interval)
        return self._filled_in[interval] + sum(map(self.in_flight_of, mine))

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
        """The smallest child an exchange takes, with slack for a price that moves; at least one lot.

        Asked for many times at one touch, so the last answer is kept. An amendment makes another spec.
        """
        spec, touch = self.spec, self.touch()
        if self._least is None or self._least[0] != touch or self._least[1] is not spec:
            instrument = self._market.instruments[spec.instrument]
            self._least = touch, spec, least_units(instrument, spec, touch, self.settings.reach_bps)
        return self._least[2]

    def allowed(self, price_ticks: int) -> int:
        """What the participation caps (that of all orders too) and the algo's rate leave, against what has
        traded since the start."""
        lefts = [left for left in (self._left_alone(), self._desk.left_together(self)) if left is not None]
        return self.to_units(max(0, min(lefts)), price_ticks) if lefts else self.order.remaining

    def _left_alone(self) -> int | None:
        bound = self._bound()
        return None if bound is None else self._left_of(bound)

    def beyond_cap(self, child: ChildOrder) -> int:
        """Lots of a resting child that the participation caps no longer leave: one was amended."""
        bound = self._bound()
        return 0 if bound is None else min(max(0, -self._left_of(bound)), child.remaining_lots)

    def _left_of(self, bound: tuple[float, str]) -> int:
        """Lots that a share of the market's volume leaves beside what is filled and open."""
        flying = sum(self._desk.in_flight(child)[0] for child in self.children.values())
        return int(bound[0] * self.market_lots()) - self.order.filled_lots - flying

    def note_bound(self) -> None:
        """Name what kept an order back."""
        alone, together = self._left_alone(), self._desk.left_together(self)
        if together is not None and (alone is None or together < alone):
            self.note_obstacle(f"participation of all orders ({MAX_SYMBOL_PARTICIPATION})")
        elif (bound := self._bound()) is not None:
            self.note_obstacle(bound[1])

    def _bound(self) -> tuple[float, str] | None:
        """The smallest share of the market's volume that a cap or the algo's rate allows, and its name."""
        cap = tightest_cap(self.spec.participation_cap, self._most_participation)
        if self.rate is not None and (cap is None or self.rate < cap[0]):
            return self.rate, f"the rate of algo {self.spec.algo}"
        return None if cap is None else (cap[0], f"participation cap ({cap[1]})")

    def market_lots(self) -> int:
        """Market volume since the order's start, in lots."""
        self._series.update(self._market.trades(self.spec.instrument))
        return self._series.totals(0, self.spec.max_intervals + 1)[0]

    def begin(self, interval: int) -> None:
        """An interval begins: the last one of an order that is to be completed knows no rate."""
        if self._pace.complete and interval == self.spec.max_intervals - 1:
            self.rate, self._by_forecast = None, False

    def at_most(self, share: float) -> int:
        """Units that a slice of ``share`` may be: where a rate goes by the forecast, no more than that."""
        return round(share * self.spec.target) if self._by_forecast else self.spec.target

    # --- what a tactic may do -------------------------------------------------------------------------

    def send(self, ticket: Ticket, now_ns: int) -> None:
        """Send a child, no larger than one may be, unless risk refuses it or the exchange could only."""
        instrument = self._market.instruments[self.spec.instrument]
        ticket = within_most(ticket, instrument, self._most_quantities)
        if minimum := too_small(ticket, instrument):
            self.note_obstacle(f"what could be sent was less than the exchange takes ({minimum})")
            return
        child = self._desk.send(self, ticket, now_ns)
        if isinstance(child, Refusal):
            self.note_obstacle(refused(child))
            return
        self.children[child.child_id] = child
        self.sent_lots += child.qty_lots

    def amend(self, child: ChildOrder, price_ticks: int, lots: int, now_ns: int) -> bool:
        """Ask for a new price and total of lots; False when risk refused."""
        return self._desk.amend(self, child, price_ticks, lots, now_ns)

    def cancel(self, child: ChildOrder, now_ns: int) -> None:
        self._desk.cancel(child, now_ns)

    def void(self, now_ns: int, reason: str) -> None:
        """Every open child expires here: nobody hears of it any more."""
        for child in self.open_children():
            self._desk.void(child, now_ns, reason)
        self.children.clear()

    def at(self, at_ns: int, action: Action) -> None:
        """Call ``action`` at a time, as one of the engine's timers."""
        self._agenda.add(at_ns, Rank.TIMER, action)

    def note_obstacle(self, cause: str) -> None:
        """Count what stood in the way, to name it should the order expire."""
        self.obstacles[cause] += 1

    # --- what the desk reports --------------------------------------------------------------------

    def filled(self, child: ChildOrder, fill: ChildFilled, now_ns: int) -> None:
        """A child was filled; the parent's progress is booked already."""
        self.fills.append(_for_analysis(fill, child))
        lots, price_ticks = fill.qty_lots, fill.price_ticks
        self._filled_in[child.interval] += lots if self.by_quantity else self._value_tl(price_ticks, lots)
        self._listener().on_fill(now_ns)

    def child_ended(self, child: ChildOrder, now_ns: int) -> None:
        """A child is over: filled, cancelled, rejected or expired."""
        self.children.pop(child.child_id, None)
        used_up = child.state is ChildState.EXPIRED and self.traits.own_impact
        if used_up and not obstacle(child):  # by our own flow; a rule of the venue is counted by its name
            self.note_obstacle(without_values(child.reason))
        self._listener().on_child_ended(child, now_ns)

    def _listener(self) -> Listener:
        if self.listener is None:
            raise InternalError(f"{self.spec.parent_id} has children and nobody who works it")
        return self.listener


def _for_analysis(fill: ChildFilled, child: ChildOrder) -> Fill:
    return Fill(
        price_ticks=fill.price_ticks,
        qty_lots=fill.qty_lots,
        maker=fill.maker,
        fill_ns=fill.fill_ns,
        sent_mid_half_ticks=child.sent_mid_half_ticks,
        far_touch_ticks=child.far_touch_ticks,
    )
