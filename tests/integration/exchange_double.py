"""What every double of an exchange is: a server over TLS on loopback that answers in the exchange's names."""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
from aiohttp import web

from connectors.embedded.loopback import loopback_session
from connectors.embedded.tls import make_certificates


class ExchangeDouble:
    """Start with ``await start(folder)``. ``sockets``: its websockets, and what each is subscribed to."""

    hosts: ClassVar[tuple[str, ...]]
    sockets: MutableMapping[web.WebSocketResponse, Any]

    def routes(self, router: web.UrlDispatcher) -> None:
        """Say which paths are served."""
        raise NotImplementedError  # each double has its own protocol

    async def start(self, folder: Path) -> None:
        made = make_certificates(folder, time.time_ns(), self.hosts)
        app = web.Application()
        self.routes(app.router)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=made.server_context())
        await site.start()
        self.port = int(self._runner.addresses[0][1])
        self._ca_file = made.ca_file

    def session(self) -> aiohttp.ClientSession:
        """A client session that reaches this server under the exchange's names."""
        return loopback_session(self.port, self._ca_file)

    async def stop(self) -> None:
        await self.drop()
        await self._runner.cleanup()

    async def drop(self) -> None:
        """Cut every websocket at once."""
        for ws in list(self.sockets):
            if ws._req is not None and ws._req.transport is not None:
                ws._req.transport.abort()  # type: ignore[attr-defined]  # asyncio's, which is typed by its base
        self.sockets.clear()

    async def send_frame(self, text: str) -> None:
        """Send a frame as it is to every connection."""
        for ws in list(self.sockets):
            await ws.send_str(text)
