"""``python -m lem train``."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from agent.core.errors import InputError
from agent.entry import log_lines
from agent.entry.long_work import LongWork
from lem.cli.common_options import (
    Json,
    Threads,
    Workers,
    check_folder,
    check_writable,
    preset_config,
    progress,
    time_ns,
)
from lem.cli.evaluate_options import MoreBarFiles

if TYPE_CHECKING:
    from agent.barfiles.read_bars import Series
    from lem.bars.real_bars import TrainingBars
    from lem.network.checkpoint import BarsRecord
    from lem.network.model_config import ModelConfig, TrainConfig
    from lem.training.train import Setting, TrainResult

BARS_SHARE = 0.7
MULTIPLES = (1, 6, 16)  # of the files' own interval: 15 min, 90 min, 4 h


Preset = Annotated[str, typer.Option(help="tiny | quick | martingale | default | long | finetune")]
Seed = Annotated[int, typer.Option(help="of the first weights, the simulated markets and the orders", min=0)]
Out = Annotated[Path, typer.Option(help="file to write")]
Iterations = Annotated[int | None, typer.Option(help="instead of the preset's", min=1)]
BarFiles = Annotated[
    list[Path] | None, typer.Option(help="parquet or CSV files of bars to learn from as well")
]
Intervals = Annotated[
    list[str] | None, typer.Option(help="of the bars, several allowed; default: 1, 6 and 16 bars in one")
]
Calendar = Annotated[
    str | None, typer.Option(help="of a market that closes, as in XNYS: its nights are no gaps")
]
From = Annotated[str | None, typer.Option("--from", help="ISO 8601: bars from here on")]
To = Annotated[str | None, typer.Option("--to", help="ISO 8601: no bar that starts at or after this")]
BarsShare = Annotated[
    float | None, typer.Option(help="of the series, from bars; the rest is simulated", min=0.0, max=1.0)
]
ValidationShare = Annotated[
    float, typer.Option(help="of the bars' time, the last part: watched, not learned from")
]
Init = Annotated[Path | None, typer.Option(help="checkpoint to start from, not a fresh model")]
Run = Annotated[Path | None, typer.Option(help="directory for states and TensorBoard logs; needed to resume")]
Resume = Annotated[bool, typer.Option("--resume", help="go on with the run in --run")]
Device = Annotated[str, typer.Option(help="cpu | cuda")]


class TrainDocument(TypedDict):
    """What ``lem train --json`` prints; ``orders_per_s`` counts an order once, not once a scenario."""

    path: str
    digest: str
    preset: str
    seed: int
    iterations: int
    loss: float
    seconds: float
    orders_per_s: int
    validation: float | None
    bars: BarsRecord | None
    init: str | None
    run: str | None
    resumed_from: int
    bytes: int


def train(
    preset: Preset = "quick",
    seed: Seed = 1,
    out: Out = Path("lem-model.safetensors"),
    iterations: Iterations = None,
    bars: BarFiles = None,
    more_bars: MoreBarFiles = None,
    interval: Intervals = None,
    calendar: Calendar = None,
    from_: From = None,
    to: To = None,
    bars_share: BarsShare = None,
    validation_share: ValidationShare = 0.25,
    init: Init = None,
    run: Run = None,
    resume: Resume = False,
    device: Device = "cpu",
    workers: Workers = None,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Train on simulated markets, and on bars where given, and write a checkpoint. quick: under 5 minutes."""
    import torch

    from agent.barfiles.read_bars import read_series
    from lem.network.checkpoint import load_checkpoint, save_checkpoint
    from lem.network.model_config import ModelConfig
    from lem.training.batches import bars_needed
    from lem.training.train import Setting

    check_writable(out, "--out", makes_directory=True)
    check_folder(run, "--run")
    base = preset_config(preset, iterations)
    torch.set_num_threads(threads)
    start = None if init is None else load_checkpoint(init)
    shape = ModelConfig() if start is None else start.model.config
    files = [*(bars or []), *(more_bars or [])]
    config = _config(replace(base, seed=seed), bars_share, bool(files))
    window = bars_needed(shape, config)
    span = (time_ns(from_, "--from"), time_ns(to, "--to"))
    with LongWork(f"reading {len(files)} files of bars"):
        source = read_series(files, span, calendar)
        real = _bars(source, interval, window, validation_share) if source else None
    setting = Setting(run, real, start, _device(device), workers)
    result = _train(shape, config, setting, resume)
    digest = save_checkpoint(result.model, out, result.record(config, preset))
    _print(_document(result, preset, seed, out, digest, run), as_json)


