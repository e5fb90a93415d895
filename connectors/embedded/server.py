"""The embedded exchange: a market played to Binance spot's public protocol, over TLS on loopback.

    exchange = EmbeddedExchange(market, clock)
    endpoint = await exchange.start()          # host, port, ca_file
    session = loopback_session(endpoint.port, endpoint.ca_file)
    client = ccxt.pro.binance({"session": session, ...})

A market that ends leaves the exchange up, with its last book and all its trades: ``ended`` is true then.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from aiohttp import WSCloseCode, web

from agent.core.clock import Clock
from agent.core.errors import ExchangeError, InputError, OrderError
from agent.core.types import NS_PER_MS
from connectors.embedded.faults import Faults, RestFault
from connectors.embedded.hub import Hub, close_all, cut_all
from connectors.embedded.market_source import MarketSource
from connectors.embedded.player import Player
from connectors.embedded.rest_api import Rest
from connectors.embedded.tls import make_certificates
from connectors.embedded.traded_symbol import Lane
from connectors.embedded.trading.trading_floor import TradingFloor, TradingRules

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the exchange listens, and the authority a client must trust."""

    host: str
    port: int
    ca_file: Path

    def to_json(self) -> dict[str, object]:
        return asdict(self) | {"ca_file": str(self.ca_file)}


class PlayFrom(StrEnum):
    """What sets the market in motion."""

    START = "start"
    SUBSCRIBED = "subscribed"  # the first subscription to a trade stream: no trade is missed
    RELEASED = "released"  # a call of release()


