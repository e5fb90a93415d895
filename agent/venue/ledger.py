"""The money of every lane: what open orders set aside, what fills move, what fees are charged.

Nothing is ever spent that was not there: an order is taken only when all it may cost can be set aside,
and what a fill spends comes out of that. So no balance can fall below zero, but by the losses of
contracts (``agent.venue.margin``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from agent.core.instrument import Instrument
from agent.core.money import PPM
from agent.core.orders.venue_messages import VenueOrder
from agent.core.types import Side
from agent.venue.account import Account
from agent.venue.fees import Charge, FeeBook, Fees
from agent.venue.margin import Margin, Need, Position, Rest


@dataclass(slots=True, eq=False)
class OpenOrder:
    """An order that the venue has taken. ``lots`` of ``order`` are filled or ``left``."""

    order: VenueOrder
    left: int
    currency: str  # what was set aside for it, and how much of that is left
    held: Decimal
    spent_tl: int = 0  # money of its fills
    closing: int = 0  # lots of a contract that it closes, by what is open beside it
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
        self._open: dict[tuple[int, int, Side], list[OpenOrder]] = {}  # of contracts

    def position(self, lane: int, instrument: int) -> Position:
        """What a lane holds of a contract."""
        return self._margin.position(lane, instrument)

    def account(self, lane: int) -> Account:
        if lane not in self._accounts:
            self._accounts[lane] = Account(self._balances)
            self._books[lane] = FeeBook(self._fees)
        return self._accounts[lane]

    def forget_lane(self, lane: int) -> None:
        """Drop a lane's account and positions."""
        self._accounts.pop(lane, None)
        self._books.pop(lane, None)
        self._margin.forget_lane(lane)
        self._open = {key: group for key, group in self._open.items() if key[0] != lane}

    def open(self, order: VenueOrder) -> OpenOrder | str:
        """The order with what it may cost set aside, or why it cannot be paid for."""
        state = OpenOrder(order, order.lots, self._currency(order), Decimal(0))
        group = self._group(order)
        if refusal := self._set_aside(state, [*group, state]):
            return refusal
        group.append(state)
        return state

    def lacking(self, order: VenueOrder) -> str:
        """Why the account could not pay for an order now, or ""; nothing is set aside."""
        state = OpenOrder(order, order.lots, self._currency(order), Decimal(0))
        group = self._group(order)
        more = _sum(need.amount for need in self._needs([*group, state])) - _sum(s.held for s in group)
        available = self.account(order.lane).available(state.currency)
        return "" if more <= available else _lacking(available, state.currency, more)

    def amend(self, state: OpenOrder, order: VenueOrder, left: int) -> str:
        """Set aside what ``left`` lots at the new price may cost instead; "" or why not, nothing changed."""
        was = state.order, state.left
        state.order, state.left = order, left
        if refusal := self._set_aside(state, self._group(order) or [state]):
            state.order, state.left = was
            return refusal
        return ""

    def close(self, state: OpenOrder) -> None:
        """Free what is still set aside."""
        self.account(state.order.lane).release(state.currency, state.held)
        if group := self._group(state.order):
            group.remove(state)
            self._assign(group, self._needs(group))

    def settle(self, state: OpenOrder, price_ticks: int, lots: int, maker: bool) -> Charge:
        """Move the money of a fill; what was set aside for it is free again. Returns its fee."""
        side, lane = state.order.side, state.order.lane
        instrument = self._instruments[state.order.instrument]
        account = self.account(lane)
        charge = self._books[lane].charge(account, instrument, side, price_ticks, lots, maker)
        account.move(charge.currency, -charge.amount)
        if instrument.contract:
            self._margin.fill(account, state.order, price_ticks, lots)
        else:
            state.held -= self._exchange(account, state, price_ticks, lots, charge)
        state.left -= lots
        state.spent_tl += instrument.value_tl(price_ticks, lots)
        state.fills += 1
        if instrument.contract:
            group = self._group(state.order)
            self._assign(group, self._needs(group))
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

    # --- what is set aside ----------------------------------------------------------------------

    def _group(self, order: VenueOrder) -> list[OpenOrder]:
        """The open orders that share what they need: a lane's of one side of a contract; no spot order's."""
        if not self._instruments[order.instrument].contract:
            return []
        return self._open.setdefault((order.lane, order.instrument, order.side), [])

    def _set_aside(self, state: OpenOrder, states: Sequence[OpenOrder]) -> str:
        """Set aside what ``state``, new among ``states``, may cost; "" or why not, nothing changed."""
        account, needs = self.account(state.order.lane), self._needs(states)
        more = _sum(need.amount for need in needs) - _sum(s.held for s in states)
        free = account.available(state.currency) + state.held
        if state.held + more > free:
            return _lacking(free, state.currency, state.held + more)
        self._assign(states, needs)
        return ""

    def _assign(self, states: Sequence[OpenOrder], needs: Sequence[Need]) -> None:
        for state, need in zip(states, needs, strict=True):
            self.account(state.order.lane).tie(state.currency, need.amount - state.held)
            state.held, state.closing = need.amount, need.closing

    def _needs(self, states: Sequence[OpenOrder]) -> list[Need]:
        if states and self._instruments[states[0].order.instrument].contract:
            return self._margin.needs([_rest(state) for state in states])
        return [Need(self._cost(state.order, state.left), 0) for state in states]

    def _currency(self, order: VenueOrder) -> str:
        """What an order sets aside."""
        instrument = self._instruments[order.instrument]
        if instrument.contract:
            return instrument.settle
        return instrument.quote if order.side is Side.BUY else instrument.base

    def _cost(self, order: VenueOrder, lots: int) -> Decimal:
        """The most that ``lots`` of a spot order can take of its currency."""
        instrument = self._instruments[order.instrument]
        if order.side is Side.BUY:
            value = instrument.notional(order.cap_tl or instrument.value_tl(order.price_ticks, lots))
            return value * (1 + self._fees.worst_rate())
        if order.cap_tl:  # lots of a money-bounded sale are an upper bound
            lots = min(lots, -(-order.cap_tl // order.price_ticks))
        return instrument.quantity(lots)


def _lacking(available: Decimal, currency: str, amount: Decimal) -> str:
    return (
        f"balance {available:f} {currency} does not cover {amount.normalize():f} (venue.balances: {currency})"
    )


def _rest(state: OpenOrder) -> Rest:
    cap_tl = state.order.cap_tl
    return Rest(state.order, state.left, max(1, cap_tl - state.spent_tl) if cap_tl else 0)


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, Decimal(0))
