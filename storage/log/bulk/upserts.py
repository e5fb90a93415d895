"""Rows into a table, over those that are there.

Theory of operation
-------------------
SQLite takes ``_TOGETHER`` values of a statement at once: a statement of 37 fills costs a quarter less than 37
of one, and single statements take what is left over.

PostgreSQL takes few rows in one round trip, a statement each (``executemany``). From ``COPIED`` rows on they
are copied in. Rows that are written once (``_ONCE``) go straight into their table; where one of them is there
already, after an answer that was lost or in a resumed run, a savepoint takes that back and all go the other
way: into a table of this transaction's own, and from there with an upsert. So nothing hangs on the way taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.log.bulk.row_shapes import Row, Rows, Shape

COPIED = 1000
"""Rows of a table from which on they are copied: making a table for them costs as much as some hundred."""
_TOGETHER = 999
"""Values of one statement, as every SQLite takes them."""
_ONCE = frozenset({"fills", "decisions", "gaps", "risk_refusals"})


async def upsert(connection: AsyncConnection, shape: Shape, rows: Rows) -> None:
    """Insert rows, or change those whose primary key is there; no two of them have the same key.

    Raises what SQLAlchemy does; then the transaction is of no more use.
    """
    values = shape.as_text(rows)
    if connection.dialect.name == "sqlite":
        await _together(connection, shape, values)
    elif len(values) < COPIED:
        placed = ", ".join(f"${number}" for number in range(1, len(shape.columns) + 1))
        await connection.exec_driver_sql(shape.insert(f"VALUES ({placed})"), list(values))
    elif not (shape.table in _ONCE and await _copied_straight(connection, shape, values)):
        await _copied_over(connection, shape, values)


async def _together(connection: AsyncConnection, shape: Shape, rows: Rows) -> None:
    many = _TOGETHER // len(shape.columns)
    whole = len(rows) // many * many
    one = f"({', '.join('?' * len(shape.columns))})"
    if whole:
        flat = [tuple(chain.from_iterable(rows[at : at + many])) for at in range(0, whole, many)]
        await connection.exec_driver_sql(shape.insert("VALUES " + ", ".join([one] * many)), flat)
    if rows[whole:]:
        await connection.exec_driver_sql(shape.insert(f"VALUES {one}"), list(rows[whole:]))


async def _copied_straight(connection: AsyncConnection, shape: Shape, rows: Rows) -> bool:
    """Copy rows into their table; False, and nothing done, where the server refuses any of them."""
    savepoint = await connection.begin_nested()
    try:
        await _copy(connection, shape.table, shape, rows)
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        await savepoint.rollback()
        return False
    await savepoint.commit()
    return True


async def _copied_over(connection: AsyncConnection, shape: Shape, rows: Rows) -> None:
    """Copy rows into a table of this transaction's own, and upsert them from there."""
    incoming = f"incoming_{shape.table}"
    await connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {incoming} (LIKE {shape.table}) ON COMMIT DROP")
    await _copy(connection, incoming, shape, rows)
    await connection.exec_driver_sql(shape.insert(f"SELECT {shape.names} FROM {incoming}"))
    await connection.exec_driver_sql(f"DROP TABLE {incoming}")


async def _copy(connection: AsyncConnection, table: str, shape: Shape, rows: Iterable[Row]) -> None:
    import asyncpg

    driver: Any = (await connection.get_raw_connection()).driver_connection
    try:
        await driver.copy_records_to_table(table, records=rows, columns=shape.columns)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        gone = bool(driver.is_closed())
        if gone:
            await connection.invalidate()
        raise DBAPIError(f"COPY {table}", None, error, connection_invalidated=gone) from error
