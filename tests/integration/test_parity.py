"""A live run against the embedded exchange, then its replay: the same decisions and fills, byte for byte.

Through everything that ships: the unmodified ccxt client over TLS, the asyncio shell, the paper venue, the
recorded session, the database. Compared three times: row by row, by digest, and table by table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agent.app.live.run_views import LiveResult
from agent.app.live_session import run_paper
from agent.app.replay_session import Replayed, replay_session
from agent.config import Config, Embedded, Order
from agent.core.canonical import canonical_row
from agent.core.events import AuditEvent, ChildChanged, ChildFilled, DecisionTaken
from agent.core.instrument import Instrument
from agent.core.ports import FeedHealth
from agent.core.types import ChildState, TimeInForce
from storage.log import queries
from storage.recordings.session import SessionReader

S = 10**9
LIMIT_S = 90  # kernels may have to be compiled first
SHADOWS = ("vwap", "pov", "almgren_chriss")
TABLES = ("parent_orders", "child_orders", "fills", "decisions", "slippage", "gaps", "risk_refusals")
OWN = {"session", "latency_ns"}  # a replay's name, and what a clock measured: all that may differ


class Quiet:
    """A view that shows nothing."""

    def open(self, session: str, instruments: Sequence[Instrument], title: str) -> None: ...
    def add(self, events: Sequence[AuditEvent]) -> None: ...
    def health(self, health: FeedHealth) -> None: ...


async def live(folder: Path, tactic: str, seed: int, seconds: int) -> tuple[Config, LiveResult]:
    """One order of so many seconds, worked live with three shadows beside it."""
    order = Order(
        quantity=Decimal(2),
        interval=2 * S,
        min_duration=seconds // 2 * S,
        max_duration=seconds * S,
        algo="twap",
        tactic=tactic,
        shadows=SHADOWS,
    )
    config = Config(
        order=order,
        database=f"sqlite:///{folder / 'agent.db'}",
        out=folder / "sessions",
        embedded=Embedded(seed=seed),
    )
    return config, await asyncio.wait_for(run_paper(config, Quiet()), LIMIT_S + seconds)


def same_rows(result: LiveResult, config: Config) -> tuple[Replayed, list[AuditEvent]]:
    """Replay the session into the run's own database; rows and digest are those that were recorded."""
    happened: list[AuditEvent] = []
    done = replay_session(
        result.path,
        None,
        override=False,
        verify=True,
        speed=None,
        watch=happened.extend,
        database=config.database,
    )
    assert done.result.match is True, done.result.difference
    recorded = [r for r in SessionReader(result.path).outcome() if not r.startswith("tape|")]
    assert [canonical_row(e) for e in happened] == recorded
    return done, happened


def tables(database: str, session: str) -> dict[str, list[dict[str, Any]]]:
    """All rows of a session, in an order of their own, without what may differ."""
    found = {}
    for table in TABLES:
        rows = queries.sql(database, f"SELECT * FROM {table} WHERE session = '{session}'").dicts()
        kept = [{k: v for k, v in row.items() if k not in OWN} for row in rows]
        found[table] = sorted(kept, key=lambda row: [str(v) for v in row.values()])
    return found


def resting(events: Sequence[AuditEvent]) -> set[str]:
    """Parents that had an order in the book's queue."""
    return {
        e.parent_id
        for e in events
        if isinstance(e, ChildChanged) and e.tif is TimeInForce.POST_ONLY and e.state is ChildState.OPEN
    }


async def prove(folder: Path, tactic: str, seed: int, seconds: int) -> None:
    config, result = await live(folder, tactic, seed, seconds)
    done, happened = await asyncio.to_thread(same_rows, result, config)
    names = {f"{result.session}-P1", *(f"{result.session}-P1~{algo}" for algo in SHADOWS)}
    assert {e.parent_id for e in happened if isinstance(e, DecisionTaken)} == names
    assert {e.parent_id for e in happened if isinstance(e, ChildFilled)} == names
    assert resting(happened) == (names if tactic == "peg" else set())
    assert done.summary.parents() == result.summary.parents()
    assert done.stored is not None
    was, now = await asyncio.to_thread(
        lambda: [
            tables(config.database, name)
            for name in (result.session, str(done.stored and done.stored.session))
        ]
    )
    assert was == now
    assert len(now["fills"]) == sum(isinstance(e, ChildFilled) for e in happened) > 0


@pytest.mark.slow
async def test_a_live_run_replays_to_the_same_bytes(tmp_path: Path) -> None:
    """Parent and shadows, orders that rest and orders that cross: decisions, fills, measures and tables."""
    await prove(tmp_path, "peg", seed=1, seconds=4)


@pytest.mark.slow
@pytest.mark.parametrize(("tactic", "seed"), [("twap_micro", 1), ("sweep", 2), ("peg", 3), ("peg", 4)])
async def test_longer_runs_replay_to_the_same_bytes(tmp_path: Path, tactic: str, seed: int) -> None:
    """Every tactic, other markets, half a minute: more fills at rest, more orders moved."""
    await prove(tmp_path, tactic, seed, seconds=24)
