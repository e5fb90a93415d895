"""What every command writes: its one JSON document or tables on stdout, its log on stderr."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import typer

from agent.entry import log_lines
from agent.entry.long_work import LongWork

if TYPE_CHECKING:
    from rich.console import Console

    from agent.terminal.run_view import LiveView, PlainView

ROWS_WIDTH = 10_000  # rows of a query are not wrapped in a pipe
TABLE_WIDTH = 110


def emit(document: object) -> None:
    """Print the JSON document of a command."""
    typer.echo(json.dumps(document, default=_plain))


def _plain(value: object) -> str:
    return str(value) if isinstance(value, Decimal | Path) else repr(value)


def console_of(width: int = TABLE_WIDTH, file: TextIO | None = None) -> Console:
    """The terminal as it is; a pipe or file, which has no width of its own, gets ``width`` columns."""
    from rich.console import Console

    console = Console(markup=False, file=file)
    return console if console.is_terminal else Console(width=width, markup=False, file=file)


def show_rows(columns: Sequence[str], rows: Sequence[Sequence[str]], file: TextIO | None = None) -> None:
    """A table of rows on stdout, or in a file."""
    from agent.terminal.rows_table import rows_table

    rows_table(columns, rows, console_of(ROWS_WIDTH, file))


def show_facts(title: str, facts: Mapping[str, object]) -> None:
    """Names and values, one a line."""
    typer.echo(title)
    for name, value in facts.items():
        typer.echo(f"  {name:24} {value}")


def run_view(*, plain: bool) -> PlainView | LiveView:
    """The live view on a terminal; lines on stderr otherwise, in the style of the log."""
    from rich.console import Console

    from agent.terminal.run_view import LiveView, PlainView

    console = Console(markup=False)
    if plain or not console.is_terminal:
        return PlainView(log_lines.tell, now_ns=time.time_ns)
    return LiveView(console, now_ns=time.time_ns)


@contextmanager
def spinner(doing: str) -> Iterator[Callable[[str], None]]:
    """Say on stderr what takes so long; the block may change the line."""
    with LongWork(doing) as work:
        yield work.now
