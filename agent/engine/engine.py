"""The engine: market events, timers, venue reports and commands in; orders and audit events out.

Synchronous and deterministic: the same inputs in the same order give the same outputs, however they
are cut into batches. It cannot tell a live run from a replay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from agent.algos.pace import pace_of
from agent.core.agenda import Agenda, Rank
from agent.core.clock import in_utc
from agent.core.errors import InternalError
from agent.core.events import (
    AbandonParents,
    AuditEvent,
    Command,
    ControlParent,
    GapSeen,
    SkipTime,
    StartParent,
    VenueReported,
)
from agent.core.market.tape import BarArray, EventArray, Kind, interruption
from agent.core.market.trade_bars import BarSeries
from agent.core.orders.parent_order import ParentEvent, ParentOrder
from agent.core.ports import Algo, Market, OrderVenue, SlicePolicy, Stop
from agent.core.types import Align, ParentSpec
from agent.engine.control import carry_out
from agent.engine.desk import Desk
from agent.engine.execution import Execution
from agent.engine.measuring import Measurements
from agent.engine.outbox import Outbox
from agent.engine.settings import EngineSettings
from agent.engine.views import Views
from agent.engine.worker import BACK_AFTER_NS, Worker

PolicyFactory = Callable[[ParentSpec], SlicePolicy]
_NEVER = 2**62
_FILLED, _NOTICE, _DUE = int(Stop.FILLED), int(Stop.NOTICE), int(Stop.DUE)  # an enum would cost each batch


class Engine:
    """Give it bars, batches, commands and time; take what it did from ``drain``."""

    def __init__(
        self,
        market: Market,
        venue: OrderVenue,
        agenda: Agenda,
        settings: EngineSettings,
        policy: PolicyFactory,
        fallback: Algo,
    ) -> None:
        """``agenda`` is the one that the venue uses: what is due at a time has one order."""
        self.market, self.venue = market, venue
        self.now_ns = 0
        self.workers: dict[str, Worker] = {}  # those that work or may still be measured
        self._over: dict[str, ParentOrder] = {}  # the others: no series, no fills, nothing of the market
        self._working: dict[str, Worker] = {}  # those that are not done
        self._settings, self._policy, self._fallback = settings, policy, fallback
        self._agenda, self._outbox = agenda, Outbox()
        self._desk = Desk(market, venue, agenda, settings.risk, self._outbox)
        self._series: dict[tuple[int, int, int], BarSeries] = {}
        self._klines: dict[int, BarArray] = {}
        self._lanes = 0
        self._measurements = Measurements(
            market,
            agenda,
            settings.settle_ns,
            settings.noted_share,
            self._outbox,
            self._forget_order,
            self._forget_lane,
        )
        self._last_command_seen = False
        self._abandoned = False
        self._handlers: dict[type[Command], Callable[[Any], None]] = {
            StartParent: self._start,
            ControlParent: self._control,
            VenueReported: self._reported,
            AbandonParents: self._abandon,
            SkipTime: self._skip,
        }

    @property
    def seq(self) -> int:
        """The number of the last input taken in."""
        return self._outbox.seq

    # --- inputs -----------------------------------------------------------------------------------

    def on_bars(self, bars: BarArray) -> None:
        """Take in klines fetched before the first event, oldest first."""
        for number in np.unique(bars["instrument"]):
            mine = bars[bars["instrument"] == number]
            known = self._klines.get(int(number))
            self._klines[int(number)] = mine if known is None else np.concatenate([known, mine])

    def advance(self, events: EventArray | BarArray) -> None:
        """Consume a batch. Timers due before its rows fire in between; later ones wait."""
        recv_ns, seq = events["recv_ns"], events["seq"]
        i, n = 0, len(events)
        while i < n:
            i, why = self.market.run(events, i, self._agenda.next_ns)
            if i:
                self.now_ns, self._outbox.seq = max(self.now_ns, recv_ns.item(i - 1)), seq.item(i - 1)
            if why == _FILLED:
                self.venue.collect()
            elif why == _NOTICE:
                self._notice(events[i - 1])
            elif why == _DUE:
                self._run_due(recv_ns.item(i) - 1)

    def advance_time(self, to_ns: int, most: int | None = None) -> bool:
        """Say that every event with ``recv_ns <= to_ns`` has been given: what is due by then happens.

        Of that ``most`` actions at most; False where more is due: ask again before any other input, so that
        what has been done can be handed over meanwhile. Nothing else changes.
        """
        if not self._run_due(to_ns, most):
            return False
        self.now_ns = max(self.now_ns, to_ns)
        return True

    def command(self, command: Command) -> None:
        """Take a command, at its place among the events."""
        if self._last_command_seen:
            raise InternalError(f"a command at {command.recv_ns} after the last one was announced")
        self._run_due(command.recv_ns - 1)
        self.now_ns, self._outbox.seq = max(self.now_ns, command.recv_ns), command.seq
        self._handlers[type(command)](command)

    def no_more_commands(self) -> None:
        """Say that no command follows: trades and mids that no order asks for any more may be forgotten.

        A replay knows it, a live run never does. Nothing but memory changes: series begin with commands
        only, those that exist take in the trades before they go (sums do not care when they are added up),
        and every measure of an order looks at mids from its own start on.
        """
        self._last_command_seen = True
        self.market.forget_beyond(self._needs)

    def forget(self, look_back_ns: Callable[[int], int]) -> None:
        """Say how far back an order that is still to start may look at an instrument's trades; 0: none will.

        What lies further back, and no order of now asks for, may be forgotten, as by ``no_more_commands``;
        commands may go on. It is asked each time that a store is full.
        """
        self.market.forget_beyond(lambda number: self._live_needs(number, look_back_ns(number)))

    def _live_needs(self, number: int, look_back_ns: int) -> tuple[int, int]:
        """What orders of now need, and one that starts next: trades from one before its first bar on, so that
        klines end where they would; mids from now on."""
        first_trade, first_ns = self._needs(number)
        trades = self.market.trades(number)
        next_first = max(trades.first, trades.number_at(self.now_ns - look_back_ns) - 1)
        return min(first_trade, next_first), min(first_ns, self.now_ns)

    def _needs(self, number: int) -> tuple[int, int]:
        """(first trade, first time of a mid or fault) that orders working or not yet measured may ask for."""
        waiting = self._measurements.waiting()
        mine = [w for w in (*self._working.values(), *waiting) if w.order.spec.instrument == number]
        for worker in mine:
            worker.series.update(self.market.trades(number))
        first_trade = min((self._first_trade(w) for w in mine), default=_NEVER)
        return first_trade, min((_first_ns(w) for w in mine), default=_NEVER)

    def _first_trade(self, worker: Worker) -> int:
        """The first that an order may still ask for."""
        mine = worker.series.next_trade
        return min(mine, worker.first_trade) if worker.participation is None else mine

    def close(self, end_ns: int) -> None:
        """The session ends: measure what has ended and not been measured to the last."""
        self.advance_time(end_ns)
        self._measurements.close(end_ns)

    def fail(self, reason: str) -> None:
        """Nothing can be trusted any more: every parent that is not done has failed, and says why."""
        for worker in self._working.values():
            worker.order.apply(ParentEvent.FAILED, self.now_ns)
            worker.emit_changed(self.now_ns, reason)
        self._working.clear()

    # --- outputs ----------------------------------------------------------------------------------

    def drain(self) -> list[AuditEvent]:
        """Take what happened since the last call, in order."""
        return self._outbox.drain()

    @property
    def next_timer_ns(self) -> int:
        return self._agenda.next_ns

    @property
    def working(self) -> bool:
        """Whether any parent or shadow is not done."""
        return bool(self._working)

    @property
    def killed(self) -> bool:
        """Whether a user's command has ended everything: no order goes out any more."""
        return self._desk.killed

    @property
    def settled(self) -> bool:
        """Whether all is done and every full window has been measured."""
        return not self.working and self._measurements.settled(self.now_ns)

    # --- inside -----------------------------------------------------------------------------------

    def _run_due(self, until_ns: int, most: int | None = None) -> bool:
        """Do what is due; False where ``most`` actions were not all of it."""
        left = -1 if most is None else most
        while left and not self._abandoned and (due := self._agenda.pop(until_ns)) is not None:
            at_ns, action = due
            if at_ns < self.now_ns:
                at_ns = self.now_ns  # scheduled for a moment that was already past
            self.now_ns = at_ns
            action(at_ns)
            left -= 1
        return self._abandoned or self._agenda.next_ns > until_ns

    def _notice(self, row: Any) -> None:
        kind = int(row["kind"])
        self.market.note(row)
        found = interruption(kind, int(row["flags"]))
        if found is None:
            raise InternalError(f"tape row {int(row['seq'])} has kind {kind}, which nothing handles")
        stream, ended = found
        lost = int(row["qty_lots"]) if kind == Kind.GAP_END else 0
        self._outbox.emit(GapSeen(self.now_ns, self.seq, int(row["instrument"]), stream, ended, lost))

    def _start(self, command: StartParent) -> None:
        self._add(command.spec, 0, command.recv_ns)
        for spec in command.shadows:
            self._lanes += 1
            self._add(spec, self._lanes, command.recv_ns)

    def _add(self, spec: ParentSpec, lane: int, now_ns: int) -> None:
        if self.knows(spec.parent_id):
            raise InternalError(f"parent {spec.parent_id} was started twice")
        start_ns = now_ns
        if spec.align is Align.GRID:
            start_ns = -(-now_ns // spec.interval_ns) * spec.interval_ns
        order = ParentOrder(spec, now_ns, self.market.instruments[spec.instrument].inverse)
        order.decision_mid_half_ticks = self.market.mid_half_ticks(spec.instrument) or None
        worker = self._worker(order, lane, start_ns)
        self.workers[spec.parent_id] = self._working[spec.parent_id] = worker
        self._outbox.emit(order.changed(now_ns, self.seq, "accepted"))
        worker.schedule()

    def _worker(self, order: ParentOrder, lane: int, start_ns: int) -> Worker:
        spec, settings, agenda = order.spec, self._settings, self._agenda
        policy = self._policy(spec)
        series = self._series_of(spec, start_ns)
        execution = Execution(
            order,
            lane,
            self.market,
            series,
            self._desk,
            agenda,
            self.venue.traits(lane),
            settings.tactics,
            settings.risk,
            pace_of(spec.algo, spec.algo_params),
        )
        views = Views(order, start_ns, self.market, series, self._klines.get(spec.instrument))
        trades = self.market.trades(spec.instrument)
        return Worker(
            order,
            start_ns,
            trades.number_at(start_ns),
            execution,
            views,
            policy,
            self._fallback,
            agenda,
            settings,
            self._outbox,
            self._ended,
        )

    def knows(self, parent_id: str) -> bool:
        """Whether a parent or shadow of this name was ever started."""
        return parent_id in self.workers or parent_id in self._over

    def _forget_order(self, worker: Worker) -> None:
        """Nothing changes an order's numbers any more: all that is kept of it is how it ended."""
        parent_id = worker.order.spec.parent_id
        self._over[parent_id] = self.workers.pop(parent_id).order

    def _forget_lane(self, lane: int) -> None:
        """A shadow has been measured: its copy of the venue is of no use any more."""
        self.market.forget_lane(lane)
        self.venue.forget_lane(lane)
        self._desk.forget_lane(lane)

    def _ended(self, worker: Worker, now_ns: int) -> None:
        """An order is done, and to be measured."""
        self._working.pop(worker.order.spec.parent_id, None)
        self._desk.ended(worker.execution)
        self._measurements.plan(worker, now_ns)

    def _series_of(self, spec: ParentSpec, start_ns: int) -> BarSeries:
        """The bars of the order's interval and phase; orders on one grid share them."""
        delta = spec.interval_ns
        phase = start_ns % delta
        key = (spec.instrument, delta, start_ns if spec.align is Align.NONE else phase)
        series = self._series.get(key)
        if series is None or series.phase_ns != start_ns:
            series = self.market.series(spec.instrument, delta, start_ns, self._settings.history_bars)
            series.update(self.market.trades(spec.instrument))
            if spec.instrument in self._klines:
                series.use_klines(self._klines[spec.instrument])
            gone = [k for k, old in self._series.items() if old.phase_ns < self.now_ns]
            for k in gone:  # only what starts with it shares a series: its orders keep it
                del self._series[k]
            self._series[key] = series
        return series

    # --- commands ---------------------------------------------------------------------------------

    def _control(self, command: ControlParent) -> None:
        carry_out(command, list(self._working.values()), self._desk.kill, self.now_ns, self._outbox)

    def _abandon(self, command: AbandonParents) -> None:
        """Every order ends as it stood; what was due, or on its way, happens no more."""
        self._abandoned = True
        for worker in list(self._working.values()):
            worker.abandon(self.now_ns, command.reason)

    def _skip(self, command: SkipTime) -> None:
        """Go on after a time in which nothing was done. What a venue had said before it is heard first."""
        to_ns = command.to_ns
        lost = f"{command.cause} from {in_utc(command.from_ns)} to {in_utc(to_ns)}"
        lost_orders = self._desk.on_paper()
        self.venue.lose_time(self.now_ns)
        heard_ns = self._agenda.skip(to_ns, to_ns + BACK_AFTER_NS)
        self._agenda.add(
            heard_ns, Rank.TIMER, lambda t: self._desk.void_lost(lost_orders, t, f"void: {lost}")
        )
        for worker in list(self.workers.values()):
            symbol = worker.order.spec.symbol
            worker.skip(to_ns, heard_ns, lost, command.unworkable.get(symbol, ""))
        self.now_ns = max(self.now_ns, to_ns)

    def _reported(self, command: VenueReported) -> None:
        """A venue outside reports; by its own stamp or late, it is known from now on.

        What cannot be is the venue's fault and no reason to stop: its parent fails and says so.
        """
        report = command.report
        report.recv_ns = self.now_ns
        fault = self._desk.fault(report)
        if not fault:
            self._desk.report(report)
            return
        parent_id, reason = (
            self._desk.parent_of(report.number) or "",
            f"the venue reported what cannot be: {fault}",
        )
        if parent_id in self.workers:
            self.workers[parent_id].fail(self.now_ns, reason)
        elif parent_id in self._over:
            self._outbox.emit(self._over[parent_id].changed(self.now_ns, self.seq, reason))


def _first_ns(worker: Worker) -> int:
    """The earliest moment that a measure of an order looks at: of its decision, or the trade that priced its
    start."""
    return min(worker.start_ns, worker.order.submitted_ns, worker.series.priced_ns())
