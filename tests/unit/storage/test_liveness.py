"""Live or dead: told by whether a heartbeat moves, whatever any clock says."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from storage.log.control.liveness import FRESH_S, WATCH_S, Life, Seen, Watch
from storage.log.control.processes import runs_here, this_host

S = 10**9
NOW = 1_800_000_000 * S


class Clocks:
    """This computer's two clocks, moved by hand."""

    def __init__(self) -> None:
        self.passed_ns = 0
        self.watch = Watch(lambda: time.time_ns() + self.passed_ns, lambda: self.passed_ns)

    def after(self, seconds: float, seen: Seen) -> Life | None:
        self.passed_ns += int(seconds * S)
        return self.watch.judge(seen)


def seen(
    counter: int | None,
    *,
    age_s: float = 0.5,
    host: str | None = "elsewhere",
    pid: int = 7,
    stored: str = "open",
) -> Seen:
    beat_ns = None if counter is None else time.time_ns() - int(age_s * S)
    return Seen("s", "sessions/s", stored, NOW, host, pid, counter, beat_ns)


@pytest.fixture
def ended() -> int:
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("age_s", [-86400.0, -5.0, 0.0, 0.5, 3600.0, 10**8])
def test_another_computers_clock_decides_nothing(age_s: float) -> None:
    """Fresh or old by its clock: live once the counter moves, dead once it has stood still."""
    moving, still = Clocks(), Clocks()
    assert moving.after(0, seen(5, age_s=age_s)) is None
    assert moving.after(WATCH_S - 0.1, seen(6, age_s=age_s)) is Life.LIVE
    assert moving.after(WATCH_S - 0.1, seen(6, age_s=age_s)) is Life.LIVE
    assert moving.after(0.2, seen(6, age_s=age_s)) is Life.DEAD
    assert still.after(0, seen(5, age_s=age_s)) is None
    assert still.after(WATCH_S - 0.1, seen(5, age_s=age_s)) is None
    assert still.after(0.2, seen(5, age_s=age_s)) is Life.DEAD


def test_a_fresh_beat_of_a_process_here_is_proof() -> None:
    """No second look is wanted; an old one of the same process is watched."""
    here = {"host": this_host(), "pid": os.getpid()}
    assert Clocks().after(0, seen(1, **here)) is Life.LIVE
    assert Clocks().after(0, seen(1, age_s=FRESH_S + 1, **here)) is None


def test_a_fresh_beat_of_a_process_that_is_gone_proves_nothing(ended: int) -> None:
    """It was killed a moment ago."""
    clocks = Clocks()
    assert clocks.after(0, seen(1, host=this_host(), pid=ended)) is None
    assert clocks.after(WATCH_S, seen(1, host=this_host(), pid=ended)) is Life.DEAD


def test_one_that_never_beat_is_watched_too() -> None:
    """A log from before there were heartbeats, or a session opened at this moment."""
    old, new = Clocks(), Clocks()
    assert old.after(0, seen(None, host=None)) is None
    assert old.after(WATCH_S, seen(None, host=None)) is Life.DEAD
    assert new.after(0, seen(None, host=None)) is None
    assert new.after(1, seen(1)) is Life.LIVE


def test_a_resumed_session_begins_to_count_again() -> None:
    """Any change of the counter is a move."""
    clocks = Clocks()
    assert clocks.after(0, seen(900)) is None
    assert clocks.after(1, seen(1)) is Life.LIVE


@pytest.mark.parametrize("stored", ["closed", "interrupted", "failed"])
def test_what_has_ended_is_closed(stored: str) -> None:
    """Whatever its heartbeat says."""
    assert Clocks().after(0, seen(1, host=this_host(), pid=os.getpid(), stored=stored)) is Life.CLOSED


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes cannot be looked at here")
def test_a_process_is_told_from_a_later_one_of_its_number(ended: int) -> None:
    """Ours runs, and did not run a day before it was started; a zombie does not run."""
    assert runs_here(os.getpid(), time.time_ns()) is True
    assert runs_here(os.getpid(), time.time_ns() - 86400 * S) is False
    assert runs_here(ended, time.time_ns()) is False
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    deadline = time.monotonic() + 10
    while runs_here(zombie.pid, time.time_ns()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert runs_here(zombie.pid, time.time_ns()) is False
    zombie.wait()
