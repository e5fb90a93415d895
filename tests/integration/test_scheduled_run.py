"""A run of several sessions, whose orders the clock starts: through rotations, with the real scheduler."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from agent.app.live_session import run_paper
from agent.config import Config, Feed, Jobs, Schedule
from agent.core.events import AuditEvent, ParentChanged
from agent.core.types import ParentState
from agent.jobs import run_jobs
from storage.log import queries
from tests.integration.test_halted_market import order
from tests.integration.test_parity import Quiet

pytestmark = pytest.mark.slow

S = 10**9
EVERY_S = 4
ORDERS = 5


class Until(Quiet):
    """Interrupts the run, as Ctrl-C does, once so many orders have been completed."""

    completed = 0

    def add(self, events: Sequence[AuditEvent]) -> None:
        ended = [e for e in events if isinstance(e, ParentChanged) and e.state is ParentState.COMPLETED]
        self.completed += len(ended)
        if ended and self.completed == ORDERS:
            os.kill(os.getpid(), signal.SIGINT)


async def test_schedules_keep_their_beat_through_rotations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Due every four seconds, in sessions of three: a rotation begins no interval anew."""
    monkeypatch.setattr(run_jobs, "RETRY_NS", S // 2)
    quick = replace(order(), interval=S, min_duration=S, max_duration=S, quantity=Decimal("0.01"))
    config = Config(
        order=quick,
        schedules=(Schedule(name="steady", every=EVERY_S * S, order=quick),),
        jobs=Jobs(rotate_session=3 * S),
        feed=Feed(warm_up=60 * S),
        database=f"sqlite:///{tmp_path / 'agent.db'}",
        out=tmp_path / "sessions",
    )
    result = await asyncio.wait_for(run_paper(config, Until()), 90)
    assert result.interrupted
    asked = "SELECT session, submitted_ns, state FROM parent_orders ORDER BY submitted_ns"
    found = (await asyncio.to_thread(queries.sql, str(tmp_path / "agent.db"), asked)).dicts()
    assert [row["state"] for row in found] == ["completed"] * len(found)
    assert len(found) >= ORDERS
    assert len({row["session"] for row in found}) >= 3
    states = await asyncio.to_thread(queries.sql, str(tmp_path / "agent.db"), "SELECT state FROM sessions")
    assert {row[0] for row in states.rows} == {"closed", "interrupted"}
