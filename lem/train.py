"""Training on simulated markets: exact expected cost, AdamW, one-cycle learning rate, seeded."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from agent.core.errors import InternalError
from lem.checkpoint import fresh_model
from lem.config import ModelConfig, TrainConfig
from lem.dataset import simulated_batch
from lem.model import LEM
from lem.objective import loss, roll

Progress = Callable[[int, int, float], None]
"""Called after each iteration with (done, total, smoothed loss)."""

WARM_UP = 0.04


@dataclass(frozen=True, slots=True)
class TrainResult:
    model: LEM
    loss: float  # smoothed, at the end
    iterations: int
    seconds: float

    def summary(self, config: TrainConfig, preset: str) -> dict[str, Any]:
        """What is kept in the checkpoint: no times, so that the same run gives the same file."""
        return {
            "preset": preset,
            "settings": config.to_json(),
            "iterations": self.iterations,
            "loss": round(self.loss, 6),
            "data": "simulated markets",
        }


def train(model_config: ModelConfig, config: TrainConfig, progress: Progress | None = None) -> TrainResult:
    """Train a fresh model. The same seed on the same machine gives the same weights.

    On a machine so slow that the time limit would be passed, the learning-rate schedule is shortened to end
    within it: the checkpoint then says fewer iterations, and a rerun need not give the same bits.
    """
    rng = np.random.default_rng(config.seed)
    model = fresh_model(model_config, config.seed)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.98)
    )
    began = time.monotonic()
    smoothed, total, done = 0.0, config.iterations, 0
    while done < total:
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * _schedule(done / total)
        value = _step(model, optimiser, rng, config, shared=done < config.shared * total)
        done += 1
        smoothed = value if done == 1 else 0.97 * smoothed + 0.03 * value
        total = _fit_to_limit(done, time.monotonic() - began, config)
        if progress is not None:
            progress(done, total, smoothed)
    model.eval()
    return TrainResult(model, smoothed, done, time.monotonic() - began)


def _step(
    model: LEM,
    optimiser: torch.optim.Optimizer,
    rng: np.random.Generator,
    config: TrainConfig,
    *,
    shared: bool,
) -> float:
    batch = simulated_batch(rng, model.config, config)
    value = loss(roll(model, batch.contexts(model), batch.orders), batch.orders, config.impact)
    optimiser.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    if shared:
        model.policy.share_gradients()
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
    optimiser.step()
    result = float(value.detach())
    if not math.isfinite(result):
        raise InternalError(f"the training loss became {result}: a gradient or an input is not finite")
    return result


def _schedule(part: float) -> float:
    """Linear warm-up, then cosine to 1 % of the peak."""
    if part < WARM_UP:
        return part / WARM_UP + 0.02
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * (part - WARM_UP) / (1.0 - WARM_UP)))


def _fit_to_limit(done: int, elapsed_s: float, config: TrainConfig) -> int:
    """Shorten the schedule where its pace, known after 100 iterations, would pass the time limit."""
    if done < 100 or elapsed_s / done * config.iterations <= config.time_limit_s:
        return config.iterations
    return max(done, int(config.time_limit_s * done / elapsed_s))
