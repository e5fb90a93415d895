"""Databases as they are met: used first by many at once, older, newer, read-only, and asked by users' SQL."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from storage.log.database import migrate, newest_revision
from tests.contract.log_databases import downgrade
from tests.integration.test_secrets import secret_url
from tests.integration.test_session_tools import Done, agent

pytestmark = pytest.mark.slow

__all__ = ["secret_url"]
MIGRATE = "import sys; from storage.log.database import migrate; print(migrate(sys.argv[1]))"
PROGRAMS = 6


def all_at_once(url: str) -> set[tuple[int | None, str]]:
    """Exit codes and what is said by programs that use a new database at the same moment."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    started = [subprocess.Popen([sys.executable, "-c", MIGRATE, url], **pipes) for _ in range(PROGRAMS)]  # type: ignore[call-overload]
    said = [program.communicate()[0] for program in started]
    return {(program.returncode, text.strip()) for program, text in zip(started, said, strict=True)}


def test_first_uses_at_once(tmp_path: Path) -> None:
    """One makes the tables, the others wait for it."""
    assert all_at_once(f"sqlite:///{tmp_path / 'new.db'}") == {(0, newest_revision())}


def test_first_uses_at_once_on_postgresql(secret_url: str) -> None:
    """The same with a server, by a URL with ordinary options."""
    assert all_at_once(secret_url) == {(0, newest_revision())}


def asked(database: Path, *argv: str) -> Done:
    return agent("log", *argv, "--db", f"sqlite:///{database}")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "agent.db"
    migrate(str(path))
    return path


def _in_sql(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_an_older_schema_is_told_as_one(database: Path) -> None:
    """With the command that mends it; no log at all, and a newer one, are told apart from it."""
    _in_sql(
        database, "DROP VIEW v_fills", "DROP TABLE gaps", "UPDATE alembic_version SET version_num = '0001'"
    )
    for argv in (["gaps"], ["sql", "SELECT * FROM v_fills"]):
        told = asked(database, *argv)
        assert (told.returncode, "has an older schema" in told.stderr) == (3, True), told.stderr
        assert "doctor" in told.stderr
    _in_sql(database, "UPDATE alembic_version SET version_num = '9999'")
    assert "newer than" in asked(database, "gaps").stderr
    _in_sql(database, "DROP TABLE alembic_version")
    assert "holds no execution log" in asked(database, "gaps").stderr


def test_a_users_mistake_is_told_as_one(database: Path) -> None:
    """Exit 2 and the database's own words; a name that is not there is no missing log."""
    for statement, words in {
        "SELECT nope FROM fills": "no such column: nope",
        "SELECT * FROM nope": "no such table: nope",
        "SELECT 1; SELECT 2": "one statement",
        "SELECT abs(-9223372036854775808)": "integer overflow",
        "SELECT json('x')": "malformed JSON",
    }.items():
        told = asked(database, "sql", statement)
        assert (told.returncode, words in told.stderr) == (2, True), told.stderr


def test_every_value_can_be_written(database: Path, tmp_path: Path) -> None:
    """Bytes, infinities, two columns of one name, a column of several types: JSON, CSV, Parquet, a table."""
    statement = "SELECT x'00ff' AS b, 1e999 AS i, 1 AS a, 2 AS a UNION ALL SELECT 'x', 1.5, 'y', 4"
    rows = json.loads(asked(database, "sql", statement, "--json").stdout)
    assert rows[0] == {"b": "\\x00ff", "i": "inf", "a": 1, "a_2": 2}
    assert asked(database, "sql", statement, "--format", "csv").stdout.startswith(
        "b,i,a,a_2\n\\x00ff,inf,1,2\n"
    )
    out = tmp_path / "rows.parquet"
    assert asked(database, "sql", statement, "--format", "parquet", "--out", str(out)).returncode == 0
    heading, first, *_ = asked(database, "sql", statement).stdout.splitlines()
    assert (heading.split(), first.split()) == (["b", "i", "a", "a_2"], ["\\x00ff", "inf", "1", "2"])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_doctor_tries_to_write(database: Path) -> None:
    """A database that may only be read does not pass."""
    database.chmod(0o400)
    _checks_fail(f"sqlite:///{database}")


def test_doctor_tries_to_write_on_postgresql(secret_url: str) -> None:
    """Nor does one whose server lets nothing be written."""
    migrate(secret_url)
    _checks_fail(secret_url + "&default_transaction_read_only=on")
    leaves_nothing = agent("log", "sessions", "--db", secret_url, "--json")
    assert json.loads(leaves_nothing.stdout) == []


def _checks_fail(url: str) -> None:
    checks = json.loads(agent("doctor", "--exchange", "none", "--db", url, "--json").stdout)["checks"]
    (database,) = (check for check in checks if check["name"] == "database")
    assert database["ok"] is False, database
    assert "read-only" in database["detail"]


def test_an_upgrade_takes_passwords_out(tmp_path: Path) -> None:
    """Earlier versions stored the database's whole URL with each session's configuration."""
    path = tmp_path / "old.db"
    migrate(str(path))
    asyncio.run(downgrade(str(path), "0006"))
    config = '{"database": "postgresql://u:s3cretWord@h/db", "seed": 1}'
    columns = "session, seq, path, mode, exchange, state, opened_ns, seed, config, fingerprint"
    _in_sql(
        path,
        f"INSERT INTO sessions ({columns})"
        f" VALUES ('s', 0, '', 'paper', '', 'closed', 0, 1, '{config}', '{{}}')",
    )
    migrate(str(path))
    (row,) = json.loads(asked(path, "sessions", "--json").stdout)
    assert row["config"] == {"database": "postgresql://u@h/db", "seed": 1}
