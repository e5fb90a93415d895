"""``agent import``: make a session from market data that others recorded."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.amounts import parse_amount
from agent.cli import options as o
from agent.cli import output
from agent.entry import log_lines

if TYPE_CHECKING:
    from agent.app.importing import Imported


def import_(
    files: Annotated[list[Path], typer.Argument(help="Recorded files, in any order.")],
    symbol: Annotated[
        str,
        typer.Option(
            metavar="SYMBOL",
            help="As ccxt writes it: BTC/USDT, BTC/USDT:USDT (linear) or BTC/USD:BTC (inverse).",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Directory of the session to make.")],
    kind: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="binance-raw|bybit-raw|hyperliquid-raw|book-archive|tardis-csv|klines|trades",
            help="What the files hold; looked at if left out.",
        ),
    ] = None,
    tick_size: Annotated[
        str | None, typer.Option(metavar="PRICE", help="Smallest step of a price; inferred if left out.")
    ] = None,
    lot_size: Annotated[
        str | None,
        typer.Option(metavar="QUANTITY", help="Smallest step of a quantity, inferred if left out."),
    ] = None,
    contract_size: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="What one contract is worth; known for Binance.")
    ] = None,
    calendar: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Trading calendar of klines whose market closes, as in XNYS."),
    ] = None,
    stamped: Annotated[
        str | None,
        typer.Option(metavar="start|end", help="What the times of klines are of; looked at if left out."),
    ] = None,
    as_json: o.AsJson = False,
    log_json: o.LogJson = False,
) -> int:
    """Make a session from market data that others recorded."""
    log_lines.set_up(always_json=log_json)
    from agent.app.importing import import_files
    from agent.terminal.imported.import_tables import reading

    units = (
        _amount(tick_size, "tick size"),
        _amount(lot_size, "lot size"),
        _amount(contract_size, "contract size"),
    )
    with reading(files) as watch:
        done = import_files(files, kind, symbol, out, *units, calendar, stamped, watch)
    if as_json:
        output.emit(done.to_json())
    else:
        _show(done)
    return 0


def _show(done: Imported) -> None:
    """What was made and what became of every line, or of every bar."""
    output.console_of().print(f"read as {done.report.format}", highlight=False)
    from agent.terminal.imported.bar_import_tables import render_bar_import
    from agent.terminal.imported.import_tables import render_import
    from connectors.importers.bars.bar_report import BarReport

    if isinstance(done.report, BarReport):
        render_bar_import(done.report, done.session, output.console_of())
    else:
        render_import(done.report, done.session, output.console_of())


def _amount(text: str | None, what: str) -> Decimal | None:
    return None if text is None else parse_amount(text, what)
