"""Whether a database can be written, found out before a run needs it, and nothing left behind."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from agent.core.errors import DatabaseError
from storage.log.database import migrate
from storage.log.schema import newest_revision
from storage.log.writing_check import check_writable


def test_a_database_that_takes_rows(tmp_path: Path) -> None:
    """Its schema is told, and the row that was tried is gone."""
    path = tmp_path / "agent.db"
    assert check_writable(str(path)) == newest_revision()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM sessions").fetchone() == (0,)


def test_a_database_that_takes_none(tmp_path: Path) -> None:
    """It can be opened and read: only writing shows it."""
    path = tmp_path / "agent.db"
    migrate(str(path))
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TRIGGER none BEFORE INSERT ON sessions BEGIN SELECT RAISE(ABORT, 'no more rows'); END"
        )
    with pytest.raises(DatabaseError, match="no more rows"):
        check_writable(str(path))
