"""Whether a database takes what a run would write: tried, and undone."""

from __future__ import annotations

import asyncio

from sqlalchemy import insert

from storage.log.database import Url, database_errors, migrate_async, open_engine
from storage.log.tables import SessionRow

_ROW: dict[str, object] = {
    "session": "doctor-tries-to-write",
    "seq": 0,
    **dict.fromkeys(("path", "mode", "exchange", "state"), "doctor"),
    **dict.fromkeys(("opened_ns", "seed"), 0),
    "config": {},
    "fingerprint": {},
}


def check_writable(url: Url) -> str:
    """Bring the database up to date, write into it and undo that; return its schema. Raises DatabaseError."""
    return asyncio.run(_check(url))


async def _check(url: Url) -> str:
    revision = await migrate_async(url)
    engine = open_engine(url)
    try:
        with database_errors(url):
            async with engine.connect() as connection:
                await connection.execute(insert(SessionRow), _ROW)
                await connection.rollback()
    finally:
        await engine.dispose()
    return revision
