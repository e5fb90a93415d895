"""What the commands share: their options, the configuration they make of them, their output."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.core.errors import InputError

ConfigFile = Annotated[Path | None, typer.Option("--config", help="Configuration file (YAML).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Database = Annotated[str | None, typer.Option("--db", help="Database URL.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
LogJson = Annotated[bool, typer.Option("--log-json", help="Log as JSON lines.")]

Exchange = Annotated[str | None, typer.Option(help="ccxt exchange id, or embedded.")]
Symbol = Annotated[str | None, typer.Option(help="Unified symbol, as in BTC/USDT.")]
SideName = Annotated[str | None, typer.Option("--side", help="buy or sell.")]
Quantity = Annotated[str | None, typer.Option(help="Quantity in the base currency.")]
Notional = Annotated[str | None, typer.Option(help="Money in the quote currency, fees not included.")]
BenchmarkName = Annotated[str | None, typer.Option("--benchmark", help="vwap or twap.")]
MinDuration = Annotated[str | None, typer.Option(help="Done no earlier than this, as in 3m.")]
MaxDuration = Annotated[str | None, typer.Option(help="Done no later than this, as in 9m.")]
Interval = Annotated[str | None, typer.Option(help="Time between decisions, as in 45s.")]
AlgoName = Annotated[str | None, typer.Option("--algo", help="lem, twap, vwap, pov, ...")]
TacticName = Annotated[str | None, typer.Option("--tactic", help="twap_micro, peg or sweep.")]
ShadowNames = Annotated[str | None, typer.Option("--shadow", help="Shadow algos, as in twap,vwap.")]
LimitPrice = Annotated[str | None, typer.Option(help="Never trade beyond this price.")]
Cap = Annotated[str | None, typer.Option("--participation-cap", help="Own share of volume, (0, 1].")]
Seed = Annotated[int | None, typer.Option(help="Seed of everything random.")]
RiskAversion = Annotated[str | None, typer.Option(help="Weight of risk against gain, above 0.")]


def order_values(**given: Any) -> dict[str, Any]:
    """The order options that were given, as configuration values. Raises InputError."""
    values = {k: v for k, v in given.items() if v is not None}
    if "shadows" in values:
        values["shadows"] = tuple(name.strip() for name in values["shadows"].split(",") if name.strip())
    for name in ("participation_cap", "risk_aversion"):
        if name in values:
            values[name] = _float(values[name], name)
    if "quantity" in values and "notional" in values:
        raise InputError("--quantity and --notional exclude each other: give one")
    if "quantity" in values:
        values["notional"] = None
    if "notional" in values and values["notional"] is not None:
        values["quantity"] = None
    for name in ("quantity", "notional", "limit_price"):
        if values.get(name) is not None:
            from agent.orders import parse_amount

            values[name] = parse_amount(values[name], name.replace("_", " "))
    return values


def _float(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{name.replace('_', '-')} {text!r} is not a number") from error


def configuration(path: Path | None, order: dict[str, Any], **top: Any) -> Any:
    """The configuration file (or config.yaml here, or the defaults) with the command line's values on top."""
    from agent.calibration.measured_files import resolved
    from agent.config import load_config, parse_config

    if path is None and Path("config.yaml").is_file():
        path = Path("config.yaml")
    base = load_config(path).model_dump()
    base["order"].update(order)
    base.update({k: v for k, v in top.items() if v is not None})
    return resolved(parse_config(base, "command line"))


def emit(document: Any) -> None:
    """Print the JSON document of a command."""
    typer.echo(json.dumps(document, default=_plain))


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal | Path) else repr(value)


def set_up_logging(as_json: bool) -> None:
    """Logs go to stderr: console style on a terminal, JSON lines otherwise."""
    import logging

    import structlog

    tty = sys.stderr.isatty() and not as_json
    live = tty and sys.stdout.isatty()  # the live view says what is normal; only trouble interrupts it
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if tty else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING if live else logging.INFO),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


def wide_console(width: int) -> Any:
    """The terminal as it is; a pipe, which has no width of its own, gets ``width`` columns."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=width)


def show_table(columns: list[str], rows: list[list[str]]) -> None:
    """A table on stdout."""
    from agent.terminal import rows_table

    rows_table(columns, rows, wide_console(10_000))


def show_facts(title: str, facts: dict[str, Any]) -> None:
    """Names and values, one a line."""
    typer.echo(title)
    for name, value in facts.items():
        typer.echo(f"  {name:24} {value}")


def show_import(report: dict[str, Any]) -> None:
    """What an import made, what became of every line, and what was wrong."""
    from agent.terminal.import_tables import render_import

    render_import(report, wide_console(110))


def show_replay(done: Any) -> None:
    """What a replay did, then the summary of its parents."""
    from agent.terminal import render_summary, replay_table

    console = wide_console(110)
    replay_table(done.result, console)
    for note in done.notes:
        console.print(note, style="yellow", markup=False, highlight=False)
    render_summary(done.summary, console)
    if done.stored is not None:
        stored = done.stored
        earlier = ", in place of the same replay stored before" if stored.replaced else ""
        typer.echo(f"\nstored in {stored.database} as session {stored.session}{earlier}")
        typer.echo(
            f"look at it: python -m agent log parents --db {stored.database} --session {stored.session}"
        )


def show_run(result: Any) -> None:
    """The closing summary of a live run."""
    from agent.terminal import render_summary

    render_summary(result.summary, wide_console(110))
    typer.echo(f"\nreplay and verify this session:  python -m agent replay {result.path} --verify")


def live_view(*, plain: bool) -> Any:
    """The live view on a terminal; plain lines on stderr otherwise."""
    from rich.console import Console

    from agent.terminal import LiveView, PlainView

    console = Console()
    return PlainView(Console(stderr=True)) if plain or not console.is_terminal else LiveView(console)
