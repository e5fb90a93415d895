"""A model's weights as the compiled kernels take them: plain arrays, laid out so that sums run along rows.

``lem.serving.encoder_kernel`` and ``lem.serving.policy_kernel`` compute with them; tests hold both to the
torch layers (``lem.network.model``) within 1e-5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lem.network.layers import GRN, TKAN, GatedAdd
from lem.network.model import LEM
from lem.network.model_config import SCENARIOS

Float32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class Gate(NamedTuple):
    """norm(skip + a sigmoid(b)), (a, b) linear: ``lem.network.layers.GatedAdd``."""

    weight: Float32  # [in, 2 width]
    bias: Float32
    scale: Float32  # of the layer norm
    shift: Float32


class Residual(NamedTuple):
    """``lem.network.layers.GRN``; ``skip`` has no rows where the input is passed on as it is."""

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


class Attention(NamedTuple):
    """``lem.network.layers.SlidingAttention``."""

    heads: int
    window: int
    project: Float32  # [d, 3 d]
    project_bias: Float32
    merge: Float32
    merge_bias: Float32


class Encoder(NamedTuple):
    """What follows the selection: recurrence, residual network, attention."""

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

    selection: Selection
    encoder: Encoder
    policy: Policy
    void: Float32

    @classmethod
    def of(cls, model: LEM) -> CompiledModel:
        """Raises TypeError for an ablated model: it has no compiled form."""
        net = model.encoder
        if not isinstance(net.tkan, TKAN) or not model.config.selection or not net.attends:
            raise TypeError("an ablated model has no compiled form")
        return cls(_selection(net), _encoder(net), _policy(model), _array(net.void))

    @property
    def width(self) -> int:
        return len(self.void)


def _selection(net: Any) -> Selection:
    embedding, selection = net.embedding, net.selection
    each = selection.each
    return Selection(
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


def _encoder(net: Any) -> Encoder:
    cell, attention = net.tkan, net.attention
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
    return Encoder(recurrent, gates[0], _residual_of(net.grn), attending, gates[1])


def _policy(model: LEM) -> Policy:
    p = model.policy
    if not p.on_order:
        raise TypeError("an ablated model has no compiled form")
    return Policy(
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
