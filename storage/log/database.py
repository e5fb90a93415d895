"""Engines, migrations and the one place where a database's failures become clear messages.

SQLite by default (WAL, so that other terminals read while a run writes), PostgreSQL by URL.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from sqlalchemy import URL, Connection, event, inspect, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from agent.core.errors import DatabaseError, InputError

BUSY_MS = 5000
_MIGRATIONS = Path(__file__).parent / "migrations"
_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}
_OLDER = "has an older schema: `python -m agent doctor` with the same --db brings it up to date"
_ADVICE = (  # what the driver says -> what it means and what to do
    ("locked", "is locked by another program: close that, or give another --db"),
    ("readonly", "is read-only: make it writable, or give another --db"),
    ("not a database", "is not a database: give another --db"),
    ("malformed", "is corrupt: restore it, or give another --db (sessions can be replayed into a new one)"),
    (
        "unable to open",
        "cannot be opened: check that its directory exists and is writable, or give another --db",
    ),
    ("disk is full", "has no space left: free some, or give another --db"),
    ("no such table", "holds no execution log: run the agent once, or give another --db"),
    ("no such column", _OLDER),
    ("column decisions.", _OLDER),  # as PostgreSQL says it
    ("does not exist", "holds no execution log: create it and run the agent once, or give another --db"),
    ("password", "refuses the user or password: check the --db URL"),
    ("connect", "cannot be reached: start it, or check the --db URL"),
)


def parse_url(url: str) -> URL:
    """Return ``url`` with the driver this program uses; a bare path means SQLite. Raises InputError."""
    if "://" not in url:
        return URL.create(_DRIVERS["sqlite"], database=_file_name(url))
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InputError(f"database URL {url!r} cannot be read: {_FORMS}") from error
    driver = _DRIVERS.get(parsed.get_backend_name())
    if driver is None:
        raise InputError(f"database {parsed.get_backend_name()!r} is not supported: {_FORMS}")
    return parsed.set(drivername=driver)


def _file_name(text: str) -> str:
    """A bare path; a word that is no file and looks like none would become one. Raises InputError."""
    path = Path(text)
    if path.suffix or len(path.parts) > 1 or path.exists():
        return text
    raise InputError(f"database {text!r} is neither a URL nor a file: {_FORMS}, as in {text or 'agent'}.db")


_FORMS = "give a file's path, sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME"


def sqlite_path(url: URL) -> Path | None:
    """Return the file of a SQLite URL; None for a database in memory, by URI or on a server."""
    name = url.database
    if url.get_backend_name() != "sqlite" or not name or name == ":memory:" or name.startswith("file:"):
        return None
    return Path(name)


def open_engine(url: str, *, busy_ms: int = BUSY_MS, read_only: bool = False) -> AsyncEngine:
    """Return an engine for ``url``. A SQLite write waits ``busy_ms`` for other writers."""
    parsed = parse_url(url)
    engine = create_async_engine(parsed, poolclass=NullPool if read_only else None)
    if parsed.get_backend_name() == "sqlite":
        _set_pragmas(engine, busy_ms, read_only)
    return engine


def _set_pragmas(engine: AsyncEngine, busy_ms: int, read_only: bool) -> None:
    pragmas = [f"busy_timeout={busy_ms}", "foreign_keys=ON"]
    pragmas += ["query_only=ON"] if read_only else ["journal_mode=WAL", "synchronous=NORMAL"]

    @event.listens_for(engine.sync_engine, "connect")
    def connected(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        try:
            cursor = connection.cursor()
            for pragma in pragmas:
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()
        except BaseException:
            connection.close()  # the pool does not know it yet, and it holds a thread
            raise


def probe(url: str) -> None:
    """Open and close a SQLite file: an open that fails in the asynchronous driver leaves a thread behind."""
    path = sqlite_path(parse_url(url))
    if path is not None:
        sqlite3.connect(path).close()


@contextmanager
def database_errors(url: str) -> Iterator[None]:
    """Turn whatever the database layer raises into one DatabaseError that says what to do."""
    try:
        yield
    except DBAPIError as error:
        raise DatabaseError(_explain(url, str(error.orig))) from error
    except (SQLAlchemyError, sqlite3.Error, OSError, TimeoutError) as error:
        raise DatabaseError(_explain(url, str(error) or type(error).__name__)) from error


def _explain(url: str, message: str) -> str:
    name = shown(url)
    for phrase, advice in _ADVICE:
        if phrase in message.lower():
            return f"database {name} {advice}"
    return f"database {name} failed ({message.splitlines()[0]}): check it with `doctor`, or give another --db"


def shown(url: str) -> str:
    """Return a database's name as a message may show it: a file's path, or its URL without the password."""
    parsed = parse_url(url)
    path = sqlite_path(parsed)
    return str(path) if path is not None else parsed.render_as_string(hide_password=True)


def migrate(url: str) -> str:
    """``migrate_async`` for callers without an event loop."""
    return asyncio.run(migrate_async(url))


async def migrate_async(url: str, *, busy_ms: int = BUSY_MS) -> str:
    """Bring the database to this program's schema and return its revision. Raises DatabaseError.

    A new SQLite file is made, with its directory.
    """
    with database_errors(url):
        path = sqlite_path(parse_url(url))
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        probe(url)
        engine = open_engine(url, busy_ms=busy_ms)
        try:
            async with engine.begin() as connection:
                return await connection.run_sync(_up_to_date, url)
        finally:
            await engine.dispose()


def _up_to_date(connection: Connection, url: str) -> str:
    revision = _revision(connection)
    if revision == newest_revision():
        return newest_revision()
    from storage.log.upgrade import upgrade  # Alembic starts here, where there is something to do

    return upgrade(connection, shown(url))


def _revision(connection: Connection) -> str | None:
    """The schema's revision as Alembic keeps it; None in a new database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


@cache
def newest_revision() -> str:
    """The newest schema of this program: migrations are files named after their revisions."""
    return max(file.name.partition("_")[0] for file in (_MIGRATIONS / "versions").glob("[0-9]*.py"))
