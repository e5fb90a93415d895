"""``--version`` of every program of this distribution."""

from __future__ import annotations

from typing import Annotated

import typer

from agent import VERSION

DISTRIBUTION = "lem-execution-agent"


def _show(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{DISTRIBUTION} {VERSION}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", is_eager=True, callback=_show, help="Print the version and exit.")
]
