"""Connections to PostgreSQL by the URL that every other PostgreSQL program takes.

The driver itself reads the URL, so libpq's options (``sslmode``, ``application_name``, ``options``,
``target_session_attrs``, certificates) mean what they mean there, and what it does not know goes to the
server as a setting. Left here: options of libpq that the driver would take for settings.

With ``statement_cache_size=0`` no statement is prepared under a name: behind a pooler such as pgbouncer,
whose next transaction may be on another server connection, a name would be unknown there, or another
program's. The driver sends a statement without a name anew with every execution, in the same round trip.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import URL

from agent.core.errors import DatabaseError

_WITHOUT_EFFECT = frozenset(  # how libpq keeps a connection, or does what this driver never does
    {
        *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"),
        *("gssencmode", "fallback_application_name", "connect_timeout"),
    }
)
_CONNECT_S = 60.0  # the driver's own
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SSL_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_OWN_AUTHORITIES = Path("~/.postgresql/root.crt")  # libpq's place for them


def connector(url: URL, name: str) -> Callable[[], Awaitable[Any]]:
    """What opens a connection to ``url``; ``name`` is what a message calls it. Raises DatabaseError."""
    query = dict(url.query)
    timeout_s = _seconds(query.get("connect_timeout"), name)
    if query.pop("channel_binding", "prefer") == "require":
        raise DatabaseError(
            f"database {name}: channel_binding=require is not known to this driver: leave it out"
        )
    _check_tls(query, name)
    kept = {key: value for key, value in query.items() if key not in _WITHOUT_EFFECT}
    dsn = url.set(drivername="postgresql", query=kept).render_as_string(hide_password=False)

    async def connect() -> Any:
        import asyncpg

        try:
            return await asyncpg.connect(dsn, timeout=timeout_s, statement_cache_size=0)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            raise ConnectionError(str(error) or type(error).__name__) from error

    return connect


def _check_tls(query: Mapping[str, str | tuple[str, ...]], name: str) -> None:
    """TLS options that could not work: the driver tells of them without their names. Raises DatabaseError."""
    mode = query.get("sslmode", "prefer")
    if mode not in _SSL_MODES:
        raise DatabaseError(f"database {name}: sslmode {mode!r} is none of {', '.join(_SSL_MODES)}")
    if mode == "disable":
        return
    for option in _SSL_FILES:
        file = query.get(option)
        if file is not None and not (isinstance(file, str) and Path(file).is_file()):
            raise DatabaseError(f"database {name}: {option} {file!r} is no file: give a PEM file's path")
    if mode.startswith("verify-") and not ("sslrootcert" in query or _OWN_AUTHORITIES.expanduser().is_file()):
        raise DatabaseError(
            f"database {name}: sslmode={mode} needs the certificate of the server's authority:"
            f" give sslrootcert=FILE, or put it at {_OWN_AUTHORITIES}"
        )


def _seconds(text: str | tuple[str, ...] | None, name: str) -> float:
    """libpq's connect_timeout; 0 and below mean no limit there, the driver's own here."""
    if text is None:
        return _CONNECT_S
    if not isinstance(text, str) or not text.lstrip("-").isdecimal():
        raise DatabaseError(f"database {name}: connect_timeout {text!r} is not whole seconds, as in 10")
    return float(text) if int(text) > 0 else _CONNECT_S
