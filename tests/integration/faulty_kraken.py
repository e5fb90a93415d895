"""A small Kraken spot over TLS on loopback that misbehaves on command: the double of a second protocol.

What ccxt's public streams need: AssetPairs, Time, Trades, Depth and OHLC, and the websocket's second version
with ``book`` and ``trade``. Unlike Binance's: one socket carries every stream, a subscription to trades is
answered with the last fifty again, books come as a snapshot and deltas cut to the depth, trades are fetched
by time and not by id, and numbers on the wire are JSON numbers.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import random
import time
from typing import Any

from aiohttp import web

from tests.integration.exchange_double import ExchangeDouble

PAIR, SYMBOL = "XXBTZUSD", "BTC/USD"
AGAIN = 50
"""Trades that a new subscription brings once more."""


class FaultyKraken(ExchangeDouble):
    """Start with ``await start(folder)``; drive the market with ``trade`` and ``move_book``, or ``play``."""

    hosts = ("api.kraken.com", "ws.kraken.com")

    def __init__(self, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self.trades: list[dict[str, Any]] = []
        self.bids: dict[int, int] = {600_000 - i: 1000 + i for i in range(150)}  # tenths -> 1e-8 BTC x 1e5
        self.asks: dict[int, int] = {600_001 + i: 1000 + i for i in range(150)}
        self.sockets: dict[web.WebSocketResponse, dict[str, int]] = {}  # channel -> depth
        self.unavailable = 0  # so many answers of REST are 503
        self.rest_calls: list[str] = []

    def routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/v2", self._websocket)
        router.add_get("/0/public/{name}", self._rest)

    # --- faults -----------------------------------------------------------------------------------

    def forget_trades(self) -> None:
        """No connection is subscribed to trades any more; a new subscription is honoured."""
        for streams in self.sockets.values():
            streams.pop("trade", None)

    # --- the market -------------------------------------------------------------------------------

    async def trade(self, count: int = 1, *, heard: bool = True) -> None:
        """Make ``count`` trades, and stream them in one frame; not ``heard``: the frame is lost."""
        made: list[dict[str, Any]] = []
        for _ in range(count):
            number = 83_000_000 + len(self.trades) + len(made)
            last = (self.trades + made)[-1:]
            now_ns = max(time.time_ns(), last[0]["ns"] + 1000 if last else 0)
            price, qty = 600_000 + self.random.randint(-99, 99), self.random.randint(1, 99_999)
            side = self.random.choice(["buy", "sell"])
            made.append({"id": number, "ns": now_ns, "price": price, "qty": qty, "side": side})
        self.trades += made
        if heard:
            await self._publish("trade", _frame("trade", "update", list(map(_streamed, made))))

    async def move_book(self) -> None:
        """Change a few levels of either side and stream them."""
        changed: dict[str, list[dict[str, float]]] = {}
        for name, side in (("bids", self.bids), ("asks", self.asks)):
            for tenths in self.random.sample(sorted(side, reverse=name == "bids")[:80], 4):
                side[tenths] = self.random.randint(1, 5000)
            changed[name] = [_level(t, side[t]) for t in side if t in side and self._is_new(name, t)]
        self._told = {"bids": dict(self.bids), "asks": dict(self.asks)}
        stamp = {"symbol": SYMBOL, **changed, "checksum": 0, "timestamp": _iso(time.time_ns())}
        await self._publish("book", _frame("book", "update", [stamp]))

    def _is_new(self, name: str, tenths: int) -> bool:
        told = getattr(self, "_told", {"bids": {}, "asks": {}})[name]
        return told.get(tenths) != (self.bids if name == "bids" else self.asks)[tenths]

    async def play(self, seconds: float, trades_per_s: float = 100.0) -> None:
        """Trade and move the book for a while."""
        for _ in range(int(seconds * 20)):
            await self.trade(max(1, round(trades_per_s / 20)))
            await self.move_book()
            await asyncio.sleep(0.05)

    async def _publish(self, channel: str, frame: str) -> None:
        for ws, streams in list(self.sockets.items()):
            if channel in streams:
                try:
                    await ws.send_str(frame)
                except ConnectionError:
                    self.sockets.pop(ws, None)

    # --- the protocol -----------------------------------------------------------------------------

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(autoping=True)
        await ws.prepare(request)
        self.sockets[ws] = {}
        async for message in ws:
            asked = json.loads(message.data)
            if asked["method"] == "ping":
                await ws.send_str('{"method":"pong"}')
            elif asked["method"] == "subscribe":
                await self._subscribed(ws, asked)
        self.sockets.pop(ws, None)
        return ws

    async def _subscribed(self, ws: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        given = asked["params"]
        channel, depth = given["channel"], int(given.get("depth", 10))
        if given["symbol"] != [SYMBOL]:
            said = {"error": "Currency pair not supported", "method": "subscribe", "success": False}
            await ws.send_str(json.dumps(said | {"req_id": asked["req_id"]}))
            return
        answer = {"method": "subscribe", "success": True, "req_id": asked["req_id"]}
        await ws.send_str(json.dumps(answer | {"result": {"channel": channel, "symbol": SYMBOL}}))
        if channel == "book":
            sides = (sorted(self.bids.items(), reverse=True), sorted(self.asks.items()))
            bids, asks = ([_level(t, q) for t, q in side[:depth]] for side in sides)
            whole = {"symbol": SYMBOL, "bids": bids, "asks": asks, "checksum": 0}
            await ws.send_str(_frame("book", "snapshot", [whole]))
        elif self.trades:
            await ws.send_str(_frame("trade", "snapshot", list(map(_streamed, self.trades[-AGAIN:]))))
        self.sockets[ws][channel] = depth

    async def _rest(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.rest_calls.append(f"{name}?{request.query_string}")
        if self.unavailable > 0:
            self.unavailable -= 1
            return web.Response(status=503, text="Service Unavailable")
        result = getattr(self, f"_{name.lower()}")(request.query)
        return web.json_response({"error": [], "result": result})

    def _time(self, query: Any) -> Any:
        return {"unixtime": time.time_ns() // 10**9, "rfc1123": ""}

    def _depth(self, query: Any) -> Any:
        count, now_s = int(query.get("count", 100)), time.time_ns() // 10**9
        sides = (sorted(self.bids.items(), reverse=True), sorted(self.asks.items()))
        bids, asks = ([[f"{t / 10:.5f}", f"{q / 1e5:.3f}", now_s] for t, q in side[:count]] for side in sides)
        return {PAIR: {"bids": bids, "asks": asks}}

    def _trades(self, query: Any) -> Any:
        count = int(query.get("count", 1000))
        known = self.trades
        if "since" in query:
            since_ns = int(float(query["since"]) * 1e9)
            page = [t for t in known if t["ns"] > since_ns][:count]
        else:
            page = known[-count:]
        rows = [
            [f"{t['price'] / 10:.5f}", f"{t['qty'] / 1e8:.8f}", t["ns"] / 1e9, t["side"][0], "m", "", t["id"]]
            for t in page
        ]
        return {PAIR: rows, "last": str(page[-1]["ns"] if page else 0)}

    def _ohlc(self, query: Any) -> Any:
        now_s = time.time_ns() // 10**9 // 60 * 60
        start_s = max(int(float(query.get("since", 0))), now_s - 720 * 60)
        row = ["60000.0", "60001.0", "59999.0", "60000.5", "60000.1", "1.50000000", 12]
        return {PAIR: [[at, *row] for at in range(start_s // 60 * 60, now_s, 60)], "last": now_s}

    def _assets(self, query: Any) -> Any:
        plain = {"aclass": "currency", "status": "enabled"}
        return {
            "XXBT": {**plain, "altname": "XBT", "decimals": 10, "display_decimals": 5},
            "ZUSD": {**plain, "altname": "USD", "decimals": 4, "display_decimals": 2},
        }

    def _assetpairs(self, query: Any) -> Any:
        fees = [[0, 0.4]]
        pair = {
            "altname": "XBTUSD",
            "wsname": "XBT/USD",
            "base": "XXBT",
            "quote": "ZUSD",
            "pair_decimals": 1,
            "lot_decimals": 8,
            "lot_multiplier": 1,
            "leverage_buy": [],
            "leverage_sell": [],
            "fees": fees,
            "fees_maker": fees,
            "ordermin": "0.00005",
            "costmin": "0.5",
            "tick_size": "0.1",
            "status": "online",
        }
        return {PAIR: pair}


def _frame(channel: str, kind: str, data: list[Any]) -> str:
    return json.dumps({"channel": channel, "type": kind, "data": data})


def _iso(ns: int) -> str:
    moment = datetime.datetime.fromtimestamp(ns // 10**9, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ns % 10**9 // 1000:06d}Z"


def _level(tenths: int, size: int) -> dict[str, float]:
    return {"price": tenths / 10, "qty": size / 1e5}


def _streamed(made: dict[str, Any]) -> dict[str, Any]:
    return {
        "symbol": SYMBOL,
        "side": made["side"],
        "price": made["price"] / 10,
        "qty": made["qty"] / 1e8,
        "ord_type": "market",
        "trade_id": made["id"],
        "timestamp": _iso(made["ns"]),
    }
