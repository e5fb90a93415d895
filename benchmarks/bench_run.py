"""A first run as its user sees it: --help, time to the first decision and to the summary, peak memory."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HELP_RUNS = 7


def help_seconds() -> float:
    """Median wall time of ``--help``."""
    times = []
    for _ in range(HELP_RUNS):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "agent", "--help"], capture_output=True, check=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def default_run() -> dict[str, float]:
    """``run --paper`` with config.yaml: when its first decision and its summary are there."""
    root = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as folder:
        argv = [
            sys.executable,
            "-m",
            "agent",
            "run",
            "--paper",
            "--json",
            "--config",
            str(root / "config.yaml"),
        ]
        argv += ["--db", f"sqlite:///{folder}/agent.db", "--out", folder]
        began = time.perf_counter()
        run = subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "200"},
        )
        first = None
        assert run.stderr is not None
        for line in run.stderr:
            if first is None and "-P1/0 " in line:
                first = time.perf_counter() - began
        document = json.loads(run.communicate()[0])
        total = time.perf_counter() - began
    parent = document["parents"][0]
    return {
        "first_decision_s": round(first or float("nan"), 2),
        "summary_s": round(total, 2),
        "order_s": round((parent["ended_ns"] - parent["started_ns"]) / 1e9, 2),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
    }


if __name__ == "__main__":
    print(json.dumps({"help_s": round(help_seconds(), 3), **default_run()}))
