"""``agent.core.orders.projection`` on tensors: the same limits in training, evaluation and live."""

from __future__ import annotations

import torch
from torch import Tensor

from agent.core.orders.projection import EPS


def project_share(
    share: Tensor,
    remaining: Tensor,
    k_left: Tensor,
    min_rate: Tensor,
    max_rate: Tensor,
    lot_share: Tensor,
) -> Tensor:
    """Return the share traded in an interval that does not finish, differentiable in ``share``."""
    hi = torch.minimum(max_rate, remaining - lot_share).clamp(min=0.0)
    lo = torch.minimum(hi, torch.maximum(min_rate, remaining - k_left * max_rate))
    last = torch.minimum(remaining.clamp(min=0.0), max_rate)  # the rest expires
    return torch.where(k_left <= 0, last, torch.minimum(torch.maximum(share, lo), hi))


def can_finish(t: Tensor, m: Tensor, remaining: Tensor, max_rate: Tensor) -> Tensor:
    """Whether interval ``t`` may finish the order."""
    return (t + 1 >= m) & (remaining <= max_rate + EPS)
