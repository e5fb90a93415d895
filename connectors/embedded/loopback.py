"""How an unmodified client reaches the embedded exchange: every host name resolves to loopback.

ccxt keeps its own URLs (overriding them changes how it classifies errors, and signed calls still went
to the live host); only the name resolution and the trusted authority differ. Nothing leaves the machine.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult


class LoopbackResolver(AbstractResolver):
    """Maps every host, whatever its port, to 127.0.0.1:``port``; ``hosts`` records the names."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.hosts: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.hosts.append(host)
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=self.port, family=socket.AF_INET, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        """Nothing is held."""


def loopback_session(
    port: int, ca_file: Path | str, resolver: LoopbackResolver | None = None
) -> aiohttp.ClientSession:
    """Return a session for ccxt's ``session`` setting; the caller closes it. Needs a running loop.

    Pass a ``resolver`` to read afterwards which hosts were tried.
    """
    connector = aiohttp.TCPConnector(
        resolver=resolver or LoopbackResolver(port),
        ssl=ssl.create_default_context(cafile=str(ca_file)),
        use_dns_cache=False,
    )
    return aiohttp.ClientSession(connector=connector)
