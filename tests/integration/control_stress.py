"""``ctl kill`` against two and three runs on one database, one of them killed with -9, again and again.

    python -m tests.integration.control_stress --runs 200 [--db URL] [--seed N]

Every run, every ``ctl`` and every ``sessions end`` is a process of its own (forked from one that has loaded
and compiled everything, so that a round takes seconds). Moments are drawn: a run dies before ``ctl`` begins,
as it begins, or while it waits; another may be just starting. At the end one line of JSON: what was reached,
what was not and was told, and the faults, of which there must be none:

* a session that lives on, and was not told to have been missed;
* ``done`` while a session lives on; a live session called dead; a dead one that is not named, or takes
  the command; an ended one whose order still works in the database.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from agent.app.live_session import prepare, run_paper
from agent.cli import main
from agent.cli.output import run_view
from agent.config import Config, Feed, Order
from agent.core.errors import AgentError
from agent.entry import log_lines
from storage.log.database import migrate
from storage.log.queries import sql

S = 10**9
GRACE_S = 30.0  # for what was reached to end
OPENING_S = 300.0
TWAP = Order(
    quantity=Decimal("0.5"),
    algo="twap",
    shadows=(),
    interval=S,
    min_duration=120 * S,
    max_duration=180 * S,
)


class Process:
    """A forked process whose output goes to a file."""

    def __init__(self, folder: Path, name: str, work: Callable[[], int]) -> None:
        self.out, self.err = folder / f"{name}.out", folder / f"{name}.err"
        self.code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            self._become(work)

    def _become(self, work: Callable[[], int]) -> None:
        code = 99
        try:
            for path, number in ((self.out, 1), (self.err, 2)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            code = work()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 1
        finally:
            sys.stdout.flush()
            os._exit(code)

    def alive(self) -> bool:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code is None

    def gone_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self.alive()

    def kill(self) -> None:
        if self.alive():
            os.kill(self.pid, signal.SIGKILL)
            self.gone_within(10)


def command(folder: Path, name: str, *argv: str) -> Process:
    def work() -> int:
        main([*argv, "--json"])
        return 0

    return Process(folder, name, work)


class Stress:
    def __init__(self, url: str, folder: Path, seed: int) -> None:
        self.url, self.folder, self.draw = url, folder, random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self.config = Config(order=TWAP, database=url, out=folder / "sessions", feed=Feed(warm_up=S))

    def run(self, number: int, name: str) -> Process:
        config = self.config.model_copy(update={"seed": number})

        def work() -> int:
            log_lines.set_up(always_json=True)
            with run_view(plain=True) as view:
                return 0 if asyncio.run(run_paper(config, view)).succeeded else 1

        return Process(self.folder, name, work)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        try:
            return list(sql(self.url, statement).rows)
        except AgentError:
            return []

    def sessions(self) -> dict[int, str]:
        """pid -> session, of all that have a heartbeat."""
        return {int(pid): session for session, pid in self.rows("SELECT session, pid FROM heartbeats")}

    def round(self, number: int) -> None:
        runs = []
        for i in range(self.draw.choice((2, 3))):
            runs.append(self.run(number * 10 + i, f"{number}-{i}"))
            time.sleep(0.005 + self.draw.random() * 0.3)
        self._wait_for(
            runs, self.draw.choice(("heartbeats", "parent_orders", "parent_orders", "parent_orders"))
        )
        time.sleep(self.draw.random() * self.draw.choice((0.5, 3)))
        victim = self.draw.choice(runs)
        when = self.draw.choice(("before", "just before", "during"))
        if when != "during":
            victim.kill()
            time.sleep(self.draw.random() * 3 if when == "before" else 0)
        ctl = command(self.folder, f"{number}-ctl", "ctl", "kill", "--db", self.url)
        if when == "during":
            time.sleep(self.draw.random())
            victim.kill()
        known = self.sessions()
        if not ctl.gone_within(60):
            self.faults.append(f"round {number}: ctl hangs")
        self._judge(number, runs, victim, known, json.loads(ctl.out.read_text()))
        for each in runs:
            each.kill()
        self._end(number, known.get(victim.pid))

    def _wait_for(self, runs: list[Process], table: str) -> None:
        """Until every run has a row in ``table``: it is open, or its order has begun."""
        having = f"SELECT pid FROM heartbeats WHERE session IN (SELECT session FROM {table})"
        deadline = time.monotonic() + OPENING_S
        while time.monotonic() < deadline:
            if {r.pid for r in runs} <= {int(row[0]) for row in self.rows(having)}:
                return
            time.sleep(0.1)

    def _judge(
        self, number: int, runs: list[Process], victim: Process, known: dict[int, str], answer: dict[str, Any]
    ) -> None:
        said = {each["session"]: each for each in answer["sessions"]}
        for each in runs:
            session = known.get(each.pid, "")
            outcome = said.get(session)
            if each is victim:
                self._judge_dead(number, session, outcome)
                continue
            gone = each.gone_within(GRACE_S)
            reached = outcome is not None and "no order goes out" in outcome["outcome"]
            told = outcome is not None and outcome["state"] == "live" and not reached
            self.counts["reached" if reached else "told" if told else "missed"] += 1
            if not (reached or told or gone):
                self.faults.append(f"round {number}: {session} not reached and not told: {outcome}")
            if answer["done"] and not gone:
                self.faults.append(f"round {number}: done, and {session} lives on")
            if outcome is not None and outcome["state"] == "dead":
                self.faults.append(f"round {number}: {session} lives and was called dead")
            if gone and self._works(session):
                self.faults.append(f"round {number}: {session} has ended, its order works")

    def _judge_dead(self, number: int, session: str, outcome: dict[str, Any] | None) -> None:
        """It died before or during the command: it may have answered, or it is named."""
        state = "missing" if outcome is None else outcome["state"]
        self.counts[f"killed run said {state}"] += 1
        waiting = f"SELECT command_id FROM commands WHERE session = '{session}' AND handled_ns IS NULL"
        if outcome is None or (state == "dead" and self.rows(waiting)):
            self.faults.append(f"round {number}: dead {session} is not named, or holds the command")

    def _works(self, session: str) -> bool:
        open_states = "('pending', 'working', 'paused')"
        return bool(
            self.rows(
                f"SELECT state FROM parent_orders WHERE session = '{session}' AND state IN {open_states}"
            )
        )

    def _end(self, number: int, session: str | None) -> None:
        if session is None:
            return
        end = command(self.folder, f"{number}-end", "sessions", "end", session, "--db", self.url)
        end.gone_within(60)
        self.counts["sessions ended"] += end.code == 0
        if end.code != 0 and "has ended already" not in end.err.read_text():
            self.faults.append(f"round {number}: sessions end: {end.err.read_text()[-300:]}")
        elif self._works(session):
            self.faults.append(f"round {number}: {session} was ended, its order works")


def stress(rounds: int, url: str, folder: Path, seed: int) -> dict[str, object]:
    """Play ``rounds``; what came of them."""
    migrate(url)
    play = Stress(url, folder, seed)
    with Path(os.devnull).open("w") as nowhere:
        sys.stderr, shown = nowhere, sys.stderr
        with run_view(plain=True) as view:
            prepare(play.config, view)
        sys.stderr = shown
    started_s, played = time.monotonic(), 0
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C tells what there is
        for number in range(1, rounds + 1):
            play.round(number)
            played = number
            if number % 10 == 0:
                sys.stderr.write(f"{number} rounds, {dict(play.counts)}, {len(play.faults)} faults\n")
    took_s = round(time.monotonic() - started_s, 1)
    return {"rounds": played, "wall_s": took_s, **dict(sorted(play.counts.items())), "faults": play.faults}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="how many times the runs are started")
    parser.add_argument("--db", help="a database of its own; a SQLite file if left out")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    with tempfile.TemporaryDirectory() as work:
        found = stress(given.runs, given.db or f"sqlite:///{work}/agent.db", Path(work), given.seed)
    sys.stdout.write(json.dumps(found) + "\n")
    sys.exit(1 if found["faults"] else 0)
