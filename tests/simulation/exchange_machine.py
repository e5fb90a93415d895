"""The embedded exchange on a machine of its own: its truth, and the faults that are done to it."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from agent.core.json_types import JsonObject
from connectors.embedded.faults import RestFault
from connectors.embedded.printed_trades import Rows
from connectors.embedded.server import EmbeddedExchange, Endpoint
from connectors.embedded.synthetic.synthetic_market import SyntheticMarket
from connectors.embedded.synthetic.synthetic_symbols import SYMBOLS
from tests.simulation.scenario import Fault, Scenario
from tests.simulation.virtual_loop import VirtualLoop
from tests.simulation.virtual_time import VirtualClock

MACHINE, PORT = "exchange", 8443
PAST_S = 120.0
_NO_TIME_CHECK = 0x200000  # OpenSSL's: it reads the computer's clock, which is not the certificate's
_GARBAGE = ('{"e":"aggTr', "upstream connect error", "[]", '{"e":"aggTrade"}', "null")
_REST = {
    "rest_too_many": RestFault.too_many,
    "rest_unavailable": RestFault.unavailable,
    "rest_empty": RestFault.empty,
    "rest_html": RestFault.html,
}


class _ToExchange(AbstractResolver):
    """Every host is the exchange's machine."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host=self._address, port=PORT, family=socket.AF_INET, proto=0, flags=0
            )
        ]

    async def close(self) -> None: ...


@dataclass
class Quotes:
    """What the exchange's book showed: the best prices after each update, by its own stamps."""

    ms: list[int] = field(default_factory=list)
    bids: list[int] = field(default_factory=list)
    asks: list[int] = field(default_factory=list)


class ExchangeMachine:
    """Owns the exchange, its ledger, and what was done to its frames."""

    def __init__(self, scenario: Scenario, loop: VirtualLoop) -> None:
        self.loop = loop
        market = SyntheticMarket(
            scenario.seed, scenario.symbols, past_s=PAST_S, trades_per_s=scenario.trades_per_s
        )
        self.clock = VirtualClock(scenario.exchange_ahead_ns)
        self.exchange = EmbeddedExchange(market, self.clock, host="localhost", port=PORT)
        self.changed: dict[str, set[int]] = {}  # symbol -> aggregates that were sent with a wrong price
        self.quotes: dict[str, Quotes] = {symbol: Quotes() for symbol in scenario.symbols}
        self._modes: dict[str, float] = {}  # of frames: late, twice, wild_price -> until when
        self._endpoint: asyncio.Future[Endpoint] | None = None

    async def run(self) -> None:
        """Until the loop ends."""
        self._note_quotes()
        self.exchange.faults.rewrite = self._rewrite
        endpoint = await self.exchange.start()
        assert self._endpoint is not None
        self._endpoint.set_result(endpoint)
        await self.exchange.wait_ended()

    async def ready(self) -> Endpoint:
        """Start it; where it listens."""
        self._endpoint = self.loop.create_future()
        self.loop.spawn(MACHINE, self.run())
        return await self._endpoint

    def session(self, endpoint: Endpoint) -> aiohttp.ClientSession:
        """As ``loopback_session``, over the simulated network."""
        context = ssl.create_default_context(cafile=str(endpoint.ca_file))
        context.verify_flags |= ssl.VerifyFlags(_NO_TIME_CHECK)
        resolver = _ToExchange(self.loop.net.address(MACHINE))
        connector = aiohttp.TCPConnector(resolver=resolver, ssl=context, use_dns_cache=False)
        return aiohttp.ClientSession(connector=connector)

    def trades(self, symbol: str) -> Rows:
        """Its ledger: every aggregate that it has printed."""
        return self.exchange.lane(symbol).trades.aggregates.rows

    def _note_quotes(self) -> None:
        for symbol, quotes in self.quotes.items():
            lane = self.exchange.lane(symbol)
            end_update = lane.end_update

            def noting(ext_id: int, ms: int, lane=lane, quotes=quotes, end_update=end_update) -> None:
                end_update(ext_id, ms)
                if lane.bids and lane.asks:
                    quotes.ms.append(ms)
                    quotes.bids.append(max(lane.bids))
                    quotes.asks.append(min(lane.asks))

            lane.end_update = noting  # type: ignore[method-assign]

    # --- faults -----------------------------------------------------------------------------------

    async def do(self, fault: Fault, agent: str) -> None:
        """One that is the exchange's, or of the way to it."""
        kind, size, exchange = fault.kind, fault.size, self.exchange
        faults = exchange.faults
        if kind == "drop":
            await exchange.drop_connections()
        elif kind == "close":
            await exchange.close_connections()
        elif kind == "refuse":
            await exchange.refuse()
            await asyncio.sleep(size)
            await self.loop.spawn(MACHINE, exchange.accept())  # else it would listen on the caller's machine
        elif kind == "silent":
            await self._switched("silent", size)
        elif kind == "deaf":
            await self._switched("deaf", size)
        elif kind == "cut":
            self.loop.cut(agent, MACHINE, size)
        elif kind in ("late", "twice", "wild_price"):
            self._modes[kind] = self.loop.time() + size
        elif kind == "skip_trades":
            faults.skipped.clear()
            faults.skip_trades, faults.skip_depth = int(size), 0
        elif kind == "skip_depth":
            faults.skipped.clear()
            faults.skip_trades, faults.skip_depth = 0, int(size)
        elif kind == "garbage":
            for number in range(int(size)):
                exchange.send_frame(_GARBAGE[(number + int(fault.at_s * 100)) % len(_GARBAGE)])
        elif kind in _REST:
            exchange.fail_rest(_REST[kind](int(size)))
        else:
            part = {"forget_all": "", "forget_trades": "aggTrade", "forget_book": "depth"}[kind]
            exchange.forget_subscriptions(part)

    async def _switched(self, name: str, for_s: float) -> None:
        setattr(self.exchange.faults, name, True)
        await asyncio.sleep(for_s)
        setattr(self.exchange.faults, name, False)

    def _rewrite(self, stream: str, payload: JsonObject) -> JsonObject | None:
        """Frames of trades: with a wild price, twice, or after those that follow."""
        if not self._modes or "aggTrade" not in stream:
            return payload
        now_s = self.loop.time()
        on = {kind for kind, until_s in self._modes.items() if now_s < until_s}
        number = int(payload["a"])  # type: ignore[call-overload]
        if "wild_price" in on and number % 7 == 0:
            self.changed.setdefault(str(payload["s"]), set()).add(number)
            payload = {**payload, "p": f"{float(str(payload['p'])) * 10:.2f}"}
        if "twice" in on and number % 3 == 0:
            self._later(payload, 0.0)
        if "late" in on and number % 4 == 0:
            self._later(payload, 0.3)
            return None
        return payload

    def _later(self, payload: JsonObject, after_s: float) -> None:
        text = json.dumps(dict(payload))
        send: Callable[[str], None] = self.exchange.send_frame
        self.loop.call_later(after_s, send, text)


def lighter_market() -> None:
    """Fewer changes far from the touch: most of the time would go into books that decide nothing."""
    for name in ("BTC/USDT", "ETH/USDT"):
        SYMBOLS[name] = replace(SYMBOLS[name], level_per_s=30.0, touch_per_s=15.0, levels=60.0)
