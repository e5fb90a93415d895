"""``agent run``: work a parent order live, on paper."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli import options as o
from agent.cli import output
from agent.core.errors import InputError
from agent.entry import log_lines
from agent.entry.hints import agent_command
from agent.order_list.order_texts import OrderValues

if TYPE_CHECKING:
    from agent.app.live.run_views import LiveResult
    from agent.config import Config


@o.order_options
def run(
    order: OrderValues,
    paper: Annotated[
        bool, typer.Option("--paper", help="Simulate fills; no order leaves this machine.")
    ] = False,
    orders: Annotated[
        Path | None,
        typer.Option(
            "--orders",
            metavar="FILE",
            help="Many orders, a row each: CSV, JSON lines or YAML. What a row leaves out is as given here.",
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="SESSION",
            help="Go on with a session whose process died: its directory, its name, or `last`.",
        ),
    ] = None,
    config: o.ConfigFile = None,
    exchange: o.Exchange = None,
    symbol: o.Symbol = None,
    market: o.Market = None,
    seed: o.Seed = None,
    db: o.Database = None,
    out: o.SessionsFolder = None,
    as_json: o.AsJson = False,
    log_json: o.LogJson = False,
) -> int:
    """Work a parent order live, on paper.

    An order option that is left out comes from the configuration.
    """
    if not paper:
        raise InputError("run needs a mode: give --paper (no order leaves this machine)")
    settings = o.market_configuration(
        config, market, seed, order, exchange=exchange, symbol=symbol, database=db, out=out
    )
    if resume is None and settings.resume == "auto":
        from agent.app.lives.finding import resumable

        if (dead := resumable(settings.out, latest_only=True)) is not None:
            log_lines.set_up(always_json=log_json)
            beside = " (what the command line says of orders is left out)" if order or orders else ""
            log_lines.complain(
                f"going on with session {dead.name}, whose process died (resume: auto){beside}"
            )
            return _resumed(settings, str(dead), as_json=as_json, log_json=log_json)
    if resume is not None:
        given: dict[str, object] = {
            "--orders": orders,
            "--exchange": exchange,
            "--symbol": symbol,
            "--market": market,
        }
        given |= {"--seed": seed, "order options": order or None}
        _refuse_beside_resume([name for name, value in given.items() if value is not None])
        return _resumed(settings, resume, as_json=as_json, log_json=log_json)
    if settings.orders and order and orders is None:
        raise InputError(
            "order options change none of the configuration's `orders:`: leave them out, or give --orders"
        )
    if orders is not None:
        from agent.order_list.order_files import with_orders_of

        settings = with_orders_of(orders, settings)
    log_lines.set_up(always_json=log_json)
    with output.run_view(plain=as_json) as view:
        view.preparing("PAPER: loading the program")
        from agent.app.live_session import prepare, run_paper
        from agent.app.world.garbage import collect_often

        prepare(settings, view)
        collect_often()
        result = asyncio.run(run_paper(settings, view, view))
    return _told(result, as_json=as_json)


def _refuse_beside_resume(named: Sequence[str]) -> None:
    if named:
        raise InputError(
            "--resume goes on with a session's orders and market as they were recorded: leave out"
            f" {', '.join(named)}"
        )


def _resumed(settings: Config, which: str, *, as_json: bool, log_json: bool) -> int:
    """Go on with a session whose process died."""
    log_lines.set_up(always_json=log_json)
    with output.run_view(plain=as_json) as view:
        view.preparing("PAPER: loading the program")
        from agent.app.lives.resuming import resume_session

        result = resume_session(which, settings, view)
    return _told(result, as_json=as_json)


def _told(result: LiveResult, *, as_json: bool) -> int:
    """Say what a run came to. Returns the exit code."""
    if as_json:
        output.emit(result.to_json())
    else:
        _show(result)
    _warn_of_database(result)
    if result.interrupted:
        return 130
    return 0 if result.succeeded else 1


def _warn_of_database(result: LiveResult) -> None:
    """The database is no part of the order: it changes no exit code, but the user has to know."""
    behind = result.database
    if not behind.in_line:
        log_lines.complain(
            f"warning: the database is behind the recording by {behind.missing} events: {behind.reason};"
            f" the session holds all of them; bring the database in line:  {behind.command}"
        )


def _show(result: LiveResult) -> None:
    """The closing summary."""
    from agent.terminal.closing_tables import render_summary
    from agent.terminal.feed_sentences import refused_in_words, went_on_in_words
    from agent.terminal.many_orders import are_many

    render_summary(result.summary, output.console_of())
    if are_many(result.summary):
        typer.echo(f"\neach order's costs:  {agent_command('log', 'slippage')}")
    if result.resumed is not None:
        typer.echo(f"\n{went_on_in_words(result.resumed)}")
    for name, reason in result.not_started:
        typer.echo(f"not started: {name}: {reason}")
    if result.feed.trickles:
        typer.echo(f"\nnot all that came was believed ({refused_in_words(result.feed)})")
    command = agent_command("replay", result.path, "--verify")
    typer.echo(f"\nreplay and verify this session:  {command}")
