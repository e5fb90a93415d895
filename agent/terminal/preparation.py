"""What is being prepared before a run begins, and how far it is: a bar that moves, or lines in a pipe."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from agent.core.types import NS_PER_S

LINE_EVERY_S = 2.0


class PreparationLines:
    """A line when something else is being done, and every two seconds while the same goes on."""

    def __init__(self, write: Callable[[str], None], now_ns: Callable[[], int]) -> None:
        self._write, self._now_ns = write, now_ns
        self._doing, self._done, self._total, self._since_ns = "", 0, 0, 0
        self._ended = Event()
        self._ticker: Thread | None = None

    def show(self, doing: str, done: int, total: int) -> None:
        changed = doing != self._doing
        self._doing, self._done, self._total = doing, done, total
        if changed:
            self._since_ns = self._now_ns()
            self._write(f"{doing} ...")
        if self._ticker is None or self._ended.is_set():
            self._ended = Event()
            self._ticker = Thread(target=self._tick, args=(self._ended,), name="preparation", daemon=True)
            self._ticker.start()

    def end(self) -> None:
        """Say no more."""
        self._ended.set()

    def _tick(self, ended: Event) -> None:
        while not ended.wait(LINE_EVERY_S):
            share = f"{self._done} of {self._total}, " if self._total else ""
            passed_s = (self._now_ns() - self._since_ns) // NS_PER_S
            self._write(f"{self._doing}: {share}{passed_s} s")


class PreparationBar:
    """The same as one line that moves by itself wherever it is drawn again and again."""

    def __init__(self) -> None:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
        )
        self.bar = Progress(*columns, TimeElapsedColumn(), auto_refresh=False)
        self._doing = ""

    def show(self, doing: str, done: int, total: int) -> None:
        if doing != self._doing:
            self._doing = doing
            for task in self.bar.task_ids:
                self.bar.remove_task(task)
            self.bar.add_task(doing, total=total or None)
        self.bar.update(self.bar.task_ids[0], completed=done)
