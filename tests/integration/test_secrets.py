"""No password of a database stands in what a run writes or prints; what it writes is its owner's alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
import yaml
from sqlalchemy import URL

from storage.recordings.session import SessionReader
from tests.integration.test_session_tools import GOLDEN, agent
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow

OPEN_TO_ALL = "import os; os.umask(0); from agent.cli import main; main()"
SECRET = "s3cretWord-42"
NOWHERE = f"postgresql://trader:{SECRET}@127.0.0.1:1/desk?application_name=agent"
ORDER = ["--algo", "twap", "--shadow", "pov", "--quantity", "0.05", "--tactic", "sweep", "--interval", "1s",
         "--min-duration", "2s", "--max-duration", "4s"]  # fmt: skip


class Witness:
    """Runs commands and keeps what they print."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.printed = folder, ""

    def __call__(self, *argv: str | Path, code: int | None = None) -> str:
        done = agent(*argv)
        assert code is None or done.returncode == code, done.stderr + done.stdout[-500:]
        self.printed += done.stdout + done.stderr
        return done.stdout

    def process(self, *argv: str | Path) -> None:
        """As its user runs it, umask and all."""
        done = subprocess.run(
            [sys.executable, "-c", OPEN_TO_ALL, *map(str, argv)],
            capture_output=True, text=True, timeout=PATIENCE_S, check=False, cwd=self.folder,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        self.printed += done.stdout + done.stderr

    def leaks(self) -> list[str]:
        """Where the password is found: in what was printed, or a file that is not the user's own."""
        files = [p for p in self.folder.rglob("*") if p.is_file() and p.suffix != ".yaml"]
        found = [str(path) for path in files if SECRET.encode() in path.read_bytes()]
        return found + (["what was printed"] if SECRET in self.printed else [])


def _configured(folder: Path, database: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"database": database, "out": str(folder / "sessions")}))
    return path


def _session_in(folder: Path) -> Path:
    (session,) = (path for path in (folder / "sessions").iterdir() if path.is_dir())
    return session


def test_a_password_stays_in_its_file(tmp_path: Path) -> None:
    """A recording, its slice and copies, another database, the log's output, doctor, errors of every kind."""
    witness, config = Witness(tmp_path), _configured(tmp_path, NOWHERE)
    witness.process("record", "--config", config, "--duration", "3s", "--json")
    session = _session_in(tmp_path)
    other = f"sqlite:///{tmp_path / 'other.db'}"
    witness("replay", session, "--config", config, *ORDER, "--db", other, "--json")  # the tape ends before it
    witness("sessions", "slice", session, "--out", tmp_path / "cut", "--from", "1s", code=0)
    witness("sessions", "merge", session, tmp_path / "cut", "--out", tmp_path / "joined")
    witness("sessions", "inspect", session, "--html", tmp_path / "page.html", code=0)
    witness("log", "sessions", "--db", other, "--json", code=0)
    witness("log", "sql", "SELECT * FROM sessions", "--db", other, "--format", "csv", code=0)
    for command in (["status"], ["log", "fills"], ["ctl", "pause"], ["doctor", "--exchange", "none"]):
        witness(*command, "--config", config)
        witness(*command, "--config", config, "--json")
    witness("replay", session, *ORDER, "--db", NOWHERE, code=3)
    for wrong in ("mysql://", "postgresql:/", "postgresql://x:y", "sqlite://"):
        witness("log", "fills", "--db", NOWHERE.replace("postgresql://", wrong, 1))
    config.write_text(config.read_text().replace("out:", "  out:", 1) + f"\ndatabse: {NOWHERE}\n")
    witness("status", "--config", config, code=2)
    assert SECRET not in witness.printed
    assert witness.leaks() == []
    assert "***" in witness.printed  # it was at hand all the time


def test_an_older_session_passes_no_password_on(tmp_path: Path) -> None:
    """Earlier versions recorded it: reading hides it, and a slice has none."""
    header = orjson.loads((GOLDEN / "session.json").read_bytes())
    header["config"]["database"] = NOWHERE
    old = tmp_path / "old"
    old.mkdir()
    for file in GOLDEN.iterdir():
        (old / file.name).write_bytes(file.read_bytes())
    (old / "session.json").write_bytes(orjson.dumps(header))
    assert SECRET not in str(SessionReader(old).header)
    assert agent("sessions", "slice", old, "--out", tmp_path / "cut", "--from", "2s").returncode == 0
    assert SECRET not in (tmp_path / "cut" / "session.json").read_text()


def test_what_a_run_writes_is_its_owners_alone(tmp_path: Path) -> None:
    """With a umask that lets everybody in: sessions, their files, compacted ones, and databases."""
    witness = Witness(tmp_path)
    database = tmp_path / "agent.db"
    witness.process("run", "--paper", "--out", tmp_path / "sessions", "--db", f"sqlite:///{database}", *ORDER)
    session = _session_in(tmp_path)
    made = [session, database, *session.iterdir()]
    witness.process("sessions", "compact", session)
    made += [session, *session.iterdir()]
    assert any(path.suffix == ".parquet" for path in made)
    open_to_others = {p.name: oct(p.stat().st_mode) for p in made if p.exists() and p.stat().st_mode & 0o077}
    assert open_to_others == {}


@pytest.fixture
def secret_url(postgres: URL) -> str:
    """The URL of a database of this test's own, with a password."""
    options = {"application_name": "trust", "sslmode": "prefer"}
    return postgres.set(password=SECRET).update_query_dict(options).render_as_string(hide_password=False)


def test_a_run_on_postgresql_keeps_the_password(tmp_path: Path, secret_url: str) -> None:
    """A whole run with a server: its session, its rows, what every query of the log prints."""
    witness, config = Witness(tmp_path), _configured(tmp_path, secret_url)
    witness.process("run", "--paper", "--config", config, *ORDER, "--json")
    session = _session_in(tmp_path)
    witness("doctor", "--config", config, "--exchange", "none", "--json")
    witness("replay", session, "--verify", "--db", secret_url, "--json", code=0)
    witness("replay", session, "--db", secret_url, code=0)
    for what in ("parents", "children", "fills", "decisions", "slippage", "sessions", "gaps"):
        for form in ("json", "csv", "table"):
            witness("log", what, "--config", config, "--format", form, code=0)
    rows = json.loads(witness("log", "sql", "SELECT * FROM sessions", "--db", secret_url, "--json", code=0))
    assert len(rows) == 2
    assert all(row["config"]["database"].startswith("postgresql://") for row in rows)
    odd = "SELECT '\\x00ff'::bytea b, interval '1 day 2 s' i, gen_random_uuid() u, 1 AS a, 2 AS a"
    (row,) = json.loads(witness("log", "sql", odd, "--config", config, "--json", code=0))
    assert (row["b"], row["i"], row["a"], row["a_2"]) == ("\\x00ff", "P1DT2S", 1, 2)
    assert "division by zero" in agent("log", "sql", "SELECT 1/0", "--config", config).stderr
    assert agent("log", "sql", "SELECT 1/0", "--config", config).returncode == 2
    assert witness.leaks() == []
