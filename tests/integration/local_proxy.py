"""A proxy on loopback, HTTP CONNECT or SOCKS5, behind which every host is one local port."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import unquote


class LocalProxy:
    """``hosts`` are those it was asked for. With ``login`` ("user:password") it serves nobody else."""

    def __init__(self, behind: int, *, socks: bool = False, login: str = "") -> None:
        self.hosts: list[str] = []
        self._behind, self._socks, self._login = behind, socks, login
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        at = f"{self._login}@" if self._login else ""
        return f"{'socks5h' if self._socks else 'http'}://{at}{host}:{port}"

    async def __aenter__(self) -> LocalProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            if await (self._greeted(reader, writer) if self._socks else self._connect(reader, writer)):
                inner, out = await asyncio.open_connection("127.0.0.1", self._behind)
                await asyncio.gather(_pipe(reader, out), _pipe(inner, writer))
        writer.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split(" ", 2)
        wanted = base64.b64encode(unquote(self._login).encode()).decode()
        if self._login and f"Basic {wanted}" not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return False
        self.hosts.append(target.rpartition(":")[0])
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return method == "CONNECT"

    async def _greeted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """RFC 1928, without a login, by name."""
        _, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(b"\x05\x00")
        assert (await reader.readexactly(4))[3] == 3, "the name is to be looked up here"
        (length,) = await reader.readexactly(1)
        self.hosts.append((await reader.readexactly(length)).decode())
        await reader.readexactly(2)
        writer.write(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
        return True


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def nobody() -> AsyncIterator[int]:
    """A port on which nothing listens."""
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    yield port
