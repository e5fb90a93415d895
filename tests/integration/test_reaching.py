"""An exchange reached through real proxies, with authorities of one's own, and one that does not serve us.

The unmodified ccxt client, whose hosts only the proxies know: they lead to the embedded exchange over TLS.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from agent.cli import main
from agent.config import parse_config
from agent.core.errors import AgentError, ConfigError, ExchangeError
from agent.core.market.tape import Kind
from agent.core.secret_url import ProxyUrl
from agent.system_clock import SystemClock
from connectors.access.reaching import Reaching
from connectors.ccxt_feed import CcxtFeed, FeedOptions
from connectors.embedded.faults import RestFault
from connectors.embedded.server import EmbeddedExchange, Endpoint
from connectors.embedded.synthetic.synthetic_market import SyntheticMarket
from tests.integration.local_proxy import LocalProxy, nobody
from tests.patience import PATIENCE_S

SYMBOL = "BTC/USDT"
VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@asynccontextmanager
async def exchange() -> AsyncIterator[tuple[EmbeddedExchange, Endpoint]]:
    served = EmbeddedExchange(SyntheticMarket(1, (SYMBOL,)), SystemClock())
    endpoint = await served.start()
    try:
        yield served, endpoint
    finally:
        await served.stop()


def feed_of(**reaching: Any) -> CcxtFeed:
    options = FeedOptions(connect_deadline_s=15.0)
    return CcxtFeed("binance", SystemClock(), options=options, reaching=Reaching(**reaching))


async def streamed(feed: CcxtFeed) -> set[Kind]:
    """What comes of the stream until there were trades and levels of a book."""
    kinds: set[Kind] = set()
    try:
        await feed.instruments([SYMBOL])
        async with asyncio.timeout(30):
            async for rows in feed.stream():
                kinds |= {Kind(kind) for kind in np.unique(rows["kind"])}
                if {Kind.TRADE, Kind.LEVEL} <= kinds:
                    break
    finally:
        await feed.close()
    return kinds


@pytest.mark.parametrize("socks", [False, True])
async def test_requests_and_streams_go_through_a_configured_proxy(socks: bool) -> None:
    """HTTP and SOCKS: both hosts are asked for there, by name."""
    async with exchange() as (_, endpoint), LocalProxy(endpoint.port, socks=socks) as proxy:
        kinds = await streamed(feed_of(proxy=ProxyUrl.of(proxy.url), certificates=endpoint.ca_file))
        assert {Kind.TRADE, Kind.LEVEL} <= kinds
        assert set(proxy.hosts) == {"api.binance.com", "stream.binance.com"}


async def test_streams_may_have_a_proxy_of_their_own() -> None:
    """Requests through one, streams through the other, which asks for a login."""
    async with (
        exchange() as (_, endpoint),
        LocalProxy(endpoint.port) as plain,
        LocalProxy(endpoint.port, login="me:s%20cret") as streams,
    ):
        await streamed(
            feed_of(
                proxy=ProxyUrl.of(plain.url),
                websocket_proxy=ProxyUrl.of(streams.url),
                certificates=endpoint.ca_file,
            )
        )
        assert set(plain.hosts) == {"api.binance.com"}
        assert set(streams.hosts) == {"stream.binance.com"}


@pytest.mark.parametrize(
    "variable", ["HTTPS_PROXY", pytest.param("https_proxy", marks=pytest.mark.slow), "ALL_PROXY"]
)
async def test_the_environment_s_proxy_and_authorities_hold(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As other programs take them, for streams too; the configuration goes before."""
    async with exchange() as (_, endpoint), LocalProxy(endpoint.port) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(endpoint.ca_file))
        monkeypatch.setenv("NO_PROXY", "localhost,.internal")
        await streamed(feed_of())
        assert set(proxy.hosts) == {"api.binance.com", "stream.binance.com"}
        async with LocalProxy(endpoint.port) as other:
            await streamed(feed_of(proxy=ProxyUrl.of(other.url)))
            assert set(other.hosts) == {"api.binance.com", "stream.binance.com"}


