"""A small Binance spot over TLS on loopback that misbehaves on command: the double for every fault.

Only what ccxt's public streams need: exchangeInfo, time, depth, aggTrades, klines, and a websocket
with SUBSCRIBE, ``@depth@100ms``, ``@aggTrade`` and ``@bookTicker``. Its market is a seeded random
walk whose every trade is kept, so that a test can compare. Raw and aggregate trade ids are distinct
spaces, as on the exchange: an aggregate covers one to three raw trades.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp import web

from tests.integration.exchange_double import ExchangeDouble


class FaultyBinance(ExchangeDouble):
    """Start with ``await start(folder)``; drive the market with ``trade`` and ``move_book``, or ``play``."""

    hosts = ("api.binance.com", "stream.binance.com")

    def __init__(self, seed: int = 1, clock_ahead_ms: int = 0) -> None:
        self.random = random.Random(seed)
        self.clock_ahead_ms = clock_ahead_ms
        self.aggregates: list[dict[str, Any]] = []
        self.raw_id, self.update_id = 9_000_000, 500
        self.bids: dict[int, int] = {6_000_000 - i: 1000 + i for i in range(60)}  # cents -> 1e-5 BTC
        self.asks: dict[int, int] = {6_000_001 + i: 1000 + i for i in range(60)}
        self.sockets: dict[web.WebSocketResponse, set[str]] = {}
        self.silent = False  # accepts, answers pings, sends nothing
        self.html = False  # REST answers HTML with status 200
        self.hidden: set[int] = set()  # aggregate ids that REST does not know
        self.trade_name = "aggTrade"
        self.counted_from = 0  # trades before the exchange started its ids again
        self.rewrite: Callable[[dict[str, Any]], dict[str, Any]] | None = None  # of the trades streamed
        self.frames: Callable[[str], list[str]] | None = None  # what is sent in place of a frame
        self.rest_status = 200  # of aggTrades; another is an error, and 0 an empty list
        self.wild_times = 0  # so many answers are an hour off
        self.banned_until_ms = 0  # until then every answer of REST is a ban
        self.rest_calls: list[str] = []

    def routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/ws/{tail:.*}", self._websocket)
        router.add_get("/api/v3/{name}", self._rest)

    # --- faults -----------------------------------------------------------------------------------

    def forget(self, part: str) -> None:
        """Forget the subscriptions whose names hold ``part``; the sockets stay open."""
        for ws, streams in self.sockets.items():
            self.sockets[ws] = {name for name in streams if part not in name}

    def count_anew(self) -> None:
        """Start the trade ids again, as after an exchange's reset."""
        self.counted_from = len(self.aggregates)

    # --- the market -------------------------------------------------------------------------------

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.clock_ahead_ms

    async def trade(self, count: int = 1) -> None:
        """Make ``count`` aggregate trades and stream them."""
        for _ in range(count):
            first = self.raw_id
            self.raw_id += self.random.randint(1, 3)
            made = {
                "a": 100 + len(self.aggregates) - self.counted_from,
                "p": f"{60000 + self.random.randint(-99, 99) / 100:.2f}",
                "q": f"{self.random.randint(1, 99999) / 1e5:.8f}",
                "f": first,
                "l": self.raw_id - 1,
                "T": self.now_ms(),
                "m": self.random.random() < 0.5,
                "M": True,
            }
            self.aggregates.append(made)
            event = {"e": self.trade_name, "E": made["T"], "s": "BTCUSDT", **made}
            if self.trade_name == "trade":
                event = {k: v for k, v in event.items() if k not in "afl"} | {"t": made["l"]}
            event = self.rewrite(event) if self.rewrite else event
            await self._publish("btcusdt@aggTrade", event)

    async def move_book(self) -> None:
        """Change a few levels of either side and stream the difference."""
        diff: dict[str, list[list[str]]] = {"b": [], "a": []}
        for name, side in (("b", self.bids), ("a", self.asks)):
            for cents in self.random.sample(sorted(side), 5):
                size = self.random.randint(1, 5000)
                side[cents] = size
                diff[name].append([f"{cents / 100:.2f}", f"{size / 1e5:.8f}"])
        first, self.update_id = self.update_id + 1, self.update_id + 3
        event = {
            "e": "depthUpdate",
            "E": self.now_ms(),
            "s": "BTCUSDT",
            "U": first,
            "u": self.update_id,
            **diff,
        }
        await self._publish("btcusdt@depth@100ms", event)
        bid, ask = max(self.bids), min(self.asks)
        prices = {"b": f"{bid / 100:.2f}", "a": f"{ask / 100:.2f}"}
        sizes = {"B": f"{self.bids[bid] / 1e5:.8f}", "A": f"{self.asks[ask] / 1e5:.8f}"}
        await self._publish("btcusdt@bookTicker", {"u": self.update_id, "s": "BTCUSDT", **prices, **sizes})

    async def play(self, seconds: float, trades_per_s: float = 100.0) -> None:
        """Trade and move the book for a while."""
        for _ in range(int(seconds * 20)):
            await self.trade(max(1, round(trades_per_s / 20)))
            await self.move_book()
            await asyncio.sleep(0.05)

    async def _publish(self, stream: str, event: dict[str, Any]) -> None:
        if self.silent:
            return
        text = json.dumps(event)
        for sent in [text] if self.frames is None else self.frames(text):
            await self._send(stream, sent)

    async def _send(self, stream: str, text: str) -> None:
        for ws, streams in list(self.sockets.items()):
            if stream in streams:
                try:
                    await ws.send_frame(text.encode("utf-8", "surrogatepass"), aiohttp.WSMsgType.TEXT)
                except ConnectionError:
                    self.sockets.pop(ws, None)

    # --- the protocol -----------------------------------------------------------------------------

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(autoping=True)
        await ws.prepare(request)
        self.sockets[ws] = set()
        async for message in ws:
            asked = json.loads(message.data)
            if not self.silent and asked["method"] == "SUBSCRIBE":
                self.sockets[ws] |= set(asked["params"])
                await ws.send_str(json.dumps({"result": None, "id": asked["id"]}))
        self.sockets.pop(ws, None)
        return ws

    async def _rest(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.rest_calls.append(f"{name}?{request.query_string}")
        if self.html:
            return web.Response(
                text="<html><body>Please verify you are human</body></html>", content_type="text/html"
            )
        if self.now_ms() < self.banned_until_ms:
            said = f"Way too much request weight used; IP banned until {self.banned_until_ms}."
            return web.json_response({"code": -1003, "msg": said}, status=418)
        if name == "aggTrades" and self.rest_status != 200:
            return web.json_response([] if not self.rest_status else {}, status=self.rest_status or 200)
        return web.json_response(getattr(self, f"_{name}")(request.query))

    def _time(self, query: Any) -> Any:
        self.wild_times -= 1
        return {"serverTime": self.now_ms() + (3_600_000 if self.wild_times >= 0 else 0)}

    def _depth(self, query: Any) -> Any:
        bids = sorted(self.bids.items(), reverse=True)[: int(query["limit"])]
        asks = sorted(self.asks.items())[: int(query["limit"])]
        as_sent = [[[f"{c / 100:.2f}", f"{q / 1e5:.8f}"] for c, q in side] for side in (bids, asks)]
        return {"lastUpdateId": self.update_id, "bids": as_sent[0], "asks": as_sent[1]}

    def _aggTrades(self, query: Any) -> Any:  # noqa: N802  (the endpoint's name)
        limit = int(query.get("limit", 500))
        known = [t for t in self.aggregates if t["a"] not in self.hidden]
        if "fromId" in query:
            mine = [t for t in self.aggregates[self.counted_from :] if t in known]
            return [t for t in mine if t["a"] >= int(query["fromId"])][:limit]
        return known[-limit:]

    def _klines(self, query: Any) -> Any:
        start = int(query["startTime"]) // 60_000 * 60_000
        opens = range(start, self.now_ms(), 60_000)[: int(query.get("limit", 500))]
        row = ["60000.00", "60001.00", "59999.00", "60000.50", "1.50000000"]
        return [
            [o, *row, o + 59_999, "90000.75", 12, "0.50000000", "30000.25", "0"] for o in opens if o >= start
        ]

    def _exchangeInfo(self, query: Any) -> Any:  # noqa: N802  (the endpoint's name)
        filters = [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000.00", "stepSize": "0.00001"},
            {"filterType": "NOTIONAL", "minNotional": "5.00", "applyMinToMarket": True},
        ]
        symbol = {
            "symbol": "BTCUSDT",
            "status": "TRADING",
            "baseAsset": "BTC",
            "baseAssetPrecision": 8,
            "quoteAsset": "USDT",
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "orderTypes": ["LIMIT", "MARKET"],
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "filters": filters,
            "permissions": ["SPOT"],
            "permissionSets": [["SPOT"]],
        }
        return {"timezone": "UTC", "serverTime": self.now_ms(), "rateLimits": [], "symbols": [symbol]}
