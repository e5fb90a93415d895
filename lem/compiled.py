"""The model compiled for decisions: one bar at a time, one order at a time, always the same sums.

A decision of one order is some ten thousand multiplications; through torch it is a few hundred calls that
each cost more than their arithmetic. Here a bar is one call and a decision another. Sums run in a fixed
order over one row, so a result depends neither on what is decided beside it nor on whether the state was
carried from bar to bar or rebuilt. Tests hold it to the torch layers (``lem.model``) within 1e-5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from agent.core.jit import njit
from lem.layers import GRN, TKAN, GatedAdd
from lem.model import GIVEN_INPUTS, LEM, OWN_INPUTS, SHARPNESS, Z_LIMIT

Float32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
GIVEN, OWN = len(GIVEN_INPUTS), len(OWN_INPUTS)
ONE = np.float32(1.0)


class Gate(NamedTuple):
    """norm(skip + a sigmoid(b)), (a, b) linear: ``lem.layers.GatedAdd``."""

    weight: Float32  # [in, 2 width]
    bias: Float32
    scale: Float32  # of the layer norm
    shift: Float32


class Residual(NamedTuple):
    """``lem.layers.GRN``; ``skip`` has no rows where the input is passed on as it is."""

    inner: Float32
    inner_bias: Float32
    outer: Float32
    outer_bias: Float32
    skip: Float32
    skip_bias: Float32
    gate: Gate


class Selection(NamedTuple):
    """Embedding, one gated network per variable, the weights' network, and the direct linear view."""

    scale: Float32  # [F, e]
    shift: Float32
    absent: Float32
    inner: Float32  # [F, e, e]
    inner_bias: Float32  # [F, e]
    gate: Float32  # [F, e, 2 d]
    gate_bias: Float32  # [F, 2 d]
    skip: Float32  # [F, e, d]
    norm_scale: Float32
    norm_shift: Float32
    weights: Residual
    direct: Float32  # [F, d]
    direct_bias: Float32


class Cell(NamedTuple):
    """``lem.layers.TKAN``."""

    input: Float32  # [d, 3 d]
    input_bias: Float32
    recurrent: Float32  # [d, 3 d]
    sub_input: Float32  # [L, d, k]
    sub_recurrent: Float32  # [L, k, k]
    memory: Float32  # [L, 2 k, k]
    edges: Float32  # [L, k (basis + 1), k]
    knots: Float32
    step: float
    output: Float32  # [L k, d]
    output_bias: Float32


class Attention(NamedTuple):
    """``lem.layers.SlidingAttention``."""

    heads: int
    window: int
    project: Float32  # [d, 3 d]
    project_bias: Float32
    merge: Float32
    merge_bias: Float32


class Encoder(NamedTuple):
    selection: Selection
    cell: Cell
    cell_gate: Gate
    grn: Residual
    attention: Attention
    attention_gate: Gate


class Policy(NamedTuple):
    """The allocation networks, one block a scenario."""

    context: Float32  # [8, d, w]
    given: Float32  # [8, GIVEN, w]
    own: Float32  # [8, OWN, w]
    bias: Float32  # [8, w]
    hidden: Float32  # [8, w, w]
    hidden_bias: Float32
    out: Float32  # [8, w, 2]
    out_bias: Float32


@njit
def _linear(x: Float32, weight: Float32, bias: Float32) -> Float32:
    out = bias.copy()
    _add(out, x, weight)
    return out


@njit
def _add(out: Float32, x: Float32, weight: Float32) -> None:
    """out += x weight, row by row: the inner loop is a vector's."""
    for i in range(len(x)):
        factor = x[i]
        for j in range(len(out)):
            out[j] += factor * weight[i, j]


@njit
def _sigmoid(x: float) -> float:
    return ONE / (ONE + np.exp(-x))  # type: ignore[no-any-return]


@njit
def _norm(x: Float32, scale: Float32, shift: Float32) -> Float32:
    mean = np.float32(0.0)
    for value in x:
        mean += value
    mean /= np.float32(len(x))
    spread = np.float32(0.0)
    for value in x:
        spread += (value - mean) * (value - mean)
    unit = ONE / np.sqrt(spread / np.float32(len(x)) + np.float32(1e-5))
    out = np.empty_like(x)
    for i in range(len(x)):
        out[i] = (x[i] - mean) * unit * scale[i] + shift[i]
    return out


