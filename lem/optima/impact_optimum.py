"""The exact optimum after impact, risk neutral: how much to trade in every interval, and when to stop.

Theory of operation
-------------------
A share a of the order traded in one interval costs K(a) = Y sqrt(participation n) a^1.5 in units of sigma
(``lem.network.objective.impact_cost`` at the usual volume; Y = 1). Any schedule has the same expected price
on a driftless walk. So, with what is left marked to the last close, the state before interval t has two
parts:

* D, the last close minus the running benchmark (``lem.optima.optimum_grids``);
* R, the share of the order that is left.

V_t(D, R) is the best expected gain less the impact still to come:

    finish in t (t+1 >= m, R <= max rate):   -D t/(t+1) - K(R)
    go on with the best share a:              G_t(D, R) = max_a  -K(a) + W_t(D, R - a)
    W_t(D, r) = E V_{t+1}(D t/(t+1) + u, r),  V = max(finish, G)

Invariants: V falls in D, and in R where the max rate allows; without impact V does not depend on R, and is
the stopping optimum's. The kink where finishing and G cross is never interpolated: G alone is on the grid
(smooth in D: cubics), and the two are compared at the point. In R, W is straight between nodes, and within a
cell the best a solves K'(a) = -dW/dR exactly.

Worked example: n = 3, m = 0, bars, participation 0.1, so K(a) = sqrt(0.3) a^1.5. Before interval 1 half is
left: R = 1/2. Finishing gains -D/2 - K(1/2) = -D/2 - 0.1936. Going on must finish in interval 2; the best is
to trade a quarter twice, for -D/3 - 2 K(1/4) = -D/3 - 0.1369. So it finishes when -D/6 > 0.0567: when the
price is more than 0.340 sigma better than the benchmark, and not at once as without impact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from typing import NamedTuple

import numpy as np

from agent.core.arrays import FloatArray, IntArray
from agent.core.compile.jit import njit
from agent.core.errors import InputError
from lem.optima.optimum_grids import (
    can_finish,
    cell,
    cubic,
    distance_reach,
    needs,
    noise,
    normal_steps,
    share_bounds,
    share_cell,
    share_nodes,
)
from lem.optima.optimum_terms import PolicyInputs, Schedule, Terms, policy_inputs

DISTANCES = 121
SHARES = 240
QUADRATURE = 81
LEAST = 1e-7
"""Impact of an order without impact: which of its many best schedules is chosen, not what it is worth."""


class _Costs(NamedTuple):
    """An order's terms, and ``unit``: impact, in sigmas, of trading everything in one interval."""

    n: int
    m: int
    min_rate: float
    max_rate: float
    bars: bool
    unit: float


class _Grid(NamedTuple):
    """D: ``points`` even ``steps`` [n] around 0; R on ``nodes``."""

    points: int
    steps: FloatArray
    nodes: FloatArray


class _Quadrature(NamedTuple):
    """Points and weights for N(0, 1)."""

    z: FloatArray
    w: FloatArray


@njit
def _best_share(
    row: FloatArray, nodes: FloatArray, remaining: float, lo: float, hi: float, unit: float
) -> tuple[float, float]:
    """(value, share) of max over a in [lo, hi] of -unit a^1.5 + row(remaining - a)."""
    best, share = -np.inf, lo
    first, _ = cell(nodes, remaining - hi)
    for j in range(first, len(nodes) - 1):
        low = max(lo, remaining - nodes[j + 1])
        high = min(hi, remaining - nodes[j])
        if high < lo - 1e-15:
            break
        slope = (row[j + 1] - row[j]) / (nodes[j + 1] - nodes[j])
        a = 0.0 if slope >= 0.0 else (slope / (1.5 * unit)) ** 2
        a = min(max(a, low), max(high, low))
        value = -unit * a * np.sqrt(a) + row[j] + slope * (remaining - a - nodes[j])
        if value > best:
            best, share = value, a
    return best, share


