"""Layers on a few rows at once, compiled, in place: every row's sums are its own, in one fixed order.

A sum starts at the bias and takes its inputs one after another, whatever rows stand beside it, so one row and
a hundred give the same bits. Rows go side by side only so that the processor can add them independently.
R rows, I inputs, J outputs. How it fits together: ``lem.serving.weights``.
"""

from __future__ import annotations

import numpy as np

from agent.core.compile.jit import njit, njit_part
from lem.serving.weights import Float32, GateWeights, ResidualWeights

ONE = np.float32(1.0)
EPSILON = np.float32(1e-5)  # of torch's layer norm


@njit_part
def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x))."""
    out: float = ONE / (ONE + np.exp(-x))
    return out


@njit_part
def start(out: Float32, bias: Float32) -> None:
    """out [R, J] = bias [J]."""
    for r in range(len(out)):
        out[r] = bias


@njit_part
def add_product(out: Float32, x: Float32, weight: Float32) -> None:
    """out [R, J] += x [R, I] weight [I, J]."""
    rows, width = out.shape
    for i in range(len(weight)):
        for r in range(rows):
            factor = x[r, i]
            for j in range(width):
                out[r, j] += factor * weight[i, j]


@njit
def linear(out: Float32, x: Float32, weight: Float32, bias: Float32) -> None:
    """out [R, J] = bias [J] + x [R, I] weight [I, J]."""
    start(out, bias)
    add_product(out, x, weight)


@njit_part
def elu(x: Float32) -> None:
    """x [R, J] becomes exp(x) - 1 where it is negative."""
    for r in range(x.shape[0]):
        for i in range(x.shape[1]):
            if x[r, i] < 0:
                x[r, i] = np.expm1(x[r, i])


@njit_part
def silu(x: Float32) -> None:
    """x [R, J] becomes x sigmoid(x)."""
    for r in range(x.shape[0]):
        for i in range(x.shape[1]):
            x[r, i] *= sigmoid(x[r, i])


@njit_part
def gated(out: Float32, gates: Float32, scale: Float32, shift: Float32) -> None:
    """out [R, J] becomes norm(out + a sigmoid(b)), (a, b) = gates [R, 2 J]."""
    rows, width = out.shape
    count = np.float32(width)
    for r in range(rows):
        mean = np.float32(0.0)
        for i in range(width):
            out[r, i] += gates[r, i] * sigmoid(gates[r, width + i])
            mean += out[r, i]
        mean /= count
        spread = np.float32(0.0)
        for i in range(width):
            spread += (out[r, i] - mean) * (out[r, i] - mean)
        unit = ONE / np.sqrt(spread / count + EPSILON)
        for i in range(width):
            out[r, i] = (out[r, i] - mean) * unit * scale[i] + shift[i]


@njit_part
def gate(out: Float32, x: Float32, net: GateWeights, gates: Float32) -> None:
    """out [R, J] becomes norm(out + a sigmoid(b)), (a, b) linear in x: ``lem.network.layers.GatedAdd``.

    ``gates`` [R, 2 J] is overwritten.
    """
    linear(gates, x, net.weight, net.bias)
    gated(out, gates, net.scale, net.shift)


@njit_part
def residual(x: Float32, net: ResidualWeights, inner: Float32, outer: Float32, gates: Float32) -> None:
    """x [R, J] becomes ``lem.network.layers.GRN`` of itself, where input and output are equally wide.

    ``inner``, ``outer`` [R, hidden] and ``gates`` [R, 2 J] are overwritten.
    """
    linear(inner, x, net.inner, net.inner_bias)
    elu(inner)
    linear(outer, inner, net.outer, net.outer_bias)
    gate(x, outer, net.gate, gates)
