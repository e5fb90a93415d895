"""The formats that can be imported, by the name that ``agent import --format`` takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agent.core.errors import InputError
from connectors.importers.bars.bar_importer import import_klines
from connectors.importers.binance.binance_raw import import_binance_raw
from connectors.importers.exchange_lines.line_files import (
    import_book_archive,
    import_bybit_raw,
    import_hyperliquid_raw,
)
from connectors.importers.import_report import ImportReport
from connectors.importers.pipeline import ImportRequest, OpenWriter
from connectors.importers.tardis.tardis_csv import import_tardis_csv
from connectors.importers.trades.trades_importer import import_trades

Loader = Callable[[ImportRequest, OpenWriter, Path], ImportReport]
"""Reads the request's files and writes them to the session it has opened; the directory is for spooling."""

FORMATS: dict[str, Loader] = {
    "binance-raw": import_binance_raw,
    "bybit-raw": import_bybit_raw,
    "hyperliquid-raw": import_hyperliquid_raw,
    "book-archive": import_book_archive,
    "tardis-csv": import_tardis_csv,
    "klines": import_klines,
    "trades": import_trades,
}


def loader(name: str) -> Loader:
    """Return the loader of a format. Raises InputError."""
    if name not in FORMATS:
        raise InputError(f"format {name!r} is not known: choose one of {', '.join(FORMATS)}")
    return FORMATS[name]
