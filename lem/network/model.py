"""The Large Execution Model: one market encoder, eight allocation networks.

The encoder sees the market only, so a series is encoded once for every order that starts in it. The
allocation networks see a context vector and the order's own state. It is normalised so that buy and sell,
quantity and notional look alike: prices are the order's side times (price / running benchmark - 1), in units
of recent volatility.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lem.network.layers import (
    GRN,
    LSTM,
    TKAN,
    GatedAdd,
    NoSelection,
    SlidingAttention,
    VariableEmbedding,
    VariableSelection,
)
from lem.network.model_config import SCENARIOS, ModelConfig

Z_LIMIT = 10.0
SHARPNESS = 2.0  # of the finish probability in the last layer's output

GIVEN_INPUTS = (
    "t / n",
    "left / n",
    "1 / left",
    "log n",
    "1 / (t + 1)",
    "may finish",
    "to min / n",
    "m / n",
    "fixed horizon",
    "last price",
    "last price, tanh",
    "stopping now",
    "stopping now / sqrt left",
    "stopping now, sharp",
    "stopping now by volume",
    "sigma known",
    "participation",
    "min rate",
    "max rate",
    "risk aversion",
    "risk aversion, log",
    "arrival weight",
    "arrival price",
    "next volume weight",
    "elapsed volume",
)
"""Inputs that do not depend on the policy's own trades: known for all steps of a path at once."""

OWN_INPUTS = (
    "remaining",
    "remaining pace",
    "achieved price, weighted",
    "achieved price, tanh",
    "achieved price / sqrt n",
    "own share of volume",
    "one interval left to do",
    "intervals needed / left",
)
"""Inputs that depend on the policy's own trades: what is left, and what was achieved."""

WEIGHT = GIVEN_INPUTS.index("arrival weight")
PRICE_INPUTS = (9, 10, 11, 12, 13, 14, 22, 23, 24)  # of GIVEN_INPUTS: the order's window so far


@dataclass(frozen=True, slots=True)
class OrderTerms:
    """What a decision is given: the order's terms and the market since its start.

    ``last_z`` is [8, ...] and everything else broadcasts to it.

    ``last_z``: side * (last price / running benchmark - 1) / sigma, and ``arrival_z`` the same against the
    arrival price; 0 where unknown, which ``sigma_known`` says. ``elapsed_volume``: the market's volume
    since the start in units of an interval's usual one. ``t``, ``n``, ``m`` in intervals.
    ``arrival_weight``: how much of the cost is counted against the arrival price, not the benchmark.
    """

    t: Tensor
    n: Tensor
    m: Tensor
    last_z: Tensor
    arrival_z: Tensor
    elapsed_volume: Tensor
    sigma_known: Tensor
    participation: Tensor
    min_rate: Tensor
    max_rate: Tensor
    risk_aversion: Tensor
    arrival_weight: Tensor

    def inputs(self) -> Tensor:
        """Return float32 [8, ..., len(GIVEN_INPUTS)]."""
        t, n, m, left = self.t, self.n, self.m, (self.n - self.t)
        last = self.last_z.clamp(-Z_LIMIT, Z_LIMIT)
        aversion = self.risk_aversion.clamp(min=0.0)
        root = torch.sqrt(n)
        stopping = last * t / (t + 1.0)  # what finishing now is expected to cost, in sigmas
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
            last,
            torch.tanh(last),
            stopping,
            2.0 * stopping / torch.sqrt(left.clamp(min=1.0)),
            torch.tanh(3.0 * stopping),
            last * self.elapsed_volume / (1.0 + self.elapsed_volume),
            self.sigma_known * 1.0,
            2.0 * self.participation.clamp(0.0, 1.0).sqrt(),
            self.min_rate * n,
            self.max_rate,
            torch.log1p(aversion),
            (aversion + 0.01).log() / 3.0,
            self.arrival_weight,
            self.arrival_weight * self.arrival_z.clamp(-Z_LIMIT, Z_LIMIT) / root,
            1.0 / (1.0 + self.elapsed_volume),
            torch.log((self.elapsed_volume + 0.5) / (t + 0.5)),
        )
        return torch.stack([c.float().expand(last.shape) for c in columns], dim=-1)


