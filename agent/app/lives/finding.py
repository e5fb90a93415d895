"""Which session is meant by ``--resume``, and whether it is ours to take.

The recording's lock decides on one computer. Where several share a database and a disk, the session's
heartbeat in it is a lease besides: whoever goes on takes it over with one conditional write, and of two only
one does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from agent.config import Config
from agent.core.errors import DatabaseError, InputError, SessionError
from agent.core.secret_url import DatabaseUrl
from agent.journal import ENDING
from storage.log.control.lease import take_over
from storage.log.control.liveness import Life, Standing, seen_now, standings
from storage.log.database import shown
from storage.recordings.header_file import HEADER
from storage.recordings.lives.session_lock import SessionLock
from storage.recordings.session import SessionReader

log = structlog.get_logger("resume")
LAST = "last"
ANSWER_S = 5.0
"""Before an old session is deleted the log is given so long to say that it has all of it."""
Now = Callable[[], int]


def session_meant(which: str, config: Config, wall_ns: Now, monotonic_ns: Now) -> Path:
    """Where the session ``which`` (a path, a name, ``last``) was recorded. Raises InputError."""
    if which == LAST:
        found = resumable(config.out)
        if found is None:
            raise InputError(f"no session in {config.out} could be gone on with: each has ended, or runs")
        return found
    for path in (Path(which), config.out / which):
        if (path / HEADER).is_file():
            return path
    stored = _stored(which, config, wall_ns, monotonic_ns)
    if stored is not None and (Path(stored.seen.path) / HEADER).is_file():
        return Path(stored.seen.path)
    raise InputError(
        f"no session {which!r} in {config.out}, nor in the log: `python -m agent status` lists them"
    )


def resumable(folder: Path, *, latest_only: bool = False) -> Path | None:
    """The latest session in a folder that has orders, no end, and nobody who writes it.

    ``latest_only``: only if no other session of a run has been recorded since.
    """
    for path in sorted((p.parent for p in folder.glob(f"*/{HEADER}")), reverse=True):
        try:
            reader = SessionReader(path)
            kinds = {entry.get("kind") for entry in reader.journal()}
        except SessionError as error:
            log.warning("session_skipped", path=str(path), reason=str(error))
            continue
        if reader.header.source != "live":
            continue
        if "start" in kinds and reader.end_ns is None and not kinds & ENDING:
            if reader.cut_off and SessionLock(path).free():
                return path
            if not reader.cut_off:
                log.warning("session_skipped", path=str(path), reason="; ".join(reader.losses))
        if latest_only:
            return None
    return None


def ended_ns(path: Path) -> int | None:
    """When a live session ended; None for one that has not, that is in use, or is none of a run's."""
    try:
        reader = SessionReader(path)
        return reader.end_ns if reader.header.source == "live" and SessionLock(path).free() else None
    except SessionError:
        return None


def stored_to_its_end(path: Path, url: DatabaseUrl | str) -> bool:
    """Whether the log has an ended session with its end. One without orders has nothing to store.

    Raises SessionError; DatabaseError where the log does not answer within ``ANSWER_S``.
    """
    reader = SessionReader(path)
    if not any(entry.get("kind") == "start" for entry in reader.journal()):
        return True
    try:
        seen = asyncio.run(asyncio.wait_for(seen_now(url, reader.header.session), ANSWER_S))
    except TimeoutError:
        raise DatabaseError(f"database {shown(url)} has not answered for {ANSWER_S:g} s") from None
    return seen is not None and not seen.open


def claim(config: Config, session: str, wall_ns: Now, monotonic_ns: Now) -> bool:
    """Take over a session's heartbeat. Raises InputError where it lives, or another was quicker.

    False where the database does not answer: the recording's lock decides alone, until it does.
    """
    try:
        stored = _stored(session, config, wall_ns, monotonic_ns)
        if stored is None:
            return True
        refuse_living(stored)
        taken = asyncio.run(take_over(config.database, stored.seen, wall_ns()))
    except DatabaseError as error:
        log.warning(
            "database_does_not_answer", reason=str(error), meaning="the recording's lock decides alone"
        )
        return False
    if not taken:
        raise InputError(f"session {session} was taken by another process a moment ago: see `agent status`")
    return True


def _stored(session: str, config: Config, wall_ns: Now, monotonic_ns: Now) -> Standing | None:
    """How a session stands in the database; None where that knows none of this name."""
    every = asyncio.run(standings(config.database, wall_ns, monotonic_ns, closed=1000))
    return next((each for each in every if each.seen.session == session), None)


def refuse_living(stored: Standing) -> None:
    """Raises InputError for a session that lives, or whose process is still there."""
    seen = stored.seen
    where = f"on {seen.host}, process {seen.pid}"
    if stored.life is Life.LIVE:
        raise InputError(f"session {seen.session} is live ({where}): stop it with `python -m agent ctl kill`")
    if stored.life is Life.DEAD and seen.process_runs():
        raise InputError(
            f"session {seen.session} has no heartbeat, but its process is there ({where}): end that first"
        )
