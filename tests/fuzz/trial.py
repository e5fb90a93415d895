"""One trial: a command in this process, and what is wrong with how it ended."""

from __future__ import annotations

import contextlib
import io
import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from agent.cli import main as agent_main
from lem.cli import main as lem_main

ALLOWED_EXITS = {0, 1, 2, 3, 130}
HANG_S = 5.0
"""Of the processor's time, so that a busy machine makes no hang; of the wall's ``WAIT_S``."""
WAIT_S = 240.0
DEBUG_ARGUMENT = "--debug"
FAULT = "this program is at fault"


@dataclass(frozen=True, slots=True)
class Case:
    """A command line. ``program`` is agent or lem; ``about`` says what was done to its inputs."""

    argv: list[str]
    about: str = ""
    program: str = "agent"
    call: Callable[[], object] | None = None  # in place of a command line


class HangError(BaseException):
    """Not an Exception: nothing in the program may catch it."""


@dataclass(slots=True)
class Ended:
    """How a command ended."""

    code: object
    stdout: str
    stderr: str
    error: BaseException | None = None
    seconds: float = 0.0


def run_here(case: Case, folder: Path) -> Ended:
    """Run the command in this process and in ``folder``, with time limits."""
    out, err = _Stream(), _Stream()
    ended = Ended(None, "", "")
    used_s = time.process_time()
    with contextlib.chdir(folder), redirect_stdout(out), redirect_stderr(err):
        try:
            with _limits():
                _call(case)
        except SystemExit as left:
            ended.code = left.code or 0
        except BaseException as error:  # the point of it
            ended.error = error
    ended.seconds = time.process_time() - used_s
    ended.stdout, ended.stderr = out.text(), err.text()
    return ended


def _call(case: Case) -> None:
    if case.call is not None:
        case.call()
    elif case.program == "agent":
        agent_main(case.argv)
    else:
        lem_main(case.argv)


def run_as_process(case: Case, folder: Path) -> Ended:
    """Run the command as its user would."""
    command = [sys.executable, "-m", case.program, *case.argv]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=WAIT_S, cwd=folder, check=False, errors="replace"
        )
    except (subprocess.TimeoutExpired, ValueError) as error:  # ValueError: a NUL, which no command line holds
        return Ended(2, "", "error: no command line", error if isinstance(error, TimeoutError) else None)
    return Ended(done.returncode, done.stdout, done.stderr)


def fault_of(case: Case, ended: Ended) -> str | None:
    """What is wrong with how it ended; None when nothing is."""
    if isinstance(ended.error, HangError):
        return f"hangs: {ended.error}"
    if ended.error is not None:
        return f"raises {type(ended.error).__name__}: {ended.error}"
    if FAULT in ended.stderr or "Traceback" in ended.stderr:
        return f"traceback: {ended.stderr[-600:]}"
    if ended.code not in ALLOWED_EXITS:
        return f"exit code {ended.code!r}"
    if ended.code in (2, 3) and "error: " not in ended.stderr:
        return f"exit code {ended.code} without a message: {ended.stderr[-300:]!r}"
    return _fault_of_json(case, ended)


def _fault_of_json(case: Case, ended: Ended) -> str | None:
    if "--json" not in case.argv or "--help" in case.argv or not ended.stdout:
        return None
    try:
        json.loads(ended.stdout)
    except ValueError as error:
        return f"stdout is not one JSON document ({error}): {ended.stdout[:200]!r}"
    return None


class _Stream(io.TextIOWrapper):
    """A pipe's end that keeps what was written, in UTF-8 as a terminal's is."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def text(self) -> str:
        self.flush()
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue().decode(errors="replace")


@contextmanager
def _limits() -> Iterator[None]:
    def over(number: int, _frame: FrameType | None) -> None:
        what = f"{HANG_S:g} s of the processor" if number == signal.SIGPROF else f"{WAIT_S:g} s"
        raise HangError(f"over {what}")

    before = {number: signal.signal(number, over) for number in (signal.SIGPROF, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_PROF, HANG_S)
    signal.setitimer(signal.ITIMER_REAL, WAIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def limit_memory(extra_bytes: int) -> None:
    """A case that asks for gigabytes gets a MemoryError, which is a fault, and not the machine's memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    if pages:
        most = pages * resource.getpagesize() + extra_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))
