"""Bringing the execution log in line with a recorded session: the recording is the truth."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import structlog

from agent.app.replay_session import recorded_config, replay_session
from agent.core.errors import AgentError, SessionError
from agent.core.events import AuditEvent
from agent.core.json_types import int_in
from agent.core.orders.parent_order import TERMINAL
from agent.core.ports import LogEnd
from agent.core.secret_url import DatabaseUrl
from agent.core.types import ParentState
from agent.entry.hints import agent_command
from agent.summary import Summary
from storage.log.database import shown
from storage.log.execution_log import CLOSED, INTERRUPTED
from storage.log.stored_replay import BATCH_EVENTS, Stored, stored_run
from storage.recordings.session import SessionReader

log = structlog.get_logger("database")


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """Whether the database holds what was recorded; if not, why, and the command that brings it in line."""

    in_line: bool
    missing: int = 0  # events
    reason: str = ""
    command: str = ""

    def to_json(self) -> dict[str, object]:
        return asdict(self)


async def in_line(end: LogEnd, path: Path, url: DatabaseUrl | str) -> DatabaseState:
    """How the database stands after a run. What it lacks comes from the recording, if it can be reached."""
    reason = end.reason
    if end.reachable and end.missing:
        log.warning("database_is_brought_in_line", source=str(path))
        try:
            await asyncio.to_thread(bring_in_line, path, url)
        except AgentError as error:
            reason = str(error)
        else:
            end = replace(end, missing=0)
    if end.in_line:
        return DatabaseState(True)
    command = agent_command("sessions", "sync", path, "--db", shown(url))
    log.error("database_is_behind", reason=reason, missing=end.missing, command=command)
    return DatabaseState(False, end.missing, reason, command)


def bring_in_line(path: Path, url: DatabaseUrl | str) -> Stored:
    """Store every row of a recorded run that the database lacks, and its end. Doing it again changes nothing.

    Raises SessionError, before anything is written, when the session has not ended or does not replay to what
    was recorded; DatabaseError when the database cannot be used. Needs a thread without an event loop.
    """
    recorded = recorded_run(path)
    with stored_run(url, path, recorded.reader, recorded_config(recorded.reader)) as rows:
        for start in range(0, len(recorded.events), BATCH_EVENTS):
            rows.add(recorded.events[start : start + BATCH_EVENTS])
        return rows.finish(recorded.end_ns, recorded.last_seq, recorded.state)


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """What a recorded run causes: its events, and how its session ended."""

    reader: SessionReader
    events: Sequence[AuditEvent]
    end_ns: int
    last_seq: int
    state: str


def recorded_run(path: Path) -> RecordedRun:
    """A run's events, made of its recording. Raises SessionError as ``bring_in_line`` does."""
    reader = SessionReader(path)
    journal = reader.journal()
    ends = [int_in(entry, "recv_ns", 0) for entry in journal if entry["kind"] == "end"]
    if not ends:
        raise SessionError(
            f"session {path} has not ended: it is running, or its process died; wait for the run to end"
        )
    events: list[AuditEvent] = []
    done = replay_session(
        path, None, override=False, verify=False, speed=None, watch=events.extend, as_recorded=True
    )
    if not done.result.match:
        raise SessionError(
            f"session {path} does not replay to what was recorded, so nothing was stored:"
            f" {done.result.difference}; look at it with `{agent_command('sessions', 'inspect', path)}`"
        )
    events += _unanswered(done.summary, max(ends))
    return RecordedRun(reader, events, max(ends), _last_seq(journal), _state(journal))


def _unanswered(summary: Summary, end_ns: int) -> Sequence[AuditEvent]:
    """Orders whose venue had not answered when the session ended: they have failed, as the run said then."""
    last = [record.changed for record in summary.records.values()]
    reason = "the session ended before the venue had answered"
    return [
        replace(changed, at_ns=end_ns, ended_ns=end_ns, state=ParentState.FAILED, reason=reason)
        for changed in last
        if changed.state not in TERMINAL
    ]


def _last_seq(journal: Sequence[Mapping[str, object]]) -> int:
    return max((int_in(entry, "seq", 0) for entry in journal), default=0)


def _state(journal: Sequence[Mapping[str, object]]) -> str:
    """What the session's row says of its end."""
    return INTERRUPTED if any(entry.get("command_id") == "interrupt" for entry in journal) else CLOSED
