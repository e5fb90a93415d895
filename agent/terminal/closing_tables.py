"""What closes a run: an order's cost and why, its shadows beside it.

Signs as everywhere: gains are good when positive, slippage and shortfall are cost when positive.
"""

from __future__ import annotations

from decimal import Decimal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.core.events import SlippageMeasured
from agent.core.instrument import Instrument
from agent.parent_record import ParentRecord
from agent.summary import FlagsDocument, ParentDocument, ShadowDocument, Summary
from agent.terminal.formatting import (
    bps,
    fault_phrase,
    fault_sentences,
    known,
    marked,
    measure_name,
    money,
    most_of,
    percent,
    price,
)
from agent.terminal.many_orders import are_many, render_many
from agent.terminal.order_picture import STATE_COLOURS
from agent.terminal.order_sentences import (
    closing_in_words,
    decision_in_words,
    order_in_words,
    unmeasured_in_words,
)

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
    ("reversion_bps", "reversion", "back", "of the mid, a minute after the order's end"),
    ("markout_1s_bps", "markout 1 s", "good", "the mid a second after the fills"),
    ("markout_10s_bps", "markout 10 s", "good", "ten seconds after"),
    ("markout_60s_bps", "markout 60 s", "good", "a minute after"),
)


def render_summary(summary: Summary, console: Console) -> None:
    """Print every parent with its cost analysis and its shadows; of many orders a row each."""
    if are_many(summary):
        render_many(summary, console)
        return
    for record, document in zip(summary.orders(), summary.parents(), strict=True):
        _render_parent(summary, record, document, console)


def _render_parent(summary: Summary, record: ParentRecord, p: ParentDocument, console: Console) -> None:
    spec, own = record.changed.spec, record.own
    console.print()
    console.print(Text.assemble((spec.parent_id, "bold"), f"  PAPER, by {p['algo']}, {spec.tactic}"))
    console.print(Text(order_in_words(spec, summary.instruments)))
    closing = Text(closing_in_words(p))
    closing.stylize(STATE_COLOURS.get(record.changed.state, ""), 0, len(p["state"]))
    console.print(closing)
    if record.decisions:
        console.print(Text(f"last decision: {decision_in_words(record.decisions[-1])}"))
    if own is None:
        console.print(Text(unmeasured_in_words(record), "yellow"))
        return
    console.print()
    instrument = summary.instruments[spec.instrument]
    console.print(_tca(own, p, instrument, record.worth(instrument)))
    for sentence in _notes(own):
        console.print(Text(sentence, "yellow"))
    if p["shadows"]:
        console.print()
        console.print(_shadows(p))
        console.print(Text(CAVEAT, "dim"))


def _notes(own: SlippageMeasured) -> list[str]:
    """What was wrong with the data of which measures, what else to know, what is not known and why."""
    why: dict[str, list[str]] = {}
    for measure, reason in own.reasons.items():
        why.setdefault(reason, []).append(measure_name(measure))
    return [
        *fault_sentences(own.flags),
        *([f"note: {own.measures['flags']}"] if own.measures.get("flags") else []),
        *(f"not known: {', '.join(names)}: {reason}" for reason, names in why.items()),
    ]


