"""aiosqlite without its thread: SQLite is called in the event loop, with a delay and faults by the seed.

A database that another connection has locked is waited for as SQLite would, but in virtual time: its own
wait would hold the one thread that there is.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiosqlite.core

from tests.simulation.killed import Power
from tests.simulation.virtual_loop import machine

RETRY_S = 0.005
_FRAME_HEADER, _WAL_HEADER, _BACKFILLED_AT = 24, 32, 96
_WRITES = ("INSERT", "UPDATE", "DELETE", "CREATE", "ALTER")


@dataclass
class Database:
    """What happens to the connections of this process: delays, faults, and the death of their owner."""

    rng: random.Random
    power: Power
    delay_s: tuple[float, float] = (0.0002, 0.003)
    locked_until_s: float = 0.0
    full_until_s: float = 0.0
    mute_until_s: float = 0.0
    connections: list[InlineConnection] = field(default_factory=list)
    when_stored: Callable[[], None] | None = None  # called when a transaction has written something

    def fault(self, statement: str, *, ends: bool) -> sqlite3.OperationalError | None:
        """``ends``: it ends a transaction that has written."""
        now_s = asyncio.get_running_loop().time()
        writes = ends or statement.lstrip().upper().startswith(_WRITES)
        if now_s < self.locked_until_s and writes:
            return _error("database is locked", sqlite3.SQLITE_BUSY)
        if now_s < self.full_until_s and writes:
            return _error("database or disk is full", sqlite3.SQLITE_FULL)
        return None

    def kill(self, path: Path, *, lose_unsynced: bool) -> None:
        """The owner dies: the files stay as they are; without power the log's unsynced end may be lost."""
        wal = path.with_name(f"{path.name}-wal")
        kept = [(each, each.with_name(f"{each.name}.kept")) for each in (path, wal) if each.exists()]
        for each, copy in kept:
            shutil.copyfile(each, copy)
        if lose_unsynced and wal.exists():
            _tear(wal.with_name(f"{wal.name}.kept"), path.with_name(f"{path.name}-shm"), self.rng)
        for connection in self.connections:
            connection.close_file()
        self.connections.clear()
        for each, copy in kept:
            copy.replace(each)
        path.with_name(f"{path.name}-shm").unlink(missing_ok=True)


def _tear(wal: Path, index: Path, rng: random.Random) -> None:
    """Cut the log anywhere after what has gone into the database, for that was synced before it went."""
    data = wal.read_bytes()
    if len(data) <= _WAL_HEADER or not index.exists():
        return
    (page,) = struct.unpack(">I", data[8:12])
    (backfilled,) = struct.unpack("<I", index.read_bytes()[_BACKFILLED_AT : _BACKFILLED_AT + 4])
    floor = _WAL_HEADER + backfilled * (_FRAME_HEADER + page)
    wal.write_bytes(data[: rng.randint(min(floor, len(data)), len(data))])


def _error(text: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


class _Inline:
    """In place of the queue to the thread: what is put is done."""

    def put_nowait(self, item: tuple[asyncio.Future[Any] | None, Callable[[], Any]]) -> None:
        future, function = item
        result = function()
        if future is not None:
            future.set_result(result)


_databases: dict[str, Database] = {}  # by machine


class InlineConnection(aiosqlite.core.Connection):
    """aiosqlite's connection, its calls carried out at once."""

    def __init__(self, connector: Callable[[], sqlite3.Connection], iter_chunk_size: int) -> None:
        self._running = True
        self._connection = None
        self._connector, self._iter_chunk_size = connector, iter_chunk_size
        self._tx = _Inline()  # type: ignore[assignment]
        self._thread = SimpleNamespace(daemon=True, start=lambda: None)  # type: ignore[assignment]
        self._busy_s = 5.0
        self._database = _databases[machine()]

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self._running or self._connection is None:
            raise ValueError("Connection closed")
        statement = str(args[0]) if args else getattr(fn, "__name__", "")
        if statement.startswith("PRAGMA busy_timeout="):
            self._busy_s = int(statement.partition("=")[2]) / 1000
            args = ("PRAGMA busy_timeout=0", *args[1:])
        own = self._database
        await asyncio.sleep(own.rng.uniform(*own.delay_s))
        deadline_s = asyncio.get_running_loop().time() + self._busy_s
        while True:
            own.power.check("database")
            ends = self._connection.in_transaction and statement.upper().startswith("COMMIT")
            error = own.fault(statement, ends=ends)
            try:
                if error is not None:
                    raise error
                done = fn(*args, **kwargs)
                if ends and own.when_stored is not None:
                    own.when_stored()
                return done
            except sqlite3.OperationalError as refused:
                busy = getattr(refused, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or asyncio.get_running_loop().time() >= deadline_s:
                    raise
            await asyncio.sleep(RETRY_S)

    async def _connect(self) -> InlineConnection:
        if self._connection is None:
            self._database.power.check("database")
            self._connection = self._connector()
            self._database.connections.append(self)
        return self

    def stop(self) -> None:
        self._running = False
        self.close_file()
        if self in self._database.connections:
            self._database.connections.remove(self)

    def close_file(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __del__(self) -> None:
        """Those of a dead process are closed when it dies."""


def install(name: str, database: Database) -> None:
    """From now on connections of a machine are inline and subject to ``database``."""
    _databases[name] = database
    aiosqlite.core.Connection = InlineConnection  # type: ignore[misc]
