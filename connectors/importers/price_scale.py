"""How many decimals prices are read with: eight, or more where a file or a given tick has more."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from connectors.importers.decimals import FINE_SCALE, SCALE
from connectors.importers.import_report import ImportReport
from connectors.importers.pipeline import FileSource, ImportRequest, OpenWriter, write_session


class FinerPricesError(Exception):
    """The files hold prices of more decimals than they were read with."""


def write_in_scale(
    made: Callable[[int], FileSource], request: ImportRequest, open_writer: OpenWriter, spool_at: Path
) -> ImportReport:
    """Write what ``made`` reads with so many decimals of prices. Raises as ``write_session`` does.

    With the fewer ones first, since they hold the larger prices: nothing is written before all is read.
    """
    try:
        source = made(_price_scale(request.tick))
        write_session(source, request, open_writer, spool_at)
    except FinerPricesError:
        source = made(FINE_SCALE)
        write_session(source, request, open_writer, spool_at)
    return source.report


def _price_scale(tick: Decimal | None) -> int:
    finer = tick is not None and tick.is_finite() and tick.scaleb(SCALE) % 1
    return FINE_SCALE if finer else SCALE
