"""Positions in contracts, linear and inverse: full collateral in the settle currency, no leverage.

The rules:

* an order sets aside the full value, at its limit, of what it would open, and its fee; what it would
  close of the lane's position costs nothing, and no two open orders may close the same lots;
* of a lane's open orders on one side the cheapest lots are those that close, whichever order came first: so
  what the others set aside is enough in whatever turn they are filled, and what was set aside for one that
  closes a position after all serves the one that must open instead;
* what was set aside for lots stays with the position that they open, and is free when they are closed;
* a closed lot pays its profit or loss, against the average value at which the position was entered, into
  the balance: of a linear contract what the price gained, of an inverse one what its value in the base
  currency lost (for who had bought);
* there is no liquidation, no funding and no marking to market: a loss is felt when it is realised. A balance
  below zero takes no new order that opens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from agent.core.instrument import Instrument
from agent.core.orders.venue_messages import VenueOrder
from agent.venue.account import Account


@dataclass(slots=True)
class Position:
    """Contracts of one instrument that a lane holds: above 0 bought, below sold."""

    lots: int = 0
    entry_tl: int = 0  # what they were worth when entered, by ``agent.core.money``; never below 0
    collateral: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left of an open order: its lots, and what is left of a bound on its money (0: none)."""

    order: VenueOrder
    lots: int
    cap_tl: int = 0


@dataclass(frozen=True, slots=True)
class Need:
    """What an order must set aside, in the settle currency, and the lots of it that only close."""

    amount: Decimal
    closing: int


class Margin:
    """The positions of every lane, and what its open orders need."""

    def __init__(self, instruments: Sequence[Instrument], fee_rate: Decimal) -> None:
        self._instruments = instruments
        self._fee_rate = fee_rate
        self._positions: dict[tuple[int, int], Position] = {}

    def position(self, lane: int, instrument: int) -> Position:
        return self._positions.setdefault((lane, instrument), Position())

    def forget_lane(self, lane: int) -> None:
        self._positions = {key: held for key, held in self._positions.items() if key[0] != lane}

    def needs(self, rests: Sequence[Rest]) -> list[Need]:
        """What each of a lane's open orders on one side of an instrument needs, all of them together."""
        found: dict[int, Need] = {}
        for i, rest in sorted(enumerate(rests), key=lambda pair: self._of_one_lot(pair[1].order)):
            order, lots = rest.order, rest.lots
            if rest.cap_tl:  # lots of an order bounded in money are an upper bound
                lots = min(lots, -(-rest.cap_tl // order.price_ticks))
            held = -self.position(order.lane, order.instrument).lots * order.side
            closing = min(lots, max(0, held - sum(need.closing for need in found.values())))
            found[i] = Need(self._set_aside(rest, lots - closing, lots), closing)
        return [found[i] for i in range(len(rests))]

    def fill(self, account: Account, order: VenueOrder, price_ticks: int, lots: int) -> None:
        """Book a fill into the position."""
        instrument = self._instruments[order.instrument]
        position = self.position(order.lane, order.instrument)
        closed = min(lots, max(0, -position.lots * order.side))
        if closed:
            self._close(account, instrument, position, price_ticks, closed)
        if opened := lots - closed:
            collateral = instrument.notional(instrument.value_tl(order.price_ticks, opened))
            account.tie(instrument.settle, collateral)
            position.lots += opened * order.side
            position.entry_tl += instrument.value_tl(price_ticks, opened)
            position.collateral += collateral

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

    def _set_aside(self, rest: Rest, opening: int, lots: int) -> Decimal:
        """The value of what opens, and the fee on all of it, at the order's limit."""
        instrument = self._instruments[rest.order.instrument]
        values = [instrument.value_tl(rest.order.price_ticks, n) for n in (opening, lots)]
        if rest.cap_tl:
            values = [min(rest.cap_tl, value) for value in values]
        return instrument.notional(values[0]) + instrument.notional(values[1]) * self._fee_rate

    def _of_one_lot(self, order: VenueOrder) -> int:
        return self._instruments[order.instrument].value_tl(order.price_ticks, 1)
