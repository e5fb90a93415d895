"""What closes a run or a query: an order's cost and why, its shadows beside it, plain rows.

Signs as everywhere: gains are good when positive, slippage and shortfall are cost when positive.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.core.events import SlippageMeasured
from agent.core.instrument import Instrument
from agent.summary import ParentRecord, Summary
from agent.terminal.order_words import UNKNOWN, bps, decision_in_words, known, order_in_words, price, seconds
from agent.terminal.progress import STATE_COLOURS

if TYPE_CHECKING:
    from agent.replay import ReplayResult

CAVEAT = (
    "Δ is the order minus the shadow, good when positive. A gain against a benchmark is the value of an "
    "option to whoever is measured by it; money saved is Δ arrival only, and one order is never evidence."
)
SHORTFALL = (
    ("delay", "from the decision to arrival"),
    ("trading", "fills against arrival"),
    ("opportunity", "what was not filled"),
    ("fees", "to the venue"),
    ("total", "the sum: implementation shortfall"),
)
MEASURES = (
    ("effective_spread_bps", "effective spread", "cost", "twice the distance to the mid at sending"),
    ("price_improvement_bps", "price improvement", "good", "against the far touch at sending"),
    ("pwp_slippage_bps", "slippage to PWP", "cost", "against trading a tenth of the volume"),
    ("markout_1s_bps", "markout 1 s", "good", "the mid a second after the fills"),
    ("markout_10s_bps", "markout 10 s", "good", "ten seconds after"),
    ("markout_60s_bps", "markout 60 s", "good", "a minute after"),
)
MONEY_DECIMALS = 4


def render_summary(summary: Summary, console: Console) -> None:
    """Print every parent with its TCA and its shadows."""
    documents = {p["id"]: p for p in summary.parents()}
    for record in list(summary.records.values()):
        if record.changed.spec.shadow_of is None:
            _render_parent(summary, record, documents[record.changed.spec.parent_id], console)


def _render_parent(summary: Summary, record: ParentRecord, p: dict[str, Any], console: Console) -> None:
    spec, own = record.changed.spec, record.own
    console.print()
    console.print(Text.assemble((spec.parent_id, "bold"), f"  by {p['algo']}, {spec.tactic.value}"))
    console.print(Text(order_in_words(spec, summary.instruments)))
    console.print(_outcome(record, p))
    if record.decisions:
        console.print(Text(f"last decision: {decision_in_words(record.decisions[-1])}"))
    if own is None:
        console.print(Text(f"no cost analysis: {_unmeasured(record)}", "yellow"))
        return
    console.print()
    console.print(_tca(own, p, summary.instruments[spec.instrument]))
    if own.measures.get("flags"):
        console.print(Text(f"note: {own.measures['flags']}", "yellow"))
    if p["shadows"]:
        console.print()
        console.print(_shadows(p))
        console.print(Text(CAVEAT, "dim"))


def _unmeasured(record: ParentRecord) -> str:
    if record.changed.ended_ns is None:
        return "the order has not ended on this tape"
    if record.changed.arrival_mid_half_ticks is None:
        return "the order never saw a two-sided book"
    return "the tape ends before the interval in which the order ended"


def _outcome(record: ParentRecord, p: dict[str, Any]) -> Text:
    why = f" ({p['reason']})" if p["reason"] else ""
    took = f" after {seconds(p['ended_ns'] - p['started_ns'])}" if p["started_ns"] and p["ended_ns"] else ""
    return Text.assemble(
        (p["state"], STATE_COLOURS.get(record.changed.state, "")),
        f"{why}{took}: {p['filled']} of {p['target']} filled,",
        f" {p['decisions']} decisions, {p['children']} child orders, {p['fills']} fills",
    )


def _tca(own: SlippageMeasured, p: dict[str, Any], instrument: Instrument) -> Table:
    """Prices, gains, the shortfall's parts and the finer measures, each with its sign in words."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("cost analysis", no_wrap=True)
    table.add_column(instrument.settle, justify="right", no_wrap=True)
    table.add_column("bps", justify="right", no_wrap=True)
    table.add_column("+ is", style="dim", no_wrap=True)
    table.add_column("", style="dim")  # the one column that may wrap: numbers are never cut
    bars = str(own.measures.get("flags") or "").startswith("bars-only")
    first = "the last close" if bars else "mid of the first book"
    table.add_row("arrival price", price(own.arrival_price, instrument), "", "", first)
    average = price(own.avg_price, instrument)
    table.add_row("average price", average, bps(own.arrival_slippage_bps), "cost", "arrival slippage")
    for window, value, gain in (
        ("used", own.used_price, own.gain_bps),
        ("full", own.full_price, own.full_gain_bps),
    ):
        words = f"gain over the {window} window"
        table.add_row(f"{own.benchmark} {window}", price(value, instrument), bps(gain), "good", words)
    for name, words in SHORTFALL:
        amount, share = money(p["shortfall"][name]), p["measures"].get(f"shortfall_{name}_bps")
        table.add_row(f"shortfall {name}", amount, bps(share), "cost", words, style=_strong(name == "total"))
    for key, name, sign, words in MEASURES:
        if known(p["measures"].get(key)):
            table.add_row(name, "", bps(p["measures"][key]), sign, words)
    if p["impact"] is not None:
        cost = money(p["impact"]["cost"])
        moved = f"added to the book's prices; the mid was moved by {bps(p['impact']['displacement_bps'])}"
        table.add_row("impact", cost, bps(p["impact"]["cost_bps"]), "cost", moved)
    table.add_row("participation", percent(p["participation_rate"]), "", "", "of the market's volume")
    table.add_row("maker share", percent(p["measures"].get("maker_share")), "", "", "filled at rest")
    return table


