"""Evaluate a model: model, baselines and optimum on the same paths, deviation and impact beside each mean.

On simulated markets means are estimated with control variates of known mean 0: the order's own sum of
(remaining share x price change beyond the drift), and on martingales the optimal policy's gain less its exact
expectation, paired on the same paths. Real bars use a block bootstrap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from agent.core.arrays import FloatArray, IntArray
from agent.core.errors import InputError
from lem.bars.data_digest import market_digest
from lem.bars.simulate import MARTINGALES, simulate_with_drift
from lem.evaluation.baselines import CURVE, TWAP, baselines
from lem.evaluation.evaluate_rows import MODEL, Evaluation, rows_of
from lem.evaluation.evaluate_summary import summary_of
from lem.evaluation.evaluation_document import DataSource, EvaluationDocument, Regimes
from lem.evaluation.evaluation_spec import EvaluationSpec
from lem.evaluation.optimum_gains import (
    OptimumGains,
    arrival_optimum_gain,
    optimum_description,
    optimum_gains,
    price_model_of,
    regrets_bps,
    why_no_regret,
)
from lem.evaluation.paths import (
    IMPACT_PARTICIPATION,
    OnProgress,
    Outcome,
    Paths,
    PathSource,
    chunks,
    policy_paths,
    realise,
)
from lem.evaluation.regimes import Conditions, conditions, regimes_of
from lem.evaluation.statistics import Blocks, Independent
from lem.network.checkpoint import Checkpoint
from lem.network.model import LEM
from lem.network.objective import scenario_columns

BATCH = 10_000
"""Paths simulated at once: which paths a seed gives depends on it."""

Outcomes = dict[str, Outcome]
"""By strategy."""


def run_paths(
    model: LEM,
    paths: PathSource,
    spec: EvaluationSpec,
    market: str,
    sigma: float | None,
    progress: OnProgress,
) -> tuple[Outcomes, FloatArray | None]:
    """Every strategy on every path, outcomes [8, N * M]; and the model's regrets where they are defined."""
    participation = spec.participation or IMPACT_PARTICIPATION
    price_model = price_model_of(market)
    found: dict[str, list[Outcome]] = {}
    regrets: list[FloatArray] = []
    done = 0
    for chunk in chunks(paths):
        rollout, orders = policy_paths(model, chunk, spec)
        own = realise(rollout, orders, scenario_columns(orders.price)[0], participation)
        others = baselines(orders, spec, price_model, sigma, participation, chunk.curve)
        for name, outcome in ({MODEL: own} | others).items():
            found.setdefault(name, []).append(outcome)
        if sigma is not None and why_no_regret(market, spec) is None:
            regrets.append(regrets_bps(orders, own.finish, spec, price_model == "bars", sigma))
        done += len(chunk)
        progress(done, len(paths))
    joined = {name: Outcome.join(rows) for name, rows in found.items()}
    return joined, np.concatenate(regrets, axis=-1) if regrets else None


@dataclass(frozen=True, slots=True)
class _Simulated:
    """What all strategies did on a simulated market, and the market's conditions when each order began."""

    outcomes: Outcomes
    regrets: FloatArray | None
    begun: Conditions


def evaluate_market(
    checkpoint: Checkpoint, market: str, spec: EvaluationSpec, progress: OnProgress
) -> EvaluationDocument:
    """Evaluate on a simulated market. Raises InputError on a spec or market that makes no sense."""
    spec = spec.checked()
    martingale = market in MARTINGALES
    history = min(spec.history, checkpoint.model.config.bars_needed)
    ran = _run_market(checkpoint.model, market, spec, history, progress)
    ran.outcomes[CURVE] = ran.outcomes[TWAP]  # a simulated order has seen no day before: its curve is flat
    optimum = OptimumGains(
        optimum_gains(market, spec),
        optimum_description(market, spec.participation),
        spec.sigma,
        arrival_optimum_gain(market, spec, history),
        ran.regrets,
    )
    evaluation = Evaluation(ran.outcomes, spec, optimum, Independent(martingale))
    one_series = np.zeros(spec.orders, np.int64)
    return _document(
        checkpoint,
        evaluation,
        {"market": market, "history": history, "data_digest": market_digest(market, spec)},
        why_no_regret(market, spec),
        "flat: no day is known before an order",
        regimes_of(evaluation, ran.begun, one_series, constant=martingale),
    )