class EmbeddedExchange:
    """One exchange. Not reusable: make a new one after ``stop``."""

    def __init__(
        self,
        market: MarketSource,
        clock: Clock,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float = 1.0,
        play_from: PlayFrom = PlayFrom.START,
        began_ns: int | None = None,
        trading: TradingRules | None = None,
    ) -> None:
        """``speed`` 2.0 plays twice as fast. ``began_ns``: the market goes on as if it had played since then.

        ``trading``: it takes orders, of one account. None: it has its public side only.

        Raises InputError for a host that is not loopback.
        """
        if host not in _LOOPBACK:
            raise InputError(
                f"the embedded exchange listens on loopback only, not on {host!r}: use {_LOOPBACK[0]}"
            )
        self.faults = Faults()
        self._host, self._port, self._play_from = host, port, play_from
        self._clock = clock
        self._hub = Hub(self.faults)
        self._lanes = {i.number: Lane(i, self._hub) for i in market.instruments}
        self._player = Player(market, self._lanes, speed, clock, began_ns)
        self._rest = Rest(list(self._lanes.values()), self._now_ms, self.faults, trading is not None)
        self._floor = None
        if trading is not None:
            self._floor = TradingFloor(trading, self._lanes, self._player, clock, self.faults)
        self._released = asyncio.Event()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._runner: web.AppRunner | None = None
        self._listen: Callable[[], web.TCPSite] | None = None
        self._site: web.TCPSite | None = None
        self._playing: asyncio.Task[None] | None = None

    # --- life -------------------------------------------------------------------------------------

    async def start(self) -> Endpoint:
        """Load the past, listen, and play. Raises ExchangeError when the port is taken."""
        await asyncio.to_thread(self._player.open)
        if self._floor is not None:
            await asyncio.to_thread(self._floor.desk.matcher.warm_up)
        self._folder = tempfile.TemporaryDirectory(prefix="embedded-exchange-")
        certificates = make_certificates(Path(self._folder.name), self._clock.now_ns())
        context = certificates.server_context()
        certificates.key_file.unlink()  # loaded: it is not read again
        runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._runner = runner
        self._listen = lambda: web.TCPSite(runner, self._host, self._port, ssl_context=context)
        try:
            if self._player.began_ns is not None:
                self._playing = asyncio.create_task(self._player.play())
                await self._player.caught_up.wait()
            await self.accept()
        except OSError as error:
            await self.stop()
            raise ExchangeError(
                f"the embedded exchange cannot listen on {self._host}:{self._port} ({error.strerror}):"
                " choose another port, or 0 for any"
            ) from error
        self._playing = self._playing or asyncio.create_task(self._play())
        return Endpoint(self._host, self._port, certificates.ca_file)

    async def stop(self) -> None:
        """Stop playing, close every connection and remove the certificates."""
        if self._playing is not None:
            self._playing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._playing
        await self.close_connections()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._folder is not None:
            self._folder.cleanup()

    def release(self) -> None:
        """Let the market begin, where it waits for that."""
        self._released.set()

    async def wait_ended(self) -> None:
        """Return when the market has been played to its end. Raises what playing raised."""
        if self._playing is None:
            raise ExchangeError("the embedded exchange has not been started: call start() first")
        await asyncio.shield(self._playing)

    @property
    def ended(self) -> bool:
        return self._player.ended.is_set()

    @property
    def began_ns(self) -> int | None:
        """When the market began to play; None before."""
        return self._player.began_ns

    @property
    def trading(self) -> TradingFloor:
        """Its order side. Raises ExchangeError where it takes no orders."""
        if self._floor is None:
            raise ExchangeError(
                "the embedded exchange takes no orders: make it with trading=TradingRules(...)"
            )
        return self._floor

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[] if self._floor is None else [self._floor.weigh])
        app.add_routes(self._rest.routes())
        if self._floor is not None:
            app.add_routes(self._floor.routes())
        app.add_routes(
            [
                web.get("/embedded/status", self._status),
                web.get("/stream", self._stream),
                web.get("/ws", self._ws),
                web.get("/ws/{names:.*}", self._ws),
            ]
        )
        return app

    async def _play(self) -> None:
        if self._play_from is PlayFrom.SUBSCRIBED:
            await self._hub.subscribed.wait()
        elif self._play_from is PlayFrom.RELEASED:
            await self._released.wait()
        await self._player.play()

    async def _ws(self, request: web.Request) -> web.WebSocketResponse:
        # /ws/btcusdt@trade/btcusdt@depth subscribes at once; ccxt opens /ws/<number> and subscribes later
        names = request.match_info.get("names", "").split("/")
        return await self._hub.serve(request, [name for name in names if "@" in name], combined=False)

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        names = request.query.get("streams", "").split("/")
        return await self._hub.serve(request, [name for name in names if name], combined=True)

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response(self.status())

    def _now_ms(self) -> int:
        return self._clock.now_ns() // NS_PER_MS

    # --- its state ------------------------------------------------------------

    def status(self) -> dict[str, int]:
        """Counters: rows and trades played, how late playing was, connections, REST requests."""
        return {
            "ended": self.ended,
            "rows": self._player.rows,
            "trades": self._player.trades,
            "max_lag_ns": self._player.max_lag_ns,
            "connections": len(self._hub.connections),
            "requests": self._rest.requests,
            "withheld": self.faults.withheld,
        }

    def lane(self, symbol: str) -> Lane:
        """The state of a symbol ("BTC/USDT"). Raises OrderError for one that is not listed."""
        for lane in self._lanes.values():
            if lane.instrument.symbol == symbol:
                return lane
        listed = ", ".join(lane.instrument.symbol for lane in self._lanes.values())
        raise OrderError(f"the embedded exchange does not list {symbol!r}: choose one of {listed}")

    # --- faults -------------------------------------------------------------------------------------

    async def drop_connections(self) -> int:
        """Cut every websocket, the user stream's too, without a close frame. Returns how many."""
        cut = cut_all(list(self._hub.connections))
        cut += 0 if self._floor is None else self._floor.stream.cut()
        await asyncio.sleep(0)
        return cut

    async def close_connections(self, code: int = WSCloseCode.GOING_AWAY) -> int:
        """Close every websocket, the user stream's too, with a close frame. Returns how many."""
        closed = await close_all(list(self._hub.connections), code)
        return closed + (0 if self._floor is None else await self._floor.stream.close(code))

    async def refuse(self) -> None:
        """Cut every connection, kept-alive REST ones too, and refuse new ones until ``accept``."""
        if self._site is not None:
            await self._site.stop()
            self._site = None
        server = self._runner.server if self._runner is not None else None
        for handler in server.connections if server is not None else ():
            if handler.transport is not None:
                handler.transport.abort()
        await self.drop_connections()

    async def accept(self) -> None:
        """Listen (again), on the same port."""
        if self._listen is None or self._runner is None or self._site is not None:
            return
        site = self._listen()
        await site.start()
        self._site = site
        if not self._port:
            self._port = self._runner.addresses[-1][1]

    def send_frame(self, text: str) -> None:
        """Send a text frame as it is to every websocket: truncated JSON, plain text, ``[]``."""
        self._hub.broadcast(text)

    def forget_subscriptions(self, part: str = "") -> None:
        """Keep the sockets open, but send no stream whose name holds ``part`` until subscribed again."""
        self._hub.forget(part)

    def fail_rest(self, fault: RestFault) -> None:
        """Answer the next ``fault.count`` matching REST requests with ``fault``."""
        self.faults.rest.append(fault)
