"""Impact off and on, side by side, as a person reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.config import ImpactParameters
from agent.durations import format_duration
from agent.parent_record import ImpactDocument
from agent.terminal.formatting import (
    MARK_MEANS,
    UNKNOWN,
    bps,
    fault_phrase,
    marked,
    money,
    most_of,
    percent,
)

if TYPE_CHECKING:  # a neighbour: what is shown is handed in
    from agent.calibration.impact_effect import ComparedOrder

NOTE = (
    "Gains: positive is good. Slippage and impact: positive is cost. Impact is what the model added to the"
    " book's prices; an order that fills later or less because of it shows that in the other columns."
)


def render_impact(
    laws: Mapping[str, ImpactParameters],
    sources: Mapping[str, str],
    orders: Sequence[ComparedOrder],
    console: Console,
) -> None:
    """Print each symbol's law and its source, then a line an order: every measure without and with impact."""
    console.print()
    for symbol, law in laws.items():
        console.print(
            f"{symbol}: Y {law.y:.3g}, {law.sigma_bps_per_day:.4g} bps and {law.volume_per_day:,.6g}"
            f" a day, half-life {format_duration(law.decay)}, from {sources[symbol]}",
            highlight=False,
        )
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("bps", no_wrap=True)
    for name in ("gain", "arrival slippage", "filled"):
        for side in ("off", "on"):
            table.add_column(f"{name}\nimpact {side}", justify="right", no_wrap=True)
    for name in ("impact\ncost", "impact\nin money", "mid\nmoved by"):
        table.add_column(name, justify="right", no_wrap=True)
    for order in orders:
        table.add_row(*_cells(order))
    console.print(table)
    console.print(Text(NOTE, "dim"))
    flags = [f for order in orders for f in (order["flags"]["off"], order["flags"]["on"])]
    faults = most_of(shares for of_run in flags for shares in of_run.values())
    if faults:
        console.print(Text(f"{MARK_MEANS}, by up to: {fault_phrase(faults)}", "yellow"))


def _money(impact: ImpactDocument) -> str:
    """The cost, to what tells a hundredth of a basis point of what was filled."""
    cost, cost_bps = Decimal(impact["cost"]), impact["cost_bps"]
    return money(cost, cost / Decimal(cost_bps) * 10**4 if cost_bps else Decimal(0), least=2)


def _cells(order: ComparedOrder) -> list[str]:
    gain, slippage, filled = order["gain_bps"], order["arrival_slippage_bps"], order["filled"]
    flags_off, flags_on = order["flags"]["off"], order["flags"]["on"]
    measures = [
        marked(bps(gain["off"]), flags_off.get("gain_bps")),
        marked(bps(gain["on"]), flags_on.get("gain_bps")),
        marked(bps(slippage["off"]), flags_off.get("arrival_slippage_bps")),
        marked(bps(slippage["on"]), flags_on.get("arrival_slippage_bps")),
    ]
    impact = order["impact"]
    taken = [UNKNOWN] * 3
    if impact is not None:
        taken = [bps(impact["cost_bps"]), _money(impact), bps(impact["displacement_bps"])]
    name = order["algo"] if order["shadow_of"] is None else f"~{order['algo']}"
    return [name, *measures, percent(filled["off"]), percent(filled["on"]), *taken]
