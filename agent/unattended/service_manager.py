"""systemd, told that a run is ready, that it lives, and what it does (sd_notify(3)). Else nothing is sent.

The watchdog is fed from the event loop: a loop that hangs is taken for what it is, and the unit is started
again. The protocol is a datagram of lines to the socket that NOTIFY_SOCKET names; a leading @ stands for
Linux' abstract namespace.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping

PARTS = 3
"""Beats within the time after which the watchdog barks."""


class ServiceManager:
    """Who started this process, as ``environment`` names it."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "").replace("@", "\0", 1)
        barks_after_us = environment.get("WATCHDOG_USEC", "")
        mine = environment.get("WATCHDOG_PID") in (None, str(os.getpid()))
        self._beat_s = int(barks_after_us) / 1e6 / PARTS if barks_after_us.isdigit() and mine else 0.0
        self._task: asyncio.Task[None] | None = None

    def ready(self, status: str) -> None:
        """The run has begun; the watchdog is fed from now on."""
        self._tell("READY=1", f"STATUS={status}")
        if self._address and self._beat_s and self._task is None:
            self._task = asyncio.create_task(self._beat(), name="watchdog")

    def status(self, text: str) -> None:
        self._tell(f"STATUS={text}")

    def stopping(self) -> None:
        self._tell("STOPPING=1")
        if self._task is not None:
            self._task.cancel()

    async def _beat(self) -> None:
        while True:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self._beat_s)

    def _tell(self, *lines: str) -> None:
        if self._address:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
                to.sendto("\n".join(lines).encode(), self._address)