@njit
def _gated(gates: Float32, skip: Float32, scale: Float32, shift: Float32) -> Float32:
    width = len(skip)
    out = skip.copy()
    for i in range(width):
        out[i] += gates[i] * _sigmoid(gates[width + i])
    return _norm(out, scale, shift)


@njit
def _gate(x: Float32, skip: Float32, gate: Gate) -> Float32:
    return _gated(_linear(x, gate.weight, gate.bias), skip, gate.scale, gate.shift)


@njit
def _elu(x: Float32) -> Float32:
    out = x.copy()
    for i in range(len(out)):
        if out[i] < 0:
            out[i] = np.expm1(out[i])
    return out


@njit
def _residual(x: Float32, net: Residual) -> Float32:
    hidden = _linear(_elu(_linear(x, net.inner, net.inner_bias)), net.outer, net.outer_bias)
    skip = x if len(net.skip) == 0 else _linear(x, net.skip, net.skip_bias)
    return _gate(hidden, skip, net.gate)


@njit
def _select(values: Float32, mask: Mask, net: Selection, weights: Float32) -> Float32:
    """The selected variables of one bar [d]; ``weights`` [F] are filled in."""
    variables, width = net.scale.shape
    embedded = np.empty((variables, width), np.float32)
    for f in range(variables):
        embedded[f] = values[f] * net.scale[f] + net.shift[f] if mask[f] else net.absent[f]
    logits = _residual(embedded.ravel(), net.weights)
    most = logits.max()
    total = np.float32(0.0)
    for f in range(variables):
        weights[f] = np.exp(logits[f] - most)
        total += weights[f]
    none = np.zeros(net.direct.shape[1], np.float32)
    out = net.direct_bias.copy()
    for f in range(variables):
        weights[f] /= total
        hidden = _elu(_linear(embedded[f], net.inner[f], net.inner_bias[f]))
        gates = _linear(hidden, net.gate[f], net.gate_bias[f])
        skip = _linear(embedded[f], net.skip[f], none)
        seen = _gated(gates, skip, net.norm_scale, net.norm_shift)
        for i in range(len(out)):
            out[i] += weights[f] * seen[i]
    _add(out, values, net.direct)
    return out


@njit
def _recur(x: Float32, cell: Cell, h: Float32, c: Float32, u: Float32) -> None:
    """One step of the TKAN; its state ``h``, ``c`` [d], ``u`` [L, k] moves on in place."""
    layers, sub, basis, width = u.shape[0], u.shape[1], len(cell.knots), len(h)
    kan = np.zeros((layers, sub), np.float32)
    bases = np.zeros(sub * (basis + 1), np.float32)
    none = np.zeros(sub, np.float32)
    step = np.float32(cell.step)
    for layer in range(layers):
        s = _linear(x, cell.sub_input[layer], none)
        _add(s, u[layer], cell.sub_recurrent[layer])
        for i in range(sub):
            for b in range(basis):
                far = abs((s[i] - cell.knots[b]) / step)
                outer, inner = max(np.float32(2.0) - far, np.float32(0.0)), max(ONE - far, np.float32(0.0))
                cubes = outer * outer * outer - np.float32(4.0) * (inner * inner * inner)
                bases[i * basis + b] = cubes / np.float32(6.0)
            bases[sub * basis + i] = s[i] * _sigmoid(s[i])
        kan[layer] = _linear(bases, cell.edges[layer], none)
        kept = _linear(u[layer], cell.memory[layer, :sub], none)
        _add(kept, kan[layer], cell.memory[layer, sub:])
        u[layer] = kept
    gates = _linear(x, cell.input, cell.input_bias)
    _add(gates, h, cell.recurrent)
    opening = _linear(kan.ravel(), cell.output, cell.output_bias)
    for i in range(width):
        take = _sigmoid(gates[width + i]) * np.tanh(gates[2 * width + i])
        c[i] = _sigmoid(gates[i]) * c[i] + take
        h[i] = np.tanh(c[i]) * _sigmoid(opening[i])


