"""JSON that is passed on or read value by value: what a parsed file is before it becomes something typed."""

from __future__ import annotations

from collections.abc import Mapping

JsonObject = Mapping[str, object]


def object_in(record: JsonObject, name: str) -> JsonObject:
    """The object under ``name``; an empty one where it is null or not there. Raises TypeError."""
    value = record.get(name) or {}
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} is {value!r}, and not an object")
    return value


def int_in(record: JsonObject, name: str, default: int | None = None) -> int:
    """The whole number under ``name``. Raises KeyError without it and a default, TypeError, ValueError."""
    value = record[name] if default is None else record.get(name, default)
    if not isinstance(value, int | float | str):
        raise TypeError(f"{name} is {value!r}, and not a number")
    whole = int(value)
    if abs(whole) >= 2**63:
        raise ValueError(f"{name} is {value!r}, which 64 bits do not hold")
    return whole
