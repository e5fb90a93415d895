"""The command line: one file a command, named as the command. ``options`` and ``output`` are what they share.

Heavy modules are imported inside the commands, so --help answers at once. Errors are one message on stderr.
Exit codes: 0 done; 1 the work ran and did not succeed; 2 bad input or configuration; 3 the outside world;
130 interrupted after a clean stop.
"""

from __future__ import annotations

import typer

from agent.cli import (
    calibrate,
    config,
    ctl,
    doctor,
    import_,
    log,
    record,
    replay,
    run,
    serve_exchange,
    sessions,
    status,
)
from agent.cli.whole_log import db
from agent.entry.entry_point import run_and_exit
from agent.entry.program_version import Version

app = typer.Typer(
    name="agent",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Paper-trades large parent orders live, with a learned execution policy.",
)


@app.callback()
def program(version: Version = False) -> None:
    """Paper-trades large parent orders live, with a learned execution policy."""


app.command("run")(run.run)
app.command("record")(record.record)
app.command("serve-exchange")(serve_exchange.serve_exchange)
app.command("replay")(replay.replay)
app.command("import")(import_.import_)
app.add_typer(sessions.app, name="sessions")
app.command("calibrate")(calibrate.calibrate)
app.command("log")(log.log)
app.command("status")(status.status)
app.command("ctl")(ctl.ctl)
app.command("doctor")(doctor.doctor)
app.add_typer(db.app, name="db")
app.add_typer(config.app, name="config")


def main(argv: list[str] | None = None) -> None:
    """Entry point: errors become one message and an exit code."""
    run_and_exit(app, argv)
