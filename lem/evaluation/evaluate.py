"""Judging a model: the same paths for model, baselines and bound, with deviation and impact beside each mean.

On simulators means are estimated with control variates of known mean 0: the order's own sum of (remaining
share x price change beyond the drift), and on martingales the optimal policy's gain less its exact
expectation, paired on the same paths. Real bars use a block bootstrap.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.core.errors import InputError
from agent.core.market.bars import FloatArray
from lem.bars.data_digest import market_digest
from lem.bars.simulate import MARTINGALES, simulate_with_drift
from lem.evaluation.baselines import CURVE, TWAP, baselines
from lem.evaluation.evaluate_rows import MODEL, Judged, rows_of
from lem.evaluation.evaluate_summary import summary_of
from lem.evaluation.paths import (
    CHUNK,
    IMPACT_PARTICIPATION,
    Outcome,
    Paths,
    Progress,
    Question,
    policy_paths,
    realise,
)
from lem.evaluation.regimes import Conditions, conditions, regimes_of
from lem.evaluation.statistics import Blocks, Independent
from lem.evaluation.yardsticks import (
    Yardsticks,
    achievable,
    bound_is,
    bounds,
    no_regret,
    price_model_of,
    regrets,
)
from lem.network.checkpoint import Checkpoint
from lem.network.model import LEM
from lem.network.objective import scenario_columns

BATCH = 10_000
"""Paths simulated at once: what a seed means depends on it."""


def run_paths(
    model: LEM, paths: Paths, question: Question, market: str, sigma: float | None, progress: Progress
) -> tuple[dict[str, Outcome], FloatArray | None]:
    """Every strategy on every path, outcomes [8, N * M]; and the model's regrets where they are defined."""
    participation = question.participation or IMPACT_PARTICIPATION
    price_model = price_model_of(market)
    parts: dict[str, list[Outcome]] = {}
    lost: list[FloatArray] = []
    count = len(paths.bars)
    for first in range(0, count, CHUNK):
        part = paths.part(slice(first, first + CHUNK))
        rollout, orders = policy_paths(model, part, question)
        own = realise(rollout, orders, scenario_columns(orders.price)[0], participation)
        others = baselines(orders, question, price_model, sigma, participation, part.curve)
        for name, outcome in ({MODEL: own} | others).items():
            parts.setdefault(name, []).append(outcome)
        if sigma is not None and no_regret(market, question) is None:
            lost.append(regrets(orders, own.finish, question, price_model == "bars", sigma))
        progress(min(first + CHUNK, count), count)
    joined = {name: Outcome.join(rows) for name, rows in parts.items()}
    return joined, np.concatenate(lost, axis=-1) if lost else None


def evaluate_market(
    checkpoint: Checkpoint, market: str, question: Question, progress: Progress
) -> dict[str, Any]:
    """Evaluate on a simulated market. Raises InputError on a question or market that makes no sense."""
    question = question.checked()
    martingale = market in MARTINGALES
    sigma = question.sigma if martingale else None
    rng = np.random.default_rng(question.seed)
    history = min(question.history, checkpoint.model.config.bars_needed)
    parts: list[dict[str, Outcome]] = []
    lost: list[FloatArray] = []
    begun: list[Conditions] = []
    for first in range(0, question.orders, BATCH):
        count = min(BATCH, question.orders - first)
        length = history + question.n
        bars, drift = simulate_with_drift(market, rng, count, length, question.sigma, question.delta_ns)
        paths = Paths(bars, np.zeros(count, np.int64), history, drift=drift)
        done = first

        def report(k: int, _: int, done: int = done) -> None:
            progress(done + k, question.orders)

        outcomes, regret = run_paths(checkpoint.model, paths, question, market, sigma, report)
        parts.append(outcomes)
        begun.append(conditions(bars, history))
        if regret is not None:
            lost.append(regret)
    joined = {name: Outcome.join([p.pop(name) for p in parts]) for name in list(parts[0])}
    joined[CURVE] = joined[TWAP]  # a simulated order has not seen a day: its volume curve is flat
    yard = Yardsticks(
        bounds(market, question),
        bound_is(market),
        question.sigma,
        achievable(market, question, history),
        np.concatenate(lost, axis=-1) if lost else None,
    )
    judged = Judged(joined, question, yard, Independent(martingale))
    alone = np.zeros(question.orders, np.int64)
    found = regimes_of(judged, Conditions.join(begun), alone, constant=martingale)
    source = {"market": market, "history": history, "data_digest": market_digest(market, question)}
    return _document(
        checkpoint,
        judged,
        source,
        no_regret(market, question),
        "flat: no day is known before an order",
        found,
    )


