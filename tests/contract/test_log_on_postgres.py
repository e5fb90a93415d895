"""What the execution log meets on PostgreSQL alone: a pooler, a replica that may only be read, TLS."""

from __future__ import annotations

import asyncio
import gc
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import URL, make_url

from agent.core.errors import DatabaseError
from agent.core.events import CommandHandled, CommandKind
from agent.core.types import ChildState
from connectors.embedded.tls import make_certificates
from storage.log.control.heartbeat import Heartbeat
from storage.log.database import migrate, newest_revision
from storage.log.queries import SUBJECTS, query, sql, status
from tests.contract.log_databases import asked, opened, stored
from tests.contract.pooler import pgbouncer, pooled
from tests.contract.test_log_contract import ORDERS, fills
from tests.fakes import leave
from tests.integration.test_storage import EVENTS, FILL, T, _child, _write
from tests.patience import PATIENCE_S
from tests.postgres_server import MISSING, PostgresServer, on_server, programs, served

pytestmark = pytest.mark.slow


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@pytest.fixture
def pool(postgres: URL) -> Iterator[str]:
    """A database behind a pooler that gives every transaction another connection."""
    program = pgbouncer()
    if program is None:
        pytest.skip("pgbouncer is not installed (Debian: apt-get install pgbouncer)")
    with pooled(postgres, program) as url:
        yield _text(url)


WRITER = """
import asyncio, sys
from tests.contract.log_databases import opened
from tests.contract.test_log_contract import ORDERS, fills

async def main(url, session):
    async with opened(url, session) as log:
        await log.write(ORDERS)
        for first in range(0, 400, 10):
            await log.write(fills(10, first))

asyncio.run(main(*sys.argv[1:]))
"""


def test_programs_behind_a_pooler(pool: str) -> None:
    """Three that number their statements alike share connections: none finds another's name taken."""
    migrate(pool)
    argv = [sys.executable, "-c", WRITER, pool]
    programs = [
        subprocess.Popen([*argv, name], stderr=subprocess.PIPE, text=True) for name in ("a", "b", "c")
    ]
    assert [program.communicate(timeout=PATIENCE_S)[1] for program in programs] == ["", "", ""]
    assert sql(pool, "SELECT session, count(*) FROM fills GROUP BY 1 ORDER BY 1").rows == [
        ("a", 401), ("b", 401), ("c", 401),
    ]  # fmt: skip


async def test_behind_a_pooler_of_transactions(pool: str, postgres: URL) -> None:
    """Twelve sessions over three connections: migrations, writing, copying, commands, heartbeats, queries."""
    await asyncio.to_thread(migrate, pool)

    async def one(session: str) -> None:
        async with opened(pool, session) as log:
            heart = Heartbeat(pool, session, lambda: T)
            await log.write(ORDERS)
            for first in range(0, 3000, 1500):
                await log.write(fills(1500, first))
                await heart.beat()
            for first in range(3000, 3200, 20):
                await log.write(fills(20, first))
            await leave(pool, session, "c1", CommandKind.PAUSE, created_ns=T)
            assert [c.command_id for c in await log.pending_commands()] == ["c1"]
            await log.write([CommandHandled(T + 5, 5, "c1", CommandKind.PAUSE, None, "done", ())])
            await heart.stop()

    names = [f"s{n:02}" for n in range(12)]
    await asyncio.gather(*(one(name) for name in names))
    there = _text(postgres)
    assert await asked(there, "SELECT session, count(*) FROM fills GROUP BY 1 ORDER BY 1") == [
        (name, 3201) for name in names
    ]
    for what in SUBJECTS:
        rows = await asyncio.to_thread(query, pool, what, limit=100)
        assert rows == await asyncio.to_thread(query, there, what, limit=100)
    assert (await asyncio.to_thread(status, pool, names)).rows == []


async def test_a_replay_of_many_children_is_replaced_by_their_keys(postgres: URL) -> None:
    """Though the server knows nothing of the session yet: without an index this takes half a minute."""
    url, count = _text(postgres), 20_000
    children = [replace(_child(ChildState.OPEN, n), child_id=f"s1-p1/{n}") for n in range(count)]
    filled = [replace(FILL, seq=n, child_id=f"s1-p1/{n}", fill_id=f"s1-p1/{n}/1") for n in range(count)]
    async with opened(url, "other") as log:
        await log.write([ORDERS[0], *children[:2000], *filled[:2000]])
    await asyncio.to_thread(on_server, url, "ANALYZE")
    async with opened(url) as log:
        await log.write([ORDERS[0], *children, *filled])
        start = time.monotonic()
        assert await log.open_session(opened_ns=T, mode="paper", replace=True)
        assert time.monotonic() - start < 8
    assert await asked(url, "SELECT session, count(*) FROM fills GROUP BY 1") == [("other", 2000)]


@dataclass
class Replica:
    primary: str
    url: str


@pytest.fixture
def replica(postgres_server: PostgresServer, postgres: URL) -> Iterator[Replica]:
    """A server that follows the other, and may only be read."""
    at = programs()
    assert at is not None
    with served(at) as follower:
        follower.copy_of(postgres_server)
        follower.start()
        yield Replica(_text(postgres), _text(make_url(follower.url).set(database=postgres.database)))


