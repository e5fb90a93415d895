"""One working parent as a picture: how far, at what price, decided why. Pure: records in, rich out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agent.core.events import DecisionTaken, ParentChanged
from agent.core.instrument import Instrument
from agent.core.types import BenchmarkKind, ParentState, TargetKind
from agent.summary import ParentRecord, Summary
from agent.terminal.order_words import (
    UNKNOWN,
    bps,
    known,
    main_features,
    order_in_words,
    price,
    seconds,
    turn,
    why,
)

BAR_CELLS = 40
DECISIONS = 5
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
    title = Text.assemble((spec.parent_id, "bold"), f"  by {spec.algo}, {spec.tactic.value}")
    return Group(
        title,
        Text(order_in_words(spec, summary.instruments)),
        _bars(record, summary.shadows_of(spec.parent_id), instrument, now_ns),
        _prices(record, instrument),
        _decisions(record.decisions[-DECISIONS:]),
        *([Text(waiting, "dim")] if (waiting := watching(record.changed, now_ns)) else []),
    )


def watching(changed: ParentChanged, now_ns: int) -> str:
    """What a finished order is still waited for: the rest of the window its full gain is measured on."""
    if changed.ended_ns is None or changed.started_ns is None:
        return ""
    left_ns = changed.started_ns + changed.spec.max_duration_ns - now_ns
    if left_ns <= 0:
        return ""
    return f"done; the market is watched for {seconds(left_ns)} more, to measure the full gain"


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


def elapsed_share(changed: ParentChanged, now_ns: int) -> float:
    """How much of the longest allowed duration has passed, in [0, 1]."""
    if changed.started_ns is None:
        return 0.0
    until_ns = now_ns if changed.ended_ns is None else changed.ended_ns
    return max(0.0, min(1.0, (until_ns - changed.started_ns) / changed.spec.max_duration_ns))


def filled_share(changed: ParentChanged) -> float:
    spec = changed.spec
    done = changed.filled_lots if spec.target_kind is TargetKind.QUANTITY else changed.filled_tl
    return done / spec.target


def average_price(changed: ParentChanged, instrument: Instrument) -> float | None:
    if not changed.filled_lots:
        return None
    return float(instrument.average_ticks(changed.filled_tl, changed.filled_lots)) * float(instrument.tick)


def gain_so_far_bps(record: ParentRecord, instrument: Instrument) -> float | None:
    """The average against the benchmark as it ran at the last decision; positive is good."""
    average = average_price(record.changed, instrument)
    running = record.decisions[-1].view.benchmark_price if record.decisions else None
    if average is None or not known(running):
        return None
    return -int(record.changed.spec.side) * (average / running - 1) * 1e4


def _bars(
    record: ParentRecord, shadows: Mapping[str, ParentRecord], instrument: Instrument, now_ns: int
) -> Table:
    """Time with the earliest end marked; each algo's fills with an even pace marked."""
    spec = record.changed.spec
    share = elapsed_share(record.changed, now_ns)
    interval = min(spec.max_intervals, int(share * spec.max_intervals) + 1)
    table = Table.grid(padding=(0, 1))
    least = f"may finish after {spec.min_intervals}" if spec.min_intervals else "may finish at any"
    words = f"interval {interval} of {spec.max_intervals}, {least}"
    table.add_row("time", bar(share, spec.min_intervals / spec.max_intervals), Text(words, "dim"))
    for name, r in ((spec.algo, record), *((f"~{algo}", s) for algo, s in shadows.items())):
        pace = elapsed_share(r.changed, now_ns)
        table.add_row(name, bar(filled_share(r.changed), pace), _filled_words(r, instrument))
    table.add_row("", Text("┃ the earliest end; on fills, an even pace", "dim"), "")
    return table


def _filled_words(record: ParentRecord, instrument: Instrument) -> Text:
    changed = record.changed
    average = average_price(changed, instrument)
    return Text.assemble(
        f"{filled_share(changed):4.0%} ",
        (changed.state.value, STATE_COLOURS.get(changed.state, "")),
        "" if average is None else f" at {price(average, instrument)}",
    )


def _prices(record: ParentRecord, instrument: Instrument) -> Text:
    changed = record.changed
    arrival = changed.arrival_mid_half_ticks
    last = record.decisions[-1] if record.decisions else None
    name = "vwap" if changed.spec.benchmark is BenchmarkKind.VWAP else "twap"
    gain = gain_so_far_bps(record, instrument)
    facts = (
        ("arrival", price(None if arrival is None else arrival / 2 * float(instrument.tick), instrument)),
        ("average", price(average_price(changed, instrument), instrument)),
        (f"{name} so far", price(last.view.benchmark_price if last else None, instrument)),
        ("last mid", price(last.market_mid if last else None, instrument)),
    )
    words = Text("   ").join(Text.assemble((f"{k} ", "dim"), v) for k, v in facts)
    if gain is not None:
        words.append(f"   {bps(gain)} bps", "green" if gain >= 0 else "red")
    return words


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
        reason = Text.assemble(late, why(d), turn(d), (main_features(d.importances), "dim"))
        table.add_row(str(d.interval), done, chance, reason)
    return table
