"""One parent order's life: its intervals, its decisions, its end.

At the start of interval k the algo gets the views. A decision latency later its answer is projected on what
the bounds allow and handed to the tactic, which works it until the interval ends. ``finish`` is sticky.
What could not be done is carried to the next interval; what is left at the end expires, with its cause.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from agent.core.agenda import Action, Agenda, Rank
from agent.core.events import DecisionTaken
from agent.core.instrument import Instrument
from agent.core.market.trade_bars import BarSeries
from agent.core.measures.traded_volume import Participation
from agent.core.orders.child_order import ChildOrder
from agent.core.orders.parent_order import ParentEvent, ParentOrder
from agent.core.orders.projection import project
from agent.core.ports import Algo, SlicePolicy
from agent.core.types import NS_PER_S, MarketView, OrderView, ParentState, Slice
from agent.engine.execution import Execution
from agent.engine.outbox import Outbox
from agent.engine.settings import EngineSettings
from agent.engine.tactics.tactic_registry import create_tactic
from agent.engine.views import Views

BACK_AFTER_NS = NS_PER_S
"""After lost time an order goes on so much later: by then what waited in sockets has been read."""


class _Owed(Enum):
    """What an order has still to do once it is back from lost time; lost again, it is owed all the same."""

    NOTHING = 0
    START = 1
    INTERVAL = 2  # the one of then is decided late
    DECISION = 3  # of an interval that had begun
    SLICE = 4  # the rest of what was decided


@dataclass(frozen=True, slots=True)
class _Done:
    """What was done with an answer: whose it was, whether its algo was late, the slice that came of it."""

    answer: Slice
    algo: str
    overrun: bool
    units: int
    finishing: bool


class Worker:
    """Works one parent (or shadow) from its start to its end. All times are engine time."""

    def __init__(
        self,
        order: ParentOrder,
        start_ns: int,
        first_trade: int,
        execution: Execution,
        views: Views,
        policy: SlicePolicy,
        fallback: Algo,
        agenda: Agenda,
        settings: EngineSettings,
        outbox: Outbox,
        on_end: Callable[[Worker, int], None],
    ) -> None:
        self.order, self.start_ns, self.execution = order, start_ns, execution
        self.finish_interval: int | None = None  # the interval the order finished (or ended) in
        self.end_mid_half_ticks = 0
        self.arrival_ns: int | None = None  # of the arrival mid
        self.first_trade = first_trade  # the number of the first at or after the start
        self.participation: Participation | None = None  # once nothing changes it any more
        self._views, self._market = views, views.market
        self._policy, self._fallback, self._settings = policy, fallback, settings
        self._agenda, self._outbox, self._on_end = agenda, outbox, on_end
        self._tactic = create_tactic(order.spec.tactic, execution)
        self._interval = -1
        self._pending: dict[int, tuple[OrderView, MarketView]] = {}  # decisions not collected yet
        self._ending: tuple[ParentEvent, str] | None = None
        self._owed, self._lost_times, self._unworkable = _Owed.NOTHING, 0, ""
        self._slice = (0, False)  # of this interval: what it was to do, and whether it finishes the order
        execution.listener = self

    @property
    def series(self) -> BarSeries:
        """The bars of the order's interval and phase."""
        return self._views.series

    def interval_ns(self, k: int) -> int:
        """When interval ``k`` starts."""
        return self.start_ns + k * self.order.spec.interval_ns

    # --- life -------------------------------------------------------------------------------------

    def schedule(self) -> None:
        self._agenda.add(self.start_ns, Rank.TIMER, self._start)

    def _start(self, now_ns: int) -> None:
        if self.order.done:
            return
        self.order.apply(ParentEvent.STARTED, now_ns)
        self._note_arrival(now_ns)
        self.emit_changed(now_ns, "started")
        self._begin_interval(self._interval_at(now_ns), now_ns)

    def _interval_at(self, now_ns: int) -> int:
        """The interval that a moment lies in; ``max_intervals`` once the order's time is over."""
        spec = self.order.spec
        return min((now_ns - self.start_ns) // spec.interval_ns, spec.max_intervals)

    def _note_arrival(self, now_ns: int) -> None:
        """The arrival mid is the first book at or after the start."""
        mid = self._mid_half_ticks()
        if self.order.arrival_mid_half_ticks is None and mid > 0:
            self.order.arrival_mid_half_ticks, self.arrival_ns = mid, now_ns

    @property
    def instrument(self) -> Instrument:
        """What the order trades."""
        return self._market.instruments[self.order.spec.instrument]

    def _mid_half_ticks(self) -> int:
        return self._market.mid_half_ticks(self.order.spec.instrument)

    def _begin_interval(self, k: int, now_ns: int) -> None:
        self._close_interval(k, now_ns)
        if self.order.done or self._ending is not None:
            return
        spec = self.order.spec
        if k == spec.max_intervals:
            self.end(ParentEvent.EXPIRED, now_ns)
            return
        self._interval, self._owed = k, _Owed.NOTHING
        self._at(self.interval_ns(k + 1), lambda t: self._begin_interval(k + 1, t))
        if self.order.state is not ParentState.PAUSED:
            self._ask(k, now_ns)

    def _ask(self, k: int, now_ns: int) -> None:
        """Show the algo what there is, and act on its answer a decision latency later."""
        order_view = self._views.of_order(k, self.execution.least_units(), self._left_share())
        market_view = self._views.of_market(k, now_ns)
        self._pending[k] = (order_view, market_view)
        if not self.order.finishing:
            self._policy.request(self._decision_id(k), order_view, market_view)
        self._at(now_ns + self._settings.decision_latency_ns, lambda t: self._act(k, t))

    def _close_interval(self, k: int, now_ns: int) -> None:
        """The interval before ``k`` is over: keep its book, and call back what still rests."""
        number = self.order.spec.instrument
        self.series.update(self._market.trades(number))
        self.series.note_book(k - 1, self._market.book(number))
        self._note_arrival(now_ns)
        self._tactic.stop(now_ns)

    def _decision_id(self, k: int) -> str:
        return f"{self.order.spec.parent_id}/{k}"

    # --- decisions --------------------------------------------------------------------------------

    def _act(self, k: int, now_ns: int) -> None:
        if k not in self._pending:  # it was asked before time was lost
            return
        view, market = self._pending.pop(k)
        if self.order.done or self._ending is not None or self.order.state is ParentState.PAUSED:
            return
        self._note_arrival(now_ns)
        answer, algo, overrun = self._answer(k, view, market)
        share, finishing = self._feasible(k, answer)
        order = self.order
        order.finishing = order.finishing or finishing
        self.execution.begin(k)
        wanted, most = self._units(share, finishing), self.execution.at_most(answer.share)
        units = min(wanted, most)
        order.decisions += 1
        done = _Done(answer, algo, overrun, units, finishing)
        self._outbox.emit(self._decision(k, view, market, done, now_ns))
        self._slice = (units, finishing and wanted <= most)
        self._tactic.begin(k, *self._slice, now_ns, self.interval_ns(k + 1))

    def _answer(self, k: int, view: OrderView, market: MarketView) -> tuple[Slice, str, bool]:
        """(answer, whose it is, whether the algo was late)."""
        name = self.order.spec.algo
        if view.finishing:
            return Slice(view.remaining, True, reason="finish was decided before and is sticky"), name, False
        collected = self._policy.collect(self._decision_id(k))
        if collected is not None:
            return collected, name, False
        answer = self._fallback.decide(view, market)
        reason = f"{name} was late; {self._fallback.name}: {answer.reason}"
        return replace(answer, reason=reason), self._fallback.name, True

    def _feasible(self, k: int, answer: Slice) -> tuple[float, bool]:
        """(share of the order, whether it finishes): the answer on what the order's bounds allow."""
        spec, order = self.order.spec, self.order
        return project(
            answer.share,
            answer.finish or order.finishing,
            self._left_share(),
            spec.max_intervals - k - 1,
            spec.min_intervals,
            k,
            spec.min_rate,
            spec.max_rate,
            min(1.0, self.execution.least_units() / spec.target),
        )

    def _left_share(self) -> float:
        """Share of the order that is neither filled nor on its way to be.

        A fill that is heard late belongs to the interval that sent its child, not to the one it is heard in.
        """
        return max(0, self.order.remaining - self.execution.on_its_way()) / self.order.spec.target

    def _units(self, share: float, finishing: bool) -> int:
        """The slice in the target's unit, whole lots, never more than is left and not in flight."""
        free = self.order.remaining - self.execution.in_flight()
        if finishing and share >= self._left_share():
            return max(0, free)
        least = self.execution.least_units()
        wanted = min(int(share * self.order.spec.target + 0.5), free - least)
        return wanted if wanted >= least else 0

    def _decision(
        self, k: int, view: OrderView, market: MarketView, done: _Done, now_ns: int
    ) -> DecisionTaken:
        spec, mid, answer = self.order.spec, self._mid_half_ticks(), done.answer
        lots = done.units if self.execution.by_quantity else (2 * done.units // mid if mid else 0)
        return DecisionTaken(
            at_ns=now_ns,
            seq=self._outbox.seq,
            decision_id=self._decision_id(k),
            parent_id=spec.parent_id,
            interval=k,
            asked_ns=self.interval_ns(k),
            algo=done.algo,
            view=view,
            market_close=float(market.bars["close"][-1]) if len(market.bars) else math.nan,
            market_mid=market.mid,
            share=answer.share,
            finish=answer.finish,
            finish_probability=answer.finish_probability,
            slice_share=done.units / spec.target,
            slice_lots=lots,
            finishing=done.finishing,
            reason=answer.reason,
            overrun=done.overrun,
            model=answer.model,
            history_bars=answer.history_bars,
            importances=answer.importances,
            attention=answer.attention,
            turns_at_bps=answer.turns_at_bps,
            latency_ns=answer.latency_ns,
            bars_seen=answer.bars_seen,
        )

    # --- lost time --------------------------------------------------------------------------------

    def skip(self, to_ns: int, heard_ns: int, lost: str, unworkable: str) -> None:
        """Nothing was done up to ``to_ns``: go on with the interval that this lies in.

        Intervals within the lost time never were. The one that it ended in goes on with its slice, or is
        decided now if it was not. By ``heard_ns`` all that was filled before is known. ``lost`` names the
        time; ``unworkable``, why the order cannot go on at all.
        """
        if self.order.done:
            return
        self._unworkable = why = unworkable or self._unworkable
        if why:
            self._at(heard_ns, lambda t: self.end(ParentEvent.EXPIRED, t, self._shortfall(why)))
        if self.start_ns > to_ns:
            return
        self.execution.note_obstacle(lost)
        was_working, k = self._tactic.halt(), self._interval
        self._lost_times += 1
        if self.order.state is ParentState.PENDING:
            self._owed = _Owed.START
        elif self._interval_at(to_ns) == self.order.spec.max_intervals:
            over = f"{lost}, and its max_duration ended then"
            self._at(heard_ns, lambda t: self.end(ParentEvent.EXPIRED, t, self._shortfall(over)))
            return
        elif self._interval_at(to_ns) != k:
            self._pending.clear()
            self._owed = _Owed.INTERVAL
        elif self._pending.pop(k, None) is not None:
            self._owed = _Owed.DECISION
        elif was_working:
            self._owed = _Owed.SLICE
        if self._owed is not _Owed.NOTHING:
            number, back_ns = self._lost_times, max(heard_ns, to_ns + BACK_AFTER_NS)
            self._at(back_ns, lambda t: self._come_back(number, t))

    def _at(self, at_ns: int, action: Action) -> None:
        self._agenda.add(at_ns, Rank.TIMER, action)

    def _come_back(self, number: int, now_ns: int) -> None:
        """Do what is owed since the lost time ``number``, unless more has been lost since."""
        if number != self._lost_times:
            return
        owed, self._owed, k = self._owed, _Owed.NOTHING, self._interval
        working = self.order.state is ParentState.WORKING and self._ending is None
        if owed is _Owed.START:
            self._start(now_ns)
        elif owed is _Owed.INTERVAL:
            self._begin_interval(self._interval_at(now_ns), now_ns)
        elif owed is _Owed.DECISION and working:
            self._ask(k, now_ns)
        elif owed is _Owed.SLICE and working:
            self._tactic.begin(k, *self._slice, now_ns, self.interval_ns(k + 1))

    # --- what the execution reports ---------------------------------------------------------------

    def on_fill(self, now_ns: int) -> None:
        """A child was filled. A complete order is over at once."""
        self._note_arrival(now_ns)
        self.emit_changed(now_ns, "")
        if self.order.complete and not self.order.done:
            self.order.finishing = True
            self._ending = None
            self._finish(ParentEvent.COMPLETED, now_ns, "filled")

    def on_child_ended(self, child: ChildOrder, now_ns: int) -> None:
        if self._ending is not None:
            self._try_end(now_ns)
        elif not self.order.done:
            self._tactic.child_ended(child, now_ns)

    def emit_changed(self, now_ns: int, reason: str) -> None:
        self._outbox.emit(self.order.changed(now_ns, self._outbox.seq, reason))

    # --- ends and commands ------------------------------------------------------------------------

    def end(self, event: ParentEvent, now_ns: int, reason: str = "") -> None:
        """End the order once nothing is in flight any more."""
        if self.order.done or self._ending is not None:
            return
        self._ending = (event, reason)
        self._tactic.stop(now_ns)
        self._try_end(now_ns)

    def fail(self, now_ns: int, reason: str) -> None:
        """End the order as failed; one that has ended says why nobody should trust it."""
        if self.order.done:
            self.emit_changed(now_ns, reason)
        else:
            self.end(ParentEvent.FAILED, now_ns, reason)

    def abandon(self, now_ns: int, reason: str) -> None:
        """Expire as things stand: nobody works the order any more, and what is in flight is void."""
        if not self.order.done:
            self.execution.void(now_ns, reason)
            self._finish(ParentEvent.EXPIRED, now_ns, self._shortfall(reason))

    def _try_end(self, now_ns: int) -> None:
        if self._ending is not None and not self.execution.children:
            event, reason = self._ending
            self._finish(event, now_ns, reason or self._shortfall())

    def _finish(self, event: ParentEvent, now_ns: int, reason: str) -> None:
        self.order.apply(event, now_ns)
        self.end_mid_half_ticks = self._mid_half_ticks()
        self.finish_interval = min(max(self._interval, 0), self.order.spec.max_intervals - 1)
        self._tactic.stop(now_ns)
        self.emit_changed(now_ns, reason)
        self._on_end(self, now_ns)

    def _shortfall(self, cause: str = "") -> str:
        """What is left and what stood in its way: ``cause``, or what was counted."""
        instrument = self.instrument
        left, by_quantity = self.order.remaining, self.execution.by_quantity
        unit = instrument.unit if by_quantity else instrument.quote
        amount = instrument.quantity(left) if by_quantity else instrument.notional(left)
        common = self.execution.obstacles.most_common(3)
        counted = ", ".join(f"{obstacle} ({count}x)" for obstacle, count in common)
        return f"{amount:f} {unit} unfilled: {cause or counted or 'the market did not offer it in time'}"

    def pause(self, now_ns: int) -> None:
        self.order.apply(ParentEvent.PAUSED, now_ns)
        self._tactic.stop(now_ns)
        self.emit_changed(now_ns, "paused by command")

    def resume(self, now_ns: int) -> None:
        """Work goes on with the next interval."""
        self.order.apply(ParentEvent.RESUMED, now_ns)
        self.emit_changed(now_ns, "resumed by command")
