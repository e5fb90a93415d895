"""The parts of a training step: which process computes them changes nothing, and none is left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agent.barfiles.read_bars import Series
from agent.core.errors import InputError, OutsideError
from lem.bars.real_bars import TrainingBars, training_bars
from lem.bars.simulate import simulate
from lem.cli import main
from lem.network.checkpoint import load_checkpoint, save_checkpoint
from lem.network.model_config import PRESETS, ModelConfig
from lem.training.batches import Batch
from lem.training.train import Setting, Trainer, train_run
from lem.training.workers import ShardSource, WorkerPool, pool_size

TINY = replace(PRESETS["tiny"], iterations=6)
SMALL = ModelConfig(lookback=40)


def real_bars() -> TrainingBars:
    bars = simulate("gaussian-bars", np.random.default_rng(1), 1, 6_000, 1e-3, 60_000_000_000)[0]
    return training_bars([Series("x", bars)], [60_000_000_000, 120_000_000_000], 200, 0.3)


@pytest.mark.slow
def test_the_number_of_processes_changes_no_byte(tmp_path: Path) -> None:
    """Real bars, a checkpoint to start from, three parts: two processes, stopped, then three; or just one."""
    config = replace(TINY, series=6, parts=3, n_max=8, bars_share=0.5, validation=1, validate_every=2)
    save_checkpoint(Trainer(SMALL, TINY).model, tmp_path / "init.safetensors", {})
    start, bars = load_checkpoint(tmp_path / "init.safetensors"), real_bars()
    one = train_run(SMALL, config, Setting(None, bars, start), resume=False)

    def stop(done: int, total: int, loss: float) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(SMALL, config, Setting(tmp_path / "run", bars, start, workers=2)).train(stop)
    more = train_run(SMALL, config, Setting(tmp_path / "run", bars, start, workers=3), resume=True)
    assert more.resumed_from == 3
    files = tmp_path / "one.safetensors", tmp_path / "more.safetensors"
    for result, file in zip((one, more), files, strict=True):
        save_checkpoint(result.model, file, result.record(config, "tiny"))
    assert files[0].read_bytes() == files[1].read_bytes()


def test_parts_differ_and_share_their_length() -> None:
    """Two parts of a step, and two steps, hold other bars; the parts of one step orders of one length."""
    work = ShardSource(SMALL, TINY)
    lengths = set()
    for step in range(8):
        a, b = work.draw(step, 0), work.draw(step, 1)
        assert a.orders.price.shape == b.orders.price.shape == (4, a.orders.price.shape[1])
        assert not np.array_equal(a.orders.price, b.orders.price)
        lengths.add(a.orders.price.shape[1])
    assert len(lengths) > 1
    assert not np.array_equal(work.draw(0, 0).inputs.values, work.draw(1, 0).inputs.values)


class Refused(ShardSource):
    """The second part finds that the user gave something wrong."""

    def draw(self, step: int, part: int) -> Batch:
        if part == 1:
            raise InputError("no stretch of 200 bars without a gap: give more history")
        return super().draw(step, part)


class Killed(ShardSource):
    """Whoever draws the second part of the second step is killed."""

    def draw(self, step: int, part: int) -> Batch:
        if (step, part) == (1, 1):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().draw(step, part)


def test_an_error_in_another_process_is_the_one_it_would_be_here() -> None:
    """Same class, same message, and where it happened as a note for whoever debugs it."""
    trainer = Trainer(SMALL, TINY, Setting(workers=2))
    trainer.source = Refused(SMALL, TINY)
    with pytest.raises(InputError) as met:
        trainer.train()
    assert str(met.value) == "no stretch of 200 bars without a gap: give more history"
    assert "in a training process" in met.value.__notes__[0]


def test_a_process_that_is_killed_is_named() -> None:
    """SIGKILL of a helper, as for want of memory: one message that says what to do."""
    trainer = Trainer(SMALL, TINY, Setting(workers=2))
    trainer.source = Killed(SMALL, TINY)
    with pytest.raises(OutsideError, match=r"exit code -9.*--workers 1"):
        trainer.train()


def test_helpers_end_with_their_crew() -> None:
    """After the block no process is left, even one that is still starting."""
    with WorkerPool(ShardSource(SMALL, TINY), 2):
        (helper,) = multiprocessing.active_children()
        assert helper.is_alive()
    assert not helper.is_alive()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "3"], "3 workers: a step has 2 shards, use 1 to 2 processes"),
        (["--workers", "0"], "'--workers': Input should be greater than or equal to 1"),
        (["--seed", "-1"], "'--seed': Input should be greater than or equal to 0"),
    ],
)
def test_bad_options_get_one_message(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Too many processes, none, and a seed below zero: exit 2 and what is allowed, before any training."""
    with pytest.raises(SystemExit) as stop:
        main(["train", "--preset", "tiny", "--out", str(tmp_path / "m.safetensors"), *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_processes_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """One a core that is ours as far as parts go, fewer where each has several threads, one with CUDA."""
    config = replace(TINY, parts=4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 2, 5}, raising=False)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert [pool_size(None, c, "cpu") for c in (TINY, config)] == [2, 3]
        torch.set_num_threads(2)
        assert pool_size(None, config, "cpu") == 1
    finally:
        torch.set_num_threads(threads)
    assert pool_size(None, config, "cuda") == pool_size(1, config, "cuda") == 1
    with pytest.raises(InputError, match=r"2 workers with device cuda: one process .* leave --workers out"):
        pool_size(2, config, "cuda")


def test_parts_that_cannot_be_equal_are_refused() -> None:
    """Five series in two parts."""
    with pytest.raises(InputError, match="5 series make no 2 equal shards"):
        Trainer(SMALL, replace(TINY, series=5))
