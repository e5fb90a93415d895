"""Rolling orders through the market, and the exact expectation over the time they finish.

Theory of operation
-------------------
While an order is unfinished it follows one path, whatever its chance of having finished earlier. So one pass
over n intervals gives, for every T, the cost of finishing in T and the hazard h_T of doing so: the
probability of finishing in T given that the order has not finished before. Then

    P(finish at T) = h_T prod_{t<T} (1 - h_t),   E[cost] = sum_T P(finish at T) cost_T

exactly, and differentiably: no draw, so no noise of drawing. Prices are deviations x = p / p_ref - 1 from the
price before the order, so that slippage keeps its digits: P/B - 1 = (P' - B') / (1 + B').

Invariants: the last interval's hazard is 1, so the probabilities sum to 1; a hazard is 0 where finishing is
not allowed; intervals beyond n trade nothing; remaining + traded shares is 1 in every interval.

Worked example: n = 3, hazards (0.2, 0.5, 1), costs of finishing (3, 1, 2). The probabilities are 0.2,
0.8 x 0.5 = 0.4 and 0.8 x 0.5 x 1 = 0.4, and E[cost] = 0.6 + 0.4 + 0.8 = 1.8. Its slope in the first hazard is
3 - (0.5 x 1 + 0.5 x 2) = 1.5: the cost of finishing now less the expected cost of going on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from agent.core.types import BenchmarkKind, TargetKind
from lem.network.constraints import can_finish, project_share
from lem.network.model import LEM, OrderProgress, OrderTerms
from lem.network.model_config import SCENARIOS

THIN = 0.01
TIE_BREAK = 0.25
ARRIVAL_COUNTS = 3.0  # times that an order judged on arrival counts: what signals are worth is small
REACH = 1.0  # max rates above the limit over which the hazard has a slope


@dataclass(frozen=True, slots=True)
class Orders:
    """N orders over L intervals: market columns [N, L], terms [N]; any float dtype.

    ``price`` and ``last`` (close before the interval) are deviations from one reference price an order;
    ``sigma`` [N, L] is the recent volatility as known at each decision, 0 where unknown; ``scale`` [N]
    the volatility that costs are measured in; ``usual_volume`` [N] an interval's expected volume.
    """

    price: Tensor
    last: Tensor
    volume: Tensor
    sigma: Tensor
    scale: Tensor
    usual_volume: Tensor
    n: Tensor
    m: Tensor
    min_rate: Tensor
    max_rate: Tensor
    lot_share: Tensor
    participation: Tensor
    risk_aversion: Tensor
    arrival_weight: Tensor
    drift: Tensor  # [N, L] the move expected when an interval begins, NaN where it is not known

    def to(self, where: torch.dtype | str) -> Orders:
        """The same orders in another dtype, or on another device."""
        return Orders(*(getattr(self, name).to(where) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Rollout:
    """What each scenario does while unfinished, [8, N, L]; beyond n nothing is traded.

    ``share``: traded in t if t does not finish; ``remaining``: before t; ``hazard``: of finishing in t,
    0 where impossible, 1 in the last interval.
    """

    share: Tensor
    remaining: Tensor
    hazard: Tensor
    gain: Tensor  # of finishing in t: -side (P/B - 1), a fraction of the price
    arrival_gain: Tensor  # the same against the price before the order
    fair_gain: Tensor  # the two as expected when t begins: its price is the last one and half of the drift
    fair_arrival_gain: Tensor


def scenario_columns(like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(side, 1 where notional, 1 where VWAP), [8, 1] each."""
    rows = [(int(s), kind is TargetKind.NOTIONAL, b is BenchmarkKind.VWAP) for s, kind, b in SCENARIOS]
    table = torch.tensor(rows, dtype=like.dtype, device=like.device).unsqueeze(-1)
    return table[:, 0], table[:, 1] > 0, table[:, 2] > 0


