"""Canonical rows: the engine's output as text, floats by their bits, so that runs can be compared.

Measured wall times are left out: they are the only thing two runs of one session may differ in. What came
later than the first sessions is written only where there is something to say, so that their rows stay theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum, Flag
from functools import cache
from operator import attrgetter
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from agent.core.compile.checksum import crc32_blocks
from agent.core.events import AuditEvent, ParentChanged
from agent.core.market.tape import EventArray
from agent.core.types import ParentState

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MEASURED = frozenset({"latency_ns"})
WORDS = frozenset({"reasons"})
"""What only says in words why another member is empty: better words make no other result."""
SAID_ELSEWHERE = frozenset({"parents"})
"""Which orders a command was carried out on: their own rows say it."""
BESIDE = frozenset({"bars_seen"})
"""What the reason given to people says besides, and no result follows from."""
LATER = frozenset(
    {"attention", "turns_at_bps", "impact_ticks", "displacement_half_ticks", "fee_amount", "flags"}
)
"""Members that were not there from the beginning."""
TAPE_ROW = "tape|"
"""Begins a line that checks the tape; every other line of an outcome is a result."""
CHECK_ROWS = 1024  # one tape check covers this many rows


def parted(rows: Iterable[str]) -> tuple[list[str], list[str]]:
    """The results among an outcome's lines, and the checks of the tape: a run writes them as they come."""
    results: list[str] = []
    checks: list[str] = []
    for row in rows:
        (checks if row.startswith(TAPE_ROW) else results).append(row)
    return results, checks


def canonical_row(event: AuditEvent) -> str:
    """One line of text for one event: equal text if and only if equal in every bit that counts."""
    if isinstance(event, ParentChanged) and event.state is not ParentState.PENDING:
        spec = "spec=" + event.spec.parent_id  # written out once, with the first row
        return f"ParentChanged|{_members(event, spec)}"
    return f"{type(event).__name__}|{_members(event)}"


class _Layout(NamedTuple):
    """How rows of a dataclass are written: its members that count, in order."""

    labels: tuple[str, ...]  # "name="
    later: tuple[bool, ...]  # left out where it is empty
    values: Callable[[object], tuple[object, ...]]


@cache
def _layout(kind: type[DataclassInstance]) -> _Layout:
    names = [f.name for f in fields(kind) if f.name not in MEASURED | WORDS | SAID_ELSEWHERE | BESIDE]
    take = attrgetter(*names)
    values = take if len(names) > 1 else lambda owner: (take(owner),)
    return _Layout(tuple(f"{name}=" for name in names), tuple(name in LATER for name in names), values)


def _members(owner: DataclassInstance, spec: str | None = None) -> str:
    """The members that count, as text; ``spec`` in place of the member of that name."""
    members = []
    labels, later, values = _layout(type(owner))
    for label, is_later, value in zip(labels, later, values(owner), strict=True):
        kind = type(value)
        if kind is int or kind is str:  # most of them: a call costs more than the text
            members.append(f"{label}{value}")
        elif spec is not None and label == "spec=":
            members.append(spec)
        elif not is_later or (value is not None and value != {}):
            members.append(label + _value(value))
    return "|".join(members)


def _value(value: Any) -> str:
    kind: type = type(value)
    return _writer(kind)(value)


@cache
def _writer(kind: type) -> Callable[[Any], str]:
    """What writes the values of a type."""
    if kind is NoneType:
        return lambda _: "-"
    if kind is bool:
        return lambda value: "yes" if value else "no"
    if issubclass(kind, Enum) and not issubclass(kind, Flag):
        return {member: str(member.value) for member in kind}.__getitem__
    if issubclass(kind, float):
        return float.hex
    if issubclass(kind, Mapping):
        return lambda value: "{" + ",".join([f"{k}:{_value(v)}" for k, v in sorted(value.items())]) + "}"
    if issubclass(kind, Enum):  # a sum of flags is no member
        return lambda value: str(value.value)
    return _parenthesised if is_dataclass(kind) else str


def _parenthesised(value: DataclassInstance) -> str:
    return f"({_members(value)})"


class TapeCheck:
    """Rolling checks of the tape itself: one line for every ``CHECK_ROWS`` rows, and one for the rest.

    Cuts between batches do not matter: rows are counted from the start of the session.
    """

    def __init__(self) -> None:
        self._rows = 0
        self._crc = 0

    def add(self, events: EventArray) -> list[str]:
        """Take rows in; return the lines they completed."""
        lines: list[str] = []
        row, coming = events.dtype.itemsize, len(events)
        left = CHECK_ROWS - self._rows % CHECK_ROWS  # rows of the block that is open
        raw = np.ascontiguousarray(events).view(np.uint8)
        for crc in crc32_blocks(raw, self._crc, left * row, CHECK_ROWS * row):
            taken = min(left, coming)
            self._crc, self._rows, coming, left = crc, self._rows + taken, coming - taken, CHECK_ROWS
            if self._rows % CHECK_ROWS == 0:
                lines.append(self._line())
        return lines

    def finish(self) -> list[str]:
        """Return the line for the rows after the last whole block."""
        return [self._line()] if self._rows % CHECK_ROWS else []

    def _line(self) -> str:
        first = (self._rows - 1) // CHECK_ROWS * CHECK_ROWS
        line = f"{TAPE_ROW}rows={first}..{self._rows - 1}|crc={self._crc:08x}"
        self._crc = 0
        return line


def digest(rows: Iterable[str]) -> str:
    """SHA-256 over canonical rows, in order, each with a line break."""
    return hashlib.sha256("".join([f"{row}\n" for row in rows]).encode()).hexdigest()
