"""Judging a model: the same paths for model, baselines and bound, with deviation and impact beside each mean.

On the two martingale markets means are estimated with control variates of known mean 0: the order's own
sum of (remaining share x price change), and the optimal policy's gain less its exact expectation, paired
on the same paths. Elsewhere paths are simulated independently, and real bars use a block bootstrap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.core.bars import FloatArray
from agent.core.features import FEATURE_SPAN, recent_sigma
from agent.core.types import BenchmarkKind, TargetKind
from lem.baselines import OPTIMAL_IMPACT, baselines
from lem.bound import PRICE_MODEL, gain_sigma
from lem.checkpoint import Checkpoint
from lem.config import SCENARIOS
from lem.model import LEM
from lem.objective import Orders, scenario_columns
from lem.paths import (
    BPS,
    CHUNK,
    IMPACT_PARTICIPATION,
    Outcome,
    Paths,
    Progress,
    Question,
    policy_paths,
    realise,
)
from lem.programme import Terms
from lem.programme_arrival import arrival_gain_sigma
from lem.programme_vwap import solve_vwap
from lem.regret import regret
from lem.simulate import MARTINGALES, PREDICTABLE, VOLUME_SIGMA, simulate
from lem.statistics import Mean, block_bootstrap, controlled_mean, summary

Estimator = Callable[[FloatArray, FloatArray, FloatArray | None], Mean]
"""(gain, its exposure, the optimal policy's controlled gain less its exact mean) -> mean."""


@dataclass(frozen=True, slots=True)
class Yardsticks:
    """What a number is divided by: the optimum's gain for (benchmark, m), and of the arrival price, bps."""

    bounds: dict[tuple[BenchmarkKind, int], float]
    arrival: float | None = None
    regrets: FloatArray | None = None  # [8, N * M] bps, where the optimum's programme is known


def run_paths(
    model: LEM, paths: Paths, question: Question, price_model: str, sigma: float | None, progress: Progress
) -> tuple[dict[str, Outcome], FloatArray | None]:
    """Every strategy on every path, outcomes [8, N * M]; and the model's regrets where ``sigma`` is known."""
    participation = question.participation or IMPACT_PARTICIPATION
    parts: dict[str, list[Outcome]] = {}
    regrets: list[FloatArray] = []
    count = len(paths.bars)
    for first in range(0, count, CHUNK):
        rollout, orders = policy_paths(model, paths.part(slice(first, first + CHUNK)), question)
        own = realise(rollout, orders, scenario_columns(orders.price)[0], participation)
        others = baselines(orders, question, price_model, sigma, participation)
        for name, outcome in ({"lem": own} | others).items():
            parts.setdefault(name, []).append(outcome)
        if sigma is not None and question.participation == 0:  # else stops save impact too
            regrets.append(_regrets(orders, own.finish, question, price_model == "bars", sigma))
        progress(min(first + CHUNK, count), count)
    joined = {name: Outcome.join(rows) for name, rows in parts.items()}
    return joined, np.concatenate(regrets, axis=-1) if regrets else None


def _regrets(
    orders: Orders, finish: npt.NDArray[np.int64], question: Question, bars: bool, sigma: float
) -> FloatArray:
    """Bps given up by stopping when the model does, [8, N * M]."""
    price, last = orders.price.numpy() / sigma, orders.last.numpy() / sigma
    out = np.empty(finish.shape)
    periods = len(question.min_periods)
    for row, (side, _, _) in enumerate(SCENARIOS):
        for i, m in enumerate(question.min_periods):
            pick = slice(i, None, periods)
            out[row, pick] = regret(
                price[pick], last[pick], int(side), finish[row, pick], question.n, m, bars
            )
    return BPS * sigma * out


def rows_of(
    outcomes: dict[str, Outcome], question: Question, yard: Yardsticks, estimate: Estimator
) -> list[dict[str, Any]]:
    """One record per scenario and min period, as the command line contract names them."""
    rows = []
    periods = len(question.min_periods)
    for s, (side, kind, benchmark) in enumerate(SCENARIOS):
        for i, m in enumerate(question.min_periods):
            pick = (s, slice(i, None, periods))
            bound = yard.bounds[benchmark, m]
            own = _measures(outcomes, "lem", pick, bound, estimate)
            others = {
                name: _measures(outcomes, name, pick, bound, estimate) for name in outcomes if name != "lem"
            }
            bounded = m < question.n and bound > 0
            record = {
                "side": side.name.lower(),
                "target_kind": kind.value,
                "benchmark": benchmark.value,
                "min_period": m,
                "orders": len(outcomes["lem"].gain[pick]),
                "gain_bps": summary(outcomes["lem"].gain[pick], own["mean"]),
                **_without(own, "gain_bps_mean", "gain_bps_std"),
                "bound_gain_bps": bound,
                "fraction_of_bound": own["mean"].value / bound if bounded else None,
                "baselines": {name: _without(values) for name, values in others.items()},
                "arrival_achievable_bps": yard.arrival,
                "arrival_fraction": own["arrival_gain_bps_mean"] / yard.arrival if yard.arrival else None,
            }
            if bounded and yard.regrets is not None and kind is TargetKind.QUANTITY:
                lost = controlled_mean(yard.regrets[pick], [])
                low, high = lost.interval
                record["regret"] = {
                    "fraction_of_bound": 1.0 - lost.value / bound,
                    "ci95": [1.0 - high / bound, 1.0 - low / bound],
                }
            if OPTIMAL_IMPACT in others:
                record["impact"] = _against_programme(own, others)
            rows.append(record)
    return rows


def _without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {k: v for k, v in values.items() if k != "mean" and k not in names}


def _against_programme(own: dict[str, Any], others: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Gain after impact: the part of what the exact optimum adds to TWAP, and the better simple rule."""
    name = "gain_after_impact_bps_mean"
    even, best = others["twap"][name], others[OPTIMAL_IMPACT][name]
    rule = max(others["optimal_stopping"][name], others["dump"][name])
    return {
        "fraction_of_programme": (own[name] - even) / (best - even) if best > even else None,
        "programme_bps": best,
        "better_rule_bps": rule,
        "above_better_rule_bps": own[name] - rule,
    }


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
    arrival = estimate(mine.arrival[pick], mine.exposure[pick], None)
    return {
        "mean": mean,
        "gain_bps_mean": mean.value,
        "gain_bps_std": float(mine.gain[pick].std()),
        "abs_slippage_bps_mean": float(np.abs(mine.gain[pick]).mean()),
        "gain_after_impact_bps_mean": mean.value - float(mine.impact[pick].mean()),
        "arrival_gain_bps_mean": arrival.value,
        "arrival_gain_bps_ci95": arrival.interval,
        "intervals_mean": float(mine.finish[pick].mean()) + 1.0,
    }


def evaluate_market(
    checkpoint: Checkpoint, market: str, question: Question, progress: Progress
) -> dict[str, Any]:
    """Evaluate on a simulated market. Raises InputError on a question or market that makes no sense."""
    question = question.checked()
    martingale = market in MARTINGALES
    price_model = PRICE_MODEL.get(market, "bars")
    sigma = question.sigma if martingale else None
    rng = np.random.default_rng(question.seed)
    history = min(question.history, checkpoint.model.config.lookback + FEATURE_SPAN)
    parts: list[dict[str, Outcome]] = []
    lost: list[FloatArray] = []
    batch = 40 * CHUNK
    for first in range(0, question.orders, batch):
        count = min(batch, question.orders - first)
        bars = simulate(market, rng, count, history + question.n, question.sigma, question.delta_ns)
        paths = Paths(bars, np.zeros(count, np.int64), history)
        done = first

        def report(k: int, _: int, done: int = done) -> None:
            progress(done + k, question.orders)

        outcomes, regrets = run_paths(checkpoint.model, paths, question, price_model, sigma, report)
        parts.append(outcomes)
        if regrets is not None:
            lost.append(regrets)
    joined = {name: Outcome.join([p[name] for p in parts]) for name in parts[0]}
    yard = Yardsticks(
        _bounds(market, question, price_model),
        _achievable(market, question, history),
        np.concatenate(lost, axis=-1) if lost and not market.endswith("-volume") else None,
    )

    def estimate(gain: FloatArray, exposure: FloatArray, paired: FloatArray | None) -> Mean:
        if not martingale:
            return controlled_mean(gain, [])
        return controlled_mean(gain, [exposure] if paired is None else [exposure, paired])

    return _document(checkpoint, question, {"market": market}, rows_of(joined, question, yard, estimate))


def _bounds(market: str, question: Question, price_model: str) -> dict[tuple[BenchmarkKind, int], float]:
    """The optimum's gain in bps; against VWAP with random volume it has a programme of its own."""
    out = {}
    for m in question.min_periods:
        plain = gain_sigma(question.n, m, 1.0, price_model)
        volume = plain
        if market.endswith("-volume") and m < question.n:
            volume = solve_vwap(Terms(question.n, m, price=price_model), VOLUME_SIGMA).gain_sigma
        out[BenchmarkKind.TWAP, m] = BPS * question.sigma * plain
        out[BenchmarkKind.VWAP, m] = BPS * question.sigma * volume
    return out


def _achievable(market: str, question: Question, history: int) -> float | None:
    """What the best policy earns against the arrival price, bps; None where nobody knows or asks."""
    asked = question.arrival_weight == 1.0 and question.participation == 0.0 and question.max_rate == 1.0
    if market not in PREDICTABLE or not asked:
        return None
    return BPS * question.sigma * arrival_gain_sigma(market, question.n, max(2, history))


def evaluate_windows(
    checkpoint: Checkpoint,
    paths: Paths,
    question: Question,
    source: dict[str, Any],
    progress: Progress,
    together: int = 1,
) -> dict[str, Any]:
    """Evaluate on windows of real bars in order of time; the bound is at their mean trailing volatility.

    ``together``: how many series run side by side. A bootstrap block holds whole stretches of time of all
    of them, because what they do at one time is not independent.
    """
    question = question.checked()
    outcomes, _ = run_paths(checkpoint.model, paths, question, "bars", None, progress)
    trailing = recent_sigma(paths.bars[:, : paths.start])[:, -1]
    sigma = float(np.nanmean(trailing))
    inside = np.diff(np.log(paths.bars["close"][:, paths.start - 1 :]), axis=1)
    yard = Yardsticks(_bounds("", replace(question, sigma=sigma), "bars"))
    block = together * max(1, round((len(paths.bars) / together) ** 0.5 / 2))

    def estimate(gain: FloatArray, exposure: FloatArray, paired: FloatArray | None) -> Mean:
        return block_bootstrap(gain, block, question.seed)

    source = source | {
        "sigma": sigma,
        "sigma_inside": float(np.sqrt(np.nanmean(inside**2, axis=1)).mean()),
        "bootstrap_block_orders": block,
    }
    return _document(checkpoint, question, source, rows_of(outcomes, question, yard, estimate))


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
        "arrival_weight": question.arrival_weight,
        "impact_participation": question.participation or IMPACT_PARTICIPATION,
        "sigma": question.sigma,
        **source,
        "rows": rows,
    }
