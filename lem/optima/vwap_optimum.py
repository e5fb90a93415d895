"""The exact optimum against the VWAP of the window used, volume iid lognormal and independent of prices.

Theory of operation
-------------------
With V the volume behind, M its VWAP and v the volume of interval t, the interval enters M with the weight
w = v / (V + v), drawn independently of prices. Without impact the gain depends on the time of stopping only.
The state is (D, V):

    stop in t:   gain -D E[V / (V + v)]            (E[M' - S], as E p = S)
    go on:       E V_{t+1}(D (1 - w) + u_w, V + v),   u_w = e - w g

These are the recursions of ``lem.optima.optimum_grids`` with w in the place of 1/(t+1). ln V is on even grids
around ln t. A max rate below 1 only delays the first interval that can finish, and shares change nothing, so
the policy trades 1/n.

Invariant and example: volume without spread gives V = t, w = 1/(t+1), and the time-weighted optimum back. For
n = 3, m = 0, bars that is 0.0384 sigma (see ``agent.algos.optimal_stopping``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import log, sqrt
from typing import NamedTuple

import numpy as np

from agent.core.arrays import FloatArray, IntArray
from agent.core.compile.jit import njit
from agent.core.errors import InputError
from lem.optima.optimum_grids import cubic, distance_reach, gauss_hermite, noise, normal_steps
from lem.optima.optimum_terms import PolicyInputs, Schedule, Terms, even_schedule, policy_inputs

DISTANCES = 121
VOLUMES = 31
VOLUME_REACH = 4.5
MOVES = 81
DRAWS = 16
MAX_VOLUME_SIGMA = 1.5


class _Steps(NamedTuple):
    """Grids before each interval, [n]: of D by ``steps`` around 0, of ln V from ``log_starts``."""

    steps: FloatArray
    log_starts: FloatArray
    log_steps: FloatArray


class _Law(NamedTuple):
    """Quadrature of an interval's volume (``v``, ``wv``) and of its move (``z``, ``wz``); the price law."""

    bars: bool
    v: FloatArray
    wv: FloatArray
    z: FloatArray
    wz: FloatArray


@njit
def _row(table: FloatArray, at: float) -> FloatArray:
    """table [V, D] at ``at`` (in steps of ln V): the cubic between its rows, [D]."""
    k, a, b, c, e = cubic(at, len(table))
    row: FloatArray = a * table[k] + b * table[k + 1] + c * table[k + 2] + e * table[k + 3]
    return row


@njit
def _kept(volume: float, v: FloatArray, w: FloatArray) -> float:
    """E[V / (V + v)]."""
    total = 0.0
    for q in range(len(v)):
        total += w[q] * volume / (volume + v[q])
    return total


@njit
def _forward(
    t: int, first: int, law: _Law, d: FloatArray, volume: float, go: FloatArray, grid: _Steps
) -> FloatArray:
    """E V_{t+1} from ``volume`` behind and every distance of ``d``.

    ``go`` [V, D] is interval t+1's value of going on; it is empty where that is the last.
    """
    must_stop = len(go) == 0
    step, log_start, log_step = grid.steps[t + 1], grid.log_starts[t + 1], grid.log_steps[t + 1]
    out = np.zeros(len(d))
    for q in range(len(law.v)):
        after = volume + law.v[q]
        keep = _kept(after, law.v, law.wv)
        scale, _, _ = noise(law.v[q] / after, law.bars)
        row = np.zeros(0) if must_stop else _row(go, (np.log(after) - log_start) / log_step)
        half = 0.5 * (len(row) - 1)
        for i in range(len(d)):
            total = 0.0
            for h in range(len(law.z)):
                ahead = d[i] * volume / after + scale * law.z[h]
                value = -ahead * keep
                if not must_stop:
                    k, a, b, c, e = cubic(ahead / step + half, len(row))
                    on = a * row[k] + b * row[k + 1] + c * row[k + 2] + e * row[k + 3]
                    value = max(value, on) if t + 1 >= first else on
                total += law.wz[h] * value
            out[i] += law.wv[q] * total
    return out


@njit
def _backward(
    n: int, first: int, law: _Law, grid: _Steps, distances: int, volumes: int
) -> tuple[float, FloatArray]:
    """Return (value before interval 0, value of going on [n, V, D])."""
    go = np.zeros((n, volumes, distances))
    half = 0.5 * (distances - 1)
    nothing = np.zeros((0, distances))
    start = 0.0
    for t in range(n - 2, -1, -1):
        ahead = nothing if t == n - 2 else go[t + 1]
        if t == 0:
            start = _forward(t, first, law, np.zeros(1), 0.0, ahead, grid)[0]
            break
        d = grid.steps[t] * (np.arange(distances) - half)
        for k in range(volumes):
            volume = np.exp(grid.log_starts[t] + k * grid.log_steps[t])
            go[t, k] = _forward(t, first, law, d, volume, ahead, grid)
    return start, go


