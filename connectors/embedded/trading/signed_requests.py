"""What makes a request a signed one: whose it is, when it was made, and that nobody changed it since.

The signature is of the parameters as they were sent: of the query string and the body of a REST request
joined without anything between, of the sorted parameters of a websocket one.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from connectors.embedded.api_errors import BadRequestError, mandatory
from connectors.embedded.trading.api_keys import KeyRing

RECV_WINDOW_MS, MOST_RECV_WINDOW_MS = 5000, 60_000
_AHEAD_MS = 1000
API_KEY_HEADER = "X-MBX-APIKEY"

Params = Mapping[str, str]


class SignedRequests:
    """Checks requests against the keys that were issued."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def rest(self, api_key: str | None, query: str, body: str, now_ms: int, *, trade: bool) -> Params:
        """The parameters of a request of REST, its ``query`` and ``body`` as they came.

        Raises BadRequestError: -2014, -2015, -1101, -1102, -1021, -1022, -1131.
        """
        self._keys.check_key(api_key, trade=trade)
        assert api_key is not None
        params = _once(parse_qsl(query, keep_blank_values=True) + parse_qsl(body, keep_blank_values=True))
        signature = _of(params, "signature")
        _check_time(params, now_ms)
        payload = _unsigned(query) + _unsigned(body)
        self._keys.check_signature(api_key, payload.encode(), signature)
        return params

    def websocket(self, given: Mapping[str, object], now_ms: int, *, trade: bool) -> Params:
        """The parameters of a request of the websocket API, which holds its key. Raises as ``rest``."""
        params = {name: str(value) for name, value in given.items()}
        self._keys.check_key(params.get("apiKey"), trade=trade)
        signature = _of(params, "signature")
        _check_time(params, now_ms)
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature")
        self._keys.check_signature(params["apiKey"], payload.encode(errors="surrogatepass"), signature)
        return params


def _once(pairs: list[tuple[str, str]]) -> dict[str, str]:
    params = dict(pairs)
    if len(params) < len(pairs):
        raise BadRequestError(-1101, "Duplicate values for a parameter detected.")
    return params


def _unsigned(text: str) -> str:
    """The parameters as they were sent, but for the signature."""
    return "&".join(part for part in text.split("&") if not part.startswith("signature="))


def _of(params: Params, name: str) -> str:
    value = params.get(name, "")
    if not value:
        raise mandatory(name)
    return value


def _check_time(params: Params, now_ms: int) -> None:
    at_ms = _whole(params, "timestamp", _of(params, "timestamp"))
    window_ms = _whole(params, "recvWindow", params.get("recvWindow", str(RECV_WINDOW_MS)))
    if window_ms > MOST_RECV_WINDOW_MS:
        raise BadRequestError(-1131, f"recvWindow must be less than {MOST_RECV_WINDOW_MS}")
    if at_ms >= now_ms + _AHEAD_MS:
        raise BadRequestError(
            -1021, f"Timestamp for this request was {_AHEAD_MS}ms ahead of the server's time."
        )
    if now_ms - at_ms > window_ms:
        raise BadRequestError(-1021, "Timestamp for this request is outside of the recvWindow.")


def _whole(params: Params, name: str, text: str) -> int:
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        raise BadRequestError(-1100, f"Illegal characters found in parameter '{name}'.") from None
