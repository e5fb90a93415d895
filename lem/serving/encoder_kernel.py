"""The encoder compiled: bars taken in one after another, the state before each of them kept.

Variables are selected for a few bars at once, the recurrence runs bar by bar, and attention is computed for
the newest bar only, because no state depends on it. Sums are each bar's own (``lem.serving.row_kernels``),
so a context depends neither on how many bars came in one call nor on whether the state was carried or
rebuilt. How it fits together: ``lem.serving.weights``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from agent.core.arrays import BoolArray
from agent.core.compile.jit import njit, njit_part
from lem.network.layers import MEMORY_LIMIT
from lem.serving.row_kernels import ONE, add_product, elu, gate, gated, linear, residual, sigmoid, start
from lem.serving.weights import CellWeights, EncoderWeights, Float32, SelectionWeights

BLOCK = 24  # bars at once: their work fits the nearest cache

LIMIT = np.float32(MEMORY_LIMIT)


class States(NamedTuple):
    """What an encoding keeps, one row a bar; row k of h, c and u is the state *before* bar k."""

    h: Float32  # [rows + 1, d]
    c: Float32  # [rows + 1, d]
    u: Float32  # [rows + 1, L, k]
    values: Float32  # [rows, d]
    keys: Float32  # [d, rows]: scores are taken bar beside bar


@njit
def select(
    values: Float32, masks: BoolArray, net: SelectionWeights, chosen: Float32, weights: Float32
) -> None:
    """The selected variables [N, d] of bars with features ``values`` [N, F], and their weights [N, F]."""
    for begin in range(0, len(values), BLOCK):
        end = min(len(values), begin + BLOCK)
        _select(values[begin:end], masks[begin:end], net, chosen[begin:end], weights[begin:end])


@njit
def advance(
    chosen: Float32, first: int, net: EncoderWeights, states: States, context: Float32, attention: Float32
) -> None:
    """Take in bars with selected variables ``chosen`` [N, d], number ``first`` and on of their stream.

    Fills ``states``, ``context`` [d] of the last bar, and ``attention`` [K, 2]: of the bars with the largest
    weights their age (0 is the last one) and weight, the mean over heads; ages of -1 where there are fewer.
    """
    x, projected = chosen.copy(), np.empty((len(chosen), 3 * len(context)), np.float32)
    _recur_all(chosen, net.cell, first, states)
    _finish(x, net, first, states, projected)
    last = len(chosen) - 1
    _attend(x[last : last + 1], projected[last], net, first + len(chosen), states, attention)
    context[:] = x[last]


@njit_part
def _select(
    values: Float32, mask: BoolArray, net: SelectionWeights, chosen: Float32, weights: Float32
) -> None:
    """The selected variables of each bar [R, d] and the weights [R, F] that selected them."""
    variables, width = net.scale.shape
    rows, out = chosen.shape
    embedded = np.empty((variables, rows, width), np.float32)
    for f in range(variables):
        for r in range(rows):
            for i in range(width):
                present = values[r, f] * net.scale[f, i] + net.shift[f, i]
                embedded[f, r, i] = present if mask[r, f] else net.absent[f, i]
    _choose(embedded, net, weights)
    hidden = np.empty((rows, width), np.float32)
    gates, seen = np.empty((rows, 2 * out), np.float32), np.empty((rows, out), np.float32)
    start(chosen, net.direct_bias)
    for f in range(variables):
        linear(hidden, embedded[f], net.inner[f], net.inner_bias[f])
        elu(hidden)
        linear(gates, hidden, net.gate[f], net.gate_bias[f])
        seen[:] = np.float32(0.0)
        add_product(seen, embedded[f], net.skip[f])
        gated(seen, gates, net.norm_scale, net.norm_shift)
        for r in range(rows):
            for i in range(out):
                chosen[r, i] += weights[r, f] * seen[r, i]
    add_product(chosen, values, net.direct)


@njit_part
def _choose(embedded: Float32, net: SelectionWeights, weights: Float32) -> None:
    """Softmax over variables of the weights' network: ``embedded`` [F, R, e] -> ``weights`` [R, F]."""
    variables, rows, width = embedded.shape
    grn = net.weights
    hidden = len(grn.inner_bias)
    inner, outer = np.empty((rows, hidden), np.float32), np.empty((rows, hidden), np.float32)
    gates = np.empty((rows, 2 * variables), np.float32)
    start(inner, grn.inner_bias)
    start(weights, grn.skip_bias)
    for f in range(variables):
        add_product(inner, embedded[f], grn.inner[f * width : (f + 1) * width])
        add_product(weights, embedded[f], grn.skip[f * width : (f + 1) * width])
    elu(inner)
    linear(outer, inner, grn.outer, grn.outer_bias)
    gate(weights, outer, grn.gate, gates)
    _softmax(weights)