def roll(model: LEM, contexts: Tensor, orders: Orders) -> Rollout:
    """Run the policy over N orders. ``contexts`` [N, L, d]: what is known before each interval."""
    side, notional, vwap = scenario_columns(orders.price)
    benchmark = _running_benchmarks(orders, vwap)  # [8, N, L]: over intervals 0 .. t
    given = order_terms(orders, side, benchmark).inputs()  # [8, L, N, inputs]
    flat = model.policy.prepare(contexts.transpose(0, 1).flatten(0, 1), given.flatten(1, 2))
    prepared = flat.view(*given.shape[:3], -1).unbind(1)
    value = _traded_value(orders.price, notional)
    order_volume = (orders.participation * orders.n * orders.usual_volume)[:, None]
    own_unit = order_volume / _before(orders.volume).clamp(min=1e-12)
    remaining = orders.price.new_ones(len(SCENARIOS), len(orders.n))
    spent = torch.zeros_like(remaining)
    steps = []
    for t in range(orders.price.shape[1]):
        k_left = orders.n - 1 - t
        achieved = _achieved_z(orders, t, side, notional, remaining, spent, benchmark)
        progress = OrderProgress(remaining, achieved, (1.0 - remaining) * own_unit[:, t])
        n = orders.n.clamp(min=t + 1.0)  # rows past their end stay finite
        inputs = progress.inputs(torch.full_like(n, t), n, orders.max_rate)
        fraction, finish = model.policy.decide(prepared[t], inputs, n - t)
        share = project_share(
            fraction.to(remaining.dtype) * remaining,
            remaining,
            k_left.expand_as(remaining),
            orders.min_rate,
            orders.max_rate,
            orders.lot_share,
        )
        hazard = torch.where(k_left <= 0, torch.ones_like(finish), _hazard(t, orders, remaining, finish))
        traded = share * (k_left >= 0)
        steps.append((traded, remaining, hazard, spent))
        spent = spent + traded * value[..., t]
        remaining = remaining - traded
    shares, remains, hazards, spents = (torch.stack(rows, dim=-1) for rows in zip(*steps, strict=True))
    # Before the last interval an order with more left than may trade cannot finish. Its price is then that of
    # finishing whole, because the hazard has a slope there.
    steps_left = orders.n[:, None] - 1 - torch.arange(remains.shape[-1], device=remains.device)
    last_trade = torch.where(steps_left > 0, remains, ending(orders, remains))

    def gains(price: Tensor, against: Tensor) -> tuple[Tensor, Tensor]:
        total = spents + last_trade * _traded_value(price, notional)
        achieved, sign = _achieved(total, notional.unsqueeze(-1)), -side.unsqueeze(-1)
        return sign * (achieved - against) / (1.0 + against), sign * achieved

    expected = orders.last + 0.5 * torch.nan_to_num(orders.drift)
    fair = gains(expected, _running_benchmarks(orders, vwap, expected))
    return Rollout(shares, remains, hazards, *gains(orders.price, benchmark), *fair)


def ending(orders: Orders, remaining: Tensor) -> Tensor:
    """What finishing in an interval trades of the ``remaining`` before it, [8, N, L]: the rest expires."""
    return torch.minimum(remaining, orders.max_rate[:, None])


def _hazard(t: int, orders: Orders, remaining: Tensor, finish: Tensor) -> Tensor:
    """The chance of finishing in ``t``: ``finish`` where it may, else 0, with a slope where too much is left.

    A rate limit makes finishing possible or not, with nothing between: without the slope no order would learn
    to trade faster so that it may finish. The value is exact; the slope is that of ``finish`` times a
    sigmoid.
    """
    may = can_finish(torch.tensor(float(t)), orders.m, remaining, orders.max_rate)
    old_enough = torch.tensor(float(t)) + 1.0 >= orders.m
    near = finish * old_enough * torch.sigmoid((orders.max_rate - remaining) / (REACH * orders.max_rate))
    return torch.where(may, finish, near - near.detach())


