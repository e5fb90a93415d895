"""Positions in contracts, linear and inverse: full collateral in the settle currency, no leverage.

The rules:

* an order sets aside the full value, at its limit, of what it would open, and its fee; what it would
  close of the lane's position costs nothing, and no two open orders may close the same lots;
* what was set aside for lots stays with the position that they open, and is free when they are closed;
* a closed lot pays its profit or loss, against the average value at which the position was entered, into
  the balance: of a linear contract what the price gained, of an inverse one what its value in the base
  currency lost (for who had bought);
* where another order, that had set money aside, closes first what one has promised to close, the latter opens
  with nothing set aside: what is available may be below zero until one of them is closed;
* there is no liquidation, no funding and no marking to market: a loss is felt when it is realised. A balance
  below zero takes no new order that opens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from agent.core.instrument import Instrument
from agent.core.orders.venue_messages import VenueOrder
from agent.core.types import Side
from agent.venue.account import Account


@dataclass(slots=True)
class Position:
    """Contracts of one instrument that a lane holds: above 0 bought, below sold."""

    lots: int = 0
    entry_tl: int = 0  # what they were worth when entered, by ``agent.core.money``; never below 0
    collateral: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Need:
    """What an order must set aside, in the settle currency, and the lots of it that only close."""

    amount: Decimal
    closing: int


class Margin:
    """The positions of every lane, and which lots open orders have promised to close."""

    def __init__(self, instruments: Sequence[Instrument], fee_rate: Decimal) -> None:
        self._instruments = instruments
        self._fee_rate = fee_rate
        self._positions: dict[tuple[int, int], Position] = {}
        self._promised: dict[tuple[int, int, Side], int] = {}

    def position(self, lane: int, instrument: int) -> Position:
        return self._positions.setdefault((lane, instrument), Position())

    def need(self, order: VenueOrder, lots: int) -> Need:
        """What ``lots`` of the order need; lots that it has promised to close must be taken back before."""
        if order.cap_tl:  # lots of an order bounded in money are an upper bound
            lots = min(lots, -(-order.cap_tl // order.price_ticks))
        held = -self.position(order.lane, order.instrument).lots * order.side
        closing = min(lots, max(0, held - self._promised.get(_key(order), 0)))
        return Need(self._held_for(order, lots - closing, lots), closing)

    def promise(self, order: VenueOrder, closing: int) -> None:
        """Count lots that the order will close; below 0: it no longer will."""
        self._promised[_key(order)] = self._promised.get(_key(order), 0) + closing

    def fill(
        self, account: Account, order: VenueOrder, price_ticks: int, lots: int, closing: int, held: Decimal
    ) -> Decimal:
        """Book a fill, ``closing`` of it promised to close; returns what of ``held`` it has used up."""
        instrument = self._instruments[order.instrument]
        position = self.position(order.lane, order.instrument)
        used = min(held, self._held_for(order, lots - closing, lots))
        account.release(instrument.settle, used)
        closed = min(lots, max(0, -position.lots * order.side))
        if closed:
            self._close(account, instrument, position, price_ticks, closed)
        if opened := lots - closed:
            collateral = instrument.notional(instrument.value_tl(order.price_ticks, opened))
            account.tie(instrument.settle, collateral)
            position.lots += opened * order.side
            position.entry_tl += instrument.value_tl(price_ticks, opened)
            position.collateral += collateral
        return used

    def _close(
        self, account: Account, instrument: Instrument, position: Position, price_ticks: int, lots: int
    ) -> None:
        size, side = abs(position.lots), 1 if position.lots > 0 else -1
        entry_tl = position.entry_tl * lots // size
        collateral = position.collateral * lots / size if lots < size else position.collateral
        gained_tl = side * (instrument.value_tl(price_ticks, lots) - entry_tl)
        account.move(instrument.settle, instrument.notional(-gained_tl if instrument.inverse else gained_tl))
        account.release(instrument.settle, collateral)
        position.lots -= side * lots
        position.entry_tl -= entry_tl
        position.collateral -= collateral

    def _held_for(self, order: VenueOrder, opening: int, lots: int) -> Decimal:
        """The value of what opens, and the fee on all of it, at the order's limit."""
        instrument = self._instruments[order.instrument]
        values = [instrument.value_tl(order.price_ticks, n) for n in (opening, lots)]
        if order.cap_tl:
            values = [min(order.cap_tl, value) for value in values]
        return instrument.notional(values[0]) + instrument.notional(values[1]) * self._fee_rate


def _key(order: VenueOrder) -> tuple[int, int, Side]:
    return order.lane, order.instrument, order.side
