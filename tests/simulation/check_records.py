"""The recording replays to what it says, and the database is the projection of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from agent.app.replay_session import replay_session
from agent.core.errors import AgentError
from agent.core.events import AuditEvent
from agent.core.json_types import int_in
from storage.log.bulk.row_shapes import shape
from storage.log.log_rows import RowMaker
from storage.log.tables import Base
from storage.recordings.lives.cut_recording import KEPT
from storage.recordings.session import END_KIND, OUTCOME, SessionReader
from tests.simulation.simulated_run import Outcome
from tests.simulation.violation import Database, Kind, Violation, failed


def of_records(outcome: Outcome, reader: SessionReader, database: Database) -> Iterator[Violation]:
    """The recording replays to the same rows, and the database is their projection."""
    events: list[AuditEvent] = []
    try:
        done = replay_session(
            reader.path, None, override=False, verify=False, speed=None, watch=events.extend, as_recorded=True
        )
    except AgentError as error:
        yield Violation(Kind.RECORDS, f"{reader.path.name} cannot be replayed: {error}")
        return
    if not done.result.match:
        yield Violation(Kind.RECORDS, f"{reader.path.name} replays differently: {done.result.difference}")
    if done.result.losses:
        yield Violation(Kind.RECORDS, f"{reader.path.name} has losses: {'; '.join(done.result.losses)}")
    handled = Counter(str(e["command_id"]) for e in reader.journal() if e.get("kind") == "control")
    if again := [name for name, count in handled.items() if count > 1]:
        yield Violation(Kind.RECORDS, f"command {again[0]} was carried out {handled[again[0]]} times")
    yield from _numbered(outcome, reader)
    yield from _inputs_cut(outcome, reader)
    yield from _projected(outcome, reader, database, events)


def _numbered(outcome: Outcome, reader: SessionReader) -> Iterator[Violation]:
    """Inputs are numbered through, whatever file they are in and however many lives they are of."""
    entries = [int_in(entry, "seq") for entry in reader.journal() if entry.get("kind") != END_KIND]
    numbers = np.sort(np.concatenate([reader.events()["seq"], reader.bars()["seq"], np.array(entries, "i8")]))
    if not failed(outcome) and not np.array_equal(numbers, np.arange(1, len(numbers) + 1)):
        yield Violation(Kind.RECORDS, f"{len(numbers)} inputs are not numbered through up to {numbers[-1]}")


def _inputs_cut(outcome: Outcome, reader: SessionReader) -> Iterator[Violation]:
    """Only a power cut takes inputs that had been handed to the system."""
    cut = sorted(each.name for each in reader.path.glob(f"*{KEPT}*") if not each.name.startswith(OUTCOME))
    if cut and not any(fault.kind == "power_cut" for fault in outcome.done):
        yield Violation(Kind.RECORDS, f"inputs were cut from {', '.join(cut)}, and no power was lost")


_NOT_PROJECTED = {"latency_ns", "amend", "created_ns"}


def _projected(
    outcome: Outcome, reader: SessionReader, database: Database, events: Sequence[AuditEvent]
) -> Iterator[Violation]:
    last_ns = max((int(batch["recv_ns"][-1]) for batch in reader.batches()), default=0)
    maker = RowMaker(reader.header.session, {i.number: i for i in reader.instruments})
    expected: dict[str, dict[tuple[object, ...], dict[str, object]]] = {}
    for event in events:
        table, row = maker.row(event)
        values = dict(zip(shape(table).columns, row, strict=True))
        expected.setdefault(table.__tablename__, {})[_key(table, values)] = values
    for table in (each for each in Base.__subclasses__() for each in (each, *each.__subclasses__())):
        name = getattr(table, "__tablename__", "")
        if name in ("", "sessions", "heartbeats", "instruments", "accounts", "balances"):
            continue
        stored = {_key(table, row): row for row in database.rows(name)}
        wanted = expected.get(name, {})
        yield from _differences(name, stored, wanted, last_ns if failed(outcome) else None)


def _key(table: type[Base], values: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple(
        bool(values[column.name]) if column.name == "ended" else values[column.name]
        for column in table.__table__.primary_key  # type: ignore[attr-defined]
    )


def _differences(
    name: str,
    stored: Mapping[Any, Mapping[str, Any]],
    wanted: Mapping[Any, Mapping[str, Any]],
    failed_ns: int | None,
) -> Iterator[Violation]:
    """``failed_ns``: from then on nothing could be recorded; what happened then is in the database alone."""
    extra = stored.keys() - wanted.keys() if name != "commands" else set()
    if extra := {key for key in extra if failed_ns is None or stored[key]["at_ns"] < failed_ns}:
        yield Violation(
            Kind.RECORDS, f"{len(extra)} rows of {name} that the recording does not cause: {min(extra)}"
        )
    if failed_ns is not None:
        return  # a run that could not record: its orders have failed, which no input says
    if lacking := wanted.keys() - stored.keys():
        yield Violation(
            Kind.RECORDS, f"{len(lacking)} rows of {name} are not in the database: {min(lacking)}"
        )
    for key in stored.keys() & wanted.keys():
        for column, value in wanted[key].items():
            if column in _NOT_PROJECTED or isinstance(value, dict | list):
                continue
            if stored[key][column] != value:
                text = f"{name} {key}: {column} is {stored[key][column]!r}, the recording gives {value!r}"
                yield Violation(Kind.RECORDS, text)
                return
