"""Tries configuration, database, disk, clock, exchange and model, and reports what was found."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from agent.app.build import lem_algo
from agent.app.live_feed import open_feed
from agent.app.trading_checks import check_trading
from agent.config import Config, Schedule
from agent.core.errors import AgentError, RecordingError
from agent.jobs.triggers import trigger_of
from agent.system_clock import SystemClock
from storage.log.database import migrate

FREE_BYTES = 500 * 2**20


@dataclass(frozen=True, slots=True)
class Check:
    """One check: what was found, or what is wrong and what to do."""

    name: str
    ok: bool
    detail: str


def run_checks(config: Config) -> list[Check]:
    """Run every check; none stops the others."""
    checks: tuple[tuple[str, Callable[[Config], str]], ...] = (
        ("configuration", _check_configuration),
        ("database", lambda c: f"{c.database} at schema {migrate(c.database)}"),
        ("recording", _check_disk),
        ("clock", _check_clock),
        ("exchange", _check_exchange),
        ("model", _check_model),
    )
    return [_run(name, check, config) for name, check in checks]


def _run(name: str, check: Callable[[Config], str], config: Config) -> Check:
    try:
        return Check(name, True, check(config))
    except AgentError as error:
        return Check(name, False, str(error))


def _check_configuration(config: Config) -> str:
    """What `run` would refuse is told here. An order without a size is no fault: `run` may be given one."""
    now, order = datetime.now(UTC), config.order
    sized = order.quantity is not None or order.notional is not None
    checked = config if sized else config.model_copy(update={"order": replace(order, quantity=Decimal(1))})
    check_trading(checked, now)
    size = "" if sized else ", of no size yet: give `run` --quantity or --notional"
    starts = "".join(f"; {s.name} by {s.order.algo} next {_next(s, now)}" for s in config.schedules)
    return f"{config.exchange} {config.symbol}, order by {order.algo}{size}{starts}"


def _next(schedule: Schedule, now: datetime) -> str:
    """When a schedule starts its next order, in UTC."""
    at: datetime = trigger_of(schedule, now).get_next_fire_time(None, now)
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _check_disk(config: Config) -> str:
    folder = config.out.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES:
        raise RecordingError(f"{folder} has {free >> 20} MiB free: sessions need {FREE_BYTES >> 20} at least")
    return f"{config.out}: {free >> 30} GiB free"


def _check_clock(config: Config) -> str:
    clock, wall_ns = SystemClock(), time.time_ns()
    apart_ms = abs(clock.now_ns() - wall_ns) / 1e6
    return f"monotonic, {apart_ms:.3f} ms from the wall"


def _check_exchange(config: Config) -> str:
    async def connect() -> str:
        async with open_feed(config, SystemClock()) as (feed, _):
            (instrument,) = await feed.instruments([config.symbol])
            offset_ms = feed.health().clock_offset_ns / 1e6
            precision = f"tick {instrument.tick}, lot {instrument.lot}"
            return f"{instrument.symbol}: {precision}, clock {offset_ms:+.1f} ms"

    return asyncio.run(connect())


def _check_model(config: Config) -> str:
    model = lem_algo(config.model.checkpoint)
    where = config.model.checkpoint or Path("the shipped checkpoint")
    return f"{where}: {getattr(model, 'digest', '')[:16]}"
