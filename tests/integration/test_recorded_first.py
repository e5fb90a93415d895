"""A cause is recorded before it has an effect: a process killed at any moment loses nothing that acted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent import app
from agent.config import Config
from agent.core.canonical import canonical_row
from agent.core.events import AuditEvent, Command, CommandKind
from agent.core.market.tape import BAR, BarArray, EventArray, Flag, Kind
from agent.engine.engine import Engine
from agent.orders import build_spec
from agent.runtime import LiveRun
from agent.shadow import shadow_specs
from agent.system_clock import SystemClock
from storage.recordings.session import SessionHeader, SessionReader, SessionWriter
from tests.fakes import SMALL, S, synthetic_tape


class Witness:
    """The engine, and a look at the recording whenever something reaches it, or leaves it."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine, self._path = engine, path
        self.inputs: list[str] = []
        self.results = self.releases = 0
        self.waiting = True
        self.forced: dict[int, int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def advance(self, rows: EventArray) -> None:
        assert np.array_equal(SessionReader(self._path).events()[-len(rows) :], rows)
        self.inputs.append("rows")
        self._engine.advance(rows)

    def on_bars(self, bars: BarArray) -> None:
        assert np.array_equal(SessionReader(self._path).bars(), bars)
        self.inputs.append("bars")
        self._engine.on_bars(bars)

    def command(self, command: Command) -> None:
        entry = SessionReader(self._path).journal()[-1]
        assert (entry["recv_ns"], entry["seq"]) == (command.recv_ns, command.seq)
        self.inputs.append(type(command).__name__)
        self._engine.command(command)

    def take(self, events: Sequence[AuditEvent]) -> None:
        """As the execution log, and as who watches: results are in the recording before anybody has them."""
        rows = [canonical_row(event) for event in events]
        assert [r for r in SessionReader(self._path).outcome() if r in rows] == rows
        self.results += len(rows)

    def release(self) -> None:
        """As the link to a venue outside: orders leave when their causes would outlive a power cut."""
        for name in ("journal.jsonl", "tape-00000.arrows"):
            known = (self._path / name).stat()
            assert self.forced.get(known.st_ino) == known.st_size
        self.releases += 1

    def commands(self) -> list[Any]:
        return []

    def round_trips(self) -> list[Any]:
        return []


def test_no_input_acts_before_it_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """History, rows, the start of an order and a command; and their results before log, watcher and venue."""
    instrument, events = synthetic_tape(6.0)
    config, path = Config(order=SMALL), tmp_path / "s"
    writer = SessionWriter.create(path, SessionHeader("s", (instrument,), 0))
    engine = app.build_engine(config, [instrument], app.inline_policies(config))
    witness: Any = Witness(engine, path)
    force = os.fsync

    def forcing(fd: int) -> None:
        force(fd)
        witness.forced[os.fstat(fd).st_ino] = os.fstat(fd).st_size

    monkeypatch.setattr(os, "fsync", forcing)
    live = LiveRun(witness, witness, writer, witness, SystemClock(), [], witness.take, witness)
    assert (live.ending, live.interrupted) == (False, False)
    history = events[events["kind"] == Kind.TRADE][:5].copy()
    history["flags"] |= np.uint32(Flag.HISTORY)
    bars = np.zeros(2, BAR)
    bars["delta_ns"] = 60 * S
    live.warm_up(history, bars)
    half = len(events) // 2
    live.ingest(events[:half])
    spec = build_spec(SMALL, instrument, "s-P1", None)
    live.start(spec, shadow_specs(spec, SMALL.shadows))
    live.ingest(events[half:])
    live.control(CommandKind.CANCEL, None, "c1", {})
    writer.abandon()
    assert witness.inputs == ["bars", "rows", "rows", "StartParent", "rows", "ControlParent"]
    assert witness.results > 5
    assert witness.releases >= 4
