"""What happens around the engine on the wall clock: scheduled parent orders, rotation, a heartbeat.

Intervals inside an order belong to the engine's own clock and are no business of this module.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from agent.config import Order, Schedule
from agent.core.errors import ConfigError
from agent.core.types import NS_PER_S

log = structlog.get_logger("schedule")

StartOrder = Callable[[str, Order], Awaitable[None]]


class Jobs:
    """APScheduler jobs of one session. ``rotate`` returns False while a parent works: tried again later."""

    def __init__(
        self,
        schedules: Sequence[Schedule],
        *,
        start_order: StartOrder,
        rotate: Callable[[], bool],
        heartbeat: Callable[[], None],
        heartbeat_ns: int,
        rotate_ns: int,
        retry_ns: int = 10 * NS_PER_S,
    ) -> None:
        """Raises ConfigError for a schedule that cannot be understood."""
        self._scheduler = AsyncIOScheduler(timezone="UTC")
        self._rotate, self._retry_ns = rotate, retry_ns
        for schedule in schedules:
            self._scheduler.add_job(
                start_order,
                trigger_of(schedule),
                args=(schedule.name, schedule.order),
                name=schedule.name,
                max_instances=1,
                coalesce=True,  # after a pause an order is started once, not once for every time missed
            )
        self._scheduler.add_job(heartbeat, IntervalTrigger(seconds=heartbeat_ns / NS_PER_S), name="heartbeat")
        self._rotation = self._scheduler.add_job(
            self._try_rotate, IntervalTrigger(seconds=rotate_ns / NS_PER_S), name="rotate"
        )

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    async def _try_rotate(self) -> None:
        if self._rotate():
            log.info("session_rotates")
        else:
            log.info("rotation_waits", reason="a parent order is working")
            self._rotation.reschedule(IntervalTrigger(seconds=self._retry_ns / NS_PER_S))


def trigger_of(schedule: Schedule) -> CronTrigger | IntervalTrigger:
    """The schedule's trigger. Raises ConfigError naming what is wrong."""
    if (schedule.cron is None) == (schedule.every is None):
        raise ConfigError(f"schedule {schedule.name!r}: give exactly one of cron and every")
    if schedule.every is not None:
        return IntervalTrigger(seconds=schedule.every / NS_PER_S)
    try:
        return CronTrigger.from_crontab(schedule.cron, timezone="UTC")
    except ValueError as error:
        raise ConfigError(
            f"schedule {schedule.name!r}: cron {schedule.cron!r} is not understood ({error}):"
            " write five fields, as in '30 14 * * mon-fri'"
        ) from error
