"""Jobs on the wall clock, with the real APScheduler and short intervals."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from agent.config import Order, Schedule
from agent.core.errors import ConfigError
from agent.jobs.session_jobs import Jobs
from agent.jobs.triggers import check_schedules, cron_trigger, trigger_of

MS = 1_000_000
HOUR_NS = 3600 * 10**9
SUNDAY = datetime(2024, 8, 4, tzinfo=UTC)


class Desk:
    """What the jobs act on: keeps what it was asked to do, and on which thread."""

    def __init__(self, *, working: bool = False, failing: bool = False) -> None:
        self.started: list[tuple[str, Order]] = []
        self.rotations = self.beats = 0
        self.working, self.failing = working, failing
        self.threads: set[int] = set()

    async def start_order(self, name: str, order: Order) -> None:
        self.threads.add(threading.get_ident())
        self.started.append((name, order))
        if self.failing:
            raise RuntimeError("no such market")

    def rotate(self) -> bool:
        self.threads.add(threading.get_ident())
        self.rotations += 1
        return not self.working

    def heartbeat(self) -> None:
        self.threads.add(threading.get_ident())
        self.beats += 1

    def jobs(self, *schedules: Schedule, rotate_ns: int = HOUR_NS, heartbeat_ns: int = HOUR_NS) -> Jobs:
        return Jobs(
            schedules,
            start_order=self.start_order,
            rotate=self.rotate,
            heartbeat=self.heartbeat,
            heartbeat_ns=heartbeat_ns,
            rotate_ns=rotate_ns,
            now=SUNDAY,
            retry_ns=50 * MS,
        )


async def reached(condition: Callable[[], bool], within_s: float = 2.5) -> None:
    for _ in range(round(within_s / 0.005)):
        if condition():
            return
        await asyncio.sleep(0.005)
    pytest.fail(f"not so within {within_s} s")


def fire_days(expression: str, count: int) -> list[str]:
    """The next ``count`` days, from a Sunday on, on which the expression fires."""
    trigger, at, days = cron_trigger(expression), SUNDAY, []
    for _ in range(count):
        at = trigger.get_next_fire_time(None, at)
        days.append(f"{at:%a %d}")
        at += timedelta(hours=23)
    return days


async def test_an_interval_starts_its_order_again_and_again() -> None:
    """Every 100 ms the order of the schedule is started, on the event loop's own thread."""
    desk, order = Desk(), Order(quantity=2)
    jobs = desk.jobs(Schedule(name="steady", every=100 * MS, order=order))
    jobs.start()
    await reached(lambda: len(desk.started) >= 3)
    jobs.stop()
    assert desk.started[:3] == [("steady", order)] * 3
    assert desk.threads == {threading.get_ident()}


async def test_the_heartbeat_beats_on_the_loop_thread() -> None:
    """The heartbeat reads the engine, so it must never run beside it on another thread."""
    desk = Desk()
    jobs = desk.jobs(heartbeat_ns=50 * MS)
    jobs.start()
    await reached(lambda: desk.beats >= 2)
    jobs.stop()
    assert desk.threads == {threading.get_ident()}


async def test_rotation_is_tried_again_until_no_parent_works() -> None:
    """A refused rotation comes back after the retry time, not after the next whole period."""
    desk = Desk(working=True)
    jobs = desk.jobs(rotate_ns=300 * MS)
    with capture_logs() as logs:
        jobs.start()
        await reached(lambda: desk.rotations >= 3)
        desk.working = False
        await reached(lambda: any(line["event"] == "session_rotates" for line in logs))
        jobs.stop()
    assert [line["event"] for line in logs].count("rotation_waits") == desk.rotations - 1


