"""Engines, migrations and the one place where a database's failures become clear messages.

SQLite by default (WAL, so that other terminals read while a run writes), PostgreSQL by URL.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from agent.core.errors import DatabaseError, InputError
from agent.core.secret_url import DatabaseUrl
from storage.log.database_faults import NO_LOG, OLDER
from storage.log.postgres_connection import connector
from storage.log.schema import newest_revision, stored_revision

Url = DatabaseUrl | str
BUSY_MS = 5000
MIGRATION_MS = 60_000
"""How long one program waits for another that changes the schema, on a slow machine too."""
_WRITING = ["journal_mode=WAL", "synchronous=NORMAL", "wal_autocheckpoint=4000"]
"""Synced when the WAL is written back: at 16 MB, up to which SQLite looks a page up in one table of it."""
_MIGRATION_LOCK = 4_057_331_017  # any number that no other program of this database takes
_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}
_ADVICE = (  # what the driver says -> what it means and what to do
    ("locked", "is locked by another program: close that, or give another --db"),
    ("readonly", "is read-only: make it writable, or give another --db"),
    ("read-only transaction", "is read-only: make it writable, or give another --db"),
    ("not a database", "is not a database: give another --db"),
    ("malformed", "is corrupt: restore it, or give another --db (sessions can be replayed into a new one)"),
    (
        "unable to open",
        "cannot be opened: check that its directory exists and is writable, or give another --db",
    ),
    ("disk is full", "has no space left: free some, or give another --db"),
    (
        "rejected ssl upgrade",
        "offers no TLS: turn it on there, or leave `sslmode` out of the --db URL",
    ),
    (
        "mismatch, certificate is not valid",
        "has a certificate of another host: name that in the --db URL",
    ),
    (
        "certificate verify failed",
        "has a certificate that is not trusted: give its authority's as sslrootcert=FILE in the --db URL",
    ),
    ("no certificate or crl", "is given an `sslrootcert` that holds no certificate: give a PEM file"),
    (
        "values_mismatch",
        "is given an `sslcert` and an `sslkey` that are no pair: give PEM files of one",
    ),
    ("pem lib", "is given an `sslcert` or an `sslkey` that is no PEM file of its kind"),
    ("tls version", "cannot be reached: a TLS version of the --db URL is wrong, give TLSv1.2 or TLSv1.3"),
    ("cannot be changed now", "does not know an option of the --db URL: leave it out"),
    ("heartbeats", OLDER),  # the newest table
    ("no such table", NO_LOG),
    ("no such column", OLDER),
    ("column decisions.", OLDER),  # as PostgreSQL says it
    ("column commands.", OLDER),
    ("does not exist", "holds no execution log: create it and run the agent once, or give another --db"),
    ("password", "refuses the user or password: check the --db URL"),
    ("permission denied", "may not be used by this user: grant it the rights, or check the --db URL"),
    ("configuration parameter", "does not know an option of the --db URL: leave it out"),
    ("connect", "cannot be reached: start it, or check the --db URL"),
)


def parse_url(url: Url) -> URL:
    """Return ``url`` with the driver this program uses; a bare path means SQLite. Raises InputError."""
    given = DatabaseUrl.of(url)
    if "\0" in given.secret or not given.secret.strip():
        raise InputError(f"database {str(given)!r} names none: {_FORMS}")
    if "://" not in given.secret:
        return URL.create(_DRIVERS["sqlite"], database=_file_name(given.secret))
    try:
        parsed = make_url(given.secret)
    except (ArgumentError, ValueError) as error:
        raise InputError(f"database URL {str(given)!r} cannot be read: {_FORMS}") from error
    driver = _DRIVERS.get(parsed.get_backend_name())
    if driver is None:
        raise InputError(f"database {parsed.get_backend_name()!r} is not supported: {_FORMS}")
    _check_parts(parsed, given)
    return parsed.set(drivername=driver)


def _check_parts(parsed: URL, given: DatabaseUrl) -> None:
    """What the driver would take for something else, or ignore. Raises InputError."""
    if "@" in (parsed.host or ""):
        raise InputError(f"database URL {str(given)!r} has an @ in its password: write it %40 there")
    if parsed.get_backend_name() != "sqlite":
        return
    if parsed.host or parsed.username or parsed.port:
        raise InputError(f"database URL {str(given)!r} names a host: a SQLite file is sqlite:///PATH")
    if parsed.query and not (parsed.database or "").startswith("file:"):
        raise InputError(
            f"database URL {str(given)!r} has options ({', '.join(parsed.query)}): leave them out, SQLite"
            " takes none"
        )


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


def open_engine(url: Url, *, busy_ms: int = BUSY_MS, read_only: bool = False) -> AsyncEngine:
    """Return an engine for ``url``. A SQLite write waits ``busy_ms`` for other writers."""
    parsed = parse_url(url)
    pool = NullPool if read_only else None
    if parsed.get_backend_name() == "sqlite":
        try:
            at = _as_it_stands(parsed) if read_only else parsed
            engine = create_async_engine(at, poolclass=pool, json_deserializer=_json_or_text)
        except (ArgumentError, ValueError) as error:
            raise DatabaseError(f"database URL {shown(url)!r} cannot be used: {_FORMS}") from error
        _set_pragmas(engine, busy_ms, read_only)
        return engine
    creator = connector(parsed, shown(url))
    return create_async_engine(parsed.set(query={}), poolclass=pool, async_creator=creator)


def _as_it_stands(url: URL) -> URL:
    """How a SQLite file is read in a folder where nothing may be made: WAL would need a file beside it.

    Not while another program writes it; then those files are there.
    """
    path = sqlite_path(url)
    if path is None or Path(f"{path}-wal").exists():
        return url
    if os.access(path.parent, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        return url
    options = {"mode": "ro", "immutable": "1", "uri": "true"}
    return url.set(database=path.absolute().as_uri(), query=options)


def _json_or_text(text: str | bytes) -> object:
    """What a JSON column holds; SQLite keeps anything in it, which is shown as it is."""
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return text


def _set_pragmas(engine: AsyncEngine, busy_ms: int, read_only: bool) -> None:
    pragmas = [f"busy_timeout={busy_ms}", "foreign_keys=ON"]
    pragmas += ["query_only=ON"] if read_only else _WRITING

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


def probe(url: Url) -> None:
    """Open and close a SQLite file: an open that fails in the asynchronous driver leaves a thread behind."""
    path = sqlite_path(parse_url(url))
    if path is not None:
        sqlite3.connect(path).close()


def _make_file(path: Path) -> None:
    """Make a new SQLite file that only its owner may read; SQLite gives its other files the same rights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def check_there(url: Url) -> None:
    """Raise DatabaseError where there is no SQLite file to look into: opening it would make one."""
    path = sqlite_path(parse_url(url))
    if path is not None and not path.is_file():
        raise DatabaseError(f"no execution log at {path}: run the agent once, or give another --db")
    with database_errors(url):
        probe(url)


