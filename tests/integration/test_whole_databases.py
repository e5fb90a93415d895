"""``agent db``: a log brought up to date, held against its recordings row by row, copied whole."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

from agent.app.log_in_line import bring_in_line
from agent.app.replay_session import replay_session
from agent.core.errors import DatabaseError, InputError
from agent.core.events import CommandKind
from agent.core.secret_url import DatabaseUrl
from storage.log.database import migrate, newest_revision
from storage.log.upkeep import compared_rows, database_copy
from storage.log.upkeep.database_copy import copy_database
from tests.contract.log_databases import downgrade, execute, stored
from tests.contract.test_log_contract import fills
from tests.every_key.command_line import Done, call
from tests.fakes import leave, small_session
from tests.integration.test_storage import EVENTS, T, _write


def rows(url: str) -> dict[str, list[dict[str, object]]]:
    return asyncio.run(stored(url))


def changed(url: str, *statements: str) -> None:
    asyncio.run(execute(url, *statements))


def db(*argv: object, code: int = 0) -> Any:
    """What the command says in JSON, with the exit code that it must have."""
    done: Done = call("agent", "db", *map(str, argv), "--json")
    assert done.code == code, done
    return json.loads(done.out)


def told(*argv: object, code: int) -> str:
    done: Done = call("agent", "db", *map(str, argv))
    assert done.code == code, done
    return done.out + done.err


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[Path, Path]:
    """A recorded session, and a log that holds what it causes."""
    session, database = small_session(tmp_path / "sessions" / "s"), tmp_path / "agent.db"
    bring_in_line(session, str(database))
    return session, database


# --- check ----------------------------------------------------------------------------------------


def test_a_log_that_agrees_with_its_recording(recorded: tuple[Path, Path]) -> None:
    """What no recording knows may be anything: heartbeats, measured times, commands that were withdrawn."""
    _, database = recorded
    changed(str(database), "UPDATE decisions SET latency_ns = 5", "UPDATE sessions SET closed_ns = 7")
    asyncio.run(leave(str(database), "s", "c1", CommandKind.PAUSE, created_ns=T))
    found = db("check", "--db", database)
    assert (found["ok"], found["differences"]) == (True, [])
    assert [(s["session"], s["outcome"]) for s in found["sessions"]] == [("s", "agrees")]
    assert "1 sessions: 1 agrees, 0 differs, 0 unknown" in told("check", "--db", database, code=0)


def test_rows_that_differ_are_named(recorded: tuple[Path, Path]) -> None:
    """One that is missing, one besides, one with another value: each with its key, and both values."""
    _, database = recorded
    with sqlite3.connect(database) as connection:
        (first, second) = [row[0] for row in connection.execute("SELECT fill_id FROM fills LIMIT 2")]
        columns = ", ".join(
            row[1] for row in connection.execute("PRAGMA table_info(fills)") if row[1] != "fill_id"
        )
        (price,) = connection.execute("SELECT price FROM fills WHERE fill_id = ?", (second,)).fetchone()
        connection.execute(
            f"INSERT INTO fills (fill_id, {columns}) SELECT 'mine', {columns} FROM fills LIMIT 1"
        )
        connection.execute("DELETE FROM fills WHERE fill_id = ?", (first,))
        connection.execute("UPDATE fills SET price = '1' WHERE fill_id = ?", (second,))
    found = db("check", "--db", database, code=1)
    assert found["ok"] is False
    assert {(d["table"], d["key"]["fill_id"], d["what"]) for d in found["differences"]} == {
        ("fills", first, "missing"), ("fills", "mine", "besides"), ("fills", second, "differs"),
    }  # fmt: skip
    (other,) = (d for d in found["differences"] if d["what"] == "differs")
    assert other["columns"] == {"price": ["1", price]}
    words = told("check", "--db", database, code=1)
    assert f"s: fills: fill_id {second} differs (price '1', not '{price}')" in words
    assert "sessions sync" in words


@pytest.mark.slow
@pytest.mark.parametrize(
    "table", ["parent_orders", "child_orders", "decisions", "slippage", "balances", "instruments"]
)
def test_every_table_is_compared(recorded: tuple[Path, Path], table: str) -> None:
    """A value of each, changed by hand."""
    _, database = recorded
    changed(str(database), f"UPDATE {table} SET seq = seq + 1000")
    found = db("check", "--db", database, code=1)
    assert {d["table"] for d in found["differences"]} == {table}
    assert all(d["columns"]["seq"][0] == d["columns"]["seq"][1] + 1000 for d in found["differences"])


@pytest.mark.slow
def test_a_recording_that_is_gone_leaves_its_session_unknown(
    recorded: tuple[Path, Path], tmp_path: Path
) -> None:
    """Said with where it was looked for; found again in the folder of `--out`, or of a configuration."""
    session, database = recorded
    session.parent.rename(tmp_path / "moved")
    (found,) = db("check", "--db", database, "--out", tmp_path)["sessions"]
    assert found["outcome"] == "unknown"
    assert found["reason"] == f"its recording is gone: it is not at {session}, nor in {tmp_path}"
    assert f"s: unknown: its recording is gone: it is not at {session}" in told(
        "check", "--db", database, "--out", tmp_path, code=0
    )
    (found,) = db("check", "--db", database, "--out", tmp_path / "moved")["sessions"]
    assert found["outcome"] == "agrees"
    config = tmp_path / "mine.yaml"
    config.write_text(f"database: sqlite:///{database}\nout: {tmp_path / 'moved'}\n")
    (found,) = db("check", "--config", config)["sessions"]
    assert found["outcome"] == "agrees"


@pytest.mark.slow
def test_what_cannot_be_replayed_is_unknown(recorded: tuple[Path, Path], tmp_path: Path) -> None:
    """A stored replay, whose order is not in the recording; a run that has not ended; a damaged recording."""
    session, database = recorded
    replay_session(
        session, None, override=False, verify=False, speed=None, database=DatabaseUrl(str(database))
    )
    cut = small_session(tmp_path / "sessions" / "cut")
    bring_in_line(cut, str(database))
    journal = cut / "journal.jsonl"
    journal.write_text("".join(x for x in journal.read_text().splitlines(True) if '"end"' not in x))
    found = {each["session"]: each for each in db("check", "--db", database)["sessions"]}
    assert found.pop("s")["outcome"] == "agrees"
    assert "has not ended" in found.pop("cut")["reason"]
    ((name, replay),) = found.items()
    assert name.startswith("s@replay-")
    assert (replay["outcome"], replay["reason"]) == (
        "unknown", "it is a stored replay, whose order is in no recording",
    )  # fmt: skip


def test_a_log_that_is_not_there_or_older(recorded: tuple[Path, Path], tmp_path: Path) -> None:
    """Exit code 3, with what to do."""
    _, database = recorded
    for command in ("check", "upgrade"):
        assert "no execution log at" in told(command, "--db", tmp_path / "none.db", code=3)
    asyncio.run(downgrade(str(database), "0006"))
    assert "has an older schema" in told("check", "--db", database, code=3)
    assert not (tmp_path / "none.db").exists()


# --- upgrade --------------------------------------------------------------------------------------


def test_an_upgrade_says_from_where_to_where(recorded: tuple[Path, Path], tmp_path: Path) -> None:
    """Again it changes nothing; the database is that of `--db`, or configured."""
    _, database = recorded
    asyncio.run(downgrade(str(database), "0003"))
    found = db("upgrade", "--db", database)
    assert found == {
        "ok": True, "differences": [], "database": str(database), "from": "0003", "to": newest_revision(),
    }  # fmt: skip
    config = tmp_path / "mine.yaml"
    config.write_text(f"database: sqlite:///{database}\n")
    again = db("upgrade", "--config", config)
    assert (again["from"], again["to"]) == (newest_revision(), newest_revision())
    assert told("upgrade", "--db", database, code=0) == f"{database}: schema {newest_revision()}, as it was\n"
    asyncio.run(downgrade(str(database), "0003"))
    assert f"schema {newest_revision()}, from 0003" in told("upgrade", "--db", database, code=0)


# --- copy -----------------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A log with every kind of row, more than a chunk of fills, and text whose order hangs on the locale."""
    url = str(tmp_path / "source.db")
    events = [dataclasses.replace(e, fill_id=f"{'aBäZ_'[n % 5]}{n}") for n, e in enumerate(fills(6000))]  # type: ignore[call-arg]
    asyncio.run(_write(url, [*EVENTS, *events]))
    asyncio.run(leave(url, "s1", "c1", CommandKind.PAUSE, created_ns=T))
    return url


