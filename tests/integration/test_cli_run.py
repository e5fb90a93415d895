"""The command line as its users meet it: real processes, one JSON document, clean interruptions."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from storage.recordings.session import SessionReader
from tests.patience import PATIENCE_S


def words(text: str) -> set[str]:
    return set(text.split())


SHORT = ["--interval", "1s", "--min-duration", "2s", "--max-duration", "4s", "--quantity", "0.5"]
PARENT_KEYS = words(
    "id symbol side target_kind target filled avg_price arrival_price state algo benchmark gain_bps"
    " full_gain_bps arrival_slippage_bps shortfall children fills decisions started_ns ended_ns shadows"
)
SHADOW_KEYS = words(
    "algo gain_bps full_gain_bps arrival_slippage_bps diff_gain_bps diff_full_bps diff_arrival_bps"
)


def agent(*argv: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agent", *argv],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env={**os.environ, **(env or {})},
    )


def where(folder: Path) -> list[str]:
    return ["--db", f"sqlite:///{folder / 'agent.db'}", "--out", str(folder / "sessions")]


def test_run_replay_and_log_speak_json(tmp_path: Path) -> None:
    """One document with the contract's keys; its replay is identical under any hash seed; the log agrees."""
    done = agent("run", "--paper", "--json", *where(tmp_path), *SHORT, "--algo", "lem", "--shadow", "twap")
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    (parent,) = document["parents"]
    assert parent.keys() >= PARENT_KEYS
    assert parent["shortfall"].keys() == {"delay", "trading", "opportunity", "fees", "total"}
    assert [s.keys() >= SHADOW_KEYS for s in parent["shadows"]] == [True]
    assert document["feed"].keys() >= {"trades", "gaps", "backfilled", "lost", "stale_ns"}
    digests = set()
    for seed in ("0", "12345"):
        again = agent("replay", document["path"], "--verify", "--json", env={"PYTHONHASHSEED": seed})
        assert again.returncode == 0, again.stderr
        result = json.loads(again.stdout)
        assert (result["match"], result["digest"]) == (True, result["recorded_digest"])
        digests.add(result["digest"])
    assert len(digests) == 1
    rows = json.loads(agent("log", "parents", "--json", *where(tmp_path)[:2]).stdout)
    assert [(r["parent_id"], r["filled"]) for r in rows] == [(parent["id"], parent["filled"])]
    text = agent(
        "log", "sql", "SELECT count(*) AS n FROM v_decisions", "--format", "csv", *where(tmp_path)[:2]
    )
    assert text.stdout.split() == ["n", str(parent["decisions"])]


def test_an_order_that_expired_is_exit_code_1(tmp_path: Path) -> None:
    """The work ran and did not succeed: the document says so, and so does the code that a script looks at."""
    capped = [*SHORT, "--algo", "twap", "--shadow", "", "--participation-cap", "0.0001"]
    done = agent("run", "--paper", "--json", *where(tmp_path), *capped)
    (parent,) = json.loads(done.stdout)["parents"]
    assert (parent["state"], done.returncode) == ("expired", 1), done.stderr


def test_interrupt_cancels_stores_and_exits_130(tmp_path: Path) -> None:
    """Ctrl-C in the middle of an order: a cancelled parent in the database, a session that verifies."""
    argv = ["run", "--paper", *where(tmp_path), "--algo", "twap", "--tactic", "peg", "--shadow", "vwap"]
    order = ["--quantity", "1", "--interval", "2s", "--min-duration", "20s", "--max-duration", "60s"]
    running = subprocess.Popen(
        [sys.executable, "-m", "agent", *argv, *order],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    for line in running.stderr:
        if "-P1/1 " in line:
            break
    status = json.loads(agent("status", "--json", *where(tmp_path)[:2]).stdout)
    assert [p["state"] for p in status["parents"]] == ["working"]
    time.sleep(0.5)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 130
    stored = sqlite3.connect(tmp_path / "agent.db")
    assert set(stored.execute("SELECT state FROM parent_orders")) == {("cancelled",)}
    open_children = (
        "SELECT count(*) FROM child_orders WHERE state NOT IN ('filled','cancelled','expired','rejected')"
    )
    assert stored.execute(open_children).fetchone() == (0,)
    assert stored.execute("SELECT state FROM sessions").fetchone() == ("interrupted",)
    (session,) = (tmp_path / "sessions").iterdir()
    again = agent("replay", str(session), "--verify", "--json")
    assert json.loads(again.stdout)["match"] is True, again.stdout


def test_pause_and_resume_from_another_terminal(tmp_path: Path) -> None:
    """``ctl`` reaches a running agent within moments, and is answered."""
    order = ["--quantity", "0.5", "--interval", "1s", "--min-duration", "60s", "--max-duration", "120s"]
    running = subprocess.Popen(
        [sys.executable, "-m", "agent", "run", "--paper", *where(tmp_path), *order, "--algo", "twap"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    try:
        for line in running.stderr:
            if "-P1/0 " in line:
                break
        for action, outcome in (("pause", "done"), ("pause", "cannot pause"), ("resume", "done")):
            answer = json.loads(agent("ctl", action, "--json", *where(tmp_path)[:2]).stdout)
            (session,) = answer["sessions"]
            assert outcome in session["outcome"]
            assert answer["done"] is (outcome == "done")
        assert any("resumed" in line for line in running.stderr)
        assert any("-P1/" in line for line in running.stderr)  # it decides again
    finally:
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=40)
    assert running.returncode == 130
    (session,) = (tmp_path / "sessions").iterdir()
    commands = [e["command"] for e in SessionReader(session).journal() if e["kind"] == "control"]
    assert commands == ["pause", "pause", "resume", "cancel"]
    stored = sqlite3.connect(tmp_path / "agent.db")
    states = stored.execute("SELECT state FROM parent_orders WHERE shadow_of IS NULL").fetchall()
    assert states == [("cancelled",)]


@pytest.mark.slow
def test_schedules_start_parents_until_interrupted(tmp_path: Path) -> None:
    """APScheduler starts an order every few seconds beside the configured one."""
    config = tmp_path / "c.yaml"
    quick = "quantity: 0.1, algo: twap, interval: 1s, min_duration: 1s, max_duration: 2s, shadows: []"
    config.write_text(f"order: {{{quick}}}\nschedules: [{{name: often, every: 2s, order: {{{quick}}}}}]\n")
    running = subprocess.Popen(
        [sys.executable, "-m", "agent", "run", "--paper", "--config", str(config), *where(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    for line in running.stderr:
        if "-P3 completed" in line:
            break
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 130
    rows = sqlite3.connect(tmp_path / "agent.db").execute("SELECT state FROM parent_orders").fetchall()
    assert [r for r in rows if r == ("completed",)][:3] == [("completed",)] * 3


@pytest.mark.slow
def test_record_then_trade_on_it(tmp_path: Path) -> None:
    """A session recorded without an order replays with one, and serves as the embedded market."""
    done = agent("record", "--duration", "4s", "--json", *where(tmp_path)[2:])
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["events"] > 0
    order = ["--quantity", "0.1", "--algo", "twap", "--interval", "1s", "--min-duration", "1s"]
    replayed = agent("replay", facts["session"], *order, "--max-duration", "2s", "--shadow", "", "--json")
    assert json.loads(replayed.stdout)["parents"][0]["filled"] == "0.10000", replayed.stderr
