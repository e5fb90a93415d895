"""An embedded exchange that takes orders, in a market made by hand, and ccxt's own client of it."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import ccxt.pro

from agent.core.market.tape import EventArray, Flag, Kind, empty_events
from agent.core.types import NS_PER_MS, NS_PER_S
from agent.system_clock import SystemClock
from connectors.embedded.loopback import LoopbackResolver, loopback_session
from connectors.embedded.market_source import RecordedMarket
from connectors.embedded.server import EmbeddedExchange, Endpoint, PlayFrom
from connectors.embedded.synthetic.synthetic_market import synthetic_session
from connectors.embedded.trading.api_keys import ApiKey
from connectors.embedded.trading.trading_floor import TradingRules

SYMBOL = "BTC/USDT"
DEMO_HOSTS = {"demo-api.binance.com", "demo-ws-api.binance.com", "demo-stream.binance.com"}
OPENING = {"USDT": Decimal(100_000), "BTC": Decimal(2)}
BID, ASK = 6_000_000, 6_000_010  # ticks of 0.01: what the book made by hand shows best
LEVEL_LOTS = 1000  # of 0.00001, at each of ten levels a tick apart
START_NS = 1_700_000_000 * NS_PER_S

SETTINGS = {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False}
"""Of ccxt's client: what it fetches by itself."""

Row = tuple[int, int, int, int, int]
"""(ms after the book, kind, side, ticks, lots): one update each."""


def book_rows() -> list[Row]:
    levels = [(1, BID - i) for i in range(10)] + [(-1, ASK + i) for i in range(10)]
    return [(0, Kind.LEVEL, side, ticks, LEVEL_LOTS) for side, ticks in levels]


def tape(later: Sequence[Row]) -> EventArray:
    """The book's snapshot, a trade with it, and what comes later: trades and levels."""
    given = [(0, Kind.SNAPSHOT_BEGIN, 0, 0, 0), *book_rows(), (0, Kind.SNAPSHOT_END, 0, 0, 0)]
    given += [(0, Kind.TRADE, 1, ASK, 5), *later]
    rows = empty_events(len(given))
    for i, (ms, kind, side, ticks, lots) in enumerate(given):
        row = rows[i]
        row["recv_ns"] = row["exch_ns"] = START_NS + ms * NS_PER_MS
        row["kind"], row["side"], row["price_ticks"], row["qty_lots"] = kind, side, ticks, lots
        row["seq"] = row["ext_id"] = i + 1
        row["flags"] = 0 if i < len(book_rows()) + 1 else int(Flag.LAST)
    return rows


@asynccontextmanager
async def trading(
    later: Sequence[Row] = (),
    *,
    balances: Mapping[str, Decimal] = OPENING,
    play_from: PlayFrom = PlayFrom.RELEASED,
    **rules: Any,
) -> AsyncIterator[tuple[EmbeddedExchange, Endpoint]]:
    """The exchange, whose market waits for ``release()``; until then the book stands as it was made."""
    instruments, _ = synthetic_session(11, 1)
    market = RecordedMarket.of(instruments, tape(later))
    exchange = EmbeddedExchange(
        market, SystemClock(), play_from=play_from, trading=TradingRules(balances, **rules)
    )
    endpoint = await exchange.start()
    try:
        yield exchange, endpoint
    finally:
        await exchange.stop()


@asynccontextmanager
async def trader(
    endpoint: Endpoint, key: ApiKey, *, markets: bool = True, **options: Any
) -> AsyncIterator[Any]:
    """ccxt's client in demo mode, with nothing changed but its session; it reached demo hosts only."""
    resolver = LoopbackResolver(endpoint.port)
    session = loopback_session(endpoint.port, endpoint.ca_file, resolver)
    binance = ccxt.pro.binance(
        {
            "apiKey": key.api_key,
            "secret": key.secret,
            "session": session,
            "newUpdates": True,
            "maxRetriesOnFailure": 0,
            "enableRateLimit": False,
            "options": SETTINGS | options,
        }
    )
    binance.enable_demo_trading(True)
    try:
        if markets:
            await binance.load_markets()
        yield binance
    finally:
        await binance.close()
        await session.close()
    assert set(resolver.hosts) <= DEMO_HOSTS


async def refused(binance: Any, call: Awaitable[Any]) -> tuple[int, str]:
    """The exchange's own code for what a call of ccxt raises, and the class that ccxt makes of it."""
    try:
        answer = await call
    except ccxt.BaseError as error:
        return json.loads(binance.last_http_response)["code"], type(error).__name__
    raise AssertionError(f"nothing was raised, but {answer} answered")


async def asked(endpoint: Endpoint, method: str, path: str, key: ApiKey | None, **sent: Any) -> Answered:
    """A request of its own, signed with ``key``: what ccxt would not send. ``sent`` None leaves one out."""
    params = {"timestamp": str(SystemClock().now_ns() // NS_PER_MS)} | sent
    query = urlencode({name: value for name, value in params.items() if value is not None})
    headers = {}
    if key is not None:
        headers["X-MBX-APIKEY"] = key.api_key
        if "signature" not in sent:
            made = hmac.new(key.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
            query += f"&signature={made}"
    url = f"https://demo-api.binance.com/api/v3/{path}{'&' if '?' in path else '?'}{query}"
    async with (
        loopback_session(endpoint.port, endpoint.ca_file) as session,
        session.request(method, url, headers=headers) as answer,
    ):
        return Answered(answer.status, await answer.json(content_type=None), dict(answer.headers))


@dataclass(frozen=True)
class Answered:
    status: int
    body: Any
    headers: dict[str, str]

    @property
    def code(self) -> tuple[int, int]:
        return self.status, self.body["code"]


def judge(exchange: EmbeddedExchange, opening: Mapping[str, Decimal] = OPENING) -> None:
    """The ledger adds up: balances are the opening ones and the trades; open orders lock what they need."""
    floor = exchange.trading
    total, locked = dict(opening), {asset: Decimal(0) for asset in opening}
    for trade in floor.desk.store.trades:
        instrument, side = trade.order.sent.lane.instrument, trade.order.sent.side
        total[instrument.base] += instrument.quantity(trade.lots) * side
        total[instrument.quote] -= trade.value * side
        total[trade.fee_asset] -= trade.fee
        assert trade.value == instrument.notional(trade.ticks * trade.lots)
    for order in floor.desk.store.orders.values():
        instrument, sent = order.sent.lane.instrument, order.sent
        assert order.filled_lots == sum(trade.lots for trade in order.trades)
        assert order.value == sum(trade.value for trade in order.trades)
        assert order.is_open or order.locked == 0
        if order.is_open:
            rest = instrument.quantity(order.left)
            assert order.locked == (rest * instrument.price(sent.price_ticks) if sent.side > 0 else rest)
            locked[order.asset] += order.locked
    for asset in total:
        assert floor.balances.locked(asset) == locked[asset]
        assert floor.balances.free(asset) + locked[asset] == total[asset]
    numbers = [trade.trade_id for trade in floor.desk.store.trades]
    first = numbers[0] if numbers else 1
    assert numbers == list(range(first, first + len(numbers)))