@njit
def _value_at(
    t: int, distance: float, j: int, go: FloatArray, step: float, stop: float, may_stop: bool, last: bool
) -> float:
    """V_t at (distance, node j): the better of finishing and going on (``go`` [D, R] of interval t)."""
    finish = -distance * t / (t + 1.0) - stop
    if last:
        return finish
    half = 0.5 * (len(go) - 1)
    i, a, b, c, d = cubic(distance / step + half, len(go))
    on = a * go[i, j] + b * go[i + 1, j] + c * go[i + 2, j] + d * go[i + 3, j]
    return max(finish, float(on)) if may_stop else float(on)


@njit
def _expected(
    t: int, on: _Costs, grid: _Grid, rule: _Quadrature, distances: FloatArray, go: FloatArray
) -> FloatArray:
    """W_t [D, R] at ``distances`` from interval t+1's ``go`` [D, R] on its own grid."""
    spread, _, _ = noise(1.0 / (t + 1.0), on.bars)
    step, last = grid.steps[t + 1], t + 1 == on.n - 1
    out = np.zeros((len(distances), len(grid.nodes)))
    for j in range(len(grid.nodes)):
        stop = on.unit * grid.nodes[j] ** 1.5
        may_stop = can_finish(t + 1, on.m, grid.nodes[j], on.max_rate)
        for i in range(len(distances)):
            centre = distances[i] * t / (t + 1.0)
            total = 0.0
            for q in range(len(rule.z)):
                ahead = centre + spread * rule.z[q]
                total += rule.w[q] * _value_at(t + 1, ahead, j, go, step, stop, may_stop, last)
            out[i, j] = total
    return out


@njit
def _backward(on: _Costs, grid: _Grid, rule: _Quadrature) -> tuple[FloatArray, FloatArray]:
    """Return (value of going on [n, D, R], best shares [n, D, R]), from the last interval to the first.

    Interval n-1 finishes whatever it is worth.
    """
    nodes = grid.nodes
    go = np.zeros((on.n, grid.points, len(nodes)))
    share = np.zeros((on.n, grid.points, len(nodes)))
    half = 0.5 * (grid.points - 1)
    for t in range(on.n - 2, -1, -1):
        distances = grid.steps[t] * (np.arange(grid.points) - half)
        ahead = _expected(t, on, grid, rule, distances, go[t + 1])
        for i in range(grid.points):
            for r in range(len(nodes)):
                lo, hi = share_bounds(nodes[r], on.n - 1 - t, on.min_rate, on.max_rate)
                go[t, i, r], share[t, i, r] = _best_share(ahead[i], nodes, nodes[r], lo, hi, on.unit)
    return go, share


@njit
def _at(table: FloatArray, d: float, r: float, nodes: FloatArray, max_rate: float) -> float:
    """table [D, R] at ``d`` (in steps from its first row), cubic, and share ``r``, straight."""
    j, x = share_cell(nodes, r, max_rate)
    i, a, b, c, e = cubic(d, len(table))
    low = a * table[i, j] + b * table[i + 1, j] + c * table[i + 2, j] + e * table[i + 3, j]
    high = a * table[i, j + 1] + b * table[i + 1, j + 1] + c * table[i + 2, j + 1] + e * table[i + 3, j + 1]
    return float(low + x * (high - low))


@njit
def _line(table: FloatArray, d: float, r: float, nodes: FloatArray, max_rate: float) -> float:
    """table [D, R] at ``d`` and share ``r``, straight both ways, constant beyond: for shares to trade."""
    j, x = share_cell(nodes, r, max_rate)
    at = min(max(d, 0.0), len(table) - 1.0)
    i = min(int(at), len(table) - 2)
    y = at - i
    low = (1.0 - x) * table[i, j] + x * table[i, j + 1]
    high = (1.0 - x) * table[i + 1, j] + x * table[i + 1, j + 1]
    if needs(r - low, max_rate) != needs(r - high, max_rate):  # a share between them is worse than either
        y = round(y)
    return float((1.0 - y) * low + y * high)


