"""A session that goes on in this process, and the lease that says so to others."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from agent.app.lives.former_session import FormerSession
from agent.core.errors import DatabaseError, SessionError
from storage.log.control.heartbeat import Heartbeat


@dataclass(frozen=True, slots=True)
class Going:
    """A session that goes on: what there was of it, and its lease, which beats from the beginning."""

    former: FormerSession
    heartbeat: Heartbeat

    async def check_lease(self) -> None:
        """Raises SessionError where another process has taken the session meanwhile; asks the database."""
        with contextlib.suppress(DatabaseError):
            await self.heartbeat.beat()
        refuse_taken(self.heartbeat, self.former.name)


def refuse_taken(heartbeat: Heartbeat | None, session: str) -> None:
    """Raises SessionError where another process goes on with the session."""
    if heartbeat is not None and heartbeat.taken:
        raise SessionError(
            f"session {session} was taken by another process while this one stood still: it stops here,"
            " and has written nothing since it noticed"
        )