def _document(
    result: TrainResult, preset: str, seed: int, out: Path, digest: str, run: Path | None
) -> TrainDocument:
    return {
        "path": str(out),
        "digest": digest,
        "preset": preset,
        "seed": seed,
        "iterations": result.iterations,
        "loss": result.loss,
        "seconds": round(result.seconds, 1),
        "orders_per_s": round(result.orders_per_s),
        "validation": result.validation,
        "bars": result.data,
        "init": result.init,
        "run": None if run is None else str(run),
        "resumed_from": result.resumed_from,
        "bytes": out.stat().st_size,
    }


def _print(document: TrainDocument, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(document))
        return
    cost = document["validation"]
    validated = "" if cost is None else f", validation {cost:+.4f}"
    typer.echo(
        f"{document['path']}: digest {document['digest']}, {document['bytes'] / 1e6:.2f} MB,"
        f" {document['iterations']} iterations in {document['seconds']:.0f} s"
        f" ({document['orders_per_s']:.0f} orders/s), loss {document['loss']:+.4f}{validated}"
    )


def _config(config: TrainConfig, bars_share: float | None, has_bars: bool) -> TrainConfig:
    """``config`` with the options' share of real bars. Raises InputError on bars without a share."""
    if bars_share is not None:
        config = replace(config, bars_share=bars_share)
    elif has_bars and not config.bars_share:
        config = replace(config, bars_share=BARS_SHARE)
    if has_bars and not config.bars_share:
        raise InputError("bars are given but their share is 0: leave --bars-share out, or leave the bars out")
    return config


def _bars(
    series: list[Series], intervals: list[str] | None, window: int, validation_share: float
) -> TrainingBars:
    from agent.barfiles.read_bars import native_interval_ns
    from agent.durations import parse_duration_ns
    from lem.bars.real_bars import training_bars

    native = native_interval_ns(series[0])
    steps = [parse_duration_ns(text) for text in intervals or ()] or [native * k for k in MULTIPLES]
    return training_bars(series, steps, window, validation_share)


def _device(name: str) -> str:
    import torch

    if name not in ("cpu", "cuda"):
        raise InputError(f"device {name!r} is not known: use cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "device cuda: this torch finds no CUDA device; use --device cpu, or install a CUDA build of it"
        )
    return name


def _train(shape: ModelConfig, config: TrainConfig, setting: Setting, resume: bool) -> TrainResult:
    """Train under a progress bar; Ctrl-C says how to go on."""
    from lem.training.train import train_run

    each = config.series * config.starts
    with progress("training", config.iterations) as bar:
        begun = _Pace()

        def report(done: int, total: int, loss: float) -> None:
            bar(done, total, f"loss {loss:+.4f}, {begun.rate(done, each):.0f} orders/s")

        try:
            return train_run(shape, config, setting, resume=resume, progress=report)
        except KeyboardInterrupt:
            if setting.run is not None and begun.steps:
                run = shlex.quote(str(setting.run))
                log_lines.complain(f"stopped; go on with: --resume --run {run} and the same options")
            raise


class _Pace:
    """Orders a second since the first step seen."""

    def __init__(self) -> None:
        self.steps = 0
        self._first: tuple[int, float] | None = None

    def rate(self, done: int, each: int) -> float:
        import time

        self.steps += 1
        now = time.monotonic()
        if self._first is None:
            self._first = done, now
            return 0.0
        return (done - self._first[0]) * each / max(1e-9, now - self._first[1])
