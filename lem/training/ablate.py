"""What each component of the model is worth: the same training without it, on the same paths.

Variants of one seed see the same batches in the same order, and are scored on the same orders, so
differences are paired. An interval covers the paths only: what another training seed would have changed
shows when several seeds are run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np
import torch

from agent.core.arrays import FloatArray
from lem.bars.simulate import simulate
from lem.evaluation.evaluation_spec import EvaluationSpec
from lem.evaluation.paths import BPS, CHUNK, IMPACT_PARTICIPATION, Paths, policy_paths, realise
from lem.evaluation.statistics import Z95
from lem.network.model import LEM
from lem.network.model_config import ModelConfig, TrainConfig
from lem.network.objective import scenario_columns
from lem.training.train import train

VARIANTS = {
    "full": ModelConfig(),
    "without TKAN (LSTM)": ModelConfig(cell="lstm"),
    "without variable selection": ModelConfig(selection=False),
    "without attention": ModelConfig(attention=False),
    "without order state": ModelConfig(conditioned_on_order=False),
}
OnVariantStep = Callable[[str, int, int], None]
"""Called after each step with (variant, steps done, in total)."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One number to compare variants by, in sigmas an interval: a market, its orders, and a measure.

    ``measure``: "gain", "net" (of impact), "slippage" (its size, negative: less is better) or "arrival".
    """

    name: str
    market: str
    measure: str
    spec: EvaluationSpec


class AblationRow(TypedDict):
    """One variant by one metric (``exam``), and its paired difference to the full model, in sigmas."""

    variant: str
    exam: str
    mean: float
    difference: float
    ci95: list[float]
    difference_by_seed: list[float]


class AblationDocument(TypedDict):
    """What ``lem ablate --json`` prints."""

    seeds: list[int]
    iterations: int
    orders: int
    unit: str
    training_loss: dict[str, list[float]]
    rows: list[AblationRow]


def metrics(orders: int, seed: int) -> tuple[Metric, ...]:
    """A known optimum, a market whose volume can be forecast, and two whose moves can be."""
    base = EvaluationSpec(n=12, orders=orders, seed=seed, risk_aversion=0.1, history=120)
    start = replace(base, min_periods=(0,))
    on_arrival = replace(start, arrival_weight=1.0)
    fixed = replace(base, min_periods=(12,))
    return (
        Metric("gain, m = 0", "gaussian-bars", "gain", start),
        Metric("gain, m = 6", "gaussian-bars", "gain", replace(base, min_periods=(6,))),
        Metric("net of impact at 10 %", "gaussian-bars", "net", replace(start, participation=0.1)),
        Metric("-|slippage|, m = n, seasonal volume", "seasonal", "slippage", fixed),
        Metric("arrival gain, book signal", "book-signal", "arrival", on_arrival),
        Metric("arrival gain, momentum", "momentum", "arrival", on_arrival),
    )


def ablate(
    config: TrainConfig,
    orders: int,
    seeds: tuple[int, ...],
    progress: OnVariantStep | None = None,
    workers: int | None = 1,
) -> AblationDocument:
    """Train every variant for every seed and return the document of differences to the full model.

    ``workers``: processes that train, which changes no result (``lem.training.workers``).
    """
    scores: dict[str, dict[str, list[FloatArray]]] = {name: {} for name in VARIANTS}
    losses: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for seed in seeds:
        for name, shape in VARIANTS.items():

            def report(done: int, total: int, _: float, name: str = name) -> None:
                if progress is not None:
                    progress(name, done, total)

            result = train(shape, replace(config, seed=seed), report, workers)
            losses[name].append(result.loss)
            for metric in metrics(orders, seed=10_000 + seed):
                scores[name].setdefault(metric.name, []).append(score(result.model, metric))
    rows = [
        row(name, metric.name, np.stack(scores[name][metric.name]), np.stack(scores["full"][metric.name]))
        for metric in metrics(orders, 0)
        for name in VARIANTS
    ]
    return {
        "seeds": list(seeds),
        "iterations": config.iterations,
        "orders": orders,
        "unit": "sigma of one interval, mean over the eight scenarios",
        "training_loss": losses,
        "rows": rows,
    }


def score(model: LEM, metric: Metric) -> FloatArray:
    """The metric for every path, mean over scenarios, in sigmas; [orders]."""
    spec = metric.spec.checked()
    rng = np.random.default_rng(spec.seed)
    out = []
    for first in range(0, spec.orders, CHUNK):
        count = min(CHUNK, spec.orders - first)
        length = spec.history + spec.n
        bars = simulate(metric.market, rng, count, length, spec.sigma, spec.delta_ns)
        paths = Paths(bars, np.zeros(count, np.int64), spec.history)
        rollout, orders = policy_paths(model, paths, spec)
        outcome = realise(
            rollout, orders, scenario_columns(orders.price)[0], spec.participation or IMPACT_PARTICIPATION
        )
        if metric.measure == "arrival":
            at = torch.from_numpy(outcome.finish)[..., None]
            values = BPS * rollout.arrival_gain.gather(-1, at)[..., 0].numpy()
        elif metric.measure == "slippage":
            values = -np.abs(outcome.gain)
        else:
            values = outcome.gain - (outcome.impact if metric.measure == "net" else 0.0)
        out.append(values.mean(0) / (BPS * spec.sigma))
    return np.concatenate(out)


def row(variant: str, exam: str, own: FloatArray, full: FloatArray) -> AblationRow:
    """Mean and paired difference to the full model, [seeds, orders] each."""
    difference = own - full
    half = Z95 * float(difference.mean(0).std()) / float(np.sqrt(difference.shape[1]))
    centre = float(difference.mean())
    return {
        "variant": variant,
        "exam": exam,
        "mean": float(own.mean()),
        "difference": centre,
        "ci95": [centre - half, centre + half],
        "difference_by_seed": [float(x) for x in difference.mean(1)],
    }
