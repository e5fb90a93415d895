"""A recording that cannot be written: the run says so, and what had happened is in the database whole."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from agent import app
from agent.config import Config
from agent.core.errors import RecordingError
from agent.core.events import AuditEvent, ChildFilled, ParentChanged
from agent.core.market.tape import EventArray
from agent.core.ports import FeedHealth
from agent.core.types import ParentState
from agent.orders import build_spec
from agent.runtime import LiveRun
from agent.system_clock import SystemClock
from storage.recordings import segments
from storage.recordings.session import SessionHeader, SessionReader, SessionWriter
from tests.fakes import SMALL, synthetic_tape


def handles() -> int:
    """Files and sockets that this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


class _Market:
    """A feed of ready rows, the log of a run, and who watches it."""

    def __init__(self, rows: EventArray) -> None:
        self._rows = rows
        self.taken: list[AuditEvent] = []

    async def stream(self) -> AsyncIterator[EventArray]:
        yield self._rows
        await asyncio.Event().wait()

    async def close(self) -> None: ...

    def health(self) -> FeedHealth:
        return FeedHealth()

    def round_trips(self) -> list[tuple[int, int]]:
        return []

    def commands(self) -> list[object]:
        return []

    def take(self, events: Sequence[AuditEvent]) -> None:
        self.taken.extend(events)


class _Disk:
    """In the place of ``os``: full from some moment on."""

    full: Callable[[], bool] = staticmethod(lambda: False)

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def write(self, fd: int, data: memoryview) -> int:
        if self.full():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(fd, data)


async def _run(folder: Path, disk: _Disk, over: Callable[[LiveRun], bool]) -> tuple[_Market, LiveRun]:
    """An order is worked until ``over``; the disk is ``disk``."""
    instrument, events = synthetic_tape(6.0)
    market = _Market(events)
    writer = SessionWriter.create(folder / "s", SessionHeader("s", (instrument,), 0))
    config = Config(order=SMALL)
    engine = app.build_engine(config, [instrument], app.inline_policies(config))
    live = LiveRun(market, engine, writer, market, SystemClock(), [], lambda _: None)  # type: ignore[arg-type]

    async def begin() -> None:
        live.start(build_spec(SMALL, instrument, "s-P1", None), ())

    with pytest.raises(RecordingError, match="No space left on device"):
        await asyncio.wait_for(live.run(begin, lambda: over(live)), 30)
    return market, live


def _last(market: _Market) -> ParentChanged:
    return [event for event in market.taken if isinstance(event, ParentChanged)][-1]


async def test_fills_that_could_not_be_recorded_stand_beside_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full as the first fill is to be recorded: it happened, and the order that failed has it."""
    disk = _Disk()
    monkeypatch.setattr(segments, "os", disk)
    outcome = SessionWriter.outcome

    def recorded(writer: SessionWriter, rows: Sequence[str]) -> None:
        if any(row.startswith("ChildFilled") for row in rows):
            disk.full = lambda: True  # type: ignore[method-assign]
        outcome(writer, rows)

    monkeypatch.setattr(SessionWriter, "outcome", recorded)
    market, _ = await _run(tmp_path, disk, lambda live: False)
    last = _last(market)
    fills = [event.qty_lots for event in market.taken if isinstance(event, ChildFilled)]
    assert (last.state, last.filled_lots) == (ParentState.FAILED, sum(fills))
    assert fills


async def test_a_disk_that_is_full_at_the_end_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the end fails to be recorded: the run does not say that all went well, and closes its files."""
    disk = _Disk()
    monkeypatch.setattr(segments, "os", disk)
    opened = handles()

    def over(live: LiveRun) -> bool:
        disk.full = lambda: live.ending  # type: ignore[method-assign]
        return bool(live.engine.workers)

    market, _ = await _run(tmp_path, disk, over)
    assert _last(market).state is ParentState.FAILED
    assert SessionReader(tmp_path / "s").cut_off
    assert handles() == opened