def evaluate_windows(
    checkpoint: Checkpoint,
    paths: Paths,
    question: Question,
    source: dict[str, Any],
    progress: Progress,
    series: npt.NDArray[np.int64] | None = None,
    overlap: float = 1.0,
) -> dict[str, Any]:
    """Evaluate on windows of real bars in order of time; the bound is at their mean trailing volatility.

    ``series`` [N]: which series each window is of, numbered from 0; ``overlap``: how many of one series run
    at a time. A bootstrap block holds whole stretches of time of all series, because what they do at one time
    is not independent. Raises InputError where no window has a past to tell its volatility from.
    """
    question = question.checked()
    series = np.zeros(len(paths.bars), np.int64) if series is None else series
    together = int(series.max()) + 1
    outcomes, _ = run_paths(checkpoint.model, paths, question, "", None, progress)
    if paths.curve is None:
        outcomes[CURVE] = outcomes[TWAP]
    begun = conditions(paths.bars, paths.start)
    if not np.isfinite(begun.sigma).any():
        raise InputError(
            f"none of {len(paths.bars)} orders has enough bars before it to tell its volatility: give more"
            " bars, or have more orders judged"
        )
    sigma = float(np.nanmean(begun.sigma))
    yard = Yardsticks(bounds("", replace(question, sigma=sigma)), bound_is(""), sigma)
    apart = len(paths.bars) / (together * overlap)  # orders of a series that share no bar
    block = together * round(overlap * max(1, round(apart**0.5 / 2)))
    block = min(block, max(1, len(paths.bars) // 2))  # one block of all orders would have no spread
    source = source | {
        "sigma": sigma,
        "sigma_inside": float(begun.inside.mean()),
        "bootstrap_block_orders": block,
    }
    judged = Judged(outcomes, question, yard, Blocks(block, question.seed))
    found = regimes_of(judged, begun, series, constant=False)
    return _document(checkpoint, judged, source, no_regret("", question), _curve_in_words(paths), found)


def _curve_in_words(paths: Paths) -> str:
    if paths.curve is None:
        return "flat: no days before the orders were given"
    flat = int((paths.curve == 1.0).all(axis=1).sum())
    of = len(paths.curve)
    return f"mean volume of up to 20 trailing days at the same time of day; flat for {flat} of {of}"


def _document(
    checkpoint: Checkpoint,
    judged: Judged,
    source: dict[str, Any],
    no_regret: str | None,
    curve: str,
    regimes: dict[str, Any],
) -> dict[str, Any]:
    question = judged.question
    return {
        "model": str(checkpoint.path),
        "digest": checkpoint.digest,
        "n": question.n,
        "seed": question.seed,
        "risk_aversion": question.risk_aversion,
        "participation": question.participation,
        "min_rate": question.min_rate,
        "max_rate": question.max_rate,
        "arrival_weight": question.arrival_weight,
        "impact_participation": question.participation or IMPACT_PARTICIPATION,
        "sigma": question.sigma,
        "bound_is": judged.yard.bound_is,
        "volume_curve": curve,
        "left_out": {} if no_regret is None else {"regret": no_regret},
        **source,
        "summary": summary_of(judged),
        "rows": rows_of(judged),
        "regimes": regimes,
    }
