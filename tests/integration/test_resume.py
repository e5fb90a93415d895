"""A session whose process died goes on: the same orders, the same recording, the same rows, each once.

Processes are real and die by SIGKILL; the embedded exchange plays on while nobody is there. Many more such
deaths: ``python -m tests.integration.resume_stress``.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.app.lives.finding import claim
from agent.app.replay_session import replay_session
from agent.config import Config
from agent.core.errors import AgentError, InputError
from agent.core.events import CommandKind
from storage.log import queries
from storage.log.control.command_rows import leave_command
from storage.log.database import open_engine
from storage.recordings.lives.session_lock import LOCK
from storage.recordings.session import SessionReader
from tests.integration.resume_stress import faults_of

pytestmark = pytest.mark.slow
S = 10**9
PATIENCE_S = 120
CONFIG = {
    "order": {
        "side": "buy",
        "quantity": 3,
        "algo": "twap",
        "tactic": "peg",
        "shadows": ["vwap"],
        "interval": "2s",
        "min_duration": "10s",
        "max_duration": "36s",
    },
    "feed": {"warm_up": "30s"},
    "database": "sqlite:///agent.db",
    "out": "sessions",
}


class Agent:
    """Runs in a folder, each a process of its own."""

    def __init__(self, folder: Path, **keys: Any) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder / 'agent.db'}"
        (folder / "config.yaml").write_text(yaml.safe_dump({**CONFIG, **keys}))

    def begin(self, *argv: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-m",
            "agent",
            "run",
            "--paper",
            "--config",
            "config.yaml",
            "--json",
            *argv,
        ]
        where = {"PYTHONPATH": str(Path.cwd()), **os.environ}
        return subprocess.Popen(
            command, cwd=self.folder, env=where, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def done(self, process: subprocess.Popen[str], code: int | None = 0) -> dict[str, Any]:
        out, err = process.communicate(timeout=PATIENCE_S)
        assert code is None or process.returncode == code, (process.returncode, out[-500:], err[-2000:])
        return json.loads(out) if out else {"error": err}

    def wait_for(self, statement: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not self.rows(statement):
            assert time.monotonic() < deadline_s, statement
            time.sleep(0.1)

    async def leave(self, command_id: str, kind: CommandKind) -> None:
        """Leave a command for its session."""
        engine = open_engine(self.url)
        async with engine.begin() as connection:
            await leave_command(connection, self.session.name, command_id, kind, created_ns=1)
        await engine.dispose()

    def kill_when(self, process: subprocess.Popen[str], statement: str) -> None:
        """Kill it once a query has rows."""
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s and not self.rows(statement):
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.communicate()

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        try:
            return list(queries.sql(self.url, statement).rows)
        except AgentError:
            return []

    @property
    def session(self) -> Path:
        (only,) = (self.folder / "sessions").iterdir()
        return only


FILLED = "SELECT 1 FROM fills"


def test_killed_twice_it_is_one_session(tmp_path: Path) -> None:
    """Its orders end, its trades are whole, its rows are the recording's, and all of it replays."""
    agent = Agent(tmp_path)
    agent.kill_when(agent.begin(), FILLED)
    time.sleep(3)
    second = agent.begin("--resume", "last")
    decided = "SELECT 1 FROM decisions d WHERE d.at_ns > (SELECT max(at_ns) FROM gaps)"
    agent.kill_when(second, decided)
    told = agent.done(agent.begin("--resume", agent.session.name), None)
    (parent,) = told["parents"]
    assert parent["state"] in ("completed", "expired")
    lost = told["resumed"]
    assert lost["parents"] == 1
    assert lost["to_ns"] > lost["from_ns"]
    assert [e["kind"] for e in SessionReader(agent.session).journal()].count("resumed") == 2
    assert faults_of(agent.session, agent.url) == []


