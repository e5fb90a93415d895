"""What the commands share: options, times, and a progress bar."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Protocol

import typer

from agent.core.errors import InputError

Json = Annotated[bool, typer.Option("--json", help="print one JSON document on stdout")]
Threads = Annotated[int, typer.Option(help="CPU threads; one is as fast as two at these sizes", min=1)]


def time_ns(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"time {text!r} is not ISO 8601: write it as in 2025-01-31 or 2025-01-31T12:00"
        ) from error
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return int(when.timestamp()) * 1_000_000_000


class Report(Protocol):
    """What a progress bar hands out; a caller with nothing to say but how far it is leaves the note."""

    def __call__(self, done: int, total: int, note: str = "") -> None: ...


class progress:  # noqa: N801
    """A progress bar on stderr when that is a terminal, else silence."""

    def __init__(self, what: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[note]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(what, total=total, note="")

    def __enter__(self) -> Report:
        self._bar.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _show(self, done: int, total: int, note: str = "") -> None:
        self._bar.update(self._task, completed=done, total=total, note=note)
