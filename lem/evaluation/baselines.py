"""What the model is held against on the same paths: rules and exact optima as schedules of shares.

``vwap_curve`` and ``almgren_chriss`` never stop early; ``optimal_stopping`` and ``dump`` stop when the
bound's policy does, having traded evenly or as late as the rates allow. ``optimal_impact`` nets the most on
average that anybody can; ``optimal_risk`` is the optimum of what an order of this risk aversion minimises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from agent.core.market.bars import FloatArray
from agent.core.orders.projection import fewest_intervals
from lem.evaluation.paths import Outcome, Question, realise
from lem.evaluation.rules_of_thumb import almgren_chriss, along_curve, even, even_until_stopped, late
from lem.network.model_config import SCENARIOS
from lem.network.objective import Orders, Rollout, scenario_columns
from lem.optima.bound import stop_interval
from lem.optima.impact_optimum import ImpactProgramme, solve_impact
from lem.optima.programme import Terms
from lem.optima.risk_optimum import MAX_AVERSION, RiskProgramme, solve_risk

IntArray = npt.NDArray[np.int64]
Solver = Callable[[Terms, Question], ImpactProgramme | RiskProgramme]
OPTIMAL_IMPACT, OPTIMAL_RISK = "optimal_impact", "optimal_risk"
TWAP, CURVE = "twap", "vwap_curve"


def baselines(
    orders: Orders,
    question: Question,
    price_model: str,
    sigma: float | None,
    participation: float,
    curve: FloatArray | None = None,
    programmes: Sequence[str] = (OPTIMAL_IMPACT, OPTIMAL_RISK),
) -> dict[str, Outcome]:
    """Every rule's outcomes [8, N * M].

    ``sigma``: the market's own where it is known (then the ``programmes`` with impact run too, where orders
    take part in the market), None where it is estimated from the bars. ``curve`` [N, n]: the volume that
    each path's orders expect; without one the volume curve is flat, which is TWAP's schedule.
    """
    finish = stops(orders, question, price_model, sigma)
    last = np.full_like(finish, question.n - 1)
    evenly = _for_all(even_until_stopped(orders))
    schedule = almgren_chriss(orders, participation, question.risk_aversion)
    out = {
        "optimal_stopping": outcome_of(orders, evenly, finish, participation),
        "dump": outcome_of(orders, _for_all(late(orders)), finish, participation),
        TWAP: outcome_of(orders, _for_all(even(orders)), last, participation),
        "almgren_chriss": outcome_of(orders, _for_all(schedule), last, participation),
    }
    if curve is not None:
        expected = torch.from_numpy(curve).repeat_interleave(len(question.min_periods), 0)
        out[CURVE] = outcome_of(orders, _for_all(along_curve(orders, expected)), last, participation)
    steady = torch.allclose(orders.volume, torch.ones_like(orders.volume))  # what the programme assumes
    if sigma is not None and question.participation > 0 and steady:
        for name in programmes:
            shares, ends = _programme(orders, question, price_model, sigma, _PROGRAMMES[name])
            out[name] = outcome_of(orders, shares, ends, participation)
    return out


def _neutral(terms: Terms, question: Question) -> ImpactProgramme:
    return solve_impact(terms, question.participation)


def _averse(terms: Terms, question: Question) -> RiskProgramme:
    return solve_risk(terms, question.participation, min(question.risk_aversion, MAX_AVERSION))


_PROGRAMMES: dict[str, Solver] = {OPTIMAL_IMPACT: _neutral, OPTIMAL_RISK: _averse}


def _for_all(share: torch.Tensor) -> torch.Tensor:
    return share.expand(len(SCENARIOS), -1, -1)


def outcome_of(orders: Orders, share: torch.Tensor, finish: IntArray, participation: float) -> Outcome:
    """``share`` [8, N, L] while unfinished, all that is left in ``finish`` [8, N]."""
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


def stops(orders: Orders, question: Question, model: str, sigma: float | None) -> IntArray:
    """The optimal policy's finish interval, [8, N]; ``sigma`` None: as estimated from the bars."""
    periods = len(question.min_periods)
    price, last, seen = (x.numpy() for x in (orders.price, orders.last, orders.sigma))
    by_side: dict[int, IntArray] = {}
    for side in (1, -1):
        column = np.empty(len(price), np.int64)
        for i, m in enumerate(question.min_periods):
            rows = slice(i, None, periods)
            scale = sigma if sigma is not None else seen[rows]
            soonest = max(m, fewest_intervals(question.max_rate))
            column[rows] = stop_interval(price[rows], last[rows], side, scale, question.n, soonest, model)
        by_side[side] = column
    return np.stack([by_side[int(side)] for side, _, _ in SCENARIOS])


def _programme(
    orders: Orders, question: Question, price_model: str, sigma: float, solve: Solver
) -> tuple[torch.Tensor, IntArray]:
    """(shares [8, N, L] while unfinished, finish [8, N]) of an optimum with impact."""
    price, last = orders.price.numpy(), orders.last.numpy()
    periods = len(question.min_periods)
    by_side: dict[int, tuple[FloatArray, IntArray]] = {}
    for side in (1, -1):
        shares, finish = np.zeros(price.shape), np.zeros(len(price), np.int64)
        for i, m in enumerate(question.min_periods):
            terms = Terms(question.n, m, question.min_rate, question.max_rate, price_model)
            schedule = solve(terms, question).run(price[i::periods], last[i::periods], side, sigma)
            shares[i::periods], finish[i::periods] = schedule.shares, schedule.finish
        by_side[side] = shares, finish
    picked = [by_side[int(side)] for side, _, _ in SCENARIOS]
    return torch.from_numpy(np.stack([p[0] for p in picked])), np.stack([p[1] for p in picked])
