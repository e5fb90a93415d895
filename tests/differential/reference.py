"""The reference venue, in its own process and environment."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np

from agent.core.tape import EventArray
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


def run_reference(tape: EventArray, orders: Records, rules: Rules) -> Outcome:
    """Run ``orders`` through hftbacktest on ``tape``."""
    python = interpreter()
    assert python is not None  # see conftest.py
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.npz"), Path(folder, "out.npz")
        np.savez(source, tape=tape, orders=orders, **asdict(rules))
        command = [python, "-m", "tests.differential.hbt_worker", source, target]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        with np.load(target) as found:
            fills, ends = found["fills"], found["ends"]
    return Outcome(records(fills.tolist(), FILL), records(ends.tolist(), END))
