"""A session taken on while the database was away: its heartbeat is taken over once that is back."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from storage.log.control import lease
from storage.log.control.lease import LateClaim
from storage.log.control.liveness import Seen, seen_now
from storage.log.execution_log import SqlExecutionLog

DEAD = {"session": "s1", "host": "elsewhere", "pid": 7, "counter": 9, "beat_ns": 1}


@pytest.fixture
async def database(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'agent.db'}"
    log = SqlExecutionLog(url, "s1", [])
    await log.open_session(opened_ns=1, path="s1", heartbeat=DEAD)
    await log.close()
    return url


async def seen(url: str) -> Seen:
    found = await seen_now(url, "s1")
    assert found is not None
    return found


async def test_one_that_stands_still_is_taken_over(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After it has been watched, and then it beats as ours."""
    monkeypatch.setattr(lease, "WATCH_S", 0.3)
    late = LateClaim(database, "s1", time.time_ns)
    await late.beat()
    assert (await seen(database)).host == "elsewhere"  # it may live
    await asyncio.sleep(0.4)
    for _ in range(2):
        await late.beat()
    assert not late.taken
    assert (await seen(database)).process_runs()
    await late.stop()


async def test_two_beats_at_once_take_it_over_once(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it lost to itself where the answer to a claim was."""
    monkeypatch.setattr(lease, "WATCH_S", 0.0)
    late = LateClaim(database, "s1", time.time_ns)
    await asyncio.gather(late.beat(), late.beat())
    assert not late.taken
    late._claimed = False
    await late.beat()
    assert not late.taken
    await late.stop()


async def test_one_that_moves_is_anothers(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it is watched."""
    monkeypatch.setattr(lease, "WATCH_S", 0.0)
    late = LateClaim(database, "s1", time.time_ns)
    late._first = (await seen(database))._replace(counter=8), 0.0
    await late.beat()
    assert late.taken
    assert (await seen(database)).counter == 9
    await late.stop()
