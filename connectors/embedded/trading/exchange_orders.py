"""The exchange's own ledger: every order it ever took and every trade of them, until a demo is reset.

Client ids are unique among *open* orders only, as on the real exchange: once an order has ended, its id
may be used again, and asking by it tells the latest order that had it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from agent.core.types import Side
from connectors.embedded.traded_symbol import Lane
from connectors.embedded.trading.balances import ZERO

FIRST_ORDER_ID = 1001


class OrderType(StrEnum):
    LIMIT = "LIMIT"
    LIMIT_MAKER = "LIMIT_MAKER"
    MARKET = "MARKET"


class OrderStatus(StrEnum):
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"  # it would have traded with another order of the account


OPEN = frozenset({OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED})


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order as sent, checked for form. ``price_ticks`` 0: a market order; ``lots`` 0: bound by money."""

    lane: Lane
    side: Side
    type: OrderType
    tif: str  # GTC, IOC or FOK
    price_ticks: int
    lots: int
    quote: Decimal  # quoteOrderQty, 0 without
    client_id: str
    answer: str  # newOrderRespType

    @property
    def asset(self) -> str:
        """What it pays with."""
        instrument = self.lane.instrument
        return instrument.quote if self.side is Side.BUY else instrument.base


@dataclass(frozen=True, slots=True)
class OwnTrade:
    """One fill of an order. ``fee`` is in ``fee_asset``."""

    trade_id: int  # unique and rising within the exchange
    order: ExchangeOrder = field(repr=False)
    ticks: int
    lots: int
    value: Decimal  # quote
    fee: Decimal
    fee_asset: str
    maker: bool
    at_ms: int


@dataclass(slots=True, eq=False)
class ExchangeOrder:
    """An order that the exchange took. ``locked`` is what is still set aside for it, of ``asset``."""

    sent: NewOrder
    order_id: int
    placed_ms: int
    status: OrderStatus = OrderStatus.NEW
    filled_lots: int = 0
    value: Decimal = ZERO  # quote, of its fills
    locked: Decimal = ZERO
    updated_ms: int = 0
    trades: list[OwnTrade] = field(default_factory=list)

    @property
    def left(self) -> int:
        return self.sent.lots - self.filled_lots

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def asset(self) -> str:
        return self.sent.asset


class OrderStore:
    """All orders and trades by id."""

    def __init__(self) -> None:
        self._order_id, self.trade_id = FIRST_ORDER_ID, 1  # the next ones
        self.forget_all()

    def forget_all(self) -> None:
        """Drop every order and trade; ids go on."""
        self.orders: dict[int, ExchangeOrder] = {}
        self.trades: list[OwnTrade] = []
        self._open: dict[int, ExchangeOrder] = {}
        self._open_ids: dict[str, ExchangeOrder] = {}
        self._latest: dict[str, list[ExchangeOrder]] = {}

    def add(self, sent: NewOrder, now_ms: int) -> ExchangeOrder:
        """Take an order in. Its client id must not be one of an open order."""
        order = ExchangeOrder(sent, self._order_id, now_ms, updated_ms=now_ms)
        self._order_id += 1
        self.orders[order.order_id] = self._open[order.order_id] = order
        self._open_ids[sent.client_id] = order
        self._latest.setdefault(sent.client_id, []).append(order)
        return order

    def add_trade(self, trade: OwnTrade) -> None:
        """Write down a fill, numbered ``trade_id``."""
        self.trade_id += 1
        self.trades.append(trade)
        trade.order.trades.append(trade)

    def end(self, order: ExchangeOrder, status: OrderStatus, now_ms: int) -> None:
        order.status, order.updated_ms = status, now_ms
        self._open.pop(order.order_id)
        self._open_ids.pop(order.sent.client_id)

    def in_use(self, client_id: str) -> bool:
        """Whether an open order has it."""
        return client_id in self._open_ids

    def find(self, lane: Lane, order_id: int | None, client_id: str | None) -> ExchangeOrder | None:
        """The order of this id; without one the latest of this client id."""
        if order_id is not None:
            found = self.orders.get(order_id)
            matches = found is not None and client_id in (None, found.sent.client_id)
            return found if matches and found is not None and found.sent.lane is lane else None
        named = [o for o in self._latest.get(client_id or "", ()) if o.sent.lane is lane]
        return named[-1] if named else None

    def open(self, lane: Lane | None = None) -> list[ExchangeOrder]:
        return [order for order in self._open.values() if lane is None or order.sent.lane is lane]

    def of(self, lane: Lane) -> Iterator[ExchangeOrder]:
        """Every order of a symbol, oldest first."""
        return (order for order in self.orders.values() if order.sent.lane is lane)
