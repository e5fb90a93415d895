"""What an import of bars did: what it made, what was wrong in the files and by which rule it was mended."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.durations import format_duration
from agent.entry.hints import replay_command
from agent.terminal.imported.import_tables import print_units

if TYPE_CHECKING:  # a neighbour: what is shown is handed in
    from connectors.importers.bars.bar_report import BarReport

_FOUND = {
    "absent": "missing in the files: an empty bar stands for each, nothing fills in them",
    "closed": "with an auction in them, or reaching out of the session: seen, never traded",
    "outside": "outside all sessions: dropped",
    "zero_volume": "without volume: nothing fills in them",
    "duplicates": "equal copies: dropped",
    "trade_duplicates": "trades of an id that came before: dropped",
    "out_of_order": "sorted",
    "not_finite": "with a value that is no number: dropped",
    "range_widened": "open or close outside low .. high: the range is widened",
    "vwap_moved": "a VWAP outside low .. high: moved to its edge",
    "typical_price": "no notional in the file: the VWAP is (high + low + close) / 3",
    "far_prints": "extremes left out of that",
    "off_tick": "with a price rounded to the tick",
    "off_lot": "with a volume rounded to the lot",
}


def render_bar_import(report: BarReport, session: Path, console: Console) -> None:
    """Print what was made of bars."""
    length = format_duration(report.interval_ns)
    where = f" of {report.calendar}, times read as {report.clock}" if report.calendar else ""
    console.print(
        Text.assemble((str(session), "bold"), f"  {report.symbol}, {report.bars:,} bars of {length}{where}")
    )
    print_units(report, console)
    table = Table(title=f"{report.lines:,} rows", title_justify="left", show_header=False, box=None)
    for side in ("left", "right", "left"):
        table.add_column(justify="right" if side == "right" else "left")
    for name, meaning in _FOUND.items():
        count: int = getattr(report, name)
        if count:
            table.add_row(name.replace("_", " "), f"{count:,}", meaning)
    if table.row_count:
        console.print(table)
    else:
        console.print(f"{report.lines:,} rows, nothing wrong in them")
    for text in (*report.problems, *_named(report)):
        console.print(f"  {text}", markup=False, highlight=False)
    console.print(
        "bars-only session: fills are modelled at the interval's VWAP\n"
        f"\ntrade on it:  {replay_command(session, report.interval_ns)}",
        highlight=False,
        soft_wrap=True,
    )


def _named(report: BarReport) -> list[str]:
    first, splits = report.first_outside, report.splits
    return [
        *([f"outside all sessions: {', '.join(first)} (as in the file)"] if first else []),
        *([f"splits, which no order may cross: {', '.join(splits)}"] if splits else []),
    ]