def _strong(yes: bool) -> str:
    return "bold" if yes else ""


def money(text: str) -> str:
    """An exact amount at no fewer than four decimals: parts that are shown must sum to what is shown."""
    amount = Decimal(text)
    exponent = amount.as_tuple().exponent
    return f"{amount:.{max(MONEY_DECIMALS, -int(exponent))}f}"


def percent(share: float | None) -> str:
    return f"{share:.2%}" if known(share) else UNKNOWN


def _shadows(p: dict[str, Any]) -> Table:
    """Every gain beside its arrival slippage, and the differences from the order."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("bps", no_wrap=True)
    for name in ("gain", "full gain", "arrival slippage", "Δ gain", "Δ full", "Δ arrival"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", style="dim", no_wrap=True)
    own = [bps(p[name]) for name in ("gain_bps", "full_gain_bps", "arrival_slippage_bps")]
    table.add_row(Text(p["algo"], "bold"), *own, "", "", "", p["state"])
    names = ("gain_bps", "full_gain_bps", "arrival_slippage_bps")
    differences = ("diff_gain_bps", "diff_full_bps", "diff_arrival_bps")
    for s in p["shadows"]:
        cells = [bps(s.get(name)) for name in (*names, *differences)]
        table.add_row(f"~{s['algo']}", *cells, s["state"])
    return table


def replay_table(result: ReplayResult, console: Console) -> None:
    """Print what a replay did, and whether it gave the recorded result."""
    rate = f"{result.events:,} events in {result.seconds:.2f} s, {result.events_per_s:,.0f} a second"
    console.print(Text(f"replayed {rate}"))
    console.print(Text(f"digest   {result.digest}"))
    if result.recorded_digest is not None:
        console.print(Text(f"recorded {result.recorded_digest}"))
    if result.match is True:
        console.print(Text("identical to the recorded run: every decision, order and fill", "green"))
    elif result.match is False:
        console.print(Text(f"DIFFERENT from the recorded run: {result.difference}", "bold red"))
    for loss in result.losses:
        console.print(Text(f"lost: {loss}", "yellow"))


def rows_table(columns: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    """Print rows of a query; columns that hold only numbers are set to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, name in enumerate(columns):
        numeric = any(row[i] for row in rows) and all(_is_number(row[i]) for row in rows if row[i])
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
