"""Control from another terminal, with real processes: two and three runs on one database, one dead."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storage.log.queries import sql
from tests.patience import PATIENCE_S
from tests.postgres_server import on_server

pytestmark = pytest.mark.slow

ORDER = ["--quantity", "0.5", "--interval", "1s", "--min-duration", "20m", "--max-duration", "30m"]
QUICK = ["--algo", "twap", "--shadow", ""]


def agent(*argv: str, code: int | None = 0) -> Any:
    """What a command says in JSON; ``code`` is the exit code that it must have."""
    done = subprocess.run(
        [sys.executable, "-m", "agent", *argv, "--json"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert code is None or done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout) if done.stdout else done.stderr


class Runs:
    """Runs on one database, each a process; ``folder`` holds their recordings."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, *more: str) -> str:
        """Start a run and wait until its order works; return its session."""
        before = {row[0] for row in self.ask("SELECT session FROM parent_orders")}
        argv = ["run", "--paper", "--db", self.url, "--out", str(self.folder), *ORDER, *QUICK, *more]
        self.processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "agent", *argv, "--json"],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return self.until(
            "SELECT session FROM parent_orders WHERE state = 'working'", lambda row: row[0] not in before
        )

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        from agent.core.errors import AgentError

        try:
            return list(sql(self.url, statement).rows)
        except AgentError:  # not made yet
            return []

    def until(self, statement: str, holds: Any) -> Any:
        """The first column of the first row that ``holds``, waited for."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if found := [row for row in self.ask(statement) if holds(row)]:
                return found[0][0]
            time.sleep(0.1)
        raise AssertionError(f"{statement}: waited in vain")

    def kill_9(self, number: int) -> None:
        self.processes[number].kill()
        self.processes[number].communicate()

    def states(self) -> dict[str, str]:
        found = agent("status", "--db", self.url)
        return {each["session"]: each["state"] for each in found["sessions"]}


@pytest.fixture(params=["sqlite", "postgresql"])
def runs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runs]:
    url = f"sqlite:///{tmp_path / 'agent.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").render_as_string(hide_password=False)
    found = Runs(url, tmp_path / "sessions")
    try:
        yield found
    finally:
        for process in found.processes:
            process.kill()
            process.communicate()


def test_kill_reaches_all_that_live_and_names_the_dead(runs: Runs) -> None:
    """Three runs, one of them killed with -9: two end, the third is said to be dead, and is then closed."""
    names = [runs.start("--seed", str(seed)) for seed in (1, 2, 3)]
    runs.kill_9(1)
    dead = names[1]
    assert runs.states() == {names[0]: "live", dead: "dead", names[2]: "live"}

    answer = agent("ctl", "kill", "--db", runs.url)
    assert (answer["action"], answer["done"]) == ("kill", True)
    said = {each["session"]: each for each in answer["sessions"]}
    assert said.keys() == set(names)
    for name in (names[0], names[2]):
        assert said[name]["parents"] == [f"{name}-P1"]
        assert "no order goes out any more" in said[name]["outcome"]
    assert said[dead]["outcome"].startswith("dead: no heartbeat for ")
    assert said[dead]["parents"] == []
    assert [runs.processes[i].wait(PATIENCE_S) for i in (0, 2)] == [1, 1]
    assert runs.ask(f"SELECT * FROM commands WHERE session = '{dead}'") == []

    assert runs.states() == {names[0]: "closed", dead: "dead", names[2]: "closed"}
    listed = {row["session"]: row for row in agent("log", "sessions", "--db", runs.url)}
    assert [listed[name]["state"] for name in names] == ["closed", "dead", "closed"]
    assert listed[dead]["pid"] == runs.processes[1].pid
    _end(runs, dead)


def _end(runs: Runs, dead: str) -> None:
    """A session cut off verifies as far as it goes; ended, it is whole, and the database says the same."""
    path = str(runs.folder / dead)
    cut = agent("replay", path, "--verify")
    assert (cut["match"], cut["cut_off"]) == (True, True)
    before = runs.ask(f"SELECT fill_id FROM fills WHERE session = '{dead}'")
    latencies = runs.ask(f"SELECT decision_id, latency_ns FROM decisions WHERE session = '{dead}'")
    ended = agent("sessions", "end", dead, "--db", runs.url)
    (parent,) = ended["parents"]
    assert (ended["session"], parent["state"]) == (dead, "expired")
    assert parent["reason"].endswith("BTC unfilled: the run died")
    whole = agent("replay", path, "--verify")
    assert (whole["match"], whole["cut_off"]) == (True, False)
    assert whole["parents"] == ended["parents"]
    rows = runs.ask(f"SELECT state, reason, filled FROM parent_orders WHERE session = '{dead}'")
    assert rows == [("expired", parent["reason"], parent["filled"])]
    fills = runs.ask(f"SELECT fill_id FROM fills WHERE session = '{dead}'")
    assert len(fills) == parent["fills"]
    assert set(before) <= set(fills)
    stored = runs.ask(f"SELECT decision_id, latency_ns FROM decisions WHERE session = '{dead}'")
    assert set(latencies) <= set(stored)
    assert runs.states()[dead] == "closed"
    assert "has ended already" in agent("sessions", "end", dead, "--db", runs.url, code=2)


def test_a_parents_id_reaches_its_own_session_only(runs: Runs) -> None:
    """``kill P`` ends P; the other order works on, and an order of a dead run is said to be out of reach."""
    first, second = runs.start("--seed", "1"), runs.start("--seed", "2")
    answer = agent("ctl", "kill", f"{first}-P1", "--db", runs.url)
    assert (answer["done"], [each["session"] for each in answer["sessions"]]) == (True, [first])
    ended = f"SELECT state FROM parent_orders WHERE session = '{first}'"
    runs.until(ended, lambda row: row[0] == "cancelled")
    assert runs.ask(f"SELECT state FROM parent_orders WHERE session = '{second}'") == [("working",)]
    again = agent("ctl", "kill", f"{first}-P1", "--db", runs.url, code=1)
    assert "no working parent" in again["sessions"][0]["outcome"]
    assert "is live" in agent("sessions", "end", second, "--db", runs.url, code=2)
    runs.kill_9(1)
    late = agent("ctl", "cancel", f"{second}-P1", "--db", runs.url, code=1)
    assert late["done"] is False
    assert late["sessions"][0]["state"] == "dead"
    assert "no parent order 'x-P1'" in agent("ctl", "cancel", "x-P1", "--db", runs.url, code=2)


BAD = [  # (command_id, kind, parent_id, amend, created_ns) as SQL literals
    ("'bad1'", "'explode'", "NULL", "'{}'", "1"),
    ("'bad3'", "'amend'", "NULL", "'[1, 2]'", "1"),
    ("'bad4'", "'amend'", "NULL", """'{"limit_price_ticks": 1e400}'""", "1"),
    ("'bad5'", "'amend'", "NULL", """'{"limit_price_ticks": 123456789012345678901234567890}'""", "1"),
    ("'bad6'", "'amend'", "NULL", """'{"participation_cap": "0.5"}'""", "1"),
    ("'bad7'", "'amend'", "NULL", """'{"participation_cap": true}'""", "1"),
    ("'bad8'", "'amend'", "NULL", """'{"risk_aversion": null}'""", "1"),
    ("'bad9'", "'amend'", "NULL", """'{"risk_aversion": -1, "colour": "red"}'""", "1"),
    ("'bad10'", "'amend'", "NULL", "'null'", "1"),
    ("'bad11'", "'pause'", "'two\nlines'", "'{}'", "1"),
    ("'bad12'", "'pause'", "'a|b'", "'{}'", "1"),
    ("'bad13'", "'pause'", "'nobody'", "'{}'", "-5"),
    ("'bad14'", "'pause'", "''", "'{}'", "9223372036854775807"),
    ("'bad15'", "'amend'", "NULL", """'{"limit_price_ticks": 9007199254740992}'""", "1"),
    ("'bad\n16'", "'cancel'", "NULL", "'{}'", "1"),
    ("'bad17'", "'kill'", "NULL", """'{"limit_price_ticks": 5}'""", "1"),
]
SQLITE_BAD = [  # what PostgreSQL does not let through
    ("'bad2'", "'amend'", "NULL", "'{not json'", "1"),
    ("'odd1'", "x'ff'", "NULL", "'{}'", "1"),
    ("'odd2'", "CAST(x'ff' AS TEXT)", "NULL", "'{}'", "1"),
    ("'odd3'", "'pause'", "x'00ff'", "'{}'", "1"),
    ("'odd4'", "'amend'", "NULL", "x'fffe'", "1"),
    ("'odd5'", "'pause'", "12345", "7", "1"),
    ("'odd6'", "'pause'", "NULL", "'{}'", "'yesterday'"),
    ("x'0102'", "'pause'", "NULL", "'{}'", "1"),
    ("CAST(x'ff41' AS TEXT)", "'pause'", "NULL", "'{}'", "1e300"),
    ("12", "5", "NULL", "'{}'", "1.5"),
]


def test_whatever_stands_in_commands_ends_no_run(runs: Runs) -> None:
    """Every row that is no command is refused in the row; the order works on, and good ones are obeyed."""
    session = runs.start()
    rows = BAD + (SQLITE_BAD if runs.url.startswith("sqlite") else [])
    values = ", ".join(f"('{session}', 0, {', '.join(row)})" for row in rows)
    columns = "session, seq, command_id, kind, parent_id, amend, created_ns"
    statement = f"INSERT INTO commands ({columns}) VALUES {values}"
    _execute(runs.url, statement)
    waiting = f"SELECT count(*) FROM commands WHERE session = '{session}' AND handled_ns IS NULL"
    runs.until(waiting, lambda row: row[0] == 0)
    outcomes = [row[0] for row in runs.ask(f"SELECT outcome FROM commands WHERE session = '{session}'")]
    assert len(outcomes) == len(rows)
    accepted = [text for text in outcomes if text in ("done", "no working parent")]
    assert accepted == []
    assert runs.ask(f"SELECT state FROM parent_orders WHERE session = '{session}'") == [("working",)]
    assert runs.processes[0].poll() is None
    assert agent("ctl", "kill", "--db", runs.url)["done"] is True
    assert runs.processes[0].wait(PATIENCE_S) == 1
    assert "Traceback" not in runs.processes[0].communicate()[1]
    verified = agent("replay", str(runs.folder / session), "--verify")
    assert verified["match"] is True


def _execute(url: str, statement: str) -> None:
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)
        with connection:
            connection.execute(statement)
        connection.close()
    else:
        on_server(url, statement)
