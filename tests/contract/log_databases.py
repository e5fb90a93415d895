"""The two databases that the execution log's contract is held against, by the same few operations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from alembic import command
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DBAPIError

from storage.log.database import open_engine
from storage.log.execution_log import SqlExecutionLog
from storage.log.queries import sql
from storage.log.tables import Base
from storage.log.upgrade import alembic_config
from tests.integration.test_storage import BTC, T

_LOCK = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": "LOCK TABLE sessions, commands, parent_orders, fills IN ACCESS EXCLUSIVE MODE",
}
_END_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid()"
)


async def execute(url: str, *statements: str) -> None:
    """Statements of another program, in one transaction."""
    engine = open_engine(url)
    try:
        async with engine.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement))
    finally:
        await engine.dispose()


async def asked(url: str, statement: str) -> list[tuple[Any, ...]]:
    """What a reading statement gives."""
    return list((await asyncio.to_thread(sql, url, statement)).rows)


async def stored(url: str) -> dict[str, list[dict[str, object]]]:
    """Every row of every table, in an order of their own."""
    found = {}
    engine = open_engine(url, read_only=True)
    try:
        async with engine.connect() as connection:
            for name, table in Base.metadata.tables.items():
                rows = (await connection.execute(select(table))).mappings()
                found[name] = sorted(map(dict, rows), key=lambda row: [str(v) for v in row.values()])
    finally:
        await engine.dispose()
    return found


@asynccontextmanager
async def held(url: str) -> AsyncIterator[None]:
    """Locked by another program, so that nothing can be written."""
    engine = open_engine(url)
    try:
        async with engine.connect() as connection:
            await connection.execute(text(_LOCK[engine.dialect.name]))
            yield
            await connection.rollback()
    finally:
        await engine.dispose()


async def end_connections(url: str) -> None:
    """Break every connection to a server; a file has none, and is locked for as long instead."""
    engine = open_engine(url)
    try:
        if engine.dialect.name == "sqlite":
            async with held(url):
                await asyncio.sleep(0.05)
        else:
            async with engine.connect() as connection:
                await connection.execute(text(_END_OTHERS))
    except DBAPIError:  # its own lock did not come in time: all the more trouble
        pass
    finally:
        await engine.dispose()


async def downgrade(url: str, revision: str) -> None:
    """Take the schema back to that of an earlier version."""

    def run(connection: Connection) -> None:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, revision)

    engine = open_engine(url)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()


@asynccontextmanager
async def opened(url: str, session: str = "s1", **options: Any) -> AsyncIterator[SqlExecutionLog]:
    """A session's log with its head stored."""
    log = SqlExecutionLog(url, session, [BTC], **options)
    try:
        await log.open_session(opened_ns=T, path=f"out/{session}", exchange="embedded", seed=7)
        yield log
    finally:
        await log.close()


def in_order(numbers: Sequence[int]) -> bool:
    """Whether these are 0, 1, 2 and so on, none left out."""
    return sorted(numbers) == list(range(len(numbers)))
