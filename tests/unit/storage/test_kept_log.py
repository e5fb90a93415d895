"""The execution log as a run uses it: on a real SQLite file, with what can happen to it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from agent.core.errors import DatabaseError
from agent.core.events import AuditEvent, CommandKind, ParentChanged
from agent.core.ports import LogEnd, PendingCommand
from storage.log import kept_log
from storage.log.execution_log import SqlExecutionLog
from storage.log.kept_log import KeptLog, Pauses
from tests.fakes import leave
from tests.integration.test_storage import BTC, EVENTS, T

QUICK = Pauses(0.02, 0.05)
AS_CAUSED = EVENTS[1:] + EVENTS[:1]
"""As an engine makes them: what is referred to comes first."""


class _Counted(SqlExecutionLog):
    """Counts the attempts to write."""

    attempts = 0

    async def write(self, events: Sequence[AuditEvent]) -> None:
        self.attempts += 1
        await super().write(events)


def _kept(path: Path, **changes: int) -> KeptLog:
    return KeptLog(SqlExecutionLog(str(path), "s1", [BTC], busy_ms=20), pauses=QUICK, **changes)


async def _opened(path: Path, **changes: int) -> KeptLog:
    log = _kept(path, **changes)
    await log.open(opened_ns=T)
    return log


async def _finish(log: KeptLog) -> LogEnd:
    return await log.finish(closed_ns=T + 99, seq=99, state="closed")


def _count(path: Path, table: str) -> int:
    with sqlite3.connect(path) as connection:
        (number,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(number)


def _counts(path: Path) -> tuple[int, ...]:
    """Parents, fills, children and measures."""
    return tuple(_count(path, table) for table in ("parent_orders", "fills", "child_orders", "slippage"))


def _lock(path: Path) -> sqlite3.Connection:
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    return holder


def _remove(path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        Path(f"{path}{end}").unlink(missing_ok=True)


async def _until(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    for _ in range(round(within_s / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"not so within {within_s} s")


async def test_events_wait_for_a_lock_and_are_stored_once(tmp_path: Path) -> None:
    """Taking never waits; trouble is said once, and once that it is over."""
    path = tmp_path / "agent.db"
    stored = _Counted(str(path), "s1", [BTC], busy_ms=20)
    log = KeptLog(stored, pauses=QUICK)
    await log.open(opened_ns=T)
    holder = _lock(path)
    with capture_logs() as logs:
        log.take(EVENTS)
        await _until(lambda: stored.attempts >= 4)
        log.take(EVENTS)  # the same again: the same rows
        holder.rollback()
        holder.close()
        await _until(lambda: any(line["event"] == "database_caught_up" for line in logs))
    assert await _finish(log) == LogEnd(0, "", reachable=True)
    said = [line["event"] for line in logs]
    assert (said.count("database_behind"), said.count("database_caught_up")) == (1, 1)
    assert (_count(path, "parent_orders"), _count(path, "fills"), _count(path, "child_orders")) == (2, 1, 1)


async def test_what_came_before_this_process_is_stored_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In parts, while the run gets ready; a lock is waited for, and what is taken meanwhile comes after."""
    monkeypatch.setattr(kept_log, "BEFORE_EVENTS", 2)
    path = tmp_path / "agent.db"
    log = await _opened(path)
    holder = _lock(path)
    log.restore(AS_CAUSED[:-1], seq=99, at_ns=T + 99)
    log.take(AS_CAUSED[-1:])
    await _until(lambda: bool(log.behind))
    holder.rollback()
    holder.close()
    await _until(lambda: (_count(path, "slippage"), _count(path, "fills")) == (2, 1))
    assert await _finish(log) == LogEnd(0, "", reachable=True)


async def test_rows_that_the_recording_lost_are_taken_back(tmp_path: Path) -> None:
    """The database kept what the recording lost with the power: a later state of an order, and a fill."""
    path = tmp_path / "agent.db"
    log = await _opened(path)
    log.take(AS_CAUSED)
    await _until(lambda: (_count(path, "fills"), _count(path, "slippage")) == (1, 2))
    await log.leave()
    log = await _opened(path)
    with capture_logs() as logs:
        log.restore([e for e in AS_CAUSED if isinstance(e, ParentChanged)], seq=0, at_ns=T)
        assert (await _finish(log)).in_line
    assert [line["event"] for line in logs] == ["database_was_ahead"]
    assert [_count(path, name) for name in ("parent_orders", "fills", "child_orders", "slippage")] == [
        2,
        0,
        0,
        0,
    ]


