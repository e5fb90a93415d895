"""Work that takes a while says what it is, and how far, on stderr.

A terminal gets a line that moves by itself and goes when the work is done. A pipe, a log or cron gets lines:
the first once the work has taken ``QUIET_S``, so that a short command says nothing, then one every
``AGAIN_S``. Stdout is never touched.
"""

from __future__ import annotations

import sys
from threading import Event, Thread
from typing import TYPE_CHECKING

from agent.entry import log_lines

if TYPE_CHECKING:
    from rich.progress import Progress

QUIET_S = 2.5
AGAIN_S = 10.0


class LongWork:
    """One piece of work: ``with LongWork("reading files") as work: work.at(3, 10)``."""

    def __init__(self, doing: str) -> None:
        self._doing, self._done, self._total, self._note = doing, 0.0, 0.0, ""
        self._ended = Event()
        self._lines: Thread | None = None
        self._bar: Progress | None = None

    def __enter__(self) -> LongWork:
        if sys.stderr.isatty() and not log_lines.asked_for_json():
            self._bar = _moving_line()
            self._bar.add_task(self._doing, total=None, note="")
            self._bar.start()
        else:
            self._lines = Thread(target=self._say, name="long work", daemon=True)
            self._lines.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._bar is not None:
            self._bar.stop()
        if self._lines is not None:
            self._lines.join()

    def now(self, doing: str) -> None:
        """Something else is being done."""
        self._doing = doing
        self._draw()

    def at(self, done: float, total: float, note: str = "") -> None:
        """``done`` of ``total`` (0: not known) is done; ``note`` stands beside it."""
        self._done, self._total, self._note = done, total, note
        self._draw()

    def _draw(self) -> None:
        if self._bar is not None:
            told = {"total": self._total or None, "completed": self._done, "note": self._note}
            self._bar.update(self._bar.task_ids[0], description=self._doing, **told)  # type: ignore[arg-type]

    def _say(self) -> None:
        passed_s, wait_s = 0.0, QUIET_S
        while not self._ended.wait(wait_s):
            passed_s, wait_s = passed_s + wait_s, AGAIN_S
            log_lines.tell(self.line(passed_s))

    def line(self, passed_s: float) -> str:
        """reading files: 3 of 10, 12 s."""
        far = f"{self._done:,.0f} of {self._total:,.0f}" if self._total else ""
        return f"{self._doing}: {', '.join(part for part in (far, self._note, f'{passed_s:.0f} s') if part)}"


def _moving_line() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=Console(stderr=True, markup=False), transient=True)
