"""Live sessions: run a parent order on paper, or only record. Builds what a session needs and lets it run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path

import structlog

from agent.app.build import LEM, check_algos
from agent.app.checks.trading_checks import algos_of, check_trading, run_orders, symbols_of
from agent.app.embedded_market import SYNTHETIC
from agent.app.live.one_session import OneSession, Run
from agent.app.live.run_views import LiveResult, PreparationView, Unwatched, View
from agent.app.live_feed import Market
from agent.app.lives.finding import ended_ns, stored_to_its_end
from agent.app.lives.former_session import FormerSession
from agent.app.lives.going_on import Going
from agent.app.lives.still_traded import open_again
from agent.app.warm_up import warm_up
from agent.app.world.garbage import keep_small
from agent.app.world.run_world import World
from agent.config import Config
from agent.core.clock import Clock
from agent.core.errors import OrderError
from agent.core.instrument import Instrument
from agent.core.ports import Feed
from agent.jobs.listed_starts import NotStarted
from agent.jobs.run_jobs import RunJobs
from agent.jobs.triggers import check_schedules
from agent.order_list.order_files import refuse_orders
from agent.unattended.watchman import Watchman
from connectors.units.exchange_units import EMBEDDED, unverified
from storage.log.control.heartbeat import Heartbeat
from storage.log.control.lease import LateClaim
from storage.recordings.header_file import HEADER

log = structlog.get_logger("live")


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

    def stored(path: Path) -> bool:
        return stored_to_its_end(path, config.database)

    watchman = Watchman(config.unattended, config.out, title, ended_ns, stored, HEADER, world.clock())
    run = Run(config, view, preparation or Unwatched(), world, jobs, watchman, trade)
    well = False
    keeping_small = asyncio.create_task(keep_small(), name="memory")
    try:
        async with _leased(config, former, world) as going:
            result = await _sessions(run, seconds, going)
        well = result.succeeded or result.interrupted or not trade
        return result
    finally:
        keeping_small.cancel()
        jobs.stop()
        await watchman.stop(well=well)
        if former is not None:
            former.release(ended=False)


@contextlib.asynccontextmanager
async def _leased(config: Config, former: FormerSession | None, world: World) -> AsyncIterator[Going | None]:
    """One that goes on beats before it is taken in: that may take long, and nobody else shall begin to."""
    if former is None:
        yield None
        return
    kind = Heartbeat if former.claimed else LateClaim
    heartbeat = kind(config.database, former.name, world.wall_ns)
    heartbeat.start()
    try:
        yield Going(former, heartbeat)
    finally:
        await heartbeat.stop()


async def _sessions(run: Run, seconds: float | None, going: Going | None) -> LiveResult:
    """One session after another, until one ends that was not rotated."""
    config, world = run.config, run.world
    first, not_started = going is None or not going.former.rotated, list[NotStarted]()
    if first and (doubt := unverified(config.exchange)):
        log.warning("units_not_verified", exchange=config.exchange, reason=doubt)
    while True:
        former = going.former if going else None
        clock = world.clock() if former is None else former.clock(world.clock())
        run.preparation.preparing(f"connecting to {config.exchange}")
        async with _open(config, clock, world, former) as (feed, market):
            found = former.reader.instruments if former else await _instruments(feed, config, trade=run.trade)
            session = OneSession(run, clock, feed, market, found, first=first, going=going)
            result = await session.run(seconds)
        result.not_started[:0] = not_started
        not_started = result.not_started
        if not result.rotated:
            return result
        first, going = False, None  # a rotated session goes on with what the clock starts


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
