"""What every command writes: its one JSON document or tables on stdout, its log on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer

from agent.core.database_url import without_passwords
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


def set_up_logging(as_json: bool) -> None:
    """Logs go to stderr: console style on a terminal, JSON lines otherwise."""
    import logging

    import structlog

    tty = sys.stderr.isatty() and not as_json
    live = tty and sys.stdout.isatty()  # the live view shows what is normal; only trouble interrupts it
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _hide_passwords,
            structlog.dev.ConsoleRenderer() if tty else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING if live else logging.INFO),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


def _hide_passwords(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """A step of the log: whatever is logged may quote a database's URL."""
    return {name: without_passwords(v) if isinstance(v, str) else v for name, v in event.items()}


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
    """The live view on a terminal; plain lines on stderr otherwise."""
    from rich.console import Console

    from agent.terminal.run_view import LiveView, PlainView

    console = Console(markup=False)
    if plain or not console.is_terminal:
        return PlainView(Console(stderr=True, markup=False), now_ns=time.time_ns)
    return LiveView(console, now_ns=time.time_ns)


@contextmanager
def spinner(doing: str) -> Iterator[Callable[[str], None]]:
    """Say on stderr what takes so long; the block may change the line."""
    with LongWork(doing) as work:
        yield work.now