async def test_what_came_before_can_never_be_stored(tmp_path: Path) -> None:
    """What it refers to is not there: it is not tried again, and comes from the recording with the rest."""
    path = tmp_path / "agent.db"
    log = await _opened(path)
    _run(path, "DELETE FROM instruments")
    log.restore(AS_CAUSED, seq=99, at_ns=T + 99)
    await _until(lambda: log._came_to is None)
    end = await _finish(log)
    assert (end.missing, log._before) == (len(EVENTS), [])
    assert not end.in_line


async def test_another_database_gets_the_orders_of_before(tmp_path: Path) -> None:
    """A session goes on, and its file is replaced: the new one knows orders that ended before."""
    path = tmp_path / "agent.db"
    log = await _opened(path)
    log.restore(AS_CAUSED, seq=99, at_ns=T + 99)
    await _until(lambda: _count(path, "slippage") == 2)
    _remove(path)
    log.take([replace(EVENTS[-1])])
    end = await _finish(log)
    assert "another database" in end.reason
    assert (_count(path, "sessions"), _count(path, "parent_orders")) == (1, 2)


async def test_nothing_is_written_once_another_process_has_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not between two parts of what came before, not after, not at the end."""
    monkeypatch.setattr(kept_log, "BEFORE_EVENTS", 1)
    path = tmp_path / "agent.db"
    log = await _opened(path)
    log.lost = lambda: _count(path, "parent_orders") > 0
    first = next(event for event in AS_CAUSED if isinstance(event, ParentChanged))
    log.restore([first, *(event for event in AS_CAUSED if event is not first)], seq=99, at_ns=T + 99)
    await _until(lambda: log._writer.done())
    log.take(AS_CAUSED)
    await _finish(log)
    assert [_count(path, name) for name in ("parent_orders", "fills", "child_orders", "slippage")] == [
        1,
        0,
        0,
        0,
    ]
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT closed_ns FROM sessions").fetchall() == [(None,)]


async def test_the_end_is_stored_after_all_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock at the end is waited for; then no row of several batches is missing, and the session closed."""
    monkeypatch.setattr(kept_log, "BATCH_EVENTS", 3)
    path = tmp_path / "agent.db"
    log = await _opened(path)
    holder = _lock(path)
    log.take(AS_CAUSED)
    asyncio.get_running_loop().call_later(0.5, holder.rollback)
    assert (await _finish(log)).in_line
    holder.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT state, closed_ns FROM sessions").fetchall() == [("closed", T + 99)]
    assert (_count(path, "slippage"), _count(path, "fills")) == (2, 1)


async def test_the_end_waits_no_longer_than_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that stays locked: what it lacks is counted, and the reason named."""
    monkeypatch.setattr(kept_log, "FINISH_S", 0.5)
    path = tmp_path / "agent.db"
    log = await _opened(path)
    holder = _lock(path)
    log.take(EVENTS)
    with capture_logs() as logs:
        end = await asyncio.wait_for(_finish(log), 15)
    holder.close()
    assert (end.missing, end.reachable, end.in_line) == (len(EVENTS), False, False)
    assert log._writer.done()  # and tries no more
    assert "locked by another program" in end.reason
    assert any(line["event"] == "database_is_awaited" for line in logs)


async def test_over_the_bound_only_last_states_are_kept(tmp_path: Path) -> None:
    """Memory is bounded: orders' states and measures are stored, the rest is counted as missing."""
    path = tmp_path / "agent.db"
    log = await _opened(path, most_events=5)
    holder = _lock(path)
    for event in EVENTS * 20:
        log.take([event])
    assert len(log._kept) <= 5
    holder.rollback()
    holder.close()
    end = await _finish(log)
    assert end.reachable
    assert end.missing > len(EVENTS)
    assert "5 events waited" in end.reason
    assert (_count(path, "parent_orders"), _count(path, "slippage"), _count(path, "fills")) == (2, 2, 0)


async def test_a_file_in_the_place_of_the_one_that_was_opened(tmp_path: Path) -> None:
    """Rows stored in a file that is gone count as missing; the new one gets the session and its orders."""
    path = tmp_path / "agent.db"
    log = await _opened(path)
    log.take(EVENTS)
    await _until(lambda: _count(path, "fills") == 1)
    _remove(path)
    log.take([replace(event) for event in EVENTS[-2:]])  # the first may not have left memory yet
    found = await _finish(log)
    assert found.reachable
    assert found.missing == len(EVENTS) - 2  # the states of two orders are stored again
    assert "another database" in found.reason
    assert (_count(path, "sessions"), _count(path, "parent_orders"), _count(path, "slippage")) == (1, 2, 2)


