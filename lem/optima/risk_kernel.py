"""The compiled backward pass of ``lem.optima.risk_optimum``, over its grid of (D, R, L).

What lies ahead of one D is computed once for all R and L (``Ahead``). A candidate share then costs one walk
over the quadrature, with a cubic in L. Finishing and going on are interpolated separately, because each is
smooth and their minimum is not; the smaller is taken at the point.
"""

from __future__ import annotations

from math import erf, exp, pi, sqrt
from typing import NamedTuple

import numpy as np

from agent.core.arrays import FloatArray
from agent.core.compile.jit import njit
from lem.optima.optimum_grids import can_finish, cubic, needs, noise, share_bounds, share_cell

NEVER = 1e9


class Problem(NamedTuple):
    """Terms and costs. ``unit``: impact of a whole order in one interval; ``spread``: deviation of g.

    ``unit`` and ``spread`` are in units of sigma.
    """

    n: int
    m: int
    min_rate: float
    max_rate: float
    bars: bool
    unit: float
    aversion: float
    spread: float


class Grid(NamedTuple):
    """D: ``points`` even ``steps`` [n] around 0; R on ``nodes``, L on ``locks`` (even, 0 among them)."""

    points: int
    steps: FloatArray
    nodes: FloatArray
    locks: FloatArray


class Rule(NamedTuple):
    """Points and weights of the quadrature of u (``z``, ``w``) and of the rest of g."""

    z: FloatArray
    w: FloatArray
    z_rest: FloatArray
    w_rest: FloatArray


class Ahead(NamedTuple):
    """Costs one interval ahead, [q, R, L]: of finishing and of going on, at the q-th D of the rule."""

    stops: FloatArray
    goes: FloatArray


class Here(NamedTuple):
    """Where a choice is made: interval, D, and the law of its noise (``lem.optima.optimum_grids.noise``)."""

    t: int
    d: float
    scale: float
    beta: float
    rest: float


@njit
def finished(t: int, d: float, remaining: float, locked: float, on: Problem) -> float:
    """Expected cost of finishing in interval t."""
    tilt = remaining - 1.0 / (t + 1.0)
    mean = locked + on.unit * remaining * sqrt(remaining) + tilt * d
    s = abs(tilt) * on.spread
    if s < 1e-9:
        loss = max(mean, 0.0) ** 2
    else:
        x = mean / s
        below = 0.5 * (1.0 + erf(x / sqrt(2.0)))
        loss = (mean * mean + s * s) * below + mean * s * exp(-0.5 * x * x) / sqrt(2.0 * pi)
    return mean / sqrt(on.n) + on.aversion * loss / on.n


@njit
def _look_ahead(here: Here, on: Problem, grid: Grid, rule: Rule, go: FloatArray, ahead: Ahead) -> None:
    """Fill ``ahead`` from ``go`` [D, R, L] of the next interval."""
    t = here.t + 1
    last = t == on.n - 1
    half = 0.5 * (grid.points - 1)
    for q in range(len(rule.z)):
        d = here.d * here.t / (here.t + 1.0) + here.scale * rule.z[q]
        i, a, b, c, e = cubic(d / grid.steps[t] + half, grid.points)
        for j in range(len(grid.nodes)):
            left = grid.nodes[j]
            may_stop = last or can_finish(t, on.m, left, on.max_rate)
            for k in range(len(grid.locks)):
                ahead.stops[q, j, k] = finished(t, d, left, grid.locks[k], on) if may_stop else NEVER
                going = a * go[i, j, k] + b * go[i + 1, j, k] + c * go[i + 2, j, k] + e * go[i + 3, j, k]
                ahead.goes[q, j, k] = NEVER if last else going


@njit
def _on_node(j: int, locked: float, tilt: float, here: Here, grid: Grid, rule: Rule, ahead: Ahead) -> float:
    """Expected cost with node j left and L' = locked + tilt (D + g)."""
    locks = grid.locks
    step = locks[1] - locks[0]
    total = 0.0
    for q in range(len(rule.z)):
        stop, on = ahead.stops[q, j], ahead.goes[q, j]
        for v in range(len(rule.z_rest)):
            g = here.beta * here.scale * rule.z[q] + here.rest * rule.z_rest[v]
            k, a, b, c, e = cubic((locked + tilt * (here.d + g) - locks[0]) / step, len(locks))
            finish = a * stop[k] + b * stop[k + 1] + c * stop[k + 2] + e * stop[k + 3]
            going = a * on[k] + b * on[k + 1] + c * on[k + 2] + e * on[k + 3]
            total += rule.w[q] * rule.w_rest[v] * min(finish, going)
    return total


