"""Files of such lines to sessions: ``book-archive``, ``bybit-raw`` and ``hyperliquid-raw``.

An archive (JSON a line, zip or tar.gz of one file) was never received: its messages stand at the time at
which the exchange made them. Files of trades beside it are brought in at their own times. A capture begins
each line with a receive time; the exchange's clock is brought onto it as for Binance's captures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from agent.core.errors import InputError
from agent.core.types import DAY_NS
from connectors.importers.binance.binance_fields import Receipts, stamp_ns
from connectors.importers.exchange_lines.book_rows import BookRows
from connectors.importers.exchange_lines.bybit_lines import BybitLines
from connectors.importers.exchange_lines.hyperliquid_lines import HyperliquidLines
from connectors.importers.exchange_lines.line_reader import Head, LineReader
from connectors.importers.exchange_lines.okx_lines import OkxLines
from connectors.importers.exchange_lines.trade_files import TradeFiles
from connectors.importers.import_report import ImportReport
from connectors.importers.lines import TornFileError, read_lines
from connectors.importers.pipeline import (
    BLOCK_ROWS,
    OFFSET_QUANTILE,
    ImportRequest,
    OpenWriter,
)
from connectors.importers.price_scale import write_in_scale
from connectors.importers.raw_rows import Place, RawBuffer, RawRows
from connectors.importers.symbols import MarketKind, parse_symbol

_HEAD_LINES = 400
_NOT_A_MESSAGE = (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError)


def import_book_archive(request: ImportRequest, open_writer: OpenWriter, spool_at: Path) -> ImportReport:
    """Bybit's or OKX's archives, with or without files of trades. Raises as ``write_session`` does."""
    return _imported(request, open_writer, spool_at, {"bybit": BybitLines, "okx": OkxLines}, raw=False)


def import_bybit_raw(request: ImportRequest, open_writer: OpenWriter, spool_at: Path) -> ImportReport:
    """Captures of Bybit's streams. Raises as ``write_session`` does."""
    return _imported(request, open_writer, spool_at, {"bybit": BybitLines}, raw=True)


def import_hyperliquid_raw(request: ImportRequest, open_writer: OpenWriter, spool_at: Path) -> ImportReport:
    """Captures of Hyperliquid's streams. Raises as ``write_session`` does."""
    return _imported(request, open_writer, spool_at, {"hyperliquid": HyperliquidLines}, raw=True)


def _imported(
    request: ImportRequest,
    open_writer: OpenWriter,
    spool_at: Path,
    kinds: Mapping[str, type[LineReader]],
    *,
    raw: bool,
) -> ImportReport:
    return write_in_scale(
        lambda scale: _LineFiles(request, kinds, scale, raw=raw), request, open_writer, spool_at
    )


