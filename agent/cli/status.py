"""``agent status``: which sessions live, and what is working now."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

import typer

from agent.cli import options as o
from agent.cli import output
from agent.entry.hints import agent_command

SHOWN = ("parent_id", "symbol", "side", "algo", "state", "target", "filled", "reason")
CLOSED = 5
"""How many of the sessions that ended are listed with those that are open."""


def status(
    every: Annotated[
        bool, typer.Option("--all", help="Of many orders a row each, not a row for those alike.")
    ] = False,
    db: o.Database = None,
    config: o.ConfigFile = None,
    as_json: o.AsJson = False,
) -> int:
    """Show the sessions that live, died or ended last, and the parent orders that are working now."""
    from agent.terminal.session_tables import dead_sentences, life_rows
    from storage.log import queries
    from storage.log.control.liveness import Life, standings

    url = db or o.configuration(config).database
    with output.spinner("watching the heartbeats of open sessions"):
        found = asyncio.run(standings(url, time.time_ns, time.monotonic_ns, closed=CLOSED))
    live = {each.seen.session for each in found if each.life is Life.LIVE}
    result = queries.status(url, sorted(live))
    if as_json:
        output.emit({"sessions": [each.to_json() for each in found], "parents": result.dicts()})
        return 0
    if found:
        output.show_rows(*life_rows(found))
        typer.echo()
    _show_orders(result.dicts(), every)
    for sentence in dead_sentences(found):
        typer.echo(sentence)
    return 0


def _show_orders(rows: list[dict[str, object]], every: bool) -> None:
    from agent.terminal import working_orders as working

    if not rows:
        typer.echo("no parent order is working")
    elif every or len(rows) <= working.IN_FULL:
        output.show_rows(SHOWN, [[str(row[c]) for c in SHOWN] for row in rows])
    else:
        now_ns = time.time_ns()
        output.show_rows(*working.grouped(rows, now_ns))
        typer.echo(f"\n{working.in_words(rows, now_ns)}")
        if (troubled := working.troubled(rows, now_ns)).rows:
            typer.echo()
            output.show_rows(*troubled)
        typer.echo(f"\na row each:  {agent_command('status', '--all')}")
