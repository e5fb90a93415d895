"""The asyncio shell of a live run: it decides *when*, the engine decides *what*.

One ingest point stamps every input with ``recv_ns`` (session start + monotonic clock) and ``seq``. An
input is handed to the operating system before the engine sees it, and what the engine makes of it is handed
over to the execution log after that: the session is the truth about causes, the database a projection.
Nothing here waits for a database: what does is a task of its own (``storage.log.kept_log``).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import structlog

from agent.core.agenda import FAR_FUTURE_NS
from agent.core.canonical import TapeCheck, canonical_row
from agent.core.clock import Clock, StandStill
from agent.core.errors import ExchangeError, InternalError, RecordingError
from agent.core.events import (
    AuditEvent,
    Command,
    CommandKind,
    ControlParent,
    Resumed,
    SkipTime,
    StartParent,
    VenueReported,
)
from agent.core.market.tape import EVENT, BarArray, EventArray, Flag, Kind
from agent.core.orders.venue_messages import Report
from agent.core.ports import ExecutionLog, Feed, OutsideLink, SessionWriter
from agent.core.types import NS_PER_MS, NS_PER_S, ParentSpec
from agent.engine.engine import Engine
from agent.journal import CLOSING, command_entry, round_trip_entry

log = structlog.get_logger("runtime")

IDLE_S = 0.05
DUE_AT_ONCE = 50
"""What many orders do at one moment is handed over in parts: the first need not wait for the last."""
STEP_NS = 10 * NS_PER_MS
"""In a busy market batches are gathered for so long: recording and hand-over cost by the batch."""
JOINED_WITHIN_NS = 5 * NS_PER_S
"""The first order waits so long for the trades between the fetched history and the stream."""
BEAT_S = 0.25
STALLED_NS = 2 * NS_PER_S
"""A loop that did nothing for so long has stood still: nothing is traded on what it did not see in time."""
STOOD_STILL = "the process stood still"
NOT_RUNNING = "the agent was not running"
ANSWER_S = 30.0
"""At the end a venue outside is given so long to answer for what is in flight."""


Watch = Callable[[Sequence[AuditEvent]], None]


@dataclass(frozen=True, slots=True)
class Former:
    """What there was of a session before its process died. The engine has taken in all of it."""

    seq: int
    last_ns: int  # the last moment that it knows of
    check: TapeCheck
    life: Mapping[str, Any]  # what the journal is told of the process that goes on
    unworkable: Mapping[str, str]  # symbols whose orders cannot go on, and why
    endings: Callable[[int], EventArray]  # at a time: rows that end what was interrupted when it died


class LiveRun:
    """One live session: feed in, engine, session and log out. See ``run``."""

    def __init__(
        self,
        feed: Feed,
        engine: Engine,
        writer: SessionWriter,
        execution_log: ExecutionLog,
        clock: Clock,
        late: list[str],
        watch: Watch,
        outside: OutsideLink | None = None,
        former: Former | None = None,
    ) -> None:
        """``former``: the session is one that goes on."""
        self.feed, self.engine, self.writer, self.clock = feed, engine, writer, clock
        self.stopping = asyncio.Event()
        self.interrupted = False
        self.rotating = False
        self.cancelled_all = False  # by a user's command
        self._finishing = False
        self.events = self.trades = self.gaps = 0
        self._log, self._late, self._watch = execution_log, late, watch
        self._outside = outside
        self.resumed: Resumed | None = None
        self.lost: Callable[[], bool] = lambda: False  # to another process, which goes on with the session
        self._former = former
        self._seq = former.seq if former else 0
        self._last_ns = former.last_ns if former else 0
        self._last_rows_ns = clock.now_ns()
        self._check = former.check if former else TapeCheck()
        self._inbox: asyncio.Queue[EventArray | Report] = asyncio.Queue()
        self._book_seen = asyncio.Event()
        self._stepped_ns = 0
        self._still = StandStill(clock, STALLED_NS)

    def quiet(self, for_ns: int) -> bool:
        """Whether nothing has come for so long."""
        return self._inbox.empty() and self.clock.now_ns() - self._last_rows_ns >= for_ns

    def rotate(self) -> bool:
        """End this session for a new one; False while an order works or its window is not measured yet."""
        self.rotating = self.engine.settled
        return self.rotating

    @property
    def ending(self) -> bool:
        """Whether this session takes no new order any more."""
        return self.rotating or self._finishing or self.stopping.is_set()

    # --- ingest: the one place that stamps --------------------------------------------------------

    def _stamp_ns(self) -> int:
        """Now, later than any input before it."""
        self._last_ns = max(self.clock.now_ns(), self._last_ns + 1)
        return self._last_ns

    def ingest(self, rows: EventArray, at_ns: int | None = None) -> None:
        """Stamp, record, and hand to the engine. ``at_ns``: later than all inputs before, if not now."""
        rows = rows.copy()
        self._last_ns = self._stamp_ns() if at_ns is None else at_ns
        rows["recv_ns"] = self._last_ns
        rows["seq"] = np.arange(self._seq + 1, self._seq + 1 + len(rows))
        self._seq += len(rows)
        self._last_rows_ns = self._last_ns
        self.writer.events(rows)
        self.engine.advance(rows)
        self.events += len(rows)
        self.trades += int(
            np.count_nonzero((rows["kind"] == Kind.TRADE) & (rows["flags"] & Flag.HISTORY == 0))
        )
        self.gaps += int(np.count_nonzero(rows["kind"] == Kind.GAP_BEGIN))
        if np.any(rows["kind"] == Kind.SNAPSHOT_END):
            self._book_seen.set()
        self._publish(self._check.add(rows))

    def warm_up(self, trades: EventArray, bars: BarArray) -> None:
        """Record and consume history, raw, before the first live event."""
        if len(bars):
            bars = bars.copy()
            bars["recv_ns"] = self._stamp_ns()
            bars["seq"] = np.arange(self._seq + 1, self._seq + 1 + len(bars))
            self._seq += len(bars)
            self.writer.bars(bars)
            self.engine.on_bars(bars)
        if len(trades):
            self.ingest(trades)

    def start(self, spec: ParentSpec, shadows: Sequence[ParentSpec]) -> None:
        """Start a parent order now. Raises InternalError for an id that was given before."""
        if self.engine.knows(spec.parent_id):
            raise InternalError(f"parent {spec.parent_id} was started twice")
        self._note_stalls()
        self._seq += 1
        self._command(StartParent(self._stamp_ns(), self._seq, spec, tuple(shadows)))

    def control(
        self, kind: CommandKind, parent_id: str | None, command_id: str, amend: Mapping[str, Any]
    ) -> None:
        """Carry out a user's command now."""
        self._note_stalls()
        self._seq += 1
        self._command(ControlParent(self._stamp_ns(), self._seq, kind, parent_id, command_id, amend))

    def deliver(self, report: Report) -> None:
        """A venue outside reports: taken in at its place among what else has come, and journalled first."""
        self._inbox.put_nowait(report)

    def _command(self, command: Command, beside: Mapping[str, Any] | None = None) -> None:
        """``beside``: what the journal is told besides."""
        self.writer.journal({**command_entry(command), **(beside or {})})
        self.engine.command(command)
        self._publish()

    def _publish(self, tape_rows: Sequence[str] = ()) -> None:
        """Late decisions and measurements into the journal, results into the session, then to who watches."""
        for decision_id in self._late:
            self._seq += 1
            entry = {"kind": "overrun", "recv_ns": self.engine.now_ns, "seq": self._seq}
            self.writer.journal({**entry, "decision_id": decision_id})
            log.warning("decision_late", decision=decision_id, acted="optimal_stopping")
        self._late.clear()
        for sent_ns, ns in self.feed.round_trips():
            self._seq += 1
            self.writer.journal(round_trip_entry(self._last_ns, self._seq, sent_ns, ns))
        events = self.engine.drain()
        rows = [canonical_row(event) for event in events]
        try:
            if rows or tape_rows:
                self.writer.outcome([*rows, *tape_rows])
        finally:  # what could not be recorded has happened, and an order's fills belong to its state
            if events:
                self._watch(events)
                self._log.take(events)
        if self._outside is not None and self._outside.waiting:
            self.writer.sync()  # an order that has left without its cause on the disk would be nobody's
            self._outside.release()

    # --- the loop ---------------------------------------------------------------------------------

    async def run(
        self,
        on_book: Callable[[], Awaitable[None]],
        until: Callable[[], bool],
        *,
        book_within_ns: int | None = None,
    ) -> None:
        """Stream until ``until()`` holds or ``stopping`` is set; ``on_book`` is called at the first book.

        Whatever happens, parents are ended and the session closed; one that was to go on, and could not
        begin to, is left as it was. Raises ExchangeError when no whole book has come ``book_within_ns`` from
        now.
        """
        pump = asyncio.create_task(self._pump(), name="feed")
        beat = asyncio.create_task(self._beat(), name="beat")
        deadline_ns = FAR_FUTURE_NS if book_within_ns is None else self.clock.now_ns() + book_within_ns
        try:
            if self._former is not None:
                await self._go_on(self._former, pump, deadline_ns)
            else:
                await self._until_first_book(pump, until, deadline_ns)
                if self._book_seen.is_set():
                    await self._until_joined(pump, until)
            if self._book_seen.is_set():
                await on_book()
            if not self.left_as_it_was:
                await self._loop(pump, until)
        except RecordingError as error:
            self._give_up(f"the session could not be recorded: {error}")
            raise
        finally:
            await _cancelled(pump)
            unrecorded = await self._finish()
            await _cancelled(beat)
        if unrecorded is not None:
            raise unrecorded

    @property
    def left_as_it_was(self) -> bool:
        """Whether a session that was to go on has not begun to, or goes on elsewhere."""
        return self.lost() or (self._former is not None and self.resumed is None)

    async def _go_on(self, former: Former, pump: asyncio.Task[None], deadline_ns: int) -> None:
        """Wait for what was missed and for the books, then say how long nothing was done.

        Nothing is taken in before all is there, or ``deadline_ns`` has come: a process that dies here, or is
        stopped, leaves the session as it was. Raises ExchangeError when no book at all has come.
        """
        waiting: list[EventArray] = []
        bookless = set(range(len(self.engine.market.instruments)))
        bookless -= {i.number for i in self.engine.market.instruments if i.symbol in former.unworkable}
        while bookless or self._is_catching_up():
            if self._over(pump):
                self.interrupted = self.stopping.is_set()
                return
            if self.clock.now_ns() >= deadline_ns:
                break
            with contextlib.suppress(TimeoutError):
                rows = await asyncio.wait_for(self._inbox.get(), IDLE_S)
                assert isinstance(rows, np.ndarray)  # nothing has been sent that could be reported
                waiting.append(rows)
                bookless -= set(rows["instrument"][rows["kind"] == Kind.SNAPSHOT_END].tolist())
        tape = np.concatenate(waiting) if waiting else np.zeros(0, EVENT)
        if not np.any(tape["kind"] == Kind.SNAPSHOT_END):
            raise ExchangeError(self._no_book())
        missed = np.count_nonzero((tape["kind"] == Kind.TRADE) & (tape["flags"] & Flag.BACKFILL > 0))
        orders = [w.order for w in self.engine.workers.values() if w.order.spec.shadow_of is None]
        parents = sum(not order.done for order in orders)
        from_ns, to_ns = former.last_ns + 1, max(self.clock.now_ns(), former.last_ns + 2)
        self.resumed = Resumed(from_ns, to_ns, int(missed), parents)
        self._still.take()  # it lies within
        self._lost_time(from_ns, to_ns, NOT_RUNNING)
        for rows in (former.endings(to_ns), tape):
            if len(rows):
                self.ingest(rows, at_ns=to_ns)

    def _is_catching_up(self) -> bool:
        """Whether missed trades are still to come: from the exchange, or on their way here."""
        health = self.feed.health()
        return bool(health.joining or health.waiting_rows) or not self._inbox.empty()

    async def _until_first_book(
        self, pump: asyncio.Task[None], until: Callable[[], bool], deadline_ns: int
    ) -> None:
        while not (self._book_seen.is_set() or self._over(pump) or until()):
            if self.clock.now_ns() >= deadline_ns:
                raise ExchangeError(self._no_book())
            await self._step()

    async def _until_joined(self, pump: asyncio.Task[None], until: Callable[[], bool]) -> None:
        """An order that starts before its history is whole has every number marked. A quiet market may
        show no trade for long, so the wait is short."""
        deadline_ns = self.clock.now_ns() + JOINED_WITHIN_NS
        while self.feed.health().joining and not (self._over(pump) or until()):
            if self.clock.now_ns() >= deadline_ns:
                return
            await self._step()

    def _no_book(self) -> str:
        names = ", ".join(instrument.symbol for instrument in self.engine.market.instruments)
        errors = "; ".join(self.feed.health().last_errors)
        return (
            f"{names} has shown no order book in the time of feed.connect_timeout, so no order was started:"
            " it may be halted or delisted; choose another symbol, or raise that time"
            + (f" (the feed says: {errors})" if errors else "")
        )

    def _over(self, pump: asyncio.Task[None]) -> bool:
        """Whether the feed has ended or somebody wants to stop. Raises what ended the feed."""
        if pump.done():
            pump.result()
        return self.stopping.is_set() or (pump.done() and self._inbox.empty())

    async def _loop(self, pump: asyncio.Task[None], until: Callable[[], bool]) -> None:
        while not (self._over(pump) or until()):
            await self._step()
        if self.stopping.is_set() and not self.left_as_it_was:
            self.interrupted = True
            if self.engine.working:
                self.control(CommandKind.CANCEL, None, "interrupt", {})
            await self._while_working(pump)

    async def _while_working(self, pump: asyncio.Task[None]) -> None:
        """Let what is in flight come to its end, by the venue's own latency."""
        deadline_ns = self.clock.now_ns() + int(ANSWER_S * NS_PER_S)
        while self.engine.working and (self._outside is None or self.clock.now_ns() < deadline_ns):
            await self._step()
            if pump.done():
                pump.result()

    async def _step(self) -> None:
        """Take what has come, or wait until something is due."""
        wait_s = min(IDLE_S, max(0.0, (self.engine.next_timer_ns - self.clock.now_ns()) / 1e9))
        try:
            first = await asyncio.wait_for(self._inbox.get(), timeout=max(wait_s, 0.0005))
        except TimeoutError:
            first = None
        if first is not None:
            await self._gather()
        self._note_stalls()  # nothing is waited for from here on
        if first is not None:
            waiting = [first]
            while not self._inbox.empty():
                waiting.append(self._inbox.get_nowait())
            self._do_due()
            self._take_in(waiting)
        self._do_due()
        for command in self._log.commands():
            self.cancelled_all |= command.kind is CommandKind.CANCEL and command.parent_id is None
            self.control(command.kind, command.parent_id, command.command_id, command.amend)

    def _do_due(self) -> None:
        """What is due by now happens, and is handed over part by part."""
        to_ns = self._stamp_ns()
        while not self.engine.advance_time(to_ns, DUE_AT_ONCE):
            self._publish()
        self._publish()

    def _take_in(self, waiting: Sequence[EventArray | Report]) -> None:
        """Rows and reports in the order they came; neighbouring rows as one batch."""
        for is_report, group in itertools.groupby(waiting, lambda item: isinstance(item, Report)):
            if is_report:
                for report in cast(Iterator[Report], group):
                    self._seq += 1
                    self._command(VenueReported(self._stamp_ns(), self._seq, report))
            else:
                rows = list(cast(Iterator[EventArray], group))
                self.ingest(np.concatenate(rows) if len(rows) > 1 else rows[0])

    async def _beat(self) -> None:
        """Look at the clock so often that only a loop that stands still misses it."""
        while True:
            self._still.look()
            await asyncio.sleep(BEAT_S)

    def _note_stalls(self) -> None:
        """Put time in which nothing was done on the tape, before anything that was due in it happens."""
        self._still.look()
        for from_ns, to_ns in self._still.take():
            log.warning("stood_still", seconds=round((to_ns - from_ns) / NS_PER_S, 1))
            self._lost_time(from_ns, to_ns, STOOD_STILL)

    def _lost_time(self, from_ns: int, to_ns: int, cause: str) -> None:
        """Nothing was done: a row of the tape for whoever reads that, a command for the engine."""
        rows = np.zeros(len(self.engine.market.instruments), EVENT)
        rows["instrument"] = np.arange(len(rows))
        rows["kind"], rows["exch_ns"] = Kind.LOST_TIME, to_ns
        rows["flags"] = int(Flag.TRADES | Flag.BOOK | Flag.LAST)
        self.ingest(rows, at_ns=max(from_ns, self._last_ns + 1))
        former = self._former if cause == NOT_RUNNING else None
        unworkable = former.unworkable if former else {}
        self._seq += 1
        skip = SkipTime(self._last_ns, self._seq, from_ns, max(to_ns, self._last_ns), cause, unworkable)
        self._command(skip, former.life if former else {})
        self._last_ns = skip.to_ns

    async def _gather(self) -> None:
        """Wait until a step's length has passed since the last one; in a quiet market it has."""
        early_ns = STEP_NS - (self.clock.now_ns() - self._stepped_ns)
        if early_ns > 0:
            await asyncio.sleep(early_ns / NS_PER_S)
        self._stepped_ns = self.clock.now_ns()

    async def _pump(self) -> None:
        async for rows in self.feed.stream():
            if len(rows):
                self._inbox.put_nowait(rows)

    async def _finish(self) -> RecordingError | None:
        """End the session: parents that still work are cancelled, and all is measured.

        Returns why that could not be recorded to the end; the recording is a session cut off then.
        """
        self._finishing, failed = True, None
        try:
            if not self.left_as_it_was:
                await self._close()
        except RecordingError as error:
            failed = error
            if self.engine.working:
                self._give_up(f"the session could not be recorded: {error}")
        self.writer.abandon()
        await self.feed.close()
        return failed

    async def _close(self) -> None:
        end_ns = self._stamp_ns()
        if self.engine.working:
            self.control(CommandKind.CANCEL, None, "session-end", {})
            end_ns = await self._settled_ns()
        self._seq += 1
        self.writer.journal({"kind": CLOSING, "recv_ns": end_ns, "seq": self._seq})
        self.engine.close(end_ns)
        self._publish(self._check.finish())
        self.writer.close(end_ns)

    async def _settled_ns(self) -> int:
        """Wait for what is in flight, and return when the last of it had come.

        No market comes any more, so a venue on paper answers at once, at the times its latency gives; one
        outside is waited for, ``ANSWER_S`` at most.
        """
        deadline_ns = self.clock.now_ns() + int(ANSWER_S * NS_PER_S)
        while self._outside is not None and self.engine.working and self.clock.now_ns() < deadline_ns:
            await self._step()
        while self._outside is None and self.engine.working and self.engine.next_timer_ns < FAR_FUTURE_NS:
            self.engine.advance_time(self.engine.next_timer_ns)
        self._publish()
        if self.engine.working:
            self._give_up("the session ended before the venue had answered")
        return max(self._stamp_ns(), self.engine.now_ns + 1)

    def _give_up(self, reason: str) -> None:
        """Every parent that is not done has failed. That is no result of an input, so it is not recorded."""
        self.engine.fail(reason)
        events = self.engine.drain()
        self._watch(events)
        self._log.take(events)


async def _cancelled(task: asyncio.Task[None]) -> None:
    """Cancel until it is done: a wait that ends as it is cancelled can swallow one cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.5)
    if not task.cancelled():
        task.exception()  # looked at: what ended the run has been raised already
