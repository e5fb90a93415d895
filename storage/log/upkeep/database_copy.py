"""A whole execution log copied into another database, of either kind, and compared there before it counts.

Rules kept here: one transaction reads and one writes; what was written is read again and compared with the
source, row by row, before the transaction that wrote it is committed: a copy is there whole, or not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from agent.core.errors import DatabaseError, InputError
from storage.log.bulk.row_shapes import shape
from storage.log.bulk.upserts import upsert
from storage.log.database import (
    Url,
    check_there,
    database_errors,
    migrate_async,
    open_engine,
    parse_url,
    shown,
)
from storage.log.database_faults import schema_fault
from storage.log.execution_log import TABLES
from storage.log.tables import Base
from storage.log.upkeep.compared_rows import Difference, chunks, differences, in_key_order, table_of

Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy holds: rows by table. With ``differences`` it is none, and its rows were not left."""

    rows: dict[str, int]
    differences: list[Difference]

    @property
    def ok(self) -> bool:
        return not self.differences


def copy_database(source: Url, destination: Url, progress: Progress | None = None) -> Copied:
    """Copy every row, verified. Raises InputError for a destination with rows, DatabaseError.

    A destination that is new gets its tables, and keeps them empty where the copy fails.
    """
    if parse_url(source) == parse_url(destination):
        raise InputError(f"{shown(source)} is source and destination: give another database to copy into")
    check_there(source)
    return asyncio.run(_copy(source, destination, progress or (lambda _table, _rows: None)))


async def _copy(source: Url, destination: Url, progress: Progress) -> Copied:
    async with AsyncExitStack() as stack:
        reader = await _reading(stack, source)
        await migrate_async(destination)
        with database_errors(destination):
            there = open_engine(destination)
            stack.push_async_callback(there.dispose)
            writer = await stack.enter_async_context(there.connect())
            await _check_empty(writer, destination)
            counts = {table_of(of).name: await _table(reader, writer, of, progress) for of in TABLES}
            found = [each for of in TABLES for each in await _compared(reader, writer, of)]
            if not found:
                await writer.commit()
    return Copied(counts, found)


async def _reading(stack: AsyncExitStack, source: Url) -> AsyncConnection:
    """A connection that sees the source as it stands now, whatever is written meanwhile."""
    engine: AsyncEngine = open_engine(source, read_only=True)
    stack.push_async_callback(engine.dispose)
    with database_errors(source):
        connection = await stack.enter_async_context(engine.connect())
        if connection.dialect.name == "postgresql":
            await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        else:
            await connection.exec_driver_sql("BEGIN")
        fault = await connection.run_sync(schema_fault)
    if fault is not None:
        raise DatabaseError(f"database {shown(source)} {fault}")
    return connection


async def _check_empty(writer: AsyncConnection, destination: Url) -> None:
    for of in TABLES:
        count = await writer.scalar(select(func.count()).select_from(table_of(of)))
        if count:
            raise InputError(
                f"database {shown(destination)} holds rows already ({count} in {table_of(of).name}): "
                "copy into an empty one"
            )


async def _table(reader: AsyncConnection, writer: AsyncConnection, of: type[Base], progress: Progress) -> int:
    count = 0
    async for rows in chunks(reader, in_key_order(of, reader)):
        await upsert(writer, shape(of), rows)
        count += len(rows)
        progress(table_of(of).name, count)
    return count


async def _compared(reader: AsyncConnection, writer: AsyncConnection, of: type[Base]) -> list[Difference]:
    """Where the two differ: both come in the same order, a chunk of each at a time."""
    wanted = chunks(reader, in_key_order(of, reader))
    async for here in chunks(writer, in_key_order(of, writer)):
        found = differences(of, here, await anext(wanted, []))
        if found:
            return found
    return differences(of, [], await anext(wanted, []))
