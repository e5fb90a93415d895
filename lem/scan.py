"""The TKAN recurrence compiled, for decisions one at a time: the same sums as ``lem.layers.TKAN``.

A hundred and fifty steps of thirty small tensor operations cost torch some 40 ms in overhead alone; the
arithmetic takes less than one. Sums are sequential, so a result does not depend on threads or batches.
A test holds both implementations together.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agent.core.jit import njit
from lem.layers import TKAN

Float32 = npt.NDArray[np.float32]


@njit
def _scan(
    gates_x: Float32,  # [T, 3d]
    subs_x: Float32,  # [L, T, k]
    recurrent: Float32,  # [d, 3d]
    sub_recurrent: Float32,  # [L, k, k]
    memory: Float32,  # [L, 2k, k]
    edges: Float32,  # [L, k (basis + 1), k]
    knots: Float32,  # [basis]
    step: float,
    output: Float32,  # [L k, d]
    output_bias: Float32,  # [d]
    out: Float32,  # [T, d], zeros; rows first .. end - 1 are filled
    first: int,
    end: int,
) -> None:
    width, layers, sub, basis = out.shape[1], subs_x.shape[0], subs_x.shape[2], len(knots)
    h, c = np.zeros(width, np.float32), np.zeros(width, np.float32)
    u, kan = np.zeros((layers, sub), np.float32), np.zeros((layers, sub), np.float32)
    bases = np.zeros(sub * (basis + 1), np.float32)
    for t in range(first, end):
        for layer in range(layers):
            s = subs_x[layer, t].copy()
            for j in range(sub):
                s += u[layer, j] * sub_recurrent[layer, j]
            for i in range(sub):
                for b in range(basis):
                    far = abs((s[i] - knots[b]) / step)
                    outer, inner = max(2.0 - far, 0.0), max(1.0 - far, 0.0)
                    bases[i * basis + b] = (outer * outer * outer - 4.0 * (inner * inner * inner)) / 6.0
                bases[sub * basis + i] = s[i] / (1.0 + np.exp(-s[i]))
            kan[layer] = 0.0
            for e in range(len(bases)):
                kan[layer] += bases[e] * edges[layer, e]
            kept = np.zeros(sub, np.float32)
            for j in range(sub):
                kept += u[layer, j] * memory[layer, j] + kan[layer, j] * memory[layer, sub + j]
            u[layer] = kept
        gates, opening = gates_x[t].copy(), output_bias.copy()
        for i in range(width):
            gates += h[i] * recurrent[i]
        for layer in range(layers):
            for j in range(sub):
                opening += kan[layer, j] * output[layer * sub + j]
        for i in range(width):
            forget = 1.0 / (1.0 + np.exp(-gates[i]))
            take = 1.0 / (1.0 + np.exp(-gates[width + i]))
            c[i] = forget * c[i] + take * np.tanh(gates[2 * width + i])
            h[i] = np.tanh(c[i]) / (1.0 + np.exp(-opening[i]))
        out[t] = h


class CompiledTKAN:
    """A trained cell's weights, laid out for ``_scan``."""

    def __init__(self, cell: TKAN) -> None:
        self._cell = cell
        self._recurrent, self._sub_recurrent = _array(cell.recurrent), _array(cell.sub_recurrent)
        self._memory, self._edges = _array(cell.memory), _array(cell.kan.edges)
        self._knots = _array(cell.kan.knots)
        self._output, self._output_bias = _array(cell.output.weight.T), _array(cell.output.bias)

    def __call__(self, x: Tensor, first: int, end: int) -> Tensor:
        """[1,T,d] -> [1,T,d]; steps ``first`` .. ``end`` - 1 are valid, the others give 0."""
        out = np.zeros(x.shape[1:], np.float32)
        _scan(
            _array(self._cell.input(x)[0]),
            _array(torch.matmul(x[0], self._cell.sub_input)),
            self._recurrent,
            self._sub_recurrent,
            self._memory,
            self._edges,
            self._knots,
            self._cell.kan.step,
            self._output,
            self._output_bias,
            out,
            first,
            end,
        )
        return torch.from_numpy(out).unsqueeze(0)


def _array(x: Tensor) -> Float32:
    array: Float32 = x.detach().contiguous().numpy()
    return array
