"""When a scheduled order starts: cron expressions with crontab's own meaning, and plain intervals."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from agent.config import Schedule
from agent.core.errors import ConfigError
from agent.core.types import NS_PER_S

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def check_schedules(schedules: Sequence[Schedule], now: datetime) -> list[BaseTrigger]:
    """The triggers, in order. Raises ConfigError: call it before anything is written or connected."""
    names = [s.name for s in schedules]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"schedule {name!r} is there {names.count(name)} times: give each its own name")
    return [trigger_of(s, now) for s in schedules]


def trigger_of(schedule: Schedule, now: datetime) -> BaseTrigger:
    """The schedule's trigger. Raises ConfigError naming what is wrong, such as no moment after ``now``."""
    if (schedule.cron is None) == (schedule.every is None):
        raise ConfigError(f"schedule {schedule.name!r}: give exactly one of cron and every")
    if schedule.every is not None:
        return every(schedule.every)
    assert schedule.cron is not None
    try:
        trigger = cron_trigger(schedule.cron)
    except ValueError as error:
        raise ConfigError(
            f"schedule {schedule.name!r}: cron {schedule.cron!r} is not understood ({error}):"
            " write five fields in UTC, as in '30 14 * * mon-fri'"
        ) from error
    if trigger.get_next_fire_time(None, now) is None:
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
    for item in field.lower().split(","):
        span, _, step = item.partition("/")
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


def every(ns: int) -> IntervalTrigger:
    return IntervalTrigger(seconds=ns / NS_PER_S, timezone="UTC")
