"""What the model is held against on the same paths: rules and exact optima as schedules of shares."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from agent.core.bars import FloatArray
from lem.bound import stop_interval
from lem.config import SCENARIOS
from lem.objective import Orders, Rollout, scenario_columns
from lem.paths import Outcome, Question, realise
from lem.programme import Terms
from lem.programme_impact import solve_impact

IntArray = npt.NDArray[np.int64]
STRATEGIES = ("lem", "optimal_stopping", "dump", "twap")
OPTIMAL_IMPACT = "optimal_impact"


def baselines(
    orders: Orders, question: Question, price_model: str, sigma: float | None, participation: float
) -> dict[str, Outcome]:
    """Every rule's outcomes [8, N * M].

    ``sigma``: the market's own where it is known (then the programme with impact runs too, where orders
    take part in the market), None where it is estimated from the bars.
    """
    even = even_shares(orders)
    finish = stops(orders, question, price_model, sigma)
    last = np.full_like(finish, question.n - 1)
    out = {
        "optimal_stopping": outcome_of(orders, even, finish, participation),
        "dump": outcome_of(orders, torch.zeros_like(even), finish, participation),
        "twap": outcome_of(orders, even, last, participation),
    }
    steady = torch.allclose(orders.volume, torch.ones_like(orders.volume))  # what the programme assumes
    if sigma is not None and question.participation > 0 and steady:
        shares, ends = _programme(orders, question, price_model, sigma)
        out[OPTIMAL_IMPACT] = outcome_of(orders, shares, ends, participation)
    return out


def even_shares(orders: Orders) -> torch.Tensor:
    """1/n an interval while unfinished, [8, N, L]."""
    share = (1.0 / orders.n)[:, None].expand(-1, orders.price.shape[1])
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
            column[rows] = stop_interval(price[rows], last[rows], side, scale, question.n, m, model)
        by_side[side] = column
    return np.stack([by_side[int(side)] for side, _, _ in SCENARIOS])


def _programme(
    orders: Orders, question: Question, price_model: str, sigma: float
) -> tuple[torch.Tensor, IntArray]:
    """(shares [8, N, L] while unfinished, finish [8, N]) of the optimum with impact."""
    price, last = orders.price.numpy(), orders.last.numpy()
    periods = len(question.min_periods)
    by_side: dict[int, tuple[FloatArray, IntArray]] = {}
    for side in (1, -1):
        shares, finish = np.zeros(price.shape), np.zeros(len(price), np.int64)
        for i, m in enumerate(question.min_periods):
            terms = Terms(question.n, m, question.min_rate, question.max_rate, price_model)
            schedule = solve_impact(terms, question.participation).run(
                price[i::periods], last[i::periods], side, sigma
            )
            shares[i::periods], finish[i::periods] = schedule.shares, schedule.finish
        by_side[side] = shares, finish
    picked = [by_side[int(side)] for side, _, _ in SCENARIOS]
    return torch.from_numpy(np.stack([p[0] for p in picked])), np.stack([p[1] for p in picked])
