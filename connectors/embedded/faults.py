"""Faults that can be switched on in the embedded exchange: those that were measured to hurt ccxt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from agent.core.json_types import JsonObject

Rewrite = Callable[[str, JsonObject], JsonObject | None]
"""Of a stream's name and a message of it: what is sent instead; None sends nothing."""


@dataclass(slots=True)
class RestFault:
    """The next ``count`` REST answers are this one; only for paths that start with ``path``."""

    status: int = 503
    body: str = "Service Unavailable"
    content_type: str = "text/plain"
    headers: dict[str, str] = field(default_factory=dict)
    count: int = 1
    path: str = "/"

    @classmethod
    def too_many(cls, count: int = 1, path: str = "/") -> RestFault:
        body = '{"code":-1003,"msg":"Too many requests."}'
        return cls(429, body, "application/json", {"Retry-After": "1"}, count, path)

    @classmethod
    def unavailable(cls, count: int = 1, path: str = "/") -> RestFault:
        return cls(count=count, path=path)

    @classmethod
    def empty(cls, count: int = 1, path: str = "/") -> RestFault:
        """Status 200 with an empty list."""
        return cls(200, "[]", "application/json", {}, count, path)

    @classmethod
    def html(cls, count: int = 1, path: str = "/") -> RestFault:
        """Status 200 with a web page: what a captive portal or a broken proxy sends."""
        return cls(200, "<html><body>Sign in</body></html>", "text/html", {}, count, path)

    def response(self) -> web.Response:
        """The answer itself."""
        return web.Response(
            status=self.status, text=self.body, content_type=self.content_type, headers=self.headers
        )


@dataclass(slots=True)
class Faults:
    """Switches; all off is a healthy exchange. Counters count what was withheld."""

    silent: bool = False  # streams send nothing; pings are still answered
    deaf: bool = False  # pings are not answered either (blackhole)
    skip_trades: int = 0  # so many trade messages are lost, on each of the trade streams
    skip_depth: int = 0  # so many depth messages are lost
    rewrite: Rewrite | None = None  # changes what the streams send; the market itself stays as it is
    rest: list[RestFault] = field(default_factory=list)
    withheld: int = 0
    skipped: dict[str, int] = field(default_factory=dict)

    def swallows(self, stream: str) -> bool:
        """Whether the next message of ``stream`` is to be lost."""
        if self.silent or self.deaf:
            self.withheld += 1
            return True
        if not (self.skip_trades or self.skip_depth):
            return False
        allowed = self.skip_depth if "@depth" in stream else self.skip_trades if "rade" in stream else 0
        if self.skipped.get(stream, 0) >= allowed:
            return False
        self.skipped[stream] = self.skipped.get(stream, 0) + 1
        self.withheld += 1
        return True

    def rest_answer(self, path: str) -> RestFault | None:
        """Return the fault the next request of ``path`` must get, and count it down."""
        for fault in self.rest:
            if path.startswith(fault.path):
                fault.count -= 1
                if fault.count <= 0:
                    self.rest.remove(fault)
                return fault
        return None
