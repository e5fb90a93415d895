"""What happens around the engine on the wall clock: scheduled parent orders, rotation, a heartbeat.

Intervals inside an order belong to the engine's own clock and are no business of this module.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import structlog
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from agent.config import Schedule
from agent.core.errors import ConfigError
from agent.core.types import NS_PER_S
from agent.order_options import Order

log = structlog.get_logger("schedule")

StartOrder = Callable[[str, Order], Awaitable[None]]

GRACE_S = 60
"""An order whose moment passed longer ago (the machine slept) is not started: its market is another."""

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class Jobs:
    """APScheduler jobs of one session. ``rotate`` returns False while a parent works: tried again later.

    Everything runs on the event loop's thread, one at a time with the engine.
    """

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
        self._scheduler.add_listener(_report, EVENT_JOB_ERROR | EVENT_JOB_MISSED)
        self._rotate, self._heartbeat, self._retry_ns = rotate, heartbeat, retry_ns
        for schedule, trigger in zip(schedules, check_schedules(schedules), strict=True):
            self._scheduler.add_job(
                start_order,
                trigger,
                args=(schedule.name, schedule.order),
                id=f"order {schedule.name}",
                name=schedule.name,
                coalesce=True,  # after a pause an order is started once, not once for every time missed
                misfire_grace_time=GRACE_S,
            )
        # As coroutines: APScheduler runs plain functions on threads, beside the engine.
        self._scheduler.add_job(self._beat, _every(heartbeat_ns), id="heartbeat", coalesce=True)
        self._rotation = self._scheduler.add_job(
            self._try_rotate, _every(rotate_ns), id="rotate", coalesce=True, misfire_grace_time=None
        )
        self._started = False

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._scheduler.start()
        self._started = True

    def stop(self) -> None:
        """Start nothing any more. Safe before ``start`` and when repeated."""
        if self._started:
            self._started = False
            self._scheduler.shutdown(wait=False)

    async def _beat(self) -> None:
        self._heartbeat()

    async def _try_rotate(self) -> None:
        if self._rotate():
            log.info("session_rotates")
        else:
            log.info("rotation_waits", reason="a parent order is working")
            self._rotation.reschedule(_every(self._retry_ns))


def _report(event: JobExecutionEvent) -> None:
    """A job that failed or came too late says so; the others go on."""
    if event.code == EVENT_JOB_MISSED:
        log.warning("job_missed", job=event.job_id, due=event.scheduled_run_time.isoformat(), grace_s=GRACE_S)
    else:
        log.error("job_failed", job=event.job_id, error=repr(event.exception))


def check_schedules(schedules: Sequence[Schedule]) -> list[BaseTrigger]:
    """The triggers, in order. Raises ConfigError: call it before anything is written or connected."""
    names = [s.name for s in schedules]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"schedule {name!r} is there {names.count(name)} times: give each its own name")
    return [trigger_of(s) for s in schedules]


def trigger_of(schedule: Schedule) -> BaseTrigger:
    """The schedule's trigger. Raises ConfigError naming what is wrong."""
    if (schedule.cron is None) == (schedule.every is None):
        raise ConfigError(f"schedule {schedule.name!r}: give exactly one of cron and every")
    if schedule.every is not None:
        return _every(schedule.every)
    assert schedule.cron is not None
    try:
        trigger = cron_trigger(schedule.cron)
    except ValueError as error:
        raise ConfigError(
            f"schedule {schedule.name!r}: cron {schedule.cron!r} is not understood ({error}):"
            " write five fields in UTC, as in '30 14 * * mon-fri'"
        ) from error
    if trigger.get_next_fire_time(None, datetime.now(UTC)) is None:
        raise ConfigError(f"schedule {schedule.name!r}: cron {schedule.cron!r} names a time that never comes")
    return trigger


def cron_trigger(expression: str) -> BaseTrigger:
    """Five fields in UTC with crontab(5)'s meaning. Raises ValueError.

    APScheduler's own reading differs twice, and would start orders on the wrong days: it counts weekdays
    from Monday, and wants day and weekday both to hold where cron takes either.
    """
    fields = expression.split()
    if len(fields) != 5:
        raise ValueError(f"{len(fields)} fields")
    minute, hour, day, month, weekday = fields
    days = weekday if weekday == "*" else _weekdays(weekday)
    if day.startswith("*") or weekday.startswith("*"):
        return _cron(minute, hour, day, month, days)
    return OrTrigger([_cron(minute, hour, day, month, "*"), _cron(minute, hour, "*", month, days)])


def _cron(minute: str, hour: str, day: str, month: str, days: str) -> CronTrigger:
    return CronTrigger(minute=minute, hour=hour, day=day, month=month, day_of_week=days, timezone="UTC")


def _weekdays(field: str) -> str:
    """Cron's weekdays (0 and 7 are Sunday; names; ranges; steps) as names: 1-3,sat -> mon,tue,wed,sat."""
    chosen: set[int] = set()
    for part in field.lower().split(","):
        span, _, step = part.partition("/")
        first, dash, last = ("0", "-", "6") if span == "*" else span.partition("-")
        low = _weekday(first)
        high = _weekday(last) if dash else (6 if step else low)
        if high < low:
            high += 7  # fri-mon goes over the week's end
        chosen.update(d % 7 for d in range(low, high + 1, _step(step)))
    return ",".join(WEEKDAYS[d] for d in sorted(chosen))


def _weekday(text: str) -> int:
    if text in WEEKDAYS:
        return WEEKDAYS.index(text)
    if text.isdecimal() and int(text) <= 7:
        return int(text)
    raise ValueError(f"weekday {text!r} is none of 0 to 7, {', '.join(WEEKDAYS)}")


def _step(text: str) -> int:
    if not text:
        return 1
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise ValueError(f"step {text!r} is not a positive number")


def _every(ns: int) -> IntervalTrigger:
    return IntervalTrigger(seconds=ns / NS_PER_S, timezone="UTC")
