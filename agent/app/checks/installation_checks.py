"""Tries configuration, database, disk, clock, exchange and model, and reports what was found."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent.app.build import lem_algo
from agent.app.checks.config_check import sized
from agent.app.checks.trading_checks import check_trading
from agent.app.live_feed import open_feed
from agent.config import Config, Schedule
from agent.core.errors import AgentError, ExchangeError, RecordingError
from agent.core.instrument import Instrument
from agent.core.ports import FeedHealth
from agent.jobs.triggers import trigger_of
from agent.system_clock import SystemClock
from agent.terminal.session_tables import lives_phrase
from connectors.units.exchange_units import EMBEDDED
from storage.log.control.liveness import standings
from storage.log.writing_check import check_writable

FREE_BYTES = 500 * 2**20
CLOCK_APART_MS = 1000.0
"""A clock further off than this stamps every record wrong, and exchanges refuse its signed orders."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check: what was found, or what is wrong and what to do."""

    name: str
    ok: bool
    detail: str


def run_checks(config: Config) -> list[Check]:
    """Run every check; none stops the others."""
    exchange = _Exchange()
    checks: tuple[tuple[str, Callable[[Config], str]], ...] = (
        ("configuration", _check_configuration),
        ("database", lambda c: f"{c.database} at schema {check_writable(c.database)}"),
        ("sessions", _check_sessions),
        ("recording", _check_disk),
        ("clock", exchange.clock),
        ("exchange", exchange.market),
        ("model", _check_model),
    )
    return [_run(name, check, config) for name, check in checks]


def _run(name: str, check: Callable[[Config], str], config: Config) -> Check:
    try:
        return Check(name, True, check(config))
    except AgentError as error:
        return Check(name, False, str(error))


def _check_sessions(config: Config) -> str:
    """Which live and which died; a dead one is no fault of the installation."""
    return lives_phrase(asyncio.run(standings(config.database, time.time_ns, time.monotonic_ns)))


def _check_configuration(config: Config) -> str:
    """What `run` would refuse is told here. An order without a size is no fault: `run` may be given one."""
    now, order = datetime.now(UTC), config.order
    check_trading(sized(config), now)
    size = "" if order.has_size else ", of no size yet: give `run` --quantity or --notional"
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


class _Exchange:
    """One connection to the exchange, for what two checks want to know of it."""

    def __init__(self) -> None:
        self._found: tuple[Instrument, FeedHealth] | AgentError | None = None

    def _seen(self, config: Config) -> tuple[Instrument, FeedHealth]:
        if self._found is None:
            try:
                self._found = asyncio.run(_connect(config))
            except AgentError as error:
                self._found = error
        if isinstance(self._found, AgentError):
            raise self._found
        return self._found

    def clock(self, config: Config) -> str:
        """This computer's clock against the exchange's."""
        try:
            _, health = self._seen(config)
        except AgentError as error:
            raise ExchangeError(f"not compared: {config.exchange} did not tell its time") from error
        return compared_clocks(config.exchange, health.clock_offset_ns, health.clock_round_trip_ns)

    def market(self, config: Config) -> str:
        instrument, _ = self._seen(config)
        return f"{instrument.symbol}: tick {instrument.tick:f}, lot {instrument.lot:f}"


async def _connect(config: Config) -> tuple[Instrument, FeedHealth]:
    async with open_feed(config, SystemClock()) as (feed, _):
        (instrument,) = await feed.instruments([config.symbol])
        return instrument, feed.health()


def compared_clocks(exchange: str, offset_ns: int, round_trip_ns: int | None) -> str:
    """What comparing our clock with the exchange's gave. Raises ExchangeError when they are too far apart."""
    if round_trip_ns is None:
        raise ExchangeError(f"not compared: {exchange} did not tell its time")
    if exchange == EMBEDDED:
        return "the embedded exchange keeps this computer's own time: nothing to compare with"
    apart_ms, within_ms = offset_ns / 1e6, round_trip_ns / 2e6
    where = "behind" if apart_ms > 0 else "ahead of"
    found = f"{abs(apart_ms):.1f} ms {where} {exchange}'s, to {within_ms:.1f} ms"
    if abs(apart_ms) - within_ms > CLOCK_APART_MS:
        raise ExchangeError(
            f"{found}: set this computer's clock by NTP; {CLOCK_APART_MS:g} ms is the most allowed"
        )
    return found


def _check_model(config: Config) -> str:
    model = lem_algo(config.model.checkpoint)
    where = config.model.checkpoint or Path("the shipped checkpoint")
    return f"{where}: {getattr(model, 'digest', '')[:16]}"
