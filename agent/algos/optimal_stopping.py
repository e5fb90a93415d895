"""When to stop the clock: the dynamic programme behind the gain of a flexible order, and its schedule.

Theory of operation
-------------------
An order judged against the average price of the window it used may end early once that pays. On a driftless
walk the achieved price has the same mean whatever is traded when. So the expected gain depends on the time of
stopping only, and the state before interval t (t intervals are behind) has two parts:

* D, the last price minus the running mean, in units of sigma, times the side: below 0 is good for the order;
* w, the number of intervals that what is left needs at the max rate: finishing needs w = 1.

V_t(D, w) is the best expected gain from here on:

    stop in t:   -D t/(t+1)                              where t + 1 >= m and w = 1
    go on:       E V_{t+1}(D t/(t+1) + s_t z, w'),       z ~ N(0, 1), w' = max(w - 1, 1)
    s_t^2 = (t/(t+1))^2                                  walk: an interval's price is its end
    s_t^2 = 1 - 1/(t+1) + 1/(3 (t+1)^2)                  bars: it is its average, and the last close is known

V_t is the better of the two, and the last interval stops whatever it is worth. (From M' = M + (p_t -
M)/(t+1); bars: var(average) = sigma^2/3, cov(average, close) = sigma^2/2.)

Invariants: V_t falls as D rises, so stopping is right exactly below one threshold of D an interval; V_t never
rises with w or m; the thresholds do not depend on the rates, which only delay the first possible stop.

Worked example: n = 3, m = 0, bars. Before interval 0 nothing is known: D = 0, and stopping gains 0. Interval
0 leaves D = z/sqrt(3), as s_0^2 = 1/3. In interval 1 stopping gains -D/2; going on must stop in interval 2
and gains E[-(2/3)(D/2 + s_1 z)] = -D/3. So it stops when D < 0: the threshold is 0. The value is E max(-D/2,
-D/3) = (1/2 - 1/3) E[max(-D, 0)] = (1/6) (1/sqrt(3)) / sqrt(2 pi) = 0.0384 sigma.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import isfinite, sqrt

import numpy as np

from agent.algos.common import closing, interval_volatility, percent
from agent.core.arrays import FloatArray, IntArray
from agent.core.compile.jit import njit, njit_part
from agent.core.errors import InputError
from agent.core.orders.order_defaults import NO_MAX_RATE
from agent.core.orders.projection import fewest_intervals
from agent.core.types import MarketView, OrderView, Slice

POINTS = 4_001  # grid of D over +- REACH sqrt(n)
REACH = 6.0
QUADRATURE = 161  # trapezoid over +- 6 standard deviations
MAX_INTERVALS = 2_000
MODELS = ("walk", "bars")
NEVER = -1e9


@njit_part
def _normal() -> tuple[FloatArray, FloatArray]:
    """Points z of the quadrature of a standard normal, and their weights."""
    width = 12.0 / (QUADRATURE - 1)
    points, weights = np.empty(QUADRATURE), np.empty(QUADRATURE)
    for q in range(QUADRATURE):
        z = -6.0 + width * q
        points[q], weights[q] = z, np.exp(-0.5 * z * z)
    return points, weights


@njit_part
def _place(grid: FloatArray, keep: float, shift: float, at: IntArray, beyond: FloatArray) -> None:
    """Where keep D + shift lies for each D of the grid: the point before it, and how far beyond it."""
    start, step, last = grid[0], grid[1] - grid[0], len(grid) - 2
    for i in range(len(grid)):
        place = (grid[i] * keep + shift - start) / step
        at[i] = min(max(int(place), 0), last)
        beyond[i] = place - at[i]


@njit_part
def _add_weighed(
    value: FloatArray, rise: FloatArray, weight: float, at: IntArray, beyond: FloatArray, total: FloatArray
) -> None:
    """Add ``weight`` times the value found there, interpolated on its grid, linear beyond it."""
    for i in range(len(total)):
        k = np.uint64(at[i])  # unsigned: it is not looked whether it counts from the end
        total[i] += weight * (value[k] + beyond[i] * rise[k])


@njit_part
def _expect(
    value: FloatArray,
    grid: FloatArray,
    keep: float,
    scale: float,
    normal: tuple[FloatArray, FloatArray],
    expected: FloatArray,
) -> None:
    """Put E value(keep D + scale z) of each D of the grid into ``expected``.

    A point of the quadrature at a time, in two passes: a processor does several D at once in the first.
    """
    points, weights = normal
    at, beyond = np.empty(len(grid), np.int64), np.empty(len(grid))
    rise = np.empty(len(grid))
    for i in range(len(grid) - 1):
        rise[i] = value[i + 1] - value[i]
    expected[:] = 0.0
    weighed = 0.0
    for q in range(QUADRATURE):
        _place(grid, keep, scale * points[q], at, beyond)
        _add_weighed(value, rise, weights[q], at, beyond, expected)
        weighed += weights[q]
    expected /= weighed


@njit
def _backward(
    grid: FloatArray, n: int, m: int, needs: int, bars: bool, first: int
) -> tuple[float, FloatArray]:
    """Return (value before interval ``first`` in sigmas when ``needs`` intervals are needed, thresholds [n]).

    ``grid``: of D, even and symmetric around 0. Works backward from the last interval to ``first``.
    """
    normal = _normal()
    value = np.zeros((needs + 1, len(grid)))  # row w: w intervals at the max rate are needed, w >= 1
    value[1:] = -grid * ((n - 1) / n)  # before the last interval, which stops
    thresholds = np.full(n, NEVER)
    for t in range(n - 2, first - 1, -1):
        keep = t / (t + 1.0)
        scale = np.sqrt(1.0 - 1.0 / (t + 1.0) + 1.0 / (3.0 * (t + 1.0) ** 2)) if bars else keep
        following = value.copy()
        for w in range(1, needs + 1):
            _expect(following[max(w - 1, 1)], grid, keep, scale, normal, value[w])
        if t + 1 < m:
            continue
        for i in range(len(grid)):
            stop = -grid[i] * keep
            if stop >= value[1, i]:
                value[1, i] = stop
                thresholds[t] = max(thresholds[t], grid[i])
    thresholds[n - 1] = -NEVER
    return value[needs, len(grid) // 2], thresholds


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """The programme's solution. ``gain_sigma``: expected gain in units of sigma.

    ``thresholds`` [n]: finish in interval t when side * (last price - running benchmark) / sigma is at
    most thresholds[t] and what is left can be traded in one interval. ``first``: the earliest interval
    that can finish.
    """

    n: int
    m: int
    gain_sigma: float
    thresholds: FloatArray
    first: int


def solve(n: int, m: int, max_rate: float = NO_MAX_RATE, model: str = "walk") -> StoppingRule:
    """Solve for ``n`` intervals at most, ``m`` at least. Cached. Raises InputError on impossible bounds."""
    if not 1 <= n <= MAX_INTERVALS or not 0 <= m <= n:
        raise InputError(
            f"n = {n}, m = {m}: the optimum is solved for 1 <= n <= {MAX_INTERVALS} and 0 <= m <= n intervals"
        )
    if not 0.0 < max_rate <= 1.0 or max_rate * n < 1.0 - 1e-9:
        raise InputError(f"max rate {max_rate:g} over {n} intervals: it must be from {1 / n:.4g} to 1")
    if model not in MODELS:
        raise InputError(f"unknown price model {model!r}: use one of {', '.join(MODELS)}")
    return _solve(n, m, fewest_intervals(max_rate), model)


@lru_cache(maxsize=4_096)
def _solve(n: int, m: int, needs: int, model: str) -> StoppingRule:
    # At t = 0 nothing has been seen: D is 0 and finishing there gains nothing.
    gain, thresholds = _backward(_grid(n), n, m, needs, model == "bars", 0)
    thresholds.setflags(write=False)
    return StoppingRule(n, m, float(gain), thresholds, max(m, needs) - 1)


@lru_cache(maxsize=4_096)
def thresholds_of(n: int, m: int, model: str) -> FloatArray:
    """``StoppingRule.thresholds`` [n] alone: what lies before the earliest stop need not be gone through."""
    _, thresholds = _backward(_grid(n), n, m, 1, model == "bars", max(m - 1, 0))
    thresholds.setflags(write=False)
    return thresholds


def _grid(n: int) -> FloatArray:
    half = REACH * sqrt(n)
    return np.linspace(-half, half, POINTS)


class OptimalStopping:
    """Trades evenly until the programme says stop; where volatility is unknown it does not stop early."""

    name = "optimal_stopping"

    def __init__(self, model: str = "bars") -> None:
        self.model = model

    def decide(self, order: OrderView, market: MarketView) -> Slice:
        end = closing(order)
        if end is not None:
            return end
        even = even_share(order)
        sigma = interval_volatility(market.bars)
        last = _last_price(market)
        if sigma is None or last is None or order.t == 0 or not _usable(order):
            why = "nothing traded yet" if order.t == 0 else "volatility or prices unknown"
            if order.n > MAX_INTERVALS:
                why = f"{order.n} intervals, and the programme takes {MAX_INTERVALS} at most"
            return Slice(even, False, reason=f"optimal_stopping: {why}, so evenly over what is left")
        thresholds = thresholds_of(order.n, order.m, self.model)  # they do not depend on the rate
        below = -float(order.side) * (1.0 - last / order.benchmark_price) / sigma
        limit = float(thresholds[order.t])
        finish = below <= limit and order.t + 1 >= order.m and order.remaining <= order.max_rate
        return Slice(
            order.remaining if finish else even,
            finish,
            finish_probability=1.0 if finish else 0.0,
            reason=_reason(order, below, limit, finish, even),
            history_bars=len(market.bars),
        )


def even_share(order: OrderView) -> float:
    """1/n, and more where the max rate would otherwise keep the earliest stop out of reach."""
    share = max(1.0 / order.n, order.remaining / max(1, order.n - order.t))
    if order.max_rate > 1e-9:  # else nothing can be traded, and a division overflows
        first = max(order.m, fewest_intervals(order.max_rate, order.remaining) + order.t) - 1
        if first > order.t:
            share = max(share, (order.remaining - order.max_rate) / (first - order.t))
    return min(share, order.remaining)


def _usable(order: OrderView) -> bool:
    return (
        isfinite(order.benchmark_price)
        and order.benchmark_price > 0
        and order.n <= MAX_INTERVALS
        and 0 <= order.m <= order.n
    )


def _last_price(market: MarketView) -> float | None:
    """The last interval's close; the mid where no bar is known."""
    close = float(market.bars["close"][-1]) if len(market.bars) else float("nan")
    for price in (close, market.mid):
        if isfinite(price) and price > 0:
            return price
    return None


def _reason(order: OrderView, below: float, limit: float, finish: bool, even: float) -> str:
    where = f"price {below:+.2f} sigma against the benchmark (on the order's side), stop at {limit:+.2f}"
    if finish:
        return f"optimal_stopping: {where}: finish"
    if order.t + 1 < order.m:
        return f"optimal_stopping: {percent(even)}, too early to finish (min {order.m} intervals)"
    return f"optimal_stopping: {percent(even)}, {where}: go on"
