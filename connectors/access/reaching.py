"""How an exchange is reached from where people are: through proxies, and with a company's certificates.

Theory of operation. ccxt has a way of its own for each kind of proxy, requests apart from streams, and reads
nothing of the environment; its HTTP client would read HTTPS_PROXY for requests and leave streams out. So
one proxy is chosen here for each of both, from the configuration or else from the environment, and set by
ccxt's names on the client. Authorities that are trusted: those ccxt brings, the system's (which
SSL_CERT_FILE and SSL_CERT_DIR name), REQUESTS_CA_BUNDLE's and those of a file of the configuration.

Example: with HTTPS_PROXY=http://10.0.0.1:3128 and NO_PROXY=.internal, binance gets ``httpsProxy`` and
``wssProxy`` set to it. With ``proxy: socks5://10.0.0.1:1080`` it gets ``socksProxy`` and ``wsSocksProxy``.
"""

from __future__ import annotations

import importlib.util
import os
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from agent.core.errors import ConfigError
from agent.core.json_types import JsonObject
from agent.core.secret_url import ProxyUrl
from connectors.ccxt_types import CcxtExchange


@dataclass(frozen=True, slots=True)
class Reaching:
    """What the configuration says of it; None: what the environment says."""

    options: Mapping[str, object] = field(default_factory=dict)
    hostname: str | None = None
    proxy: ProxyUrl | None = None
    websocket_proxy: ProxyUrl | None = None
    certificates: Path | None = None

    def client_config(self) -> JsonObject:
        """What ccxt's class is made with."""
        named: JsonObject = {} if self.hostname is None else {"hostname": self.hostname}
        return {**named, "options": dict(self.options)}

    def prepare(self, exchange: CcxtExchange) -> str:
        """Set the proxies and the authorities of a client that has sent nothing yet.

        Returns what it goes through, for messages: "" for nothing. Raises ConfigError.
        """
        exchange.ssl_context = self._trusting()
        requests = self.proxy or _of_environment(_host_of(exchange.urls, "https"))
        streams = self.websocket_proxy or self.proxy or _of_environment(_host_of(exchange.urls, "wss"))
        for proxy, plain, socks in (
            (requests, "httpsProxy", "socksProxy"),
            (streams, "wssProxy", "wsSocksProxy"),
        ):
            if proxy is not None:
                _check_socks(proxy)
                setattr(exchange, socks if proxy.is_socks else plain, proxy.secret)
        told = dict.fromkeys(str(proxy) for proxy in (requests, streams) if proxy is not None)
        return " and ".join(told)

    def _trusting(self) -> ssl.SSLContext:
        import certifi

        context = ssl.create_default_context(cafile=certifi.where())
        context.load_default_certs()
        bundle = os.environ.get("REQUESTS_CA_BUNDLE")
        for name, file in (("ccxt.certificates", self.certificates), ("REQUESTS_CA_BUNDLE", bundle)):
            if file:
                try:
                    context.load_verify_locations(cafile=file)
                except OSError as error:  # of ssl's own, too
                    why = error.strerror or error
                    raise ConfigError(
                        f"{name} = {str(file)!r} cannot be read ({why}): give a PEM file of authorities"
                    ) from error
        return context


def _of_environment(host: str) -> ProxyUrl | None:
    """HTTPS_PROXY, else ALL_PROXY, unless NO_PROXY names the host. Raises ConfigError."""
    found = getproxies()
    text = found.get("https") or found.get("all")
    if not text or proxy_bypass(host):
        return None
    try:
        return ProxyUrl.of(text if "://" in text else f"http://{text}")
    except ValueError as error:
        raise ConfigError(f"HTTPS_PROXY or ALL_PROXY names no proxy that can be used: {error}") from error


def _check_socks(proxy: ProxyUrl) -> None:
    if proxy.is_socks and importlib.util.find_spec("aiohttp_socks") is None:
        raise ConfigError(
            f"{proxy} is a SOCKS proxy, which takes a package more: pip install 'lem-execution-agent[socks]'"
        )


def _host_of(urls: object, scheme: str) -> str:
    """The first host that a client's addresses name."""
    return next((urlsplit(url).hostname or "" for url in _texts(urls) if url.startswith(f"{scheme}://")), "")


def _texts(urls: object) -> Iterator[str]:
    if isinstance(urls, str):
        yield urls
    elif isinstance(urls, Mapping):
        for part in urls.get("api", urls).values() if isinstance(urls.get("api"), Mapping) else urls.values():
            yield from _texts(part)
