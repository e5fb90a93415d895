"""What requests weigh, and what happens to who sends too many: 429, and 418 for who goes on.

Weights count by the minute of the exchange's clock, per address (there is one here); new orders by ten
seconds and by day.
"""

from __future__ import annotations

from collections.abc import Mapping

from connectors.embedded.api_errors import BadRequestError
from connectors.embedded.symbol_info import ORDERS_1D, ORDERS_10S, WEIGHT_1M

WEIGHTS = {
    ("GET", "exchangeInfo"): 20,
    ("GET", "aggTrades"): 4,
    ("GET", "trades"): 25,
    ("GET", "historicalTrades"): 25,
    ("GET", "klines"): 2,
    ("GET", "ticker/bookTicker"): 2,
    ("GET", "ticker/24hr"): 2,
    ("GET", "order"): 4,
    ("GET", "allOrders"): 20,
    ("GET", "myTrades"): 20,
    ("GET", "account"): 20,
    ("GET", "openOrders"): 6,
}
"""By method and path below ``/api/v3/``; others weigh 1, ``depth`` by its limit."""

_DEPTH = ((100, 5), (500, 25), (1000, 50))
_DEPTH_MOST = 250
_ALL_SYMBOLS = {"openOrders": 80, "ticker/bookTicker": 4, "ticker/24hr": 80}
_MINUTE_MS, _DAY_MS, _TEN_S_MS = 60_000, 86_400_000, 10_000
BAN_AFTER = 100  # refused requests without an accepted one between: then 418
BAN_S = 120
_TOO_MUCH = (
    "Too much request weight used; current limit is {} request weight per 1 MINUTE. Please use WebSocket"
    " Streams for live updates to avoid polling the API."
)
_WAY_TOO_MUCH = (
    "Way too much request weight used; IP banned until {}. Please use WebSocket Streams for live updates to"
    " avoid bans."
)


def weight_of(method: str, path: str, query: Mapping[str, str]) -> int:
    """What a request weighs. ``path`` is below ``/api/v3/``."""
    if path == "depth":
        limit = query.get("limit", "100")
        wanted = int(limit) if limit.isdecimal() else 0
        return next((weight for most, weight in _DEPTH if wanted <= most), _DEPTH_MOST)
    if path in _ALL_SYMBOLS and method == "GET" and "symbol" not in query:
        return _ALL_SYMBOLS[path]
    return WEIGHTS.get((method, path), 1)


class _Window:
    """A count that begins anew with each window of the clock."""

    def __init__(self, length_ms: int, most: int) -> None:
        self.length_ms, self.most, self.used = length_ms, most, 0
        self._window = -1

    def add(self, count: int, now_ms: int) -> bool:
        """Count; whether that is more than allowed."""
        if now_ms // self.length_ms != self._window:
            self._window, self.used = now_ms // self.length_ms, 0
        self.used += count
        return self.used > self.most

    def over_s(self, now_ms: int) -> int:
        """Seconds until the next window."""
        return 1 + (self.length_ms - now_ms % self.length_ms) // 1000


class RequestWeights:
    """Counts what was sent. Limits may be set lower, to be met sooner."""

    def __init__(self) -> None:
        self.weight = _Window(_MINUTE_MS, WEIGHT_1M)
        self.orders_10s, self.orders_1d = _Window(_TEN_S_MS, ORDERS_10S), _Window(_DAY_MS, ORDERS_1D)
        self._refused, self._banned_until_ms = 0, 0

    def check(self, weight: int, now_ms: int) -> None:
        """Count a request. Raises BadRequestError -1003, with status 429, or 418 once banned."""
        if now_ms < self._banned_until_ms:
            raise self._ban(now_ms)
        if not self.weight.add(weight, now_ms):
            self._refused = 0
            return
        self._refused += 1
        if self._refused > BAN_AFTER:
            self._refused, self._banned_until_ms = 0, now_ms + BAN_S * 1000
            raise self._ban(now_ms)
        after = {"Retry-After": str(self.weight.over_s(now_ms))}
        raise BadRequestError(-1003, _TOO_MUCH.format(self.weight.most), 429, headers=after)

    def check_order(self, now_ms: int) -> None:
        """Count a new order. Raises BadRequestError -1015 with status 429."""
        for window, name in ((self.orders_10s, "10 SECOND"), (self.orders_1d, "1 DAY")):
            if window.add(1, now_ms):
                msg = f"Too many new orders; current limit is {window.most} orders per {name}."
                after = {"Retry-After": str(window.over_s(now_ms))}
                raise BadRequestError(-1015, msg, 429, headers=after)

    def headers(self) -> dict[str, str]:
        """What every answer tells of it."""
        return {
            "X-MBX-USED-WEIGHT": str(self.weight.used),
            "X-MBX-USED-WEIGHT-1M": str(self.weight.used),
        }

    def order_headers(self) -> dict[str, str]:
        """What the answer to an order tells besides."""
        return {
            "X-MBX-ORDER-COUNT-10S": str(self.orders_10s.used),
            "X-MBX-ORDER-COUNT-1D": str(self.orders_1d.used),
        }

    def _ban(self, now_ms: int) -> BadRequestError:
        left_s = 1 + (self._banned_until_ms - now_ms) // 1000
        msg = _WAY_TOO_MUCH.format(self._banned_until_ms)
        return BadRequestError(-1003, msg, 418, headers={"Retry-After": str(left_s)})
