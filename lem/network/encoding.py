"""Contexts of many series at once: the encoder's own function with its affine maps multiplied out.

A variable's embedding is affine in its value and its mask, so the affine layers behind it take (value, mask)
directly: two numbers instead of a vector. Rows are taken in blocks that stay in the processor's caches.
Training uses ``lem.network.model`` itself, live decisions the compiled kernels. A test holds all equal up to
rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lem.network.dataset import Encodable
from lem.network.layers import VariableEmbedding, VariableSelection
from lem.network.model import Encoder

ROWS = 2_048


def encode(encoder: Encoder, inputs: Encodable, first: int = 0) -> Tensor:
    """A context for every bar from row ``first`` on, [B, T, d]; before it the void context."""
    chosen = _chosen(encoder, inputs)
    x = encoder.grn(encoder.tkan_add(encoder.tkan(chosen, inputs.valid), chosen))
    contexts = x[:, first:]
    if encoder.attends:
        contexts = encoder.attention_add(encoder.attention(x, inputs.valid, first), contexts)
    contexts = torch.where(inputs.valid[:, first:, None], contexts, encoder.void)
    return torch.cat([encoder.void.expand(len(contexts), first, -1), contexts], dim=1)


def _chosen(encoder: Encoder, inputs: Encodable) -> Tensor:
    """``Encoder.select``, [B, T, d]."""
    if not isinstance(encoder.selection, VariableSelection):
        chosen: Tensor = encoder.select(inputs.values, inputs.mask)[0]
        return chosen
    select = FoldedSelection(encoder.embedding, encoder.selection, encoder.direct)
    values, mask = inputs.values.flatten(0, 1), inputs.mask.flatten(0, 1).to(inputs.values.dtype)
    blocks = [select(values[k : k + ROWS], mask[k : k + ROWS]) for k in range(0, len(values), ROWS)]
    return torch.cat(blocks).view(*inputs.values.shape[:2], -1)


class FoldedSelection:
    """``Encoder.select`` without its weights: values, mask [R, F] -> [R, d]. Values are 0 where absent."""

    def __init__(self, embedding: VariableEmbedding, selection: VariableSelection, direct: nn.Linear) -> None:
        each, width = selection.each, selection.each.norm.normalized_shape[0]
        scale, absent = embedding.scale.unsqueeze(1), embedding.absent.unsqueeze(1)
        more = (embedding.shift - embedding.absent).unsqueeze(1)  # what being there adds, [F, 1, e]
        one = torch.ones_like(absent[..., :1])  # elu(1) = 1: a column that carries the gate's bias
        still = torch.zeros_like(one).expand(-1, 2, -1)
        self.inner = torch.cat([torch.cat([scale, more], dim=1) @ each.inner, still], dim=-1)
        self.inner_bias = torch.cat([absent @ each.inner + each.inner_bias, one], dim=-1)
        gate = torch.cat([each.gate, each.gate_bias], dim=1)
        self.open, self.close = gate[..., :width].contiguous(), gate[..., width:].contiguous()
        self.skip = torch.cat([scale, more, absent], dim=1) @ each.skip
        self.norm, self.direct, self.weights = each.norm, direct, selection.weights
        self.weight_inner = _folded(self.weights.inner, embedding)
        self.weight_skip = _folded(self.weights.skip, embedding)

    def __call__(self, values: Tensor, mask: Tensor) -> Tensor:
        known = torch.cat([values, mask], dim=-1)
        inner = functional.elu(functional.linear(known, *self.weight_inner))
        logits = self.weights.add(self.weights.outer(inner), functional.linear(known, *self.weight_skip))
        known_rows = torch.stack([values, mask, torch.ones_like(mask)], dim=-1).transpose(0, 1).contiguous()
        hidden = functional.elu(torch.baddbmm(self.inner_bias, known_rows[..., :2], self.inner), inplace=True)
        gated = torch.bmm(hidden, self.open).mul_(torch.bmm(hidden, self.close).sigmoid_())
        each = self.norm(gated.baddbmm_(known_rows, self.skip))  # [F, R, d]
        chosen = torch.einsum("rf,frd->rd", torch.softmax(logits, dim=-1), each)
        out: Tensor = chosen + self.direct(values)
        return out


def _folded(linear: nn.Module, embedding: VariableEmbedding) -> tuple[Tensor, Tensor]:
    """(weight [o, 2F], bias [o]) of ``linear`` behind the embedding, on values and mask side by side."""
    if not isinstance(linear, nn.Linear):
        raise TypeError(f"the selection's weights need a linear layer, not {type(linear).__name__}")
    weight = linear.weight.view(linear.out_features, *embedding.scale.shape)  # [o, F, e]

    def behind(vectors: Tensor) -> Tensor:
        return torch.einsum("ofe,fe->of", weight, vectors)

    on_mask = behind(embedding.shift - embedding.absent)
    return torch.cat([behind(embedding.scale), on_mask], dim=1), linear.bias + behind(embedding.absent).sum(1)
