"""A table's rows as tuples in the order of its columns, and the statements that take them.

Tuples, because making a dictionary and taking it apart costs as much as all the rest of a row. A value is
what the drivers take; JSON is text by then, as SQLAlchemy would have written it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any

from sqlalchemy import JSON, Dialect, Table, inspect
from sqlalchemy.dialects.sqlite.base import SQLiteDialect

from storage.log.tables import Base

Row = tuple[object, ...]

KEPT: Mapping[str, frozenset[str]] = {
    "commands": frozenset({"created_ns", "amend", "kind", "parent_id"}),  # as the user gave them
    "decisions": frozenset({"latency_ns"}),  # as measured live: a replay of the recording cannot know it
}
"""Columns that a row which is there keeps."""


@dataclass(frozen=True, slots=True)
class MadeRows:
    """Rows that are made while they are taken, and made anew whenever they are taken again."""

    of: Sequence[Any]
    make: Callable[[Any], Row]

    def __len__(self) -> int:
        return len(self.of)

    def __iter__(self) -> Iterator[Row]:
        return map(self.make, self.of)

    def __getitem__(self, part: slice) -> MadeRows:
        return MadeRows(self.of[part], self.make)


Rows = Sequence[Row] | MadeRows


@dataclass(frozen=True, slots=True)
class Shape:
    """A table as its rows are written: ``key`` takes the primary key out of a row."""

    table: str
    columns: tuple[str, ...]
    key: Callable[[Row], object]
    conflict: str  # " ON CONFLICT ...": a row that is there becomes the new one
    json: Mapping[int, Callable[[object], object]]  # position -> what makes its text

    def row(self, values: Mapping[str, object]) -> Row:
        """The row of a mapping that has every column. Raises KeyError for one that it lacks."""
        return tuple([values[name] for name in self.columns])

    def as_text(self, rows: Rows) -> Rows:
        """The rows with their JSON as text."""
        return [self._texts(row) for row in rows] if self.json else rows

    def _texts(self, row: Row) -> Row:
        return tuple([self.json[at](value) if at in self.json else value for at, value in enumerate(row)])

    def insert(self, source: str) -> str:
        """``INSERT ... SOURCE``, upserting; ``source`` is VALUES or a SELECT."""
        return f"INSERT INTO {self.table} ({self.names}) {source}{self.conflict}"

    @property
    def names(self) -> str:
        return ", ".join(f'"{name}"' for name in self.columns)


_ANY: Dialect = SQLiteDialect()  # JSON is the same text in all


@cache
def shape(of: type[Base]) -> Shape:
    """The shape of a table's rows."""
    table = of.__table__
    assert isinstance(table, Table)
    columns = tuple(column.name for column in table.columns)
    keys = [column.name for column in inspect(of).primary_key]
    processors = {
        at: column.type.dialect_impl(_ANY).bind_processor(_ANY)
        for at, column in enumerate(table.columns)
        if isinstance(column.type, JSON)
    }
    changed = [name for name in columns if name not in {*keys, *KEPT.get(table.name, ())}]
    sets = ", ".join(f'"{name}" = excluded."{name}"' for name in changed)
    conflict = f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {sets}"
    json = {at: processor for at, processor in processors.items() if processor is not None}
    return Shape(table.name, columns, itemgetter(*map(columns.index, keys)), conflict, json)