@njit
def _run(
    seen: tuple[FloatArray, FloatArray, FloatArray],
    side: float,
    on: _Costs,
    grid: _Grid,
    tables: tuple[FloatArray, FloatArray],
    shares: FloatArray,
    finish: IntArray,
) -> None:
    """Fill ``shares`` [N, n] and ``finish`` [N] with the policy's schedule."""
    (price, last, sigma), (go, share) = seen, tables
    n = shares.shape[1]
    half = 0.5 * (go.shape[1] - 1)
    for p in range(len(price)):
        left, total = 1.0, 0.0
        for t in range(n):
            mean = total / t if t > 0 else 0.0
            d = side * (last[p, t] - mean) / ((1.0 + mean) * sigma[p, t]) if t and sigma[p, t] > 0.0 else 0.0
            known = sigma[p, t] > 0.0 and np.isfinite(d)
            d = d if known else 0.0
            at = d / grid.steps[t] + half
            stop = t == n - 1
            if not stop and can_finish(t, on.m, left, on.max_rate) and known:
                now = -d * t / (t + 1.0) - on.unit * left**1.5
                stop = now >= _at(go[t], at, left, grid.nodes, on.max_rate)
            if stop:
                shares[p, t] = left
                finish[p] = t
                break
            lo, hi = share_bounds(left, n - 1 - t, on.min_rate, on.max_rate)
            wanted = _line(share[t], at, left, grid.nodes, on.max_rate) if known else left / (n - t)
            shares[p, t] = min(max(wanted, lo), hi)
            left -= shares[p, t]
            total += price[p, t]


@dataclass(frozen=True, slots=True)
class ImpactOptimum:
    """The solution. ``gain_sigma``: expected gain less impact, in units of sigma.

    ``go`` and ``share`` [n, D, R]: value of going on and the best share, D on even grids of ``steps`` [n]
    around 0, R on ``nodes``. ``unit``: impact of trading everything in one interval.
    """

    terms: Terms
    participation: float
    gain_sigma: float
    unit: float
    nodes: FloatArray
    steps: FloatArray
    go: FloatArray
    share: FloatArray

    def run(
        self,
        price: FloatArray,
        last: FloatArray,
        side: int,
        sigma: FloatArray | float,
        volume: FloatArray | None = None,
    ) -> Schedule:
        """Run the policy on N paths (``lem.optima.optimum_terms``); ``volume`` is ignored."""
        given: PolicyInputs = policy_inputs(price, last, sigma, volume, self.terms.n)
        shares = np.zeros(given.price.shape)
        finish = np.zeros(len(shares), np.int64)
        seen, grid = (given.price, given.last, given.sigma), _Grid(self.go.shape[1], self.steps, self.nodes)
        _run(seen, float(side), _costs(self.terms, self.unit), grid, (self.go, self.share), shares, finish)
        return Schedule(shares, finish)


def impact_unit(participation: float, n: int) -> float:
    """Impact, in units of sigma, of a whole order in one interval of usual volume, Y = 1.

    ``participation``: the order as a share of the usual volume of n intervals. Raises InputError.
    """
    if not 0.0 <= participation <= 1.0:
        raise InputError(f"participation is {participation:g}: give a share of the market's volume in [0, 1]")
    return sqrt(participation * n)


@lru_cache(maxsize=64)
def solve_impact(terms: Terms, participation: float) -> ImpactOptimum:
    """Solve for an order with impact. Cached. Raises InputError on terms that make no sense."""
    terms.checked()
    unit = max(impact_unit(participation, terms.n), LEAST)
    nodes = share_nodes(terms, SHARES)
    steps = distance_reach(terms) / (0.5 * (DISTANCES - 1))
    grid, rule = _Grid(DISTANCES, steps, nodes), _Quadrature(*normal_steps(QUADRATURE))
    go, share = _backward(_costs(terms, unit), grid, rule)
    stop = -unit if terms.n == 1 or can_finish(0, terms.m, 1.0, terms.max_rate) else -np.inf
    value = stop if terms.n == 1 else max(stop, float(go[0, DISTANCES // 2, -1]))
    return ImpactOptimum(terms, participation, value, unit, nodes, steps, go, share)


def _costs(terms: Terms, unit: float) -> _Costs:
    return _Costs(terms.n, terms.m, terms.min_rate, terms.max_rate, terms.bars, unit)
