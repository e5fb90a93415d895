"""A session's heartbeat as a lease: taken over by one process, and by one only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sqlalchemy import update

from storage.log.control.heartbeat import Heartbeat
from storage.log.control.liveness import WATCH_S, Seen, seen_now
from storage.log.control.processes import this_host, this_pid
from storage.log.database import Url, database_errors, open_engine
from storage.log.tables import HeartbeatRow


class LateClaim(Heartbeat):
    """The heartbeat of a session that was taken on while the database did not answer.

    Once it does, a heartbeat that stands still for ``WATCH_S`` is taken over; one that moves, or whose
    process is there, is another's.
    """

    _claimed = False
    _first: tuple[Seen, float] | None = None  # as first seen, and when

    def __init__(self, url: Url, session: str, wall_ns: Callable[[], int]) -> None:
        super().__init__(url, session, wall_ns)
        self._claiming = asyncio.Lock()  # of two beats at once the second would take the first for another's

    async def beat(self) -> None:
        """Claim first, then count up. Raises DatabaseError."""
        async with self._claiming:
            if not self._claimed:
                await self._claim()
        if self._claimed:
            await super().beat()

    async def _claim(self) -> None:
        seen, now_s = await seen_now(self._url, self._session), asyncio.get_running_loop().time()
        if seen is None or seen.counter is None or (seen.host, seen.pid) == (this_host(), this_pid()):
            self._claimed = True  # ours too: it was taken over, and the answer was lost
            return
        first, since_s = self._first = self._first or (seen, now_s)
        if seen.counter != first.counter or seen.process_runs():
            self.taken = True
        elif now_s - since_s >= WATCH_S:
            self._claimed = await take_over(self._url, seen, self._wall_ns())
            self.taken = not self._claimed


async def take_over(url: Url, seen: Seen, now_ns: int) -> bool:
    """Make the heartbeat that was seen this process's; False where it is another's by now.

    A session that never beat has none to take: True. Raises DatabaseError.
    """
    if seen.counter is None:
        return True
    mine = update(HeartbeatRow).where(
        HeartbeatRow.session == seen.session,
        HeartbeatRow.host == seen.host,
        HeartbeatRow.pid == seen.pid,
        HeartbeatRow.counter == seen.counter,
        HeartbeatRow.beat_ns == seen.beat_ns,
    )
    engine = open_engine(url)
    try:
        with database_errors(url):
            async with engine.begin() as connection:
                row = {"host": this_host(), "pid": this_pid(), "counter": 0, "beat_ns": now_ns}
                done = await connection.execute(mine.values(row))
    finally:
        await engine.dispose()
    return done.rowcount == 1
