"""Schedules of simple rules: the share traded in every interval while unfinished, within the rate limits.

Shares are of the whole order, [N, L]. The last lot waits for the interval that finishes. A schedule uses only
what was known before the order began, and how many bars have passed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from agent.algos.almgren_chriss import holdings_ratio, urgency
from agent.core.orders.projection import EPS
from lem.network.constraints import project_share
from lem.network.objective import Orders

ANY_SIGMA = 1e-3
"""Any value will do: with an expected participation the urgency does not depend on the volatility."""


def first_finish(orders: Orders) -> Tensor:
    """The first interval that each order can finish in, [N]."""
    needs = torch.ceil(1.0 / orders.max_rate - EPS)
    return torch.maximum(orders.m, needs) - 1.0


def twap(orders: Orders) -> Tensor:
    """1/n an interval, to the end."""
    each = 1.0 / orders.n
    if _unlimited(orders):
        return each[:, None].expand(-1, orders.price.shape[1])
    return within_rates(orders, lambda t, left: each)


def twap_until_stopped(orders: Orders) -> Tensor:
    """1/n an interval, faster where the max rate would otherwise delay the first possible finish."""
    n, first = orders.n, first_finish(orders)
    if _unlimited(orders):
        return twap(orders)

    def wanted(t: int, left: Tensor) -> Tensor:
        share = torch.maximum(1.0 / n, left / (n - t).clamp(min=1.0))
        needed = (left - orders.max_rate) / (first - t).clamp(min=1.0)
        return torch.where(first > t, torch.maximum(share, needed), share)

    return within_rates(orders, wanted)


def back_loaded(orders: Orders) -> Tensor:
    """As little as the rate limits allow until the end."""
    first = first_finish(orders)
    return within_rates(orders, lambda t, left: left - orders.max_rate * (first - t).clamp(min=1.0))


def volume_curve_schedule(orders: Orders, expected: Tensor) -> Tensor:
    """In proportion to the ``expected`` [N, L] volume of each interval."""
    ahead = expected.flip(-1).cumsum(-1).flip(-1).clamp(min=1e-300)
    return within_rates(orders, lambda t, left: left * expected[:, t] / ahead[:, t])


def almgren_chriss_schedule(orders: Orders, participation: float, risk_aversion: float) -> Tensor:
    """Almgren and Chriss (2000) as in ``agent.algos.almgren_chriss``; evenly until sigma is known."""
    length = orders.price.shape[1]
    kappa = urgency(ANY_SIGMA, length, participation, risk_aversion, {})
    known = orders.sigma > 0

    def wanted(t: int, left: Tensor) -> Tensor:
        ahead = length - t
        return left * torch.where(known[:, t], 1.0 - holdings_ratio(kappa, ahead), 1.0 / ahead)

    return within_rates(orders, wanted)


def _unlimited(orders: Orders) -> bool:
    return bool((orders.max_rate >= 1.0).all() and (orders.min_rate <= 0.0).all())


def within_rates(orders: Orders, wanted: Callable[[int, Tensor], Tensor]) -> Tensor:
    """``wanted(t, remaining [N])`` projected to what the rate limits allow, [N, L]."""
    left = torch.ones_like(orders.n)
    shares = []
    for t in range(orders.price.shape[1]):
        share = project_share(
            wanted(t, left), left, orders.n - 1 - t, orders.min_rate, orders.max_rate, orders.lot_share
        )
        shares.append(share)
        left = left - share
    return torch.stack(shares, dim=-1)
