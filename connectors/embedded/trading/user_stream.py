"""The user stream: what happens to the account, told on the websocket API to whoever has signed for it.

A subscription lasts as long as its socket. Nothing is kept for who is not there: what a cut socket missed is
in the ledger, and must be asked for by REST. The event of an order comes before the event of the money that
it moved.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

import orjson
from aiohttp import WSCloseCode, web

from connectors.embedded.api_errors import BadRequestError
from connectors.embedded.hub import Connection, close_all, cut_all
from connectors.embedded.trading.balances import Balances
from connectors.embedded.trading.order_desk import OrderEvent
from connectors.embedded.trading.order_faults import OrderFaults, closed
from connectors.embedded.trading.order_messages import (
    Json,
    account_position,
    balance_update,
    execution_report,
)
from connectors.embedded.trading.request_weights import RequestWeights
from connectors.embedded.trading.signed_requests import SignedRequests

PATH = "/ws-api/v3"
_WEIGHT = 2  # of a connection, and of a subscription


@dataclass(frozen=True, slots=True)
class _Subscription:
    number: int  # of its socket, from 0
    connection: Connection
    api_key: str


class UserStream:
    """The sockets of the websocket API and their subscriptions."""

    def __init__(
        self,
        signed: SignedRequests,
        balances: Balances,
        weights: RequestWeights,
        now_ms: Callable[[], int],
        faults: OrderFaults,
    ) -> None:
        self._faults = faults
        self._signed, self._balances, self._weights, self._now_ms = signed, balances, weights, now_ms
        self._connections: dict[Connection, int] = {}  # and how many subscriptions it has had
        self._subscriptions: list[_Subscription] = []
        self.sent = 0  # events, however many heard them

    @property
    def subscribers(self) -> int:
        return len(self._subscriptions)

    # --- what is told -------------------------------------------------------------------------------

    def order(self, event: OrderEvent) -> None:
        """Tell what happened to an order, and what that did to the account."""
        self._publish(execution_report(event, self._now_ms()))
        if self._balances.changed:
            moved = list(self._balances.changed)
            self._balances.changed.clear()
            self._publish(account_position(self._balances, moved, self._now_ms()))

    def balance(self, asset: str, change: Decimal) -> None:
        """Tell a deposit or a withdrawal."""
        self._balances.changed.clear()
        self._publish(balance_update(asset, change, self._now_ms()))
        self._publish(account_position(self._balances, [asset], self._now_ms()))

    def _publish(self, event: Json) -> None:
        self.sent += 1
        for passed in self._faults.stream.passed(event):
            for subscription in self._subscriptions:
                _send(subscription, passed)

    # --- sockets ------------------------------------------------------------------------------------

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Run one client's connection until it ends."""
        self._weights.check(_WEIGHT, self._now_ms())
        if self._faults.maintenance:
            return closed().response()
        connection = await Connection.opened(request, combined=False)
        self._connections[connection] = 0
        try:
            await connection.talk(partial(self._answer, connection))
        finally:
            self._forget(connection)
            self._connections.pop(connection, None)
        return connection.ws

    def _answer(self, connection: Connection, text: str) -> Json:
        """Carry out one request."""
        number: object = None
        try:
            asked = orjson.loads(text)
            number, method, params = asked.get("id"), asked["method"], asked.get("params", {})
            if not isinstance(params, Mapping):
                raise TypeError
            return {"id": number, "status": 200, "result": self._carry_out(connection, method, params)}
        except BadRequestError as error:
            return {"id": number, "status": error.status, "error": error.to_json()}
        except (ValueError, KeyError, TypeError, AttributeError):
            told = {"code": -1135, "msg": "Invalid JSON Request"}
            return {"id": number, "status": 400, "error": told}

    def _carry_out(self, connection: Connection, method: str, params: Mapping[str, object]) -> Json:
        if method == "ping":
            return {}
        if method == "time":
            return {"serverTime": self._now_ms()}
        if method == "userDataStream.subscribe.signature":
            self._weights.check(_WEIGHT, self._now_ms())
            sent = self._signed.websocket(params, self._now_ms(), trade=False)
            return {"subscriptionId": self._subscribe(connection, sent["apiKey"])}
        if method == "userDataStream.unsubscribe":
            self._forget(connection, params.get("subscriptionId"))
            return {}
        raise BadRequestError(-1020, "This operation is not supported.")

    def _subscribe(self, connection: Connection, api_key: str) -> int:
        number = self._connections[connection]
        self._connections[connection] = number + 1
        self._subscriptions.append(_Subscription(number, connection, api_key))
        return number

    def _forget(self, connection: Connection, number: object = None) -> None:
        """Drop a socket's subscriptions; with a number that one only."""
        self._subscriptions = [
            s for s in self._subscriptions if s.connection is not connection or number not in (None, s.number)
        ]

    # --- what is done to it ---------------------------------------------------------------------------

    def terminate(self, api_key: str) -> None:
        """End the subscriptions of a key that is valid no more; their sockets stay open."""
        ended = [s for s in self._subscriptions if s.api_key == api_key]
        self._subscriptions = [s for s in self._subscriptions if s not in ended]
        for subscription in ended:
            _send(subscription, {"e": "eventStreamTerminated", "E": self._now_ms()})

    async def shut_down(self) -> None:
        """Announce the end to every socket, and close it."""
        told = orjson.dumps({"event": {"e": "serverShutdown", "E": self._now_ms()}}).decode()
        for connection in list(self._connections):
            with contextlib.suppress(ConnectionError):
                await connection.ws.send_str(told)
        await self.close()

    def cut(self) -> int:
        """Cut every socket without a close frame. Returns how many."""
        return cut_all(list(self._connections))

    async def close(self, code: int = WSCloseCode.GOING_AWAY) -> int:
        """Close every socket with a close frame. Returns how many."""
        return await close_all(list(self._connections), code)


def _send(subscription: _Subscription, event: Json) -> None:
    message = {"subscriptionId": subscription.number, "event": event}
    subscription.connection.offer(orjson.dumps(message))
