"""What an evaluation runs: the orders' terms, how many there are, and the market they meet."""

from __future__ import annotations

import math
from dataclasses import dataclass

from agent.core.errors import InputError
from agent.core.orders.order_defaults import DEFAULT_MAX_RATE, DEFAULT_MIN_RATE
from agent.core.orders.projection import check_rates
from agent.core.types import NS_PER_S

MAX_N = 200
MAX_ORDERS = 5_000_000
MAX_SIGMA = 0.1


@dataclass(frozen=True, slots=True)
class EvaluationSpec:
    """Terms of the orders and settings of the market.

    ``n``: max duration in intervals; ``min_periods``: min durations in intervals, every path works one order
    for each; ``orders``: paths; ``sigma``: volatility an interval of a simulated market, a fraction of the
    price; ``history``: bars a simulated order has seen before it starts; ``participation``: the order as a
    share of the market's volume in n intervals; rates and ``lot_share``: shares of the order; ``every``: on
    real bars an order starts every so many bars, 0 for every ``n``, so that none overlaps.
    """

    n: int = 12
    min_periods: tuple[int, ...] = (0, 4, 8, 12)
    orders: int = 20_000
    seed: int = 1
    sigma: float = 1e-4
    history: int = 32
    delta_ns: int = 60 * NS_PER_S
    risk_aversion: float = 1.0
    participation: float = 0.0
    arrival_weight: float = 0.0
    min_rate: float = DEFAULT_MIN_RATE
    max_rate: float = DEFAULT_MAX_RATE
    lot_share: float = 1e-6
    every: int = 0

    def checked(self) -> EvaluationSpec:
        """Return itself. Raises InputError on values that make no sense."""
        if not 1 <= self.n <= MAX_N:
            raise InputError(f"n is {self.n} intervals: give 1 to {MAX_N}")
        if not 1 <= self.orders <= MAX_ORDERS:
            raise InputError(f"orders is {self.orders}: give 1 to {MAX_ORDERS}")
        if not all(0 <= m <= self.n for m in self.min_periods) or not self.min_periods:
            raise InputError(
                f"min periods are {list(self.min_periods)}: give integers from 0 to n = {self.n}"
            )
        if not 0.0 < self.sigma <= MAX_SIGMA:
            raise InputError(
                f"sigma is {self.sigma:g} an interval: give a fraction above 0, up to {MAX_SIGMA:g}"
            )
        if self.every < 0:
            raise InputError(f"an order every {self.every} bars: give 1 or more, or 0 for every n = {self.n}")
        averse = math.isfinite(self.risk_aversion) and self.risk_aversion >= 0.0
        if not 0.0 <= self.participation <= 1.0 or not averse or self.history < 0:
            raise InputError(
                f"participation {self.participation:g}, risk aversion {self.risk_aversion:g},"
                f" history {self.history}: participation is in [0, 1], the others are finite, not negative"
            )
        for m in self.min_periods:
            check_rates(self.n, m, self.min_rate, self.max_rate)
        return self


def default_min_periods(n: int) -> tuple[int, ...]:
    """0, a third, two thirds and all of ``n``."""
    return tuple(sorted({0, n // 3, 2 * n // 3, n}))
