"""A session's heartbeat as a lease: taken over by one process, and by one only."""

from __future__ import annotations

from sqlalchemy import update

from storage.log.control.liveness import Seen
from storage.log.control.processes import this_host, this_pid
from storage.log.database import Url, database_errors, open_engine
from storage.log.tables import HeartbeatRow


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
