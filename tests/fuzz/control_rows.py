"""Rows of ``commands`` that no `ctl` wrote, taken by a session's log and carried out by its engine."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sqlite3
import sys
from pathlib import Path

from agent import app
from agent.config import parse_config
from agent.core.canonical import canonical_row
from agent.core.events import ControlParent
from agent.core.ports import ExecutionLog
from agent.engine.engine import Engine
from agent.journal import command_entry, commands
from storage.log.execution_log import SqlExecutionLog
from storage.recordings.session import SessionReader
from tests.fuzz.odd_rows import database_value
from tests.fuzz.trial import Case
from tests.fuzz.world import ODD_VALUES, World, odd

KINDS = ("pause", "resume", "cancel", "amend", "kill")
AMENDABLE = ("limit_price", "limit_price_ticks", "participation_cap", "risk_aversion")


def make_case(draw: random.Random, world: World) -> Case:
    """One to three rows for a session at work."""
    file = world.fresh() / "agent.db"
    shutil.copy(world.database, file)
    rows = [_row(draw) for _ in range(draw.choice([1, 1, 2, 3]))]
    _insert(file, world.stored, rows)
    return Case([], str(rows), call=lambda: asyncio.run(_work(world.session, file, world.stored)))


def _row(draw: random.Random) -> dict[str, object]:
    kind = draw.choice(KINDS) if draw.random() < 0.8 else database_value(draw)
    row: dict[str, object] = {
        "command_id": f"c{draw.randrange(10**6)}",
        "kind": kind,
        "parent_id": draw.choice([None, "s-P1", "s-P1", "no-such"]),
        "amend": json.dumps(_amendment(draw)) if kind == "amend" else "{}",
        "created_ns": 1,
        "handled_ns": None,
        "outcome": None,
    }
    if draw.random() < 0.4:
        row[draw.choice(sorted(row))] = database_value(draw)
    return row


def _amendment(draw: random.Random) -> object:
    if draw.random() < 0.1:
        return draw.choice([None, 1, [], "x", {"": 1}])
    names = draw.sample(AMENDABLE, draw.randrange(1, 3))
    plain = [v for v in ODD_VALUES if not isinstance(v, bytes)]
    return {n if draw.random() < 0.95 else odd(draw): draw.choice([0.1, 1, 5_000_000, *plain]) for n in names}


def _insert(file: Path, session: str, rows: list[dict[str, object]]) -> None:
    with sqlite3.connect(file) as connection:
        for row in rows:
            row = {"session": session, "seq": 0, **row}
            names, marks = ", ".join(row), ", ".join("?" * len(row))
            try:
                connection.execute(f"INSERT INTO commands ({names}) VALUES ({marks})", list(row.values()))
            except sqlite3.Error:  # not even SQLite takes it
                continue
    connection.close()


async def _work(path: Path, file: Path, session: str) -> None:
    """What a live run does with them: take, journal, carry out, write."""
    reader = SessionReader(path)
    log: ExecutionLog = SqlExecutionLog(f"sqlite:///{file}", session, reader.instruments)
    try:
        engine = _at_work(reader)
        for taken in await log.pending_commands():
            command = ControlParent(
                engine.now_ns + 1, engine.seq + 1, taken.kind, taken.parent_id, taken.command_id, taken.amend
            )
            json.dumps(command_entry(command), default=str)
            engine.command(command)
        engine.advance_time(engine.now_ns + 10**9)
        events = engine.drain()
        for event in events:
            canonical_row(event)
        await log.write(events)
    finally:
        await log.close()
    sys.exit(0)


def _at_work(reader: SessionReader) -> Engine:
    """The session's engine a second after its order's start."""
    config = parse_config(dict(reader.header.config))
    engine = app.build_engine(config, reader.instruments, app.inline_policies(config))
    events = reader.events()
    (begin,) = commands(reader.journal())
    before = events["recv_ns"] <= begin.recv_ns
    engine.advance(events[before])
    engine.command(begin)
    engine.advance(events[~before & (events["recv_ns"] <= begin.recv_ns + 10**9)])
    engine.drain()
    return engine
