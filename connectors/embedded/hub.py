"""Websocket connections and who is subscribed to what.

A message is encoded once and shared by all its subscribers. Each connection has its own bounded
outbox, so a slow client delays no other; one that falls ``MOST_PENDING`` messages behind is cut off, as
the exchange itself would do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Collection, Mapping
from functools import partial

import orjson
from aiohttp import WSMsgType, web

from agent.core.json_types import JsonObject
from connectors.embedded.faults import Faults

MOST_PENDING = 1_000_000
MOST_STREAMS = 1024


class Connection:
    """One client's socket; ``combined`` wraps each message with its stream's name."""

    def __init__(
        self, ws: web.WebSocketResponse, transport: asyncio.Transport | None, combined: bool
    ) -> None:
        self.ws = ws
        self.combined = combined
        self.streams: dict[str, None] = {}  # insertion-ordered set
        self.sent = 0
        self._transport = transport
        self._pending: list[bytes] = []
        self._ready = asyncio.Event()

    @classmethod
    async def opened(cls, request: web.Request, *, combined: bool) -> Connection:
        """A client's new socket. Pings are left to ``talk``, so that a fault can leave them unanswered."""
        ws = web.WebSocketResponse(autoping=False, compress=False)
        await ws.prepare(request)
        return cls(ws, request.transport, combined)

    async def talk(
        self, answer: Callable[[str], Mapping[str, object]], hears: Callable[[], bool] = lambda: True
    ) -> None:
        """Send what is offered, and answer each request, until the client goes; pings while it ``hears``."""
        pump = asyncio.create_task(self.pump())
        try:
            async for message in self.ws:
                if message.type is WSMsgType.PING:
                    if hears():
                        await self.ws.pong(message.data)
                elif message.type is WSMsgType.TEXT:
                    self.offer(orjson.dumps(answer(message.data)))
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    def offer(self, message: bytes) -> None:
        """Queue a text frame; a client too far behind is cut off."""
        if len(self._pending) >= MOST_PENDING:
            self.abort()
            return
        self._pending.append(message)
        self._ready.set()

    async def pump(self) -> None:
        """Send what is offered until the socket closes."""
        with contextlib.suppress(ConnectionError):
            while not self.ws.closed:
                await self._ready.wait()
                self._ready.clear()
                batch, self._pending = self._pending, []
                for message in batch:
                    await self.ws.send_frame(message, WSMsgType.TEXT)
                    self.sent += 1

    def abort(self) -> None:
        """Cut the connection without a close frame: the peer sees a reset or an unexpected end."""
        self._pending.clear()
        if self._transport is not None:
            self._transport.abort()


def cut_all(connections: Collection[Connection]) -> int:
    """Cut each without a close frame. Returns how many."""
    for connection in connections:
        connection.abort()
    return len(connections)


async def close_all(connections: Collection[Connection], code: int) -> int:
    """Close each with a close frame. Returns how many."""
    closing = (connection.ws.close(code=code, message=b"closed") for connection in connections)
    await asyncio.gather(*closing, return_exceptions=True)
    return len(connections)


class Hub:
    """All connections, and for each stream the connections subscribed to it."""

    def __init__(self, faults: Faults) -> None:
        self.connections: dict[Connection, None] = {}
        self.faults = faults
        self.subscribed = asyncio.Event()  # to a trade stream
        self._streams: dict[str, dict[Connection, None]] = {}

    def wants(self, stream: str) -> bool:
        return stream in self._streams

    def publish(self, stream: str, payload: JsonObject) -> None:
        """Send ``payload`` to the subscribers of ``stream``; free of cost when there are none."""
        subscribers = self._streams.get(stream)
        if not subscribers or self.faults.swallows(stream):
            return
        if self.faults.rewrite is not None:
            rewritten = self.faults.rewrite(stream, payload)
            if rewritten is None:
                return
            payload = rewritten
        # orjson refuses what a broken exchange may send: ids beyond 64 bits, NaN
        message = orjson.dumps(payload) if self.faults.rewrite is None else json.dumps(payload).encode()
        wrapped = b""
        for connection in subscribers:
            if connection.combined:
                wrapped = wrapped or b'{"stream":"' + stream.encode() + b'","data":' + message + b"}"
                connection.offer(wrapped)
            else:
                connection.offer(message)

    def broadcast(self, text: str) -> None:
        """Send a raw text frame to every connection, valid or not."""
        for connection in self.connections:
            connection.offer(text.encode())

    def subscribe(self, connection: Connection, streams: list[str]) -> None:
        for stream in streams:
            connection.streams[stream] = None
            self._streams.setdefault(stream, {})[connection] = None
            if stream.endswith(("@trade", "@aggTrade")):
                self.subscribed.set()

    def unsubscribe(self, connection: Connection, streams: list[str]) -> None:
        for stream in streams:
            connection.streams.pop(stream, None)
            subscribers = self._streams.get(stream, {})
            subscribers.pop(connection, None)
            if not subscribers:
                self._streams.pop(stream, None)

    def forget(self, part: str = "") -> None:
        """Forget the subscriptions whose names hold ``part`` while the sockets stay open."""
        for connection in self.connections:
            self.unsubscribe(connection, [name for name in connection.streams if part in name])

    async def serve(self, request: web.Request, streams: list[str], combined: bool) -> web.WebSocketResponse:
        """Run one client's connection until it ends."""
        connection = await Connection.opened(request, combined=combined)
        self.connections[connection] = None
        self.subscribe(connection, streams)
        try:
            await connection.talk(partial(self._answer, connection), lambda: not self.faults.deaf)
        finally:
            self.unsubscribe(connection, list(connection.streams))
            self.connections.pop(connection, None)
        return connection.ws

    def _answer(self, connection: Connection, text: str) -> dict[str, object]:
        """Carry out one SUBSCRIBE, UNSUBSCRIBE or LIST_SUBSCRIPTIONS. Returns the answer."""
        try:
            request = orjson.loads(text)
            method, params, ref = request["method"], request.get("params", []), request.get("id")
        except (ValueError, KeyError, TypeError, AttributeError):
            return {"error": {"code": 3, "msg": "Invalid JSON: expected a method and params"}}
        streams = [p for p in params if isinstance(p, str)] if isinstance(params, list) else []
        if method == "SUBSCRIBE":
            if len(connection.streams) + len(streams) > MOST_STREAMS:
                return {"error": {"code": 2, "msg": f"more than {MOST_STREAMS} streams"}, "id": ref}
            self.subscribe(connection, streams)
        elif method == "UNSUBSCRIBE":
            self.unsubscribe(connection, streams)
        elif method == "LIST_SUBSCRIPTIONS":
            return {"result": list(connection.streams), "id": ref}
        else:
            return {"error": {"code": 2, "msg": f"Invalid request: unknown method {method}"}, "id": ref}
        return {"result": None, "id": ref}
