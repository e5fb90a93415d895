"""The closing summary: what an order cost and why, beside what its shadows would have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.core.instrument import Instrument
from agent.core.types import ParentState
from agent.summary import ParentRecord, Summary
from agent.terminal.words import bps, decision_in_words, order_in_words

if TYPE_CHECKING:
    from agent.replay import ReplayResult

CAVEAT = (
    "A gain against a benchmark is the value of an option to whoever is measured by it; money saved is the\n"
    "difference of arrival slippages only. One order is an anecdote, never evidence."
)
_SHORTFALL = (
    ("delay", "decision to arrival"),
    ("trading", "fills against arrival"),
    ("opportunity", "what was not filled"),
    ("fees", "to the venue"),
    ("total", "implementation shortfall"),
)


def render_summary(summary: Summary, console: Console) -> None:
    """Print every parent with its TCA and its shadows."""
    documents = {p["id"]: p for p in summary.parents()}
    for record in list(summary.records.values()):
        if record.changed.spec.shadow_of is None:
            _render_parent(summary, record, documents[record.changed.spec.parent_id], console)


def _render_parent(summary: Summary, record: ParentRecord, p: dict[str, Any], console: Console) -> None:
    spec, instrument = record.changed.spec, summary.instruments[record.changed.spec.instrument]
    colour = "green" if record.changed.state is ParentState.COMPLETED else "red"
    console.print()
    console.print(Text.assemble((spec.parent_id, "bold"), f"  {order_in_words(spec, summary.instruments)}"))
    took = (p["ended_ns"] - p["started_ns"]) / 1e9 if p["started_ns"] and p["ended_ns"] else 0.0
    console.print(
        Text.assemble(
            (p["state"], colour),
            f" ({p['reason']}) after {took:.1f} s by {p['algo']}: {p['filled']} of {p['target']} filled in"
            f" {p['children']} child orders, {p['fills']} fills, {p['decisions']} decisions",
        )
    )
    if record.own is None:
        console.print("no cost analysis: the order never saw a two-sided book")
        return
    console.print(_tca(record, p, instrument))
    if record.decisions:
        console.print(f"last decision, {decision_in_words(record.decisions[-1])}", highlight=False)
    if p["shadows"]:
        console.print(_shadows(p))
        console.print(CAVEAT, style="dim", highlight=False)


def _tca(record: ParentRecord, p: dict[str, Any], instrument: Instrument) -> Table:
    own = record.own
    assert own is not None
    table = Table("what", f"{instrument.quote}", "bps", "", box=None, pad_edge=False, title_justify="left")
    for column in table.columns[1:3]:
        column.justify = "right"
    table.add_row("arrival mid", f"{own.arrival_price:.8g}", "", "first book at or after the start")
    table.add_row("average fill", _price(own.avg_price), bps(p["arrival_slippage_bps"]), "slippage; + costs")
    used, full = f"{own.benchmark}, window used", f"{own.benchmark}, full window"
    table.add_row(used, _price(own.used_price), bps(p["gain_bps"]), "gain; + is good")
    table.add_row(full, _price(own.full_price), bps(p["full_gain_bps"]), "gain; + is good")
    for name, words in _SHORTFALL:
        value = p["measures"].get(f"shortfall_{name}_bps")
        table.add_row(f"shortfall: {name}", f"{p['shortfall'][name]}", bps(value), f"{words}; + costs")
    for name, words in (
        ("effective_spread_bps", "twice the distance to the mid at sending; + costs"),
        ("price_improvement_bps", "against the far touch at sending; + is good"),
        ("markout_1s_bps", "the mid a second after the fills; + is good"),
        ("markout_10s_bps", "ten seconds after"),
    ):
        if p["measures"].get(name) is not None:
            table.add_row(name.removesuffix("_bps").replace("_", " "), "", bps(p["measures"][name]), words)
    share, maker = p["participation_rate"], p["measures"].get("maker_share")
    table.add_row("participation", f"{share:.3%}" if share is not None else "–", "", "of market volume")
    table.add_row("filled at rest", f"{maker:.0%}" if maker is not None else "–", "", "maker share")
    return table


def _price(value: float | None) -> str:
    return "–" if value is None else f"{value:.8g}"


def _shadows(p: dict[str, Any]) -> Table:
    table = Table(
        "bps", "gain", "full gain", "arrival slip", "Δ gain", "Δ full", "Δ arrival", box=None, pad_edge=False
    )
    for column in table.columns[1:]:
        column.justify = "right"
    table.add_row(
        Text(p["algo"], "bold"), bps(p["gain_bps"]), bps(p["full_gain_bps"]), bps(p["arrival_slippage_bps"])
    )
    for s in p["shadows"]:
        names = ("gain_bps", "full_gain_bps", "arrival_slippage_bps", "diff_gain_bps", "diff_full_bps")
        cells = [bps(s.get(name)) for name in (*names, "diff_arrival_bps")]
        table.add_row(f"~{s['algo']}", *cells)
    return table


def replay_table(result: ReplayResult, console: Console) -> None:
    """Print what a replay did, and whether it gave the recorded result."""
    console.print(
        f"replayed {result.events:,} events in {result.seconds:.2f} s, {result.events_per_s:,.0f} a second",
        highlight=False,
    )
    console.print(f"digest   {result.digest}", highlight=False)
    if result.recorded_digest is not None:
        console.print(f"recorded {result.recorded_digest}", highlight=False)
    if result.match is True:
        console.print("identical to the recorded run: every decision, order and fill", style="green")
    elif result.match is False:
        console.print(f"DIFFERENT from the recorded run: {result.difference}", style="red", highlight=False)
    for loss in result.losses:
        console.print(f"lost: {loss}", style="yellow", highlight=False)
