"""The exact optimum of a flexible order on a driftless walk: a thin view of the schedules' programme."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agent.algos.optimal_stopping import MAX_INTERVALS, solve
from agent.core.errors import InputError
from agent.core.market.bars import FloatArray
from agent.core.orders.order_defaults import DEFAULT_MAX_RATE

PRICE_MODEL = {"gaussian": "walk", "gaussian-bars": "bars", "gaussian-volume": "walk"}
"""Simulated market -> the programme's price model. Real bars and the other simulators: "bars"."""

MAX_TABLE = 200


def gain_sigma(n: int, m: int, max_rate: float = DEFAULT_MAX_RATE, model: str = "walk") -> float:
    """Return the best expected gain in units of an interval's volatility. Raises InputError."""
    return solve(n, m, max_rate, model).gain_sigma


def bound_table(n: int, max_rate: float = DEFAULT_MAX_RATE, model: str = "walk") -> dict[int, float]:
    """Return the optimum for every m = 0 .. n. Raises InputError."""
    if n > MAX_TABLE:
        raise InputError(
            f"n = {n} is too long for a table of every m: give at most {MAX_TABLE}"
            f" (a single bound can be had for up to {MAX_INTERVALS} intervals)"
        )
    return {m: gain_sigma(n, m, max_rate, model) for m in range(n + 1)}


def stop_interval(
    price: FloatArray, last: FloatArray, side: int, sigma: FloatArray | float, n: int, m: int, model: str
) -> npt.NDArray[np.int64]:
    """Return the interval each path's optimal policy finishes in, [N].

    ``price``, ``last`` [N, >= n]: each interval's price and the close before it, as deviations from one
    reference; ``sigma`` per interval (a number, or [N, >= n]; 0 is unknown, and then it goes on).
    """
    rule = solve(n, m, 1.0, model)
    scale = np.broadcast_to(np.asarray(sigma, np.float64), price.shape)
    finish = np.full(len(price), n - 1, np.int64)
    open_ = np.ones(len(price), np.bool_)
    for t in range(1, n - 1):
        mean = price[:, :t].mean(1)
        distance = side * (last[:, t] - mean) / (1.0 + mean)
        stop = open_ & (scale[:, t] > 0) & (distance <= rule.thresholds[t] * scale[:, t])
        if t + 1 >= m:
            finish[stop] = t
            open_ &= ~stop
    return finish
