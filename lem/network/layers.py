"""Building blocks of the market encoder, written from their published equations.

* Gated residual and variable selection networks: Lim et al., "Temporal Fusion Transformers",
  Int. J. Forecasting 37 (2021), eqs. 2-8.
* TKAN: Genet and Inzirillo, "TKAN: Temporal Kolmogorov-Arnold Networks" (2024); KAN edges as in Liu et
  al., "KAN: Kolmogorov-Arnold Networks" (2024): w_b silu(x) + a cubic B-spline.

Shapes: B series, T intervals, F variables, d width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

MEMORY_LIMIT = 10.0


def _uniform(*shape: int, fan_in: int) -> nn.Parameter:
    bound = 1.0 / math.sqrt(fan_in)
    return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))


class GatedAdd(nn.Module):
    """norm(skip + a * sigmoid(b)) with (a, b) linear in the input."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width_in, 2 * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        out: Tensor = self.norm(skip + functional.glu(self.gate(x), dim=-1))
        return out


class GRN(nn.Module):
    """Gated residual network: two layers with an ELU between, gated onto the (projected) input."""

    def __init__(self, width_in: int, hidden: int, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width_in, hidden)
        self.outer = nn.Linear(hidden, hidden)
        self.skip = nn.Identity() if width_in == width else nn.Linear(width_in, width)
        self.add = GatedAdd(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.add(self.outer(functional.elu(self.inner(x))), self.skip(x))
        return out


class VariableEmbedding(nn.Module):
    """Each variable's own affine embedding, or its learned "absent" vector: [B,T,F] -> [B,T,F,e]."""

    def __init__(self, variables: int, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(0.5 * torch.randn(variables, width))
        self.shift = nn.Parameter(0.1 * torch.randn(variables, width))
        self.absent = nn.Parameter(0.1 * torch.randn(variables, width))

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        present = values.unsqueeze(-1) * self.scale + self.shift
        return torch.where(mask.unsqueeze(-1), present, self.absent)


class VariableGRN(nn.Module):
    """One GRN per variable, computed together: [B,T,F,e] -> [B,T,F,d]."""

    def __init__(self, variables: int, width_in: int, width: int) -> None:
        super().__init__()
        self.inner = _uniform(variables, width_in, width_in, fan_in=width_in)
        self.inner_bias = nn.Parameter(torch.zeros(variables, 1, width_in))
        self.gate = _uniform(variables, width_in, 2 * width, fan_in=width_in)
        self.gate_bias = nn.Parameter(torch.zeros(variables, 1, 2 * width))
        self.skip = _uniform(variables, width_in, width, fan_in=width_in)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        batch, steps, variables, width = x.shape
        rows = x.permute(2, 0, 1, 3).reshape(variables, batch * steps, width)
        hidden = functional.elu(torch.baddbmm(self.inner_bias, rows, self.inner))
        (open_, close), (open_bias, close_bias) = self.gate.chunk(2, -1), self.gate_bias.chunk(2, -1)
        gated = torch.baddbmm(open_bias, hidden, open_)  # halves apart: glu is slow on strided ones
        gated = gated * torch.sigmoid(torch.baddbmm(close_bias, hidden, close))
        out: Tensor = self.norm(torch.baddbmm(gated, rows, self.skip))
        return out.view(variables, batch, steps, -1).permute(1, 2, 0, 3)


class VariableSelection(nn.Module):
    """Softmax weights over variables per step, and the weighted sum of their GRNs.

    [B,T,F,e] -> ([B,T,d], weights [B,T,F]).
    """

    def __init__(self, variables: int, width_in: int, width: int) -> None:
        super().__init__()
        self.each = VariableGRN(variables, width_in, width)
        self.weights = GRN(variables * width_in, width, variables)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        weights = torch.softmax(self.weights(x.flatten(-2)), dim=-1)
        return (weights.unsqueeze(-1) * self.each(x)).sum(-2), weights


class NoSelection(nn.Module):
    """Ablation: one linear layer over all embedded variables; its weights read as uniform."""

    def __init__(self, variables: int, width_in: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(variables * width_in, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        weights = x.new_full(x.shape[:-1], 1.0 / x.shape[-2])
        return self.norm(self.linear(x.flatten(-2))), weights


class KANSublayers(nn.Module):
    """L Kolmogorov-Arnold layers side by side, k -> k each: [L,B,k] -> [L,B,k].

    An edge is w_b silu(x) + sum_j c_j N((x - g_j) / step) with uniform knots on [-2, 2], where the cubic
    cardinal B-spline is N(u) = ((2 - |u|)+^3 - 4 (1 - |u|)+^3) / 6.
    """

    knots: Tensor

    def __init__(self, layers: int, width: int, cells: int) -> None:
        super().__init__()
        self.step = 4.0 / cells
        basis = cells + 3
        self.register_buffer("knots", -2.0 + self.step * (torch.arange(basis) - 1.0), persistent=False)
        self.edges = nn.Parameter(0.3 * _uniform(layers, width * (basis + 1), width, fan_in=width).data)

    def forward(self, x: Tensor) -> Tensor:
        far = ((x.unsqueeze(-1) - self.knots) / self.step).abs()
        outer, inner = torch.relu(2.0 - far), torch.relu(1.0 - far)
        splines = (outer * outer * outer - 4.0 * (inner * inner * inner)) / 6.0
        return torch.bmm(torch.cat([splines.flatten(-2), functional.silu(x)], dim=-1), self.edges)


class TKAN(nn.Module):
    """Recurrent layer whose output gate comes from KAN sub-layers with a memory of their own.

    Per step, for sub-layer l:  s = W_x x_t + W_h u_{t-1};  o~ = KAN_l(s);  u_t = W_u u_{t-1} + W_z o~,
    held within +- MEMORY_LIMIT: nothing else keeps a linear memory from growing without end.
    Then f, i, c~ as in an LSTM, o = sigmoid(W_o [o~_1 .. o~_L]), c = f c + i c~, h = o tanh(c).
    Where ``valid`` is False all state is 0. [B,T,d] -> [B,T,d].
    """

    def __init__(self, width: int, layers: int, sub_width: int, cells: int) -> None:
        super().__init__()
        self.width, self.layers, self.sub_width = width, layers, sub_width
        self.input = nn.Linear(width, 3 * width)
        self.recurrent = _uniform(width, 3 * width, fan_in=width)
        self.sub_input = _uniform(layers, width, sub_width, fan_in=width)
        self.sub_recurrent = _uniform(layers, sub_width, sub_width, fan_in=sub_width)
        self.memory = nn.Parameter(
            torch.cat(
                [0.5 * torch.eye(sub_width).repeat(layers, 1, 1), torch.eye(sub_width).repeat(layers, 1, 1)],
                dim=1,
            )
        )
        self.kan = KANSublayers(layers, sub_width, cells)
        self.output = nn.Linear(layers * sub_width, width)
        with torch.no_grad():
            self.input.bias[:width] = 1.0  # remember at first

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        batch, steps, width = x.shape
        gates_x = self.input(x).unbind(1)
        rows = x.reshape(1, batch * steps, width).expand(self.layers, -1, -1)
        subs_x = torch.bmm(rows, self.sub_input).view(self.layers, batch, steps, self.sub_width).unbind(2)
        keep = valid.to(x.dtype).unsqueeze(-1).unbind(1)
        h = c = x.new_zeros(batch, width)
        u = x.new_zeros(self.layers, batch, self.sub_width)
        out = []
        for t in range(steps):
            gates = torch.addmm(gates_x[t], h, self.recurrent)
            forget, take = torch.sigmoid(gates[:, : 2 * width]).chunk(2, dim=1)
            kan = self.kan(torch.baddbmm(subs_x[t], u, self.sub_recurrent))
            kept = torch.bmm(torch.cat([u, kan], dim=-1), self.memory)
            u = kept.clamp(-MEMORY_LIMIT, MEMORY_LIMIT) * keep[t]
            open_ = torch.sigmoid(self.output(kan.transpose(0, 1).flatten(1)))
            c = (forget * c + take * torch.tanh(gates[:, 2 * width :])) * keep[t]
            h = open_ * torch.tanh(c) * keep[t]
            out.append(h)
        return torch.stack(out, dim=1)


class LSTM(nn.Module):
    """Ablation of the TKAN: a plain LSTM with the same interface."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.input = nn.Linear(width, 4 * width)
        self.recurrent = _uniform(width, 4 * width, fan_in=width)
        with torch.no_grad():
            self.input.bias[:width] = 1.0  # remember at first

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        gates_x = self.input(x).unbind(1)
        keep = valid.to(x.dtype).unsqueeze(-1).unbind(1)
        h = c = x.new_zeros(x.shape[0], x.shape[2])
        out = []
        for t in range(x.shape[1]):
            forget, take, open_, new = torch.addmm(gates_x[t], h, self.recurrent).chunk(4, dim=1)
            c = (torch.sigmoid(forget) * c + torch.sigmoid(take) * torch.tanh(new)) * keep[t]
            h = torch.sigmoid(open_) * torch.tanh(c) * keep[t]
            out.append(h)
        return torch.stack(out, dim=1)


class SlidingAttention(nn.Module):
    """Causal multi-head self-attention over the last ``window`` valid steps. [B,T,d] -> [B,T,d].

    Weights of hidden steps are exactly 0 and inputs are always finite, so nothing leaks backwards.
    """

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.project = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)

    def forward(self, x: Tensor, valid: Tensor, first: int = 0) -> Tensor:
        """Steps from ``first`` on only: [B,T-first,d]."""
        weights, values = self.weights(x, valid, first)
        out: Tensor = self.merge((weights @ values).transpose(1, 2).flatten(-2))
        return out

    def weights(self, x: Tensor, valid: Tensor, first: int = 0) -> tuple[Tensor, Tensor]:
        """(weights of each step from ``first`` on [B,heads,T-first,T] over the steps it sees,
        values [B,heads,T,d/heads])."""
        batch, steps, width = x.shape
        q, k, v = (
            part.view(batch, steps, self.heads, -1).transpose(1, 2)
            for part in self.project(x).chunk(3, dim=-1)
        )
        row = torch.arange(steps, device=x.device)
        age = row[first:].unsqueeze(1) - row
        seen = (age >= 0) & (age < self.window) & valid[:, None, None, :]
        seen = seen | (age == 0)  # a void step sees itself, so that no row is empty
        scores = (q[:, :, first:] @ k.transpose(-1, -2)) / math.sqrt(width / self.heads)
        return torch.softmax(scores.masked_fill(~seen, -math.inf), dim=-1), v
