"""Common ground of the exact optima (``lem/programme_*.py``): price laws, grids, and how a policy is run.

Everything is in units of sigma per interval, from the buyer's side: a seller is the mirror image. With S the
last close before interval t, M the benchmark over what is behind, D = S - M, e the interval's move and g its
price less S, the walk has g = e ~ N(0, 1), bars have var e = 1, var g = 1/3, cov(e, g) = 1/2 (a Brownian
path and its average), and with a time-weighted benchmark

    M' = M + (D + g)/(t+1),   D' = D t/(t+1) + u,   u = e - g/(t+1),   g = beta u + independent rest

A policy trades with lots of size 0 and otherwise exactly within ``agent.core.orders.projection``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

from agent.algos.optimal_stopping import MODELS
from agent.core.compile.jit import njit
from agent.core.errors import InputError
from agent.core.market.bars import FloatArray
from agent.core.orders.order_defaults import DEFAULT_MAX_RATE, DEFAULT_MIN_RATE
from agent.core.orders.projection import EPS, check_rates, fewest_intervals, project

REACH = 5.5
"""Grids of D reach this many standard deviations of it; values go on as straight lines beyond."""

MAX_N = 200


@dataclass(frozen=True, slots=True)
class Terms:
    """Bounds of an order in intervals, its rate limits (shares of the order an interval), the price law."""

    n: int
    m: int = 0
    min_rate: float = DEFAULT_MIN_RATE
    max_rate: float = DEFAULT_MAX_RATE
    price: str = "walk"

    def checked(self, most: int = MAX_N) -> Terms:
        """Return itself, of at most ``most`` intervals. Raises InputError on terms that no schedule keeps."""
        if self.price not in MODELS:
            raise InputError(f"unknown price model {self.price!r}: use one of {', '.join(MODELS)}")
        if not 1 <= self.n <= most:
            raise InputError(f"n = {self.n}: this programme takes 1 to {most} intervals")
        check_rates(self.n, self.m, self.min_rate, self.max_rate)
        return self

    @property
    def bars(self) -> bool:
        return self.price == "bars"

    @property
    def first(self) -> int:
        """The earliest interval that can finish."""
        return max(self.m, fewest_intervals(self.max_rate), 1) - 1


@dataclass(frozen=True, slots=True)
class Schedule:
    """What a policy does on N paths: ``shares`` [N, n] of the whole order, ``finish`` [N] intervals."""

    shares: FloatArray
    finish: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tape:
    """N paths as a policy sees them, [N, n] each: interval t's row may use ``last[t]``, older columns else.

    ``price`` and ``last`` (the close before the interval) are deviations from one reference a path,
    ``sigma`` a fraction of the price an interval (0: unknown, and then an order goes on, evenly), ``volume``
    in units of the usual one.
    """

    price: FloatArray
    last: FloatArray
    sigma: FloatArray
    volume: FloatArray


def tape(
    price: FloatArray, last: FloatArray, sigma: FloatArray | float, volume: FloatArray | None, n: int
) -> Tape:
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
    return Tape(*columns)


def even_schedule(terms: Terms, finish: npt.NDArray[np.int64]) -> Schedule:
    """Trade 1/n an interval, faster where the rates ask for it, and the rest in ``finish`` [N].

    For programmes whose value does not depend on the shares: all that is asked of them is that finishing
    is possible from ``terms.first`` on.
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


def share_nodes(terms: Terms, count: int) -> FloatArray:
    """Remaining shares that a programme knows, ascending from 0 to 1.

    ``count`` even steps, and every share that the rates lead to: the value jumps at multiples of the max
    rate, where one more interval is needed.
    """
    steps = np.arange(terms.n + 1)
    found = [np.linspace(0.0, 1.0, count + 1), steps * terms.max_rate]
    found += [1.0 - steps * terms.max_rate, 1.0 - steps * terms.min_rate]
    nodes = np.unique(np.concatenate(found))
    nodes = nodes[(nodes > EPS) & (nodes < 1.0 - EPS)]
    kept = nodes[np.concatenate([[True], np.diff(nodes) > EPS])] if len(nodes) else nodes
    return np.concatenate([[0.0], kept, [1.0]])


