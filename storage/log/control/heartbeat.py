"""The heartbeat of a running session: a counter in the database, so that others see that it lives.

It has connections of its own and nothing waits for it. A beat that fails is tried again a second later: a
database that is locked or gone ends no run.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import structlog
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite

from agent.core.errors import DatabaseError
from storage.log.control.processes import this_host, this_pid
from storage.log.database import Url, check_there, database_errors, open_engine
from storage.log.tables import HeartbeatRow

log = structlog.get_logger("heartbeat")

BEAT_S = 1.0
"""Between two beats."""
_STOP_S = 2.0
"""How long a session's end waits for a beat that is on its way."""


class Heartbeat:
    """Beats from ``start`` until ``stop``, in the event loop of the session: one that hangs does not live."""

    def __init__(self, url: Url, session: str, wall_ns: Callable[[], int]) -> None:
        self._url, self._session, self._wall_ns = url, session, wall_ns
        self._engine = open_engine(url)
        self._counter = 0
        self._failing = False
        self.taken = False  # by another process, which goes on with the session
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="heartbeat")

    async def stop(self) -> None:
        """Beat no more; waits a bounded time for a beat on its way."""
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=_STOP_S)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._engine.dispose()

    def next_row(self) -> dict[str, object]:
        """The next beat as a row. The first is stored with the session itself."""
        self._counter += 1
        row: dict[str, object] = {"session": self._session, "host": this_host(), "pid": this_pid()}
        return row | {"counter": self._counter, "beat_ns": self._wall_ns()}

    async def beat(self) -> None:
        """Count one up, unless the heartbeat is another process's by now. Raises DatabaseError."""
        check_there(self._url)  # a file that is gone is not made anew by a beat
        row = self.next_row()
        target = HeartbeatRow.__table__
        assert isinstance(target, Table)
        with database_errors(self._url):
            async with self._engine.begin() as connection:
                dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
                statement = dialect.insert(target).values(row)
                changed = {name: statement.excluded[name] for name in row if name != "session"}
                mine = (target.c.host == row["host"]) & (target.c.pid == row["pid"])
                done = await connection.execute(
                    statement.on_conflict_do_update(index_elements=["session"], set_=changed, where=mine)
                )
                self.taken = done.rowcount == 0

    async def _run(self) -> None:
        while not self._stopping.is_set() and not self.taken:
            try:
                await self.beat()
            except DatabaseError as error:
                self._note(failing=True, why=str(error))
            else:
                self._note(failing=False)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), BEAT_S)

    def _note(self, *, failing: bool, why: str = "") -> None:
        """Say once that beats fail, and once that they come again."""
        if failing and not self._failing:
            log.warning(
                "heartbeat_failed", reason=why, meaning="other terminals may take this session for dead"
            )
        elif self._failing and not failing:
            log.info("heartbeat_again")
        self._failing = failing
