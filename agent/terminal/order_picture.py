"""One working parent as a picture: how far, at what price, decided why. Pure: records in, rich out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agent.core.events import DecisionTaken
from agent.core.instrument import Instrument
from agent.core.types import ParentState
from agent.parent_record import SHOWN, ParentRecord
from agent.summary import Summary
from agent.terminal.formatting import UNKNOWN, bps, price
from agent.terminal.order_sentences import (
    feature_list,
    filled_phrase,
    interval_phrase,
    order_in_words,
    reason_of,
    turning_clause,
    waiting_in_words,
)

BAR_CELLS = 40

STATE_COLOURS = {
    ParentState.COMPLETED: "green",
    ParentState.PAUSED: "yellow",
    ParentState.EXPIRED: "red",
    ParentState.CANCELLED: "red",
    ParentState.FAILED: "red",
}


def parent_frame(record: ParentRecord, summary: Summary, now_ns: int) -> RenderableType:
    """Everything worth watching of one parent at ``now_ns``."""
    spec = record.changed.spec
    instrument = summary.instruments[spec.instrument]
    title = Text.assemble((spec.parent_id, "bold"), f"  by {spec.algo}, {spec.tactic}")
    waiting = waiting_in_words(record.changed, now_ns)
    return Group(
        title,
        Text(order_in_words(spec, summary.instruments)),
        _bars(record, summary.shadows_of(spec.parent_id), instrument, now_ns),
        _prices(record, instrument),
        _decisions(record.decisions[-SHOWN:]),
        *([Text(waiting, "dim")] if waiting else []),
    )


def bar(share: float, mark: float, cells: int = BAR_CELLS) -> Text:
    """``share`` of ``cells`` drawn full, with a mark where ``mark`` of them would end."""
    full = round(max(0.0, min(1.0, share)) * cells)
    at = min(cells - 1, int(max(0.0, min(1.0, mark)) * cells))
    text = Text("━" * full + "─" * (cells - full))
    text.stylize("cyan", 0, full)
    text.stylize("dim", full)
    marked = Text.assemble(text[:at], ("┃", "yellow"), text[at + 1 :])
    marked.no_wrap = True
    return marked


def _bars(
    record: ParentRecord, shadows: Mapping[str, ParentRecord], instrument: Instrument, now_ns: int
) -> Table:
    """Time with the earliest end marked; each algo's fills with an even pace marked."""
    spec, share = record.changed.spec, record.elapsed_share(now_ns)
    table = Table.grid(padding=(0, 1))
    earliest = spec.min_intervals / spec.max_intervals
    table.add_row("time", bar(share, earliest), Text(interval_phrase(spec, share), "dim"))
    for name, r in ((spec.algo, record), *((f"~{algo}", s) for algo, s in shadows.items())):
        table.add_row(name, bar(r.filled_share, r.elapsed_share(now_ns)), _filled(r, instrument))
    table.add_row("", Text("┃ the earliest end; on fills, an even pace", "dim"), "")
    return table


def _filled(record: ParentRecord, instrument: Instrument) -> Text:
    share, state, price_at = filled_phrase(record, instrument)
    return Text.assemble(share, (state, STATE_COLOURS.get(record.changed.state, "")), price_at)


def _prices(record: ParentRecord, instrument: Instrument) -> Text:
    changed = record.changed
    arrival = changed.arrival_mid_half_ticks
    last = record.decisions[-1] if record.decisions else None
    gain = record.gain_so_far_bps(instrument)
    facts = (
        ("arrival", price(None if arrival is None else arrival / 2 * float(instrument.tick), instrument)),
        ("average", price(record.average_price(instrument), instrument)),
        (
            f"{changed.spec.benchmark.value} so far",
            price(last.view.benchmark_price if last else None, instrument),
        ),
        ("last mid", price(last.market_mid if last else None, instrument)),
    )
    line = Text("   ").join(Text.assemble((f"{name} ", "dim"), value) for name, value in facts)
    if gain is not None:
        line.append(f"   {bps(gain)} bps", "green" if gain >= 0 else "red")
    return line


def _decisions(decisions: Sequence[DecisionTaken]) -> Table:
    """One line each: the interval, what was done, the wish to finish, and why."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim", expand=True)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("trade", justify="right", no_wrap=True, min_width=6)
    table.add_column("finish", justify="right", no_wrap=True, min_width=6)
    table.add_column("why", ratio=1, no_wrap=True, overflow="ellipsis")
    for d in decisions:
        done = Text("finish", "green") if d.finishing else Text(f"{d.slice_share:.1%}")
        chance = UNKNOWN if d.finish_probability is None else f"{d.finish_probability:.0%}"
        late = Text("LATE ", "bold red") if d.overrun else Text()
        reason = Text.assemble(late, reason_of(d), turning_clause(d), (feature_list(d.importances), "dim"))
        table.add_row(str(d.interval), done, chance, reason)
    return table
