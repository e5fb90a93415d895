"""Runs killed with -9, at moments drawn or at a chosen call, and gone on with until their orders have ended.

    python -m tests.integration.resume_stress --kills 100 [--calls] [--db URL] [--seed N]

Every run and every ``--resume`` is a process of its own (forked from one that has loaded and compiled
everything), on the embedded exchange, whose market plays on while nobody is there. A case is one session: one
to three orders of drawn algos and tactics, killed up to three times, then left to end. With ``--calls`` a
process dies at a call: before, in the middle of, or after a write to the recording; before or after a
transaction of the database. At the end one line of JSON; there must be no ``faults``:

* an order that has not ended, or is filled beyond its size; a completed one that is not full;
* a trade missing on the tape, or twice; a fill, a decision or a child sent in time that was lost;
* a recording that does not replay to its own results; a database whose rows are not the recording's.
"""

from __future__ import annotations

import argparse
import asyncio
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

import numpy as np

from agent.app.live_session import prepare, run_paper
from agent.app.lives.resuming import resume_session
from agent.app.replay_session import replay_session
from agent.app.session_end import end_session
from agent.cli.output import run_view
from agent.config import Config, Embedded, Feed, Jobs, Order, OrderRow
from agent.core.market.tape import Kind
from agent.entry import log_lines
from storage.log import queries
from storage.log.database import migrate
from storage.log.execution_log import SqlExecutionLog
from storage.recordings import segments
from storage.recordings.session import SessionReader
from tests.integration.control_stress import Process
from tests.integration.test_parity import tables

S = 10**9
MOST_KILLS = 3
CASE_S = 150.0
WHERE = ("before a write", "in a write", "after a write", "before a transaction", "after a transaction")


class Stress:
    """``calls``: processes die at a chosen call, else at a moment."""

    def __init__(self, url: str, folder: Path, seed: int, *, calls: bool) -> None:
        self.url, self.folder, self.calls = url, folder, calls
        self.draw, self.counts = random.Random(seed), Counter[str]()
        self.faults: list[str] = []

    def config(self, number: int) -> Config:
        """One to three orders of a dozen seconds, on a busy market."""
        rows = [
            OrderRow(id=f"o{n}", start=n * S, order=self.order())
            for n in range(self.draw.choice((1, 1, 2, 3)))
        ]
        return Config(
            order=rows[0].order,
            orders=tuple(rows),
            seed=number,
            embedded=Embedded(seed=number, speed=self.draw.choice((1.0, 3.0))),
            database=self.url,
            out=self.folder / f"{number}",
            feed=Feed(warm_up=30 * S),
            jobs=Jobs(),
        )

    def order(self) -> Order:
        draw = self.draw
        return Order(
            side=draw.choice(("buy", "sell")),
            quantity=Decimal(draw.randint(1, 30)) / 10,
            algo=draw.choice(("twap", "vwap", "pov", "optimal_stopping", "almgren_chriss")),
            tactic=draw.choice(("twap_micro", "peg", "peg", "sweep")),
            shadows=draw.choice(((), ("twap",), ("vwap", "immediate"))),
            interval=2 * S,
            min_duration=4 * S,
            max_duration=draw.choice((8, 14, 20)) * S,
        )

    def case(self, number: int) -> None:
        config, kills = self.config(number), 0
        process = self.life(config, f"{number}-0", self.begun(config))
        while True:
            mean_to_kill = kills < MOST_KILLS and self.draw.random() < 0.8
            killed = self.killed(process) if mean_to_kill else not self.ended(process, number)
            if not killed:
                break
            kills += 1
            self.counts["kills"] += 1
            time.sleep(self.draw.random() * 3)
            session = next(config.out.glob("*/session.json"), None)
            if session is None or not self.has_order(session.parent):
                self.counts["died before an order"] += 1
                return
            process = self.life(config, f"{number}-{kills}", self.resumed(config, session.parent))
        self.counts["sessions"] += 1
        self.counts[f"lives {kills + 1}"] += 1
        for session in config.out.glob("*/session.json"):
            self.check(number, session.parent)

    # --- processes ------------------------------------------------------------------------------------

    def life(self, config: Config, name: str, work: Callable[[], int]) -> Process:
        at = (self.draw.choice(WHERE), self.draw.randint(1, 120)) if self.calls else None

        def dying() -> int:
            if at is not None:
                die_at(*at)
            return work()

        return Process(self.folder, name, dying)

    def begun(self, config: Config) -> Callable[[], int]:
        def work() -> int:
            log_lines.set_up(always_json=True)
            with run_view(plain=True) as view:
                return 0 if asyncio.run(run_paper(config, view)).succeeded else 1

        return work

    def resumed(self, config: Config, session: Path) -> Callable[[], int]:
        def work() -> int:
            log_lines.set_up(always_json=True)
            if SessionReader(session).end_ns is not None:  # it died after that, and before the database's end
                end_session(self.url, str(session), time.time_ns, time.monotonic_ns)
                return 0
            with run_view(plain=True) as view:
                return 0 if resume_session(str(session), config, view).succeeded else 1

        return work

    def killed(self, process: Process) -> bool:
        """Whether it died by our hand, and not by its end."""
        if self.calls:
            process.gone_within(CASE_S)
            return process.code == -signal.SIGKILL
        process.gone_within(1.5 + self.draw.random() * 9)
        process.kill()
        return process.code == -signal.SIGKILL

    def ended(self, process: Process, number: int) -> bool:
        """Whether it came to its end by itself; a fault if not."""
        if not process.gone_within(CASE_S):
            self.faults.append(f"case {number}: has not ended within {CASE_S:g} s")
            process.kill()
            return True
        if process.code == -signal.SIGKILL:
            return False  # at its chosen call
        if process.code not in (0, 1):
            self.faults.append(f"case {number}: exit {process.code}: {process.err.read_text()[-1500:]}")
        return True

    @staticmethod
    def has_order(session: Path) -> bool:
        return any(entry.get("kind") == "start" for entry in SessionReader(session).journal())

    # --- what must hold -------------------------------------------------------------------------------

    def check(self, number: int, session: Path) -> None:
        try:
            for fault in faults_of(session, self.url):
                self.faults.append(f"case {number}, {session.name}: {fault}")
        except Exception as error:
            self.faults.append(f"case {number}, {session.name}: {type(error).__name__}: {error}")


