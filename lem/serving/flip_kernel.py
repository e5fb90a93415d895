"""The flip of a decision: the move of the last price that alone would make an order finish, or go on.

``lem.serving.explain`` finds the same for every input, on a fine grid. This is compiled and coarser, so that
it can be stored with every decision (as ``turns_at_bps``).
"""

from __future__ import annotations

import numpy as np

from agent.core.arrays import FloatArray, IntArray
from agent.core.compile.jit import njit, njit_part
from agent.core.orders.projection import EPS
from lem.network.model import Z_LIMIT
from lem.serving.policy_kernel import GIVEN, first_layer, later_layers, limited, price_inputs
from lem.serving.row_kernels import add_product
from lem.serving.weights import Float32, PolicyWeights

GRID = np.array([-Z_LIMIT, -2.5, -0.7, 0.7, 2.5, Z_LIMIT])  # finer where most decisions flip
STEPS = 6
EXACT = 1e-2  # sigmas between two guesses at which the search stops


@njit
def flip_moves_bps(
    net: PolicyWeights,
    scenario: IntArray,
    contexts: Float32,
    which: IntArray,
    orders: FloatArray,
    views: FloatArray,
    market: FloatArray,
    out: FloatArray,
) -> None:
    """Fill ``out`` [N] with the nearest move of the last price, in bps, at which the decision flips.

    A flip is between going on and finishing, all else equal. NaN where the order may not finish or must,
    where the last price is not known against the benchmark, and where no move within ``Z_LIMIT`` sigmas flips
    the decision.
    """
    for i in range(len(orders)):
        out[i] = np.nan
        if _may_flip(views[i], orders[i]):
            z = flip_z(net, scenario[i], contexts[which[i]], orders[i])
            sigma, last = market[which[i], 0], market[which[i], 1]
            price = views[i, 9] * (1.0 + views[i, 0] * z * sigma)
            if price > 0:  # False for NaN: there is no flip
                out[i] = 1e4 * (price / last - 1.0)


@njit_part
def _may_flip(views: FloatArray, order: FloatArray) -> bool:
    """Whether the network's finish decides here (``projection``), and the last price is one of its inputs."""
    t, m, n, remaining, fastest = views[1], views[2], views[3], views[4], views[7]
    open_ = t + 1 >= m and remaining <= fastest + EPS and t < n - 1 and views[14] == 0
    out: bool = open_ and t > 0 and order[6] > 0 and views[9] > 0
    return out


@njit
def flip_z(net: PolicyWeights, scenario: int, context: Float32, order: FloatArray) -> float:
    """The ``last_z`` nearest to the order's own at which its decision to finish flips; NaN: none.

    Searched for between neighbours of ``GRID``, so a pair of flips within one step of it is missed, then
    refined. Only what depends on the last price is computed again.
    """
    given, rest = np.zeros((1, GIVEN), np.float32), np.empty((1, net.bias.shape[1]), np.float32)
    first_layer(net, scenario, context, order, given, rest)
    own = limited(order[3], -Z_LIMIT, Z_LIMIT)
    given[:] = np.float32(0.0)
    price_inputs(order, own, given[0])
    add_product(rest, -given, net.given[scenario])
    grid = np.sort(np.append(GRID, own))
    logits = _finish_logits(net, scenario, order, grid, rest)
    best = np.nan
    for k in range(len(grid) - 1):
        if (logits[k] > 0) != (logits[k + 1] > 0) and not _away(grid, k, own) >= abs(best - own):
            z = _refined(net, scenario, order, rest, grid[k : k + 2], logits[k : k + 2])
            if not abs(z - own) >= abs(best - own):  # also where there is none yet
                best = z
    return best


@njit_part
def _away(grid: FloatArray, k: int, own: float) -> float:
    """How far the step after ``grid[k]`` is from ``own``, which is a point of the grid."""
    out: float = max(grid[k] - own, own - grid[k + 1])
    return out


@njit_part
def _refined(
    net: PolicyWeights, scenario: int, order: FloatArray, rest: Float32, ends: FloatArray, logits: FloatArray
) -> float:
    """The flip between two ``ends``: false position, Illinois variant (Dowell and Jarratt 1971)."""
    low, high, low_logit, high_logit = ends[0], ends[1], logits[0], logits[1]
    at, moved = np.array([low]), 0
    for _ in range(STEPS):
        before = at[0]
        at[0] = low + (high - low) * low_logit / (low_logit - high_logit)
        logit = _finish_logits(net, scenario, order, at, rest)[0]
        if (logit > 0) == (low_logit > 0):
            high_logit *= 0.5 if moved < 0 else 1.0  # the same end twice: halve the other one's
            low, low_logit, moved = at[0], logit, -1
        else:
            low_logit *= 0.5 if moved > 0 else 1.0
            high, high_logit, moved = at[0], logit, 1
        if abs(at[0] - before) < EXACT:
            break
    out: float = at[0]
    return out


@njit_part
def _finish_logits(
    net: PolicyWeights, scenario: int, order: FloatArray, last: FloatArray, rest: Float32
) -> FloatArray:
    """The finish output at each ``last`` [R], above 0 to finish; ``rest`` [1, w]: sums of other inputs."""
    rows, width = len(last), rest.shape[1]
    given, x = np.zeros((rows, GIVEN), np.float32), np.empty((rows, width), np.float32)
    for r in range(rows):
        x[r] = rest[0]
        price_inputs(order, last[r], given[r])
    add_product(x, given, net.given[scenario])
    out = np.empty((rows, 2), np.float32)
    later_layers(net, scenario, x, out)
    return out[:, 1].astype(np.float64)