@dataclass(frozen=True, slots=True)
class OrderProgress:
    """What the order itself has traded, [8, N] each. Shares are of the whole order.

    ``achieved_z``: side * (achieved price / running benchmark - 1) / sigma, 0 where unknown.
    """

    remaining: Tensor
    achieved_z: Tensor
    own_share: Tensor

    def inputs(self, t: Tensor, n: Tensor, max_rate: Tensor) -> Tensor:
        """Return float32 [8, N, len(OWN_INPUTS)]."""
        remaining = self.remaining.float()
        left, root, rate = (n - t).clamp(min=1.0).float(), torch.sqrt(n).float(), max_rate.float()
        achieved = self.achieved_z.clamp(-Z_LIMIT, Z_LIMIT).float()
        columns = (
            remaining,
            (remaining * (n.float() / left)).clamp(max=3.0) - 1.0,
            achieved * (1.0 - remaining),
            torch.tanh(achieved),
            achieved * (3.0 / root),
            2.0 * (self.own_share.clamp(0.0, 1.0).float() + 1e-4).sqrt(),  # a finite slope at 0
            (remaining <= rate).float(),
            (remaining / (rate.clamp(min=1e-6) * left)).clamp(max=2.0),
        )
        return torch.stack([c.expand_as(remaining) for c in columns], dim=-1)


FORECASTS = (
    ("return_close", 1, 40.0),
    ("momentum_2", 2, 40.0),
    ("momentum_8", 8, 40.0),
    ("volume", 1, 0.3),
)
"""(feature, bars ahead, weight of its error): what a linear layer must be able to forecast from a context.

Where the drift is known, the target of a move is what the drift makes of it: that is small, and weighs much.
Volume is easy to forecast; at equal weights it would take the whole encoder."""

MOVES = 3  # the first of FORECASTS are moves: the policy sees them from the order's side
AHEAD = 3.0  # scale of the forecast moves, so that they are of the size of the other inputs


