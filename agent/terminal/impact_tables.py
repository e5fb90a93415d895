"""Impact off and on, side by side, as a person reads it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.durations import format_duration
from agent.terminal.formatting import UNKNOWN, bps, percent

WORDS = (
    "Gains: positive is good. Slippage and impact: positive is cost. Impact is what the model added to the"
    " book's prices; an order that fills later or less because of it shows that in the other columns."
)


def render_impact(document: Mapping[str, Any], console: Console) -> None:
    """Print the laws, then a line an order: every measure without and with impact."""
    console.print()
    for symbol, law in document["laws"].items():
        console.print(
            f"{symbol}: Y {law['y']:.3g}, {law['sigma_bps_per_day']:.4g} bps and {law['volume_per_day']:,.6g}"
            f" a day, half-life {format_duration(law['decay'])}, from {law['source']}",
            highlight=False,
        )
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("bps", no_wrap=True)
    for name in ("gain", "arrival slippage", "filled"):
        for side in ("off", "on"):
            table.add_column(f"{name}\nimpact {side}", justify="right", no_wrap=True)
    for name in ("impact\ncost", "impact\nin money", "mid\nmoved by"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in document["compared"]:
        table.add_row(*_cells(row))
    console.print(table)
    console.print(Text(WORDS, "dim"))


def _cells(row: Mapping[str, Any]) -> list[str]:
    pairs = [bps(row[m][side]) for m in ("gain_bps", "arrival_slippage_bps") for side in ("off", "on")]
    filled = [percent(row["filled"][side]) for side in ("off", "on")]
    impact = row["impact"]
    taken = [UNKNOWN] * 3
    if impact is not None:
        taken = [bps(impact["cost_bps"]), f"{Decimal(impact['cost']):,.2f}", bps(impact["displacement_bps"])]
    name = row["algo"] if row["shadow_of"] is None else f"~{row['algo']}"
    return [name, *pairs, *filled, *taken]
