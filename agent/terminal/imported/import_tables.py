"""What an import did: what it made, what became of every line, what was wrong and by which rule mended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from agent.entry import log_lines
from agent.entry.hints import replay_command
from agent.entry.long_work import LongWork
from agent.terminal.formatting import duration

if TYPE_CHECKING:  # a neighbour: what is shown is handed in
    from connectors.importers.import_report import ImportReport

_LINES = {
    "trades": "on the tape",
    "trade_duplicates": "a trade id seen before: dropped",
    "trades_off_market": "made outside the book (insurance fund): dropped",
    "trades_other_kind": "the same trades from the other stream: dropped",
    "depth_updates": "applied",
    "depth_before_snapshot": "older than the snapshot: dropped",
    "depth_unsynced": "no snapshot covers them: dropped",
    "book_tickers": "on the tape",
    "snapshots": "on the tape",
    "snapshots_old": "older than the book: dropped",
    "book_rows": "levels, on the tape",
    "book_rows_unsynced": "levels before any snapshot: dropped",
    "mark_prices": "not needed: dropped",
    "force_orders": "not needed: dropped",
    "other_streams": "not needed: dropped",
    "other_symbols": "of other symbols: dropped",
    "headers": "column names",
    "bad_lines": "could not be read: dropped",
}
_FAULTS = {
    "bad_lines": "dropped; a book update among them shows as a gap",
    "gaps": "marked on the tape; the book's until the next snapshot",
    "book_updates_lost": "update ids inside those gaps",
    "trades_missing": "trade ids never seen",
    "ids_off_market": "trade ids of the insurance fund and of deleveraging, not in the files: no gap",
    "trades_late": "kept, flagged LATE: they revise their bars",
    "crossed": "book updates that crossed: the newer level wins",
    "levels_uncrossed": "older levels taken off the book for it",
    "prices_impossible": "trades far from every price around them: kept, marked, in no number",
    "prices_rounded": "prices off the tick, moved to the nearest",
    "sizes_rounded": "book sizes finer than the lot, rounded down",
    "sizes_clipped": "sizes above forty billion, held there",
    "recv_steps_back": "receive stamps that stepped back, held at the one before",
}
_PROBLEMS_SHOWN = 5
MB = 1e6


@contextmanager
def reading(files: Sequence[Path]) -> Iterator[Callable[[int], None]]:
    """How far files are read, on stderr; yields what takes the bytes read."""
    console = Console(stderr=True, markup=False)
    size = sum(f.stat().st_size for f in files if f.is_file())
    if log_lines.asked_for_json() or not console.is_terminal:
        with LongWork("reading, in MB") as work:
            yield lambda done: work.at(done / MB, size / MB)
        return
    columns = (TextColumn("reading", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("reading", total=size)
        yield lambda done: bar.update(task, completed=done)


def render_import(report: ImportReport, session: Path, console: Console) -> None:
    """Print what was made of market data with books and trades."""
    span = duration(max(0, report.last_recv_ns - report.first_recv_ns))
    console.print(Text.assemble((str(session), "bold"), f"  {report.symbol} ({report.market}), {span}"))
    print_units(report, console)
    if report.contract_size != "1" or report.market == "inverse":
        base, _, quote = report.symbol.partition(":")[0].partition("/")
        unit = quote if report.market == "inverse" else base
        console.print(f"  a contract is {report.contract_size} {unit}: give quantities in contracts")
    console.print(
        f"  clock offset {report.clock_offset_ns / 1e6:.3f} ms (removed),"
        f" median delay {report.delay_median_ns / 1e6:.3f} ms"
    )
    console.print(f"  {report.events:,} events of {report.trades:,} trades and {report.levels:,} book levels")
    _counts(console, f"{report.lines:,} lines", report, _LINES)
    _counts(console, "What was wrong", report, _FAULTS)
    for text in report.problems[:_PROBLEMS_SHOWN]:
        console.print(f"  {text}", markup=False, highlight=False)
    if len(report.problems) > _PROBLEMS_SHOWN:
        console.print("  more in the session's session.json, under import")
    console.print(f"\ntrade on it:  {replay_command(session)}", highlight=False, soft_wrap=True)


def print_units(report: ImportReport, console: Console) -> None:
    """Tick and lot, and where they come from."""
    for name, value, inferred in (
        ("tick", report.tick, report.tick_inferred),
        ("lot", report.lot, report.lot_inferred),
    ):
        console.print(f"  {name:6}{value}  ({'inferred from the data' if inferred else 'given'})")


def _counts(console: Console, title: str, report: ImportReport, meanings: Mapping[str, str]) -> None:
    counted = [(name, getattr(report, name), text) for name, text in meanings.items()]
    rows = [row for row in counted if row[1]]
    if not rows:
        console.print(f"{title}: nothing")
        return
    table = Table(title=title, title_justify="left", show_header=False, box=None)
    table.add_column(justify="left")
    table.add_column(justify="right")
    table.add_column(justify="left")
    for name, count, text in rows:
        table.add_row(name.replace("_", " "), f"{count:,}", text)
    console.print(table)
