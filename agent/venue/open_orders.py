"""The orders that a venue has taken and not closed, found by what an arriving order has to know of them.

Theory of operation: an arriving order asks how many of its lane rest in its instrument, and which of them
stand on the other side. Both are kept as orders come and go, by (lane, instrument, side), so that an arrival
costs no more with thousands of open orders than with one; only its own other side is gone through.
"""

from __future__ import annotations

from typing import NamedTuple

from agent.core.orders.venue_messages import VenueOrder
from agent.core.types import Side
from agent.venue.ledger import OpenOrder


class Beside(NamedTuple):
    """What else of an order's lane is open in its instrument."""

    others: int
    opposite: list[VenueOrder]  # those on the other side


class OpenOrders:
    """Open orders by their numbers."""

    def __init__(self) -> None:
        self._all: dict[int, OpenOrder] = {}
        self._where: dict[tuple[int, int, Side], dict[int, OpenOrder]] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._all

    def __getitem__(self, number: int) -> OpenOrder:
        return self._all[number]

    def get(self, number: int) -> OpenOrder | None:
        return self._all.get(number)

    def values(self) -> list[OpenOrder]:
        """In the order in which they came."""
        return list(self._all.values())

    def add(self, state: OpenOrder) -> None:
        order = state.order
        self._all[order.number] = state
        self._where.setdefault((order.lane, order.instrument, order.side), {})[order.number] = state

    def pop(self, number: int) -> OpenOrder:
        state = self._all.pop(number)
        order = state.order
        where = order.lane, order.instrument, order.side
        del self._where[where][number]
        if not self._where[where]:  # a shadow's lane is not seen again
            del self._where[where]
        return state

    def beside(self, order: VenueOrder) -> Beside:
        """What is open beside ``order``, which may be open itself."""
        mine = self._where.get((order.lane, order.instrument, order.side), {})
        other = Side.SELL if order.side is Side.BUY else Side.BUY
        opposite = self._where.get((order.lane, order.instrument, other), {})
        return Beside(
            len(mine) + len(opposite) - (order.number in mine), [state.order for state in opposite.values()]
        )
