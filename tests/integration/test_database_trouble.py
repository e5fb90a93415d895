"""What happens to a SQLite database in the middle of an order harms no order and loses no row.

The whole agent on the embedded exchange; the recording, replayed into a database of its own, says what rows
there have to be.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path

import pytest

from agent.app.log_in_line import bring_in_line
from storage.log import kept_log
from tests.integration.worked_order import in_line, rows, unharmed, worked

pytestmark = pytest.mark.slow

WAL = ("", "-wal", "-shm")


def held(path: Path) -> sqlite3.Connection:
    """The write lock of a database, held by another program."""
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    return holder


@pytest.mark.slow
async def test_a_lock_of_twelve_seconds(tmp_path: Path) -> None:
    """The order goes on, no trade is stamped late, and every row is there in the end."""
    path = tmp_path / "agent.db"

    async def locked() -> None:
        holder = held(path)
        await asyncio.sleep(12)
        holder.rollback()
        holder.close()

    result = await worked(tmp_path, f"sqlite:///{path}", locked, 16)
    unharmed(result)
    assert result.database.in_line
    await asyncio.to_thread(in_line, result.path, str(path))


async def test_a_file_that_is_moved_away_and_back(tmp_path: Path) -> None:
    """What was written to the file in its place is not in the old one: the recording has it."""
    path = tmp_path / "agent.db"

    def move(a: str, b: str) -> None:
        for end in WAL:
            if (file := Path(f"{path}{a}{end}")).exists():
                file.rename(f"{path}{b}{end}")

    def back() -> None:
        for end in WAL:
            Path(f"{path}{end}").unlink(missing_ok=True)
        move("-away", "")

    async def moved() -> None:
        move("", "-away")
        await asyncio.sleep(3)
        back()

    result = await worked(tmp_path, f"sqlite:///{path}", moved, 8)
    unharmed(result)
    assert result.database.in_line
    await asyncio.to_thread(in_line, result.path, str(path))


async def test_a_database_that_is_gone_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run succeeds by its order, says that the database is behind, and the command it names mends it."""
    monkeypatch.setattr(kept_log, "FINISH_S", 2.0)
    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / "agent.db"

    async def gone() -> None:
        shutil.rmtree(folder)
        folder.write_text("a file where the folder was")

    result = await worked(tmp_path, f"sqlite:///{path}", gone, 6)
    unharmed(result)
    assert result.succeeded
    assert not result.database.in_line
    assert result.database.missing > 0
    assert result.database.command == f"python -m agent sessions sync {result.path} --db {path}"
    folder.unlink()
    for _ in range(2):  # again changes nothing
        await asyncio.to_thread(bring_in_line, result.path, str(path))
        await asyncio.to_thread(in_line, result.path, str(path))


async def test_more_than_memory_may_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is away while more happens than is kept: the rest comes from the recording."""
    monkeypatch.setattr(kept_log, "MOST_EVENTS", 20)
    path = tmp_path / "agent.db"

    async def locked() -> None:
        holder = held(path)
        await asyncio.sleep(4)
        (session,) = holder.execute("SELECT session FROM sessions").fetchone()
        waits = await asyncio.to_thread(rows, str(path), session)
        assert {row["state"] for row in waits["parent_orders"]} == {"working"}
        holder.rollback()
        holder.close()

    result = await worked(tmp_path, f"sqlite:///{path}", locked, 8)
    unharmed(result)
    assert result.database.in_line
    await asyncio.to_thread(in_line, result.path, str(path))
