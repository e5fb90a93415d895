"""What each part of the model is worth: the same training without it, judged on the same paths.

Variants of one seed see the same batches in the same order, and are evaluated on the same orders, so
differences are paired. An interval covers the evaluation's paths only: what another training seed would
have changed shows when several seeds are run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from agent.core.market.bars import FloatArray
from lem.bars.simulate import simulate
from lem.evaluation.paths import CHUNK, IMPACT_PARTICIPATION, Paths, Question, policy_paths, realise
from lem.evaluation.statistics import Z95
from lem.network.model import LEM
from lem.network.model_config import ModelConfig, TrainConfig
from lem.network.objective import scenario_columns
from lem.training.train import train

VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "without TKAN (LSTM)": {"cell": "lstm"},
    "without variable selection": {"selection": False},
    "without attention": {"attention": False},
    "without order state": {"conditioned_on_order": False},
}
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Exam:
    """One measure: a market, a question, and which of its numbers counts (in sigmas an interval)."""

    name: str
    market: str
    measure: str  # gain | slippage (its size, negative: less is better) | arrival
    question: Question


def exams(orders: int, seed: int) -> tuple[Exam, ...]:
    """A known optimum, a market whose volume can be forecast, and two whose moves can be."""
    base = Question(n=12, orders=orders, seed=seed, risk_aversion=0.1, history=120)
    start = replace(base, min_periods=(0,))
    seen = replace(start, arrival_weight=1.0)
    return (
        Exam("gain, m = 0", "gaussian-bars", "gain", start),
        Exam("gain, m = 6", "gaussian-bars", "gain", replace(base, min_periods=(6,))),
        Exam(
            "net of impact at 10 %",
            "gaussian-bars",
            "net",
            replace(base, min_periods=(0,), participation=0.1),
        ),
        Exam("-|slippage|, m = n, seasonal volume", "seasonal", "slippage", replace(base, min_periods=(12,))),
        Exam("arrival gain, book signal", "book-signal", "arrival", seen),
        Exam("arrival gain, momentum", "momentum", "arrival", seen),
    )


def ablate(
    config: TrainConfig,
    orders: int,
    seeds: tuple[int, ...],
    progress: Progress | None = None,
    workers: int | None = 1,
) -> dict[str, Any]:
    """Train every variant for every seed and return the document of differences to the full model.

    ``workers``: processes that train, which changes no result (``lem.training.workers``).
    """
    scores: dict[str, dict[str, list[FloatArray]]] = {name: {} for name in VARIANTS}
    losses: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for seed in seeds:
        for name, change in VARIANTS.items():

            def report(done: int, total: int, _: float, name: str = name) -> None:
                if progress is not None:
                    progress(name, done, total)

            result = train(ModelConfig(**change), replace(config, seed=seed), report, workers)
            losses[name].append(result.loss)
            for exam in exams(orders, seed=10_000 + seed):
                scores[name].setdefault(exam.name, []).append(score(result.model, exam))
    rows = [
        row(name, exam.name, np.stack(scores[name][exam.name]), np.stack(scores["full"][exam.name]))
        for exam in exams(orders, 0)
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


def score(model: LEM, exam: Exam) -> FloatArray:
    """The exam's measure for every path, mean over scenarios, in sigmas; [orders]."""
    question = exam.question.checked()
    rng = np.random.default_rng(question.seed)
    out = []
    for first in range(0, question.orders, CHUNK):
        count = min(CHUNK, question.orders - first)
        length = question.history + question.n
        bars = simulate(exam.market, rng, count, length, question.sigma, question.delta_ns)
        paths = Paths(bars, np.zeros(count, np.int64), question.history)
        rollout, orders = policy_paths(model, paths, question)
        outcome = realise(
            rollout, orders, scenario_columns(orders.price)[0], question.participation or IMPACT_PARTICIPATION
        )
        if exam.measure == "arrival":
            at = torch.from_numpy(outcome.finish)[..., None]
            values = 1e4 * rollout.arrival_gain.gather(-1, at)[..., 0].numpy()
        elif exam.measure == "slippage":
            values = -np.abs(outcome.gain)
        else:
            values = outcome.gain - (outcome.impact if exam.measure == "net" else 0.0)
        out.append(values.mean(0) / (1e4 * question.sigma))
    return np.concatenate(out)


def row(variant: str, exam: str, own: FloatArray, full: FloatArray) -> dict[str, Any]:
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
