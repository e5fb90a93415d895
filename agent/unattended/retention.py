"""Old recorded sessions, deleted once they ended long ago; never one that somebody may go on with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import structlog

from agent.core.errors import AgentError

log = structlog.get_logger("retention")
Ended = Callable[[Path], int | None]
"""When the session in a directory ended (ns UTC); None where it has not, or is in use, or is none."""
Stored = Callable[[Path], bool]
"""Whether the log has all of the session in a directory. Raises AgentError where it does not say."""


def delete_old(out: Path, ended_ns: Ended, stored: Stored, before_ns: int, header: str) -> list[str]:
    """Delete the sessions of ``out`` that ended before a time and that the log has. Returns their names.

    ``header`` is the file by which a session's directory is known: it goes first, so that one that is deleted
    by half is none. What cannot be deleted is said and left; all of the rest, where the log does not answer.
    """
    deleted = []
    for path in sorted(each.parent for each in out.glob(f"*/{header}")):
        at_ns = ended_ns(path)
        if at_ns is None or at_ns >= before_ns:
            continue
        try:
            if not stored(path):
                continue
            (path / header).unlink()
            shutil.rmtree(path)
        except AgentError as error:
            log.warning("sessions_not_deleted", path=str(path), reason=str(error))
            break
        except OSError as error:
            log.warning("session_not_deleted", path=str(path), reason=str(error))
        else:
            log.info("session_deleted", session=path.name)
            deleted.append(path.name)
    return deleted
