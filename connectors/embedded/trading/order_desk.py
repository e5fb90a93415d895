"""Takes, matches and ends the account's orders, and moves its money: what the exchange's engine does.

An order of ours that would meet another of ours ends that other one (``EXPIRE_MAKER``), where the new order
gets past its price. Fees are a part of what a fill brings in, cut to eight decimals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum

from agent.core.money import PPM
from agent.core.types import NS_PER_MS, Side
from connectors.embedded.api_errors import BadRequestError
from connectors.embedded.player import Player
from connectors.embedded.symbol_info import MAX_PRICE
from connectors.embedded.traded_symbol import Lane
from connectors.embedded.trading.balances import ZERO, Balances
from connectors.embedded.trading.exchange_orders import (
    ExchangeOrder,
    NewOrder,
    OrderStatus,
    OrderStore,
    OrderType,
    OwnTrade,
)
from connectors.embedded.trading.matcher import Matcher, Reach
from connectors.embedded.trading.symbol_filters import average_price, check_notional

_SMALLEST_FEE = Decimal("0.00000001")
_ALL_LOTS = 2**62
_NOT_COVERED = "Account has insufficient balance for requested action."
_NO_LIQUIDITY = "Order book liquidity is less than `LOT_SIZE` filter minimum quantity."


class Execution(StrEnum):
    """What happened to an order."""

    NEW = "NEW"
    TRADE = "TRADE"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    TRADE_PREVENTION = "TRADE_PREVENTION"


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """One thing that happened. ``cancel_id``: the client id of the cancel, where one ended the order."""

    kind: Execution
    order: ExchangeOrder
    at_ms: int
    trade: OwnTrade | None = None
    cancel_id: str = ""


Listener = Callable[[OrderEvent], None]


class OrderDesk:
    """The account's orders. ``listener`` hears of everything as it happens."""

    def __init__(
        self, lanes: Mapping[int, Lane], player: Player, balances: Balances, fee_ppm: tuple[int, int]
    ) -> None:
        """``fee_ppm``: of makers and of takers, in parts per million of what a fill brings in."""
        self.store, self.balances = OrderStore(), balances
        self.matcher = Matcher(lanes, player, self._rested_filled)
        self.listener: Listener = lambda _: None
        self._fee_ppm = fee_ppm

    # --- new orders -----------------------------------------------------------------------------------

    def place(self, sent: NewOrder, now_ms: int) -> ExchangeOrder:
        """Take an order and match it. Raises BadRequestError -1013 or -2010 for one that is refused."""
        reach = self._reach(sent)
        offered = [] if sent.type is OrderType.LIMIT_MAKER else self.matcher.preview(reach)
        needed = self._needed(sent, offered)
        self._check(sent, offered, needed, now_ms)
        order = self.store.add(sent, now_ms)
        order.locked = needed
        self.balances.lock(order.asset, needed)
        self._tell(Execution.NEW, order, now_ms)
        self._match(order, reach, offered, now_ms)
        return order

    def _check(self, sent: NewOrder, offered: list[tuple[int, int]], needed: Decimal, now_ms: int) -> None:
        lane = sent.lane
        if lane.status != "TRADING":
            raise BadRequestError(-1013, "Market is closed.")
        if sent.type is OrderType.MARKET:
            average = average_price(lane, now_ms)
            if sent.quote or average is not None:
                value = sent.quote or (average or ZERO) * lane.instrument.quantity(sent.lots)
                check_notional(lane, value, market=True)
        if self.store.in_use(sent.client_id):
            raise BadRequestError(-2010, "Duplicate order sent.")
        if sent.type is OrderType.LIMIT_MAKER and self._would_take(sent):
            raise BadRequestError(-2010, "Order would immediately match and take.")
        if not sent.lots and sum(lots for _, lots in offered) < lane.instrument.min_lots:
            raise BadRequestError(-2010, _NO_LIQUIDITY)
        if needed > self.balances.free(sent.asset):
            raise BadRequestError(-2010, _NOT_COVERED)

    def _needed(self, sent: NewOrder, offered: list[tuple[int, int]]) -> Decimal:
        """What an order sets aside: all that it may cost."""
        instrument = sent.lane.instrument
        if sent.side is Side.SELL:
            return instrument.quantity(sent.lots or sum(lots for _, lots in offered))
        if sent.type is OrderType.MARKET:
            return sent.quote or instrument.notional(sum(ticks * lots for ticks, lots in offered))
        return instrument.notional(sent.price_ticks * sent.lots)

    def _reach(self, sent: NewOrder) -> Reach:
        instrument = sent.lane.instrument
        highest = int(MAX_PRICE / instrument.tick)
        limit = sent.price_ticks or (highest if sent.side is Side.BUY else 1)
        cap_tl = instrument.notional_tl(sent.quote) if sent.quote else 0
        return Reach(instrument.number, sent.side, limit, sent.lots or _ALL_LOTS, cap_tl)

    def _would_take(self, sent: NewOrder) -> bool:
        bid, ask = self.matcher.touch(sent.lane.instrument.number)
        far = ask if sent.side is Side.BUY else bid
        crosses = bool(far) and (sent.price_ticks - far) * sent.side >= 0
        return crosses or bool(self._own_within(sent, sent.price_ticks))

    # --- matching -------------------------------------------------------------------------------------

    def _match(self, order: ExchangeOrder, reach: Reach, offered: list[tuple[int, int]], now_ms: int) -> None:
        sent = order.sent
        if sent.tif == "FOK" and sum(lots for _, lots in offered) < sent.lots:
            self._end(order, Execution.EXPIRED, now_ms)
            return
        if sent.type is not OrderType.LIMIT_MAKER:
            self._expire_own(order, reach, offered, now_ms)
            for ticks, lots in self.matcher.take(order.order_id, reach):
                self._fill(order, ticks, lots, maker=False, at_ms=now_ms)
        if not order.is_open:
            return
        if sent.type is OrderType.MARKET or sent.tif != "GTC":
            self._end(order, Execution.EXPIRED, now_ms)
            return
        instrument = sent.lane.instrument.number
        self.matcher.rest(order.order_id, Reach(instrument, sent.side, sent.price_ticks, order.left))

    def _expire_own(
        self, order: ExchangeOrder, reach: Reach, offered: list[tuple[int, int]], now_ms: int
    ) -> None:
        """End our own orders that the new one gets past."""
        whole = reach.cap_tl or sum(lots for _, lots in offered) >= reach.lots
        last = offered[-1][0] - reach.side if whole and offered else reach.price_ticks
        for own in self._own_within(order.sent, last):
            self.matcher.withdraw(own.order_id)
            self._end(own, Execution.TRADE_PREVENTION, now_ms)

    def _own_within(self, sent: NewOrder, limit_ticks: int) -> list[ExchangeOrder]:
        """Open orders of the other side that a price of ``limit_ticks`` meets."""
        return [
            own
            for own in self.store.open(sent.lane)
            if own.sent.side is not sent.side
            and own.sent.price_ticks
            and (limit_ticks - own.sent.price_ticks) * sent.side >= 0
        ]

    def _rested_filled(self, order_id: int, ticks: int, lots: int, at_ns: int) -> None:
        order = self.store.orders[order_id]
        at_ms = max(at_ns // NS_PER_MS, order.updated_ms)  # a market that is played late was due before it
        self._fill(order, ticks, lots, maker=True, at_ms=at_ms)

    def fill_as_maker(self, order: ExchangeOrder, lots: int, now_ms: int) -> None:
        """Fill ``lots`` of a resting order at its price, whatever the market does: a fault's doing."""
        self.matcher.withdraw(order.order_id)
        left = order.left - lots
        self._fill(order, order.sent.price_ticks, lots, maker=True, at_ms=now_ms)
        if left:
            sent = order.sent
            reach = Reach(sent.lane.instrument.number, sent.side, sent.price_ticks, left)
            self.matcher.rest(order.order_id, reach)

    def _fill(self, order: ExchangeOrder, ticks: int, lots: int, *, maker: bool, at_ms: int) -> None:
        """Move a fill's money, write it down and tell it."""
        sent, instrument = order.sent, order.sent.lane.instrument
        value, quantity = instrument.notional(ticks * lots), instrument.quantity(lots)
        paid, brought = (value, quantity) if sent.side is Side.BUY else (quantity, value)
        set_aside = paid
        if sent.side is Side.BUY and sent.price_ticks:
            set_aside = instrument.notional(sent.price_ticks * lots)
        bought = instrument.base if sent.side is Side.BUY else instrument.quote
        fee = (brought * self._fee_ppm[0 if maker else 1] / PPM).quantize(_SMALLEST_FEE, ROUND_DOWN)
        order.locked -= set_aside
        self.balances.lock(order.asset, -set_aside)
        self.balances.receive(order.asset, -paid)
        self.balances.receive(bought, brought - fee)
        trade = OwnTrade(self.store.trade_id, order, ticks, lots, value, fee, bought, maker, at_ms)
        self.store.add_trade(trade)
        order.filled_lots += lots
        order.value += value
        self._after_fill(order, trade, at_ms)

    def _after_fill(self, order: ExchangeOrder, trade: OwnTrade, at_ms: int) -> None:
        order.status, order.updated_ms = OrderStatus.PARTIALLY_FILLED, at_ms
        if not order.left if order.sent.lots else _spent(order):
            self._close(order, OrderStatus.FILLED, at_ms)
        self._tell(Execution.TRADE, order, at_ms, trade)

    # --- ends -----------------------------------------------------------------------------------------

    def cancel(self, order: ExchangeOrder, cancel_id: str, now_ms: int) -> None:
        """End an open order on request."""
        self.matcher.withdraw(order.order_id)
        self._close(order, OrderStatus.CANCELED, now_ms)
        self._tell(Execution.CANCELED, order, now_ms, cancel_id=cancel_id)

    def reset(self, opening: Mapping[str, Decimal]) -> None:
        """Forget every order and trade, and open the account anew, without a word: as demos do."""
        for order in self.store.open():
            self.matcher.withdraw(order.order_id)
        self.store.forget_all()
        self.balances.reset(opening)

    def _end(self, order: ExchangeOrder, why: Execution, now_ms: int) -> None:
        """End what is left of an order that nobody cancelled."""
        status = OrderStatus.EXPIRED
        if why is Execution.TRADE_PREVENTION:
            status = OrderStatus.EXPIRED_IN_MATCH
        self._close(order, status, now_ms)
        self._tell(why, order, now_ms)

    def _close(self, order: ExchangeOrder, status: OrderStatus, now_ms: int) -> None:
        self.balances.lock(order.asset, -order.locked)
        order.locked = ZERO
        self.store.end(order, status, now_ms)

    def _tell(
        self,
        kind: Execution,
        order: ExchangeOrder,
        at_ms: int,
        trade: OwnTrade | None = None,
        cancel_id: str = "",
    ) -> None:
        self.listener(OrderEvent(kind, order, at_ms, trade, cancel_id))


def _spent(order: ExchangeOrder) -> bool:
    """Whether what is left of an order's money is less than another lot costs."""
    return order.sent.quote - order.value < order.sent.lane.instrument.notional(order.trades[-1].ticks)
