"""The public REST endpoints of Binance spot, as far as ccxt and this project use them.

Parameters are checked as the exchange does: errors are status 400 with its own codes. One-key limits
(``limit``) are cut to the exchange's maximum.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal

import orjson
from aiohttp import web

from connectors.embedded.api_errors import BadRequestError, mandatory
from connectors.embedded.faults import Faults
from connectors.embedded.printed_trades import Rows
from connectors.embedded.symbol_info import RATE_LIMITS, symbol_info
from connectors.embedded.traded_symbol import Lane

INTERVALS_MS = {
    "1s": 1_000,
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "2h": 7_200_000,
    "4h": 14_400_000,
    "6h": 21_600_000,
    "8h": 28_800_000,
    "12h": 43_200_000,
    "1d": 86_400_000,
}
_DAY_MS = 86_400_000

Answer = Callable[[Mapping[str, str]], object]
"""From a request's parameters to what JSON can hold."""


class Rest:
    """Answers requests from the lanes' present state. ``now_ms`` is the exchange's clock."""

    def __init__(
        self, lanes: Sequence[Lane], now_ms: Callable[[], int], faults: Faults, trading: bool = False
    ) -> None:
        """``trading``: orders can be sent, so what limits them is told."""
        self._lanes = {lane.name: lane for lane in lanes}
        self._now_ms = now_ms
        self._faults = faults
        self._trading = trading
        self.requests = 0

    def routes(self) -> list[web.RouteDef]:
        paths: Mapping[str, Answer] = {
            "ping": lambda _: {},
            "time": lambda _: {"serverTime": self._now_ms()},
            "exchangeInfo": self.exchange_info,
            "depth": self.depth,
            "aggTrades": self.agg_trades,
            "trades": self.latest_trades,
            "historicalTrades": self.historical_trades,
            "klines": self.klines,
            "ticker/24hr": self.ticker_day,
            "ticker/bookTicker": self.ticker_book,
        }
        return [web.get(f"/api/v3/{path}", self._handler(answer)) for path, answer in paths.items()]

    def _handler(self, answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            self.requests += 1
            fault = self._faults.rest_answer(request.path)
            if fault is not None:
                return fault.response()
            try:
                return json_answer(answer(request.query))
            except BadRequestError as error:
                return refusal(error)

        return handle

    # --- endpoints --------------------------------------------------------------------------------

    def exchange_info(self, query: Mapping[str, str]) -> dict[str, object]:
        lanes = [self._lane(query)] if "symbol" in query else list(self._lanes.values())
        return {
            "timezone": "UTC",
            "serverTime": self._now_ms(),
            "rateLimits": RATE_LIMITS if self._trading else [],
            "exchangeFilters": [],
            "symbols": [symbol_info(lane, self._trading) for lane in lanes],
        }

    def depth(self, query: Mapping[str, str]) -> dict[str, object]:
        lane = self._lane(query)
        sides = lane.top(_limit(query, 100, 5000))
        bids, asks = ([[lane.price(t), lane.quantity(q)] for t, q in side] for side in sides)
        return {"lastUpdateId": lane.update_id, "bids": bids, "asks": asks}

    def agg_trades(self, query: Mapping[str, str]) -> list[dict[str, object]]:
        lane, limit = self._lane(query), _limit(query, 500, 1000)
        from_id, start, end = (_integer(query, name) for name in ("fromId", "startTime", "endTime"))
        if from_id is not None and (start is not None or end is not None):
            raise BadRequestError(-1128, "Combination of optional parameters invalid.")
        if from_id is not None:
            rows = lane.trades.since_id("agg", from_id, limit)
        elif start is not None or end is not None:
            rows = lane.trades.aggregates_between(start, end, limit)
        else:
            rows = lane.trades.latest("agg", limit)
        return [
            {
                "a": a,
                "p": lane.price(ticks),
                "q": lane.quantity(lots),
                "f": first,
                "l": last,
                "T": ms,
                "m": side < 0,
                "M": True,
            }
            for a, first, last, ms, ticks, lots, side in rows.tolist()
        ]

    def latest_trades(self, query: Mapping[str, str]) -> list[dict[str, object]]:
        lane = self._lane(query)
        return _raw_trades(lane, lane.trades.latest("raw", _limit(query, 500, 1000)))

    def historical_trades(self, query: Mapping[str, str]) -> list[dict[str, object]]:
        lane, limit, from_id = self._lane(query), _limit(query, 500, 1000), _integer(query, "fromId")
        rows = lane.trades.latest("raw", limit)
        return _raw_trades(lane, rows if from_id is None else lane.trades.since_id("raw", from_id, limit))

    def klines(self, query: Mapping[str, str]) -> list[list[str | int]]:
        lane, limit = self._lane(query), _limit(query, 500, 1000)
        interval = INTERVALS_MS.get(query.get("interval", ""))
        if interval is None:
            raise BadRequestError(-1120, "Invalid interval.")
        end, now = _integer(query, "endTime"), self._now_ms()
        end = now if end is None else min(end, now)
        rows = lane.trades.klines(interval, _integer(query, "startTime"), end, limit)
        return [kline(lane, row, interval) for row in rows.tolist()]

    def ticker_day(self, query: Mapping[str, str]) -> object:
        if "symbol" not in query:
            return [self._day(lane) for lane in self._lanes.values()]
        return self._day(self._lane(query))

    def ticker_book(self, query: Mapping[str, str]) -> object:
        if "symbol" not in query:
            return [_book_ticker(lane) for lane in self._lanes.values()]
        return _book_ticker(self._lane(query))

    def _day(self, lane: Lane) -> dict[str, object]:
        now = self._now_ms()
        bars = lane.trades.klines(60_000, now - _DAY_MS, now, 1441)
        low, high = (int(bars["low"].min()), int(bars["high"].max())) if len(bars) else (0, 0)
        first, last = (int(bars["open"][0]), int(bars["close"][-1])) if len(bars) else (0, 0)
        return {
            **_book_ticker(lane),
            "openPrice": lane.price(first),
            "lastPrice": lane.price(last),
            "priceChange": str(Decimal(lane.price(last)) - Decimal(lane.price(first))),
            "highPrice": lane.price(high),
            "lowPrice": lane.price(low),
            "volume": lane.quantity(sum(bars["lots"].tolist())),
            "quoteVolume": _money(lane, sum(bars["tl"].tolist())),
            "openTime": now - _DAY_MS,
            "closeTime": now,
            "count": int(bars["trades"].sum()),
        }

    def _lane(self, query: Mapping[str, str]) -> Lane:
        if "symbol" not in query:
            raise mandatory("symbol")
        lane = self._lanes.get(query["symbol"])
        if lane is None:
            raise BadRequestError(-1121, "Invalid symbol.")
        return lane


def kline(lane: Lane, row: tuple[int, ...], interval_ms: int) -> list[str | int]:
    """One bar (``KLINE``) in the exchange's twelve columns."""
    start, opened, high, low, close, lots, tl, trades, taker_lots, taker_tl = row
    return [
        start,
        *(lane.price(ticks) for ticks in (opened, high, low, close)),
        lane.quantity(lots),
        start + interval_ms - 1,
        _money(lane, tl),
        trades,
        lane.quantity(taker_lots),
        _money(lane, taker_tl),
        "0",
    ]


def json_answer(answer: object, status: int = 200) -> web.Response:
    """What JSON can hold, as the exchange sends it."""
    return web.Response(body=orjson.dumps(answer), status=status, content_type="application/json")


def refusal(error: BadRequestError) -> web.Response:
    """An error as the exchange sends it."""
    response = json_answer(error.to_json(), error.status)
    response.headers.update(error.headers)
    return response


def _integer(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise BadRequestError(-1100, f"Illegal characters found in parameter '{name}'.")
    return int(text)


def _limit(query: Mapping[str, str], default: int, most: int) -> int:
    limit = _integer(query, "limit")
    return default if limit is None else max(1, min(limit, most))


def _money(lane: Lane, ticks_x_lots: int) -> str:
    return f"{lane.instrument.notional(ticks_x_lots):.8f}"


def _raw_trades(lane: Lane, rows: Rows) -> list[dict[str, object]]:
    return [
        {
            "id": trade_id,
            "price": lane.price(ticks),
            "qty": lane.quantity(lots),
            "quoteQty": _money(lane, ticks * lots),
            "time": ms,
            "isBuyerMaker": side < 0,
            "isBestMatch": True,
        }
        for trade_id, ms, ticks, lots, side in rows.tolist()
    ]


def _book_ticker(lane: Lane) -> dict[str, object]:
    bids, asks = lane.top(1)
    (bid, bid_lots), (ask, ask_lots) = (bids or [(0, 0)])[0], (asks or [(0, 0)])[0]
    return {
        "symbol": lane.name,
        "bidPrice": lane.price(bid),
        "bidQty": lane.quantity(bid_lots),
        "askPrice": lane.price(ask),
        "askQty": lane.quantity(ask_lots),
    }