def order_terms(orders: Orders, side: Tensor, benchmark: Tensor) -> OrderTerms:
    """Terms and market of every order before every interval, [8 or 1, L, N]."""
    length = orders.price.shape[1]
    t = torch.arange(length, dtype=orders.price.dtype, device=orders.price.device).unsqueeze(1)
    sigma = orders.sigma.t()
    known = sigma > 0
    begun = known & (t > 0)
    unit = torch.where(known, sigma, torch.ones_like(sigma))
    last = orders.last.t()
    bench = torch.cat([torch.zeros_like(benchmark[..., :1]), benchmark[..., :-1]], dim=-1).transpose(1, 2)
    sign = side.unsqueeze(-1)
    last_z = torch.where(begun, sign * (last - bench) / ((1.0 + bench) * unit), 0.0)
    elapsed = _before(orders.volume) / orders.usual_volume[:, None]
    return OrderTerms(
        t=t,
        n=torch.maximum(orders.n, t + 1.0),  # rows past their end stay finite
        m=orders.m,
        last_z=last_z,
        arrival_z=torch.where(begun, sign * last / unit, 0.0),
        elapsed_volume=elapsed.t(),
        sigma_known=known,
        participation=orders.participation,
        min_rate=orders.min_rate,
        max_rate=orders.max_rate,
        risk_aversion=orders.risk_aversion,
        arrival_weight=orders.arrival_weight,
    )


def finish_probability(hazard: Tensor) -> Tensor:
    """P(finish at T) [..., L] from hazards [..., L]."""
    going = torch.cumprod(1.0 - hazard, dim=-1)
    before = torch.cat([torch.ones_like(going[..., :1]), going[..., :-1]], dim=-1)
    return hazard * before


def impact_cost(rollout: Rollout, orders: Orders, strength: float) -> Tensor:
    """Square-root impact of finishing in T, a fraction of the price, [8, N, L].

    sum_t a_t Y sigma sqrt(own volume in t / market volume in t), with all that is left in T: the square-root
    law (Donier and Bonart, arXiv 1412.4503). It does not hold where next to nothing trades: the market's
    volume counts as at least THIN of its usual one.
    """
    own = (orders.participation * orders.n * orders.usual_volume).unsqueeze(1)
    market = torch.maximum(orders.volume, THIN * orders.usual_volume.unsqueeze(1))
    unit = strength * orders.scale.unsqueeze(1) * torch.sqrt(own / market)
    each = _power(rollout.share) * unit
    before = each.cumsum(-1) - each
    return before + _power(rollout.remaining) * unit


def loss(rollout: Rollout, orders: Orders, strength: float) -> Tensor:
    """Mean over scenarios and orders of E[c + lambda max(c, 0)^2], c = cost / (sigma sqrt n).

    Orders are weighted by 1 / (1 + lambda), and by ARRIVAL_COUNTS more where there is an arrival weight. The
    weight does not change an order's optimum, but without it the most risk averse orders, whose costs are
    tens of times the others', would have most of the gradient.

    The term that is linear in c: the hazards learn from the finishing interval's price at its expectation,
    the shares from the drift alone (``drift_cost``). Both are unbiased (up to sigma^2 for a fixed notional):
    what prices do beyond their drift has the same mean for any adapted allocation, and its gradient would be
    noise. Where the drift is not known the term is as realised, and the shares learn from prices as far as
    the arrival price counts. Hazards and shares always learn from impact and risk.

    A small order with little risk aversion costs the same on average whatever its shares. The squared
    slippage breaks that tie: it gives the shares a gradient and adds no cost.
    """
    unit = (orders.scale * torch.sqrt(orders.n)).unsqueeze(1)
    classic = (orders.m >= orders.n).unsqueeze(1)
    weight = orders.arrival_weight.unsqueeze(1)
    slippage = torch.where(classic, rollout.gain.abs(), -rollout.gain)
    slippage = slippage - weight * (slippage + rollout.arrival_gain)
    impact = impact_cost(rollout, orders, strength)
    risk = orders.risk_aversion.unsqueeze(1) * torch.relu((slippage + impact) / unit).square()
    known = torch.isfinite(orders.drift[:, :1])
    fair = -(rollout.fair_gain + weight * (rollout.fair_arrival_gain - rollout.fair_gain))
    value = torch.where(known, fair, slippage).detach()
    lead = torch.where(known, drift_cost(rollout, orders), -weight * rollout.arrival_gain)
    linear = torch.where(classic, slippage, value + lead - lead.detach())
    chance = finish_probability(rollout.hazard)
    cost = (chance * ((linear + impact) / unit + risk)).sum(-1)
    spread = (chance.detach() * (1.0 - weight) * (slippage / unit).square()).sum(-1)
    counts = torch.where(orders.arrival_weight > 0.0, ARRIVAL_COUNTS, 1.0) / (1.0 + orders.risk_aversion)
    return ((cost + TIE_BREAK * (spread - spread.detach())) * (counts / counts.mean())).mean()