async def test_a_replica_answers_and_takes_nothing(replica: Replica) -> None:
    """Queries, status and users' SQL read it; what would write says that it is read-only."""
    await _write(replica.primary, EVENTS)
    await _caught_up(replica)
    assert await stored(replica.url) == await stored(replica.primary)
    assert [r["parent_id"] for r in (await asyncio.to_thread(query, replica.url, "parents")).dicts()] == [
        "s1-p1"
    ]
    assert (await asyncio.to_thread(status, replica.url, ["s1"])).rows == []
    with pytest.raises(DatabaseError, match="is read-only: make it writable, or give another --db"):
        await _write(replica.url, EVENTS)


async def test_a_replica_with_an_older_schema_is_told(replica: Replica) -> None:
    """It cannot be brought up to date where it is: said, and nothing is tried but that."""
    with pytest.raises(DatabaseError, match="is read-only"):
        await asyncio.to_thread(migrate, replica.url)
    with pytest.raises(DatabaseError, match="holds no execution log"):
        await asyncio.to_thread(query, replica.url, "fills")


async def _caught_up(replica: Replica) -> None:
    primary, follower = await asyncpg.connect(replica.primary), await asyncpg.connect(replica.url)
    try:
        wanted = await primary.fetchval("SELECT pg_current_wal_lsn()")
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if await follower.fetchval("SELECT pg_last_wal_replay_lsn() >= $1", wanted):
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the replica did not catch up")
    finally:
        await primary.close()
        await follower.close()


@dataclass
class Encrypted:
    """A server with TLS: its URL, the authority of its certificate, and another authority."""

    url: str
    authority: Path
    other: Path
    key: Path


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    at = programs()
    if at is None:
        pytest.skip(MISSING)
    with served(at) as server:
        server.initialise()
        own = make_certificates(server.data, time.time_ns())
        other = make_certificates(tmp_path_factory.mktemp("other"), time.time_ns())
        owner = server.data.stat().st_uid
        for file in (own.cert_file, own.key_file):
            shutil.chown(file, owner)
        both = "127.0.0.1,127.0.0.2"  # the certificate is of the first
        server.start(
            listen_addresses=both, ssl="on", ssl_cert_file=str(own.cert_file), ssl_key_file=str(own.key_file)
        )
        yield Encrypted(server.url, own.ca_file, other.ca_file, own.key_file)


@pytest.mark.parametrize(
    "options", ["require", "prefer", "verify-ca&sslrootcert={ca}", "verify-full&sslrootcert={ca}"]
)
async def test_tls_by_the_url(encrypted: Encrypted, options: str) -> None:
    """Every mode that asks for it gets an encrypted connection, for writing and for reading."""
    url = f"{encrypted.url}?sslmode={options.format(ca=encrypted.authority)}"
    assert await asyncio.to_thread(migrate, url) == newest_revision()
    assert await asked(url, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [(True,)]


async def test_no_tls_by_the_url(encrypted: Encrypted) -> None:
    """`disable` means it, whatever files are named."""
    url = f"{encrypted.url}?sslmode=disable&sslrootcert=/nowhere"
    assert await asked(url, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [(False,)]


WRONG = {
    "sslmode=nonsense": "sslmode 'nonsense' is none of disable, allow, prefer, require",
    "sslmode=verify-full&sslrootcert=/nowhere/ca.pem": "sslrootcert '/nowhere/ca.pem' is no file: give a PEM",
    "sslmode=require&sslcert=/nowhere/me.pem": "sslcert '/nowhere/me.pem' is no file",
    "sslmode=verify-full&sslrootcert={other}": "certificate that is not trusted: give its authority's",
    "sslmode=verify-full&sslrootcert={key}": "an `sslrootcert` that holds no certificate",
    "sslmode=require&sslcert={ca}&sslkey={key}": "an `sslcert` and an `sslkey` that are no pair",
    "sslmode=require&ssl_min_protocol_version=TLSv9": "a TLS version of the --db URL is wrong",
    "ssl=true": "does not know an option of the --db URL: leave it out",
}


@contextmanager
def _told(words: str) -> Iterator[None]:
    """A message with these words; the driver leaves the socket of a failed handshake to be collected."""
    with pytest.raises(DatabaseError) as told:
        yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        told.value.__traceback__ = told.value.__cause__ = None
        gc.collect()
    assert words in str(told.value)


@pytest.mark.parametrize("options", WRONG)
def test_wrong_tls_options_are_named(encrypted: Encrypted, options: str) -> None:
    """What is wrong, and what to give."""
    files = {"ca": encrypted.authority, "other": encrypted.other, "key": encrypted.key}
    with _told(WRONG[options]):
        migrate(f"{encrypted.url}?{options.format(**files)}")


def test_tls_for_another_host(encrypted: Encrypted) -> None:
    """A certificate that is not of the host in the URL."""
    url = encrypted.url.replace("127.0.0.1", "127.0.0.2")
    with _told("has a certificate of another host"):
        migrate(f"{url}?sslmode=verify-full&sslrootcert={encrypted.authority}")


def test_tls_of_a_server_without_it(postgres: URL) -> None:
    """Told as that, and no connection is made."""
    with _told("offers no TLS: turn it on there, or leave `sslmode` out"):
        migrate(f"{_text(postgres)}?sslmode=require")


def test_an_authority_that_is_given_nowhere(
    postgres: URL, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the driver would say that a file in the home folder is not there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(DatabaseError, match=r"sslmode=verify-full needs the certificate .* sslrootcert=FILE"):
        migrate(f"{_text(postgres)}?sslmode=verify-full")
