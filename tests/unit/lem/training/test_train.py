"""Training runs: what a kill, a second start and a number that is not finite do to them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from agent.barfiles.read_bars import Series
from agent.core.errors import InputError, InternalError
from lem.bars.real_bars import BarSource
from lem.bars.simulate import simulate
from lem.cli import main
from lem.network.checkpoint import load_checkpoint
from lem.network.model_config import PRESETS, ModelConfig
from lem.training.batches import ARRIVAL_SHARE, Batch, draw_batch
from lem.training.train import Setting, Trainer, train, train_run
from lem.training.workers import ShardSource
from tests.patience import PATIENCE_S

TINY = replace(PRESETS["tiny"], iterations=6)
SMALL = ModelConfig(lookback=40)


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    """Stopped after three of six steps and resumed in a new process' objects: bit for bit the same model."""
    whole = train(SMALL, TINY).model
    trainer = Trainer(SMALL, TINY, Setting(tmp_path))

    def stop(done: int, total: int, loss: float) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.train(stop)
    result = train_run(SMALL, TINY, Setting(tmp_path), resume=True)
    assert result.resumed_from == 3
    assert result.iterations == 6
    assert same(result.model, whole)


class Interrupted(ShardSource):
    """Ctrl-C while the fourth step is drawn."""

    def draw(self, step: int, part: int) -> Batch:
        if (step, part) == (3, 0):
            os.kill(os.getpid(), signal.SIGINT)
        return super().draw(step, part)


def test_ctrl_c_inside_a_step_waits_for_its_end(tmp_path: Path) -> None:
    """A real SIGINT while the fourth step is drawn: the step ends first, the resumed run ends the same."""
    trainer = Trainer(SMALL, TINY, Setting(tmp_path))
    trainer.source = Interrupted(SMALL, TINY)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    result = train_run(SMALL, TINY, Setting(tmp_path), resume=True)
    assert result.resumed_from == 4
    assert same(result.model, train(SMALL, TINY).model)


@pytest.mark.parametrize("stop_at", [1, 2])
def test_patience_survives_a_resume(tmp_path: Path, stop_at: int) -> None:
    """A validated run that loses patience loses it at the same step when it was stopped on the way."""
    wild = replace(TINY, iterations=8, learning_rate=0.1, validation=2, validate_every=1, patience=2)
    whole = Trainer(SMALL, wild).train()

    def stop(done: int, total: int, loss: float) -> None:
        if done == stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(SMALL, wild, Setting(tmp_path)).train(stop)
    resumed = train_run(SMALL, wild, Setting(tmp_path), resume=True)
    assert resumed.iterations == whole.iterations
    assert same(resumed.model, whole.model)


@pytest.mark.slow
def test_a_shortened_run_that_ended_stays_ended(tmp_path: Path) -> None:
    """A time limit far too short ends the run after 100 steps; resuming it changes nothing."""
    hurried = replace(TINY, iterations=400, series=2, starts=1, n_min=3, n_max=4, time_limit_s=0.5)
    short = ModelConfig(lookback=6)
    first = train_run(short, hurried, Setting(tmp_path), resume=False)
    again = train_run(short, hurried, Setting(tmp_path), resume=True)
    assert first.iterations == again.iterations == again.resumed_from < 400
    assert same(first.model, again.model)