async def test_an_order_is_not_started_long_after_its_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The computer stood still over the moment and past the grace time: that is said, no more."""
    monkeypatch.setattr("agent.jobs.session_jobs.GRACE_S", 1)
    desk = Desk()
    jobs = desk.jobs(Schedule(name="steady", every=2500 * MS))
    with capture_logs() as logs:
        jobs.start()
        await asyncio.sleep(0.1)
        time.sleep(4.0)  # noqa: ASYNC251  as a computer that sleeps: due after 2.5 s, next after 5 s
        await reached(lambda: any(line["event"] == "job_missed" for line in logs) or bool(desk.started))
        jobs.stop()
    assert desk.started == []


async def test_nothing_starts_after_stop() -> None:
    """Stopping ends every job; stopping twice, or before the start, is no error."""
    desk = Desk()
    jobs = desk.jobs(Schedule(name="steady", every=50 * MS))
    jobs.stop()
    jobs.start()
    await reached(lambda: len(desk.started) >= 1)
    jobs.stop()
    jobs.stop()
    await asyncio.sleep(0)
    count = len(desk.started)
    await asyncio.sleep(0.2)
    assert len(desk.started) == count


async def test_a_failing_job_says_so_and_the_others_go_on() -> None:
    """An error inside a job is logged with the job's name and stops neither it nor the heartbeat."""
    desk = Desk(failing=True)
    jobs = desk.jobs(Schedule(name="lunch", every=50 * MS), heartbeat_ns=50 * MS)
    with capture_logs() as logs:
        jobs.start()
        await reached(lambda: len(desk.started) >= 2 and desk.beats >= 2)
        jobs.stop()
    failed = [line for line in logs if line["event"] == "job_failed"]
    assert failed[0]["job"] == "order lunch"
    assert "no such market" in failed[0]["error"]


@pytest.mark.parametrize(
    ("expression", "days"),
    [
        ("30 14 * * 1-5", ["Mon 05", "Tue 06", "Wed 07", "Thu 08", "Fri 09", "Mon 12"]),
        ("30 14 * * mon-fri", ["Mon 05", "Tue 06", "Wed 07", "Thu 08", "Fri 09", "Mon 12"]),
        ("30 14 * * 0", ["Sun 04", "Sun 11"]),
        ("30 14 * * 7", ["Sun 04", "Sun 11"]),
        ("30 14 * * fri-mon", ["Sun 04", "Mon 05", "Fri 09", "Sat 10", "Sun 11"]),
        ("30 14 * * */3", ["Sun 04", "Wed 07", "Sat 10", "Sun 11"]),
        ("30 14 13 * fri", ["Fri 09", "Tue 13", "Fri 16"]),
        ("30 14 * * *", ["Sun 04", "Mon 05"]),
    ],
)
def test_cron_means_what_crontab_means(expression: str, days: list[str]) -> None:
    """Weekdays count from Sunday and a day of the month adds to a weekday, as crontab(5) has it."""
    assert fire_days(expression, len(days)) == days


def test_cron_is_in_utc() -> None:
    """Half past two is half past two UTC, whatever the machine's zone."""
    assert cron_trigger("30 14 * * *").get_next_fire_time(None, SUNDAY) == SUNDAY.replace(hour=14, minute=30)


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("60 1 * * *", "60"),
        ("30 14 * *", "4 fields"),
        ("0 30 14 * * *", "6 fields"),
        ("30 14 * * someday", "'someday'"),
        ("30 14 * * 1-9", "'9'"),
        ("30 14 * * 1/0", "'0'"),
        ("0 0 30 2 *", "never comes"),
    ],
)
def test_a_bad_cron_names_itself(cron: str, words: str) -> None:
    """The message names the schedule, the expression and what is wrong with it."""
    with pytest.raises(ConfigError) as caught:
        trigger_of(Schedule(name="lunch", cron=cron), SUNDAY)
    message = str(caught.value)
    assert "'lunch'" in message
    assert repr(cron) in message
    assert words in message


@pytest.mark.parametrize("given", [{}, {"cron": "30 14 * * *", "every": "2h"}])
def test_exactly_one_of_cron_and_every(given: dict[str, str]) -> None:
    """Neither and both are refused, naming the schedule."""
    with pytest.raises(ConfigError, match="'lunch': give exactly one of cron and every"):
        trigger_of(Schedule(name="lunch", **given), SUNDAY)


def test_two_schedules_cannot_share_a_name() -> None:
    """A name is how a schedule is told apart in the log."""
    same = [Schedule(name="lunch", every="2h"), Schedule(name="lunch", every="3h")]
    with pytest.raises(ConfigError, match="'lunch' is there 2 times"):
        check_schedules(same, SUNDAY)
