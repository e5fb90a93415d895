"""Live sessions: run a parent order on paper, or only record. Builds what a session needs and lets it run."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import structlog

from agent.app.build import LEM, algo, build_engine, check_algos, fingerprint
from agent.app.embedded_market import SYNTHETIC
from agent.app.live_feed import EMBEDDED, Ended, open_feed
from agent.app.trading_checks import algos_of, check_sizes, check_trading, has_own_order
from agent.app.warm_up import warm_up
from agent.config import Config
from agent.core.agenda import FAR_FUTURE_NS
from agent.core.clock import Clock
from agent.core.errors import AgentError
from agent.core.events import AuditEvent
from agent.core.instrument import Instrument
from agent.core.ports import ExecutionLog, Feed, FeedHealth, PendingCommand, SlicePolicy
from agent.core.types import NS_PER_S, ParentSpec, ParentState
from agent.engine.policy import InlinePolicy
from agent.jobs.session_jobs import Jobs
from agent.jobs.triggers import check_schedules
from agent.order_options import Order
from agent.orders import build_spec
from agent.runtime import LiveRun, ThreadedPolicy
from agent.shadow import shadow_specs
from agent.summary import Summary
from agent.system_clock import SystemClock
from storage.log.execution_log import SqlExecutionLog
from storage.recordings.session import SessionHeader, SessionWriter

log = structlog.get_logger("live")
THREADED = frozenset({"lem"})
"""Algos that decide on a thread; the others decide at once."""

Watch = Callable[[Sequence[AuditEvent]], None]
DRAIN_NS = 2 * NS_PER_S
"""How long nothing must have come from a market that has ended before its session is closed."""


class View(Protocol):
    """What shows a run (``agent.terminal``)."""

    def prepared(self) -> None:
        """What was being prepared is done."""
        ...

    def preparing(self, doing: str, done: int = 0, total: int = 0) -> None:
        """What is being done before the first event, how much of it is done, and how much there is."""
        ...

    def open(self, session: str, instruments: Sequence[Instrument], title: str) -> None:
        """A session begins."""
        ...

    def add(self, events: Sequence[AuditEvent]) -> None:
        """Something happened."""
        ...

    def health(self, health: FeedHealth) -> None:
        """The feed's counters."""
        ...


@dataclass(slots=True)
class LiveResult:
    """What a session came to."""

    session: str
    path: Path
    summary: Summary
    feed: FeedHealth
    events: int
    interrupted: bool
    rotated: bool

    def to_json(self) -> dict[str, object]:
        names = ("trades", "gaps", "backfilled", "lost", "stale_ns")
        return {
            "session": self.session,
            "path": str(self.path),
            "parents": self.summary.parents(),
            "feed": {**dict.fromkeys(names, 0), **self.feed.to_json()},
        }

    @property
    def succeeded(self) -> bool:
        return all(r.changed.state is ParentState.COMPLETED for r in self.summary.orders())


class _NoLog:
    """The execution log of a session without orders: there is nothing to store."""

    async def write(self, events: Sequence[AuditEvent]) -> None:
        """Market data alone makes gaps only; they are on the tape."""

    async def pending_commands(self) -> Sequence[PendingCommand]:
        return ()

    async def close(self) -> None:
        """Nothing is open."""


def prepare(config: Config, view: View, *, trade: bool = True) -> None:
    """What can fail or takes long before the first connection: the algos' names, the model, compilation.

    Not a coroutine: Ctrl-C ends it at once. Raises AgentError.
    """
    names = algos_of(config) if trade else []
    if trade:
        check_trading(config, datetime.now(UTC))
    synthetic = config.exchange == EMBEDDED and config.embedded.market == SYNTHETIC
    warm_up(LEM in names, synthetic, view.preparing)
    check_algos(names, config)


