"""The jobs of a run of several sessions: which of them takes an order that is due."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from agent.config import Jobs, Order, Schedule
from agent.jobs.run_jobs import RunJobs
from agent.jobs.session_jobs import GRACE_S
from tests.unit.jobs.test_jobs import HOUR_NS, MS, reached

S = 10**9


class Session:
    """A session as the jobs see it: keeps what it was asked to do."""

    def __init__(self, ending: bool = False) -> None:
        self.ending = ending
        self.started: list[str] = []

    def rotate(self) -> bool:
        self.ending = True
        return True

    async def start_order(self, name: str, order: Order) -> None:
        self.started.append(name)

    def alive(self) -> None: ...


class Clock:
    """Stands still until it is moved."""

    ns = 1_700_000_000 * S

    def now_ns(self) -> int:
        return self.ns


def jobs(clock: Clock, *, every_ns: int = 50 * MS, rotate_ns: int = HOUR_NS) -> RunJobs:
    schedules = [Schedule(name="steady", every=every_ns)]
    return RunJobs(schedules, Jobs(heartbeat=HOUR_NS, rotate_session=rotate_ns), clock)


async def test_what_is_due_while_a_session_closes_goes_to_the_next() -> None:
    """A session that is ending takes no order, and none is lost."""
    run, first, second = jobs(Clock(), rotate_ns=120 * MS), Session(), Session()
    await run.attach(first)
    await reached(lambda: first.ending)
    taken = len(first.started)
    assert taken >= 1
    with capture_logs() as logs:
        await reached(lambda: any(line["event"] == "schedule_waits" for line in logs))
    run.detach()
    assert len(first.started) == taken
    await run.attach(second)
    waited = len(second.started)
    run.stop()
    assert waited >= 1


async def test_what_has_waited_too_long_is_not_started() -> None:
    """Its market is another by then; it is said."""
    clock, closing, later = Clock(), Session(ending=True), Session()
    run = jobs(clock)
    await run.attach(closing)
    with capture_logs() as logs:
        await reached(lambda: any(line["event"] == "schedule_waits" for line in logs))
    clock.ns += (GRACE_S + 1) * S
    with capture_logs() as logs:
        await run.attach(later)
        run.stop()
    assert later.started == []
    assert {line["event"] for line in logs} == {"schedule_not_started"}


async def test_the_beat_does_not_begin_anew_with_a_session() -> None:
    """Sessions that are shorter than the interval: it fires all the same."""
    run, sessions = jobs(Clock(), every_ns=400 * MS), [Session() for _ in range(6)]
    for session in sessions:
        await run.attach(session)
        await asyncio.sleep(0.15)
        run.detach()
    run.stop()
    assert 1 <= sum(len(session.started) for session in sessions) <= 2
