"""The allocation networks compiled: many orders in one call, each order's sums its own (``row_kernels``).

An order is a row of numbers: as ``OrderView`` has it (``VIEW_COLUMNS``), then as the network's inputs are
made of it (``POLICY_COLUMNS``). How it fits together: ``lem.serving.weights``.
"""

from __future__ import annotations

import numpy as np

from agent.core.arrays import BoolArray, FloatArray, IntArray
from agent.core.compile.jit import njit, njit_part
from agent.core.market.features import LONG_SPAN
from agent.core.orders.projection import project
from lem.network.model import AHEAD, GIVEN_INPUTS, MOVES, OWN_INPUTS, SHARPNESS, WEIGHT, Z_LIMIT
from lem.serving.row_kernels import add_product, linear, sigmoid, silu
from lem.serving.weights import Float32, PolicyWeights

GIVEN, OWN = len(GIVEN_INPUTS), len(OWN_INPUTS)

POLICY_COLUMNS = (
    "t",
    "n",
    "m",
    "last_z",
    "arrival_z",
    "elapsed_volume",
    "sigma_known",
    "participation",
    "min_rate",
    "max_rate",
    "risk_aversion",
    "arrival_weight",
    "remaining",
    "achieved_z",
    "own_share",
)
"""Columns of an order as ``decide`` takes it: fields of ``OrderTerms`` and ``OrderProgress``."""

VIEW_COLUMNS = (
    "side",
    "t",
    "m",
    "n",
    "remaining",
    "least_share",
    "min_rate",
    "max_rate",
    "achieved_price",
    "benchmark_price",
    "arrival_price",
    "own_volume_share",
    "expected_participation",
    "risk_aversion",
    "finishing",
)
"""Fields of an ``OrderView``, as it has them: prices in quote currency, NaN where unknown."""


@njit
def elapsed_volume(volume: FloatArray, volumes: FloatArray, t: int) -> float:
    """The market's volume in the last ``t`` bars, in units of a bar's usual one before them.

    ``volume`` [T] by bar, and its running sum ``volumes`` [T + 1].
    """
    count = len(volume)
    own = min(max(t, 0), count)
    if own == 0:
        return 0.0
    total = volumes[count] - volumes[count - own]
    first, end = max(0, count - own - LONG_SPAN), count - own
    usual = _mean(volume[first:end]) if end > first else volume[end]
    out: float = total / usual if usual > 0 else total
    return out


@njit_part
def _mean(x: FloatArray) -> float:
    """The mean as NumPy computes it for up to 128 numbers: eight sums side by side, then those in pairs."""
    count, total = len(x), 0.0
    whole = count - count % 8 if count >= 8 else 0
    if whole:
        sums = x[:8].copy()
        for i in range(8, whole):
            sums[i % 8] += x[i]
        total = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]))
    for i in range(whole, count):
        total += x[i]
    return total / count


@njit
def fill_orders(views: FloatArray, which: IntArray, market: FloatArray, out: FloatArray) -> None:
    """Fill ``out`` [N, POLICY_COLUMNS] from ``views`` [N, VIEW_COLUMNS] and ``market`` [C, 3].

    ``market``: sigma, last close and elapsed volume of each context. Prices become sides times their distance
    in sigmas; what is not finite becomes 0.
    """
    for i in range(len(views)):
        side, t, m, n = views[i, 0], views[i, 1], views[i, 2], views[i, 3]
        achieved, benchmark, arrival = views[i, 8], views[i, 9], views[i, 10]
        sigma, last, elapsed = market[which[i], 0], market[which[i], 1], market[which[i], 2]
        known = sigma > 0
        row = out[i]
        row[:] = 0.0
        row[0], row[1], row[2] = t, max(n, t + 1.0), m
        if t > 0 and known and benchmark > 0:
            row[3] = _finite(side * (last / benchmark - 1.0) / sigma)
            row[13] = _finite(side * (achieved / benchmark - 1.0) / sigma)
        if t > 0 and known and arrival > 0:
            row[4] = _finite(side * (last / arrival - 1.0) / sigma)
        row[5], row[6], row[7] = elapsed, 1.0 if known else 0.0, _finite(views[i, 12])
        row[8], row[9], row[10] = _finite(views[i, 6]), _finite(views[i, 7]), _finite(views[i, 13])
        row[12], row[14] = _finite(views[i, 4]), _finite(views[i, 11])


@njit_part
def _finite(x: float) -> float:
    return x if np.isfinite(x) else 0.0


_project = njit(project)


@njit
def project_all(outputs: FloatArray, views: FloatArray, shares: FloatArray, finishes: BoolArray) -> None:
    """``projection`` for every order, from ``outputs`` [N, 2] and ``views`` [N, VIEW_COLUMNS]."""
    for i in range(len(outputs)):
        t, m, n, remaining = views[i, 1], views[i, 2], views[i, 3], views[i, 4]
        lot, slowest, fastest, finishing = views[i, 5], views[i, 6], views[i, 7], views[i, 14] != 0
        wanted, ending = outputs[i, 0] * remaining, finishing or outputs[i, 1] > 0.5
        share, end = _project(wanted, ending, remaining, n - 1 - t, m, t, slowest, fastest, lot)
        shares[i], finishes[i] = share, end


