"""Rows of an evaluation as CSV: one line a row, nested names joined by dots."""

from __future__ import annotations

from collections.abc import Iterator
from csv import DictWriter
from pathlib import Path
from typing import TYPE_CHECKING

from agent.core.errors import InputError

if TYPE_CHECKING:
    from lem.evaluation.evaluation_document import EvaluationDocument, JoinedDocument


def write_csv(path: Path, document: EvaluationDocument | JoinedDocument) -> None:
    """Write the rows of one or several evaluations. Raises InputError where it cannot be written."""
    flat = [_interval(one) | dict(_flat(row, "")) for one in evaluations_of(document) for row in one["rows"]]
    names = list(dict.fromkeys(name for row in flat for name in row))
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = DictWriter(file, names)
            writer.writeheader()
            writer.writerows(flat)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; give another --csv") from error


def evaluations_of(document: EvaluationDocument | JoinedDocument) -> list[EvaluationDocument]:
    """The evaluations in a document: itself, or those it joins."""
    if "documents" not in document:
        return [document]
    return document["documents"]


def _interval(one: EvaluationDocument) -> dict[str, object]:
    return {"interval_ns": one["interval_ns"]} if "interval_ns" in one else {}


def _flat(value: object, name: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _flat(below, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for below, end in zip(value, ("low", "high"), strict=True):  # intervals are the only lists
            yield f"{name}.{end}", below
    else:
        yield name, value