def _tca(own: SlippageMeasured, p: ParentDocument, instrument: Instrument, worth: Decimal) -> Table:
    """Prices, gains, the terms of the shortfall and the finer measures, each with what its sign means."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("cost analysis", no_wrap=True)
    table.add_column(instrument.settle, justify="right", no_wrap=True)
    table.add_column("bps", justify="right", no_wrap=True)
    table.add_column("a plus is", style="dim", no_wrap=True)
    table.add_column("", style="dim")  # the one column that may wrap: numbers are never cut
    _add_prices(table, own, instrument)
    for name, what in SHORTFALL:
        key = f"shortfall_{name}"
        amount = marked(money(str(own.measures[key]), worth), own.flags.get(key))
        cost_bps = marked(bps(_measure(own, f"{key}_bps")), own.flags.get(f"{key}_bps"))
        style = "bold" if name == "total" else ""
        table.add_row(f"shortfall {name}", amount, cost_bps, "cost", what, style=style)
    for key, name, sign, what in MEASURES:
        value = _measure(own, key)
        if known(value):
            table.add_row(name, "", marked(bps(value), own.flags.get(key)), sign, what)
    if p["impact"] is not None:
        cost = money(p["impact"]["cost"], worth)
        moved = f"added to the book's prices; the mid was moved by {bps(p['impact']['displacement_bps'])}"
        table.add_row("impact", cost, bps(p["impact"]["cost_bps"]), "cost", moved)
    for key, name, share, what in (
        ("participation_rate", "participation rate", p["participation_rate"], "of the market's volume"),
        ("fill_rate", "fill rate", _measure(own, "fill_rate"), "of what child orders asked for"),
        ("maker_share", "maker share", _measure(own, "maker_share"), "filled at rest"),
    ):
        table.add_row(name, marked(percent(share), own.flags.get(key)), "", "", what)
    return table


def _add_prices(table: Table, own: SlippageMeasured, instrument: Instrument) -> None:
    """Arrival, average and benchmark: the prices, and what the order gained or lost against each."""
    bars = str(own.measures.get("flags") or "").startswith(("bars-only", "trades-only"))
    first = "the last close" if bars else "mid of the first book"
    arrival = marked(price(own.arrival_price, instrument), own.flags.get("arrival_price"))
    table.add_row("arrival price", arrival, "", "", first)
    average = marked(price(own.avg_price, instrument), own.flags.get("avg_price"))
    slippage = marked(bps(own.arrival_slippage_bps), own.flags.get("arrival_slippage_bps"))
    table.add_row("average price", average, slippage, "cost", "arrival slippage")
    for window, value, gain, key in (
        ("used", own.used_price, own.gain_bps, "gain_bps"),
        ("full", own.full_price, own.full_gain_bps, "full_gain_bps"),
    ):
        at = marked(price(value, instrument), own.flags.get(f"{window}_price"))
        over = f"gain over the {window} window"
        table.add_row(f"{own.benchmark} {window}", at, marked(bps(gain), own.flags.get(key)), "good", over)


def _measure(own: SlippageMeasured, name: str) -> float | None:
    value = own.measures.get(name)
    return value if isinstance(value, float) else None


def _shadows(p: ParentDocument) -> Table:
    """Every gain beside its arrival slippage, and the differences from the order."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("bps", no_wrap=True)
    for name in ("gain", "full gain", "arrival slippage", "Δ gain", "Δ full", "Δ arrival"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", style="dim")  # wraps: numbers are never cut
    own = _gains(p, p["flags"] or {})
    table.add_row(Text(p["algo"], "bold"), *own, "", "", "", p["state"])
    for s in p["shadows"]:
        flags = s["flags"] or {}
        differences = (
            ("diff_gain_bps", s["diff_gain_bps"]),
            ("diff_full_bps", s["diff_full_bps"]),
            ("diff_arrival_bps", s["diff_arrival_bps"]),
        )
        numbers = [*_gains(s, flags), *(marked(bps(value), flags.get(name)) for name, value in differences)]
        faults = most_of(flags.values())
        state = f"{s['state']}; {fault_phrase(faults)}" if faults else s["state"]
        table.add_row(f"~{s['algo']}", *numbers, state)
    return table


def _gains(of: ParentDocument | ShadowDocument, flags: FlagsDocument) -> list[str]:
    """Both gains and the arrival slippage."""
    values = (
        ("gain_bps", of["gain_bps"]),
        ("full_gain_bps", of["full_gain_bps"]),
        ("arrival_slippage_bps", of["arrival_slippage_bps"]),
    )
    return [marked(bps(value), flags.get(name)) for name, value in values]
