"""``python -m lem``: one module a command. Torch and numba load inside the commands.

Errors are one message on stderr; exit codes: 0 done, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import sys

import typer

from agent.amounts import usage_message
from agent.core.errors import AgentError
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
for command in (train, evaluate, bound, ablate, explain, fetch):
    app.command()(command)


def main(argv: list[str] | None = None) -> None:
    """Entry point: turns our errors into one message and an exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    debug = "--debug" in arguments
    try:
        code = app(args=[a for a in arguments if a != "--debug"], standalone_mode=False)
    except AgentError as error:
        if debug:
            raise
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except Exception as error:
        message = usage_message(error, arguments)
        if message is None:
            raise
        typer.echo(f"error: {message}", err=True)
        sys.exit(getattr(error, "exit_code", 2))
    sys.exit(code if isinstance(code, int) else 0)
