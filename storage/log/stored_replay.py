"""A recorded session in the execution log: a replay under a name of its own, or the run's own rows.

Rules kept here: a replay's name is made of what was replayed and how, so the same replay again replaces its
rows and another order on the same tape stands beside them; until its last row is there, its session's state
is ``replaying``, which no `status` shows and no `ctl` reaches. A run's own rows are never replaced: what is
missing of them is added.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import orjson

from agent.config import Config
from agent.core.events import AuditEvent, Command
from agent.core.instrument import Instrument
from agent.core.ports import SessionReader
from agent.journal import command_entry
from storage.log.database import Url, parse_url, shown
from storage.log.execution_log import CLOSED, REPLAYING, SqlExecutionLog

MODE = "replay"
BATCH_EVENTS = 8192
"""Events of one transaction: long enough that its fixed cost is nothing, short enough for other writers."""
SERVER_EVENTS = 32_768
"""On PostgreSQL, where other writers do not wait; the server does, while the first rows of each are made."""

_CONFIG = {"venue", "bars", "risk", "tactics", "engine", "model", "seed"}  # what a result hangs on


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a replay lies: ``database`` (password hidden), the session's name there, events written."""

    database: str
    session: str
    events: int
    replaced: bool

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def replay_name(session: str, config: Config, commands: Iterable[Command]) -> str:
    """``SESSION@replay-XXXXXXXX``: the same for the same orders at the same moments and configuration."""
    inputs = [command_entry(c) for c in commands]
    used = {"config": config.model_dump(mode="json", include=_CONFIG), "inputs": inputs}
    text = orjson.dumps(used, option=orjson.OPT_SORT_KEYS, default=str)
    return f"{session}@{MODE}-{hashlib.sha256(text).hexdigest()[:8]}"


class StoredEvents:
    """Takes a session's events as they come and writes them in transactions. A context manager.

    Needs a thread without an event loop. Any method may raise DatabaseError; what was written before it
    stays, marked as ``opening["state"]`` says, until the same is stored again.
    """

    def __init__(
        self, url: Url, session: str, instruments: Sequence[Instrument], opening: Mapping[str, Any]
    ) -> None:
        """``opening`` is what ``SqlExecutionLog.open_session`` takes."""
        self.session = session
        self._url, self._opening = url, opening
        self._log = SqlExecutionLog(url, session, instruments)
        self._batch = BATCH_EVENTS if parse_url(url).get_backend_name() == "sqlite" else SERVER_EVENTS
        self._waiting: list[AuditEvent] = []
        self._events = 0
        self._replaced = False

    def __enter__(self) -> Self:
        self._runner = asyncio.Runner()
        try:
            self._replaced = self._runner.run(self._log.open_session(**self._opening))
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self._close()

    def _close(self) -> None:
        try:
            self._runner.run(self._log.close())
        finally:
            self._runner.close()

    def add(self, events: Sequence[AuditEvent]) -> None:
        """Take events; written once enough for a transaction wait."""
        self._waiting.extend(events)
        if len(self._waiting) >= self._batch:
            self.flush()

    def flush(self) -> None:
        """Write what waits, in one transaction. Only ``finish`` makes it outlast a crash of the server."""
        events, self._waiting = self._waiting, []
        self._runner.run(self._log.write(events, synced=False))
        self._events += len(events)

    def finish(self, end_ns: int, seq: int, state: str = CLOSED) -> Stored:
        """Write the rest and mark the session as ended."""
        self.flush()
        self._runner.run(self._log.close_session(closed_ns=end_ns, seq=seq, state=state))
        return Stored(shown(self._url), self.session, self._events, self._replaced)


def stored_replay(
    url: Url,
    path: Path,
    reader: SessionReader,
    config: Config,
    commands: Sequence[Command],
    fingerprint: Mapping[str, str],
) -> StoredEvents:
    """A replay's rows, beside those of the run: ``replaying`` until the last of them is there."""
    name = replay_name(reader.header.session, config, commands)
    opening = opening_of(reader, path, MODE, config, fingerprint)
    return StoredEvents(url, name, reader.instruments, {**opening, "state": REPLAYING, "replace": True})


def stored_run(url: Url, path: Path, reader: SessionReader, config: Config) -> StoredEvents:
    """A run's own rows, made of its recording: those that are there stay, missing ones are added."""
    opening = opening_of(reader, path, "paper", config, reader.header.fingerprint)
    return StoredEvents(url, reader.header.session, reader.instruments, opening)


def opening_of(
    reader: SessionReader, path: Path, mode: str, config: Config, fingerprint: Mapping[str, object]
) -> dict[str, Any]:
    """The head of a recorded session, as ``SqlExecutionLog.open_session`` takes it."""
    return {
        "opened_ns": reader.header.created_ns,
        "path": str(path),
        "mode": mode,
        "exchange": reader.instruments[0].exchange if reader.instruments else "",
        "seed": config.seed,
        "config": config.model_dump(mode="json"),
        "fingerprint": fingerprint,
        "balances": config.venue.balances,
    }
