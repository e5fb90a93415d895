"""A run while it happens: schedule against filled, price against benchmark, decisions, feed health."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agent.core.events import AuditEvent, CommandHandled, DecisionTaken, GapSeen, ParentChanged, RiskRefused
from agent.core.instrument import Instrument
from agent.core.types import BenchmarkKind
from agent.summary import ParentRecord, Summary
from agent.terminal.words import decision_in_words, health_in_words, order_in_words

DECISIONS = 5


class PlainView:
    """One line for what matters, on stderr: for pipes, logs and cron."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._instruments: Sequence[Instrument] = ()

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""

    def open(self, session: str, instruments: Sequence[Instrument], title: str) -> None:
        self._instruments = instruments
        self._console.print(f"session {session}: {title}", highlight=False)

    def add(self, events: Sequence[AuditEvent]) -> None:
        for event in events:
            line = self._line(event)
            if line:
                self._console.print(line, highlight=False, soft_wrap=True)

    def health(self, counters: Mapping[str, Any]) -> None:
        """A plain log says nothing while all is well; gaps and silences are events."""

    def _line(self, event: AuditEvent) -> str:
        if isinstance(event, ParentChanged) and event.reason and event.spec.shadow_of is None:
            return f"{event.spec.parent_id} {event.state.value}: {event.reason}"
        if isinstance(event, DecisionTaken) and "~" not in event.parent_id:
            return f"{event.decision_id} {decision_in_words(event)}"
        if isinstance(event, RiskRefused):
            return f"{event.parent_id} refused by {event.rule}: {event.reason}"
        if isinstance(event, GapSeen):
            return f"{event.stream} gap {'ended' if event.ended else 'began'}, {event.lost} lost"
        if isinstance(event, CommandHandled):
            return f"{event.kind.value} {event.parent_id or 'all'}: {event.outcome}"
        return ""


class LiveView:
    """The same on a terminal, drawn in place. ``title`` names exchange and market."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=5, transient=True)
        self._summary = Summary(())
        self._notes: list[str] = []
        self._health: Mapping[str, Any] = {}
        self._title = ""

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def open(self, session: str, instruments: Sequence[Instrument], title: str) -> None:
        self._summary, self._title = Summary(instruments), f"{title}   session {session}"
        self._draw()

    def add(self, events: Sequence[AuditEvent]) -> None:
        self._summary.add(events)
        for event in events:
            if isinstance(event, RiskRefused | GapSeen | CommandHandled):
                self._notes.append(PlainView(self._console)._line(event))
        self._draw()

    def health(self, counters: Mapping[str, Any]) -> None:
        self._health = counters
        self._draw()

    def _draw(self) -> None:
        parts: list[RenderableType] = [Text(self._title, "bold")]
        records = list(self._summary.records.values())
        parts += [self._parent(r) for r in records if r.changed.spec.shadow_of is None]
        parts += [Text(note, "yellow") for note in self._notes[-3:]]
        parts.append(Text(f"feed: {health_in_words(self._health)}", "dim"))
        self._live.update(Group(*parts))

    def _parent(self, record: ParentRecord) -> RenderableType:
        spec = record.changed.spec
        shadows = self._summary.shadows_of(spec.parent_id)
        return Group(
            Text(order_in_words(spec, self._summary.instruments)),
            _progress(record, shadows),
            _prices(record, self._summary.instruments[spec.instrument]),
            *[
                Text(f"  {d.interval:>3}  {decision_in_words(d)}", overflow="ellipsis", no_wrap=True)
                for d in record.decisions[-DECISIONS:]
            ],
        )


def _progress(record: ParentRecord, shadows: Mapping[str, ParentRecord]) -> Table:
    spec, changed = record.changed.spec, record.changed
    table = Table.grid(padding=(0, 1))
    elapsed_ns = (
        0 if changed.started_ns is None else (changed.ended_ns or time.time_ns()) - changed.started_ns
    )
    share = max(0.0, min(1.0, elapsed_ns / spec.max_duration_ns))
    least = spec.min_duration_ns / spec.max_duration_ns
    table.add_row("time", ProgressBar(1.0, share, width=40), f"{share:4.0%}, may finish from {least:.0%}")
    for name, r in ((spec.algo, record), *((f"~{algo}", s) for algo, s in shadows.items())):
        filled = _filled(r)
        table.add_row(name, ProgressBar(1.0, filled, width=40), f"{filled:4.0%} {r.changed.state.value}")
    return table


def _filled(record: ParentRecord) -> float:
    spec, changed = record.changed.spec, record.changed
    done = changed.filled_lots if spec.target_kind == "quantity" else changed.filled_tl
    return done / spec.target


def _prices(record: ParentRecord, instrument: Instrument) -> Text:
    changed, tick = record.changed, float(instrument.tick)
    parts = []
    if changed.arrival_mid_half_ticks:
        parts.append(f"arrival {changed.arrival_mid_half_ticks / 2 * tick:.8g}")
    if changed.filled_lots:
        parts.append(f"average {changed.filled_tl / changed.filled_lots * tick:.8g}")
    if record.decisions:
        view, mid = record.decisions[-1].view, record.decisions[-1].market_mid
        name = "vwap" if changed.spec.benchmark is BenchmarkKind.VWAP else "twap"
        parts.append(f"running {name} {view.benchmark_price:.8g}")
        parts.append(f"mid {mid:.8g}")
    return Text("   ".join(parts))
