"""The exact optimum of the training objective: gain, impact and risk of a loss, E[c + lambda max(c, 0)^2].

Theory of operation
-------------------
c = (slippage + impact) / sqrt(n) in units of sigma (``lem.network.objective.loss``). To D and R (see
``lem.optima.impact_optimum``) the state adds a third part:

* L, the cost that is locked in: sum a_s (p_s - M) over what is traded, plus the impact paid.

Trading a of R in interval t leaves r = R - a. With b = a - (1 - r)/(t+1) and K(a) = Y sqrt(participation n)
a^1.5,

    L' = L + K(a) + b (D + g),   D' = D t/(t+1) + u        (the move e itself drops out)

and an order that finishes has r = 0 and sqrt(n) c = L'.

Invariants: trading pro rata (b = 0) leaves L where it is. That is why L is on the grid, and not the order
marked to market. The cost of finishing has a closed form: for X ~ N(mu, s^2), E max(X, 0)^2 =
(mu^2 + s^2) Phi(mu/s) + mu s phi(mu/s). Only the cost of going on, which is smooth, is on grids (cubics in D
and L), and it is compared with finishing at each point. With lambda = 0 the objective is minus the gain after
impact of the risk-neutral optimum, over sqrt(n). With m = n it has |slippage| in it: trading 1/n is free of
slippage and has the least impact.

Worked example: n = 2, m = 0, walk, participation 0.1, lambda = 1, so K(a) = sqrt(0.2) a^1.5. In interval 0 b
= a - (1 - r) = 0: nothing is locked in but impact. Halves give b = 1/2 - 1/2 = 0 in interval 1 too. So L' is
2 K(1/2) = 0.3162 for certain, c = 0.3162 / sqrt(2) = 0.2236, and the objective is c + c^2 = 0.2736. Trading
all at once costs L' = K(1) = 0.4472, c = 0.3162, and 0.4162.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from math import sqrt

import numpy as np

from agent.core.arrays import FloatArray, IntArray
from agent.core.compile.jit import njit
from agent.core.errors import InputError
from lem.optima.impact_optimum import LEAST, impact_unit
from lem.optima.optimum_grids import (
    can_finish,
    cubic,
    distance_reach,
    gauss_hermite,
    needs,
    normal_steps,
    share_bounds,
    share_cell,
    share_nodes,
)
from lem.optima.optimum_terms import PolicyInputs, Schedule, Terms, even_schedule, policy_inputs
from lem.optima.risk_kernel import Grid, Problem, Rule, finished, solve_backward

DISTANCES = 41
SHARES = 24
LOCKED = 61
LOCKED_REACH = 0.75  # of L, in units of sqrt(n); the impact of trading evenly comes on top
MOVES = 21
RESTS = 5
MAX_AVERSION = 100.0
THIN = 0.01  # of the usual volume: the impact law says nothing below (lem.network.objective.THIN)


@njit
def _at(table: FloatArray, d: float, r: float, locked: float, on: Problem, grid: Grid) -> float:
    """table [D, R, L] at D (in steps from its first row), R and L: cubic, straight, cubic."""
    i, a, b, c, e = cubic(d, grid.points)
    step = grid.locks[1] - grid.locks[0]
    k, p, q, u, v = cubic((locked - grid.locks[0]) / step, len(grid.locks))
    j, x = share_cell(grid.nodes, r, on.max_rate)
    total = 0.0
    for row, weight in ((i, a), (i + 1, b), (i + 2, c), (i + 3, e)):
        low, high = table[row, j], table[row, j + 1]
        below = p * low[k] + q * low[k + 1] + u * low[k + 2] + v * low[k + 3]
        above = p * high[k] + q * high[k + 1] + u * high[k + 2] + v * high[k + 3]
        total += weight * ((1.0 - x) * below + x * above)
    return total


@njit
def _line(table: FloatArray, d: float, r: float, locked: float, on: Problem, grid: Grid) -> float:
    """As ``_at``, straight everywhere and constant beyond the grid: for shares, which have corners."""
    d = min(max(d, 0.0), grid.points - 1.0)
    i = min(int(d), grid.points - 2)
    at = (locked - grid.locks[0]) / (grid.locks[1] - grid.locks[0])
    at = min(max(at, 0.0), len(grid.locks) - 1.0)
    k = min(int(at), len(grid.locks) - 2)
    j, x = share_cell(grid.nodes, r, on.max_rate)
    low = (1.0 - x) * table[i : i + 2, j, k : k + 2] + x * table[i : i + 2, j + 1, k : k + 2]
    y, v = d - i, at - k
    few, many = needs(r - low.max(), on.max_rate), needs(r - low.min(), on.max_rate)
    if few < many:  # corners that need different numbers of intervals: a share between is worse than either
        y, v = round(y), round(v)
    return float(
        (1.0 - y) * ((1.0 - v) * low[0, 0] + v * low[0, 1]) + y * ((1.0 - v) * low[1, 0] + v * low[1, 1])
    )


@njit
def _run(
    seen: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    side: float,
    on: Problem,
    grid: Grid,
    go: FloatArray,
    share: FloatArray,
    shares: FloatArray,
    finish: IntArray,
) -> None:
    """Fill ``shares`` [N, n] and ``finish`` [N] with the policy's schedule."""
    price, last, sigma, volume = seen
    half = 0.5 * (grid.points - 1)
    for p in range(len(price)):
        left, total, spent, paid = 1.0, 0.0, 0.0, 0.0
        for t in range(on.n):
            mean = total / t if t > 0 else 0.0
            to_sigma = side / ((1.0 + mean) * sigma[p, t]) if sigma[p, t] > 0.0 else np.nan
            d = to_sigma * (last[p, t] - mean) if t > 0 else 0.0 * to_sigma
            locked = to_sigma * (spent - (1.0 - left) * mean) + paid
            known = np.isfinite(d) and np.isfinite(locked)
            d, locked = (d, locked) if known else (0.0, 0.0)
            stop = t == on.n - 1
            at = d / grid.steps[t] + half
            if not stop and known and can_finish(t, on.m, left, on.max_rate):
                stop = finished(t, d, left, locked, on) <= _at(go[t], at, left, locked, on, grid)
            if stop:
                shares[p, t] = left
                finish[p] = t
                break
            lo, hi = share_bounds(left, on.n - 1 - t, on.min_rate, on.max_rate)
            wanted = _line(share[t], at, left, locked, on, grid) if known else left / (on.n - t)
            a = min(max(wanted, lo), hi)
            shares[p, t] = a
            left -= a
            total += price[p, t]
            spent += a * price[p, t]
            paid += on.unit * a * sqrt(a / max(volume[p, t], THIN))


