"""What a live run shows while it gets ready and works, and what it comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from agent.app.log_in_line import DatabaseState
from agent.config import Config
from agent.core.events import AuditEvent, Resumed
from agent.core.instrument import Instrument
from agent.core.ports import FeedHealth
from agent.core.types import ParentState
from agent.jobs.listed_starts import NotStarted
from agent.summary import Summary

MOST_NAMED = 5
"""Symbols in a title."""


class PreparationView(Protocol):
    """What shows how a run gets ready."""

    def preparing(self, doing: str, done: int = 0, total: int = 0) -> None:
        """What is being done before the first event, how much of it is done, and how much there is."""
        ...

    def prepared(self) -> None:
        """What was being prepared is done."""
        ...


class Unwatched:
    """A preparation that nobody looks at."""

    def preparing(self, doing: str, done: int = 0, total: int = 0) -> None: ...

    def prepared(self) -> None: ...


class View(Protocol):
    """What shows a run (``agent.terminal``)."""

    def open(self, session: str, instruments: Sequence[Instrument], title: str) -> None:
        """A session begins."""
        ...

    def add(self, events: Sequence[AuditEvent]) -> None:
        """Something happened."""
        ...

    def health(self, health: FeedHealth) -> None:
        """The feed's counters."""
        ...


@dataclass(slots=True)
class LiveResult:
    """What a session came to."""

    session: str
    path: Path
    summary: Summary
    feed: FeedHealth
    events: int
    interrupted: bool
    rotated: bool
    database: DatabaseState
    killed: bool
    not_started: list[NotStarted]  # orders of the list
    resumed: Resumed | None = None  # where the session is one that went on

    def to_json(self) -> dict[str, object]:
        names = ("trades", "gaps", "backfilled", "lost", "stale_ns")
        return {
            "session": self.session,
            "path": str(self.path),
            "parents": self.summary.parents(),
            "feed": {**dict.fromkeys(names, 0), **self.feed.to_json()},
            "database": self.database.to_json(),
            **({"resumed": asdict(self.resumed)} if self.resumed else {}),
            **({"not_started": [n._asdict() for n in self.not_started]} if self.not_started else {}),
        }

    @property
    def succeeded(self) -> bool:
        completed = all(r.changed.state is ParentState.COMPLETED for r in self.summary.orders())
        return completed and not self.killed and not self.not_started


def title_of(config: Config, instruments: Sequence[Instrument], *, trade: bool) -> str:
    """One line that says what a session is: its mode, exchange, symbols and orders."""
    rehearsal = config.venue.rehearsal
    troubled = rehearsal.reject_ppm or rehearsal.timeout_ppm
    note = " (rehearsing rejects and timeouts: venue.rehearsal)" if troubled else ""
    if trade and config.schedules:
        names = ", ".join(schedule.name for schedule in config.schedules)
        note += f"; until Ctrl-C, for the clock starts orders (schedules: {names})"
    mode = "PAPER" if trade else "recording"
    listed = f": {len(config.orders)} orders" if trade and config.orders else ""
    symbols = [instrument.symbol for instrument in instruments]
    what = ", ".join(symbols) if len(symbols) <= MOST_NAMED else f"{len(symbols)} symbols"
    return f"{mode} {config.exchange} {what}{listed}{note}"
