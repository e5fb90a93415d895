"""Looks after a run that nobody looks at: alerts, its outgoing heartbeat, systemd, the disk, old sessions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from agent.config import Unattended
from agent.core.clock import Clock, in_utc
from agent.core.errors import OrderError
from agent.core.events import AuditEvent, Resumed
from agent.core.types import NS_PER_S
from agent.unattended.alert_rules import Alert, AlertKind, alerts_of
from agent.unattended.alerts import Alerts, services
from agent.unattended.disk_watch import DiskWatch
from agent.unattended.pings import Pings
from agent.unattended.retention import Ended, Stored, delete_old
from agent.unattended.service_manager import ServiceManager

log = structlog.get_logger("unattended")
LOOK_S = 30.0
"""Between two looks at the disk and the database."""
TIDY_NS = 3600 * NS_PER_S
"""Between two looks for sessions that are old enough to go."""
MB = 1_000_000


class Watchman:
    """Of one run, over all its sessions. ``begin`` with each session, ``stop`` at the end of the run."""

    def __init__(
        self,
        settings: Unattended,
        out: Path,
        title: str,
        ended_ns: Ended,
        stored: Stored,
        header: str,
        clock: Clock,
    ) -> None:
        """Raises InputError where alerts are to be sent and cannot be."""
        self._settings, self._out, self._ended_ns, self._header = settings, out, ended_ns, header
        self._stored, self._clock = stored, clock
        self._alerts = settings.alerts and Alerts(services(settings.alerts), title, settings.alert_on, clock)
        self._pings = settings.ping_url and Pings(settings.ping_url, settings.ping_every / NS_PER_S)
        self._manager = ServiceManager()
        self._disk = DiskWatch(out, settings.least_free_mb * MB)
        self._task: asyncio.Task[None] | None = None
        self._session: Path | None = None
        self._symbols: list[str] = []
        self._behind: Callable[[], str] = lambda: ""
        self._full = self._was_behind = ""

    def begin(self, session: Path, symbols: list[str], status: str, behind: Callable[[], str]) -> None:
        """A session has begun. ``behind``: why the database is behind it, or ""."""
        first = self._session is None
        self._session, self._symbols, self._behind = session, symbols, behind
        self._disk = DiskWatch(self._out, self._settings.least_free_mb * MB)
        self._manager.ready(status) if first else self._manager.status(status)
        if first:
            if self._pings:
                self._pings.start()
            self._task = asyncio.create_task(self._look_after(), name="watchman")

    def check_disk(self) -> None:
        """Raises OrderError while the disk is too full for another order."""
        if full := self._disk.full():
            raise OrderError(full)

    def events(self, events: Sequence[AuditEvent]) -> None:
        """What has happened: some of it somebody is told."""
        if self._alerts:
            for alert in alerts_of(events, self._symbols):
                self._alerts.tell(alert)

    def resumed(self, resumed: Resumed) -> None:
        """A session has gone on."""
        lost = f"from {in_utc(resumed.from_ns)} to {in_utc(resumed.to_ns)}"
        self._tell(
            AlertKind.RESUME, f"went on with {resumed.parents} orders: the agent was not running {lost}"
        )

    async def stop(self, *, well: bool) -> None:
        """The run is over; ``well``: as it should be."""
        self._manager.stopping()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._pings:
            await self._pings.stop(well=well)
        if self._alerts:
            await asyncio.to_thread(self._alerts.close)

    # --- the looks ------------------------------------------------------------------------------------

    async def _look_after(self) -> None:
        tidied_ns = -TIDY_NS
        while True:
            with contextlib.suppress(OSError):
                self._look_at_disk()
            self._look_at_database()
            now_ns, kept_ns = self._clock.now_ns(), self._settings.keep_sessions
            if kept_ns is not None and now_ns - tidied_ns >= TIDY_NS:
                tidied_ns, before_ns = now_ns, now_ns - kept_ns
                await asyncio.to_thread(
                    delete_old, self._out, self._ended_ns, self._stored, before_ns, self._header
                )
            await asyncio.sleep(LOOK_S)

    def _look_at_disk(self) -> None:
        full = self._disk.full()
        said = full if full and not self._full else ""
        self._full = full
        if self._session is not None and not said:
            said = self._disk.warning(self._session, self._clock.now_ns() / NS_PER_S)
        if said:
            log.warning("disk", meaning=said)
            self._tell(AlertKind.DISK, said)

    def _look_at_database(self) -> None:
        behind = self._behind()
        if behind and not self._was_behind:
            self._tell(AlertKind.LOG_BEHIND, f"the database is behind the recording: {behind}")
        self._was_behind = behind

    def _tell(self, kind: AlertKind, text: str) -> None:
        if self._alerts:
            self._alerts.tell(Alert(kind, "", text))