@dataclass(frozen=True, slots=True)
class RiskOptimum:
    """The solution. ``objective``: least E[c + lambda max(c, 0)^2]; its gain comes from a simulation.

    ``go`` and ``share`` [n, D, R, L]: cost of going on and the best share; None where m = n, where trading
    evenly is the optimum.
    """

    terms: Terms
    participation: float
    risk_aversion: float
    objective: float
    problem: Problem
    grid: Grid
    go: FloatArray | None
    share: FloatArray | None

    @property
    def unit(self) -> float:
        return self.problem.unit

    @property
    def bytes(self) -> int:
        """What its tables take."""
        return sum(table.nbytes for table in (self.go, self.share) if table is not None)

    def run(
        self,
        price: FloatArray,
        last: FloatArray,
        side: int,
        sigma: FloatArray | float,
        volume: FloatArray | None = None,
    ) -> Schedule:
        """Run the policy on N paths (``lem.optima.optimum_terms``); past volumes give the impact paid."""
        given: PolicyInputs = policy_inputs(price, last, sigma, volume, self.terms.n)
        shares = np.zeros(given.price.shape)
        finish = np.full(len(shares), self.terms.n - 1, np.int64)
        if self.go is None or self.share is None:
            return even_schedule(self.terms, finish)
        seen = (given.price, given.last, given.sigma, given.volume)
        _run(seen, float(side), self.problem, self.grid, self.go, self.share, shares, finish)
        return Schedule(shares, finish)


