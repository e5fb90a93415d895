"""Closes a session whose run died: in its recording, and in the database.

Rules kept here: one that lives, or whose process is still there, is refused; the recording is the truth, so
what it holds is replayed and held against its own results first; the end is written into the recording
before the database, so that ending it again finishes what was left half done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from agent.app.build import build_engine
from agent.app.lives.finding import refuse_living
from agent.app.replay_session import Replayed, policies_of, recorded_config, replay_session
from agent.core.canonical import TapeCheck, canonical_row, parted
from agent.core.errors import InputError, SessionError
from agent.core.events import AbandonParents, AuditEvent
from agent.core.json_types import int_in
from agent.core.secret_url import DatabaseUrl
from agent.journal import command_entry, commands, is_ending
from agent.replay import last_recorded_ns, replay_prefix
from agent.summary import ParentDocument
from storage.log.control.liveness import Life, Standing, standings
from storage.log.execution_log import SqlExecutionLog
from storage.log.stored_replay import BATCH_EVENTS
from storage.recordings.header_file import HEADER
from storage.recordings.lives.cut_recording import even_out
from storage.recordings.lives.session_lock import SessionLock
from storage.recordings.session import SessionReader, SessionWriter

log = structlog.get_logger("session")
DIED = "the run died"
LAST = "last"
Now = Callable[[], int]


@dataclass(frozen=True, slots=True)
class EndedSession:
    """A session that was closed, and its orders as ``run`` gives them."""

    session: str
    path: str
    parents: Sequence[ParentDocument]

    def to_json(self) -> dict[str, object]:
        return {"session": self.session, "path": self.path, "parents": list(self.parents)}


def end_session(url: DatabaseUrl | str, which: str, wall_ns: Now, monotonic_ns: Now) -> EndedSession:
    """Close the dead session ``which`` (a name, a path, or ``last``). Raises AgentError."""
    found = _dead(asyncio.run(standings(url, wall_ns, monotonic_ns, closed=1000)), which)
    path = _recording(found, which)
    lock = SessionLock(path)
    lock.take()
    try:
        done, events = closed_recording(path)
        reader = SessionReader(path)
        asyncio.run(_store(url, reader, events))
    finally:
        lock.release(ended=SessionReader(path).end_ns is not None)
    parents = done.summary.parents() if done else []
    return EndedSession(found.seen.session, str(path), parents)


def _dead(every: Sequence[Standing], which: str) -> Standing:
    """The session meant, if it is dead. Raises InputError."""
    dead = [each for each in every if each.life is Life.DEAD]
    name = dead[-1].seen.session if which == LAST and dead else Path(which).name
    found = next((each for each in every if each.seen.session == name), None)
    names = ", ".join(each.seen.session for each in dead) or "none"
    if found is None:
        raise InputError(f"no session {which!r} in the log that could be ended; dead ones: {names}")
    if found.life is Life.CLOSED:
        raise InputError(f"session {name} has ended already ({found.seen.stored}); dead ones: {names}")
    refuse_living(found)
    return found


def _recording(found: Standing, which: str) -> Path:
    """Where the session was recorded: as given, or as the run stored it."""
    given, stored = Path(which), Path(found.seen.path)
    path = given if (given / HEADER).is_file() else stored
    if not (path / HEADER).is_file():
        ran = f"; it ran on {found.seen.host}" if found.seen.host else ""
        raise InputError(
            f"session {found.seen.session} has no recording at {stored}{ran}: run this there, in the folder "
            "that the run was started in, or give the recording's path"
        )
    name = SessionReader(path).header.session
    if name != found.seen.session:
        raise InputError(f"{path} holds session {name}, not {found.seen.session}: give its own recording")
    return path


# --- the recording ---------------------------------------------------------------------------------


def closed_recording(path: Path) -> tuple[Replayed | None, list[AuditEvent]]:
    """Write the end into the recording if it has none; return what it holds: None where it has no order."""
    reader = SessionReader(path)
    if reader.end_ns is None and even_out(path):
        log.warning("recording_cut", path=str(path), meaning="a power cut had left its end uneven")
        reader = SessionReader(path)
    events: list[AuditEvent] = []
    ordered = bool(commands(reader.journal(), reader.instruments))
    done = _replayed(path, events, ordered=ordered)
    if ordered and reader.cut_off and not done.result.match and _recorded_what_was_missing(reader):
        events.clear()
        done = _replayed(path, events, ordered=True)
    _check_agrees(done, path)
    if not reader.cut_off:
        return done if ordered else None, events
    writer = SessionWriter.resume(path)
    if ordered and not is_ending(reader.journal()):
        abandon = AbandonParents(_last_ns(reader) + 1, _last_seq(reader) + 1, DIED)
        writer.journal(command_entry(abandon))
        events.clear()
        done = _replayed(path, events, ordered=True)
        _check_agrees(done, path)
    ended = SessionReader(path)
    writer.outcome(list(_missing(ended, events)))
    writer.close(_last_ns(ended))
    return done if ordered else None, events


def _recorded_what_was_missing(reader: SessionReader) -> bool:
    """Record results that the run had come to, and that its recording has lost: whether there were any."""
    if is_ending(reader.journal()):
        return False  # its results are judged with its end
    config, pending = recorded_config(reader), commands(reader.journal(), reader.instruments)
    policies = policies_of(reader, config, pending, [], compare=True)
    engine = build_engine(config, reader.instruments, policies)
    prefix = replay_prefix(reader, engine, pending, reader.outcome(), seen=lambda rows: None)
    if prefix.difference is not None or not prefix.unrecorded:
        return False
    writer = SessionWriter.resume(reader.path)
    writer.outcome(prefix.unrecorded)
    writer.abandon()
    return True


def _replayed(path: Path, events: list[AuditEvent], *, ordered: bool) -> Replayed:
    """The session replayed, its events collected; ``ordered``: it has orders, so fills are looked at too."""
    return replay_session(
        path,
        None,
        override=False,
        verify=ordered,
        speed=None,
        watch=events.extend,
        as_recorded=True,
    )


def _check_agrees(done: Replayed, path: Path) -> None:
    """Raises SessionError where a session is not as it was recorded."""
    if not done.result.match:
        raise SessionError(
            f"{path} does not replay to what was recorded ({done.result.difference}), so nothing was "
            "changed: end it with the version that recorded it"
        )


def _missing(reader: SessionReader, events: Sequence[AuditEvent]) -> Iterator[str]:
    """The results, and the checks of the tape, that the run had not recorded yet."""
    results, there = parted(reader.outcome())
    checks = TapeCheck()
    tape = [line for batch in reader.batches() for line in checks.add(batch)] + checks.finish()
    yield from [canonical_row(event) for event in events][len(results) :]
    yield from tape[len(there) :]


def _last_ns(reader: SessionReader) -> int:
    """The last moment that the recording knows of."""
    tape_ns = max((int(batch["recv_ns"][-1]) for batch in reader.batches()), default=0)
    inputs_ns = max((int_in(entry, "recv_ns", 0) for entry in reader.journal()), default=0)
    return max(tape_ns, inputs_ns, last_recorded_ns(reader.outcome()), reader.header.created_ns)


def _last_seq(reader: SessionReader) -> int:
    tape = max((int(batch["seq"][-1]) for batch in reader.batches()), default=0)
    return max(tape, max((int_in(entry, "seq", 0) for entry in reader.journal()), default=0))


# --- the database ----------------------------------------------------------------------------------


async def _store(url: DatabaseUrl | str, reader: SessionReader, events: Sequence[AuditEvent]) -> None:
    """Every row that the recording causes, written or written again, and the session closed."""
    log = SqlExecutionLog(url, reader.header.session, reader.instruments)
    try:
        await log.rewind(_last_seq(reader), _last_ns(reader))
        for start in range(0, len(events), BATCH_EVENTS):
            await log.write(events[start : start + BATCH_EVENTS])
        await log.withdraw_commands("withdrawn: the run had died")
        await log.close_session(closed_ns=_last_ns(reader), seq=_last_seq(reader))
    finally:
        await log.close()
