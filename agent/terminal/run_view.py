"""A run while it happens, on a terminal in place or as plain lines. Views: they only fold events.

``now_ns`` is the clock a view shows time by; it is given, so that a replay can show its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from agent.core.events import AuditEvent, ChildChanged, DecisionTaken, GapSeen, ParentChanged, RiskRefused
from agent.core.instrument import Instrument
from agent.core.ports import FeedHealth
from agent.core.types import NS_PER_MS, NS_PER_S
from agent.parent_record import ParentRecord
from agent.summary import Summary
from agent.terminal.feed_sentences import gap_in_words, health_in_words
from agent.terminal.many_orders import are_many, progress_lines
from agent.terminal.order_picture import parent_frame
from agent.terminal.order_sentences import (
    decision_in_words,
    notice_in_words,
    progress_in_words,
    state_in_words,
    waiting_in_words,
)
from agent.terminal.preparation import PreparationBar, PreparationLines

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

    @property
    def many(self) -> bool:
        """Whether there are more orders than can be followed one by one."""
        return are_many(self.summary)

    def is_shadow(self, parent_id: str) -> bool:
        record = self.summary.records.get(parent_id)
        return record is not None and record.is_shadow

    def notice(self, event: AuditEvent) -> str:
        """A sentence on what must not be missed, once; a shadow's refusals are for the log."""
        if isinstance(event, RiskRefused | ChildChanged) and self.is_shadow(event.parent_id):
            return ""
        sentence = gap_in_words(event) if isinstance(event, GapSeen) else notice_in_words(event)
        if not sentence or sentence == self._noticed:
            return ""
        self._noticed = sentence
        return sentence


class PlainView:
    """Lines for pipes, logs and cron: what happens, and every so often how far it is."""

    def __init__(
        self, write: Callable[[str], None], *, now_ns: Clock, every_ns: int = PLAIN_EVERY_NS
    ) -> None:
        self._print, self._every_ns = write, every_ns
        self._folded = _Folded(now_ns)
        self._printed_ns = now_ns()
        self._preparation = PreparationLines(self._print, now_ns)

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, *_: object) -> None:
        self._preparation.end()

    def preparing(self, doing: str, done: int = 0, total: int = 0) -> None:
        """What is being done before the first event, how much of it is done, and how much there is."""
        self._preparation.show(doing, done, total)

    def prepared(self) -> None:
        """What was being prepared is done."""
        self._preparation.end()

    def open(self, session: str, instruments: Sequence[Instrument], title: str) -> None:
        self._folded.open(instruments)
        self._print(f"session {session}: {title}")

    def add(self, events: Sequence[AuditEvent]) -> None:
        self._preparation.end()
        self._folded.summary.add(events)
        for event in events:
            line = self._line(event)
            if line:
                self._print(line)

    def health(self, health: FeedHealth) -> None:
        """Print how far each working parent is, and how the feed does, every so often."""
        if self._folded.now_ns() - self._printed_ns < self._every_ns:
            return
        self._printed_ns = self._folded.now_ns()
        if self._folded.many:
            for line in progress_lines(self._folded.summary, self._printed_ns):
                self._print(line)
        for record in () if self._folded.many else self._folded.summary.orders():
            if record.changed.ended_ns is None:
                self._print(self._progress(record))
            elif waiting := waiting_in_words(record.changed, self._printed_ns):
                self._print(f"{record.changed.spec.parent_id} {waiting}")
        self._print(f"feed: {health_in_words(health)}")

    def _progress(self, record: ParentRecord) -> str:
        instrument = self._folded.summary.instruments[record.changed.spec.instrument]
        return progress_in_words(record, instrument, self._folded.now_ns())

    def _line(self, event: AuditEvent) -> str:
        if isinstance(event, ParentChanged) and event.reason and event.spec.shadow_of is None:
            return state_in_words(event)
        if isinstance(event, DecisionTaken):
            if self._folded.many or self._folded.is_shadow(event.parent_id):
                return ""
            return f"{event.decision_id} {decision_in_words(event)}"
        return self._folded.notice(event)


class LiveView:
    """The same on a terminal, drawn in place; it leaves the screen to the closing summary."""

    def __init__(self, console: Console, *, now_ns: Clock) -> None:
        self._folded = _Folded(now_ns)
        self._live = Live(console=console, refresh_per_second=5, transient=True)
        self._notices: list[str] = []
        self._health = FeedHealth()
        self._title = ""
        self._drawn_ns = 0
        self._preparation = PreparationBar()
        self._preparing = False

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def preparing(self, doing: str, done: int = 0, total: int = 0) -> None:
        """What is being done before the first event, how much of it is done, and how much there is."""
        self._preparation.show(doing, done, total)
        self._preparing = True
        self._draw()

    def prepared(self) -> None:
        """What was being prepared is done."""
        self._preparing = False
        self._draw()

    def open(self, session: str, instruments: Sequence[Instrument], title: str) -> None:
        self._folded.open(instruments)
        self._title = f"{title}   session {session}"
        self._draw()

    def add(self, events: Sequence[AuditEvent]) -> None:
        """Fold ``events``. Redraw only every so often: a busy market has many fills a second."""
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
        parents = self._folded.summary.orders()
        working = [r for r in parents if r.changed.ended_ns is None] or parents[-FINISHED_SHOWN:]
        lines: list[RenderableType] = [Text(self._title, "bold")] if self._title else []
        if self._preparing:
            lines.append(self._preparation.bar)
        if self._folded.many:
            lines += [Text(line) for line in progress_lines(self._folded.summary, self._folded.now_ns())]
        else:
            lines += [parent_frame(r, self._folded.summary, self._folded.now_ns()) for r in working]
        lines += [Text(notice, "yellow") for notice in self._notices]
        if self._title:
            silent = bool(self._health.stale_now)
            lines.append(Text(f"feed: {health_in_words(self._health)}", "bold red" if silent else "dim"))
        return Group(*lines)

    def _draw(self) -> None:
        self._drawn_ns = self._folded.now_ns()
        self._live.update(self.frame())