def faults_of(session: Path, url: str) -> list[str]:
    """What is wrong with a session that has ended, after however many lives."""
    faults: list[str] = []
    done = replay_session(session, None, override=False, verify=True, speed=None, database=url)
    if done.result.match is not True or done.result.cut_off or done.within_tape is False:
        faults.append(f"replays to something else: {done.result.difference}, cut off {done.result.cut_off}")
    assert done.stored is not None
    wanted, found = tables(url, done.stored.session), tables(url, session.name)
    faults += [
        f"{name}: {len(of)} rows, and {len(wanted[name])} of the recording"
        for name, of in found.items()
        if of != wanted[name]
    ]
    state = queries.sql(url, f"SELECT state FROM sessions WHERE session = '{session.name}'").rows
    if state[0][0] == "open":
        faults.append("the database calls it open")
    faults += _faults_of_parents(done.summary.parents())
    reader = SessionReader(session)
    faults += _faults_of_tape(reader)
    lost = [(int(e["from_ns"]), int(e["to_ns"])) for e in reader.journal() if e["kind"] == "resumed"]  # type: ignore[call-overload]
    for table, column in (("decisions", "at_ns"), ("fills", "fill_ns"), ("child_orders", "sent_ns")):
        for (at_ns,) in queries.sql(
            url, f"SELECT {column} FROM {table} WHERE session = '{session.name}'"
        ).rows:
            if any(from_ns < at_ns < to_ns for from_ns, to_ns in lost):
                faults.append(f"{table}: one of {at_ns}, when nobody was there")
    return faults


def _faults_of_parents(parents: Any) -> list[str]:
    faults = []
    for parent in [*parents, *(s for p in parents for s in p["shadows"])]:
        name = parent.get("id") or parent["algo"]
        if parent["state"] not in ("completed", "expired"):
            faults.append(f"{name} is {parent['state']}: {parent.get('reason')}")
    for parent in parents:
        filled, target = Decimal(parent["filled"]), Decimal(parent["target"])
        if filled > target or (parent["state"] == "completed") != (filled == target):
            faults.append(f"{parent['id']} is {parent['state']} with {filled} of {target}")
    return faults


def _faults_of_tape(reader: SessionReader) -> list[str]:
    tape = reader.events()
    trades = tape[tape["kind"] == Kind.TRADE]
    ids = np.sort(trades["ext_id"])
    lost = int(tape["qty_lots"][tape["kind"] == Kind.GAP_END].sum())
    twice, missing = len(ids) - len(np.unique(ids)), int(ids[-1] - ids[0] + 1) - len(np.unique(ids))
    faults = [f"{twice} trades twice"] if twice else []
    if missing or lost:
        faults.append(f"{missing} trades missing, {lost} said to be lost")
    return faults


def die_at(where: str, number: int) -> None:
    """Make this process die at its ``number``-th write or transaction."""
    left = [number]

    def due() -> bool:
        left[0] -= 1
        return left[0] == 0

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if where.endswith("write"):
        write = segments.os.write

        def dying_write(file: int, data: Any) -> int:
            if not due():
                return write(file, data)
            if where.startswith("in"):
                write(file, bytes(data)[: len(data) // 2])
            elif where.startswith("after"):
                write(file, data)
            die()
            return 0

        segments.os = type("os", (), {**vars(os), "write": staticmethod(dying_write)})  # type: ignore[assignment]
        return
    store = SqlExecutionLog.write

    async def dying_store(self: SqlExecutionLog, events: Any) -> None:
        if not due():
            return await store(self, events)
        if where.startswith("after"):
            await store(self, events)
        die()
        return None

    SqlExecutionLog.write = dying_store  # type: ignore[method-assign]


def stress(kills: int, url: str, folder: Path, seed: int, *, calls: bool) -> dict[str, object]:
    """Play cases until so many processes have been killed; what came of them."""
    migrate(url)
    play = Stress(url, folder, seed, calls=calls)
    with Path(os.devnull).open("w") as nowhere:
        sys.stderr, shown = nowhere, sys.stderr
        with run_view(plain=True) as view:
            prepare(play.config(0), view)
        sys.stderr = shown
    started_s, number = time.monotonic(), 0
    while play.counts["kills"] < kills:
        number += 1
        play.case(number)
        sys.stderr.write(f"{number} cases, {dict(play.counts)}, {len(play.faults)} faults\n")
    took_s = round(time.monotonic() - started_s, 1)
    return {"cases": number, "wall_s": took_s, **dict(sorted(play.counts.items())), "faults": play.faults}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--calls", action="store_true", help="die at chosen calls, not at moments")
    parser.add_argument("--db", help="a database of its own; a SQLite file if left out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="the folder of the recordings")
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    with tempfile.TemporaryDirectory() as work:
        at = given.keep or Path(work)
        at.mkdir(parents=True, exist_ok=True)
        found = stress(given.kills, given.db or f"sqlite:///{at}/agent.db", at, given.seed, calls=given.calls)
    sys.stdout.write(json.dumps(found) + "\n")
    sys.exit(1 if found["faults"] else 0)
