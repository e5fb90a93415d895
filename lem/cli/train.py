"""``python -m lem train``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from agent.core.errors import InputError
from lem.cli.options import Json, Threads, progress


def train(
    preset: Annotated[str, typer.Option(help="tiny | quick | long")] = "quick",
    seed: Annotated[int, typer.Option()] = 1,
    out: Annotated[Path, typer.Option(help="file to write")] = Path("lem-model.safetensors"),
    iterations: Annotated[int | None, typer.Option(help="instead of the preset's", min=1)] = None,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Train on simulated markets and write a checkpoint. quick takes less than five minutes."""
    from dataclasses import replace

    import torch

    from lem.checkpoint import save_checkpoint
    from lem.config import PRESETS, ModelConfig
    from lem.train import train as run

    if preset not in PRESETS:
        raise InputError(f"unknown preset {preset!r}: use one of {', '.join(PRESETS)}")
    torch.set_num_threads(threads)
    config = replace(PRESETS[preset], seed=seed)
    if iterations is not None:
        config = replace(config, iterations=iterations)
    with progress("training", config.iterations) as bar:
        result = run(ModelConfig(), config, lambda done, total, loss: bar(done, total, f"loss {loss:+.4f}"))
    digest = save_checkpoint(result.model, out, result.summary(config, preset))
    record = {
        "path": str(out),
        "digest": digest,
        "preset": preset,
        "seed": seed,
        "iterations": result.iterations,
        "loss": result.loss,
        "seconds": round(result.seconds, 1),
        "bytes": out.stat().st_size,
    }
    if as_json:
        typer.echo(json.dumps(record))
    else:
        typer.echo(
            f"{out}: digest {digest}, {out.stat().st_size / 1e6:.2f} MB, {result.iterations} iterations in"
            f" {result.seconds:.0f} s, loss {result.loss:+.4f}"
        )
