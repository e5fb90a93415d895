"""The parts of a training step, computed by one process or several: which one does it changes no bit.

A part is drawn from (seed, step, part) alone and computed in one process, on as many threads as in any
other. Processes are spawned and keep nothing between steps: each step sends them the weights, some hundred
kB. They end with the pipe to their parent, however that ends, and never hear Ctrl-C: the parent decides.
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
from typing import Any

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
class Part:
    """What a part has to say about the step: its loss and that loss's gradient."""

    loss: float
    gradient: Flat

    @property
    def finite(self) -> bool:
        return math.isfinite(self.loss) and bool(np.isfinite(self.gradient).all())


@dataclass(frozen=True, slots=True)
class Work:
    """What the parts of a run are made from. Raises InputError where they would not be equal."""

    shape: ModelConfig
    config: TrainConfig
    real: BarSource | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        self.config.of_part()

    def length(self, step: int) -> int:
        """Intervals of all parts of a step: a longer one would keep the others waiting."""
        return draw_length(np.random.default_rng([self.config.seed, step]), self.config)

    def draw(self, step: int, part: int) -> Batch:
        """The part's batch, the same whenever it is drawn.

        Parts' generators are numbered from 1: numpy takes (seed, step) and (seed, step, 0) for the same.
        """
        rng, part_config = np.random.default_rng([self.config.seed, step, 1 + part]), self.config.of_part()
        return draw_batch(rng, self.shape, part_config, self.real, self.length(step)).to(self.device)

    def compute(self, model: LEM, step: int, part: int) -> Part:
        """Draw the part and differentiate its loss; the model stays as it is."""
        value = self.draw(step, part).loss(model, self.config)
        slopes = torch.autograd.grad(
            value, list(model.parameters()), allow_unused=True, materialize_grads=True
        )
        return Part(float(value.detach()), parameters_to_vector(slopes).cpu().numpy())


def mean_gradient(parts: list[Part]) -> Flat:
    """Added up in the parts' order, in float32: a sum's last bits depend on its order."""
    total = parts[0].gradient.copy()
    for part in parts[1:]:
        total += part.gradient
    total /= np.float32(len(parts))
    return total


def unflatten(flat: Flat, model: LEM) -> Iterator[tuple[torch.nn.Parameter, Tensor]]:
    """Each parameter with its numbers, as a tensor of its shape on its device."""
    first = 0
    for parameter in model.parameters():
        piece = flat[first : first + parameter.numel()]
        yield parameter, torch.from_numpy(piece).view_as(parameter).to(parameter.device)
        first += parameter.numel()


def crew_size(asked: int | None, config: TrainConfig, device: str) -> int:
    """Processes to work with; None: as many as there are cores, and parts, for. Raises InputError."""
    if asked is None:
        return max(1, min(config.parts, _usable_cores() // torch.get_num_threads())) if device == "cpu" else 1
    if device != "cpu" and asked > 1:
        raise InputError(
            f"{asked} workers with device {device}: one process computes all parts there; leave --workers out"
        )
    if not 1 <= asked <= config.parts:
        raise InputError(
            f"{asked} workers: a step has {config.parts} parts, use 1 to {config.parts} processes, or leave"
            " --workers out"
        )
    return asked


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux; elsewhere nobody says which cores are ours
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Crew:
    """``size`` processes that compute every step's parts: this one, and ``size`` - 1 spawned on entering."""

    def __init__(self, work: Work, size: int) -> None:
        self._work, self._size = work, size
        self._others: list[_Helper] = []

    def __enter__(self) -> Crew:
        self._others = [_Helper(self._work, self._share(k)) for k in range(1, self._size)]
        return self

    def __exit__(self, *_: object) -> None:
        for other in self._others:
            other.close()

    def compute(self, model: LEM, step: int) -> list[Part]:
        """All parts of a step, in order. Raises what a part raised, whichever process met it."""
        if self._others:
            weights = parameters_to_vector(model.parameters()).detach().numpy()
            for other in self._others:
                other.ask(step, weights)
        own = [self._work.compute(model, step, part) for part in self._share(0)]
        shares = [own, *(other.answer() for other in self._others)]
        return [shares[part % self._size][part // self._size] for part in range(self._work.config.parts)]

    def _share(self, k: int) -> range:
        return range(k, self._work.config.parts, self._size)


class _Helper:
    """A spawned process, as its parent sees it."""

    def __init__(self, work: Work, share: range) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, work, share, torch.get_num_threads()), daemon=True
        )
        with _interrupts_blocked():
            self._process.start()
        theirs.close()  # the helper's alone now: its end is seen here

    def ask(self, step: int, weights: Flat) -> None:
        try:
            self._pipe.send((step, weights))
        except OSError as error:
            raise self._gone() from error

    def answer(self) -> list[Part]:
        try:
            said: list[Part] | Exception = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise self._gone() from error
        if isinstance(said, Exception):
            raise said
        return said

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
    """A process started here never hears Ctrl-C, not even while it imports: it inherits the mask."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # starting a process would do it, and lift the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, work: Work, share: range, threads: int) -> None:
    """What a helper does: parts for weights, until its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    model = LEM(work.shape)
    try:
        while True:
            step, weights = pipe.recv()
            pipe.send(_said(work, model, weights, step, share))
    except (EOFError, OSError):
        return


def _said(work: Work, model: LEM, weights: Flat, step: int, share: range) -> Any:
    """The parts of a helper's share, or the error that one of them raised."""
    try:
        with torch.no_grad():
            for parameter, values in unflatten(weights, model):
                parameter.copy_(values)
        return [work.compute(model, step, part) for part in share]
    except Exception as error:
        error.add_note(f"in a training process:\n{traceback.format_exc()}")
        return error
