"""Baselines on the same paths as the model: rules and exact optima as schedules of shares.

* ``twap``, ``vwap_curve`` and ``almgren_chriss`` trade to the end and never stop early;
* ``optimal_stopping`` trades evenly, ``dump`` as late as the rates allow, and both stop when the exact
  stopping optimum does;
* ``optimal_impact`` has the largest expected gain after impact that any policy can have;
* ``optimal_risk`` is the optimum of the objective that an order of this risk aversion minimises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from agent.core.arrays import FloatArray, IntArray
from agent.core.orders.projection import fewest_intervals
from lem.evaluation.evaluation_spec import EvaluationSpec
from lem.evaluation.paths import Outcome, realise
from lem.evaluation.rule_schedules import (
    almgren_chriss_schedule,
    back_loaded,
    twap,
    twap_until_stopped,
    volume_curve_schedule,
)
from lem.network.model_config import SCENARIOS
from lem.network.objective import Orders, Rollout, scenario_columns
from lem.optima.impact_optimum import ImpactOptimum, solve_impact
from lem.optima.optimum_terms import Terms
from lem.optima.risk_optimum import MAX_AVERSION, RiskOptimum, solve_risk
from lem.optima.stopping_optimum import stop_interval

Solver = Callable[[Terms, EvaluationSpec], ImpactOptimum | RiskOptimum]
RULE, DUMP, TWAP, CURVE = "optimal_stopping", "dump", "twap", "vwap_curve"
OPTIMAL_IMPACT, OPTIMAL_RISK = "optimal_impact", "optimal_risk"


def baselines(
    orders: Orders,
    spec: EvaluationSpec,
    price_model: str,
    sigma: float | None,
    participation: float,
    curve: FloatArray | None = None,
    optima: Sequence[str] = (OPTIMAL_IMPACT, OPTIMAL_RISK),
) -> dict[str, Outcome]:
    """Every baseline's outcomes [8, N * M].

    ``sigma``: the market's own where it is known, None where it is estimated from the bars. Where it is
    known and orders take part in the market, the ``optima`` after impact run too. ``curve`` [N, n]: the
    volume that each path's orders expect; without one the volume curve is flat, which is TWAP's schedule.
    """
    finish = optimal_finish(orders, spec, price_model, sigma)
    last = np.full_like(finish, spec.n - 1)
    evenly = _every_scenario(twap_until_stopped(orders))
    schedule = almgren_chriss_schedule(orders, participation, spec.risk_aversion)
    out = {
        RULE: outcome_of(orders, evenly, finish, participation),
        DUMP: outcome_of(orders, _every_scenario(back_loaded(orders)), finish, participation),
        TWAP: outcome_of(orders, _every_scenario(twap(orders)), last, participation),
        "almgren_chriss": outcome_of(orders, _every_scenario(schedule), last, participation),
    }
    if curve is not None:
        expected = torch.from_numpy(curve).repeat_interleave(len(spec.min_periods), 0)
        shares = _every_scenario(volume_curve_schedule(orders, expected))
        out[CURVE] = outcome_of(orders, shares, last, participation)
    constant_volume = torch.allclose(orders.volume, torch.ones_like(orders.volume))  # the optima assume it
    if sigma is not None and spec.participation > 0 and constant_volume:
        for name in optima:
            shares, ends = _optimal_schedule(orders, spec, price_model, sigma, _SOLVERS[name])
            out[name] = outcome_of(orders, shares, ends, participation)
    return out


def _solve_neutral(terms: Terms, spec: EvaluationSpec) -> ImpactOptimum:
    return solve_impact(terms, spec.participation)


def _solve_averse(terms: Terms, spec: EvaluationSpec) -> RiskOptimum:
    return solve_risk(terms, spec.participation, min(spec.risk_aversion, MAX_AVERSION))


_SOLVERS: dict[str, Solver] = {OPTIMAL_IMPACT: _solve_neutral, OPTIMAL_RISK: _solve_averse}


def _every_scenario(share: torch.Tensor) -> torch.Tensor:
    return share.expand(len(SCENARIOS), -1, -1)


def outcome_of(orders: Orders, share: torch.Tensor, finish: IntArray, participation: float) -> Outcome:
    """Trade ``share`` [8, N, L] while unfinished, and all that is left in ``finish`` [8, N]."""
    remaining = 1.0 - (share.cumsum(-1) - share)
    hazard = torch.nn.functional.one_hot(torch.from_numpy(finish), share.shape[-1]).to(share.dtype)
    side, notional, vwap = scenario_columns(orders.price)
    value = torch.where(notional[..., None], orders.price / (1.0 + orders.price), orders.price)
    traded = share * value
    total = traded.cumsum(-1) - traded + remaining * value
    achieved = torch.where(notional[..., None], total / (1.0 - total), total)
    weights = torch.where(vwap[..., None], orders.volume, torch.ones_like(orders.volume))
    mean = (weights * orders.price).cumsum(-1) / weights.cumsum(-1).clamp(min=1e-12)
    sign = -side[..., None]
    gain = sign * (achieved - mean) / (1.0 + mean)
    rollout = Rollout(share, remaining, hazard, gain, sign * achieved, gain, gain)
    return realise(rollout, orders, side, participation)


def optimal_finish(orders: Orders, spec: EvaluationSpec, model: str, sigma: float | None) -> IntArray:
    """The interval in which the stopping optimum finishes, [8, N]; ``sigma`` None: as the bars show it."""
    periods = len(spec.min_periods)
    price, last, seen = (x.numpy() for x in (orders.price, orders.last, orders.sigma))
    by_side: dict[int, IntArray] = {}
    for side in (1, -1):
        column = np.empty(len(price), np.int64)
        for i, m in enumerate(spec.min_periods):
            rows = slice(i, None, periods)
            scale = sigma if sigma is not None else seen[rows]
            soonest = max(m, fewest_intervals(spec.max_rate))
            column[rows] = stop_interval(price[rows], last[rows], side, scale, spec.n, soonest, model)
        by_side[side] = column
    return np.stack([by_side[int(side)] for side, _, _ in SCENARIOS])


def _optimal_schedule(
    orders: Orders, spec: EvaluationSpec, price_model: str, sigma: float, solve: Solver
) -> tuple[torch.Tensor, IntArray]:
    """(shares [8, N, L] while unfinished, finish [8, N]) of an optimum after impact."""
    price, last = orders.price.numpy(), orders.last.numpy()
    periods = len(spec.min_periods)
    by_side: dict[int, tuple[FloatArray, IntArray]] = {}
    for side in (1, -1):
        shares, finish = np.zeros(price.shape), np.zeros(len(price), np.int64)
        for i, m in enumerate(spec.min_periods):
            terms = Terms(spec.n, m, spec.min_rate, spec.max_rate, price_model)
            schedule = solve(terms, spec).run(price[i::periods], last[i::periods], side, sigma)
            shares[i::periods], finish[i::periods] = schedule.shares, schedule.finish
        by_side[side] = shares, finish
    picked = [by_side[int(side)] for side, _, _ in SCENARIOS]
    return torch.from_numpy(np.stack([p[0] for p in picked])), np.stack([p[1] for p in picked])