def drift_cost(rollout: Rollout, orders: Orders) -> Tensor:
    """The drift's expected part of the achieved price when finishing in T, as a cost, [8, N, L].

    side sum_t d_t (R_t - a_t / 2) before T, and half of d_T on what is left: shares trade at the average,
    which moves half as far as the close. The realised price differs from it by a martingale.
    """
    drift = torch.nan_to_num(orders.drift)
    each = drift * (rollout.remaining - 0.5 * rollout.share)
    side, _, _ = scenario_columns(orders.price)
    last = 0.5 * drift * ending(orders, rollout.remaining)
    return side.unsqueeze(-1) * (each.cumsum(-1) - each + last)


def _power(share: Tensor) -> Tensor:
    """share^1.5 with a finite slope at 0."""
    return share * torch.sqrt(share.clamp(min=0.0) + 1e-9)


def _running_benchmarks(orders: Orders, vwap: Tensor, price: Tensor | None = None) -> Tensor:
    """Benchmarks over intervals 0 .. t, [8, N, L]; ``price``: of interval t, in the place of its own."""
    length = orders.price.shape[1]
    steps = torch.arange(1, length + 1, dtype=orders.price.dtype, device=orders.price.device)
    newest = orders.price if price is None else price
    twap = (_before(orders.price) + newest) / steps
    weighted = _before(orders.price * orders.volume) + newest * orders.volume
    volume = orders.volume.cumsum(1)
    by_volume = torch.where(volume > 0, weighted / volume.clamp(min=1e-12), twap)
    return torch.where(vwap.unsqueeze(-1), by_volume, twap)


def _traded_value(price: Tensor, notional: Tensor) -> Tensor:
    """What a unit of share adds to the sum that gives the achieved price: x, or x / (1 + x)."""
    return torch.where(notional.unsqueeze(-1), price / (1.0 + price), price)


def _before(column: Tensor) -> Tensor:
    """Running sum of [N, L] before each interval: a decision has not seen the interval itself."""
    return torch.cat([torch.zeros_like(column[:, :1]), column[:, :-1].cumsum(1)], dim=1)


def _achieved(total: Tensor, notional: Tensor) -> Tensor:
    """Deviation of the achieved price from the sum over a whole order (shares sum to 1)."""
    return torch.where(notional, total / (1.0 - total), total)


def _achieved_z(
    orders: Orders,
    t: int,
    side: Tensor,
    notional: Tensor,
    remaining: Tensor,
    spent: Tensor,
    benchmark: Tensor,
) -> Tensor:
    """side * (achieved price / running benchmark - 1) / sigma before interval ``t``, 0 where unknown."""
    if t == 0:
        return torch.zeros_like(remaining)
    sigma, bench = orders.sigma[:, t], benchmark[..., t - 1]
    known = sigma > 0
    done = 1.0 - remaining
    average = _achieved(spent / done.clamp(min=1e-6), notional)
    unit = side / ((1.0 + bench) * torch.where(known, sigma, 1.0))
    return torch.where(known & (done > 1e-6), (average - bench) * unit, 0.0)
