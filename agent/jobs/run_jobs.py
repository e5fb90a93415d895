"""The jobs of a whole run: one clock for all its sessions, so that a rotation shifts no schedule.

The session in hand takes the orders that are due. One that is due while no session takes orders (the last one
closes, the next has no book yet) waits for the next, for ``GRACE_S`` at most.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

import structlog

from agent.config import Jobs as JobSettings
from agent.config import Schedule
from agent.core.clock import Clock
from agent.core.types import NS_PER_S
from agent.jobs.session_jobs import GRACE_S, Jobs
from agent.order_options import Order

log = structlog.get_logger("jobs")

RETRY_NS = 10 * NS_PER_S
"""A rotation that has to wait is tried again after this."""


class WorkingSession(Protocol):
    """A session that takes orders, as the jobs see it."""

    @property
    def ending(self) -> bool:
        """Whether it takes no new order any more."""
        ...

    def rotate(self) -> bool:
        """End, unless an order works: then False."""
        ...

    async def start_order(self, name: str, order: Order) -> None: ...

    def alive(self) -> None:
        """Log that all is well."""
        ...


class _Due(NamedTuple):
    due_ns: int
    name: str
    order: Order


class RunJobs:
    """Starts what the clock starts, in whichever session is there to take it."""

    def __init__(self, schedules: Sequence[Schedule], settings: JobSettings, clock: Clock) -> None:
        """Raises ConfigError for a schedule that cannot be understood, or has no moment to come."""
        self._clock = clock
        self._session: WorkingSession | None = None
        self._due: deque[_Due] = deque()
        self._jobs = Jobs(
            schedules,
            start_order=self._start_order,
            rotate=self._rotate,
            heartbeat=self._alive,
            heartbeat_ns=settings.heartbeat,
            rotate_ns=settings.rotate_session if schedules else None,
            now=datetime.fromtimestamp(clock.now_ns() / NS_PER_S, UTC),
            retry_ns=RETRY_NS,
        )

    async def attach(self, session: WorkingSession) -> None:
        """From now on ``session`` takes what is due; the first time the clock starts to run."""
        self._session = session
        self._jobs.start()
        while self._due and not session.ending:
            await self._hand_over(session, self._due.popleft())

    def detach(self) -> None:
        """No session takes orders until the next one is attached."""
        self._session = None

    def stop(self) -> None:
        """Start nothing any more."""
        self._jobs.stop()
        for due in self._due:
            log.warning("schedule_not_started", schedule=due.name, reason="the run has ended")
        self._due.clear()

    async def _start_order(self, name: str, order: Order) -> None:
        due = _Due(self._clock.now_ns(), name, order)
        if self._session is None or self._session.ending:
            log.info("schedule_waits", schedule=name, reason="a session closes; the next one takes it")
            self._due.append(due)
        else:
            await self._hand_over(self._session, due)

    async def _hand_over(self, session: WorkingSession, due: _Due) -> None:
        waited_s = (self._clock.now_ns() - due.due_ns) / NS_PER_S
        if waited_s > GRACE_S:
            log.warning("schedule_not_started", schedule=due.name, waited_s=round(waited_s), grace_s=GRACE_S)
        else:
            await session.start_order(due.name, due.order)

    def _rotate(self) -> bool:
        return self._session is not None and not self._session.ending and self._session.rotate()

    def _alive(self) -> None:
        if self._session is not None:
            self._session.alive()