class _LineFiles:
    """The files of an import (``connectors.importers.pipeline.FileSource``)."""

    def __init__(
        self, request: ImportRequest, kinds: Mapping[str, type[LineReader]], price_scale: int, *, raw: bool
    ) -> None:
        from connectors.importers.looked_at import look

        self.price_scale, self._request, self._raw = price_scale, request, raw
        self.symbol = parse_symbol(request.symbol)
        names = [path.name for path in request.paths]
        self.report = ImportReport(self.symbol.unified, names, self.symbol.market.value)
        self.place = Place()
        self._buffer = RawBuffer(self.place, self.report)
        self._rows = BookRows(self.report, self.place, self._buffer, price_scale)
        trades = [] if raw else [path for path in request.paths if look(path).kind == "trades"]
        self._heads = [_head(path, raw) for path in request.paths if path not in trades]
        self._heads.sort(key=lambda head: head.first_ns)
        self._lines: LineReader = self._reader(kinds)
        self.delays = self._lines.delays
        self._trades = (
            TradeFiles(trades, self.symbol, self.report, self.place, price_scale) if trades else None
        )

    def _reader(self, kinds: Mapping[str, type[LineReader]]) -> LineReader:
        if not self._heads:
            raise InputError(f"{', '.join(self.report.files)} show no book: give --format trades")
        found = {head.path.name: kind for head in self._heads if (kind := _exchange_of(head))}
        if len(set(found.values())) > 1:
            both = ", ".join(f"{name} of {kind}" for name, kind in found.items())
            raise InputError(f"the files are of several exchanges ({both}): import one at a time")
        kind = next(iter(found.values()), next(iter(kinds)))
        if kind not in kinds:
            raise InputError(
                f"{next(iter(found))} holds messages of {kind}: this format reads {', '.join(kinds)}"
            )
        return kinds[kind](self.symbol, self._rows, self._heads)

    def blocks(self) -> Iterator[RawRows]:
        report, place, buffer = self.report, self.place, self._buffer
        if self._trades is not None:
            self._refuse_apart(self._trades)
            self._rows.before = lambda at_ns: self._bring(at_ns)
        for head in self._heads:
            place.open(head.path.name)
            self._rows.begins_file, receipts = True, Receipts()
            try:
                for line in read_lines(head.path, place.count_bytes):
                    place.code += 1
                    self._line(line, receipts)
                    if buffer.pending >= BLOCK_ROWS:
                        yield buffer.take()
            except TornFileError as torn:
                place.code += 1
                self._bad(torn.args[0])
            report.lines += place.line
        yield from self._rest()

    def _rest(self) -> Iterator[RawRows]:
        """What traded after the last book, and what is still to be said."""
        if self._trades is not None:
            self._bring(self._trades.last_ns)
            self.report.last_recv_ns = max(self.report.last_recv_ns, self._trades.last_ns)
            self.report.first_recv_ns = min(self.report.first_recv_ns, self._trades.first_ns)
        self._rows.finish()
        if self._lines.left_out:
            named = ", ".join(sorted(self._lines.left_out)[:10])
            self.report.problem(f"streams that are not read: {named}")
        if self._buffer.pending:
            yield self._buffer.take()

    def _bring(self, at_ns: int) -> None:
        if self._trades is not None:
            self._trades.until(at_ns, self._buffer)

    def _refuse_apart(self, trades: TradeFiles) -> None:
        """A book and trades that lie a day apart are of different days."""
        first_ns, last_ns = self._heads[0].first_ns, self._heads[-1].first_ns
        if first_ns and (trades.last_ns < first_ns or trades.first_ns > last_ns + DAY_NS):
            raise InputError(
                "the trades and the book are of different days: give files of the same days, or the book"
                " alone"
            )

    def _line(self, line: bytes, receipts: Receipts) -> None:
        try:
            if not self._raw:
                self._lines.message(None, _object(line))
                return
            stamp, _, text = line.partition(b" ")
            self._lines.message(receipts.ns(int(stamp)), _object(text))
        except _NOT_A_MESSAGE as error:
            self._bad(f"{type(error).__name__}: {error}")

    def _bad(self, why: str) -> None:
        self.report.bad_lines += 1
        self.report.problem(f"{self.place.name()}: {why[:200]}")

    def nothing(self) -> InputError:
        report, others = self.report, self._lines.others
        seen = f"; other symbols: {', '.join(sorted(others)[:10])}" if others else ""
        why = f"; first problem: {report.problems[0]}" if report.problems else ""
        if report.depth_unsynced:
            return InputError(
                f"{', '.join(report.files)} hold {report.depth_unsynced:,} changes of a book and no snapshot"
                f" before them{seen}{why}: give the file with the snapshot too, as that of the day before"
            )
        return InputError(
            f"no {self._lines.exchange} messages of {report.symbol} ({report.market}) in"
            f" {', '.join(report.files)} ({report.lines:,} lines{seen}{why}): give another --symbol or"
            " another file"
        )

    def exchange(self) -> str:
        return self._lines.exchange

    def contract_size(self) -> Decimal:
        """Bybit's and Hyperliquid's amounts are coins, of inverse contracts dollars. Raises InputError."""
        if self._request.contract_size is not None:
            return self._request.contract_size
        if self._lines.exchange != "okx" or self.symbol.market is MarketKind.SPOT:
            return Decimal(1)
        what = self.symbol.base if self.symbol.market is MarketKind.LINEAR else self.symbol.quote
        raise InputError(
            f"what one contract of {self.report.symbol} on okx is worth is not known: give --contract-size in"
            f" {what}, as the exchange states it"
        )

    def offset_ns(self) -> int:
        return -self.delays.quantile(OFFSET_QUANTILE)


def _object(text: bytes) -> Any:
    """A message. Raises ValueError."""
    found = orjson.loads(text)
    if not isinstance(found, dict):
        raise ValueError("not a message of an exchange")
    return found


def _head(path: Path, raw: bool) -> Head:
    """The first messages of a file that can be read."""
    messages, first_ns = list[Any](), 0
    try:
        for number, line in enumerate(read_lines(path)):
            if number == _HEAD_LINES:
                break
            stamp, _, text = line.partition(b" ") if raw else (b"", b"", line)
            try:
                message = _object(text)
                first_ns = first_ns or (Receipts().ns(int(stamp)) if raw else stamp_ns(int(message["ts"])))
            except _NOT_A_MESSAGE:
                continue
            messages.append(message)
    except TornFileError:
        pass
    return Head(path, first_ns, messages)


def _exchange_of(head: Head) -> str:
    """Whose messages a file holds, "" where that is not known."""
    for message in head.messages:
        if "topic" in message:
            return "bybit"
        if "instId" in message and "action" in message:
            return "okx"
        if "channel" in message:
            return "hyperliquid"
    return ""
