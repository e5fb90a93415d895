"""Old recorded sessions, deleted once they ended long ago; never one that somebody may go on with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import structlog

log = structlog.get_logger("retention")
Ended = Callable[[Path], int | None]
"""When the session in a directory ended (ns UTC); None where it has not, or is in use, or is none."""


def delete_old(out: Path, ended_ns: Ended, before_ns: int, header: str) -> list[str]:
    """Delete the sessions of ``out`` that ended before a time. Returns their names.

    ``header`` is the file by which a session's directory is known: it goes first, so that one that is deleted
    by half is none. What cannot be deleted is said and left.
    """
    deleted = []
    for path in sorted(each.parent for each in out.glob(f"*/{header}")):
        at_ns = ended_ns(path)
        if at_ns is None or at_ns >= before_ns:
            continue
        try:
            (path / header).unlink()
            shutil.rmtree(path)
        except OSError as error:
            log.warning("session_not_deleted", path=str(path), reason=str(error))
        else:
            log.info("session_deleted", session=path.name)
            deleted.append(path.name)
    return deleted
