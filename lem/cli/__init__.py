"""``python -m lem``: one module a command. Torch and numba load inside the commands.

Errors are one message on stderr; exit codes: 0 done, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import typer

from agent.entry.entry_point import run_and_exit
from agent.entry.program_version import Version
from lem.cli.ablate import ablate
from lem.cli.bound import bound
from lem.cli.evaluate import evaluate
from lem.cli.explain import explain
from lem.cli.fetch import fetch
from lem.cli.train import train

app = typer.Typer(
    name="lem",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The Large Execution Model: train it, judge it, and compute the bound it is judged against.",
)


@app.callback()
def program(version: Version = False) -> None:
    """The Large Execution Model: train it, judge it, and compute the bound it is judged against."""


for command in (train, evaluate, bound, ablate, explain, fetch):
    app.command()(command)


def main(argv: list[str] | None = None) -> None:
    """Entry point: errors become one message and an exit code."""
    run_and_exit(app, argv)