def _run_market(
    model: LEM, market: str, spec: EvaluationSpec, history: int, progress: OnProgress
) -> _Simulated:
    sigma = spec.sigma if market in MARTINGALES else None
    rng = np.random.default_rng(spec.seed)
    batches: list[Outcomes] = []
    regrets: list[FloatArray] = []
    begun: list[Conditions] = []
    for first in range(0, spec.orders, BATCH):
        count = min(BATCH, spec.orders - first)
        bars, drift = simulate_with_drift(market, rng, count, history + spec.n, spec.sigma, spec.delta_ns)
        paths = Paths(bars, np.zeros(count, np.int64), history, drift=drift)

        def report(done: int, _: int, before: int = first) -> None:
            progress(before + done, spec.orders)

        outcomes, regret = run_paths(model, paths, spec, market, sigma, report)
        batches.append(outcomes)
        begun.append(conditions(bars, history))
        if regret is not None:
            regrets.append(regret)
    joined = {name: Outcome.join([batch.pop(name) for batch in batches]) for name in list(batches[0])}
    all_regrets = np.concatenate(regrets, axis=-1) if regrets else None
    return _Simulated(joined, all_regrets, Conditions.join(begun))


def evaluate_windows(
    checkpoint: Checkpoint,
    paths: PathSource,
    spec: EvaluationSpec,
    source: DataSource,
    progress: OnProgress,
    series: IntArray | None = None,
    overlap: float = 1.0,
) -> EvaluationDocument:
    """Evaluate on windows of real bars in order of time; the optimum is at their mean trailing volatility.

    ``series`` [N]: which series each window is of, numbered from 0; ``overlap``: how many orders of a series
    run at a time. Raises InputError where no window has enough bars before it to estimate its volatility.
    """
    spec = spec.checked()
    series = np.zeros(len(paths), np.int64) if series is None else series
    outcomes, _ = run_paths(checkpoint.model, paths, spec, "", None, progress)
    if CURVE not in outcomes:
        outcomes[CURVE] = outcomes[TWAP]
    begun = Conditions.join([conditions(chunk.bars, chunk.start) for chunk in chunks(paths)])
    if not np.isfinite(begun.sigma).any():
        raise InputError(
            f"none of {len(paths)} orders has enough bars before it to tell its volatility: give more"
            " bars, or have more orders judged"
        )
    sigma = float(np.nanmean(begun.sigma))
    whose = optimum_description("", spec.participation)
    optimum = OptimumGains(optimum_gains("", replace(spec, sigma=sigma)), whose, sigma)
    block = _block_orders(len(paths), int(series.max()) + 1, overlap)
    evaluation = Evaluation(outcomes, spec, optimum, Blocks(block, spec.seed))
    source["sigma_inside"] = float(begun.inside.mean())
    source["bootstrap_block_orders"] = block
    found = regimes_of(evaluation, begun, series, constant=False)
    return _document(
        checkpoint, evaluation, source, why_no_regret("", spec), _curve_description(paths), found
    )


def _block_orders(orders: int, series: int, overlap: float) -> int:
    """Orders in a bootstrap block: half the root of the number of orders of a series that share no bar.

    A block holds the same time of all series, because what they do at one time is not independent.
    """
    apart = orders / (series * overlap)
    block: int = series * round(overlap * max(1, round(apart**0.5 / 2)))
    return min(block, max(1, orders // 2))  # one block of all orders would have no spread


def _curve_description(paths: PathSource) -> str:
    flat, of = 0, len(paths)
    for chunk in chunks(paths):
        if chunk.curve is None:
            return "flat: no days before the orders were given"
        flat += int((chunk.curve == 1.0).all(axis=1).sum())
    return f"mean volume of up to 20 trailing days at the same time of day; flat for {flat} of {of}"


def _document(
    checkpoint: Checkpoint,
    evaluation: Evaluation,
    source: DataSource,
    no_regret: str | None,
    curve: str,
    regimes: Regimes,
) -> EvaluationDocument:
    spec = evaluation.spec
    return {
        "model": str(checkpoint.path),
        "digest": checkpoint.digest,
        "n": spec.n,
        "seed": spec.seed,
        "risk_aversion": spec.risk_aversion,
        "participation": spec.participation,
        "min_rate": spec.min_rate,
        "max_rate": spec.max_rate,
        "arrival_weight": spec.arrival_weight,
        "impact_participation": spec.participation or IMPACT_PARTICIPATION,
        "sigma": evaluation.optimum.sigma,
        "bound_is": evaluation.optimum.description,
        "volume_curve": curve,
        "left_out": {} if no_regret is None else {"regret": no_regret},
        **source,
        "summary": summary_of(evaluation),
        "rows": rows_of(evaluation),
        "regimes": regimes,
    }
