"""The reference venue, in its own process and environment."""

from __future__ import annotations

import atexit
import os
import subprocess
import tempfile
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np

from agent.core.market.tape import EventArray
from tests.differential.records import END, FILL, Outcome, Records, Rules, records

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / ".venv-differential"


@cache
def interpreter() -> Path | None:
    """The Python that has hftbacktest: ``HFTBACKTEST_PYTHON``, else what ``make differential`` makes."""
    python = Path(os.environ.get("HFTBACKTEST_PYTHON", ENVIRONMENT / "bin" / "python"))
    if not python.exists():
        return None
    found = subprocess.run([python, "-c", "import hftbacktest"], capture_output=True, check=False)
    return python if found.returncode == 0 else None


class _Worker:
    """The process. What it complains of is on the standard error, which pytest shows."""

    def __init__(self, python: Path) -> None:
        self._process = subprocess.Popen(
            [python, "-m", "tests.differential.hbt_worker"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, source: Path, target: Path) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{source}\t{target}\n")
        self._process.stdin.flush()
        if self._process.stdout.readline() != "done\n":
            _worker.cache_clear()
            raise AssertionError("hftbacktest's process ended: see its standard error")

    def close(self) -> None:
        self._process.communicate()


@cache
def _worker() -> _Worker:
    python = interpreter()
    assert python is not None  # see conftest.py
    worker = _Worker(python)
    atexit.register(worker.close)
    return worker


def run_reference(tape: EventArray, orders: Records, rules: Rules) -> Outcome:
    """Run ``orders`` through hftbacktest on ``tape``."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.npz"), Path(folder, "out.npz")
        np.savez(source, tape=tape, orders=orders, **asdict(rules))
        _worker().run(source, target)
        with np.load(target) as found:
            fills, ends = found["fills"], found["ends"]
    return Outcome(records(fills.tolist(), FILL), records(ends.tolist(), END))
