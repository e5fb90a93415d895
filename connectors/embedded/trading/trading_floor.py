"""The order side of one embedded exchange, put together: keys, ledger, endpoints, limits, user stream.

    exchange = EmbeddedExchange(market, clock, trading=TradingRules({"USDT": Decimal(10_000)}))
    key = exchange.trading.keys.hmac                   # or .ed25519: ccxt's apiKey and secret
    exchange.trading.desk.store.trades                 # the ledger that judges
    exchange.trading.faults.add(OrderFault.lost_after())

All of it is in memory and ends with the exchange.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from aiohttp import web
from aiohttp.typedefs import Handler

from agent.core.clock import Clock
from agent.core.types import NS_PER_MS
from connectors.embedded.api_errors import BadRequestError
from connectors.embedded.faults import Faults
from connectors.embedded.player import Player
from connectors.embedded.rest_api import json_answer, refusal
from connectors.embedded.traded_symbol import Lane
from connectors.embedded.trading.api_keys import ApiKey, KeyRing
from connectors.embedded.trading.balances import Balances
from connectors.embedded.trading.order_desk import OrderDesk
from connectors.embedded.trading.order_faults import OrderFault, OrderFaults, closed
from connectors.embedded.trading.private_api import Endpoint, PrivateApi
from connectors.embedded.trading.request_weights import RequestWeights, weight_of
from connectors.embedded.trading.signed_requests import API_KEY_HEADER, SignedRequests
from connectors.embedded.trading.user_stream import PATH, UserStream

ROOT = "/api/v3/"


@dataclass(frozen=True, slots=True)
class TradingRules:
    """What the account opens with, and its fees in parts per million of what a fill brings in."""

    balances: Mapping[str, Decimal]
    maker_ppm: int = 1000
    taker_ppm: int = 1000
    random_bytes: Callable[[int], bytes] = field(default=secrets.token_bytes, repr=False)  # of the keys


class TradingFloor:
    """Owns the account. ``faults``: those of the public side, which hold for these endpoints too."""

    def __init__(
        self, rules: TradingRules, lanes: Mapping[int, Lane], player: Player, clock: Clock, faults: Faults
    ) -> None:
        fees = (rules.maker_ppm, rules.taker_ppm)
        self._opening = rules.balances
        self.keys, self.weights = KeyRing(rules.random_bytes), RequestWeights()
        self.balances = Balances(rules.balances)
        self.desk = OrderDesk(lanes, player, self.balances, fees)
        self.faults = OrderFaults()
        self.api = PrivateApi(list(lanes.values()), self.desk, self.weights, fees, self.faults)
        self._signed, self._clock, self._public_faults = SignedRequests(self.keys), clock, faults
        self.stream = UserStream(self._signed, self.balances, self.weights, self._now_ms, self.faults)
        self.desk.listener = self.stream.order

    def routes(self) -> list[web.RouteDef]:
        rest = [
            web.route(method, ROOT + path, self._handler(endpoint))
            for (method, path), endpoint in self.api.endpoints().items()
        ]
        return [*rest, web.get(PATH, self._socket)]

    def change_balance(self, asset: str, change: Decimal) -> None:
        """Put money in, or take it out (negative), from outside. Raises InputError for more than is free."""
        self.balances.change(asset, change)
        self.stream.balance(asset, change)

    async def begin_maintenance(self) -> None:
        """Refuse signed requests and sockets until ``end_maintenance``; those there are closed, told why.

        The market plays on, and what rests may be filled.
        """
        self.faults.maintenance = True
        await self.stream.shut_down()

    def end_maintenance(self) -> None:
        self.faults.maintenance = False

    def reset(self) -> None:
        """As a demo's reset: no order, no trade, the opening balances. Keys stay, and nothing is told."""
        self.desk.reset(self._opening)

    def revoke(self, key: ApiKey) -> None:
        """Make a key invalid: its requests are refused from now on, its stream is ended."""
        self.keys.revoke(key)
        self.stream.terminate(key.api_key)

    def _now_ms(self) -> int:
        return self._clock.now_ns() // NS_PER_MS

    def _handler(self, endpoint: Endpoint) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            away = self._public_faults.rest_answer(request.path)
            if away is not None or self.faults.maintenance:
                return (away or closed()).response()
            fault = self.faults.of(request.method, request.path.removeprefix(ROOT))
            if fault is not None:
                return await self._faulty(fault, endpoint, request)
            return self._answer(endpoint, request, (await request.read()).decode(errors="replace"))

        return handle

    async def _faulty(
        self, fault: OrderFault, endpoint: Endpoint, request: web.Request
    ) -> web.StreamResponse:
        """Take a request as often as a fault says, when it says, and answer as it says."""
        body = (await request.read()).decode(errors="replace")
        await asyncio.sleep(fault.before_s)
        answers = [self._answer(endpoint, request, body) for _ in range(fault.taken)]
        await asyncio.sleep(fault.after_s)
        if fault.cut and request.transport is not None:
            request.transport.abort()
        if fault.answer is not None:
            return fault.answer.response()
        return answers[-1] if answers else web.Response(status=503)

    def _answer(self, endpoint: Endpoint, request: web.Request, body: str) -> web.Response:
        now_ms = self._now_ms()
        query = request.raw_path.partition("?")[2]
        try:
            params = self._signed.rest(
                request.headers.get(API_KEY_HEADER), query, body, now_ms, trade=endpoint.trades
            )
            response = json_answer(endpoint.answer(params, now_ms))
        except BadRequestError as error:
            response = refusal(error)
        if endpoint.orders:
            response.headers.update(self.weights.order_headers())
        return response

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self.stream.serve(request)
        except BadRequestError as error:
            return refusal(error)

    @web.middleware
    async def weigh(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count what each request of REST weighs, and refuse who sends too many."""
        if not request.path.startswith(ROOT):
            return await handler(request)
        weight = weight_of(request.method, request.path.removeprefix(ROOT), request.query)
        try:
            self.weights.check(weight, self._now_ms())
            response = await handler(request)
        except BadRequestError as error:
            response = refusal(error)
        response.headers.update(self.weights.headers())
        return response