async def test_a_file_that_goes_while_the_last_rows_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session's end is stored in the file that stands there then, not where the last rows went."""
    path = tmp_path / "agent.db"
    log = await _opened(path)
    gone, stored = asyncio.Event(), log._log.write

    async def stored_then_gone(events: Sequence[AuditEvent]) -> None:
        await stored(events)
        _remove(path)
        gone.set()
        await asyncio.sleep(0.1)  # the end is asked for meanwhile

    monkeypatch.setattr(log._log, "write", stored_then_gone)
    log.take(EVENTS)
    await gone.wait()
    monkeypatch.undo()
    found = await _finish(log)
    assert (found.missing, found.reachable, _count(path, "sessions")) == (len(EVENTS) - 2, True, 1)


@pytest.mark.slow
async def test_rows_that_can_never_be_stored_are_left_to_the_recording(tmp_path: Path) -> None:
    """What they refer to is not there: it is said once, last states only are kept, the rest is missing."""
    path = tmp_path / "agent.db"
    log = await _opened(path)
    _run(path, "DELETE FROM instruments")
    with capture_logs() as logs:
        log.take(EVENTS * 3)
        await _until(lambda: any(line["event"] == "database_is_partial" for line in logs))
        log.take(EVENTS * 3)
        end = await _finish(log)
    assert [line["event"] for line in logs].count("database_is_partial") == 1
    assert not end.in_line
    assert end.missing >= len(EVENTS) * 3
    assert len(log._kept) < len(EVENTS) * 3


async def test_a_database_that_cannot_be_opened(tmp_path: Path) -> None:
    """Before a run it is an error; between two sessions it is tried again, and nothing is lost."""
    (tmp_path / "data").write_text("a file where a folder has to be")
    path = tmp_path / "data" / "agent.db"
    with pytest.raises(DatabaseError, match=r"agent.db"):
        await _opened(path)
    log = _kept(path)
    await log.open(required=False, opened_ns=T)
    log.take(EVENTS)
    await asyncio.sleep(0.2)
    (tmp_path / "data").unlink()
    assert await _finish(log) == LogEnd(0, "", reachable=True)
    assert _count(path, "fills") == 1


def test_pauses_grow_up_to_the_most() -> None:
    """Each failure in a row doubles the wait, and no wait is longer than it may be."""
    pauses = Pauses(0.1, 5.0)
    assert [pauses.after(k) for k in (1, 2, 3, 4, 5, 6)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2])
    assert pauses.after(7) == pauses.after(10**6) == 5.0


async def test_commands_are_handed_over_once(tmp_path: Path) -> None:
    """A command comes with the next look, once, though its row waits on; no more than so many at a time."""
    path = tmp_path / "agent.db"
    log = await _opened(path)
    for number in range(kept_log.MOST_COMMANDS + 6):
        await leave(str(path), "s1", f"c{number:03}", CommandKind.PAUSE, created_ns=T + number)
    got: list[PendingCommand] = []
    most = 0
    for _ in range(60):
        came = log.commands()
        most = max(most, len(came))
        got.extend(came)
        await asyncio.sleep(0.02)
    await _finish(log)
    assert [c.command_id for c in got] == [f"c{n:03}" for n in range(kept_log.MOST_COMMANDS + 6)]
    assert most <= kept_log.MOST_COMMANDS


async def test_commands_are_read_again_after_trouble(tmp_path: Path) -> None:
    """A table that cannot be read for a while: said once, and what came meanwhile is handed over."""
    path = tmp_path / "agent.db"
    log = await _opened(path)
    _run(path, "ALTER TABLE commands RENAME TO away")
    with capture_logs() as logs:
        await _until(lambda: any(line["event"] == "commands_cannot_be_read" for line in logs))
        await asyncio.sleep(0.3)
        _run(path, "ALTER TABLE away RENAME TO commands")
        await leave(str(path), "s1", "c1", CommandKind.PAUSE, created_ns=T)
        got: list[PendingCommand] = []
        await _until(lambda: bool(got.extend(log.commands()) or got))
    await _finish(log)
    assert [c.command_id for c in got] == ["c1"]
    said = [line["event"] for line in logs]
    assert (said.count("commands_cannot_be_read"), said.count("commands_are_read_again")) == (1, 1)


def _run(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)


async def test_a_connection_in_use_is_closed_once_it_is_back(tmp_path: Path) -> None:
    """Closed while the poll of commands has one: that goes back to a pool nobody knows any more."""
    stored = SqlExecutionLog(str(tmp_path / "agent.db"), "s1", [BTC])
    await stored.holds_session()
    async with stored._engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
        driver = (await connection.get_raw_connection()).driver_connection
        await stored.close()
    assert driver is not None
    assert driver._connection is not None
    await stored.close()
    assert driver._connection is None