@njit
def _attend(x: Float32, net: Attention, keys: Float32, values: Float32, at: int) -> Float32:
    """Attention of row ``at`` over the last ``window`` rows; its key and value are stored first."""
    width = len(x)
    projected = _linear(x, net.project, net.project_bias)
    keys[at], values[at] = projected[width : 2 * width], projected[2 * width :]
    first = max(0, at + 1 - net.window)
    part = width // net.heads
    out = np.zeros(width, np.float32)
    scale = np.float32(1.0) / np.sqrt(np.float32(part))
    for head in range(net.heads):
        begin = head * part
        scores = np.empty(at + 1 - first, np.float32)
        for row in range(first, at + 1):
            score = np.float32(0.0)
            for i in range(begin, begin + part):
                score += projected[i] * keys[row, i]
            scores[row - first] = score * scale
        scores = np.exp(scores - scores.max())
        total = np.float32(0.0)
        for score in scores:
            total += score
        for row in range(first, at + 1):
            weight = scores[row - first] / total
            for i in range(begin, begin + part):
                out[i] += weight * values[row, i]
    return _linear(out, net.merge, net.merge_bias)


@njit
def encode(
    rows: Float32,
    masks: Mask,
    first: int,
    net: Encoder,
    h: Float32,
    c: Float32,
    u: Float32,
    keys: Float32,
    values: Float32,
    context: Float32,
    weights: Float32,
) -> None:
    """Take in bars ``rows`` [N, F], number ``first`` and on of their stream; the state moves on in place.

    ``context`` [d] and ``weights`` [F] are those of the last one.
    """
    for k in range(len(rows)):
        chosen = _select(rows[k], masks[k], net.selection, weights)
        _recur(chosen, net.cell, h, c, u)
        x = _residual(_gate(h, chosen, net.cell_gate), net.grn)
        context[:] = _gate(_attend(x, net.attention, keys, values, first + k), x, net.attention_gate)


@njit
def decide(
    net: Policy, scenario: int, context: Float32, order: npt.NDArray[np.float64]
) -> tuple[float, float]:
    """(fraction of the remainder, probability of finishing) of one order; ``order``: see ``ORDER``."""
    given, own, left = _inputs(order)
    x = _linear(given, net.given[scenario], net.bias[scenario])
    _add(x, context, net.context[scenario])
    _add(x, own, net.own[scenario])
    for i in range(len(x)):
        x[i] *= _sigmoid(x[i])
    x = _linear(x, net.hidden[scenario], net.hidden_bias[scenario])
    for i in range(len(x)):
        x[i] *= _sigmoid(x[i])
    out = _linear(x, net.out[scenario], net.out_bias[scenario])
    if not (np.isfinite(out[0]) and np.isfinite(out[1])):  # an infinity's sigmoid looks sound
        return np.nan, np.nan
    even = -np.float32(np.log(max(left - 1.0, 1e-3)))
    return _sigmoid(even + np.float32(2.0) * out[0]), _sigmoid(np.float32(SHARPNESS) * out[1])


@njit
def decide_all(
    net: Policy,
    scenario: npt.NDArray[np.int64],
    contexts: Float32,
    which: npt.NDArray[np.int64],
    orders: npt.NDArray[np.float64],
    out: npt.NDArray[np.float64],
) -> None:
    """``decide`` for every row of ``orders`` [N, ORDER], contexts[which[i]]; ``out`` [N, 2]."""
    for i in range(len(orders)):
        out[i, 0], out[i, 1] = decide(net, scenario[i], contexts[which[i]], orders[i])


