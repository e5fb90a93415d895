"""The smallest and the largest child of an order.

The smallest, in the target's unit, is what a plan may cut an order into. It is judged at the lowest price
that a child may be sent with soon (``agent.core.orders.order_value``). So what was planned as large enough is
large enough when it is sent, though the price has moved by a few basis points in between. What is too small
at the limit it would be sent with is not sent at all: an exchange could only refuse it.

The largest is what one order may be (``risk.max_child_quantity``, and the venue's own maximum): a larger one
is cut to it, and the tactic carries the rest to its next.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from agent.core.instrument import Instrument
from agent.core.orders.order_value import (
    highest_price_ticks,
    least_lots,
    least_tl,
    lowest_price_ticks,
    order_lots,
    order_value,
)
from agent.core.types import ParentSpec, TargetKind
from agent.engine.pretrade import Ticket


def least_units(instrument: Instrument, spec: ParentSpec, touch: tuple[int, int], reach_bps: float) -> int:
    """Lots of a quantity, ticks x lots of a notional. ``touch``: (bid, ask); 0, 0 without a book."""
    lowest = lowest_price_ticks(spec.side, touch, reach_bps, spec.limit_price_ticks) if touch[0] else 0
    if spec.target_kind is TargetKind.QUANTITY:
        # without a book no value is known: the exchange's own least number of lots
        return least_lots(instrument, lowest) if lowest or instrument.inverse else instrument.min_lots
    value = least_tl(instrument)
    if not lowest:
        return max(1, value)
    highest = highest_price_ticks(spec.side, touch, reach_bps)
    return max(value + highest - 1 if value else 0, highest * instrument.min_lots)  # in whole lots, too


def too_small(ticket: Ticket, instrument: Instrument) -> str:
    """The minimum of the exchange's that a ticket is below, or ""."""
    if ticket.lots < instrument.min_lots:
        return "exchange.min_quantity"
    value = order_value(instrument, ticket.price_ticks, ticket.lots, ticket.cap_tl)
    return "exchange.min_notional" if value < instrument.min_notional else ""


def within_most(ticket: Ticket, instrument: Instrument, mosts: Iterable[Decimal | None]) -> Ticket:
    """The ticket, cut to the smallest of the maxima; None is no maximum."""
    most = min((most for most in mosts if most is not None), default=None)
    if most is None:
        return ticket
    lots, most_lots = order_lots(ticket.price_ticks, ticket.lots, ticket.cap_tl), int(most / instrument.lot)
    if lots <= most_lots:
        return ticket
    return replace(ticket, lots=most_lots, cap_tl=ticket.price_ticks * most_lots if ticket.cap_tl else 0)
