"""Judging a model: the same paths for model, baselines and bound, with deviation and impact beside each mean.

On the two martingale markets means are estimated with control variates of known mean 0: the order's own
sum of (remaining share x price change), and the optimal policy's gain less its exact expectation, paired
on the same paths. Elsewhere paths are simulated independently, and real bars use a block bootstrap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from agent.core.bars import FloatArray
from agent.core.features import FEATURE_SPAN
from agent.core.types import TargetKind
from lem.bound import PRICE_MODEL, gain_sigma
from lem.checkpoint import Checkpoint
from lem.config import SCENARIOS
from lem.paths import (
    BPS,
    CHUNK,
    IMPACT_PARTICIPATION,
    STRATEGIES,
    Outcome,
    Paths,
    Progress,
    Question,
    run_paths,
)
from lem.simulate import MARTINGALES, simulate
from lem.statistics import Mean, block_bootstrap, controlled_mean, summary

Estimator = Callable[[FloatArray, FloatArray, FloatArray | None], Mean]
"""(gain, its exposure, the optimal policy's controlled gain less its exact mean) -> mean."""


def rows_of(
    outcomes: dict[str, Outcome], question: Question, bounds: dict[int, float], estimate: Estimator
) -> list[dict[str, Any]]:
    """One record per scenario and min period, as the command line contract names them."""
    rows = []
    periods = len(question.min_periods)
    for s, (side, kind, benchmark) in enumerate(SCENARIOS):
        for i, m in enumerate(question.min_periods):
            pick = (s, slice(i, None, periods))
            bound = bounds[m]
            own = _measures(outcomes, "lem", pick, bound, estimate)
            gain = outcomes["lem"].gain[pick]
            rows.append(
                {
                    "side": side.name.lower(),
                    "target_kind": kind.value,
                    "benchmark": benchmark.value,
                    "min_period": m,
                    "orders": len(gain),
                    "gain_bps": summary(gain, own["mean"]),
                    **{k: v for k, v in own.items() if k not in ("mean", "gain_bps_mean", "gain_bps_std")},
                    "bound_gain_bps": bound,
                    "fraction_of_bound": own["mean"].value / bound if m < question.n and bound > 0 else None,
                    "baselines": {
                        name: {
                            k: v
                            for k, v in _measures(outcomes, name, pick, bound, estimate).items()
                            if k != "mean"
                        }
                        for name in STRATEGIES[1:]
                    },
                }
            )
    return rows


def _measures(
    outcomes: dict[str, Outcome],
    name: str,
    pick: tuple[int, slice],
    bound: float,
    estimate: Estimator,
) -> dict[str, Any]:
    mine, best = outcomes[name], outcomes["optimal_stopping"]
    side, kind, benchmark = SCENARIOS[pick[0]]
    paired = None
    if kind is TargetKind.NOTIONAL or name != "optimal_stopping":
        known = (SCENARIOS.index((side, TargetKind.QUANTITY, benchmark)), pick[1])  # its mean is the bound
        paired = best.gain[known] + best.exposure[known] - bound
    mean = estimate(mine.gain[pick], mine.exposure[pick], paired)
    return {
        "mean": mean,
        "gain_bps_mean": mean.value,
        "gain_bps_std": float(mine.gain[pick].std()),
        "abs_slippage_bps_mean": float(np.abs(mine.gain[pick]).mean()),
        "gain_after_impact_bps_mean": mean.value - float(mine.impact[pick].mean()),
        "intervals_mean": float(mine.finish[pick].mean()) + 1.0,
    }


def evaluate_market(
    checkpoint: Checkpoint, market: str, question: Question, progress: Progress
) -> dict[str, Any]:
    """Evaluate on a simulated market. Raises InputError on a question or market that makes no sense."""
    question = question.checked()
    martingale = market in MARTINGALES
    price_model = PRICE_MODEL.get(market, "bars")
    rng = np.random.default_rng(question.seed)
    parts: list[dict[str, Outcome]] = []
    batch = 40 * CHUNK
    for first in range(0, question.orders, batch):
        count = min(batch, question.orders - first)
        history = min(question.history, checkpoint.model.config.lookback + FEATURE_SPAN)
        bars = simulate(market, rng, count, history + question.n, question.sigma, question.delta_ns)
        paths = Paths(bars, np.zeros(count, np.int64), history)
        done = first

        def report(k: int, _: int, done: int = done) -> None:
            progress(done + k, question.orders)

        sigma = question.sigma if martingale else None
        parts.append(run_paths(checkpoint.model, paths, question, price_model, sigma, report))
    outcomes = {name: Outcome.join([p[name] for p in parts]) for name in STRATEGIES}
    bounds = {
        m: BPS * question.sigma * gain_sigma(question.n, m, 1.0, price_model) for m in question.min_periods
    }

    def estimate(gain: FloatArray, exposure: FloatArray, paired: FloatArray | None) -> Mean:
        if not martingale:
            return controlled_mean(gain, [])
        return controlled_mean(gain, [exposure] if paired is None else [exposure, paired])

    return _document(checkpoint, question, {"market": market}, rows_of(outcomes, question, bounds, estimate))


def evaluate_windows(
    checkpoint: Checkpoint,
    paths: Paths,
    question: Question,
    source: dict[str, Any],
    progress: Progress,
    together: int = 1,
) -> dict[str, Any]:
    """Evaluate on windows of real bars in order of time; the bound is at their own volatility.

    ``together``: how many series run side by side. A bootstrap block holds whole stretches of time of all
    of them, because what they do at one time is not independent.
    """
    question = question.checked()
    outcomes = run_paths(checkpoint.model, paths, question, "bars", None, progress)
    closes = np.log(paths.bars["close"][:, paths.start - 1 :])
    sigma = float(np.sqrt(np.nanmean(np.diff(closes, axis=1) ** 2, axis=1)).mean())
    bounds = {m: BPS * sigma * gain_sigma(question.n, m, 1.0, "bars") for m in question.min_periods}
    block = together * max(1, round((len(paths.bars) / together) ** 0.5 / 2))

    def estimate(gain: FloatArray, exposure: FloatArray, paired: FloatArray | None) -> Mean:
        return block_bootstrap(gain, block, question.seed)

    source = source | {"sigma": sigma, "bootstrap_block_orders": block}
    return _document(checkpoint, question, source, rows_of(outcomes, question, bounds, estimate))


def _document(
    checkpoint: Checkpoint, question: Question, source: dict[str, Any], rows: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "model": str(checkpoint.path),
        "digest": checkpoint.digest,
        "n": question.n,
        "seed": question.seed,
        "risk_aversion": question.risk_aversion,
        "participation": question.participation,
        "impact_participation": question.participation or IMPACT_PARTICIPATION,
        "sigma": question.sigma,
        **source,
        "rows": rows,
    }