def test_a_copy_holds_every_row(source: str, tmp_path: Path) -> None:
    """From a file to a file: the command says how many rows, and the same queries give the same."""
    made = tmp_path / "new folder" / "copy.db"
    found = db("copy", source, f"sqlite:///{made}")
    assert (found["ok"], found["differences"], found["rows"]["fills"]) == (True, [], 6001)
    assert rows(str(made)) == rows(source)
    other = tmp_path / "other.db"
    assert "read back and equal" in told("copy", source, other, code=0)


@pytest.mark.slow
def test_copies_between_the_two_databases(source: str, postgres: URL, tmp_path: Path) -> None:
    """To a server, and from there back into a file: all three hold the same."""
    server, back = postgres.render_as_string(hide_password=False), str(tmp_path / "back.db")
    assert copy_database(source, server).ok
    assert copy_database(server, back).ok
    assert rows(source) == rows(server) == rows(back)


def test_a_destination_with_rows_is_refused(source: str, tmp_path: Path) -> None:
    """And left as it is; tables without rows are no hindrance; nothing is copied into itself."""
    made = str(tmp_path / "copy.db")
    migrate(made)
    assert copy_database(source, made).ok
    before = rows(made)
    assert "holds rows already (1 in sessions): copy into an empty one" in told("copy", source, made, code=2)
    assert rows(made) == before
    with pytest.raises(InputError, match="is source and destination"):
        copy_database(source, f"sqlite:///{source}")
    assert "no execution log at" in told("copy", tmp_path / "none.db", tmp_path / "x.db", code=3)
    asyncio.run(downgrade(source, "0005"))
    assert "has an older schema" in told("copy", source, tmp_path / "x.db", code=3)


