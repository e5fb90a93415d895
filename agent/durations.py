"""Durations as people write them (90s, 15m, 2h, 3d) and as the engine wants them (ns)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from agent.core.errors import InputError

_UNIT_NS = {
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
}
_FORM = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def parse_duration_ns(text: str) -> int:
    """Return ``text`` ("90s", "1.5h") in ns. Raises InputError when it is not a positive duration."""
    match = _FORM.fullmatch(text.strip())
    nanoseconds = int(Decimal(match[1]) * _UNIT_NS[match[2]]) if match else 0
    if nanoseconds <= 0:
        raise InputError(f"duration {text!r} is not understood: write a number and ms, s, m, h or d (90s)")
    return nanoseconds


def parse_time_ns(text: str) -> int:
    """Return a time in ISO 8601 (UTC where no zone is given) in ns since 1970. Raises InputError."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InputError(f"time {text!r} is not understood: write it as in 2025-03-03T14:30") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def format_duration(ns: int) -> str:
    """The shortest exact form: 90s, 15m, 2h."""
    for unit in ("d", "h", "m", "s", "ms"):
        if ns % _UNIT_NS[unit] == 0:
            return f"{ns // _UNIT_NS[unit]}{unit}"
    return f"{Decimal(ns) / 10**9}s"
