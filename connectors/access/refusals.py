"""An exchange that does not serve us: what kind of refusal it is, one sentence, and how long it is borne.

A dropped connection is mended by another one. A place that is not served, a ban, maintenance and a proxy that
lets nothing through are not: each new try is for nothing, and prolongs a ban. So they are told apart by the
status and by what the exchange says, at the start and in a run; there each kind is borne for a while, since a
single answer of the kind may be a mistake, and then ends the run with its sentence.

Example: ``binance GET https://api.binance.com/api/v3/exchangeInfo 451 {"code":0,"msg":"Service unavailable
from a restricted location ..."}`` is a LOCATION, told at the start at once.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import Enum

from agent.core.types import NS_PER_S

_STATUS = re.compile(r"(?:^|[\s'\"=(])(403|407|418|429|451)(?=[\s,'\")]|$)")
_BANNED = re.compile(r"\bbanned?\b|\bip ban", re.IGNORECASE)
_LOCATION = re.compile(
    r"restricted location|restricted (?:country|region|area)|not available in your (?:country|region)"
    r"|(?:country|region|jurisdiction)[^.]{0,40}(?:not (?:supported|allowed|served)|restricted|blocked)",
    re.IGNORECASE,
)
_MAINTENANCE = re.compile(r"\bmaintenance\b|system upgrade|upgrading", re.IGNORECASE)
_CERTIFICATE = re.compile(r"certificate[ _]verify[ _]failed|self[- ]signed certificate", re.IGNORECASE)
_PROXY = re.compile(
    r"proxyconnection|proxyerror|httpproxy|proxytimeout|via proxy|connect to proxy"
    r"|acceptable authentication methods",
    re.IGNORECASE,
)
_UNTIL_MS = re.compile(r"\buntil (\d{13})\b")


class Refusal(Enum):
    """A kind of it."""

    LOCATION = "location"
    BANNED = "banned"
    MAINTENANCE = "maintenance"
    CERTIFICATE = "certificate"
    PROXY = "proxy"

    @property
    def borne_s(self) -> int:
        """How many seconds of it, and of nothing else, end a run."""
        return {Refusal.BANNED: 120, Refusal.PROXY: 120, Refusal.MAINTENANCE: 900}.get(self, 60)


def refusal_of(error: BaseException, through: str = "") -> Refusal | None:
    """The kind that an error of the client is of, judged by its own text and by what caused it; else None.

    ``through``: the proxies that it goes through, as ``Reaching.prepare`` tells them.
    """
    names, text = _told(error)
    heads = "\n".join(re.split(r"[{<]", each)[0] for each in text.split("\n"))  # numbers in a body are none
    status = match[1] if (match := _STATUS.search(heads)) else ""
    if _CERTIFICATE.search(text) or "CertificateError" in names:
        return Refusal.CERTIFICATE
    ports = [proxy.rpartition("@")[2].rpartition("/")[2] for proxy in through.split(" and ") if proxy]
    unheard = "cannot connect to host" in text.lower() and any(port in text for port in ports)
    if status == "407" or unheard or _PROXY.search(names + text):
        return Refusal.PROXY
    if status == "418" or (_BANNED.search(text) and status in ("", "403", "429")):
        return Refusal.BANNED
    if status in ("403", "451") or _LOCATION.search(text):
        return Refusal.LOCATION
    if "OnMaintenance" in names or _MAINTENANCE.search(text):
        return Refusal.MAINTENANCE
    return None


def _told(error: BaseException) -> tuple[str, str]:
    """The names of an error's classes and its causes', and their texts."""
    names: list[str] = []
    texts: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(texts) < 8:
        names += [kind.__name__ for kind in type(seen).__mro__]
        texts.append(str(seen))
        seen = seen.__cause__ or seen.__context__
    return " ".join(names), "\n".join(texts)


def sentence(kind: Refusal, name: str, through: str, error: BaseException) -> str:
    """What to know and to do. ``name``: the exchange; ``through``: its proxies, or ""."""
    by = f" through {through}" if through else ""
    match kind:
        case Refusal.LOCATION:
            return (
                f"{name} does not serve the place, or the address, that this comes from{by} (it answers 403"
                " or 451): use an exchange that does, or reach it from elsewhere (ccxt.proxy)"
            )
        case Refusal.BANNED:
            return (
                f"{name} has banned this address for too many requests{_until(error)}: wait; every request"
                " before makes it longer"
            )
        case Refusal.MAINTENANCE:
            return f"{name} is under maintenance: start again once its status page says it is over"
        case Refusal.CERTIFICATE:
            return (
                f"the certificate shown for {name}{by} is not trusted here: a proxy that looks into TLS"
                " needs its authority's file in ccxt.certificates or SSL_CERT_FILE"
            )
        case Refusal.PROXY:
            return (
                f"{name} cannot be reached{by}: the proxy refuses, or is not there; look at ccxt.proxy and"
                " HTTPS_PROXY"
            )


def banned_until_ms(error: BaseException) -> int | None:
    """When a ban ends, on the exchange's clock; None where it names no end."""
    match = _UNTIL_MS.search(_told(error)[1])
    return int(match[1]) if match else None


def _until(error: BaseException) -> str:
    until_ms = banned_until_ms(error)
    if until_ms is None:
        return ""
    return f" until {datetime.fromtimestamp(until_ms // 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


class Bearing:
    """How long an exchange has refused one stream in one way."""

    def __init__(self) -> None:
        self._kind: Refusal | None = None
        self._since_ns = self._last_ns = 0

    def too_long(self, kind: Refusal | None, now_ns: int, *, anew: bool = False) -> bool:
        """Note a failure, None for one of no kind; whether the run has borne this kind long enough.

        ``anew``: all was well before.
        """
        if kind is None:
            self._kind = None
            return False
        borne_ns = kind.borne_s * NS_PER_S
        if anew or kind is not self._kind or now_ns - self._last_ns > borne_ns:
            self._kind, self._since_ns = kind, now_ns
        self._last_ns = now_ns
        return now_ns - self._since_ns >= borne_ns
