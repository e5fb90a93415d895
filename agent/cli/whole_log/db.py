"""``agent db``: bring an execution log up to date, hold it against its recordings, copy it whole."""

from __future__ import annotations

from typing import Annotated

import typer

from agent.cli import options as o
from agent.cli import output
from agent.core.secret_url import DatabaseUrl

SHOWN = 20
app = typer.Typer(
    no_args_is_help=True, help="Upgrade an execution log, check it against its recordings, or copy it."
)


def _database(name: str, help_: str) -> typer.models.ArgumentInfo:
    given: typer.models.ArgumentInfo = typer.Argument(metavar=name, parser=DatabaseUrl, help=help_)
    return given


@app.command("upgrade")
def upgrade(
    db: o.Database = None,
    config: o.ConfigFile = None,
    as_json: o.AsJson = False,
) -> int:
    """Bring a database to this version's schema, and say from which to which. Again changes nothing."""
    from storage.log.database import migrate, revision, shown

    url = db or o.configuration(config).database
    with output.spinner(f"upgrading {shown(url)}"):
        before = revision(url)
        after = migrate(url)
    if as_json:
        output.emit({"ok": True, "differences": [], "database": shown(url), "from": before, "to": after})
    elif before == after:
        typer.echo(f"{shown(url)}: schema {after}, as it was")
    else:
        typer.echo(f"{shown(url)}: schema {after}, from {before or 'none'}")
    return 0


@app.command("check")
def check(
    db: o.Database = None,
    out: o.SessionsFolder = None,
    config: o.ConfigFile = None,
    as_json: o.AsJson = False,
) -> int:
    """Compare a database with its recordings, row by row. Exit code 1 if they differ.

    A session whose recording is gone is unknown, and said to be.
    """
    from agent.app.upkeep.log_check import AGREES, DIFFERS, UNKNOWN, check_log
    from storage.log.database import shown

    settings = o.configuration(config)
    url = db or settings.database
    with output.spinner(f"reading {shown(url)}") as show:
        found = check_log(url, out or settings.out, doing=show)
    wrong = [each for session in found for each in session.differences]
    if as_json:
        document = {"ok": not wrong, "differences": [each.to_json() for each in wrong]}
        output.emit({**document, "sessions": [session.to_json() for session in found]})
        return 1 if wrong else 0
    for session in found:
        if session.outcome == UNKNOWN:
            typer.echo(f"{session.session}: unknown: {session.reason}")
        for each in session.differences[:SHOWN]:
            typer.echo(str(each))
        if len(session.differences) > SHOWN:
            typer.echo(f"{session.session}: and {len(session.differences) - SHOWN} more")
    counts = [f"{sum(s.outcome == each for s in found)} {each}" for each in (AGREES, DIFFERS, UNKNOWN)]
    typer.echo(f"{shown(url)}: {len(found)} sessions: {', '.join(counts)}")
    if wrong:
        typer.echo(
            f"rows that are missing are stored with `python -m agent sessions sync SESSION --db {shown(url)}`"
        )
    return 1 if wrong else 0


@app.command("copy")
def copy(
    source: Annotated[DatabaseUrl, _database("SRC", "Database to copy: a URL, or a file's path.")],
    destination: Annotated[DatabaseUrl, _database("DST", "Database to copy into: new, or empty.")],
    as_json: o.AsJson = False,
) -> int:
    """Copy a whole execution log into another database, SQLite or PostgreSQL, verified row by row.

    The copy is there whole, or not at all. Exit code 1 if it is not what was copied.
    """
    from storage.log.database import shown
    from storage.log.upkeep.database_copy import copy_database

    with output.spinner(f"copying {shown(source)}") as show:
        done = copy_database(source, destination, lambda table, rows: show(f"copying {table}: {rows:,} rows"))
    if as_json:
        found = [each.to_json() for each in done.differences]
        output.emit({"ok": done.ok, "differences": found, "rows": done.rows})
        return 0 if done.ok else 1
    for each in done.differences[:SHOWN]:
        typer.echo(str(each))
    total = sum(done.rows.values())
    if done.ok:
        typer.echo(f"{shown(destination)}: {total:,} rows of {shown(source)}, read back and equal")
    else:
        typer.echo(
            f"{shown(destination)}: not a copy of {shown(source)}: left without a row, with its tables"
        )
    return 0 if done.ok else 1
