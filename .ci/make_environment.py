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
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event

LINE_EVERY_S, LOOK_EVERY_S = 2.0, 0.2
MOST_PIPS = 4
LINE_WIDTH = 110
KEEP_BYTECODE = "import sys; sys.dont_write_bytecode = False"


stopping = Event()
"""Ctrl-C: what runs ends by itself, for it was signalled too; nothing else is begun."""


class Job:
    """A command, and another one for when it fails. What they print is kept, and shown if the last fails."""

    def __init__(self, command: Sequence[str], otherwise: Sequence[str] | None = None) -> None:
        self._commands = [command] if otherwise is None else [command, otherwise]
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115

    def run(self) -> None:
        for command in self._commands:
            status = subprocess.call(command, stdout=self._log, stderr=self._log)
            if status == 0 or stopping.is_set():
                return
        raise SystemExit(f"\nfailed: {' '.join(command)}\n{self.printed()}")

    def printed(self) -> str:
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")


def main() -> None:
    given = _arguments()
    python = given.venv / "bin" / "python"
    started_s = time.monotonic()
    _watch([Job([sys.executable, "-m", "venv", str(given.venv)])], lambda: f"making {given.venv}")
    pins = [line for line in given.requirements.read_text().splitlines() if line and line[0] != "#"]
    jobs = _installations(str(python), pins, given.torch_index, given.project)
    _watch(jobs, lambda: _installing(jobs, given.venv, len(pins) + given.project))
    imports = [Job([str(python), "-c", f"{KEEP_BYTECODE}; import {each}"]) for each in given.imports]
    if imports:
        _watch(imports, lambda: f"importing {', '.join(given.imports)} once")
    print(f"{given.venv} is ready after {time.monotonic() - started_s:.0f} s", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("venv", type=Path)
    parser.add_argument("requirements", type=Path, help="every package, pinned")
    parser.add_argument("--project", action="store_true", help="install the project itself, editable")
    parser.add_argument("--torch-index", help="where torch's CPU build is looked for first")
    parser.add_argument("--imports", nargs="*", default=[], help="imported once, to keep their bytecode")
    return parser.parse_args()


def _installations(python: str, pins: Sequence[str], torch_index: str | None, project: bool) -> list[Job]:
    """As many pips as cores, one for torch, and one for the project."""
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-compile", "--no-deps"]
    torch = [pin for pin in pins if pin.startswith("torch==")]
    rest = [pin for pin in pins if pin not in torch]
    count = max(1, min(MOST_PIPS, os.cpu_count() or 1))
    jobs = [_torch(pip, pin, torch_index) for pin in torch]
    jobs += [Job([*pip, *rest[i::count]]) for i in range(count)]
    return [*jobs, Job([*pip, "-e", "."])] if project else jobs


def _torch(pip: Sequence[str], pin: str, index: str | None) -> Job:
    """On Linux the default index serves torch with gigabytes of CUDA; its "+cpu" build serves as well here
    and comes from PyTorch's own index. Where that cannot be reached, the default index it is.
    """
    if index is None:
        return Job([*pip, pin])
    first = ["--retries", "0", "--timeout", "20", "--extra-index-url", index, f"{pin}+cpu"]
    with_dependencies = [word for word in pip if word != "--no-deps"]  # CUDA's, which the lock does not name
    return Job([*pip, *first], [*with_dependencies, pin])


def _installing(jobs: Sequence[Job], venv: Path, count: int) -> str:
    """How many packages the pips have begun with, and how many are in place: pip writes INSTALLER last."""
    begun = sum(
        line.startswith(("Collecting ", "Processing ", "Obtaining "))
        for job in jobs
        for line in job.printed().splitlines()
    )
    places = venv.glob("lib*/python*/site-packages/*.dist-info/INSTALLER")
    names = {path.parent.name.partition("-")[0] for path in places} - {"pip"}
    return f"installing {count} packages: {min(begun, count)} fetched, {min(len(names), count)} in place"


def _watch(jobs: Sequence[Job], doing: Callable[[], str]) -> None:
    """Run them side by side and say what is being done until all have ended. Raises what ended one."""
    on_terminal, began_s, printed_s = sys.stdout.isatty(), time.monotonic(), float("-inf")
    with ThreadPoolExecutor(len(jobs)) as pool:
        running = [pool.submit(job.run) for job in jobs]
        while True:
            try:
                left = wait(running, timeout=LOOK_EVERY_S).not_done
            except KeyboardInterrupt:
                stopping.set()
                raise
            now_s = time.monotonic()
            if on_terminal or not left or now_s - printed_s >= LINE_EVERY_S:
                printed_s = now_s
                line = f"{doing()}, {now_s - began_s:.0f} s"
                end = "" if on_terminal and left else "\n"
                print(f"\r{line:{LINE_WIDTH}}" if on_terminal else line, end=end, flush=True)
            if not left:
                break
        for each in running:
            each.result()


if __name__ == "__main__":
    main()
