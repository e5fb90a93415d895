"""Commands from another terminal, to sessions that are open in this process: who takes them."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path

import pytest

from agent.core.errors import InputError
from agent.core.events import CommandHandled, CommandKind
from agent.core.types import ParentState
from storage.log.control.command_sender import Sent, all_done, send
from storage.log.control.heartbeat import Heartbeat
from storage.log.execution_log import SqlExecutionLog
from storage.log.kept_log import KeptLog
from tests.integration.test_storage import BTC, SPEC, T, _parent


class Session:
    """A session that works ``SPEC``, or nothing, and does what it is told."""

    def __init__(self, path: Path, name: str, opened_ns: int) -> None:
        self.log = KeptLog(SqlExecutionLog(str(path), name, [BTC]))
        self.heartbeat = Heartbeat(str(path), name, time.time_ns)
        self.name, self.opened_ns = name, opened_ns
        self.took: list[str] = []

    async def open(self, *, works: bool) -> None:
        await self.log.open(opened_ns=self.opened_ns, heartbeat=self.heartbeat.next_row())
        self.heartbeat.start()
        if works:
            self.log.take([_parent(SPEC, ParentState.WORKING, 1)])
        self._loop = asyncio.create_task(self._obey())

    async def _obey(self) -> None:
        while True:
            for command in self.log.commands():
                self.took.append(command.command_id)
                facts = (command.command_id, command.kind, command.parent_id, "done", (SPEC.parent_id,))
                self.log.take([CommandHandled(T, 2, *facts)])
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        self._loop.cancel()
        await self.heartbeat.stop()
        await self.log.finish(closed_ns=T + 99, seq=99, state="closed")


async def _sent(path: Path, parent_id: str | None) -> list[tuple[str, str]]:
    command = Sent("c1", CommandKind.PAUSE, parent_id)
    answers = await send(str(path), command, time.time_ns, time.monotonic_ns)
    assert all_done(answers)
    return [(answer.session, answer.outcome) for answer in answers]


async def test_a_session_that_lives_goes_on_beating(tmp_path: Path) -> None:
    """Once a second, as a number that rises."""
    path, counts = tmp_path / "agent.db", []
    session = Session(path, "a", T)
    await session.open(works=False)
    for _ in range(3):
        await asyncio.sleep(1.1)
        with sqlite3.connect(path) as connection:
            counts += connection.execute("SELECT counter FROM heartbeats").fetchone()
    await session.close()
    assert counts[0] < counts[1] < counts[2]


async def test_an_order_that_two_sessions_know_is_the_later_ones(tmp_path: Path) -> None:
    """Ids may come again, in a run that was given them: the one that was opened last works the order."""
    path = tmp_path / "agent.db"
    sessions = [Session(path, name, opened_ns) for name, opened_ns in (("late", T + 9), ("early", T))]
    for session in sessions:
        await session.open(works=True)
    await asyncio.sleep(0.5)  # its rows are written a moment later
    answered = await _sent(path, SPEC.parent_id)
    for session in sessions:
        await session.close()
    assert answered == [("late", "done")]
    assert [session.took for session in sessions] == [["c1"], []]


async def test_an_order_is_found_by_its_sessions_name_before_its_row_is_there(tmp_path: Path) -> None:
    """Whatever an order of a list is called, with dashes of its own; and no other session's is."""
    path = tmp_path / "agent.db"
    session = Session(path, "20260101T000000-001", T)
    await session.open(works=False)
    answered = await _sent(path, "20260101T000000-001-my-first-P-order")
    with pytest.raises(InputError, match="no parent order"):
        await _sent(path, "20260101T000000-002-my-first")
    await session.close()
    assert [name for name, _ in answered] == ["20260101T000000-001"]


async def test_without_an_id_every_session_takes_it_once(tmp_path: Path) -> None:
    """Also those that work nothing; an order that nobody has is told."""
    path = tmp_path / "agent.db"
    sessions = [Session(path, name, T) for name in ("a", "b", "c")]
    for session in sessions:
        await session.open(works=session.name == "b")
    await asyncio.sleep(0.5)
    answered = await _sent(path, None)
    with pytest.raises(InputError, match="no parent order 'nobody'"):
        await _sent(path, "nobody")
    for session in sessions:
        await session.close()
    assert sorted(answered) == [("a", "done"), ("b", "done"), ("c", "done")]
    assert [session.took for session in sessions] == [["c1"]] * 3
