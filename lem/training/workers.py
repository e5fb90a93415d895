"""The shards of a training step, computed by one process or several: the weights do not depend on which.

A shard is drawn from (seed, step, shard number) alone and computed in one process, on as many threads as any
other. Worker processes are spawned and keep nothing between steps: each step sends them the weights, some
hundred kB. They end with the pipe to their parent, however it ends, and ignore Ctrl-C: the parent decides.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from agent.core.errors import InputError, OutsideError
from lem.bars.real_bars import BarSource
from lem.network.model import LEM
from lem.network.model_config import ModelConfig, TrainConfig
from lem.training.batches import Batch, draw_batch, draw_length

Flat = npt.NDArray[np.float32]
"""One number a parameter, in the order of ``model.parameters()``. [parameters]"""


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard's loss and its gradient."""

    loss: float
    gradient: Flat

    @property
    def finite(self) -> bool:
        """Whether every number is."""
        return math.isfinite(self.loss) and bool(np.isfinite(self.gradient).all())


@dataclass(frozen=True, slots=True)
class ShardSource:
    """Draws and computes the shards of a run. Raises InputError where they would not be equal."""

    shape: ModelConfig
    config: TrainConfig
    real: BarSource | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        self.config.of_shard()

    def length(self, step: int) -> int:
        """Intervals of all shards of a step: a longer one would keep the others waiting."""
        return draw_length(np.random.default_rng([self.config.seed, step]), self.config)

    def draw(self, step: int, shard: int) -> Batch:
        """The shard's batch, the same whenever it is drawn.

        Generators are numbered from 1, because numpy takes (seed, step) and (seed, step, 0) for the same.
        """
        rng, config = np.random.default_rng([self.config.seed, step, 1 + shard]), self.config.of_shard()
        return draw_batch(rng, self.shape, config, self.real, self.length(step)).to(self.device)

    def compute(self, model: LEM, step: int, shard: int) -> Shard:
        """Draw the shard and differentiate its loss; the model stays as it is."""
        value = self.draw(step, shard).loss(model, self.config)
        slopes = torch.autograd.grad(
            value, list(model.parameters()), allow_unused=True, materialize_grads=True
        )
        return Shard(float(value.detach()), parameters_to_vector(slopes).cpu().numpy())


def mean_gradient(shards: list[Shard]) -> Flat:
    """Added up in the shards' order, in float32: a sum's last bits depend on its order."""
    total = shards[0].gradient.copy()
    for shard in shards[1:]:
        total += shard.gradient
    total /= np.float32(len(shards))
    return total


def unflatten(flat: Flat, model: LEM) -> Iterator[tuple[torch.nn.Parameter, Tensor]]:
    """Each parameter with its numbers, as a tensor of its shape on its device."""
    first = 0
    for parameter in model.parameters():
        piece = flat[first : first + parameter.numel()]
        yield parameter, torch.from_numpy(piece).view_as(parameter).to(parameter.device)
        first += parameter.numel()


def pool_size(workers: int | None, config: TrainConfig, device: str) -> int:
    """The number of processes; None: as many as cores and shards allow. Raises InputError."""
    if workers is None:
        return max(1, min(config.parts, _usable_cores() // torch.get_num_threads())) if device == "cpu" else 1
    if device != "cpu" and workers > 1:
        raise InputError(
            f"{workers} workers with device {device}: one process computes all shards there;"
            " leave --workers out"
        )
    if not 1 <= workers <= config.parts:
        raise InputError(
            f"{workers} workers: a step has {config.parts} shards, use 1 to {config.parts} processes, or"
            " leave --workers out"
        )
    return workers


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux; elsewhere the usable cores are not known
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class WorkerPool:
    """``size`` processes that compute every step's shards: this one, and ``size`` - 1 spawned on entering."""

    def __init__(self, source: ShardSource, size: int) -> None:
        self._source, self._size = source, size
        self._others: list[_Worker] = []

    def __enter__(self) -> WorkerPool:
        self._others = [_Worker(self._source, self._shards_of(k)) for k in range(1, self._size)]
        return self

    def __exit__(self, *_: object) -> None:
        for other in self._others:
            other.close()

    def compute(self, model: LEM, step: int) -> list[Shard]:
        """All shards of a step, in order. Raises what a shard raised, in whichever process."""
        if self._others:
            weights = parameters_to_vector(model.parameters()).detach().numpy()
            for other in self._others:
                other.send(step, weights)
        own = [self._source.compute(model, step, shard) for shard in self._shards_of(0)]
        computed = [own, *(other.receive() for other in self._others)]
        count = self._source.config.parts
        return [computed[shard % self._size][shard // self._size] for shard in range(count)]

    def _shards_of(self, k: int) -> range:
        """Numbers of the shards that process ``k`` computes."""
        return range(k, self._source.config.parts, self._size)


class _Worker:
    """A spawned process, as its parent sees it."""

    def __init__(self, source: ShardSource, shards: range) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, source, shards, torch.get_num_threads()), daemon=True
        )
        with _interrupts_blocked():
            self._process.start()
        theirs.close()  # only the worker holds it now, so its end is seen here

    def send(self, step: int, weights: Flat) -> None:
        try:
            self._pipe.send((step, weights))
        except OSError as error:
            raise self._gone() from error

    def receive(self) -> list[Shard]:
        try:
            result: list[Shard] | Exception = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise self._gone() from error
        if isinstance(result, Exception):
            raise result
        return result

    def close(self) -> None:
        self._pipe.close()
        self._process.terminate()
        self._process.join()

    def _gone(self) -> OutsideError:
        self._process.join(5.0)
        return OutsideError(
            f"a training process ended before its work (exit code {self._process.exitcode}; -9: killed, most"
            " often for want of memory; 1: its own error is above): go on with --resume if the run has a"
            " --run, or use --workers 1"
        )


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """A process started here ignores Ctrl-C from the start, imports included: it inherits the mask."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # starting a process would do it, and lift the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, source: ShardSource, shards: range, threads: int) -> None:
    """A worker's loop: weights in, shards out, until its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    model = LEM(source.shape)
    try:
        while True:
            step, weights = pipe.recv()
            pipe.send(_result(source, model, weights, step, shards))
    except (EOFError, OSError):
        return


def _result(
    source: ShardSource, model: LEM, weights: Flat, step: int, shards: range
) -> list[Shard] | Exception:
    """The worker's shards, or the error that one of them raised."""
    try:
        with torch.no_grad():
            for parameter, values in unflatten(weights, model):
                parameter.copy_(values)
        return [source.compute(model, step, shard) for shard in shards]
    except Exception as error:
        error.add_note(f"in a training process:\n{traceback.format_exc()}")
        return error