class Encoder(nn.Module):
    """values [B,T,F], mask [B,T,F], valid [B,T] -> (contexts [B,T,d], selection weights [B,T,F])."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.hidden
        self.embedding = VariableEmbedding(config.features, config.embedding)
        select: type[nn.Module] = VariableSelection if config.selection else NoSelection
        self.selection = select(config.features, config.embedding, width)
        self.direct = nn.Linear(config.features, width)  # for every variable, whatever its softmax weight
        self.tkan: nn.Module = LSTM(width)
        if config.cell == "tkan":
            self.tkan = TKAN(width, config.sublayers, config.sublayer_width, config.spline_cells)
        self.tkan_add = GatedAdd(width, width)
        self.grn = GRN(width, width, width)
        if config.attention:
            self.attention = SlidingAttention(width, config.heads, config.lookback)
            self.attention_add = GatedAdd(width, width)
        self.attends = config.attention
        self.void = nn.Parameter(torch.zeros(width))  # the context where no bar is known

    def select(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(selected variables [B,T,d], their weights [B,T,F])."""
        chosen, weights = self.selection(self.embedding(values, mask))
        return chosen + self.direct(values), weights

    def finish(self, chosen: Tensor, recurrent: Tensor, valid: Tensor) -> Tensor:
        """Contexts from the selected variables and the recurrent layer's output."""
        x = self.grn(self.tkan_add(recurrent, chosen))
        if self.attends:
            x = self.attention_add(self.attention(x, valid), x)
        return torch.where(valid.unsqueeze(-1), x, self.void)

    def forward(self, values: Tensor, mask: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        chosen, weights = self.select(values, mask)
        return self.finish(chosen, self.tkan(chosen, valid), valid), weights


class AllocationNetworks(nn.Module):
    """Eight independent two-hidden-layer networks as batched matrix products.

    They start equal, trading evenly: the share of the remainder is 1 / (intervals left), finishing unlikely.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.policy_hidden
        self.on_order = config.conditioned_on_order
        self.context = self._weights(config.hidden, width, 0.3)
        inputs = self._weights(len(GIVEN_INPUTS) + len(OWN_INPUTS), width, 1.0)
        self.given = nn.Parameter(inputs[:, : len(GIVEN_INPUTS)].detach().clone())
        self.own = nn.Parameter(inputs[:, len(GIVEN_INPUTS) :].detach().clone())
        self.foresee = nn.Linear(config.hidden, MOVES)
        self.signal = self._weights(2 * MOVES, width, 1.0)
        self.bias = nn.Parameter(torch.zeros(len(SCENARIOS), 1, width))
        self.hidden = self._weights(width, width, 1.0)
        self.hidden_bias = nn.Parameter(torch.zeros(len(SCENARIOS), 1, width))
        self.out = self._weights(width, 2, 0.1)
        self.out_bias = nn.Parameter(torch.tensor([0.0, -0.5]).repeat(len(SCENARIOS), 1, 1))

    @staticmethod
    def _weights(width_in: int, width: int, gain: float) -> nn.Parameter:
        one = torch.randn(width_in, width) * (gain / math.sqrt(width_in))
        return nn.Parameter(one.repeat(len(SCENARIOS), 1, 1))

    def forward(self, contexts: Tensor, given: Tensor, own: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
        """Return (share of the remainder to trade now, probability of finishing now), [8, N] each.

        ``contexts`` [N, d] are the same for all scenarios; ``given`` [8, N, GIVEN_INPUTS] and ``own``
        [8, N, OWN_INPUTS] are the order's; ``left`` [N]: intervals left, this one included.
        """
        return self.decide(self.prepare(contexts, given), own, left)

    def prepare(self, contexts: Tensor, given: Tensor) -> Tensor:
        """The first layer's sums over all that does not depend on the policy's own trades, [8, N, w].

        The moves forecast from contexts enter from the order's side, and once more times the arrival weight,
        which says what they are worth.
        """
        if not self.on_order:
            given = given.index_fill(-1, torch.tensor(PRICE_INPUTS, device=given.device), 0.0)
        side = given.new_tensor([[[int(side)]] for side, _, _ in SCENARIOS])
        ahead = AHEAD * side * self.foresee(contexts)
        ahead = torch.cat([ahead, ahead * given[..., WEIGHT : WEIGHT + 1]], dim=-1)
        x = torch.baddbmm(self.bias, given, self.given)
        x = torch.baddbmm(x, ahead, self.signal)
        return torch.baddbmm(x, contexts.expand(len(SCENARIOS), -1, -1), self.context)

    def decide(self, prepared: Tensor, own: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
        """``forward`` from what ``prepare`` returned."""
        own = own if self.on_order else torch.zeros_like(own)
        x = functional.silu(torch.baddbmm(prepared, own, self.own))
        x = functional.silu(torch.baddbmm(self.hidden_bias, x, self.hidden))
        out = torch.baddbmm(self.out_bias, x, self.out)
        even = -torch.log((left - 1.0).clamp(min=1e-3)).float()  # logit of 1 / left
        return torch.sigmoid(even + 2.0 * out[..., 0]), torch.sigmoid(SHARPNESS * out[..., 1])

    def share_gradients(self) -> None:
        """Give every scenario the mean gradient: a first phase in which all learn from all orders.

        They start equal, so they stay equal. The market's direction means opposite things to buyers and
        sellers, so the context's weights are shared within each side only.
        """
        for name, parameter in self.named_parameters():
            if parameter.grad is not None and not name.startswith("foresee"):
                sides = 2 if name == "context" else 1
                grouped = parameter.grad.view(sides, -1, *parameter.shape[1:])
                grouped.copy_(grouped.mean(1, keepdim=True).expand_as(grouped))


class LEM(nn.Module):
    """Encoder, allocation networks, and the forecasts that training adds."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.policy = AllocationNetworks(config)
        self.volume = nn.Linear(config.hidden, len(FORECASTS) - MOVES)  # training only

    def forecast(self, contexts: Tensor) -> Tensor:
        """``FORECASTS`` from contexts [..., d], [..., K]."""
        return torch.cat([self.policy.foresee(contexts), self.volume(contexts)], dim=-1)
