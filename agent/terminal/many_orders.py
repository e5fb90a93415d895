"""Many orders at once: a line each while they work; then a row each, and what they cost by algo.

Of more than ``ROWS`` only those that did not complete have rows: the log has all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from math import isfinite

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.core.money import PPM
from agent.core.types import ParentState, Side
from agent.parent_record import ParentRecord
from agent.summary import Summary
from agent.terminal.formatting import bps, marked, percent, price
from agent.terminal.order_picture import STATE_COLOURS
from agent.terminal.order_sentences import progress_in_words

IN_FULL = 3
"""So many orders are shown each with all there is to say of it; of more, a line each."""
LINES = 15
ROWS = 40


def are_many(summary: Summary) -> bool:
    return summary.order_count > IN_FULL


def progress_lines(summary: Summary, now_ns: int) -> list[str]:
    """How many orders are where, then a line for each that works, up to ``LINES``, by its own name."""
    records = summary.orders()
    working = [record for record in records if record.changed.ended_ns is None]
    told = [
        progress_in_words(record, summary.instruments[record.changed.spec.instrument], now_ns, _name(record))
        for record in working[:LINES]
    ]
    more = [f"... and {len(working) - LINES:,} more that work"] if len(working) > LINES else []
    return [counts_in_words(records), *told, *more]


def counts_in_words(records: Sequence[ParentRecord]) -> str:
    """12 orders: 9 completed, 2 working, 1 expired."""
    found = Counter(record.changed.state for record in records)
    told = ", ".join(f"{found[state]:,} {state.value}" for state in ParentState if found[state])
    return f"{len(records):,} orders: {told}"


def render_many(summary: Summary, console: Console) -> None:
    """A row an order, those that did not complete in their colours; then a row for each algo."""
    records = summary.orders()
    many = len(records) > ROWS
    failed = [record for record in records if record.changed.state is not ParentState.COMPLETED]
    console.print()
    console.print(Text(f"session {_session(records[0])}", "bold"))
    if shown := failed[:ROWS] if many else records:
        console.print(_rows(shown, summary))
    if many:
        console.print(Text(_left_out(len(records), len(failed)), "dim"))
    console.print()
    console.print(_by_algo(records, summary))
    console.print(Text("bps: slippage from the arrival price (cost), gain on the benchmark (good)", "dim"))
    console.print(Text(counts_in_words(records), "bold"))


def _left_out(orders: int, failed: int) -> str:
    beyond = f", nor are {failed - ROWS:,} of those that did not" if failed > ROWS else ""
    return f"{orders - failed:,} orders that completed are not listed{beyond}: the log has them"


def _rows(records: Sequence[ParentRecord], summary: Summary) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("order", no_wrap=True)
    table.add_column("", no_wrap=True)
    for name in ("filled", "average price", "slippage", "gain"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for record in records:
        table.add_row(*_row(record, summary))
    return table


def _by_algo(records: Sequence[ParentRecord], summary: Summary) -> Table:
    """What orders of one algo filled and cost together; basis points are weighted by what was filled."""
    groups: dict[tuple[str, str], list[ParentRecord]] = {}
    for record in records:
        spec = record.changed.spec
        groups.setdefault((spec.algo, summary.instruments[spec.instrument].settle), []).append(record)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("algo", no_wrap=True)
    for name in ("orders", "completed", "traded", "slippage", "gain", "fees"):
        table.add_column(name, justify="right", no_wrap=True)
    for (algo, settle), group in sorted(groups.items()):
        table.add_row(*_group_row(algo, settle, group, summary))
    return table


def _group_row(algo: str, settle: str, group: Sequence[ParentRecord], summary: Summary) -> list[str]:
    traded = [_money(record, record.changed.filled_tl, summary) for record in group]
    completed = sum(record.changed.state is ParentState.COMPLETED for record in group)
    fees = sum(_money(record, record.changed.fee_tlp, summary) for record in group) / PPM
    slippages = [record.own.arrival_slippage_bps if record.own else None for record in group]
    gains = [record.own.gain_bps if record.own else None for record in group]
    return [
        algo,
        f"{len(group):,}",
        f"{completed:,}",
        f"{sum(traded):,.0f} {settle}",
        bps(_weighted(slippages, traded)),
        bps(_weighted(gains, traded)),
        f"{fees:,.2f} {settle}",
    ]


def _money(record: ParentRecord, value_tl: int, summary: Summary) -> Decimal:
    return summary.instruments[record.changed.spec.instrument].notional(value_tl)


def _weighted(values: Sequence[float | None], weights: Sequence[Decimal]) -> float | None:
    """The mean of what is known, by weight; None where nothing is."""
    known = [(v, float(w)) for v, w in zip(values, weights, strict=True) if v is not None and isfinite(v)]
    whole = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / whole if whole else None


def _session(record: ParentRecord) -> str:
    """The orders of a session share the beginning of their ids."""
    parts = record.changed.spec.parent_id.split("-")
    return "-".join(parts[:2])


def _name(record: ParentRecord) -> str:
    """What it is called in its session."""
    return record.changed.spec.parent_id.removeprefix(f"{_session(record)}-")


def _row(record: ParentRecord, summary: Summary) -> list[str | Text]:
    spec, own = record.changed.spec, record.own
    instrument = summary.instruments[spec.instrument]
    flags = own.flags if own else {}
    slippage, gain = (own.arrival_slippage_bps, own.gain_bps) if own else (None, None)
    state = record.changed.state
    return [
        _name(record),
        f"{'buy' if spec.side is Side.BUY else 'sell'} {spec.symbol}",
        percent(record.filled_share),
        price(record.average_price(instrument), instrument),
        marked(bps(slippage), flags.get("arrival_slippage_bps")),
        marked(bps(gain), flags.get("gain_bps")),
        Text(state.value, STATE_COLOURS.get(state, "")),
    ]
