"""The asyncio shell of a live run: it decides *when*, the engine decides *what*.

One ingest point stamps every input with ``recv_ns`` (session start + monotonic clock) and ``seq``. An
input is handed to the operating system before the engine sees it, and what the engine makes of it goes
to the database after that: the session is the truth about causes, the database a projection.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, cast

import numpy as np
import structlog

from agent.core.canonical import TapeCheck, canonical_row
from agent.core.clock import Clock
from agent.core.errors import RecordingError
from agent.core.events import AuditEvent, Command, CommandKind, ControlParent, StartParent, VenueReported
from agent.core.market.tape import BarArray, EventArray, Flag, Kind
from agent.core.orders.venue_messages import Report
from agent.core.ports import Algo, ExecutionLog, Feed, OutsideLink, PendingCommand, SessionWriter
from agent.core.types import NS_PER_MS, NS_PER_S, MarketView, OrderView, ParentSpec, Slice
from agent.engine.engine import Engine
from agent.journal import command_entry, round_trip_entry

log = structlog.get_logger("runtime")

COMMAND_POLL_S = 0.1
IDLE_S = 0.05
STEP_NS = 10 * NS_PER_MS
"""In a busy market batches are gathered for so long: recording and hand-over cost by the batch."""
LOG_QUEUE = 1024
"""Batches of events waiting for the database; when full the run waits for it, and says so."""


class ThreadedPolicy:
    """An algo that decides on a thread, so that a model never blocks the event loop.

    ``late`` collects the ids of decisions that were not there in time: the one thing about inference
    that a replay has to know.
    """

    def __init__(self, algo: Algo, executor: ThreadPoolExecutor, late: list[str], clock: Clock) -> None:
        self._algo, self._executor, self._late, self._clock = algo, executor, late, clock
        self._pending: dict[str, Future[Slice]] = {}

    def request(self, decision_id: str, order: OrderView, market: MarketView) -> None:
        self._pending[decision_id] = self._executor.submit(self._decide, order, market)

    def _decide(self, order: OrderView, market: MarketView) -> Slice:
        started_ns = self._clock.now_ns()
        answer = self._algo.decide(order, market)
        return replace(answer, latency_ns=self._clock.now_ns() - started_ns)

    def collect(self, decision_id: str) -> Slice | None:
        future = self._pending.pop(decision_id)
        if not future.done():
            future.cancel()
            self._late.append(decision_id)
            return None
        return future.result()


Watch = Callable[[Sequence[AuditEvent]], None]


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
        poll_commands: Callable[[], Awaitable[Sequence[PendingCommand]]] | None = None,
        outside: OutsideLink | None = None,
    ) -> None:
        self.feed, self.engine, self.writer, self.clock = feed, engine, writer, clock
        self.stopping = asyncio.Event()
        self.interrupted = False
        self.rotating = False
        self.events = self.trades = self.gaps = 0
        self._log, self._late, self._watch = execution_log, late, watch
        self._poll_commands, self._outside = poll_commands, outside
        self._seq = 0
        self._last_ns = 0
        self._last_rows_ns = clock.now_ns()
        self._check = TapeCheck()
        self._to_log: asyncio.Queue[Sequence[AuditEvent] | None] = asyncio.Queue(LOG_QUEUE)
        self._inbox: asyncio.Queue[EventArray | Report] = asyncio.Queue()
        self._book_seen = asyncio.Event()
        self._next_poll_ns = 0
        self._stepped_ns = 0
        self._handled: set[str] = set()

    def quiet(self, for_ns: int) -> bool:
        """Whether nothing has come for so long."""
        return self._inbox.empty() and self.clock.now_ns() - self._last_rows_ns >= for_ns

    def rotate(self) -> bool:
        """End this session for a new one, unless a parent works: then say False, and try again later."""
        self.rotating = not self.engine.working
        return self.rotating

    # --- ingest: the one place that stamps --------------------------------------------------------

    def _stamp_ns(self) -> int:
        """Now, later than any input before it."""
        self._last_ns = max(self.clock.now_ns(), self._last_ns + 1)
        return self._last_ns

    def ingest(self, rows: EventArray) -> None:
        """Stamp, record, and hand to the engine."""
        rows = rows.copy()
        rows["recv_ns"] = self._stamp_ns()
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
        """Start a parent order now."""
        self._seq += 1
        self._command(StartParent(self._stamp_ns(), self._seq, spec, tuple(shadows)))

    def control(
        self, kind: CommandKind, parent_id: str | None, command_id: str, amend: Mapping[str, Any]
    ) -> None:
        """Carry out a user's command now."""
        self._seq += 1
        self._command(ControlParent(self._stamp_ns(), self._seq, kind, parent_id, command_id, amend))

    def deliver(self, report: Report) -> None:
        """A venue outside reports: taken in at its place among what else has come, and journalled first."""
        self._inbox.put_nowait(report)

    def _command(self, command: Command) -> None:
        self.writer.journal(command_entry(command))
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
        if rows or tape_rows:
            self.writer.outcome([*rows, *tape_rows])
        if events:
            self._watch(events)
            self._to_log.put_nowait(events)
        if self._outside is not None and self._outside.waiting:
            self.writer.sync()  # an order that has left without its cause on the disk would be nobody's
            self._outside.release()

    # --- the loop ---------------------------------------------------------------------------------

    async def run(self, on_book: Callable[[], Awaitable[None]], until: Callable[[], bool]) -> None:
        """Stream until ``until()`` holds or ``stopping`` is set; ``on_book`` is called at the first book.

        Whatever happens, parents are ended, the session closed and the log written out.
        """
        pump = asyncio.create_task(self._pump(), name="feed")
        logger = asyncio.create_task(self._write_log(), name="log")
        try:
            await self._loop(pump, logger, on_book, until)
        except RecordingError as error:
            self.engine.fail(f"the session could not be recorded: {error}")
            await self._to_log.put(self.engine.drain())
            raise
        finally:
            await _cancelled(pump)
            await self._finish(logger)

    async def _loop(
        self,
        pump: asyncio.Task[None],
        logger: asyncio.Task[None],
        on_book: Callable[[], Awaitable[None]],
        until: Callable[[], bool],
    ) -> None:
        started = False
        while True:
            await self._step()
            if self._book_seen.is_set() and not started:
                started = True
                await on_book()
            for task in (pump, logger):
                if task.done():
                    task.result()  # raises what ended it
            if self.stopping.is_set():
                if self.engine.working and not self.interrupted:
                    self.control(CommandKind.CANCEL, None, "interrupt", {})
                self.interrupted = True
                if not self.engine.working:
                    return
            elif (started and until()) or (pump.done() and self._inbox.empty()):
                return

    async def _step(self) -> None:
        """Take what has come, or wait until something is due."""
        wait_s = min(IDLE_S, max(0.0, (self.engine.next_timer_ns - self.clock.now_ns()) / 1e9))
        try:
            first = await asyncio.wait_for(self._inbox.get(), timeout=max(wait_s, 0.0005))
        except TimeoutError:
            first = None
        if first is not None:
            await self._gather()
            waiting = [first]
            while not self._inbox.empty():
                waiting.append(self._inbox.get_nowait())
            self._take_in(waiting)
        self.engine.advance_time(self._stamp_ns())
        self._publish()
        await self._commands()
        if self._to_log.qsize() > LOG_QUEUE // 2:
            log.warning("database_slow", waiting=self._to_log.qsize())
            await asyncio.sleep(IDLE_S)

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

    async def _commands(self) -> None:
        if self._poll_commands is None or self.clock.now_ns() < self._next_poll_ns:
            return
        self._next_poll_ns = self.clock.now_ns() + int(COMMAND_POLL_S * 1e9)
        for command in await self._poll_commands():
            if command.command_id in self._handled:
                continue  # its outcome is on the way to the database
            self._handled.add(command.command_id)
            self.control(command.kind, command.parent_id, command.command_id, command.amend)

    async def _write_log(self) -> None:
        while (events := await self._to_log.get()) is not None:
            batch = list(events)
            while not self._to_log.empty():
                more = self._to_log.get_nowait()
                if more is None:
                    await self._log.write(batch)
                    return
                batch.extend(more)
            await self._log.write(batch)

    async def _finish(self, logger: asyncio.Task[None]) -> None:
        """End the session: parents that still work are cancelled, all is measured and written."""
        end_ns = self._stamp_ns()
        with contextlib.suppress(RecordingError):
            if self.engine.working:
                self.control(CommandKind.CANCEL, None, "session-end", {})
                end_ns = self._stamp_ns() + 10**9
                self.engine.advance_time(end_ns)
            self.engine.close(end_ns)
            self._publish(self._check.finish())
            self.writer.close(end_ns)
        if not logger.done():
            await self._to_log.put(None)
        await logger
        await self._log.close()
        await self.feed.close()


async def _cancelled(task: asyncio.Task[None]) -> None:
    """Cancel until it is done: a wait that ends as it is cancelled can swallow one cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.5)
    if not task.cancelled():
        task.exception()  # looked at: what ended the run has been raised already
