"""A replay that takes a while says how far it is: on stderr, when that is a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

STEP_S = 0.1
"""Between two looks: a batch takes a millisecond, drawing takes longer."""


@contextmanager
def replaying(console: Console | None = None) -> Iterator[Callable[[int, int], None]]:
    """Yield what is told the rows so far and the rows of the session (0: not known). The bar goes with it."""
    console = console or Console(stderr=True)
    columns = (
        TextColumn("replaying"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("replaying", total=None)
        next_s = 0.0

        def progress(done: int, total: int) -> None:
            nonlocal next_s
            if (now_s := time.monotonic()) >= next_s:
                next_s = now_s + STEP_S
                bar.update(task, completed=done, total=total or None)

        yield progress
