"""The money of every lane: what open orders set aside, what fills move, what fees are charged.

Nothing is ever spent that was not there: an order is taken only when all it may cost can be set aside,
and what a fill spends comes out of that. So no balance can fall below zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from agent.core.instrument import Instrument
from agent.core.types import Side
from agent.venue.account import Account
from agent.venue.fees import PPM, Charge, FeeBook, Fees
from agent.venue.orders import VenueOrder


@dataclass(slots=True)
class OpenOrder:
    """An order that the venue has taken. ``lots`` of ``order`` are filled or ``left``."""

    order: VenueOrder
    left: int
    currency: str  # what was set aside for it, and how much of that is left
    held: Decimal
    spent_tl: int = 0  # money of its fills
    fills: int = 0


class Ledger:
    """Accounts and fee books by lane, opened with the configured balances on first use."""

    def __init__(
        self, instruments: Sequence[Instrument], fees: Fees, balances: Mapping[str, Decimal]
    ) -> None:
        self._instruments, self._fees, self._balances = instruments, fees, balances
        self._accounts: dict[int, Account] = {}
        self._books: dict[int, FeeBook] = {}

    def account(self, lane: int) -> Account:
        if lane not in self._accounts:
            self._accounts[lane] = Account(self._balances)
            self._books[lane] = FeeBook(self._fees)
        return self._accounts[lane]

    def open(self, order: VenueOrder) -> OpenOrder | str:
        """The order with what it may cost set aside, or why it cannot be paid for."""
        currency, amount = self._cost(order, order.lots)
        refusal = self._hold(order.lane, currency, amount)
        return refusal or OpenOrder(order, order.lots, currency, amount)

    def amend(self, state: OpenOrder, order: VenueOrder, left: int) -> str:
        """Set aside what ``left`` lots at the new price may cost instead; "" or why not, nothing changed."""
        account = self.account(order.lane)
        account.release(state.currency, state.held)
        currency, amount = self._cost(order, left)
        refusal = self._hold(order.lane, currency, amount)
        if refusal:
            account.hold(state.currency, state.held)
        else:
            state.order, state.left, state.held = order, left, amount
        return refusal

    def close(self, state: OpenOrder) -> None:
        """Free what is still set aside."""
        self.account(state.order.lane).release(state.currency, state.held)

    def settle(self, state: OpenOrder, price_ticks: int, lots: int, maker: bool) -> Charge:
        """Move the money of a fill; what was set aside for it is free again. Returns its fee."""
        side, lane = state.order.side, state.order.lane
        instrument = self._instruments[state.order.instrument]
        account = self.account(lane)
        charge = self._books[lane].charge(account, instrument, side, price_ticks, lots, maker)
        value = instrument.notional(price_ticks * lots)
        quantity = instrument.quantity(lots) * instrument.multiplier
        account.move(instrument.base, quantity * side)
        account.move(instrument.quote, -value * side)
        account.move(charge.currency, -charge.amount)
        fee = max(instrument.notional(charge.fee_tlp) / PPM, Decimal(0))
        spent = min(state.held, value + fee if side is Side.BUY else quantity)
        account.release(state.currency, spent)
        state.held -= spent
        state.left -= lots
        state.spent_tl += price_ticks * lots
        state.fills += 1
        return charge

    def _cost(self, order: VenueOrder, lots: int) -> tuple[str, Decimal]:
        """(currency, most that ``lots`` of the order can take of it)."""
        instrument = self._instruments[order.instrument]
        if order.side is Side.BUY:
            value = instrument.notional(order.cap_tl or lots * order.price_ticks)
            return instrument.quote, value * (1 + self._fees.worst_rate())
        if order.cap_tl:  # lots of a money-bounded sale are an upper bound
            lots = min(lots, -(-order.cap_tl // order.price_ticks))
        return instrument.base, instrument.quantity(lots) * instrument.multiplier

    def _hold(self, lane: int, currency: str, amount: Decimal) -> str:
        account = self.account(lane)
        if account.hold(currency, amount):
            return ""
        return f"balance {account.available(currency)} {currency} does not cover {amount.normalize():f}"