KEPT_BYTES = 512 * 2**20
"""Of solutions that are kept: an evaluation solves for each of its min periods again and again."""

MOST_BYTES = 2**31
"""Of the tables of one solution."""

_kept: OrderedDict[tuple[Terms, float, float], RiskOptimum] = OrderedDict()


def solve_risk(terms: Terms, participation: float, risk_aversion: float) -> RiskOptimum:
    """Solve for an order with impact and risk aversion; what was asked for last is kept.

    Raises InputError on impossible terms, and on those whose tables would pass MOST_BYTES.
    """
    key = (terms, participation, risk_aversion)
    found = _kept.pop(key, None) or _solve(*key)
    _kept[key] = found
    while len(_kept) > 1 and sum(one.bytes for one in _kept.values()) > KEPT_BYTES:
        _kept.popitem(last=False)
    return found


def _solve(terms: Terms, participation: float, risk_aversion: float) -> RiskOptimum:
    terms.checked()
    if not 0.0 <= risk_aversion <= MAX_AVERSION:
        raise InputError(f"risk aversion is {risk_aversion:g}: give 0 to {MAX_AVERSION:g}")
    unit = max(impact_unit(participation, terms.n), LEAST)
    spread = sqrt(1.0 / 3.0) if terms.bars else 1.0
    on = Problem(terms.n, terms.m, terms.min_rate, terms.max_rate, terms.bars, unit, risk_aversion, spread)
    grid = _grid(terms, unit)
    if terms.m == terms.n or terms.n == 1:
        cost = _fixed_horizon(terms, unit, risk_aversion)
        return RiskOptimum(terms, participation, risk_aversion, cost, on, grid, None, None)
    _check_size(terms, grid)
    rest = gauss_hermite(RESTS) if terms.bars else (np.zeros(1), np.ones(1))
    go, share = solve_backward(on, grid, Rule(*normal_steps(MOVES), *rest))
    start = int(np.searchsorted(grid.locks, 0.0))
    cost = float(go[0, grid.points // 2, -1, start])
    if can_finish(0, terms.m, 1.0, terms.max_rate):
        cost = min(cost, finished(0, 0.0, 1.0, 0.0, on))
    return RiskOptimum(terms, participation, risk_aversion, cost, on, grid, go, share)


def _check_size(terms: Terms, grid: Grid) -> None:
    needed = 2 * 8 * terms.n * grid.points * len(grid.nodes) * len(grid.locks)
    if needed > MOST_BYTES:
        raise InputError(
            f"n = {terms.n} at rates {terms.min_rate:g} to {terms.max_rate:g}: the optimum with risk aversion"
            f" would need {needed / 2**30:.1f} GiB, and is computed within {MOST_BYTES / 2**30:.0f} GiB: give"
            " fewer intervals, or no rates"
        )


def _grid(terms: Terms, unit: float) -> Grid:
    steps = distance_reach(terms) / (0.5 * (DISTANCES - 1))
    step = 2.0 * LOCKED_REACH * sqrt(terms.n) / (LOCKED - 1)
    above = (LOCKED - 1) // 2 + int(np.ceil(unit / sqrt(terms.n) / step))
    locks = (step * np.arange(-((LOCKED - 1) // 2), above + 1)).astype(np.float64)
    return Grid(DISTANCES, steps, share_nodes(terms, SHARES), locks)


def _fixed_horizon(terms: Terms, unit: float, risk_aversion: float) -> float:
    """The objective of trading 1/n to the end. Raises InputError where the min rate forbids it."""
    if terms.min_rate > 1.0 / terms.n:
        raise InputError(
            f"min rate {terms.min_rate:g} with m = n = {terms.n}: the optimum is known for at most 1/n"
        )
    cost = unit / terms.n  # n K(1/n) / sqrt(n)
    return cost + risk_aversion * cost * cost
