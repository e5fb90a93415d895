"""Raw Binance captures read into memory, by the importer that writes sessions."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path

import numpy as np

from agent.core.instrument import Instrument
from agent.core.market.tape import EventArray, empty_events
from agent.core.ports import SessionWriter
from connectors.importers.binance.binance_raw import import_binance_raw
from connectors.importers.import_report import ImportReport
from connectors.importers.pipeline import ImportRequest


class Kept:
    """A session writer that keeps the rows."""

    def __init__(self) -> None:
        self.instrument: Instrument | None = None
        self.rows = [empty_events()]

    def open(self, instrument: Instrument, report: ImportReport) -> SessionWriter:
        self.instrument = instrument
        writer: SessionWriter = self  # type: ignore[assignment]
        return writer

    def events(self, rows: EventArray) -> None:
        self.rows.append(rows)

    def close(self, end_ns: int) -> None:
        """All is in ``rows``."""


def load(
    paths: list[Path], symbol: str, *, tick: Decimal | None = None, lot: Decimal | None = None
) -> tuple[Instrument, EventArray, ImportReport]:
    """Read captures of ``symbol`` ("BTC/USDT", "BTC/USDT:USDT", ...). Raises InputError."""
    kept = Kept()
    with tempfile.TemporaryDirectory() as spool:
        report = import_binance_raw(ImportRequest(paths, symbol, tick, lot), kept.open, Path(spool))
    assert kept.instrument is not None
    return kept.instrument, np.concatenate(kept.rows), report
