"""The money of every lane: what open orders set aside, what fills move, what fees are charged.

Nothing is ever spent that was not there: an order is taken only when all it may cost can be set aside,
and what a fill spends comes out of that. So no balance can fall below zero, but by the losses of
contracts (``agent.venue.margin``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from agent.core.instrument import Instrument
from agent.core.money import PPM
from agent.core.orders.venue_messages import VenueOrder
from agent.core.types import Side
from agent.venue.account import Account
from agent.venue.fees import Charge, FeeBook, Fees
from agent.venue.margin import Margin, Position


@dataclass(slots=True)
class OpenOrder:
    """An order that the venue has taken. ``lots`` of ``order`` are filled or ``left``."""

    order: VenueOrder
    left: int
    currency: str  # what was set aside for it, and how much of that is left
    held: Decimal
    spent_tl: int = 0  # money of its fills
    closing: int = 0  # lots of a contract that it has promised to close
    fills: int = 0


class Ledger:
    """Accounts and fee books by lane, opened with the configured balances on first use."""

    def __init__(
        self, instruments: Sequence[Instrument], fees: Fees, balances: Mapping[str, Decimal]
    ) -> None:
        self._instruments, self._fees, self._balances = instruments, fees, balances
        self._accounts: dict[int, Account] = {}
        self._books: dict[int, FeeBook] = {}
        self._margin = Margin(instruments, fees.worst_rate())

    def position(self, lane: int, instrument: int) -> Position:
        """What a lane holds of a contract."""
        return self._margin.position(lane, instrument)

    def account(self, lane: int) -> Account:
        if lane not in self._accounts:
            self._accounts[lane] = Account(self._balances)
            self._books[lane] = FeeBook(self._fees)
        return self._accounts[lane]

    def open(self, order: VenueOrder) -> OpenOrder | str:
        """The order with what it may cost set aside, or why it cannot be paid for."""
        currency, amount, closing = self._cost(order, order.lots)
        refusal = self._hold(order.lane, currency, amount)
        if refusal:
            return refusal
        self._margin.promise(order, closing)
        return OpenOrder(order, order.lots, currency, amount, closing=closing)

    def lacking(self, order: VenueOrder) -> str:
        """Why the account could not pay for an order now, or ""; nothing is set aside."""
        currency, amount, _ = self._cost(order, order.lots)
        available = self.account(order.lane).available(currency)
        return "" if amount <= available else _lacking(available, currency, amount)

    def amend(self, state: OpenOrder, order: VenueOrder, left: int) -> str:
        """Set aside what ``left`` lots at the new price may cost instead; "" or why not, nothing changed."""
        account = self.account(order.lane)
        account.release(state.currency, state.held)
        self._margin.promise(state.order, -state.closing)
        currency, amount, closing = self._cost(order, left)
        refusal = self._hold(order.lane, currency, amount)
        if refusal:
            account.tie(state.currency, state.held)
        else:
            state.order, state.left, state.held, state.closing = order, left, amount, closing
        self._margin.promise(state.order, state.closing)
        return refusal

    def close(self, state: OpenOrder) -> None:
        """Free what is still set aside."""
        self.account(state.order.lane).release(state.currency, state.held)
        self._margin.promise(state.order, -state.closing)

    def settle(self, state: OpenOrder, price_ticks: int, lots: int, maker: bool) -> Charge:
        """Move the money of a fill; what was set aside for it is free again. Returns its fee."""
        side, lane = state.order.side, state.order.lane
        instrument = self._instruments[state.order.instrument]
        account = self.account(lane)
        charge = self._books[lane].charge(account, instrument, side, price_ticks, lots, maker)
        account.move(charge.currency, -charge.amount)
        if instrument.contract:
            closing = min(lots, state.closing)
            spent = self._margin.fill(account, state.order, price_ticks, lots, closing, state.held)
            self._margin.promise(state.order, -closing)
            state.closing -= closing
        else:
            spent = self._exchange(account, state, price_ticks, lots, charge)
        state.held -= spent
        state.left -= lots
        state.spent_tl += instrument.value_tl(price_ticks, lots)
        state.fills += 1
        return charge

    def _exchange(
        self, account: Account, state: OpenOrder, price_ticks: int, lots: int, charge: Charge
    ) -> Decimal:
        """Swap base for quote; returns what of the amount set aside that has used up."""
        instrument, side = self._instruments[state.order.instrument], state.order.side
        value, quantity = (
            instrument.notional(instrument.value_tl(price_ticks, lots)),
            instrument.quantity(lots),
        )
        account.move(instrument.base, quantity * side)
        account.move(instrument.quote, -value * side)
        fee = max(instrument.notional(charge.fee_tlp) / PPM, Decimal(0))
        spent = min(state.held, value + fee if side is Side.BUY else quantity)
        account.release(state.currency, spent)
        return spent

    def _cost(self, order: VenueOrder, lots: int) -> tuple[str, Decimal, int]:
        """(currency, most that ``lots`` of the order can take of it, lots that only close a position)."""
        instrument = self._instruments[order.instrument]
        if instrument.contract:
            need = self._margin.need(order, lots)
            return instrument.settle, need.amount, need.closing
        if order.side is Side.BUY:
            value = instrument.notional(order.cap_tl or instrument.value_tl(order.price_ticks, lots))
            return instrument.quote, value * (1 + self._fees.worst_rate()), 0
        if order.cap_tl:  # lots of a money-bounded sale are an upper bound
            lots = min(lots, -(-order.cap_tl // order.price_ticks))
        return instrument.base, instrument.quantity(lots), 0

    def _hold(self, lane: int, currency: str, amount: Decimal) -> str:
        account = self.account(lane)
        if account.hold(currency, amount):
            return ""
        return _lacking(account.available(currency), currency, amount)


def _lacking(available: Decimal, currency: str, amount: Decimal) -> str:
    return (
        f"balance {available} {currency} does not cover {amount.normalize():f} (venue.balances: {currency})"
    )
