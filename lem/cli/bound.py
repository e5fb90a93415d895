"""``python -m lem bound``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from lem.cli.options import Json


def bound(
    n: Annotated[int, typer.Option(help="max duration in intervals")] = 12,
    max_rate: Annotated[float, typer.Option(help="most of the order an interval")] = 1.0,
    price: Annotated[str, typer.Option(help="walk: price at its end; bars: its average")] = "walk",
    as_json: Json = False,
) -> None:
    """Exact expected gain of the best stopping rule on a driftless walk, in units of sigma, for every m."""
    from lem.bound import bound_table

    table = bound_table(n, max_rate, price)
    if as_json:
        gains = {str(m): round(gain, 6) + 0.0 for m, gain in table.items()}
        typer.echo(json.dumps({"n": n, "gain_sigma": gains, "max_rate": max_rate, "price": price}))
        return
    typer.echo(f"best expected gain in units of sigma, n = {n}, max rate {max_rate:g}, price: {price}")
    for m, gain in table.items():
        typer.echo(f"  m = {m:<4d} {gain:8.4f}")
