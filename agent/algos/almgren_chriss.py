"""Almgren-Chriss: the schedule that minimises expected cost plus lambda times its variance.

Source: R. Almgren and N. Chriss, "Optimal execution of portfolio transactions", Journal of Risk 3
(2000), in discrete time with tau = 1 interval: holdings x_j = X sinh(kappa (T - t_j)) / sinh(kappa T),
kappa from 2 (cosh(kappa tau) - 1) / tau^2 = lambda sigma^2 / eta~, eta~ = eta - gamma tau / 2. The
solution is consistent in time, so each interval solves it anew for what is left.

Parameters (``algo_params``); costs and volatility are fractions of the price, the order is 1:

* ``eta``     temporary impact in bps of trading the whole order in one interval. Default: the
              square-root law with Y = 1, sigma sqrt(order / one interval's volume), where the market's
              volume is known; else 10 bps.
* ``gamma``   permanent impact in bps of the whole order; default 0. Needs ``eta`` > ``gamma`` / 2.
* ``lambda``  aversion to variance. Default: risk aversion / (sigma sqrt(n)), the scale on which the
              model's own objective weighs risk.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import asinh, exp, expm1, isfinite, sqrt

from agent.algos.common import closing, interval_volatility, percent
from agent.core.types import MarketView, OrderView, Slice

ETA_BPS = 10.0
GAMMA_BPS = 0.0
MIN_ETA = 1e-9  # as good as no impact: the schedule is then immediate
BPS = 1e-4


class AlmgrenChriss:
    """The efficient trade-off between impact and risk, horizon the max duration."""

    name = "almgren_chriss"

    def decide(self, order: OrderView, market: MarketView) -> Slice:
        end = closing(order)
        if end is not None:
            return end
        left = order.n - order.t
        sigma = interval_volatility(market.bars)
        if sigma is None:
            reason = "almgren_chriss: volatility unknown, so evenly over what is left"
            return Slice(order.remaining / left, False, reason=reason)
        kappa = urgency(sigma, order.n, order.expected_participation, order.risk_aversion, order.params)
        part = 1.0 - holdings_ratio(kappa, left)
        return Slice(
            order.remaining * part,
            False,
            reason=f"almgren_chriss: {percent(part)} of what is left, urgency kappa = {kappa:.3f}"
            f" at sigma = {sigma / BPS:.2f} bps an interval",
        )


def urgency(
    sigma: float, n: int, participation: float, risk_aversion: float, params: Mapping[str, float]
) -> float:
    """Return kappa per interval; 0 is a straight line, large is immediate.

    ``sigma`` is an interval's volatility as a fraction of the price, ``n`` the order's intervals,
    ``participation`` its share of the volume expected over them, ``params`` as in the module's docstring.
    """
    aversion = params.get("lambda", risk_aversion / (sigma * sqrt(n)))
    eta = params["eta"] * BPS if "eta" in params else _default_eta(sigma, n, participation)
    eta_tilde = max(eta - 0.5 * params.get("gamma", GAMMA_BPS) * BPS, MIN_ETA)
    # 2 (cosh k - 1) = 4 sinh(k / 2)^2, which keeps its digits where k is small.
    return 2.0 * asinh(0.5 * sqrt(max(aversion, 0.0) * sigma * sigma / eta_tilde))


def holdings_ratio(kappa: float, left: int) -> float:
    """Return sinh(kappa (left - 1)) / sinh(kappa left): what is kept of the holdings after one interval."""
    if kappa * left < 1e-6:
        return (left - 1) / left
    return exp(-kappa) * expm1(-2.0 * kappa * (left - 1)) / expm1(-2.0 * kappa * left)


def _default_eta(sigma: float, n: int, participation: float) -> float:
    if not isfinite(participation) or participation <= 0:
        return ETA_BPS * BPS
    return sigma * sqrt(participation * n)
