"""One seed in a process of its own: forked from one that is warm, so that no seed can disturb another.

The fork also answers for what a killed life leaves behind: its tasks are never finished, and go with the
process.
"""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import structlog

from agent.app.live.run_views import Unwatched
from agent.app.live_session import prepare
from tests.simulation.exchange_machine import lighter_market
from tests.simulation.invariants import violations
from tests.simulation.scenario import Scenario, scenario
from tests.simulation.simulated_run import DATABASE, SESSIONS, config_of, simulate
from tests.simulation.violation import Kind
from tests.simulation.virtual_time import install_in_apscheduler

MOST_S = 240
"""Of real time for one seed; one that takes longer hangs."""
LOG = "log.txt"


@dataclass
class Played:
    """What a seed came to, as its process tells it."""

    seed: int
    virtual_s: float = 0.0
    core_s: float = 0.0  # of one core
    kills: int = 0
    resumes: int = 0
    faults: int = 0
    digest: str = ""
    violations: list[tuple[str, str]] = field(default_factory=list)  # (kind, what)

    @property
    def kinds(self) -> set[str]:
        return {kind for kind, _ in self.violations}


def warm_up() -> None:
    """Import, compile and play once what every seed needs, before anything is forked."""
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
    lighter_market()
    install_in_apscheduler()
    _quiet(verbose=False)
    prepare(config_of(scenario(0)), Unwatched())
    with tempfile.TemporaryDirectory() as folder:
        here = Path.cwd()
        os.chdir(folder)
        violations(simulate(scenario(0).with_faults(())))
        os.chdir(here)
    gc.collect()
    gc.freeze()


def _quiet(*, verbose: bool) -> None:
    level = logging.DEBUG if verbose else logging.CRITICAL
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))


def start(given: Scenario, folder: Path, change: Callable[[], None] | None = None) -> tuple[int, int]:
    """Fork; (process, where its answer comes). ``change`` is made to the product first."""
    read, write = os.pipe()
    child = os.fork()
    if child:
        os.close(write)
        return child, read
    os.close(read)
    try:
        signal.alarm(MOST_S)
        _log_to(folder / LOG)
        answer = json.dumps(asdict(_play(given, folder, change)))
        with os.fdopen(write, "w") as pipe:
            pipe.write(answer)
    finally:
        sys.stdout.flush()
        os._exit(0)


def _log_to(path: Path) -> None:
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)


def _play(given: Scenario, folder: Path, change: Callable[[], None] | None) -> Played:
    os.chdir(folder)
    _quiet(verbose=True)
    if change is not None:
        change()
    played = Played(given.seed)
    began_s = time.process_time()
    try:
        outcome = simulate(given)
        played.virtual_s, played.kills = round(outcome.virtual_s, 3), outcome.kills
        played.faults, played.resumes = len(outcome.done), outcome.resumes
        told = f"result: {outcome.result!r}\ndead: {outcome.dead}\nresumed {outcome.resumes} times\n"
        sys.stdout.write(told)
        played.violations = [(v.kind.value, v.what) for v in violations(outcome)]
        played.digest = _digest()
    except BaseException as error:
        traceback.print_exc()
        played.violations.append((Kind.OTHER.value, f"{type(error).__name__}: {error}"))
    played.core_s = round(time.process_time() - began_s, 3)
    return played


def _digest() -> str:
    """Of every byte of the recordings and every row of the database."""
    found = hashlib.sha256()
    for path in sorted(SESSIONS.rglob("*")):
        found.update(str(path).encode())
        found.update(path.read_bytes() if path.is_file() else b"")
    if DATABASE.exists():
        connection = sqlite3.connect(DATABASE)
        for line in connection.iterdump():
            found.update(line.encode())
        connection.close()
    return found.hexdigest()


def finish(given: Scenario, child: int, read: int) -> Played:
    """Wait for a process that was started."""
    with os.fdopen(read) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if text:
        return Played(**json.loads(text))
    code = os.waitstatus_to_exitcode(status)
    why = f"no answer within {MOST_S} s" if code == -signal.SIGALRM else f"its process ended with {code}"
    return Played(given.seed, violations=[(Kind.OTHER.value, why)])


def play(given: Scenario, change: Callable[[], None] | None = None, keep: Path | None = None) -> Played:
    """One seed, waited for. ``keep``: the folder for its files and log, which stay."""
    folder = keep or Path(tempfile.mkdtemp(prefix="simulated-"))
    try:
        return finish(given, *start(given, folder, change))
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
