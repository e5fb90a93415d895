"""``agent log``: query the execution log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from agent.cli import options as o
from agent.cli import output
from agent.core.database_url import DatabaseUrl
from agent.core.errors import InputError
from agent.durations import parse_time_ns

if TYPE_CHECKING:
    from storage.log.queries import Result

SUBJECTS = "parents|children|fills|decisions|slippage|sessions|gaps|sql"
SHOWN = {  # what fits a terminal; json, csv and parquet carry every column
    "parents": ("parent_id", "symbol", "side", "algo", "target", "filled", "avg_price", "state", "reason"),
    "children": ("child_id", "time_in_force", "price", "quantity", "filled", "avg_price", "state", "reason"),
    "fills": ("fill_id", "side", "price", "quantity", "fee", "maker", "price_model", "impact_bps"),
    "decisions": ("decision_id", "algo", "share", "slice_quantity", "finishing", "overrun", "reason"),
    "slippage": (
        *("parent_id", "algo", "benchmark", "gain_bps", "full_gain_bps", "arrival_slippage_bps"),
        "flags",
    ),
    "sessions": ("session", "exchange", "state", "heartbeat_age_s", "host", "pid", "path"),
}


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
    out: Annotated[Path | None, typer.Option(help="File for parquet.")] = None,
    db: o.Database = None,
    config: o.ConfigFile = None,
    as_json: o.AsJson = False,
) -> int:
    """Query the execution log."""
    from storage.log import queries

    url = db or o.configuration(config).database
    if what == "sql":
        if statement is None:
            raise InputError('give the statement: log sql "SELECT ..."')
        result = queries.sql(url, statement)
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
        if what == "sessions":
            result = _with_lives(url, result)
    _print(result, "json" if as_json else form, out, SHOWN.get(what))
    return 0


def _with_lives(url: DatabaseUrl | str, result: Result) -> Result:
    """Sessions that are open as live or dead, and each one's heartbeat."""
    from storage.log.liveness import with_lives

    return with_lives(url, result, time.time_ns, time.monotonic_ns)


def _time_ns(text: str | None, option: str) -> int | None:
    """A time, or a duration before now, in ns. Raises InputError."""
    return None if text is None else parse_time_ns(text, option, before_ns=time.time_ns())


def _print(result: Result, form: str, out: Path | None, shown: Sequence[str] | None) -> None:
    from storage.log import queries

    if form == "json":
        typer.echo(queries.to_json(result))
    elif form == "csv":
        typer.echo(queries.to_csv(result), nl=False)
    elif form == "parquet":
        if out is None:
            raise InputError("parquet is written to a file: give --out FILE")
        queries.to_parquet(result, out)
    elif form == "table":
        output.show_rows(*_chosen(result.columns, queries.to_table(result)[1:], shown))
    else:
        raise InputError(f"format {form!r} is not known: choose table, json, csv or parquet")


def _chosen(
    columns: Sequence[str], rows: list[list[str]], shown: Sequence[str] | None
) -> tuple[list[str], list[list[str]]]:
    """The columns worth a terminal's width, numbers no longer than they need be."""
    names = [c for c in (shown or columns) if c in columns]
    whose = columns.index("session") if "session" in columns else None
    if whose is not None and "session" not in names and any("@replay-" in row[whose] for row in rows):
        names.insert(0, "session")  # a replay's orders have the ids of those they replay
    at = [columns.index(c) for c in names]
    return names, [_cells(columns, row, at) for row in rows]


def _cells(columns: Sequence[str], row: Sequence[str], at: Sequence[int]) -> list[str]:
    """Those of a row; a number that stands on faulty data with its mark, and the faults as a phrase."""
    from agent.terminal.formatting import fault_phrase, marked, most_of

    flags = _flags(row[columns.index("flags")]) if "flags" in columns else None
    cells = [_short(row[i]) for i in at]
    if flags is None:
        return cells
    named = zip((columns[i] for i in at), cells, strict=True)
    phrase = fault_phrase(most_of(flags.values()))
    return [phrase if n == "flags" else marked(cell, cell and flags.get(n)) for n, cell in named]


def _flags(cell: str) -> dict[str, dict[str, float]] | None:
    """What the log's column of that name holds; None for a column of one's own."""
    try:
        flags = orjson.loads(cell)
    except orjson.JSONDecodeError:
        return None
    whole = isinstance(flags, dict) and all(isinstance(shares, dict) for shares in flags.values())
    return flags if whole else None


def _short(cell: str) -> str:
    try:
        return f"{float(cell):.10g}" if "." in cell and len(cell) > 12 else cell
    except ValueError:
        return cell
