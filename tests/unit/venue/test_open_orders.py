"""What an arriving order has to know of the open ones: how many beside it, and which on the other side."""

from __future__ import annotations

from decimal import Decimal

from agent.core.orders.venue_messages import VenueOrder
from agent.core.types import Side, TimeInForce
from agent.venue.ledger import OpenOrder
from agent.venue.open_orders import OpenOrders


def order(number: int, side: Side = Side.BUY, lane: int = 0, instrument: int = 0) -> VenueOrder:
    return VenueOrder(number, lane, instrument, side, TimeInForce.GTC, 100, 5, 0, 0)


def test_only_its_lane_and_instrument_are_beside_it() -> None:
    """Of six open orders two are on the other side of its own market; an open one is not beside itself."""
    found = OpenOrders()
    orders = [
        order(1),
        order(2),
        order(3, Side.SELL),
        order(4, Side.SELL),
        order(5, Side.SELL, lane=1),
        order(6, Side.SELL, instrument=1),
    ]
    for one in orders:
        found.add(OpenOrder(one, 5, "USDT", Decimal(0)))
    assert found.beside(order(9)).others == 4
    beside = found.beside(orders[0])
    assert (beside.others, beside.opposite) == (3, orders[2:4])
    found.pop(3)
    assert found.beside(orders[0]).opposite == [orders[3]]
    assert found.beside(orders[3]) == (2, orders[:2])
    assert (3 in found, found.get(3), [s.order.number for s in found.values()]) == (
        False,
        None,
        [1, 2, 4, 5, 6],
    )