def start(command: list[str], run: Path) -> subprocess.Popen[str]:
    """Start a command in a process group of its own, as a shell does, and wait for the run's first state."""
    started = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(run.glob("state-*.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.05)
    return started


def group_is_gone(group: int, patience_s: float = 20.0) -> bool:
    """Whether no process of the group is left, waited for."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
def test_a_killed_run_goes_on_without_loss(tmp_path: Path) -> None:
    """kill -9 in the middle of `lem train` on two processes, then --resume on one: the file equals an
    uninterrupted run's, and the second process has not outlived the first."""
    command = [sys.executable, "-m", "lem", "train", "--preset", "tiny", "--iterations", "160"]
    whole, killed = tmp_path / "whole.safetensors", tmp_path / "killed.safetensors"
    subprocess.run([*command, "--workers", "2", "--out", str(whole)], check=True, capture_output=True)
    run = tmp_path / "run"
    resumed = [*command, "--out", str(killed), "--run", str(run)]
    started = start([*resumed, "--workers", "2"], run)
    os.kill(started.pid, signal.SIGKILL)
    started.communicate()
    assert group_is_gone(started.pid)
    assert not killed.exists()
    subprocess.run([*resumed, "--workers", "1", "--resume"], check=True, capture_output=True)
    assert killed.read_bytes() == whole.read_bytes()


@pytest.mark.slow
def test_ctrl_c_at_a_terminal_leaves_one_message(tmp_path: Path) -> None:
    """SIGINT to all processes of `lem train` at once, as a terminal sends it: after how far it was, how to go
    on, and no traceback."""
    run = tmp_path / "run"
    command = [sys.executable, "-m", "lem", "train", "--preset", "tiny", "--iterations", "5000"]
    started = start([*command, "--workers", "2", "--out", str(tmp_path / "m"), "--run", str(run)], run)
    os.killpg(started.pid, signal.SIGINT)
    _, said = started.communicate(timeout=PATIENCE_S)
    assert started.returncode == 130
    *progress, last = said.splitlines()
    assert last == f"stopped; go on with: --resume --run {run} and the same options"
    assert all(json.loads(line)["event"].startswith("training: ") for line in progress)
    assert group_is_gone(started.pid)


def test_a_damaged_state_falls_back_to_the_one_before(tmp_path: Path) -> None:
    """The newest of two states is cut short: the run resumes from the older one."""
    trainer = Trainer(SMALL, TINY, Setting(tmp_path))
    trainer.train(lambda done, total, loss: trainer._save() if done in (2, 4) else None)
    states = sorted(tmp_path.glob("state-*"))
    assert [int(p.stem[-6:]) for p in states] == [4, 6]
    states[-1].write_bytes(states[-1].read_bytes()[:1000])
    result = train_run(SMALL, TINY, Setting(tmp_path), resume=True)
    assert result.resumed_from == 4
    assert same(result.model, train(SMALL, TINY).model)


def test_a_state_of_another_version_is_refused(tmp_path: Path) -> None:
    """States once held a generator: what they began cannot be ended as it would have been."""
    train_run(SMALL, TINY, Setting(tmp_path), resume=False)
    (path,) = tmp_path.glob("state-*")
    with safe_open(path, framework="pt") as file:
        state = json.loads(file.metadata()["state"])
    save_file(load_file(path), path, metadata={"state": json.dumps(state | {"generator": {}})})
    with pytest.raises(InputError, match=r"another version of this program.*train anew with another --run"):
        train_run(SMALL, TINY, Setting(tmp_path), resume=True)


def test_runs_are_not_mixed_up(tmp_path: Path) -> None:
    """A directory in use, other settings, and nothing to resume are refused with what to do."""
    train_run(SMALL, TINY, Setting(tmp_path / "run"), resume=False)
    with pytest.raises(InputError, match="give --resume, or another --run"):
        train_run(SMALL, TINY, Setting(tmp_path / "run"), resume=False)
    with pytest.raises(InputError, match="other settings"):
        train_run(SMALL, replace(TINY, seed=2), Setting(tmp_path / "run"), resume=True)
    with pytest.raises(InputError, match="no training state"):
        train_run(SMALL, TINY, Setting(tmp_path / "empty"), resume=True)


class Poisoned(ShardSource):
    """A price of the second part is NaN."""

    def draw(self, step: int, part: int) -> Batch:
        batch = super().draw(step, part)
        if part == 1:
            batch.orders.price[0, 1] = float("nan")
        return batch


@pytest.mark.parametrize("workers", [1, 2])
def test_a_number_that_is_not_finite_stops_with_its_batch_saved(tmp_path: Path, workers: int) -> None:
    """A NaN price, wherever it is met: no weight changes, that part is on disk, the message names it."""
    trainer = Trainer(SMALL, TINY, Setting(tmp_path, workers=workers))
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    trainer.source = Poisoned(SMALL, TINY)
    with pytest.raises(InternalError, match=r"0, shard 1: .*first: orders\.price.*bad-batch-000000\.npz"):
        trainer.train()
    kept = np.load(tmp_path / "bad-batch-000000.npz")
    assert np.isnan(kept["orders.price"]).sum() == 1
    assert {"inputs.values", "orders.volume", "series", "start"} <= set(kept.files)
    assert all(torch.equal(v, before[k]) for k, v in trainer.model.state_dict().items())


def test_validation_keeps_the_best_weights(tmp_path: Path) -> None:
    """With a learning rate far too high, what comes back is the best of the run by its orders' cost alone."""
    wild = replace(TINY, iterations=8, learning_rate=0.1, validation=2, validate_every=1, patience=3)
    trainer = Trainer(SMALL, wild, Setting(tmp_path))
    result = trainer.train()
    assert result.validation is not None
    with torch.no_grad():
        score = sum(float(b.cost(result.model, wild)) for b in trainer._validation) / 2
        whole = sum(float(b.loss(result.model, wild)) for b in trainer._validation) / 2
    assert whole > score + 1e-3  # forecasts are not in it
    assert score == pytest.approx(result.validation, rel=1e-5)
    assert list(tmp_path.glob("events.*"))


def test_the_command_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`lem train --run` twice: refused without --resume, accepted with it."""
    arguments = ["train", "--preset", "tiny", "--iterations", "2", "--run", str(tmp_path / "run")]
    arguments += ["--out", str(tmp_path / "m.safetensors"), "--json"]
    codes = []
    for extra in ([], [], ["--resume"]):
        with pytest.raises(SystemExit) as stop:
            main([*arguments, *extra])
        codes.append(stop.value.code)
    assert codes == [0, 2, 0]
    assert "give --resume" in capsys.readouterr().err


def bars_file(path: Path, minutes: int = 6_000) -> Path:
    """A CSV of one-minute bars: a walk with volume."""
    rng = np.random.default_rng(3)
    close = 100.0 * np.exp(1e-3 * rng.standard_normal(minutes).cumsum())
    rows = [
        f"{60_000 * i},{c:.6f},{c * 1.001:.6f},{c * 0.999:.6f},{c:.6f},{v:.3f}"
        for i, (c, v) in enumerate(zip(close, rng.lognormal(size=minutes), strict=True), start=28_000_000)
    ]
    path.write_text("open_time,open,high,low,close,volume\n" + "\n".join(rows) + "\n")
    return path


@pytest.mark.slow
def test_training_on_bars_from_a_model_is_written_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`lem train --bars --init`: the file tells bars, split and parent; other bars do not resume the run."""
    bars, out = bars_file(tmp_path / "x.csv"), tmp_path / "tuned.safetensors"
    first = tmp_path / "first.safetensors"
    with pytest.raises(SystemExit) as stop:
        main(["train", "--preset", "tiny", "--out", str(first), "--json"])
    assert stop.value.code == 0
    digest = json.loads(capsys.readouterr().out)["digest"]
    arguments = ["train", "--preset", "finetune", "--iterations", "2", "--init", str(first), "--run"]
    arguments += [str(tmp_path / "run"), "--interval", "1m", "--interval", "2m", "--validation-share", "0.3"]
    arguments += ["--out", str(out), "--json", "--bars"]
    with pytest.raises(SystemExit) as stop:
        main([*arguments, str(bars)])
    assert stop.value.code == 0
    record = json.loads(capsys.readouterr().out)
    training = load_checkpoint(out).training
    assert training["init"] == record["init"] == digest
    assert training["data"]["bars"] == record["bars"]
    assert record["bars"]["series"] == ["x"]
    assert record["bars"]["train_to_ns"] < record["bars"]["to_ns"]
    assert record["validation"] is not None
    assert not same(load_checkpoint(out).model, load_checkpoint(first).model)
    with pytest.raises(SystemExit) as stop:
        main([*arguments, str(bars_file(tmp_path / "y.csv", 6_001)), "--resume"])
    assert stop.value.code == 2
    assert "other settings" in capsys.readouterr().err


def test_real_bars_have_no_known_drift() -> None:
    """A mixed batch: simulated orders know their drift, real ones do not, and all of it trains."""
    series = Series("x", simulate("gaussian-bars", np.random.default_rng(1), 1, 400, 1e-3, 60_000_000_000)[0])
    source = BarSource([series], [60_000_000_000])
    config = replace(TINY, series=12, starts=3, bars_share=0.5)
    model = Trainer(SMALL, config).model
    batch = draw_batch(np.random.default_rng(1), SMALL, config, source)
    real = torch.isnan(batch.orders.drift).all(1)
    assert 0 < int(real.sum()) < len(real)
    assert torch.isfinite(batch.orders.drift[~real]).all()
    value = batch.loss(model, config)
    value.backward()  # type: ignore[no-untyped-call]
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_orders_on_predictable_markets_are_mostly_judged_on_arrival() -> None:
    """Where a drift is told most orders have an arrival weight, elsewhere and on real bars few."""
    config = replace(TINY, series=200, starts=5, n_max=8)
    orders = draw_batch(np.random.default_rng(3), SMALL, config).orders
    told = (orders.drift.abs() > 0).any(1)
    on_arrival = (orders.arrival_weight > 0).double()
    assert on_arrival[told].mean() == pytest.approx(ARRIVAL_SHARE[True], abs=0.08)
    assert on_arrival[~told].mean() == pytest.approx(ARRIVAL_SHARE[False], abs=0.08)
