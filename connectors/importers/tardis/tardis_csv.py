"""Tardis CSV files (``incremental_book_L2``, ``trades``, ``quotes``, ``book_snapshot_N``) as tape rows.

Rules kept here:

* every line falls in exactly one category of the ``ImportReport``; which of both files it is says its
  header, and a file with other columns is refused;
* rows of one file with the same ``local_timestamp`` are one exchange update. A run of ``is_snapshot`` rows
  is a snapshot, shown when its last row came, or several, where rows of both sides came at each of several
  times; rows before the first are dropped. A snapshot after changes means that the connection was lost: a
  gap on the tape, closed by it. One after a snapshot is the next of a market that sends nothing else;
* each line of ``quotes`` and of ``book_snapshot_N`` is a snapshot; files that show the book in two ways are
  refused together;
* a row is of the symbol when its name is equal to one that the symbol can have there (``tardis_symbols``);
* files are joined by ``local_timestamp``, trades before the book where both are of the same microsecond.
  A stamp that steps back inside a file is held at the one before it;
* the stamps are those of synchronised clocks and stay as they are, but where more than a thousandth of
  the messages came before they were sent: then the clock is moved until a thousandth does;
* trade ids of Binance spot have no holes: one is a gap, a repeated one is dropped. Those of its futures do,
  because trades made outside the book (insurance fund, deleveraging) are left out of the files: only a hole
  of more than ``tardis_files.OFF_BOOK_IDS`` is a gap. Other exchanges' ids are not judged;
* prices of nine to twelve decimals, or with a given tick of so many, are read in 1e-12, the others in 1e-8;
* amounts are in the base currency, but of inverse contracts, and of those whose size must be given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path

from agent.core.errors import InputError
from connectors.importers.binance.binance_raw import raw_symbol
from connectors.importers.import_report import ImportReport
from connectors.importers.lines import TornFileError, read_lines
from connectors.importers.pipeline import OFFSET_QUANTILE, ImportRequest, OpenWriter
from connectors.importers.price_scale import write_in_scale
from connectors.importers.raw_rows import Delays, Mender, Place, RawRows
from connectors.importers.symbols import MarketKind, parse_symbol
from connectors.importers.tardis.tardis_files import BookFile, CsvFile, Reading, TradeFile
from connectors.importers.tardis.tardis_lines import BOOK_COLUMNS, TRADE_COLUMNS
from connectors.importers.tardis.tardis_merge import merged
from connectors.importers.tardis.tardis_symbols import is_of
from connectors.importers.tardis.tardis_tops import QUOTE_COLUMNS, TopsFile, levels_of_header

_CCXT = {
    "binance-us": "binanceus",
    "binance-futures": "binanceusdm",
    "binance-delivery": "binancecoinm",
    "bybit-spot": "bybit",
    "gate-io": "gate",
    "okex": "okx",
    "okex-swap": "okx",
    "okex-futures": "okx",
}
_BASE_AMOUNTS = ("binance-futures", "bybit")  # linear contracts counted in the base currency
_DOLLAR_CONTRACTS = ("bitmex", "bybit", "deribit")  # inverse contracts counted in dollars


def import_tardis_csv(request: ImportRequest, open_writer: OpenWriter, spool_at: Path) -> ImportReport:
    """Write Tardis files to the session that ``open_writer`` opens. Raises as ``write_session`` does."""
    return write_in_scale(lambda scale: _Files(request, scale), request, open_writer, spool_at)


def _kind(header: str) -> Callable[[Reading], CsvFile] | None:
    """What opens a file of these columns; None where they are not known."""
    known: dict[str, Callable[[Reading], CsvFile]] = {BOOK_COLUMNS: BookFile, TRADE_COLUMNS: TradeFile}
    levels = levels_of_header(header)
    if levels:
        return partial(TopsFile, levels=levels, quotes=header == QUOTE_COLUMNS)
    return known.get(header)


class _Files:
    """All files of an import (``connectors.importers.pipeline.FileSource``)."""

    def __init__(self, request: ImportRequest, price_scale: int) -> None:
        self.price_scale = price_scale
        self.symbol = parse_symbol(request.symbol)
        self.report = ImportReport(
            self.symbol.unified, [path.name for path in request.paths], self.symbol.market.value
        )
        self.place = Place()
        self.delays = Delays()
        self._request = request
        self._exchange = ""
        self._others: set[str] = set()
        self._book: tuple[Path, str] | None = None  # the first file that shows the book, and its columns

    def blocks(self) -> Iterator[RawRows]:
        files = [self._open(path) for path in self._request.paths]
        mender = Mender(self.place, self.report)
        for block in merged(files):
            recv_ns = block.rows["recv_ns"]
            self.report.first_recv_ns = self.report.first_recv_ns or int(recv_ns[0])
            self.report.last_recv_ns = int(recv_ns[-1])
            yield mender.mend(block.rows, block.where)

    def _open(self, path: Path) -> CsvFile:
        """A file by its header, ready for the rows of the symbol. Raises InputError."""
        self.place.open(path.name)
        prefix = b""
        try:
            lines = read_lines(path)
            header = next(lines, b"").decode(errors="replace").strip().lstrip("\ufeff")
            open_as = _kind(header)
            if open_as is None:
                raise InputError(
                    f"{path.name}:1: {header[:100]!r} are not the columns of a Tardis file: give one with "
                    f"{BOOK_COLUMNS} (incremental_book_L2), {TRADE_COLUMNS} (trades), those of quotes or of"
                    " book_snapshot_5 or book_snapshot_25"
                )
            self._refuse_two_books(path, header)
            prefix = self._wanted(lines)
        except TornFileError as torn:
            raise InputError(f"{path.name} is cut off at its beginning: {torn.args[0]}") from torn
        return open_as(Reading(path, prefix, self.place, self.report, self.delays, self.price_scale))

    def _refuse_two_books(self, path: Path, header: str) -> None:
        """Two kinds of files that both show the book would be one book from two."""
        if header == TRADE_COLUMNS:
            return
        self._book = self._book or (path, header)
        if header != self._book[1]:
            raise InputError(
                f"{self._book[0].name} and {path.name} both show the book, each in its way: give files of one"
                " kind, incremental_book_L2 where there is one, and the trades"
            )

    def _wanted(self, lines: Iterator[bytes]) -> bytes:
        """``exchange,symbol,`` of the first line that is of the symbol; what no line starts with without."""
        seen: set[bytes] = set()
        for line in lines:
            prefix = b",".join(line.split(b",", 2)[:2]) + b","
            if prefix in seen:
                continue
            seen.add(prefix)
            exchange, _, name = prefix.decode(errors="replace").rstrip(",").partition(",")
            if self._fits(exchange, name):
                return prefix
            self._others.add(f"{exchange} {name}")
        return b"\n"

    def _fits(self, exchange: str, name: str) -> bool:
        """Whether the exchange's name is the symbol's; the first that fits settles the exchange."""
        if self._exchange and exchange != self._exchange:
            return False
        if exchange.startswith("binance"):
            fits = name.upper() == raw_symbol(self.symbol) and is_of(exchange, name, self.symbol)
        else:
            fits = is_of(exchange, name, self.symbol)
        if fits:
            self._exchange = exchange
        return fits

    def nothing(self) -> InputError:
        report = self.report
        seen = f"; they hold {', '.join(sorted(self._others)[:10])}" if self._others else ""
        why = f"; first problem: {report.problems[0]}" if report.problems else ""
        return InputError(
            f"no rows of {report.symbol} ({report.market}) in {', '.join(report.files)} "
            f"({report.lines:,} lines{seen}{why}): give another --symbol or another file"
        )

    def exchange(self) -> str:
        return _CCXT.get(self._exchange, self._exchange)

    def contract_size(self) -> Decimal:
        """What the files count in, where it is known. Raises InputError where it must be given."""
        market, exchange = self.symbol.market, self._exchange
        if self._request.contract_size is not None:
            return self._request.contract_size
        if market is MarketKind.SPOT or (market is MarketKind.LINEAR and exchange in _BASE_AMOUNTS):
            return Decimal(1)
        if market is MarketKind.INVERSE and exchange == "binance-delivery":
            return Decimal(100 if self.symbol.base == "BTC" else 10)
        if market is MarketKind.INVERSE and exchange in _DOLLAR_CONTRACTS:
            return Decimal(1)
        what = self.symbol.base if market is MarketKind.LINEAR else self.symbol.quote
        raise InputError(
            f"what one contract of {self.report.symbol} on {exchange} is worth is not known: give "
            f"--contract-size in {what}, as the exchange states it"
        )

    def offset_ns(self) -> int:
        return max(0, -self.delays.quantile(OFFSET_QUANTILE))
