"""What happens to a PostgreSQL database, or on the way to it, harms no order and loses no row.

As ``test_database_trouble.py``, on a real server that the tests start.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import URL, make_url

from agent.app.live.run_views import LiveResult
from agent.app.log_in_line import bring_in_line
from storage.log import kept_log
from storage.log.queries import sql
from storage.log.stored_replay import StoredEvents
from tests.contract.test_log_contract import ORDERS, fills
from tests.integration.tcp_proxy import TcpProxy
from tests.integration.test_storage import BTC, T
from tests.integration.worked_order import in_line, unharmed, worked
from tests.postgres_server import MISSING, PostgresServer, programs, served

pytestmark = pytest.mark.slow
LOCKED = "LOCK TABLE sessions, commands, parent_orders, child_orders, fills IN ACCESS EXCLUSIVE MODE"
OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"
)
FULL = """
CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger AS
$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$
LANGUAGE plpgsql;
CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON child_orders EXECUTE FUNCTION full_disk();
"""


def _dsn(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture
def server(postgres: URL) -> URL:
    """A database of this test's own."""
    return postgres


@pytest.fixture
async def link(server: URL) -> AsyncIterator[TcpProxy]:
    """The way to the server."""
    proxy = TcpProxy(server.host or "127.0.0.1", server.port or 5432)
    await proxy.start()
    yield proxy
    await proxy.stop()


async def prove(server: URL, folder: Path, trouble: Callable[[], Awaitable[None]], seconds: int) -> None:
    result = await worked(folder, _dsn(server), trouble, seconds)
    await whole(result, server)


async def whole(result: LiveResult, server: URL) -> None:
    unharmed(result)
    assert result.database.in_line
    await asyncio.to_thread(in_line, result.path, _dsn(server))


async def test_tables_locked_for_twelve_seconds(server: URL, tmp_path: Path) -> None:
    """The order goes on, no trade is stamped late, and every row is there in the end."""

    async def locked() -> None:
        other = await asyncpg.connect(_dsn(server))
        async with other.transaction():
            await other.execute(LOCKED)
            await asyncio.sleep(12)
        await other.close()

    await prove(server, tmp_path, locked, 16)


async def test_connections_ended_by_an_administrator(server: URL, tmp_path: Path) -> None:
    """Every connection of the run is ended, three times."""

    async def ended() -> None:
        other = await asyncpg.connect(_dsn(server))
        for _ in range(3):
            assert await other.fetch(OTHERS, server.database)
            await asyncio.sleep(1)
        await other.close()

    await prove(server, tmp_path, ended, 8)


async def test_a_full_disk_with_room_again(server: URL, tmp_path: Path) -> None:
    """The server refuses rows as one that is full does; then there is room again."""

    async def full() -> None:
        other = await asyncpg.connect(_dsn(server))
        await other.execute(FULL)
        await asyncio.sleep(4)
        await other.execute("DROP TRIGGER full_disk ON child_orders")
        await other.close()

    await prove(server, tmp_path, full, 8)


async def test_a_server_gone_and_back(server: URL, link: TcpProxy, tmp_path: Path) -> None:
    """Connections break, new ones are refused for five seconds, and then it is there again."""

    async def away() -> None:
        await link.stop()
        await asyncio.sleep(5)
        await link.start()

    result = await worked(tmp_path, _dsn(server.set(host="127.0.0.1", port=link.port)), away, 8)
    await whole(result, server)


async def test_a_link_of_three_hundred_milliseconds(server: URL, link: TcpProxy, tmp_path: Path) -> None:
    """A round trip of 300 ms delays no step; the end waits for the rows."""
    link._delay_s = 0.15

    async def nothing() -> None:
        await asyncio.sleep(0)

    result = await worked(tmp_path, _dsn(server.set(host="127.0.0.1", port=link.port)), nothing, 8)
    await whole(result, server)


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that nobody else uses, so that it may be stopped."""
    at = programs()
    if at is None:
        pytest.skip(MISSING)
    with served(at) as server:
        server.initialise()
        server.start()
        yield server


async def test_a_server_that_stands_still_for_a_minute(own_server: PostgresServer, tmp_path: Path) -> None:
    """Every process of it is stopped (SIGSTOP): connections stay, nothing answers; then it goes on."""

    async def frozen() -> None:
        own_server.freeze()
        await asyncio.sleep(60)
        own_server.go_on()

    result = await worked(tmp_path, own_server.url, frozen, 70)
    await whole(result, make_url(own_server.url))


async def test_a_server_that_is_stopped_for_a_minute(own_server: PostgresServer, tmp_path: Path) -> None:
    """Its processes end at once, as with the power, and it recovers when it is started again."""

    async def stopped() -> None:
        await asyncio.to_thread(own_server.stop)
        await asyncio.sleep(60)
        await asyncio.to_thread(own_server.start)

    result = await worked(tmp_path, own_server.url, stopped, 70)
    await whole(result, make_url(own_server.url))


async def test_locks_ended_connections_and_a_long_link_at_once(
    server: URL, link: TcpProxy, tmp_path: Path
) -> None:
    """Tables locked over a link of 300 ms whose connections are ended meanwhile."""
    link._delay_s = 0.15

    async def all_of_it() -> None:
        other, killer = [await asyncpg.connect(_dsn(server)) for _ in range(2)]
        async with other.transaction():
            await other.execute(LOCKED)
            for _ in range(3):
                await asyncio.sleep(2)
                mine = await other.fetchval("SELECT pg_backend_pid()")
                await killer.fetch(f"{OTHERS} AND pid <> {mine}", server.database)
        await other.close()
        await killer.close()

    result = await worked(tmp_path, _dsn(server.set(host="127.0.0.1", port=link.port)), all_of_it, 12)
    await whole(result, server)


async def test_a_server_gone_for_good(
    server: URL, link: TcpProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run succeeds by its order and says what is missing; the recording brings the database in line."""
    monkeypatch.setattr(kept_log, "FINISH_S", 2.0)
    result = await worked(tmp_path, _dsn(server.set(host="127.0.0.1", port=link.port)), link.stop, 6)
    unharmed(result)
    assert result.succeeded
    assert not result.database.in_line
    assert "cannot be reached" in result.database.reason
    assert result.database.missing > 0
    for _ in range(2):  # again changes nothing
        await asyncio.to_thread(bring_in_line, result.path, _dsn(server))
        await asyncio.to_thread(in_line, result.path, _dsn(server))


def test_a_finished_replay_outlasts_a_crash(own_server: PostgresServer) -> None:
    """Its batches are not synced, its end is. The server ends at once: what it had not written is lost."""
    own_server.stop()
    own_server.start(wal_writer_delay="10000")  # ms; by itself it writes nothing meanwhile
    with StoredEvents(own_server.url, "s1", [BTC], {"opened_ns": T, "mode": "replay"}) as rows:
        rows.add([*ORDERS, *fills(3000)])
        rows.finish(T + 9, 3000)
        own_server.stop()
        own_server.start()
    found = sql(own_server.url, "SELECT state, (SELECT count(*) FROM fills) FROM sessions").rows
    assert found == [("closed", 3001)]
