"""What an exchange that does not serve us said: which kind it is, and how long a run bears it."""

from __future__ import annotations

import aiohttp
import ccxt.pro as ccxt
import pytest
from aiohttp.client_reqrep import RequestInfo
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from connectors.access.refusals import Bearing, Refusal, refusal_of, sentence

GET = "binance GET https://api.binance.com/api/v3/exchangeInfo"
STREAM = URL("wss://stream.binance.com")
INFO = RequestInfo(STREAM, "GET", CIMultiDictProxy(CIMultiDict()), STREAM)

CASES = [
    (ccxt.ExchangeNotAvailable(f'{GET} 451  {{"code":0,"msg":"restricted location"}}'), Refusal.LOCATION),
    (ccxt.ExchangeNotAvailable(f"{GET} 403 Forbidden <html>"), Refusal.LOCATION),
    (ccxt.PermissionDenied("okx: this service is not available in your region"), Refusal.LOCATION),
    (ccxt.DDoSProtection(f"{GET} 418 I'm a teapot {{}}"), Refusal.BANNED),
    (ccxt.RateLimitExceeded('bybit {"retCode":10018,"retMsg":"your ip is banned"}'), Refusal.BANNED),
    (ccxt.OnMaintenance("kraken {}"), Refusal.MAINTENANCE),
    (ccxt.ExchangeNotAvailable('upbit 503 {"msg":"system upgrade"}'), Refusal.MAINTENANCE),
    (ccxt.ExchangeNotAvailable(f"{GET} 407 Proxy Authentication Required"), Refusal.PROXY),
    (ccxt.RateLimitExceeded(f'{GET} 429 Too Many Requests {{"code":-1003}}'), None),
    (ccxt.ExchangeNotAvailable(f"{GET} 503 Service Unavailable"), None),
    (ccxt.BadResponse('binance {"price":418,"size": 451 }'), None),
    (ccxt.NetworkError("binance dropped 4510 bytes, port 10403"), None),
    (ccxt.RequestTimeout("binance no message for 10 s"), None),
    (ValueError("of our own"), None),
]  # fmt: skip


@pytest.mark.parametrize(("error", "kind"), CASES, ids=[str(error)[-40:] for error, _ in CASES])
def test_a_refusal_is_told_from_an_outage(error: Exception, kind: Refusal | None) -> None:
    """By the status, the class and the words; numbers in a body are no status."""
    assert refusal_of(error) is kind


@pytest.mark.parametrize(("status", "kind"), [(451, Refusal.LOCATION), (418, Refusal.BANNED), (101, None)])
def test_a_stream_is_refused_as_it_is_opened(status: int, kind: Refusal | None) -> None:
    """ccxt raises its own error of what aiohttp says of the handshake."""
    handshake = aiohttp.WSServerHandshakeError(INFO, (), status=status, message="Invalid response status")
    error = ccxt.NetworkError("opening failed")
    error.__cause__ = handshake
    assert refusal_of(error) is kind


@pytest.mark.parametrize("kind", Refusal)
def test_each_kind_has_one_sentence(kind: Refusal) -> None:
    """With the exchange's name, and no end of line."""
    said = sentence(kind, "binance", "http://proxy:1", ccxt.NetworkError("until 1799999999000"))
    assert "binance" in said
    assert "\n" not in said


S = 10**9


def test_a_run_bears_a_refusal_for_a_while() -> None:
    """One that goes on ends it; another kind, or a time without any, begins anew."""
    bearing = Bearing()
    assert not any(bearing.too_long(Refusal.LOCATION, at * S) for at in range(0, 60, 10))
    assert bearing.too_long(Refusal.LOCATION, 60 * S)
    assert not bearing.too_long(Refusal.BANNED, 61 * S)
    assert not bearing.too_long(Refusal.LOCATION, 62 * S)
    assert not bearing.too_long(Refusal.LOCATION, 62 * S + 61 * S)  # a minute without any
    assert bearing.too_long(Refusal.LOCATION, 62 * S + 121 * S)
    assert not bearing.too_long(Refusal.LOCATION, 62 * S + 122 * S, anew=True)
    assert not bearing.too_long(None, 62 * S + 150 * S)  # another error between
    assert not bearing.too_long(Refusal.LOCATION, 62 * S + 183 * S)


def test_a_proxy_that_is_not_there_is_told_from_an_exchange_that_is_not() -> None:
    """ccxt says the same of both; the address shows which."""
    through = "http://me:***@10.0.0.1:3128 and socks5://10.0.0.2:1080"
    assert (
        refusal_of(ccxt.NetworkError("Cannot connect to host 10.0.0.1:3128 ssl:default"), through)
        is Refusal.PROXY
    )
    assert refusal_of(ccxt.NetworkError("Cannot connect to host api.kraken.com:443"), through) is None
    assert refusal_of(ccxt.NetworkError("Couldn't connect to proxy 10.0.0.2:1080")) is Refusal.PROXY
