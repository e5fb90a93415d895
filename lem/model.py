"""The Large Execution Model: one market encoder, eight allocation networks.

The encoder sees the market only, so a series is encoded once for every order that starts in it. The
allocation networks see a context vector and the order's own state, normalised so that buy and sell,
quantity and notional look alike: prices are the order's side times (price / running benchmark - 1), in
units of recent volatility.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lem.config import SCENARIOS, ModelConfig
from lem.layers import GRN, TKAN, GatedAdd, SlidingAttention, VariableEmbedding, VariableSelection

STATE_INPUTS = 26
OWN_PAST = (*range(9, 18), 20, 23)  # inputs that say what the order did and what prices it met
Z_LIMIT = 10.0


@dataclass(frozen=True, slots=True)
class OrderState:
    """What a decision knows of its order, tensors that broadcast to [8, N].

    ``last_z``, ``achieved_z``: side * (price / running benchmark - 1) / sigma, 0 where unknown, which
    ``sigma_known`` says. Shares are of the whole order; ``t``, ``n``, ``m`` in intervals.
    """

    t: Tensor
    n: Tensor
    m: Tensor
    remaining: Tensor
    last_z: Tensor
    achieved_z: Tensor
    sigma_known: Tensor
    participation: Tensor
    own_share: Tensor
    min_rate: Tensor
    max_rate: Tensor
    risk_aversion: Tensor

    def inputs(self) -> Tensor:
        """Return the networks' inputs, float32 [8, N, STATE_INPUTS]."""
        t, n, m, left = self.t, self.n, self.m, self.n - self.t
        last, achieved = (z.clamp(-Z_LIMIT, Z_LIMIT) for z in (self.last_z, self.achieved_z))
        root = torch.sqrt(n)
        columns = (
            t / n,
            left / n,
            1.0 / left.clamp(min=1.0),
            torch.log(n) / 3.0 - 0.7,
            1.0 / (t + 1.0),
            (t + 1.0 >= m) * 1.0,
            (m - t).clamp(min=0.0) / n,
            m / n,
            (m >= n) * 1.0,
            self.remaining,
            (self.remaining * n / left.clamp(min=1.0)).clamp(max=3.0) - 1.0,
            last,
            torch.tanh(last),
            torch.tanh(4.0 * last),
            3.0 * last / root,
            achieved * (1.0 - self.remaining),
            torch.tanh(achieved),
            3.0 * achieved / root,
            self.sigma_known * 1.0,
            2.0 * self.participation.clamp(0.0, 1.0).sqrt(),
            2.0 * (self.own_share.clamp(0.0, 1.0) + 1e-4).sqrt(),  # a finite slope at 0
            self.min_rate * n,
            self.max_rate,
            (self.remaining <= self.max_rate) * 1.0,
            torch.log1p(self.risk_aversion.clamp(min=0.0)),
            (self.risk_aversion.clamp(min=0.0) + 0.01).log() / 3.0,
        )
        shape = (len(SCENARIOS), max(c.shape[-1] for c in columns))
        return torch.stack([c.expand(shape) for c in columns], dim=-1).float()


class Encoder(nn.Module):
    """values [B,T,F], mask [B,T,F], valid [B,T] -> (contexts [B,T,d], selection weights [B,T,F])."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.hidden
        self.embedding = VariableEmbedding(config.features, config.embedding)
        self.selection = VariableSelection(config.features, config.embedding, width)
        self.tkan = TKAN(width, config.sublayers, config.sublayer_width, config.spline_cells)
        self.tkan_add = GatedAdd(width, width)
        self.grn = GRN(width, width, width)
        self.attention = SlidingAttention(width, config.heads, config.lookback)
        self.attention_add = GatedAdd(width, width)
        self.void = nn.Parameter(torch.zeros(width))  # the context where no bar is known

    def select(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(selected variables [B,T,d], their weights [B,T,F])."""
        chosen, weights = self.selection(self.embedding(values, mask))
        return chosen, weights

    def finish(self, chosen: Tensor, recurrent: Tensor, valid: Tensor) -> Tensor:
        """Contexts from the selected variables and the recurrent layer's output."""
        x = self.grn(self.tkan_add(recurrent, chosen))
        x = self.attention_add(self.attention(x, valid), x)
        return torch.where(valid.unsqueeze(-1), x, self.void)

    def forward(self, values: Tensor, mask: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        chosen, weights = self.select(values, mask)
        return self.finish(chosen, self.tkan(chosen, valid), valid), weights


class AllocationNetworks(nn.Module):
    """Eight independent two-hidden-layer networks as batched matrix products.

    They start equal and even: the share of the remainder is 1 / (intervals left) and finishing unlikely.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.policy_hidden
        self.on_order = config.conditioned_on_order
        self.context = self._weights(config.hidden, width, 0.3)
        self.state = self._weights(STATE_INPUTS, width, 1.0)
        self.state_bias = nn.Parameter(torch.zeros(len(SCENARIOS), 1, width))
        self.hidden = self._weights(width, width, 1.0)
        self.hidden_bias = nn.Parameter(torch.zeros(len(SCENARIOS), 1, width))
        self.out = self._weights(width, 2, 0.1)
        self.out_bias = nn.Parameter(torch.tensor([0.0, -1.0]).repeat(len(SCENARIOS), 1, 1))

    @staticmethod
    def _weights(width_in: int, width: int, gain: float) -> nn.Parameter:
        one = torch.randn(width_in, width) * (gain / math.sqrt(width_in))
        return nn.Parameter(one.repeat(len(SCENARIOS), 1, 1))

    def project_context(self, contexts: Tensor) -> Tensor:
        """[N, d] (same for all scenarios) -> [8, N, hidden]."""
        return torch.bmm(contexts.expand(len(SCENARIOS), -1, -1), self.context)

    def forward(self, projected: Tensor, order: OrderState) -> tuple[Tensor, Tensor]:
        """Return (share of the remainder to trade now, probability of finishing now), [8, N] each."""
        inputs = order.inputs()
        if not self.on_order:
            inputs = inputs.index_fill(-1, torch.tensor(OWN_PAST), 0.0)
        x = functional.silu(torch.baddbmm(self.state_bias, inputs, self.state) + projected)
        x = functional.silu(torch.baddbmm(self.hidden_bias, x, self.hidden))
        out = torch.baddbmm(self.out_bias, x, self.out)
        left = (order.n - order.t).clamp(min=1.0).float()
        even = -torch.log((left - 1.0).clamp(min=1e-3))  # logit of 1 / left
        return torch.sigmoid(even + 2.0 * out[..., 0]), torch.sigmoid(4.0 * out[..., 1])


class LEM(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.policy = AllocationNetworks(config)
