"""What a key's type allows, in a few words: ``above 0, at most 1, or null``; ``buy | sell``."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import is_dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AwareDatetime, BaseModel
from pydantic.fields import FieldInfo

from agent.core.secret_url import DatabaseUrl, ProxyUrl
from agent.durations import Duration, DurationOrZero, WrittenAsStart

_PLAIN = {
    int: "a whole number",
    float: "a number",
    Decimal: "a number",
    bool: "true | false",
    str: "text",
    Path: "a path",
    DatabaseUrl: "a database URL",
    ProxyUrl: "a proxy URL",
    AwareDatetime: "a time with its zone",
}
_BOUNDS = {Gt: ("above", "gt"), Ge: ("at least", "ge"), Lt: ("below", "lt"), Le: ("at most", "le")}
"""A limit -> its words, and the member that has its value."""


def allowed(kind: object, limits: tuple[object, ...] = ()) -> str:
    """In words; "" where a section or a list of them has its own keys."""
    if any(isinstance(extra, WrittenAsStart) for extra in _extras(kind)):
        return "a duration, or a time"
    if is_duration(kind):
        words = ["a duration"]
        words += ["0s"] if _may_be_zero(kind) else []
        words += ["null"] if types.NoneType in get_args(kind) else []
        return ", or ".join(words)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return allowed(arguments[0], (*limits, *_flattened(arguments[1:])))
    if origin in (Union, types.UnionType):
        return _either(arguments, limits)
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin is tuple:
        inner = allowed(arguments[0])
        return f"a list of {inner}" if inner else "a list"
    if origin is dict:
        inner = allowed(arguments[1])
        return f"by name: {inner}" if inner else "by name"
    if isinstance(kind, type) and (issubclass(kind, BaseModel) or is_dataclass(kind)):
        return ""
    return _bounded(kind, limits)


def _either(kinds: tuple[object, ...], limits: tuple[object, ...]) -> str:
    """Any of several; what a recorded session has in place of a path is no choice of a person's."""
    words = [allowed(k, limits) for k in kinds if k is not types.NoneType and get_origin(k) is not tuple]
    return ", or ".join([*(w for w in words if w), *(["null"] if types.NoneType in kinds else [])])


def _bounded(kind: object, limits: tuple[object, ...]) -> str:
    told = ((_BOUNDS[type(limit)], limit) for limit in limits if type(limit) in _BOUNDS)
    bounds = [f"{words} {_number(getattr(limit, member))}" for (words, member), limit in told]
    whole = "a whole number, " if kind is int and bounds else ""
    return f"{whole}{', '.join(bounds)}" if bounds else _PLAIN.get(kind, "")  # type: ignore[call-overload]


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _flattened(extras: tuple[object, ...]) -> Iterator[object]:
    for extra in extras:
        if isinstance(extra, FieldInfo):
            yield from extra.metadata
        elif type(extra) in _BOUNDS:
            yield extra


def is_duration(kind: object) -> bool:
    """Whether nanoseconds are written as a duration there."""
    mine = {type(extra) for extra in get_args(Duration)[1:]}
    return any(type(extra) in mine for extra in _extras(kind))


def _may_be_zero(kind: object) -> bool:
    return get_args(DurationOrZero)[1] in _extras(kind)


def _extras(kind: object) -> list[object]:
    """What annotates a type, or what it may be."""
    own = list(get_args(kind)[1:]) if get_origin(kind) is Annotated else []
    return own + [e for part in get_args(kind) if get_origin(part) is Annotated for e in _extras(part)]


def sections_in(kind: object) -> Iterator[type]:
    """The sections that a list or mapping holds."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (tuple, dict):
        for argument in get_args(kind):
            if isinstance(argument, type) and issubclass(argument, BaseModel):
                yield argument