def distance_reach(terms: Terms) -> FloatArray:
    """Half the width of the grid of D before each interval, [n], from its law while unfinished."""
    variance, reach = 0.0, []
    for t in range(terms.n):
        reach.append(REACH * sqrt(variance + 0.05))
        spread, _, _ = noise(1.0 / (t + 1.0), terms.bars)
        variance = variance * (t / (t + 1.0)) ** 2 + spread**2
    return np.array(reach)


def normal_steps(count: int, reach: float = 5.5) -> tuple[FloatArray, FloatArray]:
    """Points and weights of an even rule for N(0, 1): robust where the integrand has a kink."""
    z = np.linspace(-reach, reach, count)
    weights = np.exp(-0.5 * z * z)
    return z, weights / weights.sum()


def gauss_hermite(count: int) -> tuple[FloatArray, FloatArray]:
    """Points and weights of Gauss-Hermite quadrature for N(0, 1): for smooth integrands."""
    z, weights = np.polynomial.hermite_e.hermegauss(count)
    return z, weights / weights.sum()


@njit
def noise(weight: float, bars: bool) -> tuple[float, float, float]:
    """(sd of u, beta, sd of the rest of g) when the interval's price enters M with ``weight``.

    u = e - weight g and g = beta u + rest, rest independent of u.
    """
    if not bars:
        keep = 1.0 - weight
        return keep, (1.0 / keep if keep > 1e-12 else 0.0), (0.0 if keep > 1e-12 else 1.0)
    variance = 1.0 - weight + weight * weight / 3.0
    covariance = 0.5 - weight / 3.0
    rest = 1.0 / 3.0 - covariance * covariance / variance
    return np.sqrt(variance), covariance / variance, np.sqrt(max(rest, 0.0))


@njit
def cubic(at: float, count: int) -> tuple[int, float, float, float, float]:
    """First of four neighbours and their weights at ``at`` (in steps) of an even grid: Lagrange's cubic.

    Straight lines in the two outermost cells and beyond, where a cubic would run away.
    """
    if at < 1.0:
        return 0, 1.0 - at, at, 0.0, 0.0
    if at > count - 2.0:
        x = at - (count - 2.0)
        return count - 4, 0.0, 0.0, 1.0 - x, x
    i = min(int(at), count - 3) - 1
    x = at - (i + 1.0)
    return (
        i,
        -x * (x - 1.0) * (x - 2.0) / 6.0,
        (x + 1.0) * (x - 1.0) * (x - 2.0) / 2.0,
        -(x + 1.0) * x * (x - 2.0) / 2.0,
        (x + 1.0) * x * (x - 1.0) / 6.0,
    )


@njit
def cell(nodes: FloatArray, at: float) -> tuple[int, float]:
    """(j, x) such that ``at`` = nodes[j] + x (nodes[j+1] - nodes[j]), x within [0, 1]."""
    j = min(max(int(np.searchsorted(nodes, at)) - 1, 0), len(nodes) - 2)
    x = (at - nodes[j]) / (nodes[j + 1] - nodes[j])
    return j, min(max(x, 0.0), 1.0)


@njit
def share_cell(nodes: FloatArray, at: float, max_rate: float) -> tuple[int, float]:
    """``cell``, but the upper node alone where the lower one needs fewer intervals than what lies between."""
    j, x = cell(nodes, at)
    if x > 1e-9 and needs(nodes[j], max_rate) < needs(nodes[j + 1], max_rate):
        return j, 1.0
    return j, x


@njit
def needs(remaining: float, max_rate: float) -> int:
    """Intervals that it takes to trade ``remaining``."""
    return max(1, int(np.ceil(remaining / max_rate - 1e-9)))


@njit
def share_bounds(remaining: float, left: int, min_rate: float, max_rate: float) -> tuple[float, float]:
    """[lo, hi] of ``agent.core.orders.projection`` for an interval that does not finish, lots of size 0."""
    hi = max(0.0, min(max_rate, remaining))
    lo = min(hi, max(min_rate, remaining - left * max_rate))
    return lo, hi


@njit
def can_finish(t: int, m: int, remaining: float, max_rate: float) -> bool:
    return t + 1 >= m and remaining <= max_rate + 1e-9
