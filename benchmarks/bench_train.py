"""Training throughput: parent orders a second, each counted once whatever the number of scenarios.

The steps are those of `lem train` with its default preset, made by its own Trainer, with one process and
with two in one run: draw, exact expected cost of all eight scenarios, gradients, clipping, AdamW. Lookback
120, orders in series of 12 intervals (n = 12). Where the time goes is measured on single parts, in one
process: the rest of a step is the update, and with several processes waiting for the slowest.

    python benchmarks/bench_train.py [--steps 24] [--workers 1 2] [--series 32] [--starts 30] [--json]
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from lem.network.checkpoint import fresh_model
from lem.network.model import LEM
from lem.network.model_config import PRESETS, SCENARIOS, ModelConfig, TrainConfig
from lem.training.train import Setting, Trainer
from lem.training.workers import ShardSource

INTERVALS = 12
WARM_UP = 3  # steps: processes start, kernels load
STAGES = ("draw", "forward", "backward")


def step_s(workers: int, config: TrainConfig) -> list[float]:
    """Seconds of each step of ``INTERVALS`` intervals: shorter ones would flatter the rate."""
    marks: list[float] = []
    trainer = Trainer(ModelConfig(), config, Setting(workers=workers))
    trainer.train(lambda *_: marks.append(time.perf_counter()))
    steps = enumerate(pairwise(marks), start=1)
    return [b - a for k, (a, b) in steps if k >= WARM_UP and trainer.source.length(k) == INTERVALS]


def shard_s(source: ShardSource, model: LEM, step: int, shard: int) -> list[float]:
    """Seconds of each of ``STAGES`` of one shard."""
    marks = [time.perf_counter()]
    batch = source.draw(step, shard)
    marks.append(time.perf_counter())
    value = batch.loss(model, source.config)
    marks.append(time.perf_counter())
    torch.autograd.grad(value, list(model.parameters()), allow_unused=True)
    marks.append(time.perf_counter())
    return [b - a for a, b in pairwise(marks)]


def stages_ms(config: TrainConfig) -> dict[str, float]:
    """Mean milliseconds of each of ``STAGES`` of a shard, in this process alone."""
    source = ShardSource(ModelConfig(), config)
    model = fresh_model(source.shape, config.seed)
    steps = [k for k in range(config.iterations) if source.length(k) == INTERVALS]
    spent = [shard_s(source, model, step, shard) for step in steps for shard in range(config.parts)]
    means = [round(1e3 * float(s), 1) for s in np.mean(spent[config.parts :], axis=0)]
    return dict(zip(STAGES, means, strict=True))


def measure(config: TrainConfig, workers: list[int]) -> dict[str, Any]:
    """The rate with each number of processes, and where the time of a shard goes."""
    seconds = {str(count): step_s(count, config) for count in workers}
    orders = config.series * config.starts
    return {
        "orders_per_s": {k: round(orders * len(s) / sum(s)) for k, s in seconds.items()},
        "step_ms": {k: round(1e3 * float(np.mean(s)), 1) for k, s in seconds.items()},
        "fastest_step_ms": {k: round(1e3 * min(s), 1) for k, s in seconds.items()},
        "part_ms": stages_ms(config),
        "parts": config.parts,
        "orders_a_step": orders,
        "steps": {k: len(s) for k, s in seconds.items()},
        "scenarios": len(SCENARIOS),
        "lookback": ModelConfig().lookback,
        "n": INTERVALS,
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    default = PRESETS["default"]
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--series", type=int, default=default.series)
    parser.add_argument("--starts", type=int, default=default.starts)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.steps < 10:
        parser.error(f"--steps {asked.steps}: give 10 or more, the first {WARM_UP} are not counted")
    torch.set_num_threads(asked.threads)
    config = replace(default, iterations=asked.steps, series=asked.series, starts=asked.starts)
    record = measure(replace(config, n_min=INTERVALS, n_max=INTERVALS), asked.workers)
    print(json.dumps(record) if asked.json else "\n".join(f"{k:16} {v}" for k, v in record.items()))


if __name__ == "__main__":
    main()
