"""What the execution log promises, kept by SQLite and by a real PostgreSQL server alike.

Opened first by several at once: ``tests/integration/test_first_use.py``. In the middle of a real order:
``test_database_trouble.py`` and ``test_postgres_trouble.py`` there.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import URL

from agent.core.errors import DatabaseError, InputError, InternalError
from agent.core.events import AuditEvent, ChildFilled, CommandHandled, CommandKind
from agent.core.orders.amendments import Amendment
from storage.log import kept_log
from storage.log.control.heartbeat import Heartbeat
from storage.log.database import migrate_async, newest_revision, open_engine
from storage.log.kept_log import KeptLog, Pauses
from storage.log.queries import query, sql
from tests.contract.log_databases import (
    asked,
    downgrade,
    end_connections,
    execute,
    held,
    in_order,
    opened,
    stored,
)
from tests.fakes import leave
from tests.integration.test_storage import EVENTS, FILL, T, _write, differences

QUICK = Pauses(0.02, 0.05)
ORDERS = EVENTS[1:] + EVENTS[:1]  # what a row refers to stands before it
MORE_AVERSE: Amendment = {"risk_aversion": 2.0}
ODD_COMMAND = (
    "INSERT INTO commands (session, seq, command_id, kind, amend, created_ns)"
    f" VALUES ('s1', 0, 'odd', 'dance', '{{}}', {T})"
)
ADDED = {  # since the first schema
    *("attention", "turns_at_bps", "impact_ticks", "impact_bps", "displacement_bps", "fee_amount"),
    *("flags", "reasons"),
}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'agent.db'}"
    return str(request.getfixturevalue("postgres").render_as_string(hide_password=False))


def fills(count: int, first: int = 0, *, at_ns: int = T) -> list[AuditEvent]:
    """Fills of the child that ``ORDERS`` has, each caused by the input of its number."""
    return [
        dataclasses.replace(FILL, fill_id=f"s1-p1/0/1/{n:05}", seq=n, fill_ns=at_ns, at_ns=at_ns + n)
        for n in range(first, first + count)
    ]


async def test_a_session_is_opened_written_and_closed(url: str) -> None:
    """Exact numbers as text, unknown ones null, JSON as JSON; the session closed with its last input."""
    async with opened(url) as log:
        await log.write(EVENTS)
        assert await log.holds_session()
        await log.close_session(closed_ns=T + 99, seq=42)
    found = await stored(url)
    (session,) = found["sessions"]
    assert (session["state"], session["closed_ns"], session["seq"], session["config"]) == (
        "closed",
        T + 99,
        42,
        {},
    )
    (fill,) = found["fills"]
    assert (fill["price"], fill["fee_amount"], fill["impact_ticks"]) == ("61500.01", "0.00050000", 3)
    assert (fill["maker"], fill["near_gap"]) == (False, False)
    (decision,) = found["decisions"]
    assert (decision["share"], decision["market_mid"]) == (0.25, None)
    assert {name: len(rows) for name, rows in found.items() if rows} == {
        "sessions": 1, "instruments": 1, "parent_orders": 2, "decisions": 1, "child_orders": 1, "fills": 1,
        "slippage": 2, "risk_refusals": 1, "gaps": 2,
    }  # fmt: skip


async def test_writing_again_changes_nothing(url: str) -> None:
    """A resumed run writes what it replays: one by one, at once, and from another connection."""
    for _ in range(2):
        await _write(url, EVENTS)
    before = await stored(url)
    async with opened(url) as log:
        for event in ORDERS:
            await log.write([event])
    after = await stored(url)
    assert after == before
    assert before["balances"]


async def test_a_later_state_replaces_an_earlier_one(url: str) -> None:
    """In one batch, and in one of its own; rows that are many enough to be copied in too."""
    async with opened(url) as log:
        await log.write(ORDERS)
        await log.write(fills(3000))
        later = [
            dataclasses.replace(e, fee_currency="USDT") for e in fills(3000) if isinstance(e, ChildFilled)
        ]
        await log.write([*later, *later[:10]])
    found = await asked(url, "SELECT fee_currency, count(*) FROM fills GROUP BY 1 ORDER BY 1")
    assert found == [("BTC", 1), ("USDT", 3000)]


def _in_quote(events: Sequence[AuditEvent]) -> list[AuditEvent]:
    """The same fills, their fee in another currency."""
    return [dataclasses.replace(e, fee_currency="USDT") for e in events if isinstance(e, ChildFilled)]


async def test_a_batch_is_stored_whole_or_not_at_all(url: str) -> None:
    """A row that refers to nothing takes its batch with it, of few rows and of many; the log goes on."""
    orphan = dataclasses.replace(FILL, child_id="nobody", fill_id="nobody/1")
    async with opened(url) as log:
        await log.write(ORDERS)
        for batch in (fills(3), fills(3000)):
            with pytest.raises(DatabaseError, match=r"(?i)foreign key"):
                await log.write([*batch, orphan])
            assert await asked(url, "SELECT count(*) FROM fills") == [(1,)]
        await log.write(fills(3))
    assert await asked(url, "SELECT count(*) FROM fills") == [(4,)]


async def test_an_event_that_makes_no_row_takes_its_batch_with_it(url: str) -> None:
    """Rows are made while the database takes them: what cannot be made ends that, and the log goes on."""
    unknown = dataclasses.replace(FILL, instrument=9, fill_id="unknown/1")
    async with opened(url) as log:
        await log.write(ORDERS)
        for batch in (fills(3), fills(3000)):
            with pytest.raises(InternalError, match="instrument 9 is not in the log"):
                await log.write([*batch, unknown])
            assert await asked(url, "SELECT count(*) FROM fills") == [(1,)]
        await log.write(fills(3000))
    assert await asked(url, "SELECT count(*) FROM fills") == [(3001,)]


async def test_what_happened_at_one_time_has_an_order(url: str) -> None:
    """By session, then input, then name: the latest of many at the same nanosecond are the same each time."""
    for session in ("s2", "s1"):
        async with opened(url, session) as log:
            await log.write([*ORDERS[:-1], *reversed(fills(40))])
    for what, limit in (("fills", None), ("fills", 50), ("children", 1), ("decisions", 1), ("gaps", 3)):
        rows = (await asyncio.to_thread(query, url, what, limit=limit)).dicts()
        keys = [(row["session"], row["seq"]) for row in rows]
        when = [row.get("fill_ns", row.get("sent_ns", row.get("asked_ns", row.get("at_ns")))) for row in rows]
        assert [key for _, key in sorted(zip(when, keys, strict=True))] == keys
        assert keys[-1][0] == "s2"
        assert limit is None or len(rows) == limit


async def test_commands_come_oldest_first_until_they_are_handled(url: str) -> None:
    """Of one moment by their ids; what is no command is refused in its row; another session's do not come."""
    async with opened(url, "s2"), opened(url) as log:
        await log.write(ORDERS[:1])
        await leave(url, "s1", "c3", CommandKind.PAUSE, created_ns=T + 1)
        await leave(
            url,
            "s1",
            "c2",
            CommandKind.AMEND,
            created_ns=T + 1,
            parent_id="s1-p1",
            amend={"risk_aversion": 2.0},
        )
        await leave(url, "s1", "c1", CommandKind.RESUME, created_ns=T + 2)
        await leave(url, "s2", "c0", CommandKind.KILL, created_ns=T)
        await execute(url, ODD_COMMAND)
        waiting = await log.pending_commands()
        assert [(c.command_id, c.amend) for c in waiting] == [
            ("c2", {"risk_aversion": 2.0}),
            ("c3", {}),
            ("c1", {}),
        ]
        await log.write([CommandHandled(T + 5, 5, "c3", CommandKind.PAUSE, None, "done", ("s1-p1",))])
        assert [c.command_id for c in await log.pending_commands()] == ["c2", "c1"]
        await log.withdraw_commands("withdrawn: over")
        assert await log.pending_commands() == []
    found = await asked(
        url, "SELECT command_id, outcome, created_ns FROM commands WHERE session = 's1' ORDER BY 1"
    )
    assert [row[0] for row in found] == ["c1", "c2", "c3", "odd"]
    assert [row[1] for row in found][:3] == ["withdrawn: over", "withdrawn: over", "done"]
    assert str(found[3][1]).startswith("refused: kind b'dance' is not known")
    assert found[2][2] == T + 1  # as its user wrote it


