"""Replays in the execution log: the rows of a run, told apart from a live one's, never doubled."""

from __future__ import annotations

import asyncio
import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agent.app.replay_session import Replayed, replay_session
from agent.cli import main
from agent.config import Config, Order
from agent.core.errors import DatabaseError
from agent.core.events import CommandKind
from storage.log import queries
from storage.log import stored_replay as stored
from storage.log.control.command_sender import Sent, send
from storage.log.control.liveness import standings
from storage.log.execution_log import SqlExecutionLog
from storage.recordings.session import SessionReader
from tests.fakes import S

GOLDEN = Path(__file__).parents[1] / "data" / "small-session"
TABLES = (
    "parent_orders",
    "child_orders",
    "fills",
    "decisions",
    "slippage",
    "gaps",
    "instruments",
    "balances",
)


def store(database: str, order: Order | None = None) -> Replayed:
    config = Config(order=order) if order else None
    return replay_session(
        GOLDEN, config, override=order is not None, verify=False, speed=None, database=database
    )


def rows(database: str, table: str) -> list[dict[str, Any]]:
    return queries.sql(database, f"SELECT * FROM {table} ORDER BY 1, 3").dicts()


def everything(database: str) -> dict[str, list[dict[str, Any]]]:
    return {table: rows(database, table) for table in TABLES}


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'agent.db'}"


def test_a_replay_is_stored_whole(database: str) -> None:
    """Every parent, child, fill, decision and measure that the replay printed is a row, under its session."""
    done = store(database)
    (parent,) = done.summary.parents()
    assert done.stored is not None
    (session,) = rows(database, "sessions")
    assert (session["session"], session["mode"], session["state"]) == (
        done.stored.session,
        "replay",
        "closed",
    )
    found = everything(database)
    assert {r["session"] for part in found.values() for r in part} == {done.stored.session}
    assert len(found["parent_orders"]) == 1 + len(parent["shadows"])
    for table, count in (("child_orders", "children"), ("fills", "fills"), ("decisions", "decisions")):
        own = [r for r in found[table] if r["parent_id"] == parent["id"]]
        assert len(own) == parent[count], table
    bought = sum(Decimal(r["quantity"]) for r in found["fills"] if r["parent_id"] == parent["id"])
    assert bought == Decimal(parent["filled"])
    gains = {r["benchmark"]: r["gain_bps"] for r in found["slippage"] if r["parent_id"] == parent["id"]}
    assert gains[parent["benchmark"]] == parent["gain_bps"]


def test_the_same_replay_again_replaces_its_rows(database: str) -> None:
    """Twice into one database leaves what once does, and says that it replaced."""
    first = store(database)
    before = everything(database)
    again = store(database)
    assert first.stored is not None
    assert again.stored is not None
    assert (first.stored.replaced, again.stored.replaced) == (False, True)
    assert everything(database) == before


def test_another_order_stands_beside(database: str) -> None:
    """A replay with another order has a session of its own; `log --session` tells them apart."""
    recorded = store(database)
    order = Order(
        quantity=Decimal("0.3"),
        algo="twap",
        interval=2 * S,
        min_duration=4 * S,
        max_duration=8 * S,
        shadows=(),
    )
    other = store(database, order)
    assert recorded.stored is not None
    assert other.stored is not None
    assert recorded.stored.session != other.stored.session
    found = queries.query(database, "parents", session=other.stored.session).dicts()
    assert [(r["algo"], r["filled"]) for r in found] == [("twap", "0.30000")]
    assert len(queries.query(database, "parents").rows) == 2


def test_transactions_cannot_matter(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written a few events at a time, the rows are those of one transaction."""
    store(database)
    small = f"sqlite:///{tmp_path / 'small.db'}"
    monkeypatch.setattr(stored, "BATCH_EVENTS", 7)
    store(small)
    assert everything(small) == everything(database)


def test_a_replay_cut_off_is_no_running_agent(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed half-way it takes no commands and shows in no status; the next one replaces it."""
    monkeypatch.setattr(stored.StoredEvents, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        store(database)
    (session,) = rows(database, "sessions")
    assert session["state"] == "replaying"
    assert asyncio.run(standings(database, time.time_ns, time.monotonic_ns)) == []
    pause = Sent("c1", CommandKind.PAUSE)
    assert asyncio.run(send(database, pause, time.time_ns, time.monotonic_ns)) == []
    monkeypatch.undo()
    done = store(database)
    assert done.stored is not None
    assert done.stored.replaced


def test_a_live_session_is_never_replaced(database: str) -> None:
    """A session of that name that is no replay is left alone, and named."""
    done = store(f"{database}.other")
    assert done.stored is not None

    async def live() -> None:
        log = SqlExecutionLog(
            database, str(done.stored and done.stored.session), SessionReader(GOLDEN).instruments
        )
        await log.open_session(opened_ns=1, mode="paper")
        await log.close()

    asyncio.run(live())
    with pytest.raises(DatabaseError, match="in the log as 'paper': give another --db"):
        store(database)


def said(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(argv)
    return (int(str(stop.value.code)), *capsys.readouterr())


def test_the_command_says_where(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`replay --db` names database and session, in words and as JSON."""
    argv = ["replay", str(GOLDEN), "--db", database]
    code, out, _ = said(argv, capsys)
    assert code == 0
    assert "stored in" in out
    assert "look at it: python -m agent log parents --db" in out
    code, out, _ = said([*argv, "--json"], capsys)
    answer = json.loads(out)["stored"]
    assert (code, answer["replaced"]) == (0, True)
    code, out, _ = said(["log", "fills", "--db", database, "--session", answer["session"], "--json"], capsys)
    assert len(json.loads(out)) == json.loads(said([*argv, "--json"], capsys)[1])["parents"][0]["fills"]


def test_a_database_that_cannot_be_used_stops_the_replay(capsys: pytest.CaptureFixture[str]) -> None:
    """Known before a row is read: exit 2 and one message."""
    code, out, err = said(["replay", str(GOLDEN), "--db", "mysql://x/y"], capsys)
    assert (code, out) == (2, "")
    assert "is not supported" in err
