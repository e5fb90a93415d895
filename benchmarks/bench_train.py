"""Training throughput: parent orders a second, each counted once whatever the number of scenarios.

The step is the one `lem train` makes with its default preset: draw a batch, exact expected cost of all eight
scenarios, gradients, clipping, AdamW. Lookback 120, orders in series of 12 intervals (n = 12), one process.

    python benchmarks/bench_train.py [--steps 20] [--series 32] [--starts 30] [--threads 1] [--json]
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch

from lem.batches import Batch, draw_batch
from lem.checkpoint import fresh_model
from lem.config import PRESETS, SCENARIOS, ModelConfig, TrainConfig
from lem.model import LEM

INTERVALS = 12
WARM_UP = 2
PARTS = ("draw", "forward", "backward", "update")


def draw(rng: np.random.Generator, shape: ModelConfig, config: TrainConfig) -> Batch:
    """A batch of exactly ``INTERVALS`` intervals: shorter draws are left out, they would flatter the rate."""
    while True:
        batch = draw_batch(rng, shape, config)
        if batch.orders.price.shape[1] == INTERVALS:
            return batch


def step(
    model: LEM, optimiser: torch.optim.Optimizer, rng: np.random.Generator, config: TrainConfig
) -> tuple[int, list[float]]:
    """One training step: orders in it and the seconds of each of ``PARTS``."""
    marks = [time.perf_counter()]
    batch = draw(rng, model.config, config)
    marks.append(time.perf_counter())
    value = batch.loss(model, config)
    marks.append(time.perf_counter())
    optimiser.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    marks.append(time.perf_counter())
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
    optimiser.step()
    marks.append(time.perf_counter())
    return len(batch.orders.n), [b - a for a, b in pairwise(marks)]


def measure(steps: int, config: TrainConfig) -> dict[str, float | int | dict[str, float]]:
    """Run ``steps`` timed steps after a warm-up: the rate, and where the time of a step goes."""
    shape = ModelConfig()
    model, rng = fresh_model(shape, config.seed), np.random.default_rng(config.seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, betas=(0.9, 0.98))
    for _ in range(WARM_UP):
        step(model, optimiser, rng, config)
    began, orders, spent = time.perf_counter(), 0, np.zeros(len(PARTS))
    for _ in range(steps):
        count, parts = step(model, optimiser, rng, config)
        orders, spent = orders + count, spent + parts
    seconds = time.perf_counter() - began
    return {
        "orders_per_s": round(orders / seconds),
        "orders": orders,
        "seconds": round(seconds, 2),
        "scenarios": len(SCENARIOS),
        "lookback": shape.lookback,
        "n": INTERVALS,
        "threads": torch.get_num_threads(),
        "step_ms": {name: round(1e3 * float(s) / steps, 1) for name, s in zip(PARTS, spent, strict=True)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    default = PRESETS["default"]
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--series", type=int, default=default.series)
    parser.add_argument("--starts", type=int, default=default.starts)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    settings = replace(default, series=asked.series, starts=asked.starts, n_min=INTERVALS, n_max=INTERVALS)
    record = measure(asked.steps, settings)
    print(json.dumps(record) if asked.json else "\n".join(f"{k:14} {v}" for k, v in record.items()))


if __name__ == "__main__":
    main()
