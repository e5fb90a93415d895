"""What `calibrate` found, as a person reads it: every number with its error and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.terminal.formatting import UNKNOWN, duration

LATENCY_NAMES = {
    "market_data_trades": "market data, trades",
    "market_data_book": "market data, book",
    "round_trip": "request round trip",
}
CAVEAT = (
    "Y is what the market's own flow goes with: informed and following itself, it is no experiment."
    " Take it for the size of the effect, not for its third digit."
)


def render_calibration(document: Mapping[str, Any], console: Console) -> None:
    """Print each symbol's law and what is behind it, the latencies, and what to do next."""
    for symbol, found in document["symbols"].items():
        _symbol(symbol, found, console)
    for reason in document["refused"].values():
        console.print(Text(f"not calibrated: {reason}", "yellow"))
    console.print()
    console.print(_latencies(document["latency"]))
    if not document["latency"].get("round_trip", {}).get("count"):
        console.print(Text("no round trips: only a live run measures them", "dim"))
    if document["symbols"]:
        console.print(Text(CAVEAT, "dim"))
    if document["out"] is not None:
        console.print(f"\nuse it:  venue: {{impact: sqrt, calibration: {document['out']}}}", highlight=False)
    for file in document["latency_files"]:
        console.print(f"latencies: {file}", highlight=False)


def _symbol(symbol: str, found: Mapping[str, Any], console: Console) -> None:
    law, e = found["impact"], found["estimates"]
    fading = e["fading"]
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim")
    share = law["volume_per_day"] / e["volume_lots"]["value"]
    _row(table, "volatility", e["sigma_bps"], "bps a day", "returns")
    _row(table, "volume", e["volume_lots"], "a day", "blocks of ten seconds", share)
    _row(table, "half-spread", e["half_spread_bps"], "bps", "looks at the book")
    fit = f"R² {fading['r2']:.2f}, {fading['y']['observations']:,} steps"
    table.add_row("impact Y", _pm(fading["y"]), f"fitted with the half-life: {fit}")
    half_life = f"{_seconds(fading['half_life_s'])}"
    told = "" if fading["identified"] else "; this tape does not tell"
    between = f"95 %: {_seconds(fading['low_s'])} to {_seconds(fading['high_s'])}{told}"
    table.add_row("half-life", half_life, between)
    for window in e["windows"]:
        words = f"R² {window['r2']:.2f}, {window['y']['observations']:,} windows of {window['horizon_s']:g} s"
        table.add_row("  Y by window", _pm(window["y"]), words)
    for after_s, move in e["response_bps"]:
        table.add_row("  after a trade", _pm(move), f"bps in its direction, {after_s:g} s later")
    console.print()
    console.print(
        Text.assemble((symbol, "bold"), f"  {duration(int(e['seconds'] * 1e9))}, {e['trades']:,} trades")
    )
    console.print(table)
    values = ", ".join(f"{name}: {value}" for name, value in law.items())
    console.print(Text.assemble("law: ", (f"{{{values}}}", "bold"), f"  ({found['basis']})"))
    console.print(Text(_meaning(law), "dim"))


def _row(
    table: Table, name: str, estimate: Mapping[str, Any], unit: str, of: str, share: float = 1.0
) -> None:
    table.add_row(name, _pm(estimate, share), f"{unit}, {estimate['observations']:,} {of}")


def _pm(estimate: Mapping[str, Any], share: float = 1.0) -> str:
    """1.234 ± 0.056, as many digits as the error earns; a thousand separator for large ones."""
    value, error = estimate["value"] * share, estimate["error"] * share
    decimals = 0 if max(abs(value), error) >= 100 else 4 if max(abs(value), error) < 0.1 else 2
    return f"{value:,.{decimals}f} ± {error:,.{decimals}f}"


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 120 else duration(int(value * 1e9))


def _meaning(law: Mapping[str, Any]) -> str:
    """What the law says of an order of a tenth of a percent of a day's volume."""
    size = law["volume_per_day"] * 1e-3
    moved = law["y"] * law["sigma_bps_per_day"] * 1e-3**0.5
    return (
        f"so {size:.4g} bought at once (0.1 % of a day) move the mid by {moved:.1f} bps"
        f" and cost {moved * 2 / 3:.1f} bps on average"
    )


def _latencies(found: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("latency, ms", no_wrap=True)
    for name in ("p50", "p90", "p99", "count"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, row in found.items():
        cells: Sequence[str] = [
            f"{row[f'p{q}_ns'] / 1e6:.2f}" if row["count"] else UNKNOWN for q in (50, 90, 99)
        ]
        table.add_row(LATENCY_NAMES.get(name, name), *cells, f"{row['count']:,}")
    return table
