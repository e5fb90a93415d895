"""``agent log``: query the execution log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from agent.cli import options as o
from agent.cli import output
from agent.core.errors import InputError
from agent.core.secret_url import DatabaseUrl
from agent.durations import parse_time_ns

if TYPE_CHECKING:
    from storage.log.queries import Result

FORMATS = ("table", "json", "csv", "parquet")
SUBJECTS = "parents|children|fills|decisions|slippage|sessions|gaps|sql"


def log(
    what: Annotated[str, typer.Argument(metavar=SUBJECTS, help="What to list.")],
    statement: Annotated[
        str | None, typer.Argument(metavar="[SELECT]", help="The statement of `log sql`; it may only read.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="ISO 8601, or a duration before now, as in 2h.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="The same.")] = None,
    symbol: o.Symbol = None,
    algo: Annotated[str | None, typer.Option(metavar="NAME", help="Only orders of this algo.")] = None,
    parent: Annotated[str | None, typer.Option(metavar="ID", help="Only this parent order.")] = None,
    session: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this session; a replay's is SESSION@replay-....")
    ] = None,
    limit: Annotated[int | None, typer.Option(metavar="ROWS", help="Only the latest rows.")] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="table|json|csv|parquet", help="How rows are written.")
    ] = "table",
    out: Annotated[Path | None, typer.Option(help="Write to this file; parquet needs one.")] = None,
    db: o.Database = None,
    config: o.ConfigFile = None,
    as_json: o.AsJson = False,
) -> int:
    """Query the execution log."""
    from storage.log import queries

    url = db or o.configuration(config).database
    session = _session_name(session, lambda: o.configuration(config).out)
    filters = {"since": since, "until": until, "symbol": symbol, "algo": algo, "parent": parent}
    _check_request(what, statement, {**filters, "session": session, "limit": limit})
    _check_form("json" if as_json else form, out)
    with output.spinner(f"asking the log for {what}"):
        if what == "sql":
            result = queries.sql(url, statement or "")
        else:
            result = queries.query(
                url,
                what,
                since=_time_ns(since, "--since"),
                until=_time_ns(until, "--until"),
                symbol=symbol,
                algo=algo,
                parent=parent,
                session=session,
                limit=limit,
            )
            if not result.rows:
                queries.check_named(url, what, session=session, parent=parent)
            if what == "sessions":
                result = _with_lives(url, result)
    _print(what, result, "json" if as_json else form, out)
    return 0


def _session_name(given: str | None, folder: Callable[[], Path]) -> str | None:
    """A session's name as it is; that of a directory, and of ``last``, is read from its header."""
    if given is None or "@replay-" in given:
        return given
    from storage.recordings.catalogue import find_session
    from storage.recordings.header_file import HEADER, read_header

    path = find_session(Path(given), folder)
    return read_header(path).session if (path / HEADER).is_file() else given


def _check_request(what: str, statement: str | None, filters: Mapping[str, object]) -> None:
    """A statement goes with sql, filters with the tables. Raises InputError."""
    if what != "sql" and statement is not None:
        raise InputError(f'log {what} takes no statement: leave it out, or write log sql "{statement}"')
    if what != "sql":
        return
    if statement is None:
        raise InputError('give the statement: log sql "SELECT ..."')
    given = [f"--{name}" for name, value in filters.items() if value is not None]
    if given:
        raise InputError(f"log sql takes its filters from the statement: leave {', '.join(given)} out")


def _check_form(form: str, out: Path | None) -> None:
    """Before the query: a format that is known, and a file for parquet. Raises InputError."""
    if form not in FORMATS:
        raise InputError(f"format {form!r} is not known: choose {', '.join(FORMATS)}")
    if form == "parquet" and out is None:
        raise InputError("parquet is written to a file: give --out FILE")


def _with_lives(url: DatabaseUrl | str, result: Result) -> Result:
    """Sessions that are open as live or dead, and each one's heartbeat."""
    from storage.log.control.liveness import with_lives

    return with_lives(url, result, time.time_ns, time.monotonic_ns)


def _time_ns(text: str | None, option: str) -> int | None:
    """A time, or a duration before now, in ns. Raises InputError."""
    return None if text is None else parse_time_ns(text, option, before_ns=time.time_ns())


def _print(what: str, result: Result, form: str, out: Path | None) -> None:
    """The rows in the form asked for, on stdout or in the file."""
    from storage.log import queries

    if form == "parquet" and out is not None:
        queries.to_parquet(result, out)
    elif form == "json":
        _write(queries.to_json(result) + "\n", out)
    elif form == "csv":
        _write(queries.to_csv(result), out)
    else:
        from agent.terminal.rows_table import log_table

        table = log_table(what, result.columns, queries.to_table(result)[1:])
        with _opened(out) as file:
            output.show_rows(*table, file)


def _write(text: str, out: Path | None) -> None:
    with _opened(out) as file:
        typer.echo(text, file, nl=False)


@contextmanager
def _opened(out: Path | None) -> Iterator[TextIO | None]:
    """The file to write to; None is stdout. Raises InputError where it cannot be written."""
    if out is None:
        yield None
        return
    try:
        with out.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise InputError(f"cannot write --out {out}: {error.strerror}; choose another file") from error
