"""One recorded session of a live run: the engine, the recording and the log around it, from start to end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from agent.app.build import PolicyFactory, algo, build_engine, fingerprint
from agent.app.checks.start_orders import Known, check_before_session
from agent.app.checks.trading_checks import algos_of, check_sizes
from agent.app.live.order_starts import THREADED, OrderStarts, Scheduled
from agent.app.live.run_views import LiveResult, PreparationView, View, title_of
from agent.app.live_feed import Ended, Market
from agent.app.lives.going_on import Going, refuse_taken
from agent.app.log_in_line import DatabaseState, in_line
from agent.app.world.garbage import as_in_a_replay
from agent.app.world.run_world import World
from agent.config import Config, recorded
from agent.core.agenda import FAR_FUTURE_NS
from agent.core.clock import Clock
from agent.core.events import AuditEvent
from agent.core.instrument import Instrument
from agent.core.ports import Feed, LogEnd, PendingCommand, SlicePolicy
from agent.core.types import NS_PER_S, ParentSpec
from agent.deciding.decision_thread import DecisionThread, ThreadedPolicy
from agent.engine.engine import Engine
from agent.engine.policy import InlinePolicy
from agent.jobs.run_jobs import RunJobs
from agent.runtime import Former, LiveRun
from agent.summary import Summary
from agent.unattended.watchman import Watchman
from storage.log.control.heartbeat import Heartbeat
from storage.log.execution_log import SqlExecutionLog
from storage.log.kept_log import KeptLog
from storage.recordings.lives.session_lock import SessionLock
from storage.recordings.session import SessionHeader, SessionWriter

log = structlog.get_logger("live")
DRAIN_NS = 2 * NS_PER_S
"""How long nothing must have come from a market that has ended before its session is closed."""


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


@dataclass(frozen=True, slots=True)
class Run:
    """What all sessions of a run share. ``trade``: else the market is only recorded."""

    config: Config
    view: View
    preparation: PreparationView
    world: World
    jobs: RunJobs
    watchman: Watchman
    trade: bool


class OneSession:
    """Of a run. ``run`` works it to its end."""

    def __init__(
        self,
        run: Run,
        clock: Clock,
        feed: Feed,
        market: Market,
        instruments: Sequence[Instrument],
        *,
        first: bool,
        going: Going | None,
    ) -> None:
        """``first``: this session works the run's own orders. ``going``: it is one that goes on."""
        self.shared, self.config, self.clock, self.feed = run, run.config, clock, feed
        self.market, self.instruments, self.first = market, instruments, first
        self.going, self.former = going, going.former if going else None
        self.summary = Summary(instruments)
        moment = datetime.fromtimestamp(clock.now_ns() / NS_PER_S, UTC)
        self.name = self.former.name if self.former else f"{moment:%Y%m%dT%H%M%S.%f}"[:-3].replace(".", "-")
        self.path = self.former.path if self.former else self.config.out / self.name
        self.title = title_of(self.config, instruments, trade=run.trade)
        self.starts = OrderStarts(
            self.config,
            self.name,
            instruments,
            run.watchman,
            trade=run.trade,
            first=first,
            former=self.former,
        )
        self._late: list[str] = []
        self._heartbeat = going.heartbeat if going else None
        self._starting: asyncio.Task[None] | None = None

    async def run(self, seconds: float | None) -> LiveResult:
        """Work it to its end; ``seconds`` ends one that only records. Raises AgentError."""
        thread = DecisionThread(self.clock, self.shared.world.executor())
        try:
            engine = await self._prepared(lambda spec: self._policy(spec, thread))
            engine.forget(self.starts.look_back_ns)
            return await self._run(engine, seconds)
        finally:
            thread.close()

    # --- before anything is written ---------------------------------------------------------------------

    async def _prepared(self, policies: PolicyFactory) -> Engine:
        """The engine, and what it has to know of the market's past."""
        if self.going is not None:
            return await self._taken_in(self.going, policies)
        if self.shared.trade:  # a bad order is refused, a schedule's too
            check_sizes(self.config, {i.symbol: i for i in self.instruments})
        engine = await asyncio.to_thread(build_engine, self.config, self.instruments, policies)
        await self._fetch_history()
        if self.starts.any_at_first:
            check_before_session(
                self.config, self.instruments, self.starts.known, self.clock.now_ns(), engine.venue.lacking
            )
        return engine

    async def _taken_in(self, going: Going, policies: PolicyFactory) -> Engine:
        former = going.former
        with as_in_a_replay():
            engine = await asyncio.to_thread(former.take_in, policies, self.shared.preparation.preparing)
        await going.check_lease()
        self.starts.known = former.known()
        for instrument in self.instruments:
            if instrument.symbol not in former.unworkable:
                self.feed.go_on(instrument, former.tape.trades(instrument.number))
        return engine

    def _policy(self, spec: ParentSpec, thread: DecisionThread) -> SlicePolicy:
        chosen = algo(spec.algo, self.config)
        if spec.algo in THREADED:
            return ThreadedPolicy(chosen, thread, self._late)
        return InlinePolicy(chosen)

    async def _fetch_history(self) -> None:
        """The orders are judged by it."""
        since_ns = self.clock.now_ns() - self.config.feed.warm_up
        several = len(self.instruments) > 1
        whose = f"{len(self.instruments)} symbols'" if several else f"{self.instruments[0].symbol}'s"
        self.shared.preparation.preparing(f"fetching {whose} history")

        async def fetch(instrument: Instrument) -> Known:
            trades, bars = await self.feed.history(instrument, since_ns)
            log.info("warmed_up", symbol=instrument.symbol, trades=len(trades), klines=len(bars))
            return Known(trades, bars, await self.feed.book_now(instrument))

        self.starts.known = await asyncio.gather(*map(fetch, self.instruments))

    # --- from its first row to its last -----------------------------------------------------------------

    async def _run(self, engine: Engine, seconds: float | None) -> LiveResult:
        self.header = self.former.reader.header if self.former else self._header()
        writer = self.former.writer() if self.former else SessionWriter.create(self.path, self.header)
        former = self.former.former(engine) if self.former else None
        lock = self.former.lock if self.former else SessionLock(self.path)
        self.restate = writer.restate
        try:
            lock.take()
            execution_log = await self._open_log(self.header, former)
        except BaseException:
            writer.abandon()
            lock.release(ended=False)
            raise
        live = LiveRun(
            self.feed, engine, writer, execution_log, self.clock, self._late, self._watch, former=former
        )
        self._show(live, execution_log)
        state = "failed"
        health = asyncio.create_task(self._show_health())
        self._starting = asyncio.create_task(self.starts.start_listed(live))
        try:
            with self.shared.world.stop_on_signal(live.stopping):
                self._warm_up(live)
                await live.run(
                    lambda: self._begin(live),
                    self._until(live, seconds, self.market.ended),
                    book_within_ns=self._book_within_ns(),
                )
                state = "interrupted" if live.interrupted else "closed"
        finally:
            writer.abandon()  # where the run could not come to its own end
            self.shared.jobs.detach()
            health.cancel()
            self._starting.cancel()
            self.starts.give_up("the run ended before its time")
            self.summary.put_first(self.starts.listed_ids)
            if self._heartbeat is not None:
                await self._heartbeat.stop()
            database = await self._close_log(execution_log, live, state)
            lock.release(ended=not live.left_as_it_was)
        return self._result(live, database)

    def _show(self, live: LiveRun, execution_log: KeptLog | _NoLog) -> None:
        """To whoever watches: what begins, and what there was of it."""
        if self.former is not None:
            live.cancelled_all = self.former.cancelled_all
        if (heartbeat := self._heartbeat) is not None:
            live.lost = lambda: heartbeat.taken
        self.shared.view.open(self.name, self.instruments, self.title)
        symbols = [instrument.symbol for instrument in self.instruments]
        self.shared.watchman.begin(self.path, symbols, self.title, lambda: execution_log.behind)
        if self.former is not None:
            self.summary.add(self.former.events)
            self.shared.view.add(self.former.events)

    def _result(self, live: LiveRun, database: DatabaseState) -> LiveResult:
        return LiveResult(
            self.name,
            self.path,
            self.summary,
            self.feed.health(),
            live.events,
            live.interrupted,
            live.rotating and not live.interrupted and not live.engine.killed and bool(self.config.schedules),
            database,
            live.engine.killed,
            self.starts.not_started,
            live.resumed,
        )

    def _book_within_ns(self) -> int | None:
        """How long a book is waited for; of a session that follows another, as long as it takes."""
        bounded = self.shared.trade and (self.first or self.former is not None)
        return self.config.feed.connect_timeout if bounded else None

    def _header(self) -> SessionHeader:
        return SessionHeader(
            session=self.name,
            instruments=tuple(self.instruments),
            created_ns=self.clock.now_ns(),
            seed=self.config.seed,
            config=recorded(self.config),
            fingerprint=fingerprint(self.config, algos_of(self.config) if self.shared.trade else []),
            clock_offsets={self.config.exchange: self.feed.health().clock_offset_ns},
            run={} if self.first else {"rotated": True},
        )

    # --- the log ----------------------------------------------------------------------------------------

    async def _open_log(self, header: SessionHeader, former: Former | None) -> KeptLog | _NoLog:
        """Between the sessions of a run a database that is away is waited for by nobody."""
        if not self.shared.trade:
            return _NoLog()
        self.shared.preparation.preparing("opening the database")
        execution_log = KeptLog(SqlExecutionLog(self.config.database, self.name, self.instruments))
        if self.former is not None:
            execution_log.known = self.former.command_ids
        heartbeat = self._heartbeat or Heartbeat(self.config.database, self.name, self.shared.world.wall_ns)
        execution_log.lost = lambda: heartbeat.taken
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
            heartbeat=None if self._heartbeat else heartbeat.next_row(),
        )
        if self.former is not None and former is not None:
            execution_log.restore(self.former.events, former.seq, former.last_ns)
        if self._heartbeat is None:
            self._heartbeat = heartbeat
            heartbeat.start()
        return execution_log

    async def _close_log(self, execution_log: KeptLog | _NoLog, live: LiveRun, state: str) -> DatabaseState:
        if live.left_as_it_was:
            await execution_log.leave()
            return DatabaseState(True)
        end = await execution_log.finish(closed_ns=self.clock.now_ns(), seq=live.engine.seq, state=state)
        return await in_line(end, self.path, self.config.database)

    # --- what the run asks for --------------------------------------------------------------------------

    def _warm_up(self, live: LiveRun) -> None:
        known = self.starts.known
        for number, each in enumerate(known if self.former is None else ()):
            live.warm_up(each.trades, each.klines)
            known[number] = each.without_trades()
        waits_for = "the first whole order book" if self.former is None else "what was missed, and the books"
        self.shared.preparation.preparing(f"waiting for {waits_for}")

    async def _begin(self, live: LiveRun) -> None:
        """With the first book, start the configured order, then what the clock starts."""
        self.shared.preparation.prepared()
        if live.resumed is not None:
            self.shared.watchman.resumed(live.resumed)
        if live.engine.killed:
            return  # before its first order
        now_ns = self.clock.now_ns()
        if self.former is None:
            self._note_beginning(now_ns)
        self.starts.begin(live, now_ns)
        await self.shared.jobs.attach(Scheduled(self.starts, live))

    def _note_beginning(self, now_ns: int) -> None:
        """For whoever goes on with the session: what starts count from, and when a market began to play."""
        run = {**self.header.run, "begun_ns": now_ns}
        if (began_ns := self.market.began_ns()) is not None:
            run["began_ns"] = began_ns
        self.restate(replace(self.header, run=run))

    def _until(self, live: LiveRun, seconds: float | None, market_ended: Ended) -> Ended:
        """When the session is over: its orders, its time or its market are."""
        if not self.shared.trade:
            end_ns = FAR_FUTURE_NS if seconds is None else self.clock.now_ns() + int(seconds * NS_PER_S)
            return lambda: self.clock.now_ns() >= end_ns or (market_ended() and live.quiet(DRAIN_NS))
        return lambda: self._over(live)

    def _over(self, live: LiveRun) -> bool:
        """A session with schedules ends to be rotated, another with its orders; a killed one at once.

        Raises SessionError where another process has taken it: nothing more is written then.
        """
        refuse_taken(self._heartbeat, self.name)
        if self._starting is not None and self._starting.done():
            self._starting.result()  # raises what ended it
        if live.engine.killed:
            return not live.engine.working
        if self.config.schedules:
            return live.rotating
        if not self.starts.begun or self.starts.pending:
            return False
        return live.engine.settled

    def _watch(self, events: Sequence[AuditEvent]) -> None:
        self.summary.add(events)
        self.shared.view.add(events)
        self.shared.watchman.events(events)

    async def _show_health(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            self.shared.view.health(self.feed.health())
