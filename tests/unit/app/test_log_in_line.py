"""``sessions sync``: the execution log is made what the recording says, and nothing is half written."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from agent.app.log_in_line import bring_in_line
from agent.cli import main
from agent.core.errors import SessionError
from tests.fakes import SMALL, changed_trade, record, small_session, start, synthetic_tape

COUNTED = ("sessions", "parent_orders", "child_orders", "fills", "decisions", "slippage", "balances")


def _rows(database: Path) -> dict[str, list[tuple[Any, ...]]]:
    with sqlite3.connect(database) as connection:
        return {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall()
            for table in COUNTED
        }


def test_what_is_missing_is_added_and_what_is_there_stays(tmp_path: Path) -> None:
    """A new database gets all; one with holes and orders at work gets the rest; again changes nothing."""
    session, database = small_session(tmp_path / "s"), tmp_path / "agent.db"
    bring_in_line(session, str(database))
    whole = _rows(database)
    assert all(whole[table] for table in COUNTED)
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM fills WHERE rowid % 2")
        connection.execute("DELETE FROM slippage")
        connection.execute("UPDATE parent_orders SET state = 'working', ended_ns = NULL")
        connection.execute("UPDATE sessions SET state = 'open', closed_ns = NULL")
        connection.execute("UPDATE decisions SET latency_ns = 5")  # as it was measured live
    for _ in range(2):
        bring_in_line(session, str(database))
        with sqlite3.connect(database) as connection:
            assert connection.execute("SELECT DISTINCT latency_ns FROM decisions").fetchall() == [(5,)]
        assert {t: rows for t, rows in _rows(database).items() if t != "decisions"} == {
            t: rows for t, rows in whole.items() if t != "decisions"
        }


def test_a_recording_that_cannot_be_trusted_writes_nothing(tmp_path: Path) -> None:
    """Cut off, or not what it was: one message, and no database is made."""
    database = tmp_path / "agent.db"
    cut = small_session(tmp_path / "cut")
    journal = cut / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if '"end"' not in line))
    with pytest.raises(SessionError, match="has not ended: it is running, or its process died"):
        bring_in_line(cut, str(database))
    instrument, events = synthetic_tape()
    true = record(tmp_path / "true", instrument, events, [start(instrument, events, SMALL)], SMALL)
    other = record(
        tmp_path / "other", instrument, changed_trade(events), [start(instrument, events, SMALL)], SMALL
    )
    (other / "outcome.jsonl").write_bytes((true / "outcome.jsonl").read_bytes())
    with pytest.raises(SessionError, match="does not replay to what was recorded, so nothing was stored"):
        bring_in_line(other, str(database))
    assert not database.exists()


def test_a_folder_of_sessions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One document; a session that cannot be brought in line is named, and the others are done."""
    folder, database = tmp_path / "sessions", tmp_path / "agent.db"
    small_session(folder / "a")
    cut = small_session(folder / "b")
    (cut / "journal.jsonl").write_text("")
    with pytest.raises(SystemExit) as caught:
        main(["sessions", "sync", str(folder), "--db", str(database), "--json"])
    assert caught.value.code == 1
    done = json.loads(capsys.readouterr().out)["sessions"]
    assert [("error" in one, one.get("session")) for one in done] == [(False, "a"), (True, str(cut))]
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT session, state FROM sessions").fetchall() == [("a", "closed")]
