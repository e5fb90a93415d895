"""Durations (90s, 15m, 2h, 3d, 2m10s) and times (ISO 8601) as people write them, in nanoseconds."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

from agent.core.errors import InputError

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

SHORTEST_NS = 10**6
LONGEST_NS = 3660 * 86400 * 10**9
"""Ten years: a moment so far from any other still is one that 64 bits hold."""

_UNIT_NS = {
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
}
_PART = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|m|h|d)")
_FORM = re.compile(rf"(?:{_PART.pattern} ?)+")
_FRACTION = re.compile(r"([T ]\d\d:?\d\d:?\d\d)[.,](\d+)")  # of a second


def parse_duration_ns(text: str) -> int:
    """Return ``text`` ("90s", "1.5h", "2m10s", "2m 10s") in ns. Raises InputError unless it is above 0."""
    parts = _PART.findall(text) if _FORM.fullmatch(text.strip()) else []
    units = [_UNIT_NS[unit] for _, unit in parts]
    falling = all(a > b for a, b in itertools.pairwise(units))
    nanoseconds = sum(int(Decimal(number) * _UNIT_NS[unit]) for number, unit in parts) if falling else 0
    if nanoseconds <= 0:
        raise InputError(
            f"duration {text!r} is not understood: write a number and ms, s, m, h or d (90s), or more (2m10s)"
        )
    if nanoseconds > LONGEST_NS:
        raise InputError(f"duration {text.strip()[:20]!r} is too long: at most {format_duration(LONGEST_NS)}")
    return nanoseconds


def parse_time_ns(
    text: str, name: str = "time", *, before_ns: int | None = None, after_ns: int | None = None
) -> int:
    """Return a time in ISO 8601 (UTC where no zone is given), exact to the nanosecond, in ns since 1970.

    A duration is taken too where it can count from a moment: back from ``before_ns``, or on from
    ``after_ns``. ``name`` is what the message calls the value. Raises InputError.
    """
    found = _iso_ns(text.strip())
    if found is not None:
        return found
    if _FORM.fullmatch(text.strip()):
        if before_ns is not None:
            return before_ns - parse_duration_ns(text)
        if after_ns is not None:
            return after_ns + parse_duration_ns(text)
    raise InputError(f"{name} {text!r} is not understood: {_how(before_ns, after_ns)}")


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment_ns(moment: datetime) -> int:
    """Nanoseconds since 1970, exact."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _iso_ns(text: str) -> int | None:
    """The time ``text`` says; None where it says none that 64 bits hold."""
    fraction = _FRACTION.search(text)
    try:
        moment = datetime.fromisoformat(_FRACTION.sub(r"\1", text))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    whole_ns = (moment - _EPOCH) // timedelta(seconds=1) * 10**9
    rest_ns = int(fraction[2][:9].ljust(9, "0")) if fraction else moment.microsecond * 1000
    ns = whole_ns + rest_ns
    return ns if abs(ns) < 2**63 else None


def _how(before_ns: int | None, after_ns: int | None) -> str:
    written = "write it as in 2025-03-03 or 2025-03-03T14:30 (UTC), or with a zone: 2025-03-03T14:30+01:00"
    if before_ns is not None:
        return f"{written}; 15m is 15 minutes ago"
    return written if after_ns is None else f"{written}; 15m is 15 minutes from the start"


_MOST_OF_A_UNIT = {"d": 10**6, "h": 48, "m": 120, "s": 120, "ms": 10_000}


def format_duration(ns: int) -> str:
    """A short exact form, as it may be given: 90s, 15m, 90m, 2h, 2m10s, 31d1s, 15.1s."""
    for unit, most in _MOST_OF_A_UNIT.items():
        whole, rest = divmod(ns, _UNIT_NS[unit])
        if rest == 0 and whole < most:
            return f"{whole}{unit}"
    if ns < 120 * _UNIT_NS["s"] or ns % _UNIT_NS["ms"]:
        return f"{(Decimal(ns) / 10**9).normalize():f}s"
    text = ""
    for unit in _MOST_OF_A_UNIT:
        whole, ns = divmod(ns, _UNIT_NS[unit])
        text += f"{whole}{unit}" if whole else ""
    return text


class _WrittenAsDuration:
    """Lets a configuration hold nanoseconds and a person write 90s. Pydantic is imported when it calls."""

    def __init__(self, *, or_zero: bool = False) -> None:
        self._read = _configured_ns_or_zero if or_zero else _configured_ns

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(self._read, handler(source))


def _configured_ns_or_zero(value: object) -> object:
    if isinstance(value, str):
        match = _FORM.fullmatch(value.strip())
        zero = value.strip() == "0" or (match is not None and not Decimal(match[1]))
    else:
        zero = value == 0 and isinstance(value, int) and not isinstance(value, bool)
    return 0 if zero else _configured_ns(value)


def _configured_ns(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("write a duration such as 90s, 15m or 2h")
    if isinstance(value, int):
        if value < SHORTEST_NS:  # a recorded configuration has nanoseconds; a person forgot the unit
            raise ValueError("write a duration with its unit, as in 5s")
        if value > LONGEST_NS:
            raise ValueError(f"a duration is {format_duration(LONGEST_NS)} at most")
        return value
    try:
        return parse_duration_ns(value)
    except InputError as error:
        raise ValueError(str(error)) from error


class WrittenAsStart:
    """Lets a configuration hold nanoseconds or a time, and a person write 15m or 2026-01-05T10:00."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(_configured_start, handler(source))


def _configured_start(value: object) -> object:
    if isinstance(value, datetime):  # as YAML reads it
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, str) and (at_ns := _iso_ns(value.strip())) is not None:
        return _EPOCH + timedelta(microseconds=at_ns // 1000)
    try:
        return _configured_ns_or_zero(value)
    except ValueError as error:
        raise ValueError("write a duration (0s, 15m) or a time (2026-01-05T10:00Z)") from error


Start = Annotated[int | datetime, WrittenAsStart()]
"""Nanoseconds after a beginning, or a moment."""

Duration = Annotated[int, _WrittenAsDuration()]
"""Nanoseconds; written 90s, 15m, 2h."""

DurationOrZero = Annotated[int, _WrittenAsDuration(or_zero=True)]
"""The same where none at all is a meaning: 0s."""
