"""Make a virtual environment from a lock file, on every core, saying how far it is. Standard library only.

The lock names every package, so several pips can install side by side without looking at dependencies
(``pip check`` in ``make check`` looks at them). Bytecode is left to what is imported: compiling all of every
package takes longer than installing it. Progress is a line redrawn on a terminal, and a line every two
seconds in a pipe.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

LINE_EVERY_S, LOOK_EVERY_S = 2.0, 0.2
MOST_PIPS = 4
TORCH = "torch"


def main() -> None:
    given = _arguments()
    python = given.venv / "bin" / "python"
    started = time.monotonic()
    with ThreadPoolExecutor(MOST_PIPS + 2) as pool:
        making = _run([sys.executable, "-m", "venv", str(given.venv)])
        _watch([pool.submit(making)], lambda: f"making a virtual environment in {given.venv}")
        install = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-compile"]
        pins = [line for line in given.requirements.read_text().splitlines() if line and line[0] != "#"]
        torch = [pin for pin in pins if pin.startswith(f"{TORCH}==")]
        rest = [pin for pin in pins if pin not in torch]
        pips = max(1, min(MOST_PIPS, os.cpu_count() or 1))
        jobs = [_run([*install, "--no-deps", *rest[i::pips]]) for i in range(pips)]
        jobs = [_torch(install, pin, given.torch_index) for pin in torch] + jobs
        if given.project:
            jobs.append(_run([*install, "--no-deps", "-e", "."]))
        count = len(pins) + given.project
        _watch([pool.submit(job) for job in jobs], lambda: _installing(given.venv, count))
        imports = [_run([str(python), "-c", f"{WRITING}; import {each}"]) for each in given.imports]
        _watch([pool.submit(job) for job in imports], lambda: f"preparing {', '.join(given.imports)}")
    print(f"{given.venv} is ready after {time.monotonic() - started:.0f} s", flush=True)


WRITING = "import sys; sys.dont_write_bytecode = False"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("venv", type=Path)
    parser.add_argument("requirements", type=Path, help="every package, pinned")
    parser.add_argument("--project", action="store_true", help="install the project itself, editable")
    parser.add_argument("--torch-index", help="where torch's CPU build is looked for first")
    parser.add_argument("--imports", nargs="*", default=[], help="imported once, to keep their bytecode")
    return parser.parse_args()


def _run(command: Sequence[str], also: Sequence[str] | None = None) -> Callable[[], None]:
    """Run it, and ``also`` if it fails; what they print is shown if the last one fails."""

    def job() -> None:
        with tempfile.TemporaryFile("w+") as log:
            if subprocess.call(command, stdout=log, stderr=log) == 0:
                return
            if also is not None and subprocess.call(also, stdout=log, stderr=log) == 0:
                return
            log.seek(0)
            raise SystemExit(f"\nfailed: {' '.join(also or command)}\n{log.read()}")

    return job


def _torch(install: Sequence[str], pin: str, index: str | None) -> Callable[[], None]:
    """On Linux the default index serves torch with gigabytes of CUDA; its "+cpu" build serves as well here
    and comes from PyTorch's own index. Where that cannot be reached, the default index it is.
    """
    plain = [*install, "--no-deps", pin]
    if not index:
        return _run(plain)
    first = ["--retries", "0", "--timeout", "20", "--extra-index-url", index, f"{pin}+cpu"]
    return _run([*install, "--no-deps", *first], plain)


def _installing(venv: Path, count: int) -> str:
    """pip writes this folder of a package last."""
    found = sorted(venv.glob("lib*/python*/site-packages/*.dist-info"), key=lambda path: path.stat().st_mtime)
    names = [path.name.partition("-")[0] for path in found]
    names = [name for name in names if name not in ("pip", "setuptools")]
    latest = f", the latest {names[-1]}" if names else ", unpacking"
    return f"installing packages: {min(len(names), count)} of {count}{latest}"


def _watch(jobs: Sequence[Future[None]], doing: Callable[[], str]) -> None:
    """Until all are done, say what is being done. Raises what ended one of them."""
    tty, began, said_s = sys.stdout.isatty(), time.monotonic(), float("-inf")
    width = 110
    while True:
        now_s = time.monotonic()
        waiting = wait(jobs, timeout=0).not_done
        if tty or not waiting or now_s - said_s >= LINE_EVERY_S:
            said_s = now_s
            line = f"{doing()}, {now_s - began:.0f} s"
            print(f"\r{line:{width}}" if tty else line, end="" if tty and waiting else "\n", flush=True)
        if not waiting:
            break
        wait(jobs, timeout=LOOK_EVERY_S)
    for job in jobs:
        job.result()


if __name__ == "__main__":
    main()
