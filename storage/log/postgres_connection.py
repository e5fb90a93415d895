"""Connections to PostgreSQL by the URL that every other PostgreSQL program takes.

The driver itself reads the URL, so libpq's options (``sslmode``, ``application_name``, ``options``,
``target_session_attrs``, certificates) mean what they mean there, and what it does not know goes to the
server as a setting. Left here: options of libpq that the driver would take for settings.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
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


def connector(url: URL, name: str) -> Callable[[], Awaitable[Any]]:
    """What opens a connection to ``url``; ``name`` is what a message calls it. Raises DatabaseError."""
    query = dict(url.query)
    timeout_s = _seconds(query.get("connect_timeout"), name)
    if query.pop("channel_binding", "prefer") == "require":
        raise DatabaseError(
            f"database {name}: channel_binding=require is not known to this driver: leave it out"
        )
    kept = {key: value for key, value in query.items() if key not in _WITHOUT_EFFECT}
    dsn = url.set(drivername="postgresql", query=kept).render_as_string(hide_password=False)

    async def connect() -> Any:
        import asyncpg

        try:
            return await asyncpg.connect(dsn, timeout=timeout_s)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            raise ConnectionError(str(error) or type(error).__name__) from error

    return connect


def _seconds(text: str | tuple[str, ...] | None, name: str) -> float:
    """libpq's connect_timeout; 0 and below mean no limit there, the driver's own here."""
    if text is None:
        return _CONNECT_S
    if not isinstance(text, str) or not text.lstrip("-").isdecimal():
        raise DatabaseError(f"database {name}: connect_timeout {text!r} is not whole seconds, as in 10")
    return float(text) if int(text) > 0 else _CONNECT_S
