"""Inputs and output of every exact optimum: an order's terms, paths as a policy sees them, a schedule.

A policy trades with lots of size 0, and otherwise exactly within ``agent.core.orders.projection``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.algos.optimal_stopping import MODELS
from agent.core.arrays import FloatArray, IntArray
from agent.core.errors import InputError
from agent.core.orders.order_defaults import NO_MAX_RATE, NO_MIN_RATE
from agent.core.orders.projection import check_rates, fewest_intervals, project

MAX_N = 200


@dataclass(frozen=True, slots=True)
class Terms:
    """An order's durations in intervals, its rate limits, and the law of the price.

    ``n``: max duration; ``m``: min duration; ``min_rate``, ``max_rate``: shares of the order an interval;
    ``price``: "walk" (an interval's price is its end) or "bars" (it is its average).
    """

    n: int
    m: int = 0
    min_rate: float = NO_MIN_RATE
    max_rate: float = NO_MAX_RATE
    price: str = "walk"

    def checked(self, most: int = MAX_N) -> Terms:
        """Return itself, of at most ``most`` intervals. Raises InputError on terms that no schedule keeps."""
        if self.price not in MODELS:
            raise InputError(f"unknown price model {self.price!r}: use one of {', '.join(MODELS)}")
        if not 1 <= self.n <= most:
            raise InputError(f"n = {self.n}: this optimum is computed for 1 to {most} intervals")
        check_rates(self.n, self.m, self.min_rate, self.max_rate)
        return self

    @property
    def bars(self) -> bool:
        """Whether an interval's price is its average."""
        return self.price == "bars"

    @property
    def first(self) -> int:
        """The earliest interval that can finish, from 0."""
        return max(self.m, fewest_intervals(self.max_rate), 1) - 1


@dataclass(frozen=True, slots=True)
class Schedule:
    """What a policy does on N paths: ``shares`` [N, n] of the whole order, ``finish`` [N] intervals."""

    shares: FloatArray
    finish: IntArray


@dataclass(frozen=True, slots=True)
class PolicyInputs:
    """N paths as a policy sees them, [N, n] each. In interval t it may use ``last[t]`` and columns before t.

    ``price`` and ``last`` (the close before the interval) are deviations from one reference price a path;
    ``sigma`` is the volatility of an interval as a fraction of the price (0: unknown; the order then goes on,
    evenly); ``volume`` is in units of the usual one.
    """

    price: FloatArray
    last: FloatArray
    sigma: FloatArray
    volume: FloatArray


def policy_inputs(
    price: FloatArray, last: FloatArray, sigma: FloatArray | float, volume: FloatArray | None, n: int
) -> PolicyInputs:
    """Return the first ``n`` intervals of [N, >= n] columns; ``sigma`` broadcasts, no volume means 1.

    Raises InputError where the columns are shorter than n intervals or of different shapes.
    """
    if price.ndim != 2 or price.shape != last.shape or price.shape[1] < n:
        raise InputError(
            f"prices have shape {price.shape}, last closes {last.shape}: both must be [paths, at least {n}]"
        )
    shape = (len(price), n)
    traded = np.ones(shape) if volume is None else volume[:, :n]
    scale = np.broadcast_to(np.asarray(sigma, np.float64), price.shape)[:, :n]
    columns = (np.ascontiguousarray(c, np.float64) for c in (price[:, :n], last[:, :n], scale, traded))
    return PolicyInputs(*columns)


def even_schedule(terms: Terms, finish: IntArray) -> Schedule:
    """Trade 1/n an interval, faster where the rate limits need it, and the rest in ``finish`` [N].

    For optima whose value does not depend on the shares: it is enough that finishing is possible from
    ``terms.first`` on.
    """
    shares = np.zeros((len(finish), terms.n))
    remaining = 1.0
    for t in range(terms.n):
        shares[finish == t, t] = remaining
        share = max(1.0 / terms.n, remaining / (terms.n - t))
        if terms.first > t:
            share = max(share, (remaining - terms.max_rate) / (terms.first - t))
        left = terms.n - 1 - t
        share, _ = project(share, False, remaining, left, terms.m, t, terms.min_rate, terms.max_rate, 0.0)
        shares[finish > t, t] = share
        remaining -= share
    return Schedule(shares, finish)