async def test_no_proxy_leaves_an_exchange_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it is sent to the proxy."""
    async with exchange() as (_, endpoint), LocalProxy(endpoint.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", ".binance.com")
        feed = CcxtFeed(
            "binance", SystemClock(), options=FeedOptions(connect_deadline_s=5.0), reaching=Reaching()
        )
        with pytest.raises(ExchangeError):
            await feed.instruments([SYMBOL])
        assert proxy.hosts == []


async def refused(feed: CcxtFeed) -> str:
    with pytest.raises(AgentError) as told:
        await feed.instruments([SYMBOL])
    assert "\n" not in str(told.value)
    return str(told.value)


@pytest.mark.parametrize("socks", [False, True])
async def test_a_proxy_that_is_not_there_is_told(socks: bool) -> None:
    """At the start, of either kind."""
    async with nobody() as port:
        url = f"{'socks5' if socks else 'http'}://127.0.0.1:{port}"
        said = await refused(feed_of(proxy=ProxyUrl.of(url)))
        assert said.startswith(f"binance cannot be reached through {url}: the proxy refuses, or is not there")


async def test_a_proxy_s_faults_are_one_sentence_each() -> None:
    """Nobody there, a login that is wrong, a certificate that is not trusted; no password is shown."""
    async with exchange() as (_, endpoint), LocalProxy(endpoint.port, login="me:secret") as proxy:
        async with nobody() as port:
            gone = f"http://me:secret@127.0.0.1:{port}"
            said = await refused(feed_of(proxy=ProxyUrl.of(gone), certificates=endpoint.ca_file))
            assert (
                f"binance cannot be reached through http://me:***@127.0.0.1:{port}: the proxy refuses" in said
            )
        wrong = proxy.url.replace("secret", "guess")
        said = await refused(feed_of(proxy=ProxyUrl.of(wrong), certificates=endpoint.ca_file))
        assert "the proxy refuses, or is not there; look at ccxt.proxy" in said
        assert "guess" not in said
        said = await refused(feed_of(proxy=ProxyUrl.of(proxy.url)))
        assert "is not trusted here" in said
        assert "ccxt.certificates or SSL_CERT_FILE" in said
        assert "secret" not in said


BLOCKED = {
    "451": (
        RestFault(451, '{"code":0,"msg":"Service unavailable from a restricted location"}', count=99),
        "does not serve the place",
    ),
    "403": (RestFault(403, "<html>403 Forbidden</html>", "text/html", count=99), "does not serve the place"),
    "418": (
        RestFault(
            418,
            '{"code":-1003,"msg":"Way too many requests; IP(1.2.3.4) banned until 1799999999000."}',
            "application/json",
            count=99,
        ),
        "has banned this address for too many requests until 2027-01-15 07:59:59 UTC: wait",
    ),
    "maintenance": (
        RestFault(503, '{"code":-1,"msg":"System is under maintenance."}', "application/json", count=99),
        "is under maintenance",
    ),
}


@pytest.mark.parametrize("case", BLOCKED)
async def test_an_exchange_that_does_not_serve_us_is_told_at_once(case: str) -> None:
    """At the start, in one sentence, with what to do."""
    fault, words = BLOCKED[case]
    async with exchange() as (served, endpoint), LocalProxy(endpoint.port) as proxy:
        served.faults.rest.append(fault)
        said = await refused(feed_of(proxy=ProxyUrl.of(proxy.url), certificates=endpoint.ca_file))
        assert words in said
        assert fault.count >= 95  # not asked again and again


LINEAR = {"fetchMarkets": {"types": ["linear"]}}


@pytest.mark.parametrize(
    ("exchange_id", "symbol", "reaching", "host"),
    [
        ("bybit", "BTC/USDT", {"hostname": "bytick.com"}, "api.bytick.com"),
        (
            "binance",
            "BTC/USDT:USDT",
            {"options": {"fetchMarkets": {"types": ["linear"]}}},
            "fapi.binance.com",
        ),
    ],
)
async def test_a_host_name_and_options_reach_the_client(
    exchange_id: str, symbol: str, reaching: dict[str, Any], host: str
) -> None:
    """Seen by which host it asks for; here nobody answers in its name."""
    async with exchange() as (_, endpoint), LocalProxy(endpoint.port) as proxy:
        told = Reaching(proxy=ProxyUrl.of(proxy.url), **reaching)
        feed = CcxtFeed(
            exchange_id, SystemClock(), options=FeedOptions(connect_deadline_s=10.0), reaching=told
        )
        with pytest.raises(ExchangeError):
            await feed.instruments([symbol])
        assert set(proxy.hosts) == {host}


@pytest.mark.slow
async def test_a_recording_through_a_proxy_tells_nobody_its_password(tmp_path: Path) -> None:
    """``agent record`` with a configuration file: rows come, and the session holds no password."""
    async with exchange() as (_, endpoint), LocalProxy(endpoint.port, login="me:s3cretWord") as proxy:
        file = tmp_path / "c.yaml"
        ccxt = {"proxy": proxy.url, "certificates": str(endpoint.ca_file)}
        raw = {"exchange": "binance", "symbol": SYMBOL, "out": str(tmp_path / "out"), "ccxt": ccxt}
        file.write_text(yaml.safe_dump({**raw, "feed": {"warm_up": "60s"}}))
        command = [
            sys.executable,
            "-m",
            "agent",
            "record",
            "--duration",
            "3s",
            "--config",
            str(file),
            "--json",
        ]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        assert process.returncode == 0, err.decode()
        assert json.loads(out)["events"] > 0
        written = [each.read_bytes() for each in (tmp_path / "out").rglob("*") if each.is_file()]
        assert written
        assert not any(b"s3cretWord" in each for each in (out, err, *written))
        assert any(b"me@127.0.0.1" in each for each in written)


CREDENTIALS = [
    {"apiKey": "s3cretWord"},
    {"options": {"secret": "s3cretWord"}},
    {"options": {"accounts": [{"private_key": "s3cretWord"}]}},
]


@pytest.mark.parametrize("section", CREDENTIALS)
def test_credentials_are_refused_and_not_shown(
    section: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever in the section they stand; by ``run``, and by ``config check`` with the line."""
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump({"exchange": "binance", "ccxt": section}))
    for command in (["run", "--paper"], ["config", "check"]):
        with pytest.raises(SystemExit) as stop:
            main([*command, "--config", str(file)] if command[0] == "run" else [*command, str(file)])
        said = "".join(capsys.readouterr())
        assert stop.value.code == 2
        assert "is refused: this program signs nothing" in said
        assert "s3cretWord" not in said


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"httpsProxy": "http://a:1"}, "ccxt.httpsProxy: write it as ccxt.proxy"),
        ({"wsSocksProxy": "socks5://a:1"}, "ccxt.wsSocksProxy: write it as ccxt.websocket_proxy"),
        ({"proxy": "10.0.0.1:3128"}, "write a proxy's URL with its port"),
        ({"proxy": "http://me:s3cretWord@host"}, "write a proxy's URL with its port"),
        ({"proxies": "http://a:1"}, "did you mean proxy?"),
        ({"proxy": "http://me:s3cretWord/x@host:1"}, "write a proxy's URL with its port"),
        ({"options": {"httpsProxy": "http://me:s3cretWord@host:1"}}, "write it as ccxt.proxy"),
        ({"options": {"headers": {"X-MBX-APIKEY": "s3cretWord"}}}, "this program signs nothing"),
    ],
)
def test_a_section_s_mistakes_say_how_it_is_written(section: dict[str, Any], words: str) -> None:
    """ccxt's own names, a proxy without a scheme or a port, a slip."""
    with pytest.raises(ConfigError) as told:
        parse_config({"ccxt": section})
    assert words in str(told.value)
    assert "s3cretWord" not in str(told.value)


@pytest.mark.parametrize("held", [b"", b"no certificate"])
async def test_a_file_of_no_certificates_is_named(held: bytes, tmp_path: Path) -> None:
    """With its key, whatever is wrong with it."""
    file = tmp_path / "ca.pem"
    if held:
        file.write_bytes(held)
    with pytest.raises(ConfigError, match=r"ccxt.certificates = .*ca.pem' cannot be read"):
        await feed_of(certificates=file).instruments([SYMBOL])


async def test_a_proxy_of_the_environment_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in the variable is not shown: it may hold a password."""
    monkeypatch.setenv("HTTPS_PROXY", "ftp://me:secret@host")
    with pytest.raises(ConfigError, match="HTTPS_PROXY or ALL_PROXY names no proxy") as told:
        await feed_of().instruments([SYMBOL])
    assert "secret" not in str(told.value)
