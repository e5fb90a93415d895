"""``agent status``: which sessions live, and what is working now."""

from __future__ import annotations

import asyncio
import time

import typer

from agent.cli import options as o
from agent.cli import output

SHOWN = ("parent_id", "symbol", "side", "algo", "state", "target", "filled", "reason")
CLOSED = 5
"""How many of the sessions that ended are listed with those that are open."""


def status(db: o.Database = None, config: o.ConfigFile = None, as_json: o.AsJson = False) -> int:
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
    if not result.rows:
        typer.echo("no parent order is working")
    else:
        columns = [c for c in SHOWN if c in result.columns]
        output.show_rows(columns, [[str(row[c]) for c in columns] for row in result.dicts()])
    for sentence in dead_sentences(found):
        typer.echo(sentence)
    return 0
