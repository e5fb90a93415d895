"""Commands on the execution log: log, status, ctl."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli import options as o
from agent.core.errors import InputError
from agent.durations import parse_time_ns

Subject = Annotated[
    str, typer.Argument(help="parents, children, fills, decisions, slippage, sessions, gaps, or sql.")
]
CONTROLS = ("pause", "resume", "cancel", "amend", "kill")
ANSWER_S = 3.0
SHOWN = {  # what a terminal has room for; json, csv and parquet carry every column
    "parents": ("parent_id", "symbol", "side", "algo", "target", "filled", "avg_price", "state", "reason"),
    "children": ("child_id", "time_in_force", "price", "quantity", "filled", "avg_price", "state", "reason"),
    "fills": ("fill_id", "side", "price", "quantity", "fee", "maker", "price_model", "impact_bps"),
    "decisions": ("decision_id", "algo", "share", "slice_quantity", "finishing", "overrun", "reason"),
    "slippage": ("parent_id", "algo", "benchmark", "gain_bps", "full_gain_bps", "arrival_slippage_bps"),
    "sessions": ("session", "exchange", "state", "path"),
}


def register(app: typer.Typer) -> None:
    app.command("log")(log)
    app.command("status")(status)
    app.command("ctl")(ctl)


def log(
    what: Subject,
    statement: Annotated[str | None, typer.Argument(help="The SELECT of `log sql`.")] = None,
    since: Annotated[str | None, typer.Option(help="ISO 8601, or a duration before now.")] = None,
    until: Annotated[str | None, typer.Option(help="ISO 8601, or a duration before now.")] = None,
    symbol: o.Symbol = None,
    algo: o.AlgoName = None,
    parent: Annotated[str | None, typer.Option(help="Parent order id.")] = None,
    session: Annotated[str | None, typer.Option(help="Session; a replay's is SESSION@replay-...")] = None,
    limit: Annotated[int | None, typer.Option(help="The latest so many rows.")] = None,
    form: Annotated[str, typer.Option("--format", help="table, json, csv or parquet.")] = "table",
    out: Annotated[Path | None, typer.Option(help="File for parquet.")] = None,
    db: o.Database = None,
    config: o.ConfigFile = None,
    as_json: o.AsJson = False,
) -> int:
    """Query the execution log."""
    from storage.log import queries

    url = db or o.configuration(config, {}).database
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
    _print(result, "json" if as_json else form, out, SHOWN.get(what))
    return 0


def _print(result: Any, form: str, out: Path | None, shown: Sequence[str] | None) -> None:
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
        o.show_table(*_chosen(result.columns, queries.to_table(result)[1:], shown))
    else:
        raise InputError(f"format {form!r} is not known: choose table, json, csv or parquet")


def _chosen(
    columns: list[str], rows: list[list[str]], shown: Sequence[str] | None
) -> tuple[list[str], list[list[str]]]:
    """The columns worth a terminal's width, numbers no longer than they need be."""
    names = [c for c in (shown or columns) if c in columns]
    whose = columns.index("session") if "session" in columns else None
    if whose is not None and "session" not in names and any("@replay-" in row[whose] for row in rows):
        names.insert(0, "session")  # a replay's orders have the ids of those they replay
    at = [columns.index(c) for c in names]
    return names, [[_short(row[i]) for i in at] for row in rows]


def _short(cell: str) -> str:
    try:
        return f"{float(cell):.10g}" if "." in cell and len(cell) > 12 else cell
    except ValueError:
        return cell


def _time_ns(text: str | None, option: str) -> int | None:
    """A time, or a duration before now, in ns."""
    return None if text is None else parse_time_ns(text, option, before_ns=time.time_ns())


def status(db: o.Database = None, config: o.ConfigFile = None, as_json: o.AsJson = False) -> int:
    """What is working now."""
    from storage.log import queries

    result = queries.status(db or o.configuration(config, {}).database)
    if as_json:
        o.emit({"parents": result.dicts()})
    elif not result.rows:
        typer.echo("no parent order is working")
    else:
        shown = ("parent_id", "symbol", "side", "algo", "state", "target", "filled", "reason")
        columns = [c for c in shown if c in result.columns]
        o.show_table(columns, [[str(row[c]) for c in columns] for row in result.dicts()])
    return 0


def ctl(
    action: Annotated[str, typer.Argument(help="pause, resume, cancel, amend or kill.")],
    parent: Annotated[str | None, typer.Argument(help="Parent order id; all working ones without.")] = None,
    limit_price_ticks: Annotated[int | None, typer.Option(help="amend: limit price in ticks.")] = None,
    participation_cap: Annotated[float | None, typer.Option(help="amend: in (0, 1].")] = None,
    risk_aversion: Annotated[float | None, typer.Option(help="amend: above 0.")] = None,
    db: o.Database = None,
    config: o.ConfigFile = None,
    as_json: o.AsJson = False,
) -> int:
    """Control a running agent from another terminal."""
    if action not in CONTROLS:
        raise InputError(f"action {action!r} is not known: choose one of {', '.join(CONTROLS)}")
    amend = _amendment(action, limit_price_ticks, participation_cap, risk_aversion)
    import asyncio

    command_id = uuid.uuid4().hex[:12]
    url = db or o.configuration(config, {}).database
    outcome = asyncio.run(_command(url, command_id, action, parent, amend))
    answer = {"command_id": command_id, "action": action, "parent": parent, "outcome": outcome}
    if as_json:
        o.emit(answer)
    else:
        typer.echo(f"{action} {parent or 'all'}: {outcome or 'no answer yet; is the agent running?'}")
    return 0 if outcome is not None else 1


def _amendment(
    action: str, limit_price_ticks: int | None, cap: float | None, risk_aversion: float | None
) -> dict[str, Any]:
    given = {
        "limit_price_ticks": limit_price_ticks,
        "participation_cap": cap,
        "risk_aversion": risk_aversion,
    }
    amend = {k: v for k, v in given.items() if v is not None}
    if (action == "amend") != bool(amend):
        raise InputError("amend takes --limit-price-ticks, --participation-cap or --risk-aversion")
    if cap is not None and not 0 < cap <= 1:
        raise InputError(f"participation cap {cap:g} is not allowed: it must be in (0, 1]")
    for name in ("limit_price_ticks", "risk_aversion"):
        if name in amend and amend[name] <= 0:
            raise InputError(f"{name.replace('_', ' ')} {amend[name]:g} is not allowed: it must be positive")
    return amend


async def _command(
    url: str, command_id: str, action: str, parent: str | None, amend: dict[str, Any]
) -> str | None:
    """Leave the command, and wait a little for what became of it."""
    import asyncio

    from agent.core.events import CommandKind
    from storage.log.execution_log import command_outcome, insert_command

    session = await insert_command(
        url, command_id, CommandKind(action), created_ns=time.time_ns(), parent_id=parent, amend=amend
    )
    deadline = time.monotonic() + ANSWER_S
    while time.monotonic() < deadline:
        outcome = await command_outcome(url, session, command_id)
        if outcome is not None:
            return outcome
        await asyncio.sleep(0.05)
    sys.stderr.write("the running agent has not answered within 3 s\n")
    return None
