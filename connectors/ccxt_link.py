"""One ccxt.pro exchange object, unmodified, with what was measured to be missing put around it.

Three guards, all on the instance, none in ccxt's code:

* a frame that cannot be read becomes ``client.on_error`` (ccxt's receive loop would die silently,
  and be noticed minutes later by missed pongs);
* a REST answer that is text (HTML with status 200) raises, where ccxt would read it as an empty book
  or as one trade per character;
* a connection is restarted through ``client.on_error`` only when it is established: killing one that
  still dials leaves a second socket behind, and every trade comes twice.
"""

from __future__ import annotations

import asyncio
import difflib
import importlib
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, cast
from weakref import WeakKeyDictionary

from agent.core.clock import Clock
from agent.core.errors import ExchangeError, InputError
from agent.core.json_types import JsonObject, object_in
from agent.core.types import NS_PER_MS
from connectors.access.ban import Ban
from connectors.access.reaching import Reaching
from connectors.ccxt_types import CcxtExchange, CcxtModule, CcxtSocket, CcxtTrade, SocketMessage
from connectors.clock_offset import ClockOffset
from connectors.continuity.sane_numbers import is_time
from connectors.continuity.stalls import Stalls
from connectors.exchange_quirks import quirks_of

if TYPE_CHECKING:
    import aiohttp

SessionFactory = Callable[[], "aiohttp.ClientSession"]


TRADES_CACHE = 200_000
"""ccxt's own default of 1000 silently loses what a burst brings before the reader runs."""

KEPT_ROUND_TRIPS = 1024
_TIMED: ContextVar[list[tuple[int, int]] | None] = ContextVar("timed", default=None)
"""Where the requests of the running task note when they left and were answered: without ccxt's waiting for
their turn, which is a second at some exchanges."""

ExchangeConfig = JsonObject
ExchangeClass = Callable[[ExchangeConfig], CcxtExchange]


def load_ccxt() -> CcxtModule:
    """Import ``ccxt.pro``: 1 to 2 s and 111 MB, so not before an exchange is wanted."""
    return cast("CcxtModule", importlib.import_module("ccxt.pro"))


def network_errors() -> type[Exception]:
    return load_ccxt().NetworkError


def known_exchange(ccxt_pro: CcxtModule, exchange_id: str) -> ExchangeClass:
    """Return the exchange's class. Raises InputError with the nearest names."""
    if exchange_id in ccxt_pro.exchanges:
        found: ExchangeClass = getattr(ccxt_pro, exchange_id)
        return found
    near = difflib.get_close_matches(exchange_id, ccxt_pro.exchanges, n=3)
    hint = (
        f"did you mean {' or '.join(near)}?"
        if near
        else f"one of {len(ccxt_pro.exchanges)}, e.g. binance, kraken"
    )
    raise InputError(
        f"unknown exchange {exchange_id!r}: it must be one that ccxt.pro streams from ({hint}), or 'embedded'"
    )


