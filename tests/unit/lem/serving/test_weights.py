"""Compiled inference against the torch layers, and streams against encodings made anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agent.core.market.bars import FBarArray
from agent.core.market.feature_names import FEATURE_NAMES
from agent.core.market.features import FEATURE_SPAN, features
from lem.bars.simulate import simulate
from lem.evaluation.evaluation_spec import EvaluationSpec
from lem.network.checkpoint import Checkpoint, fresh_model
from lem.network.model import LEM, OrderProgress, OrderTerms
from lem.network.model_config import SCENARIOS, ModelConfig
from lem.serving.encoder_kernel import select
from lem.serving.encoding_stream import SharedSelection, Streams
from lem.serving.policy_kernel import POLICY_COLUMNS, decide
from lem.serving.predictor import Predictor
from lem.serving.row_kernels import linear
from lem.serving.weights import CompiledModel
from tests.unit.lem.worlds import Walk

DELTA_NS = 60_000_000_000
CONFIG = ModelConfig(lookback=60)


def shaken(seed: int) -> LEM:
    """An untrained model, far enough from its start that every part matters."""
    model = fresh_model(CONFIG, seed)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def window(length: int, seed: int, market: str = "stochastic-vol") -> FBarArray:
    """Bars whose book is missing now and then, and whose taker side is never known for odd seeds."""
    bars = simulate(market, np.random.default_rng(seed), 1, length, 5e-4, DELTA_NS)[0]
    bars["touch_imbalance"][::3] = np.nan
    if seed % 2:
        bars["taker_volume"] = np.nan
    return bars


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("rows", [1, 7, 60, 75])
def test_a_stream_is_the_torch_encoding(seed: int, rows: int) -> None:
    """Contexts and weights within 1e-5 of the full pass, for histories below and beyond the lookback."""
    model = shaken(seed)
    compiled = CompiledModel.of(model)
    bars = window(rows + 20, seed)
    stream = Streams(compiled).take(bars, rows, DELTA_NS)
    values, mask = features(bars, DELTA_NS, rows)
    given = (torch.from_numpy(x).unsqueeze(0) for x in (values, mask))
    with torch.no_grad():
        contexts, weights = model.encoder(*given, torch.ones(1, rows, dtype=torch.bool))
    assert np.abs(stream.context - contexts[0, -1].numpy()).max() < 1e-5
    found = np.empty_like(values)
    select(values, mask, compiled.selection, np.empty((rows, CONFIG.hidden), np.float32), found)
    assert np.abs(found - weights[0].numpy()).max() < 1e-5
    for name, weight in stream.importances.items():
        assert weight == pytest.approx(float(weights[0, -1, FEATURE_NAMES.index(name)]), abs=1e-5)


def test_carried_and_rebuilt_are_the_same_bits() -> None:
    """Bar by bar, in leaps, or all at once: the same context, bit for bit."""
    model = CompiledModel.of(shaken(4))
    bars = window(60 + FEATURE_SPAN + 20, 4)
    carried, leaping = Streams(model), Streams(model)
    for t in range(21):
        seen = carried.take(bars[: len(bars) - 20 + t], 60 + t, DELTA_NS)
        if t in (0, 3, 11, 20):
            leapt = leaping.take(bars[: len(bars) - 20 + t], 60 + t, DELTA_NS)
            anew = Streams(model).take(bars[: len(bars) - 20 + t], 60 + t, DELTA_NS)
            assert np.array_equal(seen.context, anew.context)
            assert np.array_equal(seen.context, leapt.context)


@pytest.mark.parametrize(("back", "again"), [(1, 1), (2, 2), (30, 30), (60, 60), (61, 60), (80, 60)])
def test_a_revised_bar_takes_its_stream_back_to_it(back: int, again: int) -> None:
    """Late trades change the bar ``back`` from the end: a fresh encoding's bits, from that bar on only.

    Where it lies in the memory before the stream, all 60 bars are taken in again.
    """
    model = CompiledModel.of(shaken(5))
    bars = window(60 + FEATURE_SPAN, 6)
    streams = Streams(model)
    before = streams.take(bars, 60, DELTA_NS).context.copy()
    revised = bars.copy()
    revised["volume"][-back] *= 3.0
    after = streams.take(revised, 60, DELTA_NS)
    fresh = Streams(model).take(revised, 60, DELTA_NS)
    assert np.array_equal(after.context, fresh.context)
    assert after.importances == fresh.importances
    assert not np.array_equal(before, after.context)
    assert streams.taken == 60 + again


def test_a_revised_bar_and_new_ones_at_once() -> None:
    """The newest bar is revised and three more arrive: four are taken in, and the bits are a fresh one's."""
    model = CompiledModel.of(shaken(5))
    bars = window(60 + FEATURE_SPAN + 3, 6)
    streams = Streams(model)
    early = bars[:-3].copy()
    early["close"][-1] *= 1.001
    streams.take(early, 60, DELTA_NS)
    after = streams.take(bars, 63, DELTA_NS)
    assert np.array_equal(after.context, Streams(model).take(bars, 63, DELTA_NS).context)
    assert streams.taken == 64