@njit
def _run(
    seen: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    side: float,
    first: int,
    grid: _Steps,
    v: FloatArray,
    wv: FloatArray,
    go: FloatArray,
    finish: IntArray,
) -> None:
    """Fill ``finish`` [N] with the intervals in which the policy stops."""
    price, last, sigma, volumes = seen
    n = price.shape[1]
    half = 0.5 * (go.shape[2] - 1)
    for p in range(len(price)):
        finish[p] = n - 1
        volume, money = volumes[p, 0], volumes[p, 0] * price[p, 0]
        for t in range(1, n - 1):
            if t >= first and sigma[p, t] > 0.0 and volume > 0.0:
                mean = money / volume
                d = side * (last[p, t] - mean) / ((1.0 + mean) * sigma[p, t])
                if np.isfinite(d) and np.isfinite(volume):
                    row = _row(go[t], (np.log(volume) - grid.log_starts[t]) / grid.log_steps[t])
                    k, a, b, c, e = cubic(d / grid.steps[t] + half, len(row))
                    on = a * row[k] + b * row[k + 1] + c * row[k + 2] + e * row[k + 3]
                    if -d * _kept(volume, v, wv) >= on:
                        finish[p] = t
                        break
            volume += volumes[p, t]
            money += volumes[p, t] * price[p, t]


@dataclass(frozen=True, slots=True)
class VwapOptimum:
    """The solution. ``gain_sigma``: expected gain against VWAP in units of sigma.

    ``go`` [n, V, D]: value of going on; D on even ``steps`` [n] around 0, ln V from ``log_starts`` [n] by
    ``log_steps`` [n]; ``volumes`` and ``weights``: the quadrature of one interval's volume.
    """

    terms: Terms
    volume_sigma: float
    gain_sigma: float
    steps: FloatArray
    log_starts: FloatArray
    log_steps: FloatArray
    volumes: FloatArray
    weights: FloatArray
    go: FloatArray

    def run(
        self,
        price: FloatArray,
        last: FloatArray,
        side: int,
        sigma: FloatArray | float,
        volume: FloatArray | None = None,
    ) -> Schedule:
        """Run the policy on N paths (``lem.optima.optimum_terms``); past volumes weight the benchmark."""
        given: PolicyInputs = policy_inputs(price, last, sigma, volume, self.terms.n)
        finish = np.zeros(len(given.price), np.int64)
        seen = (given.price, given.last, given.sigma, given.volume)
        grid = _Steps(self.steps, self.log_starts, self.log_steps)
        _run(seen, float(side), self.terms.first, grid, self.volumes, self.weights, self.go, finish)
        return even_schedule(self.terms, finish)


@lru_cache(maxsize=64)
def solve_vwap(terms: Terms, volume_sigma: float) -> VwapOptimum:
    """Solve for lognormal volume of mean 1, ``volume_sigma`` its log deviation. Cached. Raises InputError."""
    terms.checked()
    if not 0.0 <= volume_sigma <= MAX_VOLUME_SIGMA:
        raise InputError(
            f"volume sigma is {volume_sigma:g}: give the log deviation of an interval's volume,"
            f" 0 to {MAX_VOLUME_SIGMA:g}"
        )
    draws, weights = gauss_hermite(DRAWS)
    volumes = np.exp(volume_sigma * draws - 0.5 * volume_sigma**2)
    log_starts, log_steps = _volume_grids(terms.n, volume_sigma)
    # uneven weights leave D wider than even ones do, at most as if there were fewer intervals
    steps = distance_reach(terms) * (1.0 + 0.25 * volume_sigma) / (0.5 * (DISTANCES - 1))
    law, grid = _Law(terms.bars, volumes, weights, *normal_steps(MOVES)), _Steps(steps, log_starts, log_steps)
    value, go = _backward(terms.n, terms.first, law, grid, DISTANCES, VOLUMES)
    value = 0.0 if terms.n == 1 else float(value)
    return VwapOptimum(terms, volume_sigma, value, steps, log_starts, log_steps, volumes, weights, go)


def _volume_grids(n: int, volume_sigma: float) -> tuple[FloatArray, FloatArray]:
    """(first ln V, step of ln V) before each interval, [n]: the sum's law, taken as lognormal."""
    starts, steps = np.zeros(n), np.ones(n)
    spread = np.expm1(volume_sigma**2)
    for t in range(1, n):
        deviation = max(sqrt(np.log1p(spread / t)), 1e-3)
        starts[t] = log(t) - 0.5 * deviation**2 - VOLUME_REACH * deviation
        steps[t] = 2.0 * VOLUME_REACH * deviation / (VOLUMES - 1)
    return starts, steps
