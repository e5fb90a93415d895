"""Durations and times as people write them (90s, 15m, 2025-03-03T14:30) and as the engine wants them (ns)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

from agent.core.errors import InputError

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

SHORTEST_NS = 10**6
_UNIT_NS = {
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
}
_FORM = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def parse_moment_ns(text: str, option: str, from_duration: Callable[[int], int], meaning: str) -> int:
    """Return a time, or a duration that ``from_duration`` turns into one, in ns since 1970.

    Raises InputError naming the ``option`` and what a duration means there ("from the start").
    """
    try:
        return parse_time_ns(text)
    except InputError:
        try:
            return from_duration(parse_duration_ns(text))
        except InputError as error:
            raise InputError(
                f"{option} {text!r} is not understood: write 2024-08-09T00:05:00, or 15m {meaning}"
            ) from error


def format_duration(ns: int) -> str:
    """The shortest exact form: 90s, 15m, 2h."""
    for unit in ("d", "h", "m", "s", "ms"):
        if ns % _UNIT_NS[unit] == 0:
            return f"{ns // _UNIT_NS[unit]}{unit}"
    return f"{Decimal(ns) / 10**9}s"


class _WrittenAsDuration:
    """Lets a configuration hold nanoseconds and a person write 90s. Pydantic is imported when it calls."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(_configured_ns, handler(source))


def _configured_ns(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("write a duration such as 90s, 15m or 2h")
    if isinstance(value, int):
        if value < SHORTEST_NS:  # a recorded configuration has nanoseconds; a person forgot the unit
            raise ValueError("write a duration with its unit, as in 5s")
        return value
    try:
        return parse_duration_ns(value)
    except InputError as error:
        raise ValueError(str(error)) from error


Duration = Annotated[int, _WrittenAsDuration()]
"""Nanoseconds; written 90s, 15m, 2h."""
