"""Grids, quadrature and the law of prices that the exact optima share.

Everything is in units of sigma per interval, and from the buyer's side: a seller is the mirror image. Write
S for the last close before interval t, M for the benchmark over the intervals behind, D = S - M for the
distance between them, e for the interval's move and g for its price less S. On the walk g = e ~ N(0, 1). On
bars var e = 1, var g = 1/3, cov(e, g) = 1/2: a Brownian path and its average. With a time-weighted benchmark

    M' = M + (D + g)/(t+1),   D' = D t/(t+1) + u,   u = e - g/(t+1),   g = beta u + independent rest

Example, walk, t = 1, D = 2, e = g = -1: M' = M + (2 - 1)/2 = M + 1/2, the close is S - 1 = M + 1, so
D' = 1/2; and D t/(t+1) + u = 1 + (-1 + 1/2) = 1/2.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from agent.core.arrays import FloatArray
from agent.core.compile.jit import njit
from agent.core.orders.projection import EPS
from lem.optima.optimum_terms import Terms

REACH = 5.5
"""Grids of D reach this many standard deviations of it; values go on as straight lines beyond."""


def share_nodes(terms: Terms, count: int) -> FloatArray:
    """The grid of remaining shares, ascending from 0 to 1.

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