@njit_part
def _recur_all(chosen: Float32, cell: CellWeights, first: int, states: States) -> None:
    """The TKAN over bars ``first`` and on, each state kept."""
    layers, sub, basis = states.u.shape[1], states.u.shape[2], len(cell.knots)
    width = chosen.shape[1]
    kan = np.empty((layers, sub), np.float32)
    s, bases = np.empty((1, sub), np.float32), np.empty((1, sub * (basis + 1)), np.float32)
    gates, opening = np.empty((1, 3 * width), np.float32), np.empty((1, width), np.float32)
    for r in range(len(chosen)):
        x, k = chosen[r : r + 1], first + r
        for layer in range(layers):
            _sublayer(x, cell, layer, states.u[k, layer : layer + 1], s, bases, kan[layer : layer + 1])
            kept = states.u[k + 1, layer : layer + 1]
            kept[:] = np.float32(0.0)
            add_product(kept, states.u[k, layer : layer + 1], cell.memory[layer, :sub])
            add_product(kept, kan[layer : layer + 1], cell.memory[layer, sub:])
            for i in range(kept.shape[1]):
                kept[0, i] = min(max(kept[0, i], -LIMIT), LIMIT)
        linear(gates, x, cell.input, cell.input_bias)
        add_product(gates, states.h[k : k + 1], cell.recurrent)
        linear(opening, kan.reshape((1, layers * sub)), cell.output, cell.output_bias)
        for i in range(width):
            take = sigmoid(gates[0, width + i]) * np.tanh(gates[0, 2 * width + i])
            c = sigmoid(gates[0, i]) * states.c[k, i] + take
            states.c[k + 1, i] = c
            states.h[k + 1, i] = np.tanh(c) * sigmoid(opening[0, i])


@njit_part
def _sublayer(
    x: Float32, cell: CellWeights, layer: int, memory: Float32, s: Float32, bases: Float32, out: Float32
) -> None:
    """One KAN sub-layer of one bar: x [1, d] and its memory [1, k] -> out [1, k]."""
    sub, basis = s.shape[1], len(cell.knots)
    step = np.float32(cell.step)
    s[:] = np.float32(0.0)
    add_product(s, x, cell.sub_input[layer])
    add_product(s, memory, cell.sub_recurrent[layer])
    for i in range(sub):
        for b in range(basis):
            far = abs((s[0, i] - cell.knots[b]) / step)
            outer, inner = max(np.float32(2.0) - far, np.float32(0.0)), max(ONE - far, np.float32(0.0))
            cubes = outer * outer * outer - np.float32(4.0) * (inner * inner * inner)
            bases[0, i * basis + b] = cubes / np.float32(6.0)
        bases[0, sub * basis + i] = s[0, i] * sigmoid(s[0, i])
    out[:] = np.float32(0.0)
    add_product(out, bases, cell.edges[layer])


@njit_part
def _finish(x: Float32, net: EncoderWeights, first: int, states: States, projected: Float32) -> None:
    """Gate, add and the residual network after the recurrence; keys and values are stored."""
    rows, width = x.shape
    gates = np.empty((rows, 2 * width), np.float32)
    hidden = len(net.grn.inner_bias)
    inner, outer = np.empty((rows, hidden), np.float32), np.empty((rows, hidden), np.float32)
    gate(x, states.h[first + 1 : first + 1 + rows], net.cell_gate, gates)
    residual(x, net.grn, inner, outer, gates)
    linear(projected, x, net.attention.project, net.attention.project_bias)
    for r in range(rows):
        for i in range(width):
            states.keys[i, first + r] = projected[r, width + i]
            states.values[first + r, i] = projected[r, 2 * width + i]


@njit_part
def _attend(
    x: Float32, query: Float32, net: EncoderWeights, seen: int, states: States, attention: Float32
) -> None:
    """x [1, d], the newest of ``seen`` bars, becomes its context: attention over the last ``window``."""
    width, heads = x.shape[1], net.attention.heads
    head_width = width // heads
    first = max(0, seen - net.attention.window)
    scale = ONE / np.sqrt(np.float32(head_width))
    out, merged = np.zeros((1, width), np.float32), np.empty((1, width), np.float32)
    scores = np.zeros((heads, seen - first), np.float32)
    for i in range(width):
        for row in range(seen - first):
            scores[i // head_width, row] += query[i] * states.keys[i, first + row]
    for head in range(heads):
        for row in range(seen - first):
            scores[head, row] *= scale
    _softmax(scores)
    _largest(scores, attention)
    for row in range(seen - first):
        for head in range(heads):
            for i in range(head * head_width, (head + 1) * head_width):
                out[0, i] += scores[head, row] * states.values[first + row, i]
    linear(merged, out, net.attention.merge, net.attention.merge_bias)
    gate(x, merged, net.attention_gate, np.empty((1, 2 * width), np.float32))


@njit_part
def _largest(scores: Float32, attention: Float32) -> None:
    """Ages and weights, largest first, of the mean over heads; ``scores`` [heads, N], the newest bar last."""
    heads, count = scores.shape
    weights = np.zeros(count, np.float32)
    for head in range(heads):
        for row in range(count):
            weights[row] += scores[head, row]
    for k in range(len(attention)):
        row = count - 1 - np.argmax(weights[::-1])  # of equals the newest
        attention[k, 0] = np.float32(count - 1 - row if weights[row] >= 0 else -1)
        attention[k, 1] = weights[row] / np.float32(heads)
        weights[row] = np.float32(-1.0)


@njit_part
def _softmax(scores: Float32) -> None:
    """Each row [R, N] in place."""
    rows, count = scores.shape
    for r in range(rows):
        most = scores[r].max()
        for k in range(count):
            scores[r, k] = np.exp(scores[r, k] - most)
    totals = np.zeros(rows, np.float32)
    for k in range(count):  # the rows' sums side by side, each in its order
        for r in range(rows):
            totals[r] += scores[r, k]
    for r in range(rows):
        np.divide(scores[r], totals[r], scores[r])
