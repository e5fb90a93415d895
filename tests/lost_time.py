"""An order that lives through time in which nothing was done: such a tape, and what happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agent import app
from agent.config import Config
from agent.core.events import (
    AuditEvent,
    ChildChanged,
    ChildFilled,
    Command,
    DecisionTaken,
    ParentChanged,
    SkipTime,
    StartParent,
)
from agent.core.instrument import Instrument
from agent.core.market.tape import EventArray, Flag, Kind
from agent.engine.engine import Engine
from agent.replay import cut_at
from tests.fakes import S

WHY = "the agent was not running"


@dataclass
class Lived:
    """What happened, and when nothing did."""

    engine: Engine
    events: list[AuditEvent]
    from_ns: int
    to_ns: int

    def parent(self, parent_id: str = "s-P1") -> ParentChanged:
        """An order as it ended."""
        return [e for e in self.events if isinstance(e, ParentChanged) and e.spec.parent_id == parent_id][-1]

    @property
    def decided(self) -> list[int]:
        """The intervals in which the order decided."""
        return [e.interval for e in self.events if isinstance(e, DecisionTaken) and e.parent_id == "s-P1"]

    def fills(self, parent_id: str = "s-P1") -> list[ChildFilled]:
        return [e for e in self.events if isinstance(e, ChildFilled) and e.parent_id == parent_id]

    def children(self, parent_id: str = "s-P1") -> dict[str, list[ChildChanged]]:
        """The states of each child, in order."""
        found: dict[str, list[ChildChanged]] = {}
        for event in self.events:
            if isinstance(event, ChildChanged) and event.parent_id == parent_id:
                found.setdefault(event.child_id, []).append(event)
        return found


def without(tape: EventArray, from_ns: int, to_ns: int) -> EventArray:
    """The tape of a process that was dead in between: the trades of then, fetched later, and no book."""
    dead = (tape["recv_ns"] > from_ns) & (tape["recv_ns"] <= to_ns)
    rows = tape[~dead | (tape["kind"] == Kind.TRADE)].copy()
    late = (rows["recv_ns"] > from_ns) & (rows["recv_ns"] <= to_ns)
    rows["recv_ns"][late] = to_ns
    rows["flags"][late] |= np.uint32(Flag.BACKFILL)
    lost = np.zeros(1, tape.dtype)
    lost["recv_ns"], lost["exch_ns"], lost["kind"] = from_ns, to_ns, Kind.LOST_TIME
    lost["flags"] = int(Flag.TRADES | Flag.BOOK | Flag.LAST)
    cut = int(np.searchsorted(rows["recv_ns"], from_ns, side="right"))
    back = int(np.searchsorted(rows["recv_ns"], to_ns, side="right"))
    rows = np.concatenate([rows[:cut], lost, rows[cut:back], snapshot(tape, to_ns), rows[back:]])
    rows["seq"] = 2 * np.arange(1, len(rows) + 1)  # commands take the odd ones
    return rows


def snapshot(tape: EventArray, at_ns: int) -> EventArray:
    """The whole book as it was, as somebody who comes back reads it."""
    levels: dict[tuple[int, int], int] = {}
    for row in tape[tape["recv_ns"] <= at_ns]:
        if row["kind"] == Kind.SNAPSHOT_BEGIN:
            levels.clear()
        elif row["kind"] == Kind.LEVEL:
            levels[int(row["side"]), int(row["price_ticks"])] = int(row["qty_lots"])
    whole = [(side, ticks, lots) for (side, ticks), lots in levels.items() if lots]
    rows = np.zeros(len(whole) + 2, tape.dtype)
    rows["recv_ns"], rows["exch_ns"], rows["kind"] = at_ns, at_ns + 1, Kind.LEVEL
    for name, column in zip(("side", "price_ticks", "qty_lots"), zip(*whole, strict=True), strict=True):
        rows[name][1:-1] = column
    rows["kind"][[0, -1]] = Kind.SNAPSHOT_BEGIN, Kind.SNAPSHOT_END
    rows["flags"][-1] = int(Flag.LAST)
    return rows


def lived(
    instrument: Instrument,
    tape: EventArray,
    begin: StartParent,
    lost_s: tuple[float, float],
    config: Config,
    others: Sequence[Command] = (),
    rows: int = 997,
    unworkable: Mapping[str, str] | None = None,
) -> Lived:
    """Work an order, with nothing done between two moments, in seconds after its start."""
    from_ns, to_ns = (begin.recv_ns + round(at_s * S) for at_s in lost_s)
    tape = without(tape, from_ns, to_ns)
    skip = SkipTime(from_ns, 0, from_ns, to_ns, WHY, unworkable or {})
    commands = [
        replace(c, seq=_place(tape, c)) for c in sorted([begin, skip, *others], key=lambda c: c.recv_ns)
    ]
    engine = app.build_engine(config, [instrument], app.inline_policies(config))
    events: list[AuditEvent] = []
    batches = (tape[at : at + rows] for at in range(0, len(tape), rows))
    for item in cut_at(batches, commands):
        if isinstance(item, np.ndarray):
            engine.advance(item)
        else:
            engine.command(item)
        events += engine.drain()
    engine.close(int(tape["recv_ns"][-1]) + 30 * S)
    return Lived(engine, events + engine.drain(), from_ns, to_ns)


def _place(tape: EventArray, command: Command) -> int:
    """After all rows of its moment."""
    return 2 * int(np.searchsorted(tape["recv_ns"], command.recv_ns, side="right")) + 1
