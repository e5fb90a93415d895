"""Rows of an evaluation as CSV: one line a row, nested names joined by dots."""

from __future__ import annotations

from collections.abc import Iterator
from csv import DictWriter
from pathlib import Path
from typing import Any

from agent.core.errors import InputError


def write_csv(path: Path, document: dict[str, Any]) -> None:
    """Write the rows of one or several evaluations. Raises InputError where it cannot be written."""
    parts = document.get("documents") or [document]
    flat = [_start(part) | dict(_flat(row, "")) for part in parts for row in part["rows"]]
    names = list(dict.fromkeys(name for row in flat for name in row))
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = DictWriter(file, names)
            writer.writeheader()
            writer.writerows(flat)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; give another --csv") from error


def _start(part: dict[str, Any]) -> dict[str, Any]:
    return {"interval_ns": part["interval_ns"]} if "interval_ns" in part else {}


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _flat(part, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for part, end in zip(value, ("low", "high"), strict=True):  # intervals are the only lists
            yield f"{name}.{end}", part
    else:
        yield name, value