async def test_a_heartbeat_counts_up(url: str) -> None:
    """One row a session, whatever number of beats, and none lost to a database that was locked meanwhile."""
    async with opened(url):
        heart = Heartbeat(url, "s1", lambda: T)
        for _ in range(3):
            await heart.beat()
        await heart.stop()
    assert await asked(url, "SELECT session, counter, beat_ns FROM heartbeats") == [("s1", 3, T)]


async def test_many_write_at_once(url: str) -> None:
    """Six sessions, a batch at a time, with heartbeats and commands between: every row of each is there."""

    async def one(session: str) -> None:
        async with opened(url, session, busy_ms=60_000) as log:  # SQLite lets nobody wait in turn
            heart = Heartbeat(url, session, lambda: T)
            await log.write(ORDERS[:-1])
            for first in range(0, 600, 150):
                await log.write(fills(150, first))
                await heart.beat()
                assert await log.pending_commands() == []
            await heart.stop()

    await asyncio.gather(*(one(f"s{n}") for n in range(6)))
    found = await asked(url, "SELECT session, count(*) FROM fills GROUP BY 1 ORDER BY 1")
    assert found == [(f"s{n}", 600) for n in range(6)]
    assert await asked(url, "SELECT session, counter FROM heartbeats ORDER BY 1") == [
        (f"s{n}", 4) for n in range(6)
    ]


