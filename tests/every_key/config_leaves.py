"""The keys of config.yaml, as the schema has them: ``venue.fee_tiers[].volume``, ``order.side``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from agent.config import Config


def leaves(section: Any = Config, path: str = "") -> Iterator[str]:
    """Every key that holds a value. Lists of sections are marked [], mappings to sections {}."""
    for name, kind in _fields(section).items():
        nested, mark = _section(kind)
        here = f"{path}{name}"
        if nested is None or here in ("schedules[].order", "orders[].order"):  # the same section as ``order``
            yield here
        else:
            yield from leaves(nested, f"{here}{mark}.")


def _fields(section: Any) -> dict[str, Any]:
    if issubclass(section, BaseModel):
        return {name: field.annotation for name, field in section.model_fields.items()}
    hints = get_type_hints(section)
    return {each.name: hints[each.name] for each in fields(section)}


def _section(kind: Any) -> tuple[Any, str]:
    """The section a key holds and how it is marked; None for a plain value."""
    if _is_section(kind):
        return kind, ""
    marks = {tuple: "[]", dict: "{}"}
    for argument in get_args(kind) if get_origin(kind) in marks else ():
        if _is_section(argument):
            return argument, marks[get_origin(kind)]
    return None, ""


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and (issubclass(kind, BaseModel) or is_dataclass(kind))
