"""``python -m lem ablate``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from lem.cli.common_options import Json, Threads, Workers, preset_config, progress

if TYPE_CHECKING:
    from lem.training.ablate import AblationDocument


def ablate(
    preset: Annotated[str, typer.Option(help="training preset of every variant")] = "quick",
    iterations: Annotated[int | None, typer.Option(help="instead of the preset's", min=1)] = None,
    seeds: Annotated[int, typer.Option(help="training runs a variant", min=1)] = 1,
    orders: Annotated[int, typer.Option(help="paths of each exam", min=2)] = 8_000,
    workers: Workers = None,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Train the model without each of its parts and measure what is lost, paired on the same paths."""
    import torch

    from lem.training.ablate import VARIANTS
    from lem.training.ablate import ablate as run

    config = preset_config(preset, iterations)
    torch.set_num_threads(threads)
    total = seeds * len(VARIANTS) * config.iterations
    with progress("ablating", total) as bar:
        finished = 0

        def report(name: str, done: int, of: int) -> None:
            nonlocal finished
            bar(finished + done, total, name)
            finished += of if done == of else 0

        document = run(config, orders, tuple(range(1, seeds + 1)), report, workers)
    typer.echo(json.dumps(document)) if as_json else _print(document)


def _print(document: AblationDocument) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{document['iterations']} iterations, seeds {document['seeds']}; {document['unit']}")
    for name in ("exam", "variant", "mean", "difference", "95 %"):
        table.add_column(name, justify="left" if name in ("exam", "variant") else "right")
    last = None
    for row in document["rows"]:
        if last not in (None, row["exam"]):
            table.add_section()
        low, high = row["ci95"]
        change = (f"{row['difference']:+.4f}", f"{low:+.4f} {high:+.4f}")
        exam = "" if row["exam"] == last else row["exam"]
        numbers = (f"{row['mean']:+.4f}", *(("", "") if row["variant"] == "full" else change))
        table.add_row(exam, row["variant"], *numbers)
        last = row["exam"]
    Console(width=None if sys.stdout.isatty() else 140, markup=False).print(table)
