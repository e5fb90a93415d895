"""The exact optimum of a flexible order on a driftless walk, without impact: stop, or go on.

Theory of operation: ``agent.algos.optimal_stopping``, whose programme this is. Only the time of stopping
matters here, so the policy trades 1/n an interval until it stops.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.algos.optimal_stopping import MAX_INTERVALS, solve
from agent.core.arrays import FloatArray, IntArray
from agent.core.orders.order_defaults import NO_MAX_RATE
from lem.optima.optimum_terms import PolicyInputs, Schedule, Terms, even_schedule, policy_inputs

PRICE_MODEL = {"gaussian": "walk", "gaussian-bars": "bars", "gaussian-volume": "walk"}
"""Simulated market -> price model of its optimum. Real bars and the other simulators: "bars"."""


def gain_sigma(n: int, m: int, max_rate: float = NO_MAX_RATE, model: str = "walk") -> float:
    """Return the best expected gain in units of an interval's volatility. Raises InputError."""
    return solve(n, m, max_rate, model).gain_sigma


def stop_interval(
    price: FloatArray, last: FloatArray, side: int, sigma: FloatArray | float, n: int, m: int, model: str
) -> IntArray:
    """Return the interval in which the optimal policy finishes on each path, [N].

    ``price``, ``last`` [N, >= n]: each interval's price and the close before it, as deviations from one
    reference price; ``sigma`` per interval (a number, or [N, >= n]; 0 is unknown: the order then goes on).
    """
    rule = solve(n, m, NO_MAX_RATE, model)
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


@dataclass(frozen=True, slots=True)
class StoppingOptimum:
    """The solution. ``gain_sigma``: expected gain in units of sigma."""

    terms: Terms
    gain_sigma: float

    def run(
        self,
        price: FloatArray,
        last: FloatArray,
        side: int,
        sigma: FloatArray | float,
        volume: FloatArray | None = None,
    ) -> Schedule:
        """Run the policy on N paths (``lem.optima.optimum_terms``); ``volume`` is ignored."""
        terms = self.terms
        seen: PolicyInputs = policy_inputs(price, last, sigma, volume, terms.n)
        m = max(terms.m, terms.first + 1)
        finish = stop_interval(seen.price, seen.last, side, seen.sigma, terms.n, m, terms.price)
        return even_schedule(terms, finish)


def solve_stopping(terms: Terms) -> StoppingOptimum:
    """Solve for a quantity against TWAP (cached beneath). Raises InputError on impossible terms."""
    terms.checked(MAX_INTERVALS)
    return StoppingOptimum(terms, gain_sigma(terms.n, terms.m, terms.max_rate, terms.price))
