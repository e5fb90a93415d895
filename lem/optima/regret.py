"""How much of the exact optimum a stopping policy gives up, without the noise of prices.

By the performance difference lemma (Kakade and Langford, ICML 2002), the optimum less a policy's expected
gain is the expected sum, over the intervals it visits, of what each decision costs against the optimal one:
max(stop, go on) less the value of what it chose. So a few thousand paths tell what a million realised gains
would. TWAP benchmark, driftless walk or bars, max rate 1.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from agent.algos.optimal_stopping import REACH
from agent.core.arrays import FloatArray, IntArray

POINTS = 3_001
QUADRATURE = 121


@lru_cache(maxsize=256)
def value_of_going_on(n: int, m: int, bars: bool) -> tuple[FloatArray, FloatArray]:
    """(grid of D, value of going on [n, grid] in sigmas), with the last row unused."""
    grid = np.linspace(-REACH * n**0.5, REACH * n**0.5, POINTS)
    z = np.linspace(-6.0, 6.0, QUADRATURE)
    weight = np.exp(-0.5 * z * z)
    weight /= weight.sum()
    value = -grid * (n - 1) / n
    table = np.full((n, POINTS), -np.inf)
    for t in range(n - 2, -1, -1):
        keep = t / (t + 1.0)
        scale = np.sqrt(1.0 - 1.0 / (t + 1.0) + 1.0 / (3.0 * (t + 1.0) ** 2)) if bars else keep
        table[t] = sum(
            w * _line(grid * keep + scale * q, grid, value) for q, w in zip(z, weight, strict=True)
        )
        value = np.maximum(-grid * keep, table[t]) if t + 1 >= m else table[t]
    return grid, table


def regret(
    price: FloatArray, last: FloatArray, side: int, finish: IntArray, n: int, m: int, bars: bool
) -> FloatArray:
    """Return what stopping at ``finish`` [..., N] gives up, in sigmas, never negative beyond rounding.

    ``price``, ``last`` [N, >= n]: deviations from one reference in units of sigma.
    """
    grid, table = value_of_going_on(n, m, bars)
    lost = np.zeros(finish.shape)
    for t in range(max(0, m - 1), n - 1):
        mean = price[:, :t].mean(1) if t else last[:, 0]
        distance = side * (last[:, t] - mean)
        stop, go = -distance * t / (t + 1.0), _line(distance, grid, table[t])
        lost += np.where(finish == t, np.maximum(0.0, go - stop), 0.0)
        lost += np.where(finish > t, np.maximum(0.0, stop - go), 0.0)
    return lost


def _line(at: FloatArray, grid: FloatArray, value: FloatArray) -> FloatArray:
    """Linear interpolation that goes on as a straight line beyond the grid."""
    step = grid[1] - grid[0]
    cell = np.clip(((at - grid[0]) / step).astype(np.int64), 0, len(grid) - 2)
    along = (at - grid[0]) / step - cell
    out: FloatArray = value[cell] + along * (value[cell + 1] - value[cell])
    return out