class CcxtLink:
    """The exchange object, its guards, and the requests the feed makes of it."""

    def __init__(
        self,
        exchange_id: str,
        config: ExchangeConfig,
        session_factory: SessionFactory | None,
        our_clock: Clock,
        symbols: Sequence[str] = (),
        reaching: Reaching | None = None,
    ) -> None:
        """Build the object; nothing is contacted. Raises InputError / ExchangeError / ConfigError."""
        kind = known_exchange(load_ccxt(), exchange_id)
        self.id = exchange_id
        self.quirks = quirks_of(exchange_id)
        self.clock, self._our_clock = ClockOffset(), our_clock
        self.stalls, self.ban = Stalls(our_clock), Ban(our_clock)
        self.connections = 0  # websocket clients made so far: a new one means the stream was cut
        self.bad_frames = self.rest_rejected = 0
        self.round_trips: deque[tuple[int, int]] = deque(
            maxlen=KEPT_ROUND_TRIPS
        )  # (sent_ns, ns), not yet taken
        self._last_message_s: WeakKeyDictionary[CcxtSocket, list[float]] = WeakKeyDictionary()  # loop time
        self._session = session_factory() if session_factory is not None else None
        self.exchange = kind(self._config(config, any(":" in symbol for symbol in symbols)))
        self.through = "" if reaching is None else reaching.prepare(self.exchange)  # proxies, for messages
        self._guard_frames()
        self._guard_rest()

    def _config(self, config: ExchangeConfig, contracts: bool) -> dict[str, object]:
        options = {
            "tradesLimit": TRADES_CACHE,
            "fetchCurrencies": False,
            "fetchMargins": False,
            **self.quirks.options(contracts=contracts),
            **object_in(config, "options"),
        }
        full = {"enableRateLimit": True, "newUpdates": True, "timeout": 10_000, **config, "options": options}
        return full if self._session is None else {**full, "session": self._session}

    def require(self, *capabilities: str) -> None:
        """Raise ExchangeError naming the first capability that the exchange lacks."""
        for name in capabilities:
            if not self.exchange.has.get(name):
                raise ExchangeError(
                    f"exchange {self.id!r} has no {name} in ccxt: the agent needs live trades and order"
                    " books; use another exchange, or --exchange embedded"
                )

    # --- guards -----------------------------------------------------------------------------------

    def _guard_frames(self) -> None:
        make = self.exchange.client

        def client(url: str) -> CcxtSocket:
            made = make(url)
            if made not in self._last_message_s:
                self.connections += 1
                made.handle_message = self._guarded(made, made.handle_message)
            return made

        self.exchange.client = client

    def _guarded(
        self, client: CcxtSocket, handle: Callable[[SocketMessage], None]
    ) -> Callable[[SocketMessage], None]:
        now = asyncio.get_running_loop().time
        last_s = self._last_message_s[client] = [now()]
        network_error = network_errors()

        def guarded(message: SocketMessage) -> None:
            if client.error is not None:
                return  # given up already: what is still in its buffer belongs to no stream
            if message.type in (1, 2):  # text, binary: a pong proves a connection, not a stream
                last_s[0] = now()
            try:
                handle(message)
            except Exception as error:
                self.bad_frames += 1
                client.on_error(network_error(f"unreadable frame ({type(error).__name__}: {error})"))

        return guarded

    def _guard_rest(self) -> None:
        fetch = self.exchange.fetch
        unavailable = load_ccxt().ExchangeNotAvailable

        async def checked(*args: object, **kwargs: object) -> object:
            if self.ban.left_s:
                raise load_ccxt().DDoSProtection(f"not asked during a ban: {self.ban.error}")
            began_ns = self._our_clock.now_ns()
            try:
                answer = await fetch(*args, **kwargs)
            except Exception as error:
                self.ban.note(error, self.through, self.clock.offset_ns)
                raise
            self.ban.answered(began_ns)
            if (timed := _TIMED.get()) is not None:
                timed.append((began_ns, self._our_clock.now_ns()))
            if not isinstance(answer, dict | list) and not str(answer).isdecimal():
                self.rest_rejected += 1
                raise unavailable(f"{self.id} answered with {str(answer)[:60]!r} where JSON was due")
            return answer

        self.exchange.fetch = checked

    def restart(self, silent_s: float) -> None:
        """Drop the connections that brought nothing for ``silent_s``; all, if none is that quiet."""
        timeout = load_ccxt().RequestTimeout
        now = asyncio.get_running_loop().time()
        live = [c for c in (self.exchange.clients or {}).values() if c.isConnected and not c.closed()]
        silent = [c for c in live if now - self._last_message_s[c][0] >= 0.9 * silent_s]
        for client in silent or live:
            client.on_error(timeout(f"no message for {silent_s:g} s"))

    # --- requests ---------------------------------------------------------------------------------

    async def trades(
        self, symbol: str, *, from_id: int | None = None, since_ms: int | None = None
    ) -> list[CcxtTrade]:
        """Return one page of trades, oldest first: from an id on, from a stamp on, or the latest."""
        params: dict[str, object] = {}
        if from_id is not None and self.quirks.aggregates:
            params["fromId"], since_ms = from_id, None
        page = await self.exchange.fetch_trades(symbol, since_ms, self.quirks.page, params)
        if not isinstance(page, list) or not all(isinstance(t, dict) and "price" in t for t in page):
            self.rest_rejected += 1
            raise ConnectionError(f"{self.id} answered fetch_trades({symbol}) with no list of trades")
        return page

    async def measure_clock(self, probes: int = 1) -> bool:
        """Fetch the exchange's time ``probes`` times; without fetchTime the offset stays 0 (unmeasured).

        Returns whether an answer was of use.
        """
        looks = 0
        for _ in range(probes if self.exchange.has.get("fetchTime") else 0):
            look = await self._look_at_clock()
            if look is not None and self.clock.contradicts(*look):
                look = await self._look_at_clock()  # one wild answer is no step
            if look is not None:
                self.clock.add(*look)
                looks += 1
        return looks > 0

    async def _look_at_clock(self) -> tuple[int, int, int] | None:
        """When the exchange was asked (our clock), what it said in ms, when it answered; None: no time."""
        timed: list[tuple[int, int]] = []
        token = _TIMED.set(timed)
        try:
            server_ms = await self.exchange.fetch_time()
        finally:
            _TIMED.reset(token)
        if not isinstance(server_ms, int) or not is_time(server_ms) or not timed:
            self.rest_rejected += 1
            return None
        self.round_trips.extend((sent_ns, answered_ns - sent_ns) for sent_ns, answered_ns in timed)
        return timed[-1][0], server_ms, timed[-1][1]

    def on_our_clock_ns(self, stamp_ms: int) -> int:
        """Return an exchange stamp with the clock offset removed."""
        return stamp_ms * NS_PER_MS - self.clock.offset_ns

    async def close(self) -> None:
        """Close the client, then the session if it was ours to make."""
        await self.exchange.close()
        if self._session is not None:
            await self._session.close()