async def run_paper(
    config: Config, view: View, *, trade: bool = True, seconds: float | None = None
) -> LiveResult:
    """Run one session: stream, warm up, work the configured order (``trade``), record everything.

    ``seconds`` ends a session that only records. ``prepare`` comes first. Raises AgentError.
    """
    if trade:
        check_schedules(config.schedules, datetime.now(UTC))
        await asyncio.to_thread(check_algos, algos_of(config), config)
    own_order = trade and has_own_order(config)
    while True:
        clock = SystemClock()
        view.preparing(f"connecting to {config.exchange}")
        async with open_feed(config, clock) as (feed, market_ended):
            instruments = await feed.instruments([config.symbol])
            result = await _Session(config, view, clock, feed, instruments, trade, own_order).run(
                seconds, market_ended
            )
        if not result.rotated:
            return result
        own_order = False  # a rotated session goes on with what the clock starts


class _Session:
    """One recorded session of a live run."""

    def __init__(
        self,
        config: Config,
        view: View,
        clock: Clock,
        feed: Feed,
        instruments: Sequence[Instrument],
        trade: bool,
        own_order: bool,
    ) -> None:
        self.own_order = own_order
        self.config, self.view, self.clock, self.feed = config, view, clock, feed
        self.instruments, self.trade = instruments, trade
        self.summary = Summary(instruments)
        moment = datetime.fromtimestamp(clock.now_ns() / NS_PER_S, UTC)
        self.name = f"{moment:%Y%m%dT%H%M%S.%f}"[:-3].replace(".", "-")
        self.path = config.out / self.name
        self._late: list[str] = []
        self._parents = 0

    async def run(self, seconds: float | None, market_ended: Ended) -> LiveResult:
        self._first_spec_check()
        executor = ThreadPoolExecutor(1, thread_name_prefix="policy")
        engine = await asyncio.to_thread(  # before anything is written: it refuses rules that do not fit
            build_engine, self.config, self.instruments, lambda spec: self._policy(spec, executor)
        )
        writer = SessionWriter.create(self.path, self._header())
        execution_log = await self._open_log()
        live = LiveRun(
            self.feed,
            engine,
            writer,
            execution_log,
            self.clock,
            self._late,
            self._watch,
            execution_log.pending_commands,
        )
        self.view.open(self.name, self.instruments, self._title())
        with _stop_on_signal(live.stopping):
            await self._warm_up(live)
            jobs = self._jobs(live)
            health = asyncio.create_task(self._show_health())
            try:
                await live.run(lambda: self._begin(live, jobs), self._until(live, seconds, market_ended))
                state = "interrupted" if live.interrupted else "closed"
            except BaseException:
                state = "failed"
                raise
            finally:
                jobs.stop()
                health.cancel()
                executor.shutdown(wait=False, cancel_futures=True)
                await self._close_log(execution_log, engine.seq, state)
        return LiveResult(
            self.name,
            self.path,
            self.summary,
            self.feed.health(),
            live.events,
            live.interrupted,
            live.rotating and not live.interrupted,
        )

    async def _close_log(self, execution_log: ExecutionLog, seq: int, state: str) -> None:
        """Mark the session as ended in the database; what fails there ends no run."""
        if isinstance(execution_log, SqlExecutionLog):
            with contextlib.suppress(AgentError):
                await execution_log.close_session(closed_ns=self.clock.now_ns(), seq=seq, state=state)
                await execution_log.close()

    def _title(self) -> str:
        rehearsal = self.config.venue.rehearsal
        troubled = rehearsal.reject_ppm or rehearsal.timeout_ppm
        note = " (rehearsing rejects and timeouts: venue.rehearsal)" if troubled else ""
        if self.trade and self.config.schedules:
            names = ", ".join(schedule.name for schedule in self.config.schedules)
            note += f"; until Ctrl-C, for the clock starts orders (schedules: {names})"
        mode = "PAPER" if self.trade else "recording"
        return f"{mode} {self.config.exchange} {self.config.symbol}{note}"

    def _first_spec_check(self) -> None:
        """Refuse a bad order, a schedule's too, before anything is written."""
        if self.trade:
            check_sizes(self.config, self.instruments[0])

    def _header(self) -> SessionHeader:
        return SessionHeader(
            session=self.name,
            instruments=tuple(self.instruments),
            created_ns=self.clock.now_ns(),
            seed=self.config.seed,
            config=self.config.model_dump(mode="json"),
            fingerprint=fingerprint(self.config, self._algos()),
            clock_offsets={self.config.exchange: self.feed.health().clock_offset_ns},
        )

    def _algos(self) -> list[str]:
        """Every algo that may decide in this session."""
        return algos_of(self.config) if self.trade else []

    async def _open_log(self) -> ExecutionLog:
        if not self.trade:
            return _NoLog()
        execution_log = SqlExecutionLog(self.config.database, self.name, self.instruments)
        await execution_log.open_session(
            opened_ns=self.clock.now_ns(),
            path=str(self.path),
            mode="paper",
            exchange=self.config.exchange,
            seed=self.config.seed,
            config=self.config.model_dump(mode="json"),
            fingerprint=fingerprint(self.config, self._algos()),
            balances=self.config.venue.balances,
        )
        return execution_log

    def _policy(self, spec: ParentSpec, executor: ThreadPoolExecutor) -> SlicePolicy:
        chosen = algo(spec.algo, self.config)
        if spec.algo in THREADED:
            return ThreadedPolicy(chosen, executor, self._late, self.clock)
        return InlinePolicy(chosen)

    async def _warm_up(self, live: LiveRun) -> None:
        since_ns = self.clock.now_ns() - self.config.feed.warm_up
        for instrument in self.instruments:
            self.view.preparing(f"fetching {instrument.symbol}'s history")
            trades, bars = await self.feed.history(instrument, since_ns)
            live.warm_up(trades, bars)
            log.info("warmed_up", symbol=instrument.symbol, trades=len(trades), klines=len(bars))
        self.view.preparing("waiting for the first whole order book")

    async def _begin(self, live: LiveRun, jobs: Jobs) -> None:
        """With the first book, start the configured order, then what the clock starts."""
        self.view.prepared()
        if self.own_order:
            await self._start_order(live, self.config.order)
        jobs.start()

    async def _start_order(self, live: LiveRun, order: Order) -> None:
        instrument = self.instruments[0]
        mid = live.engine.market.mid_half_ticks(instrument.number)
        price = instrument.tick * mid / 2 if mid else None
        self._parents += 1
        spec = build_spec(order, instrument, f"{self.name}-P{self._parents}", price)
        live.start(spec, shadow_specs(spec, order.shadows))

    def _jobs(self, live: LiveRun) -> Jobs:
        async def start(name: str, order: Order) -> None:
            log.info("schedule_started", schedule=name)
            try:
                await self._start_order(live, order)
            except AgentError as error:
                log.error("schedule_refused", schedule=name, reason=str(error))

        def heartbeat() -> None:
            log.info("alive", events=live.events, trades=live.trades, working=live.engine.working)

        return Jobs(
            self.config.schedules if self.trade else (),
            start_order=start,
            rotate=live.rotate,
            heartbeat=heartbeat,
            heartbeat_ns=self.config.jobs.heartbeat,
            rotate_ns=self.config.jobs.rotate_session if self.config.schedules and self.trade else None,
            now=datetime.fromtimestamp(self.clock.now_ns() / NS_PER_S, UTC),
        )

    def _until(self, live: LiveRun, seconds: float | None, market_ended: Ended) -> Ended:
        """When the session is over: its orders, its time or its market are."""
        if not self.trade:
            end_ns = FAR_FUTURE_NS if seconds is None else self.clock.now_ns() + int(seconds * NS_PER_S)
            return lambda: self.clock.now_ns() >= end_ns or (market_ended() and live.quiet(DRAIN_NS))
        if self.config.schedules:
            return lambda: live.rotating and live.engine.settled
        return lambda: bool(live.engine.workers) and live.engine.settled

    def _watch(self, events: Sequence[AuditEvent]) -> None:
        self.summary.add(events)
        self.view.add(events)

    async def _show_health(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            self.view.health(self.feed.health())


@contextlib.contextmanager
def _stop_on_signal(stopping: asyncio.Event) -> Iterator[None]:
    """Ctrl-C and TERM stop the run cleanly."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
