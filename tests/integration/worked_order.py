"""An order worked on the embedded exchange while something happens to its database; and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from agent.app.live.run_views import LiveResult
from agent.app.live_session import run_paper
from agent.app.replay_session import replay_session
from agent.config import Config, Feed, Order
from agent.core.events import AuditEvent, ChildFilled
from agent.core.market.tape import Flag, Kind
from storage.log import queries
from storage.recordings.session import SessionReader
from tests.integration.test_parity import Quiet, tables

S = 10**9
LIMIT_S = 120
STALLED_NS = 6 * S
"""A loop that waits for a database locked for 12 s stands still for longer; a slow machine does not."""
Trouble = Callable[[], Awaitable[None]]


class Meddling(Quiet):
    """Makes trouble at the order's first fill."""

    def __init__(self, trouble: Trouble) -> None:
        self._trouble = trouble
        self.task: asyncio.Task[None] | None = None

    def add(self, events: Sequence[AuditEvent]) -> None:
        if self.task is None and any(isinstance(e, ChildFilled) for e in events):
            self.task = asyncio.ensure_future(self._make())

    async def _make(self) -> None:
        await self._trouble()


def order(seconds: int) -> Order:
    return Order(
        quantity=Decimal(1),
        interval=2 * S,
        min_duration=seconds * S,
        max_duration=seconds * S,
        algo="twap",
        shadows=("vwap",),
    )


async def worked(folder: Path, database: str, trouble: Trouble, seconds: int) -> LiveResult:
    """An order of so many seconds; ``trouble`` begins at its first fill and is over before this returns."""
    config = Config(
        order=order(seconds), database=database, out=folder / "sessions", feed=Feed(warm_up=60 * S)
    )
    view = Meddling(trouble)
    result = await asyncio.wait_for(run_paper(config, view), LIMIT_S + seconds)
    assert view.task is not None
    await asyncio.wait_for(view.task, LIMIT_S)
    return result


def largest_lag_ns(session: Path) -> int:
    """The longest that a trade was on its way to the tape; what filled a gap later is left aside."""
    rows = SessionReader(session).events()
    live = rows[(rows["kind"] == Kind.TRADE) & (rows["flags"] & (Flag.HISTORY | Flag.BACKFILL) == 0)]
    return int(np.max(live["recv_ns"] - live["exch_ns"]))


def unharmed(result: LiveResult) -> None:
    """The order was done as if nothing had happened, and no step of the loop was late."""
    (parent,) = result.summary.parents()
    assert (parent["state"], parent["filled"]) == ("completed", "1.00000")
    lag_ns = largest_lag_ns(result.path)
    structlog.get_logger("test").info("largest_lag", ms=lag_ns / 1e6)
    assert lag_ns < STALLED_NS


def rows(database: str, session: str) -> dict[str, list[dict[str, Any]]]:
    """The session's rows, and its own state."""
    state = queries.sql(database, f"SELECT state, mode FROM sessions WHERE session = '{session}'").dicts()
    return {**tables(database, session), "sessions": state}


def in_line(path: Path, database: str) -> None:
    """The database holds the rows of the recording, each once, and nothing else; no order is at work."""
    done = replay_session(path, None, override=False, verify=True, speed=None, database=database)
    assert done.result.match is True, done.result.difference
    assert done.stored is not None
    wanted, found = tables(database, done.stored.session), rows(database, path.name)
    assert found.pop("sessions") == [{"state": "closed", "mode": "paper"}]
    assert {name: len(of) for name, of in found.items()} == {name: len(of) for name, of in wanted.items()}
    assert found == wanted
    assert {row["state"] for row in found["parent_orders"]} == {"completed"}
    assert len(found["fills"]) > 0
