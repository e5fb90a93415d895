"""A model's weights as the compiled kernels take them, and how inference works.

Theory of operation
-------------------
Live decisions must give the same bits whatever else is decided beside them, and whether the encoder's state
was carried from bar to bar or rebuilt. Torch does not promise that: its sums depend on the batch. So the same
layers (``lem.network.model``) are computed here by kernels of their own, in these modules:

* ``weights``: the parameters as float32 arrays, transposed so that sums run along rows;
* ``row_kernels``: linear layers, gates and norms on a few rows, each row's sums its own, in one fixed order;
* ``encoder_kernel``: select variables, advance the recurrence by one bar, attend from the newest bar;
* ``encoding_stream``: which bars a series' encoding has taken in, and the state before each of them;
* ``policy_kernel``: an order's inputs, its allocation network, and the projection to what is allowed;
* ``flip_kernel``: the move of the last price that would have changed a decision.

State: for every series of bars, (h, c, u) of the recurrence before each bar, and each bar's key and value for
attention (``States``). Everything else is a function of it and of the order.

Invariants: a row's result does not depend on the rows beside it; taking bars in one call or in several gives
the same bits; every output is within 1e-5 of torch's (tested).

Worked example: order matters in float32. A sum that starts at the bias 1 and adds 1e8, then -1e8, is 0;
taken as 1e8 - 1e8 + 1 it is 1. ``row_kernels`` always starts at the bias and takes inputs in their order, so
it gives 0 for one row and for a hundred. And a decision: where the last layer gives (0, -1/2) with 4
intervals left, the order trades sigmoid(-log 3) = 1/4 of the remainder and finishes with probability
sigmoid(2 x -1/2) = 0.269.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from lem.network.layers import GRN, TKAN, GatedAdd, VariableSelection
from lem.network.model import LEM, Encoder
from lem.network.model_config import SCENARIOS

Float32 = npt.NDArray[np.float32]


class GateWeights(NamedTuple):
    """norm(skip + a sigmoid(b)), (a, b) linear: ``lem.network.layers.GatedAdd``."""

    weight: Float32  # [in, 2 width]
    bias: Float32
    scale: Float32  # of the layer norm
    shift: Float32


class ResidualWeights(NamedTuple):
    """``lem.network.layers.GRN``; ``skip`` has no rows where the input is passed on as it is."""

    inner: Float32
    inner_bias: Float32
    outer: Float32
    outer_bias: Float32
    skip: Float32
    skip_bias: Float32
    gate: GateWeights


class SelectionWeights(NamedTuple):
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
    weights: ResidualWeights
    direct: Float32  # [F, d]
    direct_bias: Float32


class CellWeights(NamedTuple):
    """``lem.network.layers.TKAN``."""

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


class AttentionWeights(NamedTuple):
    """``lem.network.layers.SlidingAttention``."""

    heads: int
    window: int
    project: Float32  # [d, 3 d]
    project_bias: Float32
    merge: Float32
    merge_bias: Float32


class EncoderWeights(NamedTuple):
    """What follows the selection: recurrence, residual network, attention."""

    cell: CellWeights
    cell_gate: GateWeights
    grn: ResidualWeights
    attention: AttentionWeights
    attention_gate: GateWeights


class PolicyWeights(NamedTuple):
    """The allocation networks, one block a scenario."""

    context: Float32  # [8, d, w]
    given: Float32  # [8, GIVEN, w]
    own: Float32  # [8, OWN, w]
    foresee: Float32  # [d, MOVES]
    foresee_bias: Float32
    signal: Float32  # [8, 2 MOVES, w]
    sides: Float32  # [8]
    bias: Float32  # [8, w]
    hidden: Float32  # [8, w, w]
    hidden_bias: Float32
    out: Float32  # [8, w, 2]
    out_bias: Float32


@dataclass(frozen=True, slots=True)
class CompiledModel:
    """A model's weights, laid out for the kernels."""

    selection: SelectionWeights
    encoder: EncoderWeights
    policy: PolicyWeights
    void: Float32

    @classmethod
    def of(cls, model: LEM) -> CompiledModel:
        """Lay out ``model``. Raises TypeError for an ablated model: it has no compiled form."""
        net = model.encoder
        cell, selection = net.tkan, net.selection
        whole = net.attends and model.policy.on_order
        if not (isinstance(cell, TKAN) and isinstance(selection, VariableSelection) and whole):
            raise TypeError("an ablated model has no compiled form")
        return cls(_selection(net, selection), _encoder(net, cell), _policy(model), _array(net.void))

    @property
    def width(self) -> int:
        """Length of a context vector."""
        return len(self.void)


def _selection(net: Encoder, selection: VariableSelection) -> SelectionWeights:
    embedding, each = net.embedding, selection.each
    return SelectionWeights(
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
        _residual(selection.weights),
        _array(net.direct.weight.T),
        _array(net.direct.bias),
    )


def _encoder(net: Encoder, cell: TKAN) -> EncoderWeights:
    attention = net.attention
    recurrent = CellWeights(
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
    attending = AttentionWeights(
        attention.heads,
        attention.window,
        _array(attention.project.weight.T),
        _array(attention.project.bias),
        _array(attention.merge.weight.T),
        _array(attention.merge.bias),
    )
    gates = _gate(net.tkan_add), _gate(net.attention_add)
    return EncoderWeights(recurrent, gates[0], _residual(net.grn), attending, gates[1])


def _policy(model: LEM) -> PolicyWeights:
    p = model.policy
    return PolicyWeights(
        _array(p.context),
        _array(p.given),
        _array(p.own),
        _array(p.foresee.weight.T),
        _array(p.foresee.bias),
        _array(p.signal),
        np.array([int(side) for side, _, _ in SCENARIOS], np.float32),
        _array(p.bias[:, 0]),
        _array(p.hidden),
        _array(p.hidden_bias[:, 0]),
        _array(p.out),
        _array(p.out_bias[:, 0]),
    )


def _gate(gate: GatedAdd) -> GateWeights:
    norm = gate.norm
    return GateWeights(
        _array(gate.gate.weight.T), _array(gate.gate.bias), _array(norm.weight), _array(norm.bias)
    )


def _residual(grn: GRN) -> ResidualWeights:
    skip = np.zeros((0, 0), np.float32), np.zeros(0, np.float32)
    if isinstance(grn.skip, nn.Linear):
        skip = _array(grn.skip.weight.T), _array(grn.skip.bias)
    return ResidualWeights(
        _array(grn.inner.weight.T),
        _array(grn.inner.bias),
        _array(grn.outer.weight.T),
        _array(grn.outer.bias),
        *skip,
        _gate(grn.add),
    )


def _array(x: Tensor) -> Float32:
    return np.ascontiguousarray(x.detach().numpy(), np.float32)
