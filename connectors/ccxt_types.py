"""What ccxt hands over, as far as it is read here, and the calls made of its objects.

ccxt is untyped. Its structures get these types where they come in; None stands where a member may be missing.
A client is built in ``connectors.ccxt_link`` only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableSequence, Sequence
from typing import TYPE_CHECKING, Protocol, TypedDict

if TYPE_CHECKING:
    import ssl

    from typing_extensions import ReadOnly

    from agent.core.json_types import JsonObject

Level = Sequence[float]
"""Price, size, and on some exchanges more."""

Candle = Sequence[float | str]
"""Milliseconds of the start, open, high, low, close, volume; Binance's own have more columns, as strings."""


class CcxtTrade(TypedDict):
    """A trade, streamed or fetched."""

    id: ReadOnly[str | None]
    timestamp: ReadOnly[int | None]  # ms
    symbol: ReadOnly[str]
    side: ReadOnly[str | None]  # the taker's
    price: ReadOnly[float | None]
    amount: ReadOnly[float | None]
    info: ReadOnly[object]  # as the exchange sent it


class UsableTrade(CcxtTrade):
    """A trade that has a price, a size and a stamp (``connectors.normalise.usable``)."""

    timestamp: ReadOnly[int]
    price: ReadOnly[float]
    amount: ReadOnly[float]


class CcxtBook(TypedDict):
    """An order book, best levels first."""

    bids: Sequence[Level]
    asks: Sequence[Level]
    timestamp: int | None  # ms; None for a snapshot over REST
    nonce: int | None  # the exchange's update id


class CcxtTicker(TypedDict, total=False):
    """Best bid and ask, and the last price."""

    bid: float | None
    bidVolume: float | None
    ask: float | None
    askVolume: float | None
    last: float | None
    timestamp: int | None  # ms


class CcxtPrecision(TypedDict, total=False):
    """In the exchange's precision mode: a step, or a number of digits."""

    price: float | str | None
    amount: float | str | None


class CcxtMarket(TypedDict):
    """A symbol as an exchange lists it."""

    id: str
    symbol: str
    base: str
    quote: str
    settle: str | None
    contractSize: float | None
    active: bool | None  # False: halted or delisted; None: the exchange does not say
    info: object  # as the exchange sent it
    inverse: bool | None
    linear: bool | None
    option: bool | None
    type: str  # spot, swap, future, option
    expiry: int | None  # ms
    expiryDatetime: str | None
    precision: CcxtPrecision
    limits: Mapping[str, Mapping[str, float | None] | None]


class SocketMessage(Protocol):
    """A websocket frame, as aiohttp gives it."""

    @property
    def type(self) -> int: ...


class CcxtSocket(Protocol):
    """ccxt's client of one websocket address."""

    error: object
    isConnected: object
    handle_message: Callable[[SocketMessage], None]

    def closed(self) -> bool: ...

    def on_error(self, error: Exception) -> None: ...


class CcxtExchange(Protocol):
    """One exchange object of ccxt.pro."""

    id: str
    has: Mapping[str, object]
    timeframes: Mapping[str, str] | None
    markets: Mapping[str, CcxtMarket]
    symbols: Sequence[str]
    precisionMode: int
    urls: object  # of its interfaces, nested as each class likes
    ssl_context: ssl.SSLContext | None
    trades: Mapping[str, MutableSequence[CcxtTrade]] | None  # what has come and was not taken yet
    orderbooks: Mapping[str, CcxtBook] | None
    clients: Mapping[str, CcxtSocket] | None
    client: Callable[[str], CcxtSocket]
    fetch: Callable[..., Awaitable[object]]

    def market(self, symbol: str) -> CcxtMarket: ...

    def parse_timeframe(self, timeframe: str) -> float: ...

    async def load_markets(self) -> object: ...

    async def fetch_time(self) -> object: ...

    async def fetch_ticker(self, symbol: str) -> CcxtTicker: ...

    async def fetch_order_book(self, symbol: str, limit: int | None = None) -> CcxtBook: ...

    async def fetch_trades(
        self, symbol: str, since: int | None, limit: int | None, params: JsonObject
    ) -> object: ...

    async def fetch_ohlcv(
        self, symbol: str, timeframe: str, since: int, limit: int | None = None
    ) -> Sequence[object]: ...

    async def watch_trades(
        self, symbol: str, since: int | None, limit: int | None, params: JsonObject
    ) -> Sequence[CcxtTrade]: ...

    async def watch_order_book(self, symbol: str, limit: int | None, params: JsonObject) -> CcxtBook: ...

    async def watch_bids_asks(
        self, symbols: Sequence[str], params: JsonObject
    ) -> Mapping[str, CcxtTicker]: ...

    async def close(self) -> None: ...


class CcxtModule(Protocol):
    """``ccxt`` and ``ccxt.pro``: their exchanges' names, and the errors told apart here."""

    exchanges: Sequence[str]
    BaseError: type[Exception]
    NetworkError: type[Exception]
    RequestTimeout: type[Exception]
    DDoSProtection: type[Exception]
    ExchangeNotAvailable: type[Exception]
    OnMaintenance: type[Exception]
    NotSupported: type[Exception]
    BadSymbol: type[Exception]
    AuthenticationError: type[Exception]
