"""What would have turned a decision: the move of the last price that alone makes an order finish, or go on.

The same question as ``lem.serving.explain`` asks of "last price against the benchmark", compiled and
coarser, so that it can be stored with every decision.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agent.core.compile.jit import njit
from agent.core.orders.projection import EPS
from lem.network.model import Z_LIMIT
from lem.serving.policy_kernel import (
    GIVEN,
    Column,
    Indices,
    Rows,
    first_layer,
    later_layers,
    limited,
    price_inputs,
)
from lem.serving.row_kernels import add_product
from lem.serving.weights import Float32, Policy

GRID = np.array([-Z_LIMIT, -2.5, -0.7, 0.7, 2.5, Z_LIMIT])  # finer where it turns
STEPS = 6
EXACT = 1e-2  # sigmas between two guesses: the second is closer still


@njit
def turns_all(
    net: Policy,
    scenario: Indices,
    contexts: Float32,
    which: Indices,
    orders: Rows,
    facts: Rows,
    market: Rows,
    out: Column,
) -> None:
    """``out`` [N]: the nearest move of the last price, in bps, at which the decision turns, all else equal.

    Between going on and finishing, that is; NaN where the order may not finish or must, where the last
    price is not known against the benchmark, and where no move within ``Z_LIMIT`` sigmas turns it.
    """
    for i in range(len(orders)):
        out[i] = np.nan
        if _may_turn(facts[i], orders[i]):
            z = turning_point(net, scenario[i], contexts[which[i]], orders[i])
            sigma, last = market[which[i], 0], market[which[i], 1]
            price = facts[i, 9] * (1.0 + facts[i, 0] * z * sigma)
            if price > 0:  # not so where there is no such point
                out[i] = 1e4 * (price / last - 1.0)


@njit
def _may_turn(facts: npt.NDArray[np.float64], order: npt.NDArray[np.float64]) -> bool:
    """Whether the network decides on finishing here (``projection``), seeing the last price."""
    t, m, n, remaining, fastest = facts[1], facts[2], facts[3], facts[4], facts[7]
    open_ = t + 1 >= m and remaining <= fastest + EPS and t < n - 1 and facts[14] == 0
    out: bool = open_ and t > 0 and order[6] > 0 and facts[9] > 0
    return out


@njit
def turning_point(net: Policy, scenario: int, context: Float32, order: npt.NDArray[np.float64]) -> float:
    """The ``last_z`` nearest to the order's own at which it turns between finishing and not; NaN: none.

    Looked for between neighbours of ``GRID`` (so a pair of turns within one step of it is not seen),
    then closed in on. Only what depends on the last price is worked out anew.
    """
    given, rest = np.zeros((1, GIVEN), np.float32), np.empty((1, net.bias.shape[1]), np.float32)
    first_layer(net, scenario, context, order, given, rest)
    own = limited(order[3], -Z_LIMIT, Z_LIMIT)
    given[:] = np.float32(0.0)
    price_inputs(order, own, given[0])
    add_product(rest, -given, net.given[scenario])
    grid = np.sort(np.append(GRID, own))
    wishes = _wishes(net, scenario, order, grid, rest)
    best = np.nan
    for k in range(len(grid) - 1):
        if (wishes[k] > 0) != (wishes[k + 1] > 0) and not _away(grid, k, own) >= abs(best - own):
            z = _closed_in(net, scenario, order, rest, grid[k : k + 2], wishes[k : k + 2])
            if not abs(z - own) >= abs(best - own):  # also where there is none yet
                best = z
    return best


@njit
def _away(grid: Column, k: int, own: float) -> float:
    """How far the step after ``grid[k]`` is from ``own``, which is a point of the grid."""
    out: float = max(grid[k] - own, own - grid[k + 1])
    return out


@njit
def _closed_in(
    net: Policy, scenario: int, order: npt.NDArray[np.float64], rest: Float32, ends: Column, wishes: Column
) -> float:
    """The turn between two ``ends``: false position, as Illinois does it (Dowell and Jarratt 1971)."""
    low, high, low_wish, high_wish = ends[0], ends[1], wishes[0], wishes[1]
    at, moved = np.array([low]), 0
    for _ in range(STEPS):
        before = at[0]
        at[0] = low + (high - low) * low_wish / (low_wish - high_wish)
        wish = _wishes(net, scenario, order, at, rest)[0]
        if (wish > 0) == (low_wish > 0):
            high_wish *= 0.5 if moved < 0 else 1.0  # the same end twice: pull the other one
            low, low_wish, moved = at[0], wish, -1
        else:
            low_wish *= 0.5 if moved > 0 else 1.0
            high, high_wish, moved = at[0], wish, 1
        if abs(at[0] - before) < EXACT:
            break
    out: float = at[0]
    return out


@njit
def _wishes(
    net: Policy, scenario: int, order: npt.NDArray[np.float64], last: Column, rest: Float32
) -> Column:
    """The network's wish to finish at each of ``last`` [R], above 0 where it would; ``rest``: all else."""
    rows, width = len(last), rest.shape[1]
    given, x = np.zeros((rows, GIVEN), np.float32), np.empty((rows, width), np.float32)
    for r in range(rows):
        x[r] = rest[0]
        price_inputs(order, last[r], given[r])
    add_product(x, given, net.given[scenario])
    out = np.empty((rows, 2), np.float32)
    later_layers(net, scenario, x, out)
    return out[:, 1].astype(np.float64)
