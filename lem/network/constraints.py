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


def project(
    share: Tensor,
    finish: Tensor,
    remaining: Tensor,
    k_left: Tensor,
    m: Tensor,
    t: Tensor,
    min_rate: Tensor,
    max_rate: Tensor,
    lot_share: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return (share to trade, whether it finishes), elementwise as the scalar rule."""
    left = remaining.clamp(min=0.0)
    wanted = torch.where(torch.isfinite(share), share, left / (k_left + 1.0))
    finishing = can_finish(t, m, left, max_rate) & (finish | (k_left <= 0))
    working = project_share(wanted, left, k_left, min_rate, max_rate, lot_share)
    return torch.where(finishing, left, working), finishing
