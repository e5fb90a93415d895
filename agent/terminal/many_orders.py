"""Many orders at once: a line each while they work, a row each when they are done, and how many are where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.core.types import ParentState, Side
from agent.parent_record import ParentRecord
from agent.summary import Summary
from agent.terminal.formatting import bps, marked, percent, price
from agent.terminal.order_picture import STATE_COLOURS
from agent.terminal.order_sentences import progress_in_words

IN_FULL = 3
"""So many orders are shown each with all there is to say of it; of more, a line each."""
LINES = 15


def are_many(summary: Summary) -> bool:
    return summary.order_count > IN_FULL


def progress_lines(summary: Summary, now_ns: int) -> list[str]:
    """A line for each order that works, up to ``LINES``, and one for how many are where."""
    records = summary.orders()
    working = [record for record in records if record.changed.ended_ns is None]
    told = [
        progress_in_words(record, summary.instruments[record.changed.spec.instrument], now_ns)
        for record in working[:LINES]
    ]
    more = [f"... and {len(working) - LINES:,} more that work"] if len(working) > LINES else []
    return [*told, *more, counts_in_words(records)]


def counts_in_words(records: Sequence[ParentRecord]) -> str:
    """12 orders: 9 completed, 2 working, 1 expired."""
    found = Counter(record.changed.state for record in records)
    told = ", ".join(f"{found[state]:,} {state.value}" for state in ParentState if found[state])
    return f"{len(records):,} orders: {told}"


def render_many(summary: Summary, console: Console) -> None:
    """A row an order, those that did not complete in their colours."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("order", no_wrap=True)
    table.add_column("", no_wrap=True)
    for name in ("filled", "average price", "slippage", "gain"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for record in summary.orders():
        table.add_row(*_row(record, summary))
    console.print()
    console.print(Text(f"session {_session(summary.orders()[0])}", "bold"))
    console.print(table)
    console.print(Text("bps: slippage from the arrival price (cost), gain on the benchmark (good)", "dim"))
    console.print(Text(counts_in_words(summary.orders()), "bold"))


def _session(record: ParentRecord) -> str:
    """The orders of a session share the beginning of their ids."""
    parts = record.changed.spec.parent_id.split("-")
    return "-".join(parts[:2])


def _row(record: ParentRecord, summary: Summary) -> list[str | Text]:
    spec, own = record.changed.spec, record.own
    instrument = summary.instruments[spec.instrument]
    flags = own.flags if own else {}
    slippage, gain = (own.arrival_slippage_bps, own.gain_bps) if own else (None, None)
    state = record.changed.state
    return [
        spec.parent_id.removeprefix(f"{_session(record)}-"),
        f"{'buy' if spec.side is Side.BUY else 'sell'} {spec.symbol}",
        percent(record.filled_share),
        price(record.average_price(instrument), instrument),
        marked(bps(slippage), flags.get("arrival_slippage_bps")),
        marked(bps(gain), flags.get("gain_bps")),
        Text(state.value, STATE_COLOURS.get(state, "")),
    ]
