"""A process that stood still notices it before anything else it does, whoever does that first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent import app
from agent.config import Config
from agent.core.events import AuditEvent, ChildChanged, CommandKind, DecisionTaken
from agent.orders import build_spec
from agent.runtime import BEAT_S, LiveRun
from storage.recordings.session import SessionHeader, SessionReader, SessionWriter
from tests.fakes import SMALL, S, synthetic_tape


class _Clock:
    """Moved by hand."""

    def __init__(self, now_ns: int) -> None:
        self.ns = now_ns

    def now_ns(self) -> int:
        return self.ns


class _Quiet:
    """A feed and a log that say nothing."""

    def round_trips(self) -> list[Any]:
        return []

    def commands(self) -> list[Any]:
        return []

    def take(self, events: Any) -> None: ...


def _stalled(folder: Path) -> tuple[LiveRun, _Clock, list[AuditEvent]]:
    """An order works, and then nothing is done for twenty seconds."""
    instrument, events = synthetic_tape(6.0)
    seen: list[AuditEvent] = []
    config = Config(order=SMALL)
    engine = app.build_engine(config, [instrument], app.inline_policies(config))
    writer = SessionWriter.create(folder / "s", SessionHeader("s", (instrument,), 0))
    clock, quiet = _Clock(int(events["recv_ns"][-1])), _Quiet()
    live = LiveRun(quiet, engine, writer, quiet, clock, [], seen.extend)  # type: ignore[arg-type]
    live.ingest(events)
    live.start(build_spec(SMALL, instrument, "s-P1", None), ())
    live._still.look()
    clock.ns += 20 * S
    return live, clock, seen


def _nothing_happened_before(live: LiveRun, to_ns: int, seen: list[AuditEvent], then: str) -> None:
    kinds = [str(entry["kind"]) for entry in SessionReader(live.writer.path).journal()]
    assert kinds == ["start", "resumed", then]
    acts = [event.at_ns for event in seen if isinstance(event, DecisionTaken | ChildChanged)]
    assert not [at_ns for at_ns in acts if to_ns - 20 * S + BEAT_S * S < at_ns < to_ns]


def test_an_order_started_after_a_stall_comes_after_it(tmp_path: Path) -> None:
    """A list's next order starts before the loop takes its next step: no timer of the lost time fires."""
    live, clock, seen = _stalled(tmp_path)
    (instrument,) = live.engine.market.instruments
    live.start(build_spec(SMALL, instrument, "s-P2", None), ())
    _nothing_happened_before(live, clock.ns, seen, "start")


def test_a_command_after_a_stall_comes_after_it(tmp_path: Path) -> None:
    live, clock, seen = _stalled(tmp_path)
    live.control(CommandKind.PAUSE, None, "c1", {})
    _nothing_happened_before(live, clock.ns, seen, "control")
