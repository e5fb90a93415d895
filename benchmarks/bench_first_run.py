"""``make run`` on a bare clone and again: time to the first decision, and the longest silence before it.

Downloads come from pip's cache or whatever index it is set up with. Usage: bench_first_run.py [PARENT]; the
clone is made in a new folder of PARENT and removed. Prints each line with its time on stderr.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIRST_DECISION = "-P1/0 "


def watched(command: list[str], folder: Path) -> tuple[float, float]:
    """Run until the first decision: (seconds to it, the longest time without a line before it)."""
    began = last = time.monotonic()
    silence = 0.0
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    running = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert running.stdout is not None
    try:
        for line in running.stdout:
            now = time.monotonic()
            silence, last = max(silence, now - last), now
            print(f"{now - began:7.2f} {line.rstrip()}", file=sys.stderr, flush=True)
            if FIRST_DECISION in line:
                return now - began, silence
    finally:
        os.killpg(running.pid, signal.SIGINT)
        running.communicate()
    raise SystemExit(f"{' '.join(command)} ended without a decision")


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="first-run-", dir=sys.argv[1] if len(sys.argv) > 1 else None))
    try:
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder / "clone")], check=True)
        for name in ("first run of a bare clone", "second run"):
            seconds, silence = watched(["make", "run"], folder / "clone")
            print(
                f"{name}: first decision after {seconds:.1f} s, longest silence {silence:.1f} s", flush=True
            )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
