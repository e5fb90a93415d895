"""``python -m lem train``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from agent.core.errors import InputError
from lem.cli.options import Json, Threads, progress


def train(
    preset: Annotated[str, typer.Option(help="tiny | quick | martingale | default | long")] = "quick",
    seed: Annotated[int, typer.Option()] = 1,
    out: Annotated[Path, typer.Option(help="file to write")] = Path("lem-model.safetensors"),
    iterations: Annotated[int | None, typer.Option(help="instead of the preset's", min=1)] = None,
    run: Annotated[
        Path | None, typer.Option(help="directory for states and TensorBoard logs; needed to resume")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on with the run in --run")] = False,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Train on simulated markets and write a checkpoint. quick takes less than five minutes."""
    from dataclasses import replace

    import torch

    from lem.checkpoint import save_checkpoint
    from lem.config import PRESETS, ModelConfig
    from lem.train import train_run

    if preset not in PRESETS:
        raise InputError(f"unknown preset {preset!r}: use one of {', '.join(PRESETS)}")
    torch.set_num_threads(threads)
    config = replace(PRESETS[preset], seed=seed)
    if iterations is not None:
        config = replace(config, iterations=iterations)
    with progress("training", config.iterations) as bar:
        try:
            result = train_run(
                ModelConfig(),
                config,
                run,
                resume=resume,
                progress=lambda done, total, loss: bar(done, total, f"loss {loss:+.4f}"),
            )
        except KeyboardInterrupt:
            if run is not None:
                typer.echo(f"stopped; go on with: --resume --run {run} and the same options", err=True)
            raise
    digest = save_checkpoint(result.model, out, result.summary(config, preset))
    record = {
        "path": str(out),
        "digest": digest,
        "preset": preset,
        "seed": seed,
        "iterations": result.iterations,
        "loss": result.loss,
        "seconds": round(result.seconds, 1),
        "orders_per_s": round(result.orders_per_s),
        "validation": result.validation,
        "run": None if run is None else str(run),
        "resumed_from": result.resumed_from,
        "bytes": out.stat().st_size,
    }
    if as_json:
        typer.echo(json.dumps(record))
    else:
        typer.echo(
            f"{out}: digest {digest}, {out.stat().st_size / 1e6:.2f} MB, {result.iterations} iterations in"
            f" {result.seconds:.0f} s ({result.orders_per_s:.0f} orders/s), loss {result.loss:+.4f}"
        )