@njit
def _cost(
    left: float, r: float, locked: float, here: Here, on: Problem, grid: Grid, rule: Rule, ahead: Ahead
) -> float:
    """Expected cost of trading down from ``r`` to ``left``, without finishing."""
    a = max(r - left, 0.0)
    paid = locked + on.unit * a * sqrt(a)
    tilt = a - (1.0 - left) / (here.t + 1.0)
    j, x = share_cell(grid.nodes, left, on.max_rate)
    total = 0.0
    if x < 1.0 - 1e-9:
        total += (1.0 - x) * _on_node(j, paid, tilt, here, grid, rule, ahead)
    if x > 1e-9:
        total += x * _on_node(j + 1, paid, tilt, here, grid, rule, ahead)
    return total


@njit
def _candidates(r: float, left: int, on: Problem, nodes: FloatArray) -> FloatArray:
    """What may be left of ``r``, ascending: the rates' bounds and every node between them."""
    lo, hi = share_bounds(r, left, on.min_rate, on.max_rate)
    inside = nodes[(nodes > r - hi + 1e-9) & (nodes < r - lo - 1e-9)]
    out = np.empty(len(inside) + 2)
    out[0], out[-1] = r - hi, r - lo
    out[1:-1] = inside
    return out if hi - lo > 1e-9 else out[:1]


@njit
def _vertex(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """(place, value) of the minimum of the parabola through three points, kept within them."""
    first = (y[1] - y[0]) / (x[1] - x[0])
    bend = ((y[2] - y[1]) / (x[2] - x[1]) - first) / (x[2] - x[0])
    if bend <= 0.0:
        return x[1], y[1]
    at = min(max(0.5 * (x[0] + x[1]) - 0.5 * first / bend, x[0]), x[2])
    value = y[0] + first * (at - x[0]) + bend * (at - x[0]) * (at - x[1])
    return at, min(value, y[1])


@njit
def _least(
    start: int,
    lefts: FloatArray,
    r: float,
    locked: float,
    here: Here,
    on: Problem,
    grid: Grid,
    rule: Rule,
    ahead: Ahead,
    costs: FloatArray,
) -> int:
    """Index of the least cost, downhill from ``start`` (-1: of all); fills the ``costs`` it computes."""
    costs[:] = np.inf
    if start < 0:
        for j in range(len(lefts)):
            costs[j] = _cost(lefts[j], r, locked, here, on, grid, rule, ahead)
        return int(np.argmin(costs))
    j = start
    costs[j] = _cost(lefts[j], r, locked, here, on, grid, rule, ahead)
    for step in (-1, 1):
        while 0 <= j + step < len(lefts):
            costs[j + step] = _cost(lefts[j + step], r, locked, here, on, grid, rule, ahead)
            if costs[j + step] >= costs[j]:
                break
            j += step
    return j


@njit
def _choose(
    here: Here, on: Problem, grid: Grid, rule: Rule, ahead: Ahead, go: FloatArray, share: FloatArray
) -> None:
    """Fill ``go`` and ``share`` [R, L] of one D: the least cost without finishing, and the share for it.

    The best share moves little from one L to the next, so the search starts there; where the rates put jumps
    into the cost, it looks everywhere.
    """
    for i in range(len(grid.nodes)):
        r = grid.nodes[i]
        lefts = _candidates(r, on.n - 1 - here.t, on, grid.nodes)
        costs = np.empty(len(lefts))
        best = -1
        for k in range(len(grid.locks)):
            start = best if on.max_rate >= 1.0 and k % 10 else -1
            best = _least(start, lefts, r, grid.locks[k], here, on, grid, rule, ahead, costs)
            place, go[i, k] = lefts[best], costs[best]
            inner = 0 < best < len(lefts) - 1
            if inner and needs(lefts[best - 1], on.max_rate) == needs(lefts[best + 1], on.max_rate):
                place, go[i, k] = _vertex(lefts[best - 1 : best + 2], costs[best - 1 : best + 2])
            share[i, k] = r - place


@njit
def solve_backward(on: Problem, grid: Grid, rule: Rule) -> tuple[FloatArray, FloatArray]:
    """Return (cost of going on, best shares), [n, D, R, L] each; interval n-1 finishes in any case."""
    shape = (on.n, grid.points, len(grid.nodes), len(grid.locks))
    go, share = np.zeros(shape), np.zeros(shape)
    ahead = Ahead(np.zeros((len(rule.z), shape[2], shape[3])), np.zeros((len(rule.z), shape[2], shape[3])))
    half = (grid.points - 1) // 2
    for t in range(on.n - 2, -1, -1):
        scale, beta, rest = noise(1.0 / (t + 1.0), on.bars)
        for i in range(grid.points):
            if t == 0 and i != half:
                continue  # nothing is behind: D is 0
            here = Here(t, grid.steps[t] * (i - half), scale, beta, rest)
            _look_ahead(here, on, grid, rule, go[t + 1], ahead)
            _choose(here, on, grid, rule, ahead, go[t, i], share[t, i])
    return go, share
