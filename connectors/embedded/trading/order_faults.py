"""Faults of the order side, on request: answers lost, late or wrong, a user stream that cannot be trusted.

Of a request three things can go wrong apart from each other: how often the exchange takes it (not, once,
twice), when, and what the client hears of it. ``ORDER_FAULTS`` names the usual ones: a seed can draw from
it. What the exchange did is in its ledger, whatever it said.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from connectors.embedded.faults import RestFault
from connectors.embedded.trading.order_messages import Json

_UNKNOWN = (
    '{"code":-1007,"msg":"Timeout waiting for response from backend server. Send status unknown; execution'
    ' status unknown."}'
)
_BANNED = (
    '{"code":-1003,"msg":"Way too much request weight used; IP banned until 4102444800000. Please use'
    ' WebSocket Streams for live updates to avoid bans."}'
)
_TOO_MANY = (
    '{"code":-1003,"msg":"Too much request weight used; current limit is 6000 request weight per 1 MINUTE."}'
)
_UPSTREAM = "<html><head><title>503 Service Temporarily Unavailable</title></head></html>"
_JSON = "application/json"
_NEVER_S = 3600.0


@dataclass(slots=True)
class OrderFault:
    """What is done to the next ``count`` requests of a method and a path below ``/api/v3/``."""

    taken: int = 1  # how often the exchange takes it
    answer: RestFault | None = None  # what the client hears instead of the exchange's answer
    cut: bool = False  # it hears nothing: the connection is cut
    before_s: float = 0.0  # how long the request is on its way
    after_s: float = 0.0  # ... and its answer
    method: str = "POST"
    path: str = "order"
    count: int = 1

    @classmethod
    def lost_before(cls) -> OrderFault:
        """The connection is cut before the exchange takes the request."""
        return cls(taken=0, cut=True)

    @classmethod
    def lost_after(cls) -> OrderFault:
        """The exchange takes the request, and the connection is cut before the answer."""
        return cls(cut=True)

    @classmethod
    def mute(cls, *, taken: bool) -> OrderFault:
        """No answer ever, the connection stays open."""
        return cls(taken=int(taken), after_s=_NEVER_S)

    @classmethod
    def late(cls, before_s: float, after_s: float = 0.0) -> OrderFault:
        """The request arrives late, and its answer comes late: whoever has given up meanwhile is wrong."""
        return cls(before_s=before_s, after_s=after_s)

    @classmethod
    def repeated(cls) -> OrderFault:
        """The exchange gets the request twice; the client hears the second answer."""
        return cls(taken=2)

    @classmethod
    def unknown(cls, *, taken: bool) -> OrderFault:
        """-1007: whether the exchange took it, it does not know itself."""
        return cls(int(taken), RestFault(408, _UNKNOWN, _JSON))

    @classmethod
    def unavailable(cls, *, taken: bool) -> OrderFault:
        """503 with a page of a proxy between, which does not know what the exchange did."""
        return cls(int(taken), closed())

    @classmethod
    def html(cls, *, taken: bool) -> OrderFault:
        """Status 200 with a web page."""
        return cls(int(taken), RestFault.html())

    @classmethod
    def too_many(cls) -> OrderFault:
        """429, nothing is taken."""
        return cls(0, RestFault(429, _TOO_MANY, _JSON, {"Retry-After": "1"}))

    @classmethod
    def banned(cls) -> OrderFault:
        """418, nothing is taken."""
        return cls(0, RestFault(418, _BANNED, _JSON, {"Retry-After": "2"}))

    def of(self, method: str, path: str, count: int = 1) -> OrderFault:
        """The same, of other requests."""
        self.method, self.path, self.count = method, path, count
        return self


def _both(name: str, make: Callable[..., OrderFault]) -> dict[str, Callable[[], OrderFault]]:
    return {
        f"{name}_untaken": functools.partial(make, taken=False),
        f"{name}_taken": functools.partial(make, taken=True),
    }


ORDER_FAULTS: Mapping[str, Callable[[], OrderFault]] = {
    "lost_before": OrderFault.lost_before,
    "lost_after": OrderFault.lost_after,
    "late": functools.partial(OrderFault.late, 3.0, 3.0),
    "repeated": OrderFault.repeated,
    "too_many": OrderFault.too_many,
    "banned": OrderFault.banned,
    **_both("mute", OrderFault.mute),
    **_both("unknown", OrderFault.unknown),
    **_both("unavailable", OrderFault.unavailable),
    **_both("html", OrderFault.html),
}
"""Each as a new one, of the next ``POST /api/v3/order``."""


@dataclass(slots=True)
class StreamFaults:
    """What is done to the next events of the user stream. Counts go down as they are used."""

    lose: int = 0  # so many are never sent
    twice: int = 0  # ... are sent twice
    swap: int = 0  # ... are sent after the one that follows them
    partial_fills: bool = True  # False, until set again: fills that do not end their order are not told
    silent: bool = False  # True, until set again: nothing is sent; pings are answered
    withheld: int = 0
    _waiting: list[Json] = field(default_factory=list)

    def passed(self, event: Json) -> list[Json]:
        """What is sent now that ``event`` has happened."""
        partial = event.get("x") == "TRADE" and event.get("X") == "PARTIALLY_FILLED"
        if self.silent or self.lose or (partial and not self.partial_fills):
            self.lose = max(0, self.lose - 1) if not self.silent else self.lose
            self.withheld += 1
            return []
        if self.swap:
            self.swap -= 1
            self._waiting.append(event)
            return []
        sent, self._waiting = [event, *self._waiting], []
        if self.twice:
            self.twice -= 1
            return [event, *sent]
        return sent


@dataclass(slots=True)
class OrderFaults:
    """Switches of the order side; all off is a healthy exchange."""

    requests: list[OrderFault] = field(default_factory=list)
    stream: StreamFaults = field(default_factory=StreamFaults)
    fills_before_cancels: list[float] = field(default_factory=list)
    """Of the orders cancelled next: which part of what is left is filled before the cancel comes."""
    lag_ms: int = 0  # orders and trades younger than this are in no answer to a GET yet
    maintenance: bool = False  # signed requests are refused; see ``TradingFloor.begin_maintenance``

    def add(self, fault: OrderFault) -> OrderFault:
        self.requests.append(fault)
        return fault

    def of(self, method: str, path: str) -> OrderFault | None:
        """The fault that the next request of a method and path must get, counted down."""
        for fault in self.requests:
            if (fault.method, fault.path) == (method, path):
                fault.count -= 1
                if fault.count <= 0:
                    self.requests.remove(fault)
                return fault
        return None


def closed() -> RestFault:
    """What is answered in maintenance."""
    return RestFault(503, _UPSTREAM, "text/html")
