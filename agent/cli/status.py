"""``agent status``: what is working now."""

from __future__ import annotations

import typer

from agent.cli import options as o
from agent.cli import output

SHOWN = ("parent_id", "symbol", "side", "algo", "state", "target", "filled", "reason")


def status(db: o.Database = None, config: o.ConfigFile = None, as_json: o.AsJson = False) -> int:
    """Show the parent orders that are working now."""
    from storage.log import queries

    result = queries.status(db or o.configuration(config).database)
    if as_json:
        output.emit({"parents": result.dicts()})
    elif not result.rows:
        typer.echo("no parent order is working")
    else:
        columns = [c for c in SHOWN if c in result.columns]
        output.show_rows(columns, [[str(row[c]) for c in columns] for row in result.dicts()])
    return 0
