"""What `calibrate` found, as a person reads it: every number with its error and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.terminal.formatting import UNKNOWN, duration

if TYPE_CHECKING:  # neighbours: what is shown is handed in
    from agent.calibration.estimate import Estimate, Estimates
    from agent.calibration.impact_laws import CalibratedLaw, LawDocument
    from agent.calibration.session_calibration import Calibration, LatencyQuantiles

LATENCY_NAMES = {
    "market_data_trades": "market data, trades",
    "market_data_book": "market data, book",
    "round_trip": "request round trip",
}
CAVEAT = (
    "Y is what the market's own flow goes with: informed and following itself, it is no experiment."
    " Take it for the size of the effect, not for its third digit."
)


def render_calibration(
    found: Calibration, law_file: Path | None, latency_files: Sequence[Path], console: Console
) -> None:
    """Print each symbol's law and what is behind it, the latencies, and what to do next."""
    for symbol, calibrated in found.laws.items():
        _symbol(symbol, calibrated, console)
    for reason in found.refused.values():
        console.print(Text(f"not calibrated: {reason}", "yellow"))
    latencies = found.latency_quantiles()
    console.print()
    console.print(_latencies(latencies))
    if not latencies["round_trip"].count:
        console.print(Text("no round trips: only a live run measures them", "dim"))
    if found.laws:
        console.print(Text(CAVEAT, "dim"))
    if law_file is not None:
        console.print(
            f"\nuse it:  venue: {{impact: sqrt, calibration: {law_file}}}", highlight=False, soft_wrap=True
        )
    for file in latency_files:
        console.print(f"latencies: {file}", highlight=False, soft_wrap=True)


def _symbol(symbol: str, calibrated: CalibratedLaw, console: Console) -> None:
    law, e = calibrated.law, calibrated.estimates
    console.print()
    console.print(Text.assemble((symbol, "bold"), f"  {duration(int(e.seconds * 1e9))}, {e.trades:,} trades"))
    console.print(_estimates(e, law))
    values = ", ".join(f"{name}: {value}" for name, value in law.items())
    console.print(Text.assemble("law: ", (f"{{{values}}}", "bold"), f"  ({calibrated.basis})"))
    console.print(Text(_meaning(law), "dim"))


def _estimates(e: Estimates, law: LawDocument) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim")
    lot = law["volume_per_day"] / e.volume_lots.value
    _row(table, "volatility", e.sigma_bps, "bps a day", "returns")
    _row(table, "volume", e.volume_lots, "a day", "blocks of ten seconds", lot)
    _row(table, "half-spread", e.half_spread_bps, "bps", "looks at the book")
    fading = e.fading
    fit = f"R² {fading.r2:.2f}, {fading.y.observations:,} steps"
    table.add_row("impact Y", _pm(fading.y), f"fitted with the half-life: {fit}")
    unsure = "" if fading.identified else "; not identified on this tape"
    between = f"95 %: {_seconds(fading.low_s)} to {_seconds(fading.high_s)}{unsure}"
    table.add_row("half-life", _seconds(fading.half_life_s), between)
    for window in e.windows:
        fit = f"R² {window.r2:.2f}, {window.y.observations:,} windows of {window.horizon_s:g} s"
        table.add_row("  Y by window", _pm(window.y), fit)
    for after_s, move in e.response_bps:
        table.add_row("  after a trade", _pm(move), f"bps in its direction, {after_s:g} s later")
    return table


def _row(table: Table, name: str, estimate: Estimate, unit: str, of: str, scale: float = 1.0) -> None:
    table.add_row(name, _pm(estimate, scale), f"{unit}, {estimate.observations:,} {of}")


def _pm(estimate: Estimate, scale: float = 1.0) -> str:
    """1.234 ± 0.056, as many digits as the error earns; a thousand separator for large ones."""
    value, error = estimate.value * scale, estimate.error * scale
    decimals = 0 if max(abs(value), error) >= 100 else 4 if max(abs(value), error) < 0.1 else 2
    return f"{value:,.{decimals}f} ± {error:,.{decimals}f}"


def _seconds(value: float) -> str:
    return duration(int(value * 1e9))


def _meaning(law: LawDocument) -> str:
    """What the law means for an order of a tenth of a percent of a day's volume."""
    size = law["volume_per_day"] * 1e-3
    moved = law["y"] * law["sigma_bps_per_day"] * 1e-3**0.5
    return (
        f"so {size:.4g} bought at once (0.1 % of a day) move the mid by {moved:.1f} bps"
        f" and cost {moved * 2 / 3:.1f} bps on average"
    )


def _latencies(found: Mapping[str, LatencyQuantiles]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("latency, ms", no_wrap=True)
    for name in ("p50", "p90", "p99", "count"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, row in found.items():
        cells = [f"{ns / 1e6:.2f}" for ns in row.ns.values()] or [UNKNOWN] * 3
        table.add_row(LATENCY_NAMES.get(name, name), *cells, f"{row.count:,}")
    return table
