"""A session that ends in mid-order: what is in flight comes to its end by the latency, however long."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agent.app.live_feed import open_feed
from agent.app.live_session import run_paper
from agent.app.replay_session import replay_session
from agent.app.world.run_world import World
from agent.config import Config, Feed, LatencyMs, Venue
from agent.core.clock import Clock
from agent.core.errors import DatabaseError, ExchangeError
from agent.core.events import AuditEvent, ChildChanged
from agent.core.market.tape import EventArray
from agent.core.types import ChildState
from storage.log import queries
from storage.recordings.lives.session_lock import SessionLock
from storage.recordings.session import SessionReader
from tests.integration.test_parity import Quiet
from tests.integration.worked_order import order

pytestmark = pytest.mark.slow

S = 10**9
LATENCY_S = 4
"""One way, to the venue and back: longer than any constant a session's end might wait for."""


class AtFirstChild(Quiet):
    """Does something once the first child has been sent."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act: Callable[[], None] | None = act

    def add(self, events: Sequence[AuditEvent]) -> None:
        sent = [e for e in events if isinstance(e, ChildChanged) and e.state is ChildState.PENDING_NEW]
        if self._act and sent:
            act, self._act = self._act, None
            asyncio.get_running_loop().call_later(0.5, act)


def slow_venue(folder: Path) -> Config:
    latency = LatencyMs(median_ms=LATENCY_S * 1000)
    return Config(
        order=replace(order(60), tactic="peg"),
        venue=Venue(entry=latency, cancel=latency, acknowledgement=latency),
        database=f"sqlite:///{folder / 'agent.db'}",
        out=folder / "sessions",
        feed=Feed(warm_up=60 * S),
    )


def ended_whole(folder: Path, word: str) -> None:
    """Nothing is at work or in flight in the database; the session replays to the same bytes."""
    database = str(folder / "agent.db")
    parents = queries.sql(database, "SELECT state, reason FROM parent_orders").rows
    assert parents == [("cancelled", "cancel by command")] * 2
    children = {row[0] for row in queries.sql(database, "SELECT state FROM child_orders").rows}
    assert children <= {"filled", "cancelled", "expired", "rejected"}
    assert queries.sql(database, "SELECT state FROM sessions").rows == [(word,)]
    (session,) = (folder / "sessions").iterdir()
    journal = SessionReader(session).journal()
    (cancel,) = [entry for entry in journal if entry["kind"] == "control"]
    assert journal[-1]["recv_ns"] - cancel["recv_ns"] > LATENCY_S * S
    done = replay_session(session, None, override=False, verify=True, speed=None)
    assert done.result.match is True, done.result.difference


async def test_an_interrupt_waits_for_what_is_in_flight(tmp_path: Path) -> None:
    """Ctrl-C with orders four seconds away: they are answered for before the session ends."""
    view = AtFirstChild(lambda: os.kill(os.getpid(), signal.SIGINT))
    result = await asyncio.wait_for(run_paper(slow_venue(tmp_path), view), 90)
    assert result.interrupted
    await asyncio.to_thread(ended_whole, tmp_path, "interrupted")


async def test_a_feed_that_fails_in_mid_order(tmp_path: Path) -> None:
    """The market is gone for good: what is in flight ends at the times that the latency gives."""
    failing = asyncio.Event()

    @contextlib.asynccontextmanager
    async def feed(config: Config, clock: Clock, began_ns: int | None) -> AsyncIterator[object]:
        async with open_feed(config, clock, began_ns) as (made, ended):
            stream = made.stream

            async def until_it_fails() -> AsyncIterator[EventArray]:
                async for rows in stream():
                    if failing.is_set():
                        raise ExchangeError("the exchange is gone")
                    yield rows

            made.stream = until_it_fails  # type: ignore[method-assign]
            yield made, ended

    world = World(open_feed=feed)
    with pytest.raises(ExchangeError, match="the exchange is gone"):
        await asyncio.wait_for(run_paper(slow_venue(tmp_path), AtFirstChild(failing.set), world=world), 90)
    await asyncio.to_thread(ended_whole, tmp_path, "failed")


def held_below(folder: Path) -> list[str]:
    """Files below it that this process has open."""
    held = [str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
    return [path for path in held if path.startswith(str(folder))]


async def test_a_session_that_cannot_begin_leaves_no_file_open(tmp_path: Path) -> None:
    """Its recording is made before its database is opened: whoever runs it again can lock and remove that."""
    (tmp_path / "blocked").write_text("a file where a folder has to be")
    url = f"sqlite:///{tmp_path / 'blocked' / 'agent.db'}"
    config = Config.model_validate({**dict(slow_venue(tmp_path)), "database": url})
    with pytest.raises(DatabaseError):
        await asyncio.wait_for(run_paper(config, Quiet()), 90)
    (session,) = (tmp_path / "sessions").iterdir()
    assert held_below(tmp_path) == []
    SessionLock(session).take()
