"""Rows of two databases in one order, and where they differ."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import Select, Table, Text, collate, inspect, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.log.tables import Base

CHUNK_ROWS = 5000
MISSING, BESIDES, DIFFERS = "missing", "besides", "differs"


@dataclass(frozen=True, slots=True)
class Difference:
    """A row of ``table`` that is ``missing``, there ``besides``, or ``differs`` in ``columns``."""

    session: str
    table: str
    key: Mapping[str, object]
    what: str
    columns: Mapping[str, tuple[object, object]]  # of a row that differs: here, and as it should be

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    def __str__(self) -> str:
        key = ", ".join(f"{name} {value}" for name, value in self.key.items() if name != "session")
        said = ": ".join([f"{self.session}: {self.table}", f"{key or 'its row'} {self.what}"])
        told = [f"{name} {here!r}, not {wanted!r}" for name, (here, wanted) in self.columns.items()]
        return f"{said} ({'; '.join(told)})" if told else said


def table_of(of: type[Base]) -> Table:
    table = of.__table__
    assert isinstance(table, Table)
    return table


def in_key_order(of: type[Base], connection: AsyncConnection) -> Select[tuple[object, ...]]:
    """All rows, by their primary key; text by its bytes in either database."""
    postgres = connection.dialect.name == "postgresql"
    keys = [
        collate(column, "C") if postgres and isinstance(column.type, Text) else column
        for column in inspect(of).primary_key
    ]
    return select(table_of(of)).order_by(*keys)


async def chunks(
    connection: AsyncConnection, statement: Select[tuple[object, ...]]
) -> AsyncIterator[list[tuple[object, ...]]]:
    """A statement's rows, ``CHUNK_ROWS`` at a time."""
    found = await connection.stream(statement)
    async for rows in found.partitions(CHUNK_ROWS):
        yield [tuple(row) for row in rows]


def differences(
    of: type[Base],
    here: Iterable[tuple[object, ...]],
    wanted: Iterable[tuple[object, ...]],
    *,
    leave: Collection[str] = (),
) -> list[Difference]:
    """How rows differ from those that should be there; the columns of ``leave`` may."""
    table, found = table_of(of), []
    names = [column.name for column in table.columns]
    keys = [names.index(column.name) for column in inspect(of).primary_key]
    there = {tuple(row[at] for at in keys): row for row in here}
    should = {tuple(row[at] for at in keys): row for row in wanted}
    for key in [*should, *(key for key in there if key not in should)]:
        named = dict(zip((names[at] for at in keys), key, strict=True))
        columns: dict[str, tuple[object, object]] = {}
        if key in there and key in should:
            pairs = zip(names, there[key], should[key], strict=True)
            columns = {name: (a, b) for name, a, b in pairs if a != b and name not in leave}
            if not columns:
                continue
        what = DIFFERS if columns else MISSING if key in should else BESIDES
        found.append(Difference(str(named.get("session", "")), table.name, named, what, columns))
    return found
