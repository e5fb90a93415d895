"""What limits of money, of quantity and of the market's volume have against an order at its start.

Example: at a mid of 60,000 USDT, 90 BTC are worth 5.4 million, and ``risk.max_notional`` allows 5 million:
some child must be refused, whatever the market does, so the order is refused before the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

from agent.core.money import MOST_ORDER_TL
from agent.core.orders.order_value import SLACK_BPS, too_much
from agent.core.orders.risk import tightest_cap
from agent.core.orders.venue_messages import VenueOrder
from agent.core.types import Side
from agent.preflight.order_at_start import Finding, OrderAtStart

SURPRISE = 100
"""Times the expected volume that no market is thought to trade."""

Lacking = Callable[[VenueOrder], str]
"""Why an account could not pay for an order now, or ""."""


def counted_findings(order: OrderAtStart) -> Iterator[Finding]:
    """What 64 bits hold: its fills are counted, at whatever price they are."""
    if fault := too_much(order.instrument, order.price, order.lots, order.cap_tl, MOST_ORDER_TL):
        yield Finding("order_size", fault)


def notional_findings(order: OrderAtStart) -> Iterator[Finding]:
    """``risk.max_notional``: refused where even the least value is more; doubtful where the slack is."""
    most, quote = order.rules.risk.max_notional, order.instrument.quote
    if most is None or not order.price:
        return
    allowed = f"at most {most:f} {quote} is allowed (risk.max_notional)"
    least, now = order.value(order.best_price), order.value(order.price)
    if least > most:
        yield Finding("max_notional", f"the order is worth {least:.2f} {quote}, {allowed}")
    elif now * (1 + Decimal(SLACK_BPS) / 10_000) > most:
        what = f"the order is worth {now:.2f} {quote} now, {allowed}"
        yield Finding("max_notional", f"{what}: its last part may be refused", False)


def balance_findings(order: OrderAtStart, lacking: Lacking) -> Iterator[Finding]:
    """The account, against all that the order would set aside: money, quantity or margin, and fees."""
    if order.price and (reason := lacking(order.as_one())):
        yield Finding("balance", f"for the whole order at {order.money(order.price)}, {reason}")


def child_findings(order: OrderAtStart) -> Iterator[Finding]:
    """The most that one child may be, against the least that the exchange takes, and against the whole."""
    limits = {
        "risk.max_child_quantity": order.rules.risk.max_child_quantity,
        "venue.max_quantity": order.rules.venue.max_quantity,
    }
    for key, most in limits.items():
        if most is not None:
            yield from _child_within(order, most, f"{most:f} {order.instrument.unit} ({key})")


def _child_within(order: OrderAtStart, most: Decimal, limit: str) -> Iterator[Finding]:
    most_lots, sends = int(most / order.instrument.lot), order.most_children
    if most_lots < order.least_lots:
        least = order.quantity(order.least_lots)
        yield Finding("child_size", f"the exchange takes no order below {least}, at most {limit} is allowed")
    elif order.lots > sends * most_lots:
        what = f"{order.quantity(order.lots)} takes more than the {sends} orders that {order.window} has time"
        yield Finding("child_size", f"{what} for, where each is at most {limit}")
    elif order.lots > order.even_children * most_lots:
        what = f"even parts of {order.quantity(order.lots)} are cut to at most {limit}"
        yield Finding("child_size", f"{what}: there may be no time for all of it", False)


def volume_findings(order: OrderAtStart) -> Iterator[Finding]:
    """The order against what is shown and expected to trade: nobody is filled beyond it."""
    expected, shown, most = order.facts.expected_lots, order.facts.shown_lots, order.rules.max_volume_share
    if expected is None or shown is None or most is None:
        return
    offered = shown[1 if order.spec.side is Side.BUY else 0]
    share = order.lots / (expected + offered)
    if share > most:
        there = f"{_expected(order)} and the {order.quantity(offered)} offered now"
        what = f"{order.quantity(order.lots)} is {share:.4g} times {there}"
        yield Finding("volume_share", f"{what}, at most {most:g} times is allowed (risk.max_volume_share)")


def participation_findings(order: OrderAtStart) -> Iterator[Finding]:
    """The tightest participation cap: doubtful where it leaves not all of the order.

    Volume may surprise. Refused is what would have no child at many times (``SURPRISE``) of it.
    """
    expected = order.facts.expected_lots
    tightest = tightest_cap(order.spec.participation_cap, order.rules.risk.max_participation)
    if expected is None or tightest is None or not order.price:
        return
    cap, key = tightest
    allowed = int(cap * expected)
    share = f"a share of {cap:g} ({key}) of {_expected(order)} is {order.quantity(allowed)}"
    if allowed < order.least_lots:
        what = f"{share}, and the exchange takes no order below {order.quantity(order.least_lots)}"
        yield Finding("participation", what, SURPRISE * cap * expected < order.least_lots)
    elif allowed < order.lots:
        what = f"{share}, and the order is {order.quantity(order.lots)}"
        yield Finding("participation", f"{what}: the rest would expire", False)


def _expected(order: OrderAtStart) -> str:
    lots = round(order.facts.expected_lots or 0)
    return f"the {order.quantity(lots)} expected to trade in {order.window}"
