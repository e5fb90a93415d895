"""Live sessions: run a parent order on paper, or only record. Builds what a session needs and lets it run."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import structlog

from agent.app.build import LEM, PolicyFactory, algo, build_engine, check_algos, fingerprint
from agent.app.checks.start_orders import Known, check_before_session, check_start, look_back_ns
from agent.app.checks.trading_checks import (
    RunOrder,
    algos_of,
    check_sizes,
    check_trading,
    has_own_order,
    run_orders,
    symbols_of,
)
from agent.app.embedded_market import SYNTHETIC
from agent.app.live_feed import Ended, Market
from agent.app.lives.finding import ended_ns
from agent.app.lives.former_session import FormerSession
from agent.app.lives.still_traded import open_again
from agent.app.log_in_line import DatabaseState, in_line
from agent.app.warm_up import warm_up
from agent.app.world.run_world import World
from agent.config import Config, names_of, recorded
from agent.core.agenda import FAR_FUTURE_NS
from agent.core.clock import Clock
from agent.core.errors import AgentError, OrderError, SessionError
from agent.core.events import AuditEvent, Resumed
from agent.core.instrument import Instrument
from agent.core.ports import Feed, FeedHealth, LogEnd, PendingCommand, SlicePolicy
from agent.core.types import NS_PER_S, ParentSpec, ParentState
from agent.deciding.decision_thread import DecisionThread, ThreadedPolicy
from agent.engine.engine import Engine
from agent.engine.policy import InlinePolicy
from agent.jobs.listed_starts import ListedStarts, NotStarted
from agent.jobs.run_jobs import RunJobs
from agent.jobs.triggers import check_schedules
from agent.order_list.order_files import refuse_orders
from agent.order_options import Order
from agent.orders import build_spec
from agent.runtime import Former, LiveRun
from agent.shadow import shadow_specs
from agent.summary import Summary
from agent.unattended.watchman import Watchman
from connectors.units.exchange_units import EMBEDDED, unverified
from storage.log.control.heartbeat import Heartbeat
from storage.log.execution_log import SqlExecutionLog
from storage.log.kept_log import KeptLog
from storage.recordings.header_file import HEADER
from storage.recordings.lives.session_lock import SessionLock
from storage.recordings.session import SessionHeader, SessionWriter

log = structlog.get_logger("live")
THREADED = frozenset({"lem"})
"""Algos that decide on a thread; the others decide at once."""

Watch = Callable[[Sequence[AuditEvent]], None]
START_LOOK_S = 0.05
"""How often it is looked whether an order of the list is due."""
MOST_NAMED = 5
"""Symbols in a title."""
DRAIN_NS = 2 * NS_PER_S
"""How long nothing must have come from a market that has ended before its session is closed."""


class PreparationView(Protocol):
    """What shows how a run gets ready."""

    def preparing(self, doing: str, done: int = 0, total: int = 0) -> None:
        """What is being done before the first event, how much of it is done, and how much there is."""
        ...

    def prepared(self) -> None:
        """What was being prepared is done."""
        ...


class Unwatched:
    """A preparation that nobody looks at."""

    def preparing(self, doing: str, done: int = 0, total: int = 0) -> None: ...

    def prepared(self) -> None: ...


class View(Protocol):
    """What shows a run (``agent.terminal``)."""

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
    database: DatabaseState
    killed: bool
    not_started: list[NotStarted]  # orders of the list
    resumed: Resumed | None = None  # where the session is one that went on

    def to_json(self) -> dict[str, object]:
        names = ("trades", "gaps", "backfilled", "lost", "stale_ns")
        return {
            "session": self.session,
            "path": str(self.path),
            "parents": self.summary.parents(),
            "feed": {**dict.fromkeys(names, 0), **self.feed.to_json()},
            "database": self.database.to_json(),
            **({"resumed": asdict(self.resumed)} if self.resumed else {}),
            **({"not_started": [n._asdict() for n in self.not_started]} if self.not_started else {}),
        }

    @property
    def succeeded(self) -> bool:
        completed = all(r.changed.state is ParentState.COMPLETED for r in self.summary.orders())
        return completed and not self.killed and not self.not_started


class _NoLog:
    """The execution log of a session without orders: there is nothing to store."""

    behind = ""

    def take(self, events: Sequence[AuditEvent]) -> None:
        """Market data alone makes gaps only; they are on the tape."""

    def commands(self) -> Sequence[PendingCommand]:
        return ()

    async def leave(self) -> None:
        """Nothing is open."""

    async def finish(self, *, closed_ns: int, seq: int, state: str) -> LogEnd:
        """Nothing is open."""
        return LogEnd(0, "", reachable=True)


def prepare(config: Config, preparation: PreparationView, *, trade: bool = True) -> None:
    """What can fail or takes long before the first connection: the algos' names, the model, compilation.

    Not a coroutine: Ctrl-C ends it at once. Raises AgentError.
    """
    names = algos_of(config) if trade else []
    if trade:
        check_trading(config, datetime.now(UTC))
    synthetic = config.exchange == EMBEDDED and config.embedded.market == SYNTHETIC
    warm_up(LEM in names, synthetic, preparation.preparing)
    check_algos(names, config)


async def run_paper(
    config: Config,
    view: View,
    preparation: PreparationView | None = None,
    *,
    trade: bool = True,
    seconds: float | None = None,
    world: World | None = None,
    former: FormerSession | None = None,
) -> LiveResult:
    """Run one session: stream, warm up, work the configured order (``trade``), record everything.

    ``seconds`` ends a session that only records. ``world``: in place of this computer's. ``former``: the
    session to go on with, whose configuration this is; its lock is released. ``prepare`` comes first. Raises
    AgentError.
    """
    world = world or World()
    if trade:
        check_schedules(config.schedules, world.now())
        await asyncio.to_thread(check_algos, algos_of(config), config)
    jobs = RunJobs(config.schedules if trade else (), config.jobs, world.clock())
    title = f"lem-agent on {config.exchange}"
    watchman = Watchman(config.unattended, config.out, title, ended_ns, HEADER, world.clock())
    well = False
    try:
        result = await _sessions(
            config, view, preparation or Unwatched(), jobs, watchman, trade, seconds, world, former
        )
        well = result.succeeded or result.interrupted or not trade
        return result
    finally:
        jobs.stop()
        await watchman.stop(well=well)
        if former is not None:
            former.release(ended=False)


async def _sessions(
    config: Config,
    view: View,
    preparation: PreparationView,
    jobs: RunJobs,
    watchman: Watchman,
    trade: bool,
    seconds: float | None,
    world: World,
    former: FormerSession | None,
) -> LiveResult:
    """One session after another, until one ends that was not rotated."""
    first, not_started = former is None or not former.rotated, list[NotStarted]()
    if first and (doubt := unverified(config.exchange)):
        log.warning("units_not_verified", exchange=config.exchange, reason=doubt)
    while True:
        clock = world.clock() if former is None else former.clock(world.clock())
        preparation.preparing(f"connecting to {config.exchange}")
        async with _open(config, clock, world, former) as (feed, market):
            instruments = (
                former.reader.instruments if former else await _instruments(feed, config, trade=trade)
            )
            session = _Session(
                config,
                view,
                preparation,
                world,
                clock,
                feed,
                market,
                instruments,
                jobs,
                watchman,
                trade,
                first,
                former,
            )
            result = await session.run(seconds)
        result.not_started[:0] = not_started
        not_started = result.not_started
        if not result.rotated:
            return result
        first, former = False, None  # a rotated session goes on with what the clock starts


def _open(
    config: Config, clock: Clock, world: World, former: FormerSession | None
) -> AbstractAsyncContextManager[tuple[Feed, Market]]:
    if former is None:
        return world.open_feed(config, clock, None)
    return open_again(former, clock, world.open_feed)


async def _instruments(feed: Feed, config: Config, *, trade: bool) -> list[Instrument]:
    """Of the symbols that are traded or recorded. Raises OrderError naming the orders of an unknown one."""
    if not trade:
        return await feed.instruments([config.symbol])
    try:
        return await feed.instruments(symbols_of(config))
    except OrderError as error:
        listed = [one for one in run_orders(config) if one.listed is not None and one.symbol == error.symbol]
        refuse_orders([(one.whose, str(error)) for one in listed], len(config.orders))
        raise


class _Session:
    """One recorded session of a live run."""

    def __init__(
        self,
        config: Config,
        view: View,
        preparation: PreparationView,
        world: World,
        clock: Clock,
        feed: Feed,
        market: Market,
        instruments: Sequence[Instrument],
        jobs: RunJobs,
        watchman: Watchman,
        trade: bool,
        first: bool,
        former: FormerSession | None,
    ) -> None:
        """``trade``: else the market is only recorded. ``first``: this session works the run's own orders.

        ``former``: the session is one that goes on.
        """
        self.config, self.view, self.clock, self.feed = config, view, clock, feed
        self.instruments, self.jobs, self.first = instruments, jobs, first
        self.preparation, self.world = preparation, world
        self.trade, self.market, self.former, self.watchman = trade, market, former, watchman
        self.summary = Summary(instruments)
        moment = datetime.fromtimestamp(clock.now_ns() / NS_PER_S, UTC)
        self.name = former.name if former else f"{moment:%Y%m%dT%H%M%S.%f}"[:-3].replace(".", "-")
        self.path = former.path if former else config.out / self.name
        self._late: list[str] = []
        self._known: list[Known] = []
        self._parents = 0
        self._starts = ListedStarts(
            [one.start for one in config.orders] if trade and first else (),
            names_of(config.orders),
            config.feed.connect_timeout,
            {n for n, one in enumerate(config.orders) if THREADED & {one.order.algo, *one.order.shadows}},
        )
        if former is not None:
            self._starts.leave_out(former.started())
        self._heartbeat: Heartbeat | None = None
        self._starting: asyncio.Task[None] | None = None
        self._begun = False  # there is a book, and what starts at once has started

    @property
    def starting(self) -> bool:
        """Whether orders of the list are still to start."""
        return bool(self._starts.pending)

    @property
    def own_order(self) -> bool:
        """Whether this session starts the configured order. One that goes on has: it began with that."""
        return self.trade and self.first and self.former is None and has_own_order(self.config)

    async def run(self, seconds: float | None) -> LiveResult:
        thread = DecisionThread(self.clock, self.world.executor())
        try:
            engine = await self._prepared(lambda spec: self._policy(spec, thread))
            engine.forget(self._look_back_ns)
            return await self._run(engine, seconds)
        finally:
            thread.close()

    async def _prepared(self, policies: PolicyFactory) -> Engine:
        """The engine, and what it has to know of the market's past. Nothing has been written."""
        if self.former is not None:
            engine = await asyncio.to_thread(self.former.take_in, policies, self.preparation.preparing)
            self._known = self.former.known()
            for instrument in self.instruments:
                if instrument.symbol not in self.former.unworkable:
                    self.feed.go_on(instrument, self.former.tape.trades(instrument.number))
            return engine
        self._first_spec_check()
        engine = await asyncio.to_thread(build_engine, self.config, self.instruments, policies)
        await self._fetch_history()
        if self.own_order or (self.trade and self.first and self.config.orders):
            check_before_session(
                self.config, self.instruments, self._known, self.clock.now_ns(), engine.venue.lacking
            )
        return engine

    async def _run(self, engine: Engine, seconds: float | None) -> LiveResult:
        self.header = self.former.reader.header if self.former else self._header()
        writer = self.former.writer() if self.former else SessionWriter.create(self.path, self.header)
        former = self.former.former(engine) if self.former else None
        lock = self.former.lock if self.former else SessionLock(self.path)
        lock.take()
        self.restate = writer.restate
        execution_log = await self._open_log(self.header, former)
        live = LiveRun(
            self.feed, engine, writer, execution_log, self.clock, self._late, self._watch, former=former
        )
        if self.former is not None:
            live.cancelled_all = self.former.cancelled_all
        if self._heartbeat is not None:
            live.lost = lambda: self._heartbeat is not None and self._heartbeat.taken
        self.view.open(self.name, self.instruments, self._title())
        symbols = [instrument.symbol for instrument in self.instruments]
        self.watchman.begin(self.path, symbols, self._title(), lambda: execution_log.behind)
        if self.former is not None:
            self.summary.add(self.former.events)
            self.view.add(self.former.events)
        state = "failed"
        health = asyncio.create_task(self._show_health())
        self._starting = asyncio.create_task(self._start_listed(live))
        try:
            with self.world.stop_on_signal(live.stopping):
                self._warm_up(live)
                await live.run(
                    lambda: self._begin(live),
                    self._until(live, seconds, self.market.ended),
                    book_within_ns=self._book_within_ns(),
                )
                state = "interrupted" if live.interrupted else "closed"
        finally:
            self.jobs.detach()
            health.cancel()
            self._starting.cancel()
            self._starts.give_up("the run ended before its time")
            self.summary.put_first([f"{self.name}-{name}" for name in self._starts.names])
            if self._heartbeat is not None:
                await self._heartbeat.stop()
            database = await self._close_log(execution_log, live, state)
            lock.release(ended=not live.left_as_it_was)
        return LiveResult(
            self.name,
            self.path,
            self.summary,
            self.feed.health(),
            live.events,
            live.interrupted,
            live.rotating and not live.interrupted and not engine.killed and bool(self.config.schedules),
            database,
            engine.killed,
            self._starts.not_started,
            live.resumed,
        )

    def _book_within_ns(self) -> int | None:
        """How long a book is waited for; of a session that follows another, as long as it takes."""
        bounded = self.trade and (self.first or self.former is not None)
        return self.config.feed.connect_timeout if bounded else None

    async def _close_log(self, execution_log: KeptLog | _NoLog, live: LiveRun, state: str) -> DatabaseState:
        if live.left_as_it_was:
            await execution_log.leave()
            return DatabaseState(True)
        end = await execution_log.finish(closed_ns=self.clock.now_ns(), seq=live.engine.seq, state=state)
        return await in_line(end, self.path, self.config.database)

    def _title(self) -> str:
        rehearsal = self.config.venue.rehearsal
        troubled = rehearsal.reject_ppm or rehearsal.timeout_ppm
        note = " (rehearsing rejects and timeouts: venue.rehearsal)" if troubled else ""
        if self.trade and self.config.schedules:
            names = ", ".join(schedule.name for schedule in self.config.schedules)
            note += f"; until Ctrl-C, for the clock starts orders (schedules: {names})"
        mode = "PAPER" if self.trade else "recording"
        listed = f": {len(self.config.orders)} orders" if self.trade and self.config.orders else ""
        symbols = [instrument.symbol for instrument in self.instruments]
        what = ", ".join(symbols) if len(symbols) <= MOST_NAMED else f"{len(symbols)} symbols"
        return f"{mode} {self.config.exchange} {what}{listed}{note}"

    def _first_spec_check(self) -> None:
        """Refuse a bad order, a schedule's too, before anything is written."""
        if self.trade:
            check_sizes(self.config, {i.symbol: i for i in self.instruments})

    def _header(self) -> SessionHeader:
        return SessionHeader(
            session=self.name,
            instruments=tuple(self.instruments),
            created_ns=self.clock.now_ns(),
            seed=self.config.seed,
            config=recorded(self.config),
            fingerprint=fingerprint(self.config, self._algos()),
            clock_offsets={self.config.exchange: self.feed.health().clock_offset_ns},
            run={} if self.first else {"rotated": True},
        )

    def _algos(self) -> list[str]:
        """Every algo that may decide in this session."""
        return algos_of(self.config) if self.trade else []

    async def _open_log(self, header: SessionHeader, former: Former | None) -> KeptLog | _NoLog:
        """Between the sessions of a run a database that is away is waited for by nobody."""
        if not self.trade:
            return _NoLog()
        self.preparation.preparing("opening the database")
        execution_log = KeptLog(SqlExecutionLog(self.config.database, self.name, self.instruments))
        if self.former is not None:
            execution_log.known = self.former.command_ids
        self._heartbeat = Heartbeat(self.config.database, self.name, self.world.wall_ns)
        await execution_log.open(
            required=self.first and self.former is None,
            opened_ns=header.created_ns,
            path=str(self.path),
            mode="paper",
            exchange=self.config.exchange,
            seed=self.config.seed,
            config=header.config,
            fingerprint=header.fingerprint,
            balances=self.config.venue.balances,
            heartbeat=self._heartbeat.next_row(),
        )
        if self.former is not None and former is not None:
            await execution_log.restore(self.former.events, former.seq, former.last_ns)
        self._heartbeat.start()
        return execution_log

    def _policy(self, spec: ParentSpec, thread: DecisionThread) -> SlicePolicy:
        chosen = algo(spec.algo, self.config)
        if spec.algo in THREADED:
            return ThreadedPolicy(chosen, thread, self._late)
        return InlinePolicy(chosen)

    async def _fetch_history(self) -> None:
        """Before anything is written: the orders are judged by it."""
        since_ns = self.clock.now_ns() - self.config.feed.warm_up
        several = len(self.instruments) > 1
        whose = f"{len(self.instruments)} symbols'" if several else f"{self.instruments[0].symbol}'s"
        self.preparation.preparing(f"fetching {whose} history")

        async def fetch(instrument: Instrument) -> Known:
            trades, bars = await self.feed.history(instrument, since_ns)
            log.info("warmed_up", symbol=instrument.symbol, trades=len(trades), klines=len(bars))
            return Known(trades, bars, await self.feed.book_now(instrument))

        self._known = await asyncio.gather(*map(fetch, self.instruments))

    def _look_back_ns(self, number: int) -> int:
        """How far back what is still to start may look at an instrument's trades."""
        orders = run_orders(self.config) if self.trade else []
        pending = [one for one in orders if self._may_start(one)]
        return look_back_ns(pending, self.instruments[number].symbol, self.config.engine.lookback)

    def _may_start(self, one: RunOrder) -> bool:
        if one.listed is not None:
            return self.starting
        return not self._begun or one.place[0] == "schedules"

    def _warm_up(self, live: LiveRun) -> None:
        for number, known in enumerate(self._known if self.former is None else ()):
            live.warm_up(known.trades, known.klines)
            self._known[number] = known.without_trades()
        waits_for = "the first whole order book" if self.former is None else "what was missed, and the books"
        self.preparation.preparing(f"waiting for {waits_for}")

    async def _begin(self, live: LiveRun) -> None:
        """With the first book, start the configured order, then what the clock starts."""
        self.preparation.prepared()
        if live.resumed is not None:
            self.watchman.resumed(live.resumed)
        if live.engine.killed:
            return  # before its first order
        now_ns = self.clock.now_ns()
        if self.former is None:
            self._note_beginning(now_ns)
        if self.own_order:
            self.start_order(live, self.config.order)
        if self.former is None:
            self._starts.begin(now_ns)
        else:
            self._starts.begin(self.former.begun_ns)
        self._begun = True
        await self.jobs.attach(_Scheduled(self, live))

    def _note_beginning(self, now_ns: int) -> None:
        """For whoever goes on with the session: what starts count from, and when a market began to play."""
        run = {**self.header.run, "begun_ns": now_ns}
        if (began_ns := self.market.began_ns()) is not None:
            run["began_ns"] = began_ns
        self.restate(replace(self.header, run=run))

    async def _start_listed(self, live: LiveRun) -> None:
        """Start the orders of the list as they become due, until the session ends."""
        by_symbol = {i.symbol: i for i in self.instruments}
        symbols = self.config.listed_symbols

        def has_book(number: int) -> bool:
            return bool(live.engine.market.mid_half_ticks(by_symbol[symbols[number]].number))

        def start(number: int) -> None:
            if self.former is not None and (gone := self.former.unworkable.get(symbols[number])):
                raise OrderError(gone)
            order, name = self.config.orders[number].order, self._starts.names[number]
            self._start(live, order, by_symbol[symbols[number]], name)

        while True:
            await asyncio.sleep(START_LOOK_S)
            if live.engine.killed:
                self._starts.give_up("the run was killed before its time")
            elif live.cancelled_all:
                self._starts.give_up("every order was cancelled before its time")
            elif not live.ending:
                self._starts.start_due(self.clock.now_ns(), has_book, start)

    def start_order(self, live: LiveRun, order: Order) -> None:
        """Start an order of the configured symbol now. Raises AgentError."""
        names = {*self._starts.names, *(self.former.started() if self.former else ())}
        self._parents = next(n for n in itertools.count(self._parents + 1) if f"P{n}" not in names)
        (instrument,) = (i for i in self.instruments if i.symbol == self.config.symbol)
        self._start(live, order, instrument, f"P{self._parents}")

    def _start(self, live: LiveRun, order: Order, instrument: Instrument, name: str) -> None:
        self.watchman.check_disk()
        mid = live.engine.market.mid_half_ticks(instrument.number)
        price = instrument.tick * mid / 2 if mid else None
        spec = build_spec(order, instrument, f"{self.name}-{name}", price)
        market, venue = live.engine.market, live.engine.venue
        klines = self._known[instrument.number].klines
        check_start(spec, self.config, market, venue, klines, self.clock.now_ns())
        live.start(spec, shadow_specs(spec, order.shadows))

    def _until(self, live: LiveRun, seconds: float | None, market_ended: Ended) -> Ended:
        """When the session is over: its orders, its time or its market are."""
        if not self.trade:
            end_ns = FAR_FUTURE_NS if seconds is None else self.clock.now_ns() + int(seconds * NS_PER_S)
            return lambda: self.clock.now_ns() >= end_ns or (market_ended() and live.quiet(DRAIN_NS))
        return lambda: self._over(live)

    def _over(self, live: LiveRun) -> bool:
        """A session with schedules ends to be rotated, another with its orders; a killed one at once.

        Raises SessionError where another process has taken it: nothing more is written then.
        """
        if self._heartbeat is not None and self._heartbeat.taken:
            raise SessionError(
                f"session {self.name} was taken by another process while this one stood still: it stops here,"
                " and has written nothing since it noticed"
            )
        if self._starting is not None and self._starting.done():
            self._starting.result()  # raises what ended it
        if live.engine.killed:
            return not live.engine.working
        if self.config.schedules:
            return live.rotating
        if not self._begun or self._starts.pending:
            return False
        return live.engine.settled

    def _watch(self, events: Sequence[AuditEvent]) -> None:
        self.summary.add(events)
        self.view.add(events)
        self.watchman.events(events)

    async def _show_health(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            self.view.health(self.feed.health())


class _Scheduled:
    """A session as the run's jobs see it."""

    def __init__(self, session: _Session, live: LiveRun) -> None:
        self._session, self._live = session, live

    @property
    def ending(self) -> bool:
        return self._live.ending

    def rotate(self) -> bool:
        return not self._session.starting and self._live.rotate()

    async def start_order(self, name: str, order: Order) -> None:
        log.info("schedule_started", schedule=name)
        try:
            self._session.start_order(self._live, order)
        except AgentError as error:
            log.error("schedule_refused", schedule=name, reason=str(error))

    def alive(self) -> None:
        live = self._live
        log.info("alive", events=live.events, trades=live.trades, working=live.engine.working)
