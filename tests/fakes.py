"""Small recorded sessions of the project's own synthetic market, and their orders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np

from agent import app
from agent.config import Config, Order, Risk, Tactics, Venue
from agent.core.canonical import TapeCheck, canonical_row
from agent.core.errors import SessionError
from agent.core.events import Command, CommandKind, StartParent
from agent.core.instrument import Instrument
from agent.core.market.mids import MidTrack
from agent.core.market.tape import EventArray, Kind
from agent.engine.engine import Engine
from agent.journal import command_entry
from agent.orders import build_spec
from agent.replay import inputs
from agent.shadow import shadow_specs
from connectors.embedded.synthetic.synthetic_market import synthetic_session
from storage.log.control.command_rows import leave_command
from storage.log.database import open_engine
from storage.recordings.session import SessionHeader, SessionReader, SessionWriter

S = 10**9
SMALL = Order(
    quantity=Decimal("0.5"),
    min_duration=6 * S,
    max_duration=18 * S,
    interval=3 * S,
    algo="optimal_stopping",
    shadows=("twap", "vwap", "pov"),
)


def synthetic_tape(seconds: float = 30.0, seed: int = 1) -> tuple[Instrument, EventArray]:
    """An instrument and a stamped tape of a synthetic market."""
    instruments, events = synthetic_session(seed, seconds)
    events = events.copy()
    events["seq"] = np.arange(1, len(events) + 1)
    return instruments[0], events


def first_book_of(events: EventArray) -> tuple[int, int]:
    row = events[np.flatnonzero(events["kind"] == Kind.SNAPSHOT_END)[0]]
    return int(row["recv_ns"]), int(row["seq"])


def record(
    path: Path,
    instrument: Instrument | Sequence[Instrument],
    events: EventArray,
    commands: list[Command],
    order: Order,
    venue: Venue | None = None,
    tactics: Tactics | None = None,
    risk: Risk | None = None,
) -> Path:
    """Record a run of ``commands`` on ``events`` as a live run would have, outcome included."""
    config = Config(order=order, venue=venue or Venue(), tactics=tactics or Tactics(), risk=risk or Risk())
    instruments = (instrument,) if isinstance(instrument, Instrument) else tuple(instrument)
    header = SessionHeader(
        path.name,
        instruments,
        int(events["recv_ns"][0]),
        config=config.model_dump(mode="json"),
        fingerprint=app.fingerprint(config, [order.algo, *order.shadows]),
    )
    causes = SessionWriter.create(path, header)
    causes.events(events)
    engine = app.build_engine(config, instruments, app.inline_policies(config))
    check = worked(causes, engine, commands, 997)
    end_ns = int(events["recv_ns"][-1])
    engine.close(end_ns)
    causes.outcome([*(canonical_row(e) for e in engine.drain()), *check.finish()])
    causes.close(end_ns)
    return path


def worked(causes: SessionWriter, engine: Engine, commands: Sequence[Command], rows: int) -> TapeCheck:
    """Record what comes of the tape that was recorded and of ``commands``, as a live run would have."""
    check = TapeCheck()
    for item in inputs(SessionReader(causes.path), commands, rows):
        tape_rows: list[str] = []
        if isinstance(item, np.ndarray):
            engine.advance(item)
            tape_rows = check.add(item)
        else:
            causes.journal(command_entry(item))
            engine.command(item)
        causes.outcome([*(canonical_row(e) for e in engine.drain()), *tape_rows])
    return check


def start(instrument: Instrument, events: EventArray, order: Order, parent_id: str = "s-P1") -> StartParent:
    """Start ``order`` at the tape's first whole book."""
    recv_ns, seq = first_book_of(events)
    spec = build_spec(order, instrument, parent_id, None)
    return StartParent(recv_ns, seq, spec, tuple(shadow_specs(spec, order.shadows)))


def mid_track(steps: Sequence[tuple[int, int]], known_ns: int) -> MidTrack:
    """A track of the mid from ``(at_ns, mid_half_ticks)`` steps."""
    at_ns, mids = (np.array([step[i] for step in steps], np.int64) for i in (0, 1))
    return MidTrack(at_ns, mids, known_ns)


def order_of_the_model() -> tuple[Instrument, EventArray, Order, StartParent]:
    """A minute of a market, an order for the model, and its start after a little history."""
    instrument, events = synthetic_tape(seconds=60.0)
    order = Order(
        quantity=Decimal("0.8"),
        algo="lem",
        interval=3 * S,
        min_duration=9 * S,
        max_duration=36 * S,
        shadows=(),
    )
    command = start(instrument, events, order)
    recv_ns = command.recv_ns + 12 * S
    seq = int(events["seq"][np.searchsorted(events["recv_ns"], recv_ns, side="right") - 1])
    return instrument, events, order, replace(command, recv_ns=recv_ns, seq=seq)


def small_session(path: Path, order: Order = SMALL) -> Path:
    """A recorded session of half a minute with one order worked on it."""
    instrument, events = synthetic_tape()
    return record(path, instrument, events, [start(instrument, events, order)], order)


def changed_trade(events: EventArray, at: float = 0.5) -> EventArray:
    """The same tape with the size of one trade changed; ``at`` in [0, 1] picks it."""
    events = events.copy()
    trades = np.flatnonzero(events["kind"] == Kind.TRADE)
    events["qty_lots"][trades[int(at * (len(trades) - 1))]] += 7
    return events


__all__ = [
    "SMALL",
    "changed_trade",
    "first_book_of",
    "record",
    "small_session",
    "start",
    "synthetic_tape",
]


def flipped_reads(path: Path, tape: EventArray, places: Iterable[int]) -> int:
    """Read the session of a tape's file with each of its bytes at ``places`` flipped, one at a time.

    Every read must give a true prefix of ``tape``, and name its loss where that is short. Returns how many
    were refused: their flip hit a column's name.
    """
    whole, refused = path.read_bytes(), 0
    for at in places:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        reader = SessionReader(path.parent)
        try:
            rows = reader.events()
        except SessionError:
            refused += 1
            continue
        assert np.array_equal(rows, tape[: len(rows)])
        assert len(rows) == len(tape) or reader.losses
    return refused


async def leave(
    url: str,
    session: str,
    command_id: str,
    kind: CommandKind,
    *,
    created_ns: int,
    parent_id: str | None = None,
    amend: Mapping[str, int | float | None] | None = None,
) -> None:
    """Leave a command for a session, as another terminal does."""
    engine = open_engine(url)
    try:
        async with engine.begin() as connection:
            await leave_command(
                connection,
                session,
                command_id,
                kind,
                created_ns=created_ns,
                parent_id=parent_id,
                amend=amend,
            )
    finally:
        await engine.dispose()
