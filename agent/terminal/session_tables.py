"""Sessions on a terminal: a table of many, one with its instruments, gaps and results, and which live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from agent.core.json_types import JsonObject, int_in
from agent.durations import format_duration
from agent.entry.hints import agent_command, replay_command
from agent.terminal.formatting import duration, rows_held, size, utc
from agent.terminal.order_sentences import recorded_order_in_words
from agent.terminal.rows_table import rows_table

if TYPE_CHECKING:  # a neighbour: what is shown is handed in
    from storage.log.control.liveness import Standing
    from storage.recordings.catalogue import ListedSession
    from storage.recordings.inspection import BarsInspection, Inspection, InstrumentInspection

INPUTS = {
    "start": "orders",
    "control": "commands",
    "overrun": "late decisions",
    "round_trip": "round trips",
    "abandoned": "ends of dead runs",
}
RESULTS = {
    "ParentChanged": "order states",
    "DecisionTaken": "decisions",
    "ChildChanged": "child states",
    "ChildFilled": "fills",
    "SlippageMeasured": "cost measures",
    "GapSeen": "gap edges",
    "CommandHandled": "commands",
}


def render_sessions(found: Sequence[ListedSession], console: Console) -> None:
    """Print a table of sessions, then what is wrong with any."""
    if not found:
        _print(console, "no sessions here: `run`, `record` and `import` make them")
        return
    columns = ["session", "start (UTC)", "length", "symbols", "source", "holds", "size", "orders", "state"]
    rows_table(columns, [_list_row(s) for s in found], console)
    for s in found:
        for problem in s.problems:
            _print(console, f"{s.session}: {problem}")


def _list_row(s: ListedSession) -> list[str]:
    start_ns, end_ns = s.start_ns, s.end_ns or 0
    orders = ", ".join(f"{order.algo} {order.side} {order.state}" for order in s.orders)
    return [
        Path(s.path).name,
        "" if start_ns is None else utc(start_ns)[:19],
        "" if start_ns is None else duration(end_ns - start_ns),
        " ".join(s.symbols[:3]) + (f" +{len(s.symbols) - 3}" if len(s.symbols) > 3 else ""),
        f"{s.source}, {s.made}" if s.made else s.source,
        rows_held(s.events, s.bars),
        size(s.bytes) + (" parquet" if s.compacted else ""),
        orders or "-",
        s.state,
    ]


def render_session(found: Inspection, console: Console) -> None:
    """Print what a session holds."""
    listed, span_ns = found.listed, found.end_ns - found.start_ns
    _print(
        console,
        f"{listed.session} ({listed.source}, {listed.state}): {utc(found.start_ns)} to {utc(found.end_ns)}, "
        f"{duration(span_ns)}, {rows_held(listed.events, listed.bars)}, {size(listed.bytes)}",
    )
    for problem in listed.problems:
        _print(console, f"LOST: {problem}")
    if found.header.origin:
        _print(console, f"made of: {_origin(found.header.origin)}")
    if listed.events:
        _print_tape(found, console)
    if any(i.bars for i in found.instruments):
        _print_bars(found, console)
    _print(console)
    if listed.events:
        _print_gaps(found, console)
    inputs = _counted(found.journal, INPUTS)
    _print(console, f"inputs: {inputs or 'none but the market'}")
    results = _counted(found.results, RESULTS)
    _print(console, f"results, shadows included: {results}" if results else "results: nothing was traded")
    if not results and not listed.events:
        interval_ns = next(i.bars.interval_ns for i in found.instruments if i.bars)
        _print(console, f"trade on it:  {replay_command(listed.path, interval_ns)}")
    for order in listed.orders:
        _print(console, f"  {recorded_order_in_words(order)}")


def _print_tape(found: Inspection, console: Console) -> None:
    """A line an instrument: its rows, rates, prices and spreads."""
    columns = ["symbol", "trades", "levels", "others", "rows/s", "trades/s", "peak trades/s"]
    columns += ["low (quote)", "high (quote)", "spread p5 (bps)", "median (bps)", "p95 (bps)", "book there"]
    seconds = max(1e-9, (found.end_ns - found.start_ns) / 1e9)
    _print(console)
    rows_table(columns, [_instrument_row(i, seconds) for i in found.instruments], console)


def _print_bars(found: Inspection, console: Console) -> None:
    """A line an instrument: its bars, their prices and volumes, and what is odd about them."""
    alone = not found.listed.events
    made = "bars, and no tape: orders on it are filled at the bars' VWAP, made worse (docs/fill-model.md)"
    columns = ["symbol", "bars", "of", "from (UTC)", "to (UTC)", "low (quote)", "high (quote)"]
    columns += ["first close (quote)", "last close (quote)", "volume (base)", "turnover (quote)", "remarks"]
    rows = [_bars_row(i.symbol, i.bars) for i in found.instruments if i.bars]
    _print(console)
    _print(console, made if alone else "bars fetched before the first event, as history:")
    rows_table(columns, rows, console)


def _bars_row(symbol: str, bars: BarsInspection) -> list[str]:
    odd = (
        (bars.without_volume, "without volume"),
        (bars.absent, "missing in the files"),
        (bars.closed, "outside the session"),
        (bars.splits, "after a split"),
    )
    prices = (bars.low, bars.high, bars.first_close, bars.last_close)
    return [
        symbol,
        f"{bars.bars:,}",
        format_duration(bars.interval_ns),
        utc(bars.first_ns)[:19],
        utc(bars.last_ns)[:19],
        *(price or "" for price in prices),
        bars.volume,
        f"{Decimal(bars.turnover):.2f}",
        ", ".join(f"{count:,} {what}" for count, what in odd if count),
    ]


def _counted(counts: Mapping[str, int], names: Mapping[str, str]) -> str:
    told = {kind: n for kind, n in counts.items() if kind not in ("closing", "end")}
    return ", ".join(f"{names.get(kind, kind)} {n:,}" for kind, n in told.items())


def _instrument_row(i: InstrumentInspection, seconds: float) -> list[str]:
    counts, spread = i.counts, i.spread_bps or {}
    rows = sum(n for kind, n in counts.items() if kind != "history")
    others = ", ".join(f"{n:,} {k}" for k, n in counts.items() if k not in ("trade", "level"))
    return [
        i.symbol,
        f"{counts.get('trade', 0):,}",
        f"{counts.get('level', 0):,}",
        others,
        f"{rows / seconds:,.0f}",
        f"{counts.get('trade', 0) / seconds:,.1f}",
        f"{i.peak_trades_per_s:,.1f}",
        i.low or "",
        i.high or "",
        *(f"{spread[q]:.3g}" if q in spread else "" for q in ("p5", "median", "p95")),
        f"{i.book_share:.1%}",
    ]


def _print_gaps(found: Inspection, console: Console) -> None:
    if not found.gaps:
        _print(console, "gaps: none on the tape")
        return
    _print(console, f"gaps: {len(found.gaps)}")
    symbols = {i.number: i.symbol for i in found.instruments}
    rows = [
        [
            symbols.get(gap.number, "?"),
            gap.stream,
            utc(gap.from_ns),
            "never closed" if gap.to_ns is None else f"{(gap.to_ns - gap.from_ns) / 1e9:.3f} s",
            "" if gap.lost is None else f"{gap.lost:,} lost",
        ]
        for gap in found.gaps
    ]
    rows_table(["symbol", "stream", "from (UTC)", "for", "lost"], rows, console)


def _origin(origin: JsonObject) -> str:
    merged = origin.get("merged")
    if isinstance(merged, list):
        return " + ".join(str(source["session"]) for source in merged)
    return f"{origin['session']} from {utc(int_in(origin, 'from_ns'))} to {utc(int_in(origin, 'to_ns'))}"


def _print(console: Console, line: str = "") -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


# --- who lives ------------------------------------------------------------------------------------

LIFE_COLUMNS = ["session", "state", "last heartbeat", "host", "process"]


def life_rows(found: Sequence[Standing]) -> tuple[list[str], list[list[str]]]:
    """Columns and a row a session."""
    return LIFE_COLUMNS, [
        [
            each.seen.session,
            each.life.value,
            _ago(each.heartbeat_age_s),
            each.seen.host or "",
            "" if each.seen.pid is None else str(each.seen.pid),
        ]
        for each in found
    ]


def dead_sentences(found: Sequence[Standing]) -> list[str]:
    """What to do about each that died."""
    return [
        f"{each.seen.session} died with its orders as they stood; go on with it: "
        f" {agent_command('run', '--paper', '--resume', each.seen.session)}  or close it: "
        f" {agent_command('sessions', 'end', each.seen.session)}"
        for each in found
        if each.life.value == "dead"
    ]


def lives_phrase(found: Sequence[Standing]) -> str:
    """2 sessions live; 1 dead: NAME (last heartbeat 3m ago on HOST, process 12)."""
    live = sum(each.life.value == "live" for each in found)
    dead = [each for each in found if each.life.value == "dead"]
    phrase = f"{live} live, {len(dead)} dead"
    named = (
        f"{each.seen.session} (last heartbeat {_ago(each.heartbeat_age_s)}"
        f"{f' on {each.seen.host}, process {each.seen.pid}' if each.seen.host else ''})"
        for each in dead
    )
    goes_on, closes = "python -m agent run --paper --resume SESSION", "python -m agent sessions end SESSION"
    advice = f"; go on with it:  {goes_on}  or close it:  {closes}" if dead else ""
    return f"{phrase}{': ' if dead else ''}{', '.join(named)}{advice}"


def _ago(age_s: float | None) -> str:
    return "never" if age_s is None else f"{duration(int(age_s * 1e9))} ago"
