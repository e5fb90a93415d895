"""The execution log held against its recordings, row by row: the recording is the truth.

A session is replayed into a database of its own, as ``sessions sync`` would store it, and compared table by
table. What no recording knows is left aside: heartbeats, where a session lies, measured times, commands that
were refused in their row or withdrawn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import select

from agent.app.log_in_line import bring_in_line
from agent.core.errors import AgentError, DatabaseError, InputError
from agent.core.secret_url import DatabaseUrl
from storage.log.database import Url, check_there, database_errors, open_engine, shown
from storage.log.database_faults import schema_fault
from storage.log.execution_log import OPEN, TABLES
from storage.log.stored_replay import MODE
from storage.log.tables import Base, CommandRow, HeartbeatRow, SessionRow
from storage.log.upkeep.compared_rows import BESIDES, Difference, differences, table_of
from storage.recordings.header_file import HEADER
from storage.recordings.session import SessionReader

AGREES, DIFFERS, UNKNOWN = "agrees", "differs", "unknown"
_LEFT = {  # columns that a recording does not know
    "sessions": {
        "path",
        "config",
        "fingerprint",
        "seq",
        "closed_ns",
    },  # the last two: when its row was closed
    "decisions": {"latency_ns"},
    "commands": {"created_ns", "amend", "kind", "parent_id"},
}
Rows = dict[type[Base], list[tuple[object, ...]]]


@dataclass(frozen=True, slots=True)
class CheckedSession:
    """One session: whether its rows agree with its recording; ``reason`` says why that is not known."""

    session: str
    outcome: str
    reason: str
    differences: Sequence[Difference]

    def to_json(self) -> dict[str, object]:
        return {
            "session": self.session,
            "outcome": self.outcome,
            "reason": self.reason,
            "differences": len(self.differences),
        }


def check_log(
    url: DatabaseUrl | str, out: Path, *, doing: Callable[[str], None] = lambda _text: None
) -> list[CheckedSession]:
    """Every session of the database, in order of time. ``out`` is where recordings are looked for too.

    Raises DatabaseError when the database cannot be read.
    """
    check_there(url)
    found = []
    for session, path, mode, state in asyncio.run(_sessions(url)):
        doing(f"replaying {session}")
        try:
            wrong = _compared(url, session, _recording(session, Path(path), out, mode, state))
        except DatabaseError:
            raise
        except AgentError as error:
            found.append(CheckedSession(session, UNKNOWN, str(error), ()))
        else:
            found.append(CheckedSession(session, DIFFERS if wrong else AGREES, "", wrong))
    return found


def _recording(session: str, path: Path, out: Path, mode: str, state: str) -> Path:
    """Where a session was recorded. Raises InputError, saying why nothing can be said of it."""
    if mode == MODE:
        raise InputError("it is a stored replay, whose order is in no recording")
    for place in (path, out / session):
        if (place / HEADER).is_file() and SessionReader(place).header.session == session:
            if state == OPEN and SessionReader(place).cut_off:
                raise InputError(f"it runs, or has died: `python -m agent sessions end {session}` closes it")
            return place
    raise InputError(f"its recording is gone: it is not at {path}, nor in {out}")


def _compared(url: Url, session: str, recording: Path) -> list[Difference]:
    with TemporaryDirectory(prefix="agent-check-") as folder:
        made = str(Path(folder) / "recording.db")
        bring_in_line(recording, made)
        here, wanted = asyncio.run(_rows(url, session)), asyncio.run(_rows(made, session))
    found = []
    for of in wanted:
        name = table_of(of).name
        differ = differences(of, here[of], wanted[of], leave=_LEFT.get(name, ()))
        found += [each for each in differ if not (of is CommandRow and each.what == BESIDES)]
    return found


async def _sessions(url: Url) -> list[tuple[str, str, str, str]]:
    engine = open_engine(url, read_only=True)
    try:
        with database_errors(url):
            async with engine.connect() as connection:
                fault = await connection.run_sync(schema_fault)
                if fault is not None:
                    raise DatabaseError(f"database {shown(url)} {fault}")
                every = select(SessionRow.session, SessionRow.path, SessionRow.mode, SessionRow.state)
                rows = await connection.execute(every.order_by(SessionRow.opened_ns, SessionRow.session))
                return [(row.session, row.path, row.mode, row.state) for row in rows]
    finally:
        await engine.dispose()


async def _rows(url: Url, session: str) -> Rows:
    """Every row of a session, but for its heartbeat."""
    engine = open_engine(url, read_only=True)
    try:
        with database_errors(url):
            async with engine.connect() as connection:
                found: Rows = {}
                for of in TABLES:
                    if of is not HeartbeatRow:
                        mine = select(table_of(of)).where(table_of(of).c.session == session)
                        found[of] = [tuple(row) for row in await connection.execute(mine)]
                return found
    finally:
        await engine.dispose()
