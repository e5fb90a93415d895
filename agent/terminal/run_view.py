"""A run while it happens, on a terminal in place or as plain lines. Views: they only fold events.

``now_ns`` is the clock a view shows time by; it is given, so that a replay can show its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from agent.core.events import AuditEvent, ChildChanged, DecisionTaken, ParentChanged, RiskRefused
from agent.core.instrument import Instrument
from agent.core.ports import FeedHealth
from agent.core.types import NS_PER_MS, NS_PER_S
from agent.summary import ParentRecord, Summary
from agent.terminal.order_words import (
    bps,
    decision_in_words,
    health_in_words,
    notice_in_words,
    price,
    seconds,
)
from agent.terminal.progress import average_price, filled_share, gain_so_far_bps, parent_frame, watching

NOTICES = 3
FINISHED_SHOWN = 1
REDRAW_NS = 200 * NS_PER_MS
PLAIN_EVERY_NS = 10 * NS_PER_S

Clock = Callable[[], int]


class _Folded:
    """What both views keep of a run: one record a parent, and what not to miss."""

    def __init__(self, now_ns: Clock) -> None:
        self.now_ns = now_ns
        self.summary = Summary(())
        self._noticed = ""

    def open(self, instruments: Sequence[Instrument]) -> None:
        self.summary = Summary(instruments)

    def parents(self) -> list[ParentRecord]:
        return [r for r in self.summary.records.values() if r.changed.spec.shadow_of is None]

    def is_shadow(self, parent_id: str) -> bool:
        record = self.summary.records.get(parent_id)
        return record is not None and record.changed.spec.shadow_of is not None

    def notice(self, event: AuditEvent) -> str:
        """The event in words where it must not be missed, once; a shadow's refusals are for the log."""
        if isinstance(event, RiskRefused | ChildChanged) and self.is_shadow(event.parent_id):
            return ""
        words = notice_in_words(event)
        if not words or words == self._noticed:
            return ""
        self._noticed = words
        return words


class PlainView:
    """Lines on stderr, for pipes, logs and cron: what happens, and every so often how far it is."""

    def __init__(
        self, console: Console, *, now_ns: Clock = time.time_ns, every_ns: int = PLAIN_EVERY_NS
    ) -> None:
        self._console, self._every_ns = console, every_ns
        self._folded = _Folded(now_ns)
        self._said_ns = now_ns()

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""

    def open(self, session: str, instruments: Sequence[Instrument], title: str) -> None:
        self._folded.open(instruments)
        self._say(f"session {session}: {title}")

    def add(self, events: Sequence[AuditEvent]) -> None:
        self._folded.summary.add(events)
        for event in events:
            line = self._line(event)
            if line:
                self._say(line)

    def health(self, health: FeedHealth) -> None:
        """Say how far each working parent is, and how the feed does, when it is time to."""
        if self._folded.now_ns() - self._said_ns < self._every_ns:
            return
        self._said_ns = self._folded.now_ns()
        for record in self._folded.parents():
            if record.changed.ended_ns is None:
                self._say(self._progress(record))
            elif waiting := watching(record.changed, self._said_ns):
                self._say(f"{record.changed.spec.parent_id} {waiting}")
        self._say(f"feed: {health_in_words(health)}")

    def _progress(self, record: ParentRecord) -> str:
        changed = record.changed
        instrument = self._folded.summary.instruments[changed.spec.instrument]
        since_ns = self._folded.now_ns() - (changed.started_ns or changed.submitted_ns)
        words = f"{changed.spec.parent_id} {changed.state.value}, {filled_share(changed):.0%} filled"
        average, gain = average_price(changed, instrument), gain_so_far_bps(record, instrument)
        if average is not None:
            words += f" at {price(average, instrument)}"
        if gain is not None:
            words += f", {bps(gain)} bps against {changed.spec.benchmark.value} so far"
        return f"{words}, {seconds(max(0, since_ns))} in"

    def _line(self, event: AuditEvent) -> str:
        if isinstance(event, ParentChanged) and event.reason and event.spec.shadow_of is None:
            return f"{event.spec.parent_id} {event.state.value}: {event.reason}"
        if isinstance(event, DecisionTaken) and not self._folded.is_shadow(event.parent_id):
            return f"{event.decision_id} {decision_in_words(event)}"
        return self._folded.notice(event)

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


class LiveView:
    """The same on a terminal, drawn in place; it leaves the screen to the closing summary."""

    def __init__(self, console: Console, *, now_ns: Clock = time.time_ns) -> None:
        self._folded = _Folded(now_ns)
        self._live = Live(console=console, refresh_per_second=5, transient=True)
        self._notices: list[str] = []
        self._health = FeedHealth()
        self._title = ""
        self._drawn_ns = 0

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def open(self, session: str, instruments: Sequence[Instrument], title: str) -> None:
        self._folded.open(instruments)
        self._title = f"{title}   session {session}"
        self._draw()

    def add(self, events: Sequence[AuditEvent]) -> None:
        """Fold ``events``. Drawing waits its turn: a busy market must not pay for each fill's picture."""
        self._folded.summary.add(events)
        self._notices += filter(None, map(self._folded.notice, events))
        del self._notices[:-NOTICES]
        if self._folded.now_ns() - self._drawn_ns >= REDRAW_NS:
            self._draw()

    def health(self, health: FeedHealth) -> None:
        self._health = health
        self._draw()

    def frame(self) -> RenderableType:
        """What the screen shows now: working parents, else the last that worked."""
        parents = self._folded.parents()
        working = [r for r in parents if r.changed.ended_ns is None] or parents[-FINISHED_SHOWN:]
        parts: list[RenderableType] = [Text(self._title, "bold")]
        if not parents:
            parts.append(Text("warming up; the order starts with the first whole order book", "dim"))
        parts += [parent_frame(r, self._folded.summary, self._folded.now_ns()) for r in working]
        parts += [Text(notice, "yellow") for notice in self._notices]
        silent = bool(self._health.stale_now)
        parts.append(Text(f"feed: {health_in_words(self._health)}", "bold red" if silent else "dim"))
        return Group(*parts)

    def _draw(self) -> None:
        self._drawn_ns = self._folded.now_ns()
        self._live.update(self.frame())
