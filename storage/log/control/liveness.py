"""Which sessions live: told by their heartbeats, without trusting another computer's clock.

Theory of operation. A session is *live* while the counter of its heartbeat moves, *dead* when it is open and
the counter stands still, *closed* once it ended. One look at the database shows a counter and not whether it
moves, and an age made of two computers' clocks can be anything. So:

* a beat of this very computer, by a process that runs here, no older than ``FRESH_S``, proves it: live. The
  time is long, because a loaded computer or a locked database delays beats of a run that goes on trading;
* any other heartbeat is watched. If it moves, it is live; if it has stood still for ``WATCH_S``, dead. So one
  that was killed here is found dead at once, and another computer's clock decides nothing.

A resumed session's next heartbeat begins at 1 again, so any change of the counter is a move.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import RowMapping, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.log.control.heartbeat import BEAT_S
from storage.log.control.processes import runs_here, this_host
from storage.log.database import Url, check_there, database_errors, open_engine
from storage.log.queries import Result
from storage.log.tables import HeartbeatRow, SessionRow

FRESH_S = 15 * BEAT_S
WATCH_S = 4 * BEAT_S
_POLL_S = 0.1
_EVERY = 2**31
_NS = 1_000_000_000
OPEN = "open"

Now = Callable[[], int]
"""Nanoseconds of a clock that the caller hands over."""


class Life(StrEnum):
    LIVE = "live"
    DEAD = "dead"
    CLOSED = "closed"


class Seen(NamedTuple):
    """A session and its heartbeat as one look showed them; no heartbeat: it never beat."""

    session: str
    path: str
    stored: str  # its state as stored
    opened_ns: int
    host: str | None
    pid: int | None
    counter: int | None
    beat_ns: int | None

    @property
    def open(self) -> bool:
        return self.stored == OPEN

    def process_runs(self) -> bool:
        """Whether it is sure that its process runs on this computer."""
        if self.host != this_host() or self.pid is None or self.beat_ns is None:
            return False
        return runs_here(self.pid, self.beat_ns) is True


@dataclass(frozen=True, slots=True)
class Standing:
    """What a session was found to be. ``heartbeat_age_s`` is by this computer's clock."""

    seen: Seen
    life: Life
    heartbeat_age_s: float | None

    def to_json(self) -> dict[str, object]:
        return {
            "session": self.seen.session,
            "state": self.life.value,
            "heartbeat_age_s": self.heartbeat_age_s,
            "host": self.seen.host,
            "pid": self.seen.pid,
            "path": self.seen.path,
        }


@dataclass(slots=True)
class _Track:
    counter: int | None
    since_ns: int  # monotonic: when this counter was first seen
    moved: bool = False


@dataclass(slots=True)
class Watch:
    """Judges sessions from one look after another. ``wall_ns`` and ``monotonic_ns`` are this computer's."""

    wall_ns: Now
    monotonic_ns: Now
    _tracks: dict[str, _Track] = field(default_factory=dict)

    def judge(self, seen: Seen) -> Life | None:
        """What it is; None while that cannot be said yet."""
        if not seen.open:
            return Life.CLOSED
        now_ns = self.monotonic_ns()
        track = self._tracks.setdefault(seen.session, _Track(seen.counter, now_ns))
        if seen.counter != track.counter:
            track.counter, track.since_ns, track.moved = seen.counter, now_ns, True
        if self._proven(seen):
            return Life.LIVE
        if now_ns - track.since_ns >= WATCH_S * _NS:
            return Life.DEAD
        return Life.LIVE if track.moved else None

    def _proven(self, seen: Seen) -> bool:
        """A fresh beat of a process here, by the one clock that both read."""
        if seen.beat_ns is None or not 0 <= self.wall_ns() - seen.beat_ns < FRESH_S * _NS:
            return False
        return seen.process_runs()

    def age_s(self, seen: Seen) -> float | None:
        """Since its last beat. A clock that is behind the other's shows no negative age."""
        return None if seen.beat_ns is None else max(0.0, round((self.wall_ns() - seen.beat_ns) / _NS, 3))


