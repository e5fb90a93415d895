"""A replay in the execution log: the rows of a live run, under a session name of its own.

Rules kept here: the name is made of what was replayed and how, so the same replay again replaces its rows
and another order on the same tape stands beside them; until its last row is there, its session's state is
``replaying``, which no `status` shows and no `ctl` reaches.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from agent.config import Config
from agent.core.events import AuditEvent, Command
from agent.core.ports import SessionReader
from agent.journal import command_entry
from storage.log.database import Url, shown
from storage.log.execution_log import REPLAYING, SqlExecutionLog

MODE = "replay"
BATCH_EVENTS = 8192
"""Events of one transaction: long enough that its fixed cost is nothing, short enough for other writers."""

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


class StoredReplay:
    """Takes a replay's events as they come and writes them in transactions. A context manager.

    Needs a thread without an event loop. Any method may raise DatabaseError; what was written before it
    stays, marked ``replaying``, until the same replay is stored again.
    """

    def __init__(
        self,
        url: Url,
        path: Path,
        reader: SessionReader,
        config: Config,
        commands: Sequence[Command],
        fingerprint: Mapping[str, str],
    ) -> None:
        self.session = replay_name(reader.header.session, config, commands)
        self._url, self._path, self._config = url, path, config
        self._opened_ns = reader.header.created_ns
        self._instruments = list(reader.instruments)
        self._fingerprint = fingerprint
        self._log = SqlExecutionLog(url, self.session, self._instruments)
        self._waiting: list[AuditEvent] = []
        self._events = 0
        self._replaced = False

    def __enter__(self) -> StoredReplay:
        self._runner = asyncio.Runner()
        try:
            self._replaced = self._runner.run(self._open())
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

    async def _open(self) -> bool:
        return await self._log.open_session(
            opened_ns=self._opened_ns,
            path=str(self._path),
            mode=MODE,
            exchange=self._instruments[0].exchange if self._instruments else "",
            seed=self._config.seed,
            config=self._config.model_dump(mode="json"),
            fingerprint=self._fingerprint,
            balances=self._config.venue.balances,
            state=REPLAYING,
            replace=True,
        )

    def add(self, events: Sequence[AuditEvent]) -> None:
        """Take events; written once ``BATCH_EVENTS`` wait."""
        self._waiting.extend(events)
        if len(self._waiting) >= BATCH_EVENTS:
            self.flush()

    def flush(self) -> None:
        """Write what waits, in one transaction."""
        events, self._waiting = self._waiting, []
        self._runner.run(self._log.write(events))
        self._events += len(events)

    def finish(self, end_ns: int, seq: int) -> Stored:
        """Write the rest and mark the session closed."""
        self.flush()
        self._runner.run(self._log.close_session(closed_ns=end_ns, seq=seq))
        return Stored(shown(self._url), self.session, self._events, self._replaced)