ORDER = (
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
"""Columns of an order as ``decide`` takes it: ``OrderTerms`` and ``OrderProgress`` as plain numbers."""


@njit
def _limited(x: float, low: float, high: float) -> float:
    return min(max(x, low), high)


@njit
def _inputs(order: npt.NDArray[np.float64]) -> tuple[Float32, Float32, float]:
    """(given inputs, own inputs, intervals left): the formulae of ``lem.model``."""
    t, n, m = order[0], order[1], order[2]
    last, arrival = _limited(order[3], -Z_LIMIT, Z_LIMIT), _limited(order[4], -Z_LIMIT, Z_LIMIT)
    elapsed, rate, aversion = order[5], order[9], max(order[10], 0.0)
    left, root = n - t, np.sqrt(n)
    stopping = last * t / (t + 1.0)
    g = np.empty(GIVEN, np.float32)
    g[0], g[1], g[2] = t / n, left / n, 1.0 / max(left, 1.0)
    g[3], g[4] = np.log(n) / 3.0 - 0.7, 1.0 / (t + 1.0)
    g[5], g[6], g[7] = 1.0 if t + 1.0 >= m else 0.0, max(m - t, 0.0) / n, m / n
    g[8] = 1.0 if m >= n else 0.0
    g[9], g[10], g[11] = last, np.tanh(last), stopping
    g[12], g[13] = 2.0 * stopping / np.sqrt(max(left, 1.0)), np.tanh(3.0 * stopping)
    g[14], g[15] = last * elapsed / (1.0 + elapsed), order[6]
    g[16] = 2.0 * np.sqrt(_limited(order[7], 0.0, 1.0))
    g[17], g[18] = order[8] * n, rate
    g[19], g[20] = np.log1p(aversion), np.log(aversion + 0.01) / 3.0
    g[21], g[22] = order[11], order[11] * arrival / root
    g[23], g[24] = 1.0 / (1.0 + elapsed), np.log((elapsed + 0.5) / (t + 0.5))
    remaining, achieved = order[12], _limited(order[13], -Z_LIMIT, Z_LIMIT)
    some = max(left, 1.0)
    o = np.empty(OWN, np.float32)
    o[0], o[1] = remaining, min(remaining * (n / some), 3.0) - 1.0
    o[2], o[3], o[4] = achieved * (1.0 - remaining), np.tanh(achieved), achieved * (3.0 / root)
    o[5] = 2.0 * np.sqrt(_limited(order[14], 0.0, 1.0) + 1e-4)
    o[6], o[7] = 1.0 if remaining <= rate else 0.0, min(remaining / (max(rate, 1e-6) * some), 2.0)
    return g, o, left


@dataclass(frozen=True, slots=True)
class CompiledModel:
    """A model's weights, laid out for the kernels."""

    encoder: Encoder
    policy: Policy
    void: Float32

    @classmethod
    def of(cls, model: LEM) -> CompiledModel:
        """Raises TypeError for an ablated model: it has no compiled form."""
        net = model.encoder
        if not isinstance(net.tkan, TKAN) or not model.config.selection or not net.attends:
            raise TypeError("an ablated model has no compiled form")
        return cls(_encoder(net), _policy(model), _array(net.void))

    @property
    def width(self) -> int:
        return len(self.void)


def _encoder(net: Any) -> Encoder:
    embedding, selection, cell, attention = net.embedding, net.selection, net.tkan, net.attention
    each = selection.each
    chosen = Selection(
        _array(embedding.scale),
        _array(embedding.shift),
        _array(embedding.absent),
        _array(each.inner),
        _array(each.inner_bias[:, 0]),
        _array(each.gate),
        _array(each.gate_bias[:, 0]),
        _array(each.skip),
        _array(each.norm.weight),
        _array(each.norm.bias),
        _residual_of(selection.weights),
        _array(net.direct.weight.T),
        _array(net.direct.bias),
    )
    recurrent = Cell(
        _array(cell.input.weight.T),
        _array(cell.input.bias),
        _array(cell.recurrent),
        _array(cell.sub_input),
        _array(cell.sub_recurrent),
        _array(cell.memory),
        _array(cell.kan.edges),
        _array(cell.kan.knots),
        float(cell.kan.step),
        _array(cell.output.weight.T),
        _array(cell.output.bias),
    )
    attending = Attention(
        attention.heads,
        attention.window,
        _array(attention.project.weight.T),
        _array(attention.project.bias),
        _array(attention.merge.weight.T),
        _array(attention.merge.bias),
    )
    gates = _gate_of(net.tkan_add), _gate_of(net.attention_add)
    return Encoder(chosen, recurrent, gates[0], _residual_of(net.grn), attending, gates[1])


def _policy(model: LEM) -> Policy:
    p = model.policy
    if not p.on_order:
        raise TypeError("an ablated model has no compiled form")
    return Policy(
        _array(p.context),
        _array(p.given),
        _array(p.own),
        _array(p.bias[:, 0]),
        _array(p.hidden),
        _array(p.hidden_bias[:, 0]),
        _array(p.out),
        _array(p.out_bias[:, 0]),
    )


def _gate_of(gate: GatedAdd) -> Gate:
    norm = gate.norm
    return Gate(_array(gate.gate.weight.T), _array(gate.gate.bias), _array(norm.weight), _array(norm.bias))


def _residual_of(grn: GRN) -> Residual:
    skip = np.zeros((0, 0), np.float32), np.zeros(0, np.float32)
    if hasattr(grn.skip, "weight"):
        skip = _array(grn.skip.weight.T), _array(grn.skip.bias)
    return Residual(
        _array(grn.inner.weight.T),
        _array(grn.inner.bias),
        _array(grn.outer.weight.T),
        _array(grn.outer.bias),
        *skip,
        _gate_of(grn.add),
    )


def _array(x: Any) -> Float32:
    return np.ascontiguousarray(x.detach().numpy(), np.float32)
