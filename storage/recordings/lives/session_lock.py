"""Who writes a session: one process at a time, by a lock that the system takes back when that dies."""

from __future__ import annotations

import contextlib
from pathlib import Path

import structlog
from filelock import FileLock, Timeout

from agent.core.errors import SessionError

log = structlog.get_logger("session")
LOCK = "session.lock"
NO_LOCKS = (OSError, NotImplementedError)
"""What is raised where there are no locks: on some network file systems. There everybody may write."""


class SessionLock:
    """Of the session in the directory ``path``. Reading needs none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(path / LOCK, timeout=0, thread_local=False)

    def take(self) -> None:
        """Raises SessionError while another process has it."""
        try:
            self._lock.acquire()
        except Timeout:
            raise SessionError(
                f"session {self._path.name} is in the hands of another process, which runs or stands still:"
                " end that one first (`python -m agent status` names it)"
            ) from None
        except NO_LOCKS as error:
            log.warning("session_not_locked", path=str(self._path), reason=str(error))

    def free(self) -> bool:
        """Whether nobody has it just now."""
        try:
            with self._lock:
                return True
        except Timeout:
            return False
        except NO_LOCKS:
            return True

    def release(self, *, ended: bool) -> None:
        """Let it go. ``ended``: the session has its end, and nobody will want the lock again."""
        self._lock.release(force=True)
        if ended:
            with contextlib.suppress(OSError):
                (self._path / LOCK).unlink()