@contextmanager
def database_errors(url: Url) -> Iterator[None]:
    """Turn whatever the database layer raises into one DatabaseError that says what to do."""
    try:
        yield
    except DBAPIError as error:
        raise DatabaseError(_explain(url, str(error.orig))) from error
    except UnicodeDecodeError as error:  # names of tables and columns that are no text
        raise DatabaseError(_explain(url, "malformed")) from error
    except (SQLAlchemyError, sqlite3.Error, OSError, TimeoutError) as error:
        raise DatabaseError(_explain(url, str(error) or type(error).__name__)) from error


def _explain(url: Url, message: str) -> str:
    name = shown(url)
    for phrase, advice in _ADVICE:
        if phrase in message.lower():
            return f"database {name} {advice}"
    return f"database {name} failed ({message.splitlines()[0]}): check it with `doctor`, or give another --db"


def shown(url: Url) -> str:
    """Return a database's name as a message may show it: a file's path, or its URL without the password."""
    given = DatabaseUrl.of(url)
    path = sqlite_path(parse_url(given))
    return str(path) if path is not None else str(given)


async def _revision(url: Url) -> str | None:
    engine = open_engine(url, read_only=True)
    try:
        with database_errors(url):
            async with engine.connect() as connection:
                return await connection.run_sync(stored_revision)
    finally:
        await engine.dispose()


def revision(url: Url) -> str | None:
    """The schema that a database has; None for one without an execution log. Raises DatabaseError."""
    check_there(url)
    return asyncio.run(_revision(url))


def migrate(url: Url) -> str:
    """``migrate_async`` for callers without an event loop."""
    return asyncio.run(migrate_async(url))


async def migrate_async(url: Url, *, busy_ms: int = BUSY_MS) -> str:
    """Bring the database to this program's schema and return its revision. Raises DatabaseError.

    A new SQLite file is made, with its directory.
    """
    with database_errors(url):
        path = sqlite_path(parse_url(url))
        if path is not None:
            _make_file(path)
        probe(url)
        engine = open_engine(url, busy_ms=busy_ms)
        try:
            async with engine.begin() as connection:
                return await connection.run_sync(_up_to_date, url)
        finally:
            await engine.dispose()


def _up_to_date(connection: Connection, url: Url) -> str:
    """Its schema's revision, after the migrations it lacked; one program at a time runs them."""
    if stored_revision(connection) == newest_revision():
        return newest_revision()
    _lock(connection)
    if stored_revision(connection) == newest_revision():
        return newest_revision()  # another program ran them while this one waited
    from storage.log.upgrade import upgrade  # Alembic starts here, where there is something to do

    return upgrade(connection, shown(url))


def _lock(connection: Connection) -> None:
    """Wait for other programs that change the schema, and keep them out until this transaction ends."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA busy_timeout={MIGRATION_MS}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