def test_asked_again_about_the_past() -> None:
    """An earlier interval asked for later, then the newest again: each time what a fresh stream says."""
    model = CompiledModel.of(shaken(8))
    bars = window(60 + FEATURE_SPAN + 20, 9)
    streams = Streams(model)
    for t in (20, 5, 6, 0, 20, 20):
        seen = streams.take(bars[: len(bars) - 20 + t], 60 + t, DELTA_NS)
        anew = Streams(model).take(bars[: len(bars) - 20 + t], 60 + t, DELTA_NS)
        assert np.array_equal(seen.context, anew.context)
        assert seen.rows == anew.rows == 60 + t
    assert streams.taken == 80 + 1 + 1 + 1 + 20


@pytest.mark.parametrize("seed", range(6))
def test_decisions_are_the_torch_networks(seed: int) -> None:
    """Random terms and states through both: fraction and probability within 1e-5, all scenarios."""
    model, rng = shaken(seed), np.random.default_rng(seed)
    compiled = CompiledModel.of(model)
    n = float(rng.integers(1, 40))
    t = float(rng.integers(0, int(n)))
    terms = [t, n, float(rng.integers(0, int(n) + 1)), *rng.normal(0.0, 3.0, 2), t * rng.random() * 2, 1.0]
    terms += [
        rng.random() * 0.3,
        rng.random() / n,
        max(1.5 / n, rng.random()),
        10 ** rng.uniform(-2, 1),
        rng.random(),
    ]
    own = [rng.random(), rng.normal(0.0, 2.0), rng.random() * 0.4]
    context = rng.normal(0.0, 1.0, CONFIG.hidden).astype(np.float32)
    columns = [torch.tensor([x], dtype=torch.float64) for x in terms]
    columns[3] = columns[3].expand(8, 1)
    given = OrderTerms(*columns)
    progress = OrderProgress(*(torch.tensor([x], dtype=torch.float64).expand(8, 1) for x in own))
    with torch.no_grad():
        fraction, finish = model.policy(
            torch.from_numpy(context)[None],
            given.inputs(),
            progress.inputs(given.t, given.n, given.max_rate),
            given.n - given.t,
        )
    for k in range(len(SCENARIOS)):
        share, chance = decide(compiled.policy, k, context, np.array(terms + own))
        assert share == pytest.approx(float(fraction[k, 0]), abs=1e-5)
        assert chance == pytest.approx(float(finish[k, 0]), abs=1e-5)


def test_ablated_models_are_refused() -> None:
    """There is no compiled form of a model without one of its parts."""
    with pytest.raises(TypeError, match="no compiled form"):
        CompiledModel.of(fresh_model(ModelConfig(cell="lstm"), 1))


