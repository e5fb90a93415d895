"""Training: exact expected cost, AdamW, one-cycle learning rate, seeded, resumable after a kill.

A step depends on the weights, the seed and its number only: neither on the processes that compute its shards
(``lem.training.workers``) nor on what was drawn before.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from agent.core.clock import Clock
from agent.core.errors import InputError, InternalError
from agent.core.types import NS_PER_S
from agent.system_clock import SystemClock
from lem.bars.real_bars import TrainingBars
from lem.network.checkpoint import BarsRecord, Checkpoint, TrainingRecord, fresh_model
from lem.network.model import LEM
from lem.network.model_config import ModelConfig, TrainConfig
from lem.training.batches import draw_batch
from lem.training.interrupts import interrupts_wait
from lem.training.run_state import (
    RunProgress,
    RunSettings,
    has_state,
    load_state,
    save_bad_step,
    save_state,
)
from lem.training.workers import Shard, ShardSource, WorkerPool, mean_gradient, pool_size, unflatten

OnStep = Callable[[int, int, float], None]
"""Called after each step with (steps done, in total, smoothed loss)."""

WARM_UP = 0.04
STATE_EVERY = 50
VALIDATION_SEED = 1_000_003


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A trained model and how it was trained.

    ``loss``: smoothed, at the end; ``orders_per_s``: an order counts once, not once a scenario;
    ``validation``: the lowest cost, where there was validation; ``data``: the real bars among the data;
    ``init``: digest of the checkpoint it started from.
    """

    model: LEM
    loss: float
    iterations: int
    seconds: float
    orders_per_s: float
    validation: float | None = None
    resumed_from: int = 0

    data: BarsRecord | None = None
    init: str | None = None

    def record(self, config: TrainConfig, preset: str) -> TrainingRecord:
        """What the checkpoint holds of it."""
        record: TrainingRecord = {
            "preset": preset,
            "settings": config.to_json(),
            "iterations": self.iterations,
            "loss": round(self.loss, 6),
            "data": "simulated markets" if self.data is None else {"bars": self.data},
        }
        if self.init is not None:
            record["init"] = self.init
        return record


@dataclass(frozen=True, slots=True)
class Setting:
    """A run's surroundings: its directory, real bars, the model it starts from, device, processes.

    ``workers``: how many processes compute; it changes no weight. None: as many as cores and shards allow.
    """

    run: Path | None = None
    bars: TrainingBars | None = None
    init: Checkpoint | None = None
    device: str = "cpu"
    workers: int | None = 1
    clock: Clock = field(default_factory=SystemClock)

    def record(self, model: ModelConfig, config: TrainConfig) -> RunSettings:
        """What a resumed run must share."""
        return {
            "model": model.to_json(),
            "training": config.to_json(),
            "bars": None if self.bars is None else self.bars.record,
            "init": None if self.init is None else self.init.digest,
        }