@pytest.mark.slow
def test_a_copy_that_is_not_equal_is_not_left(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written is read again: where a row came out otherwise, none of them stays."""
    write = database_copy.upsert

    async def careless(connection: Any, shape: Any, given: Any) -> None:
        at = shape.columns.index("fee") if shape.table == "fills" else None
        await write(
            connection, shape, [r if at is None else (*r[:at], r[at] + "0", *r[at + 1 :]) for r in given]
        )

    monkeypatch.setattr(database_copy, "upsert", careless)
    made = str(tmp_path / "copy.db")
    found = db("copy", source, made, code=1)
    assert found["ok"] is False
    assert {(d["table"], d["what"], *d["columns"]) for d in found["differences"]} == {
        ("fills", "differs", "fee")
    }
    assert all(of == [] for of in rows(made).values())


@pytest.mark.slow
def test_rows_that_are_left_out_are_missed(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk that never came, at the end and in the middle."""
    write = database_copy.upsert
    monkeypatch.setattr(compared_rows, "CHUNK_ROWS", 1000)
    for number, last in enumerate((1000, 1)):

        async def forgetful(connection: Any, shape: Any, given: Any, last: int = last) -> None:
            if shape.table != "fills" or len(given) != last:
                await write(connection, shape, given)

        monkeypatch.setattr(database_copy, "upsert", forgetful)
        found = copy_database(source, str(tmp_path / f"{number}.db"))
        assert not found.ok
        assert {d.table for d in found.differences} == {"fills"}


@pytest.mark.slow
def test_a_row_that_the_other_database_cannot_hold_copies_none(source: str, postgres: URL) -> None:
    """SQLite lets anything into a column; the server says what it cannot take, and stays empty."""
    server = postgres.render_as_string(hide_password=False)
    changed(source, "UPDATE gaps SET lost = 'many'")
    with pytest.raises(DatabaseError, match=r"database postgresql://.* failed"):
        copy_database(source, server)
    assert all(of == [] for of in rows(server).values())
