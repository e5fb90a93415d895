"""Values of a database as JSON, CSV and Parquet can hold them, whatever type the user's own SQL gives.

Exact numbers stay exact, as text where JSON has no such number; bytes are hexadecimal with ``\\x`` before
them, as PostgreSQL writes them; times and intervals are ISO 8601; what is left (UUIDs, addresses, ranges) is
its own text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal

MOST_INT = 2**63


def plain_value(value: object) -> object:
    """``value`` as a text, number, boolean, list, object or null."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if -MOST_INT <= value < MOST_INT else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"\\x{bytes(value).hex()}"
    if isinstance(value, Mapping):
        return {str(name): plain_value(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_value(inner) for inner in value]
    return _as_text(value)


def _as_text(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() else str(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return _iso_interval(value) if isinstance(value, timedelta) else str(value)


def _iso_interval(interval: timedelta) -> str:
    """P1DT2.5S: days, and seconds exactly."""
    sign, length = ("-", -interval) if interval < timedelta(0) else ("", interval)
    seconds = Decimal(length.seconds) + Decimal(length.microseconds) / 10**6
    return f"{sign}P{length.days}DT{seconds.normalize():f}S"


def unique_names(columns: Sequence[str]) -> list[str]:
    """The names of a result's columns, each of which must be found by it: the second ``a`` is ``a_2``."""
    taken = set(columns)
    found: list[str] = []
    for column in columns:
        name, number = column, 1
        while name in found or (number > 1 and name in taken):
            number += 1
            name = f"{column}_{number}"
        found.append(name)
    return found