def sessions_seen() -> Select[Any]:
    """Sessions with their heartbeats; replays are none."""
    beats = HeartbeatRow
    found: Any = (  # its columns differ from what a caller selects beside them
        select(
            SessionRow.session,
            SessionRow.path,
            SessionRow.state.label("stored"),
            SessionRow.opened_ns,
            beats.host,
            beats.pid,
            beats.counter,
            beats.beat_ns,
        )
        .join_from(SessionRow, beats, beats.session == SessionRow.session, isouter=True)
        .where(SessionRow.mode != "replay")
        .order_by(SessionRow.opened_ns)
    )
    statement: Select[Any] = found
    return statement


def seen_of(row: RowMapping) -> Seen:
    return Seen(*(row[name] for name in Seen._fields))


async def look(connection: AsyncConnection, statement: Select[Any]) -> list[Seen]:
    return [seen_of(row) for row in (await connection.execute(statement)).mappings()]


async def seen_now(url: Url, session: str) -> Seen | None:
    """A session and its heartbeat as they stand; None where the database knows none. Raises DatabaseError."""
    check_there(url)
    engine = open_engine(url, read_only=True)
    try:
        with database_errors(url):
            async with engine.connect() as connection:
                found = await look(connection, sessions_seen().where(SessionRow.session == session))
    finally:
        await engine.dispose()
    return found[0] if found else None


async def standings(url: Url, wall_ns: Now, monotonic_ns: Now, *, closed: int = 0) -> list[Standing]:
    """Every open session, judged, in order of opening, after the latest ``closed`` of those that ended.

    Takes up to ``WATCH_S`` where a heartbeat has to be watched. Raises DatabaseError.
    """
    check_there(url)
    engine = open_engine(url, read_only=True)
    watch = Watch(wall_ns, monotonic_ns)
    try:
        with database_errors(url):
            async with engine.connect() as connection:
                ended = sessions_seen().where(SessionRow.state != OPEN).order_by(None)
                latest = ended.order_by(SessionRow.opened_ns.desc()).limit(closed)
                before = (await look(connection, latest))[::-1] if closed else []
                judged = await _watched(connection, watch)
    finally:
        await engine.dispose()
    return [Standing(seen, life, watch.age_s(seen)) for seen, life in [*_closed(before), *judged]]


def with_lives(url: Url, sessions: Result, wall_ns: Now, monotonic_ns: Now) -> Result:
    """Rows of sessions with what their heartbeats say: ``state`` of an open one is live or dead."""
    every = asyncio.run(standings(url, wall_ns, monotonic_ns, closed=_EVERY))
    known = {each.seen.session: each for each in every}
    at, name_at = sessions.columns.index("state"), sessions.columns.index("session")
    rows = []
    for row in sessions.rows:
        found = known.get(str(row[name_at]))
        cells = list(row)
        if found is not None and found.life is not Life.CLOSED:
            cells[at] = found.life.value
        beat = (found.heartbeat_age_s, found.seen.host, found.seen.pid) if found else (None, None, None)
        rows.append((*cells, *beat))
    return Result([*sessions.columns, "heartbeat_age_s", "host", "pid"], rows)


def _closed(ended: Iterable[Seen]) -> list[tuple[Seen, Life]]:
    return [(seen, Life.CLOSED) for seen in ended]


async def _watched(connection: AsyncConnection, watch: Watch) -> list[tuple[Seen, Life]]:
    """Look until every open session is judged. Those that end meanwhile are left out: they are closed."""
    while True:
        seen = await look(connection, sessions_seen().where(SessionRow.state == OPEN))
        await connection.rollback()  # the next look sees what others write meanwhile
        judged = [(each, life) for each in seen if (life := watch.judge(each)) is not None]
        if len(judged) == len(seen):
            return judged
        await asyncio.sleep(_POLL_S)
