"""Whatever stands in ``commands``: taking commands never raises, and each row is a command or refused."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core.events import CommandKind, ControlParent
from agent.core.orders.amendments import amendment_fault
from agent.journal import command_entry, commands
from storage.log.database import migrate
from storage.log.execution_log import SqlExecutionLog
from storage.recordings.session import SessionHeader, SessionReader, SessionWriter

COLUMNS = "command_id, kind, parent_id, amend, created_ns"
anything = st.one_of(
    st.none(), st.binary(max_size=30), st.text(max_size=30), st.integers(-(2**63), 2**63 - 1), st.floats()
)
kinds = st.one_of(st.sampled_from([*CommandKind]).map(str), anything)
amends = st.one_of(
    anything,
    st.sampled_from(
        [
            '{"limit_price_ticks": 5}',
            '{"limit_price_ticks": 1e999}',
            '{"risk_aversion": NaN}',
            '{"participation_cap": 0.1, "participation_cap": "\\ud800"}',
            '{"a": ' * 2000,
            "[" * 100_000,
            '{"limit_price_ticks": ' + "9" * 5000 + "}",
            "{}",
        ]
    ),
)
names = st.sampled_from(["c1", "c2", "c3", "two\nlines", "a|b", "", "x" * 300])
moments = st.integers(0, 2**63 - 1)
rows = st.one_of(
    st.tuples(names, st.just("amend"), st.one_of(st.none(), names), amends, moments),  # nearly commands
    st.tuples(names, kinds, st.one_of(st.none(), names), st.just("{}"), moments),
    st.tuples(anything, kinds, anything, amends, anything),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("rows") / "agent.db"
    migrate(str(found))
    with sqlite3.connect(found) as connection:
        head = "'s', 0, '', 'paper', '', 'open', 1, NULL, 0, '{}', '{}'"
        connection.execute(f"INSERT INTO sessions VALUES ({head})")
    connection.close()
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_rows=st.lists(rows, max_size=6))
def test_a_row_is_a_command_or_refused(
    path: Path, given_rows: list[tuple[object, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What is taken can be journalled and read back the same; what is not has an outcome that says why."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("DELETE FROM commands")
        for row in given_rows:
            statement = (
                f"INSERT OR IGNORE INTO commands (session, seq, {COLUMNS}) VALUES ('s', 0, ?, ?, ?, ?, ?)"
            )
            connection.execute(statement, row)
    connection.close()
    taken = asyncio.run(_take(str(path)))
    folder = tmp_path_factory.mktemp("session")
    writer = SessionWriter.create(folder / "s", SessionHeader("s", (), 1))
    for n, each in enumerate(taken, 1):
        if each.kind is CommandKind.AMEND:
            assert not amendment_fault(each.amend)
        command = ControlParent(n, n, each.kind, each.parent_id, each.command_id, each.amend)
        writer.journal(command_entry(command))
        writer.outcome([f"CommandHandled|{each.command_id}|{each.parent_id}"])
    writer.abandon()
    back = [c for c in commands(SessionReader(folder / "s").journal()) if isinstance(c, ControlParent)]
    assert [(c.kind, c.parent_id, c.command_id, c.amend) for c in back] == [
        (c.kind, c.parent_id, c.command_id, c.amend) for c in taken
    ]
    connection = sqlite3.connect(path)
    refused = connection.execute("SELECT count(*) FROM commands WHERE outcome LIKE 'refused: %'").fetchone()[
        0
    ]
    total = connection.execute("SELECT count(*) FROM commands").fetchone()[0]
    connection.close()
    assert refused + len(taken) == total


async def _take(url: str) -> list:
    log = SqlExecutionLog(url, "s", [])
    try:
        found = list(await log.pending_commands())
        assert await log.pending_commands() == found
        return found
    finally:
        await log.close()
