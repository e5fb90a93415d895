"""What the exchange and the limits of a price have against an order at its start.

Each rule yields what it finds. A price that only the market's next move could mend is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.core.clock import in_utc
from agent.core.types import Side
from agent.preflight.order_at_start import Finding, OrderAtStart
from agent.venue.order_rules import band_refusals, least_refusals


def halt_findings(order: OrderAtStart) -> Iterator[Finding]:
    """Halts that stand in the order's time, or leave none of it."""
    now_ns, symbol = order.facts.now_ns, order.spec.symbol
    end_ns = now_ns + order.spec.max_duration_ns
    for halt in order.rules.venue.halts:
        if halt.symbol not in ("", symbol) or halt.end_ns <= now_ns or halt.start_ns >= end_ns:
            continue
        whole = halt.start_ns <= now_ns and halt.end_ns >= end_ns
        part = "all" if whole else "a part"
        span = f"{in_utc(halt.start_ns)} to {in_utc(halt.end_ns)}"
        yield Finding(
            "halt", f"{symbol} is halted for {part} of the order's time, {span} (venue.halts)", whole
        )


def least_findings(order: OrderAtStart) -> Iterator[Finding]:
    """The exchange's minimums, at the limit that the whole order would have as one child."""
    if order.price:
        for reason in least_refusals(order.instrument, order.price, order.lots, order.cap_tl):
            yield Finding("least_order", f"the whole order's {reason}")


def limit_findings(order: OrderAtStart) -> Iterator[Finding]:
    """A limit that the market has to come to first."""
    limit, touch = order.spec.limit_price_ticks, order.facts.touch
    far = touch[1] if order.spec.side is Side.BUY else touch[0]
    if touch[0] and limit is not None and order.spec.side * (far - limit) > 0:
        away = abs(order.beyond_mid_bps(limit))
        what = f"the order's own limit {order.money(limit)} is {away:.2f} bps from the mid"
        yield Finding(
            "limit_price", f"{what}: nothing trades until the market comes to it (order.limit_price)", False
        )


def band_findings(order: OrderAtStart) -> Iterator[Finding]:
    """The venue's band around the mid, at the limit that children have now."""
    if not order.facts.touch[0]:
        return
    band_bps = order.rules.venue.price_band_bps
    own = order.price == order.spec.limit_price_ticks
    source = "order.limit_price" if own else f"tactics.reach_bps: {order.rules.tactics.reach_bps:g}"
    for reason in band_refusals(order.instrument, order.price, order.mid_half_ticks, band_bps):
        yield Finding("price_band", f"{reason}; the price is by {source}", own or not order.rests)


def collar_findings(order: OrderAtStart) -> Iterator[Finding]:
    """The collar on the costly side of the mid: against what children reach, and against the own limit."""
    collar = order.rules.risk.price_collar_bps
    if collar is None or not order.facts.touch[0]:
        return
    reach_bps, limit = order.rules.tactics.reach_bps, order.spec.limit_price_ticks
    allowed = f"at most {collar:g} bps is allowed (risk.price_collar_bps)"
    reached = order.beyond_mid_bps(order.price)
    if reached > collar:
        what = f"{order.spec.side.name.lower()} at {order.money(order.price)} reaches {reached:.2f} bps"
        fatal = reach_bps > collar and not order.rests  # else a wide spread is why, and it may narrow
        yield Finding(
            "price_collar", f"{what} beyond the mid, {allowed}; tactics.reach_bps is {reach_bps:g}", fatal
        )
    if limit is not None and (beyond := order.beyond_mid_bps(limit)) > collar:
        what = f"the order's own limit {order.money(limit)} is {beyond:.2f} bps beyond the mid"
        yield Finding("price_collar", f"{what}, {allowed}: the limit is never reached", False)
