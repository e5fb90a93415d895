"""Going on with a session whose process died: which one it is, that it is ours, and then as any run."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from agent.app.live.run_views import LiveResult, PreparationView, View
from agent.app.live_session import prepare, run_paper
from agent.app.lives.finding import claim, session_meant
from agent.app.lives.former_session import FormerSession
from agent.app.world.garbage import collect_often
from agent.config import Config


class _Both(View, PreparationView, Protocol):
    """What shows how a run gets ready, and the run."""


def resume_session(which: str, now: Config, view: _Both) -> LiveResult:
    """Go on with the session ``which``; ``now`` says where things are and how the exchange is reached.

    Raises AgentError, and has changed nothing then unless the session had already gone on.
    """
    path = session_meant(which, now, time.time_ns, time.monotonic_ns)
    former = FormerSession.opened(path, now)
    try:
        prepare(former.config, view)
        collect_often()
        former.claimed = claim(former.config, former.name, time.time_ns, time.monotonic_ns)
        return asyncio.run(run_paper(former.config, view, view, former=former))
    finally:
        former.release(ended=False)