class Trainer:
    """One run: model, optimiser, and its progress.

    The same seed on the same machine gives the same weights, interrupted or not. On a machine so slow that
    the time limit would be passed, the learning-rate schedule is shortened to end within it: the checkpoint
    then says fewer iterations, and a rerun need not give the same bits.
    """

    def __init__(
        self, model_config: ModelConfig, config: TrainConfig, setting: Setting | None = None
    ) -> None:
        setting = Setting() if setting is None else setting
        self.config, self.run, self.setting = config, setting.run, setting
        self._size = pool_size(setting.workers, config, setting.device)
        bars = setting.bars
        self.source = ShardSource(model_config, config, None if bars is None else bars.train, setting.device)
        self.model = fresh_model(model_config, config.seed)
        if setting.init is not None:
            self.model.load_state_dict(setting.init.model.state_dict())
        self.model.to(setting.device)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            betas=(0.9, 0.98),
        )
        self.at = RunProgress(0, 0.0, 0.0, setting.record(model_config, config))
        self.best: dict[str, torch.Tensor] | None = None
        self.resumed_from = 0
        self._log = _tensorboard(self.run)
        later = None if bars is None else bars.validation
        generators = (np.random.default_rng(VALIDATION_SEED + k) for k in range(config.validation))
        self._validation = [
            draw_batch(rng, model_config, config, later).to(setting.device) for rng in generators
        ]
        self._between_steps = True

    def resume(self) -> None:
        """Go on from the newest state of the run directory. Raises InputError if it was another run."""
        if self.run is None:
            raise InputError("resuming needs the run's directory: give --run DIR")
        started = self.at.settings
        self.at, self.best = load_state(self.run, self.model, self.optimiser)
        self.resumed_from = self.at.done
        if self.at.settings != started:
            raise InputError(
                f"{self.run} was started with other settings: resume it with the same --preset, --seed,"
                " --iterations and bars, or give another --run"
            )

    def train(self, progress: OnStep | None = None) -> TrainResult:
        """Run to the end. Ctrl-C acts between steps, and writes the state where there is a directory."""
        clock, started_ns, before_s = self.setting.clock, self.setting.clock.now_ns(), self.at.elapsed_s
        total = self.at.total or self.config.iterations
        try:
            with interrupts_wait() as stop_if_interrupted, WorkerPool(self.source, self._size) as pool:
                while self.at.done < total and not self._exhausted():
                    self._between_steps = False
                    value = self._step(pool, total)
                    smoothed = value if not self.at.done else 0.97 * self.at.smoothed + 0.03 * value
                    elapsed = before_s + (clock.now_ns() - started_ns) / NS_PER_S
                    self.at = replace(self.at, done=self.at.done + 1, smoothed=smoothed, elapsed_s=elapsed)
                    self._between_steps = True
                    total = _fit_to_limit(self.at.done, elapsed, self.config)
                    self.at = replace(self.at, total=total)
                    self._after_step(value, total)
                    if progress is not None:
                        progress(self.at.done, total, smoothed)
                    stop_if_interrupted()
        except KeyboardInterrupt:
            if self._between_steps:  # else the state before stands: the weights may have moved on
                self._save()
            raise
        if self.best is not None:
            self.model.load_state_dict(self.best)
        self.model.eval()
        orders = (self.at.done - self.resumed_from) * self.config.series * self.config.starts
        return TrainResult(
            self.model.cpu(),
            self.at.smoothed,
            self.at.done,
            self.at.elapsed_s,
            orders / max(1e-9, (clock.now_ns() - started_ns) / NS_PER_S),
            self.at.best,
            self.resumed_from,
            None if self.setting.bars is None else self.setting.bars.record,
            None if self.setting.init is None else self.setting.init.digest,
        )

    def _step(self, pool: WorkerPool, total: int) -> float:
        """One step: its loss. Raises InternalError where a number is not finite."""
        done = self.at.done / total
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate * _schedule(done)
        shards = pool.compute(self.model, self.at.done)
        value = sum(shard.loss for shard in shards) / len(shards)
        for parameter, gradient in unflatten(mean_gradient(shards), self.model):
            parameter.grad = gradient
        if done < self.config.shared:
            self.model.policy.share_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        if not (math.isfinite(value) and math.isfinite(float(norm))):
            raise self._bad_step(shards)
        self.optimiser.step()
        return value

    def _bad_step(self, shards: list[Shard]) -> InternalError:
        """Save the shard that is to blame, drawn again, with the weights; return the error to raise."""
        step, bad = self.at.done, next((k for k, shard in enumerate(shards) if not shard.finite), 0)
        for parameter, gradient in unflatten(shards[bad].gradient, self.model):
            parameter.grad = gradient
        batch = self.source.draw(step, bad)
        path, name = save_bad_step(self.run or Path(), self.model, batch, step)
        return InternalError(
            f"iteration {step}, shard {bad}: a number is not finite (first: {name}); no weight was changed;"
            f" the batch and the weights are in {path}"
        )

    def _after_step(self, value: float, total: int) -> None:
        """Log, validate and save the state, each every so many steps."""
        done = self.at.done
        if self._log is not None and done % 10 == 0:
            self._log.add_scalar("loss", value, done)
            self._log.add_scalar("learning_rate", self.optimiser.param_groups[0]["lr"], done)
        if self._validation and (done % self.config.validate_every == 0 or done == total):
            self._validate(done)
        if done % STATE_EVERY == 0 or done == total:
            self._save()

    @torch.no_grad()
    def _validate(self, done: int) -> None:
        score = sum(float(batch.cost(self.model, self.config)) for batch in self._validation) / len(
            self._validation
        )
        if self._log is not None:
            self._log.add_scalar("validation", score, done)
        if self.at.best is not None and not score < self.at.best:
            self.at = replace(self.at, waited=self.at.waited + 1)
        else:
            self.at = replace(self.at, best=score, waited=0)
            self.best = {k: v.detach().clone() for k, v in self.model.state_dict().items()}

    def _exhausted(self) -> bool:
        return bool(self._validation) and self.at.waited > self.config.patience

    def _save(self) -> None:
        if self.run is not None and self.at.done:
            save_state(self.run, self.model, self.optimiser, self.at, self.best)


def train(
    model_config: ModelConfig,
    config: TrainConfig,
    progress: OnStep | None = None,
    workers: int | None = 1,
) -> TrainResult:
    """Train a fresh model, keeping nothing on disk.

    With ``workers`` above 1 a script must guard its own start (``if __name__ == "__main__":``): the others
    import it.
    """
    return Trainer(model_config, config, Setting(workers=workers)).train(progress)


def train_run(
    model_config: ModelConfig,
    config: TrainConfig,
    setting: Setting,
    *,
    resume: bool,
    progress: OnStep | None = None,
) -> TrainResult:
    """Train in a setting. Raises InputError where its run directory holds a run and ``resume`` is False."""
    run = setting.run
    if run is not None and not resume and has_state(run):
        raise InputError(f"{run} holds an unfinished or finished run: give --resume, or another --run")
    if config.bars_share and setting.bars is None:
        raise InputError(f"a bars share of {config.bars_share:g} needs real bars: give --bars FILE")
    trainer = Trainer(model_config, config, setting)
    if resume:
        trainer.resume()
    return trainer.train(progress)


class _ScalarLog(Protocol):
    """What of TensorBoard's writer is used: one number at one step."""

    def add_scalar(self, tag: str, value: float, step: int) -> None: ...


def _tensorboard(run: Path | None) -> _ScalarLog | None:
    if run is None:
        return None
    from tensorboardX import SummaryWriter

    writer: _ScalarLog = SummaryWriter(str(run))
    return writer


def _schedule(done: float) -> float:
    """Learning rate over its peak after the fraction ``done``: linear warm-up, then cosine to 1 %."""
    if done < WARM_UP:
        return done / WARM_UP + 0.02
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * (done - WARM_UP) / (1.0 - WARM_UP)))


def _fit_to_limit(done: int, elapsed_s: float, config: TrainConfig) -> int:
    """Shorten the schedule where its pace, known after 100 iterations, would pass the time limit."""
    if done < 100 or elapsed_s / done * config.iterations <= config.time_limit_s:
        return config.iterations
    return max(done, int(config.time_limit_s * done / elapsed_s))