async def test_connections_that_are_lost_cost_no_row_and_no_order(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken again and again while an order is written: at every look the rows are a beginning of all."""
    monkeypatch.setattr(kept_log, "BATCH_EVENTS", 7)
    events, looks = fills(400), []
    async with opened(url, busy_ms=20) as stored_log:
        await stored_log.write(ORDERS[:-1])
        log = KeptLog(stored_log, pauses=QUICK)
        await log.open(opened_ns=T)
        for first in range(0, len(events), 40):
            log.take(events[first : first + 40])
            await end_connections(url)
            looks.append([int(row[0]) for row in await asked(url, "SELECT seq FROM fills")])
        end = await log.finish(closed_ns=T + 9, seq=9, state="closed")
    assert end.in_line, end
    assert all(in_order(seen) for seen in looks)
    assert any(0 < len(seen) < 400 for seen in looks)
    assert in_order([row[0] for row in await asked(url, "SELECT seq FROM fills")])
    assert await asked(url, "SELECT count(*) FROM fills") == [(400,)]


async def test_a_database_locked_for_long_is_told_and_caught_up_with(url: str) -> None:
    """A lock is waited for within a bound; what waits is stored when it goes."""
    async with opened(url, busy_ms=20) as stored_log:
        log = KeptLog(stored_log, pauses=QUICK)
        await log.open(opened_ns=T)
        async with held(url):
            log.take(ORDERS)
            await asyncio.sleep(0.3)
            assert len(log._kept) == len(ORDERS)
        end = await log.finish(closed_ns=T + 9, seq=9, state="closed")
    assert end.in_line, end
    assert await asked(url, "SELECT count(*) FROM slippage") == [(2,)]


async def test_an_older_schema_is_told_and_brought_up_to_date(url: str) -> None:
    """Of every revision: reading it says what to do, writing migrates it; rows stay, new columns are null."""
    await _write(url, EVENTS)
    whole = await stored(url)
    await downgrade(url, "0001")
    with pytest.raises(DatabaseError, match="has an older schema"):
        await asyncio.to_thread(query, url, "decisions")
    assert await migrate_async(url) == newest_revision()
    after = await stored(url)
    for table, rows in whole.items():
        assert after[table] == [{k: None if k in ADDED else v for k, v in row.items()} for row in rows], table
    await _write(url, EVENTS)  # what was lost comes back with the same events
    assert await stored(url) == whole


async def test_a_newer_schema_is_left_alone(url: str) -> None:
    """A database of a later program is refused, and not changed."""
    await migrate_async(url)
    await execute(url, "UPDATE alembic_version SET version_num = '0999'")
    with pytest.raises(DatabaseError, match=f"has schema 0999, newer than {newest_revision()}"):
        await _write(url, EVENTS)
    assert await asked(url, "SELECT version_num FROM alembic_version") == [("0999",)]
    assert await asked(url, "SELECT count(*) FROM sessions") == [(0,)]


KILLED = """
import os, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from storage.log.database import migrate

seen = []

@event.listens_for(Engine, "after_cursor_execute")
def _executed(connection, cursor, statement, *_):
    if statement.split()[0] in ("CREATE", "ALTER", "DROP", "UPDATE", "INSERT"):
        seen.append(statement)
    if len(seen) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

migrate(sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("statements", [1, 9, 31])
async def test_a_migration_that_is_interrupted_leaves_nothing_half_done(url: str, statements: int) -> None:
    """Killed after so many statements, new or with rows: it is as it was, and the next one does it all."""
    for older in (False, True):
        if older:
            await _write(url, EVENTS)
            whole = await stored(url)
            await downgrade(url, "0001")
        killed = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", KILLED, url, str(min(statements, 9 if older else 31))],
            check=False,
        )
        assert killed.returncode == -9
        if older:
            assert await asked(url, "SELECT version_num FROM alembic_version") == [("0001",)]
        assert await migrate_async(url) == newest_revision()
        assert await _differences(url) == []
    await _write(url, EVENTS)
    assert await stored(url) == whole


async def _differences(url: str) -> list[object]:
    """What the schema lacks of the typed tables, or has besides."""
    engine = open_engine(url)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(differences)
    finally:
        await engine.dispose()


async def test_users_sql_only_reads(url: str) -> None:
    """Whatever would write is refused, as are mistakes; views give numbers and ISO times."""
    await _write(url, EVENTS)

    def refused(statement: str) -> None:
        with pytest.raises(InputError, match="refused"):
            sql(url, statement)

    for statement in (
        "DELETE FROM fills",
        "WITH x AS (SELECT 1) DELETE FROM fills",
        "SELECT nonsense FROM fills",
    ):
        await asyncio.to_thread(refused, statement)
    assert await asked(url, "SELECT parent_id, started_at FROM v_parents WHERE avg_price > 61500") == [
        ("s1-p1", "2023-11-14T22:13:20.000000001Z")
    ]
    assert await asked(url, "SELECT shadow_algo, diff_arrival_bps FROM v_shadows") == [("twap", 0.5)]
    assert await asked(url, "SELECT impact_ticks, count(*) FROM v_fills GROUP BY 1") == [(3, 1)]


@contextmanager
def _as_nobody() -> Iterator[None]:
    """Root may write anywhere; this user nowhere but in its own."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights are of another kind here")
def test_a_file_in_a_folder_that_may_only_be_read() -> None:
    """A copy on another medium, or of another user's: it answers queries, and is told as read-only else."""
    with TemporaryDirectory() as made:
        folder = Path(made)
        url = f"sqlite:///{folder / 'a log.db'}"
        asyncio.run(_write(url, EVENTS))
        folder.chmod(0o755)
        (folder / "a log.db").chmod(0o444)
        folder.chmod(0o555)
        try:
            with _as_nobody():
                assert len(query(url, "fills").rows) == 1
                assert sql(url, "SELECT count(*) FROM v_fills").rows == [(1,)]
                with pytest.raises(DatabaseError, match="is read-only: make it writable"):
                    asyncio.run(_write(url, EVENTS))
        finally:
            folder.chmod(0o755)


@pytest.mark.slow
async def test_the_two_databases_hold_the_same_rows(tmp_path: Path, postgres: URL) -> None:
    """Value for value, in every table and by every view."""
    server = postgres.render_as_string(hide_password=False)
    file = str(tmp_path / "agent.db")
    for url in (server, file):
        await _write(url, [*EVENTS, *fills(3000)])
    assert await stored(server) == await stored(file)