def test_trades_of_the_time_are_fetched(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    agent.kill_when(agent.begin(), FILLED)
    time.sleep(5)
    told = agent.done(agent.begin("--resume", "last"), None)
    assert told["resumed"]["missed_trades"] > 5
    assert told["feed"]["lost"] == 0
    flags = told["parents"][0]["flags"]["used_price"]
    assert flags["lost_time"] > 0.1


def test_orders_of_a_list_that_had_not_started_keep_their_times(tmp_path: Path) -> None:
    orders = [
        {"id": "first", "order": {"quantity": 1}},
        {"id": "due-meanwhile", "start": "6s", "order": {"quantity": 1, "side": "sell"}},
        {"id": "later", "start": "30s", "order": {"quantity": 1, "max_duration": "12s"}},
    ]
    agent = Agent(tmp_path, orders=orders)
    agent.kill_when(agent.begin(), FILLED)
    time.sleep(4)
    told = agent.done(agent.begin("--resume", "last"), None)
    names = [parent["id"].removeprefix(f"{told['session']}-") for parent in told["parents"]]
    assert names == ["first", "due-meanwhile", "later"]
    began = {name: parent["started_ns"] for name, parent in zip(names, told["parents"], strict=True)}
    assert began["due-meanwhile"] >= told["resumed"]["to_ns"]
    assert 29 < (began["later"] - began["first"]) / S < 31.5
    assert faults_of(agent.session, agent.url) == []


def test_auto_goes_on_and_starts_nothing_else(tmp_path: Path) -> None:
    """And where nothing died, a run is a run."""
    agent = Agent(tmp_path, resume="auto")
    agent.kill_when(agent.begin(), FILLED)
    first = agent.session.name
    told = agent.done(agent.begin(), None)
    assert told["session"] == first
    assert "resumed" in told
    third = agent.begin()
    agent.kill_when(third, f"SELECT 1 FROM sessions WHERE session != '{first}'")
    assert len(list((tmp_path / "sessions").iterdir())) == 2


def test_what_a_user_commanded_before_is_still_done(tmp_path: Path) -> None:
    """A cancel that the dead process had not taken."""
    agent = Agent(tmp_path)
    agent.kill_when(agent.begin(), FILLED)

    asyncio.run(agent.leave("c1", CommandKind.CANCEL))
    told = agent.done(agent.begin("--resume", "last"), 1)
    assert told["parents"][0]["state"] == "cancelled"


def test_what_was_cancelled_before_stays_so(tmp_path: Path) -> None:
    """A cancel of all withdrew what had not started; and what was carried out is not carried out again."""
    orders = [{"id": "first", "order": {"quantity": 1}}, {"id": "later", "start": "25s"}]
    agent = Agent(tmp_path, orders=orders)
    running = agent.begin()
    agent.wait_for(FILLED)
    asyncio.run(agent.leave("c1", CommandKind.CANCEL))
    agent.kill_when(running, "SELECT 1 FROM commands WHERE handled_ns IS NOT NULL")
    with closing(sqlite3.connect(tmp_path / "agent.db", timeout=30)) as log, log:
        log.execute("UPDATE commands SET handled_ns = NULL, outcome = NULL")  # the last write was not made
    told = agent.done(agent.begin("--resume", "last"), 1)
    assert [one["name"] for one in told["not_started"]] == ["later"]
    kinds = [e["kind"] for e in SessionReader(agent.session).journal()]
    assert kinds.count("control") == 1
    assert kinds.count("start") == 1
    assert agent.rows("SELECT outcome FROM commands") == [("done",)]


def test_schedules_go_on_with_other_names(tmp_path: Path) -> None:
    """An order that the clock starts after the return is none that there was."""
    every = {"name": "often", "every": "4s", "order": {"quantity": 1, "max_duration": "4s", "interval": "2s"}}
    every["order"]["min_duration"] = "2s"
    agent = Agent(tmp_path, schedules=[every])
    agent.kill_when(agent.begin(), "SELECT 1 FROM parent_orders WHERE parent_id LIKE '%-P2'")
    second = agent.begin("--resume", "last")
    agent.wait_for("SELECT 1 FROM parent_orders WHERE parent_id LIKE '%-P4'")
    second.send_signal(signal.SIGINT)
    told = agent.done(second, 130)
    ids = [parent["id"].rpartition("-")[2] for parent in told["parents"]]
    assert ids == [f"P{n}" for n in range(1, len(ids) + 1)]
    done = replay_session(agent.session, None, override=False, verify=True, speed=None)
    assert done.result.match is True


def test_two_do_not_go_on_at_once(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    agent.kill_when(agent.begin(), FILLED)
    one, other = (agent.begin("--resume", str(Path("sessions") / agent.session.name)) for _ in range(2))
    codes = {}
    for process in (one, other):
        codes[process.args[-1], process.pid] = agent.done(process, None)
    said = [found for found in codes.values() if "error" in found]
    assert len(said) == 1
    assert "another process" in said[0]["error"] or "is live" in said[0]["error"]
    assert faults_of(agent.session, agent.url) == []


SLOW_REPLAY = """
import sys, time
from agent.app.lives.former_session import FormerSession
taken_in = FormerSession.take_in
def slowly(self, *given):
    time.sleep(12)
    return taken_in(self, *given)
FormerSession.take_in = slowly
from agent.cli import main
main(sys.argv[1:])
"""


def test_one_that_replays_has_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another computer, whose disk knows no locks, sees a heartbeat that moves before the replay is done."""
    agent = Agent(tmp_path)
    agent.kill_when(agent.begin(), FILLED)
    argv = [
        sys.executable,
        "-c",
        SLOW_REPLAY,
        "run",
        "--paper",
        "--resume",
        "last",
        "--config",
        "config.yaml",
    ]
    where = {"PYTHONPATH": str(Path.cwd()), **os.environ}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    replaying = subprocess.Popen([*argv, "--json"], cwd=tmp_path, env=where, text=True, **pipes)  # type: ignore[call-overload]
    agent.wait_for(f"SELECT 1 FROM heartbeats WHERE pid = {replaying.pid}")
    for module in ("lease", "liveness"):
        monkeypatch.setattr(f"storage.log.control.{module}.this_host", lambda: "elsewhere")
    with pytest.raises(InputError, match="is live"):
        claim(Config(database=agent.url), agent.session.name, time.time_ns, time.monotonic_ns)
    assert not agent.rows("SELECT 1 FROM commands")
    agent.done(replaying, None)  # its order has lost half of its time
    assert faults_of(agent.session, agent.url) == []


def test_a_living_session_is_refused(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    living = agent.begin()
    try:
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s and not agent.rows(FILLED):
            time.sleep(0.1)
        told = agent.done(agent.begin("--resume", str(agent.session)), 2)
        assert "in the hands of another process" in told["error"]
        assert (
            "no session in sessions could be gone on with"
            in agent.done(agent.begin("--resume", "last"), 2)["error"]
        )
    finally:
        living.kill()
        living.communicate()


def test_who_has_lost_the_session_stops_and_writes_nothing_more(tmp_path: Path) -> None:
    """Another machine's process has its heartbeat: this one does not end what is no longer its own."""
    agent = Agent(tmp_path)
    living = agent.begin()
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s and not agent.rows(FILLED):
        time.sleep(0.1)
    with sqlite3.connect(tmp_path / "agent.db", timeout=30) as log:
        log.execute("UPDATE heartbeats SET host = 'elsewhere', pid = 1, counter = counter + 1")
    log.close()
    told = agent.done(living, 2)
    assert "was taken by another process" in told["error"]
    assert agent.rows("SELECT host, pid FROM heartbeats") == [("elsewhere", 1)]
    assert agent.rows("SELECT state FROM sessions") == [("open",)]
    assert SessionReader(agent.session).cut_off


# --- what is refused, or cut ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def dead(tmp_path_factory: pytest.TempPathFactory) -> Agent:
    """A run that was killed in mid-order."""
    agent = Agent(tmp_path_factory.mktemp("dead"))
    agent.kill_when(agent.begin(), "SELECT 1 FROM decisions WHERE interval = 4")
    return agent


def files(session: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in session.iterdir() if path.name != LOCK}


def copied(dead: Agent, folder: Path) -> Agent:
    shutil.copytree(dead.folder, folder, dirs_exist_ok=True)
    return Agent(folder)


def test_options_that_would_change_it_are_refused(dead: Agent) -> None:
    told = dead.done(dead.begin("--resume", "last", "--quantity", "5", "--symbol", "ETH/USDT"), 2)
    assert "leave out --symbol, order options" in told["error"]


def test_a_damaged_input_is_refused_and_nothing_is_changed(dead: Agent, tmp_path: Path) -> None:
    agent = copied(dead, tmp_path)
    journal = agent.session / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"target":', b'"targit":', 1))
    before = files(agent.session)
    told = agent.done(agent.begin("--resume", str(agent.session)), 2)
    assert "cannot go on" in told["error"] or "had no order" in told["error"]
    assert {
        path.name: path.read_bytes() for path in agent.session.iterdir() if path.name != "session.lock"
    } == {name: data for name, data in before.items() if name != "session.lock"}


def test_results_of_another_program_are_refused(dead: Agent, tmp_path: Path) -> None:
    agent = copied(dead, tmp_path)
    outcome = agent.session / "outcome.jsonl"
    outcome.write_text(outcome.read_text().replace("|qty_lots=", "|qty_lots=1", 1))
    told = agent.done(agent.begin("--resume", str(agent.session)), 2)
    assert "does not replay to what was recorded" in told["error"]


def test_an_ended_session_is_refused(dead: Agent, tmp_path: Path) -> None:
    agent = copied(dead, tmp_path)
    ended = [sys.executable, "-m", "agent", "sessions", "end", "last", "--db", agent.url]
    where = {"PYTHONPATH": str(Path.cwd()), **os.environ}
    subprocess.run(ended, cwd=tmp_path, env=where, check=True, capture_output=True)
    assert "has ended" in agent.done(agent.begin("--resume", str(agent.session)), 2)["error"]


@pytest.mark.parametrize("seed", range(12))
def test_after_a_power_cut(dead: Agent, tmp_path: Path, seed: int) -> None:
    """Each file has lost an end of its own; the database has lost nothing, or its file as well."""
    agent, draw = copied(dead, tmp_path), random.Random(seed)
    for name in ("tape-00000.arrows", "journal.jsonl", "outcome.jsonl"):
        path = agent.session / name
        if draw.random() < 0.7:
            size = path.stat().st_size
            with path.open("r+b") as file:
                file.truncate(size - int(size * draw.random() ** 4 * 0.2))
    if draw.random() < 0.3:
        for path in tmp_path.glob("agent.db*"):
            path.unlink()
    told = agent.done(agent.begin("--resume", str(agent.session)), None)
    if "error" in told:
        assert "had no order" in told["error"]
        return
    assert faults_of(agent.session, agent.url) == []
