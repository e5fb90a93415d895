"""APScheduler jobs, by the moment. APScheduler runs them by its own clock, the computer's wall clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import structlog
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from agent.config import Schedule
from agent.core.types import NS_PER_S
from agent.jobs.triggers import check_schedules, every
from agent.order_options import Order

log = structlog.get_logger("jobs")

StartOrder = Callable[[str, Order], Awaitable[None]]

GRACE_S = 60
"""An order whose moment passed longer ago (the machine slept) is not started: its market is another."""


class Jobs:
    """The jobs of a run. ``rotate`` returns False while the session cannot end: tried again later.

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
        rotate_ns: int | None,
        now: datetime,
        retry_ns: int = 10 * NS_PER_S,
    ) -> None:
        """Raises ConfigError for a schedule that cannot be understood, or has no moment after ``now``."""
        self._scheduler = AsyncIOScheduler(timezone="UTC")
        self._scheduler.add_listener(_report, EVENT_JOB_ERROR | EVENT_JOB_MISSED)
        self._rotate, self._heartbeat = rotate, heartbeat
        self._rotate_ns, self._retry_ns = rotate_ns or 0, retry_ns  # 0: never asked for
        for schedule, trigger in zip(schedules, check_schedules(schedules, now), strict=True):
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
        self._scheduler.add_job(self._beat, every(heartbeat_ns), id="heartbeat", coalesce=True)
        if rotate_ns is not None:  # else the session ends by itself
            self._rotation = self._scheduler.add_job(
                self._try_rotate, every(rotate_ns), id="rotate", coalesce=True, misfire_grace_time=None
            )
        self._started = False

    def start(self) -> None:
        """Begin, on the running event loop; no more than once."""
        if not self._started:
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
            self._rotation.reschedule(every(self._rotate_ns))
        else:
            log.info("rotation_waits", reason="an order is working, or its window is not measured yet")
            self._rotation.reschedule(every(self._retry_ns))


def _report(event: JobExecutionEvent) -> None:
    """Log a job that failed or came too late; the others go on."""
    if event.code == EVENT_JOB_MISSED:
        log.warning("job_missed", job=event.job_id, due=event.scheduled_run_time.isoformat(), grace_s=GRACE_S)
    else:
        log.error("job_failed", job=event.job_id, error=repr(event.exception))
