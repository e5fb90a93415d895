"""A venue outside, the engine's half: what waits to be sent, and what a replay sends."""

from __future__ import annotations

import pytest

from agent.core.orders.venue_messages import VenueOrder
from agent.core.types import Side, TimeInForce
from agent.venue.outside import MessageKind, OutsideVenue
from tests.venue import Stand


def order() -> VenueOrder:
    return Stand().send(0, tif=TimeInForce.GTC, side=Side.BUY, price_ticks=9_990, lots=20)


def asked(venue: OutsideVenue) -> None:
    """Each thing that can be asked of a venue, once."""
    one = order()
    venue.submit(one, 1)
    venue.amend(one, 9_991, 15, 2)
    venue.query(one, 3)
    venue.cancel(one, 4)


def test_what_is_asked_waits_in_order_until_it_is_taken() -> None:
    """An order, its new terms, a question about it, its cancellation; taken once."""
    venue = OutsideVenue()
    asked(venue)
    taken = venue.take()
    kinds = [MessageKind.SUBMIT, MessageKind.AMEND, MessageKind.QUERY, MessageKind.CANCEL]
    assert [message.kind for message in taken] == kinds
    terms = [(message.price_ticks, message.lots, message.sent_ns) for message in taken]
    assert terms == [(9_990, 20, 1), (9_991, 15, 2), (9_990, 20, 3), (9_990, 20, 4)]
    assert venue.take() == []


@pytest.mark.parametrize("replaying", [True, False])
def test_a_replay_sends_nothing(replaying: bool) -> None:
    """Its reports are in the journal."""
    venue = OutsideVenue(replaying=replaying)
    asked(venue)
    assert len(venue.take()) == (0 if replaying else 4)
