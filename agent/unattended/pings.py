"""An outgoing heartbeat: a URL that is asked for while the run lives, so that its silence is noticed.

Made for services such as healthchecks.io: silence is the alarm. ``/fail`` is asked for when a run ends badly.
"""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import structlog

log = structlog.get_logger("ping")
TIMEOUT_S = 10.0


class Pings:
    """Asks for ``url`` every ``every_s``, from ``start`` until ``stop``. What goes wrong is said once."""

    def __init__(self, url: str, every_s: float) -> None:
        self._url, self._every_s = url, every_s
        self._task: asyncio.Task[None] | None = None
        self._failing = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="pings")

    async def stop(self, *, well: bool) -> None:
        """The run is over. Badly: that is told."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if not well:
            with contextlib.suppress(Exception):
                await self._ask(f"{self._url.rstrip('/')}/fail")

    async def _run(self) -> None:
        while True:
            try:
                await self._ask(self._url)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                if not self._failing:
                    log.warning("ping_failed", reason=f"{type(error).__name__}: {error}"[:200])
                self._failing = True
            else:
                self._failing = False
            await asyncio.sleep(self._every_s)

    async def _ask(self, url: str) -> None:
        limit = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with (
            aiohttp.ClientSession(timeout=limit, trust_env=True) as session,
            session.get(url) as answer,
        ):
            answer.raise_for_status()