def test_thousands_of_orders_are_answered_as_if_alone() -> None:
    """300 orders of different starts on three markets in one call: each as a fresh predictor answers it."""
    checkpoint = Checkpoint(shaken(7), "shaken", Path("none"))
    spec = EvaluationSpec(n=20, participation=0.03)
    requests = []
    for market in range(3):
        bars = window(140, market, "seasonal")
        for k in range(100):
            t = k % 19
            one = Walk(bars, 120 - t, spec, 0, SCENARIOS[k % 8])
            order, view = one.views(t, [0.03] * t)
            requests.append((replace(order, remaining=0.9 - 0.02 * t), view))
    together = Predictor(checkpoint).decide_many(requests)
    for k in range(0, 300, 17):
        assert Predictor(checkpoint).decide_many([requests[k]])[0] == together[k]


def test_streams_of_one_market_share_the_selection_of_its_bars() -> None:
    """Twelve starts on one market in one call: bit for bit what each stream makes of it alone."""
    model = CompiledModel.of(shaken(9))
    bars = window(60 + FEATURE_SPAN + 12, 10)
    streams = Streams(model)
    shared = SharedSelection(streams, bars, DELTA_NS)
    for own in (3, 0, 12, 7):
        part = bars[-(60 + FEATURE_SPAN + own) :]
        together = streams.take(part, 60 + own, DELTA_NS, shared)
        alone = Streams(model).take(part, 60 + own, DELTA_NS)
        assert np.array_equal(together.context, alone.context)
        assert together.importances == alone.importances


def test_a_stream_that_outgrows_its_room_loses_nothing() -> None:
    """A long order, 150 bars one by one: the context of one pass over all."""
    model = CompiledModel.of(shaken(11))
    bars = window(60 + FEATURE_SPAN + 150, 12)
    streams = Streams(model)
    for t in range(0, 151):
        seen = streams.take(bars[: 60 + FEATURE_SPAN + t], 60 + t, DELTA_NS)
    assert np.array_equal(seen.context, Streams(model).take(bars, 210, DELTA_NS).context)
    assert streams.taken == 210


def test_the_worked_example_of_a_stream() -> None:
    """60 bars, one more, then bar 50 of the 61 revised: 60 + 1 + 11 = 72 taken in."""
    bars = window(61 + FEATURE_SPAN, 7)
    streams = Streams(CompiledModel.of(shaken(5)))
    streams.take(bars[:-1], 60, DELTA_NS)
    streams.take(bars, 61, DELTA_NS)
    bars = bars.copy()
    bars["volume"][FEATURE_SPAN + 50] *= 3.0
    streams.take(bars, 61, DELTA_NS)
    assert streams.taken == 72


@pytest.mark.parametrize("rows", [1, 100])
def test_sums_start_at_the_bias_and_keep_their_order(rows: int) -> None:
    """In float32 1 + 1e8 - 1e8 is 0 for a row alone and among a hundred; 1e8 - 1e8 + 1 would be 1."""
    out, x = np.empty((rows, 1), np.float32), np.full((rows, 2), (1e8, -1e8), np.float32)
    linear(out, x, np.ones((2, 1), np.float32), np.ones(1, np.float32))
    assert (out == 0.0).all()


def test_the_worked_example_of_a_decision() -> None:
    """A last layer of (0, -1/2) with 4 intervals left: a quarter of the remainder, finishing at 0.269."""
    policy = CompiledModel.of(shaken(1)).policy
    silent = policy._replace(
        out=np.zeros_like(policy.out), out_bias=np.full_like(policy.out_bias, (0.0, -0.5))
    )
    order = np.array([{"t": 2.0, "n": 6.0, "remaining": 0.5}.get(name, 0.0) for name in POLICY_COLUMNS])
    fraction, chance = decide(silent, 0, np.zeros(CONFIG.hidden, np.float32), order)
    assert fraction == pytest.approx(0.25)
    assert chance == pytest.approx(0.269, abs=5e-4)