@njit
def decide(net: PolicyWeights, scenario: int, context: Float32, order: FloatArray) -> tuple[float, float]:
    """(fraction of the remainder, probability of finishing) of one ``order`` [POLICY_COLUMNS]."""
    x = np.empty((1, net.bias.shape[1]), np.float32)
    given, out = np.empty((1, GIVEN), np.float32), np.empty((1, 2), np.float32)
    left = first_layer(net, scenario, context, order, given, x)
    later_layers(net, scenario, x, out)
    if not (np.isfinite(out[0, 0]) and np.isfinite(out[0, 1])):  # the sigmoid of an infinity is finite
        return np.nan, np.nan
    even = -np.float32(np.log(max(left - 1.0, 1e-3)))
    return sigmoid(even + np.float32(2.0) * out[0, 0]), sigmoid(np.float32(SHARPNESS) * out[0, 1])


@njit
def first_layer(
    net: PolicyWeights,
    scenario: int,
    context: Float32,
    order: FloatArray,
    given: Float32,
    x: Float32,
) -> float:
    """Fill x [1, w] and the given inputs [1, GIVEN] of an order; return intervals left."""
    own = np.empty((1, OWN), np.float32)
    left = _inputs(order, given[0], own[0])
    market = context.reshape((1, len(context)))
    moves, ahead = np.empty((1, MOVES), np.float32), np.empty((1, 2 * MOVES), np.float32)
    linear(moves, market, net.foresee, net.foresee_bias)
    for k in range(MOVES):
        ahead[0, k] = np.float32(AHEAD) * net.sides[scenario] * moves[0, k]
        ahead[0, MOVES + k] = ahead[0, k] * given[0, WEIGHT]
    linear(x, given, net.given[scenario], net.bias[scenario])
    add_product(x, ahead, net.signal[scenario])
    add_product(x, market, net.context[scenario])
    add_product(x, own, net.own[scenario])
    return left


@njit
def later_layers(net: PolicyWeights, scenario: int, x: Float32, out: Float32) -> None:
    """The layers behind the first: x [R, w], which is overwritten, to out [R, 2]."""
    silu(x)
    y = np.empty(x.shape, np.float32)
    linear(y, x, net.hidden[scenario], net.hidden_bias[scenario])
    silu(y)
    linear(out, y, net.out[scenario], net.out_bias[scenario])


@njit
def decide_all(
    net: PolicyWeights,
    scenario: IntArray,
    contexts: Float32,
    which: IntArray,
    orders: FloatArray,
    out: FloatArray,
) -> None:
    """``decide`` for every row of ``orders`` [N, POLICY_COLUMNS], contexts[which[i]]; ``out`` [N, 2]."""
    for i in range(len(orders)):
        out[i, 0], out[i, 1] = decide(net, scenario[i], contexts[which[i]], orders[i])


@njit
def limited(x: float, low: float, high: float) -> float:
    """``x`` held within [low, high]."""
    return min(max(x, low), high)


@njit_part
def _inputs(order: FloatArray, g: Float32, o: Float32) -> float:
    """Fill in given inputs ``g`` and own inputs ``o`` as in ``lem.network.model``; return intervals left."""
    t, n, m = order[0], order[1], order[2]
    last, arrival = limited(order[3], -Z_LIMIT, Z_LIMIT), limited(order[4], -Z_LIMIT, Z_LIMIT)
    elapsed, rate, aversion = order[5], order[9], max(order[10], 0.0)
    left, root = n - t, np.sqrt(n)
    g[0], g[1], g[2] = t / n, left / n, 1.0 / max(left, 1.0)
    g[3], g[4] = np.log(n) / 3.0 - 0.7, 1.0 / (t + 1.0)
    g[5], g[6], g[7] = 1.0 if t + 1.0 >= m else 0.0, max(m - t, 0.0) / n, m / n
    g[8] = 1.0 if m >= n else 0.0
    price_inputs(order, last, g)
    g[15] = order[6]
    g[16] = 2.0 * np.sqrt(limited(order[7], 0.0, 1.0))
    g[17], g[18] = order[8] * n, rate
    g[19], g[20] = np.log1p(aversion), np.log(aversion + 0.01) / 3.0
    g[21], g[22] = order[11], order[11] * arrival / root
    g[23], g[24] = 1.0 / (1.0 + elapsed), np.log((elapsed + 0.5) / (t + 0.5))
    remaining, achieved = order[12], limited(order[13], -Z_LIMIT, Z_LIMIT)
    some = max(left, 1.0)
    o[0], o[1] = remaining, min(remaining * (n / some), 3.0) - 1.0
    o[2], o[3], o[4] = achieved * (1.0 - remaining), np.tanh(achieved), achieved * (3.0 / root)
    o[5] = 2.0 * np.sqrt(limited(order[14], 0.0, 1.0) + 1e-4)
    o[6], o[7] = 1.0 if remaining <= rate else 0.0, min(remaining / (max(rate, 1e-6) * some), 2.0)
    return float(left)


@njit
def price_inputs(order: FloatArray, last: float, g: Float32) -> None:
    """Fill in the given inputs that depend on the last price, ``last`` sigmas from the benchmark.

    (Its distance from the arrival price is an input too; live decisions weight it by 0.)
    """
    t, n, elapsed = order[0], order[1], order[5]
    stopping = last * t / (t + 1.0)
    g[9], g[10], g[11] = last, np.tanh(last), stopping
    g[12], g[13] = 2.0 * stopping / np.sqrt(max(n - t, 1.0)), np.tanh(3.0 * stopping)
    g[14] = last * elapsed / (1.0 + elapsed)
