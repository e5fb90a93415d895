"""Raw Binance captures (spot, USD-M and coin-M futures), as the hftbacktest collector writes them.

A line is ``<local receive time> <JSON as the exchange sent it>``: ``depth`` diffs or partial books
(``depth5``, ``10``, ``20``), ``trade`` or ``aggTrade`` and ``bookTicker`` messages, of the combined stream or
of streams of their own, and REST depth snapshots. The time is in nanoseconds, microseconds (the collector's,
until 2023) or milliseconds, by the size of a file's first. ``markPrice`` and ``forceOrder`` are counted and
left out; other streams are named.

Rules kept here:

* every line falls in exactly one category of the ``ImportReport``; one of another market than the symbol's
  (spot has no ``pu``, coin-M messages name their pair in ``ps``) is refused, because ids, sizes and
  sequence rules differ;
* book continuity is the exchange's own rule. Spot: after a snapshot of id L a diff (U, u) with u <= L is
  old, one with U <= L + 1 applies. Futures: after a snapshot u < L is old and pu <= L applies, from then
  on ``pu`` must be the ``u`` before it. Anything else is a gap, on the tape until the next snapshot. Diffs
  are kept until a snapshot arrives, so that one received *before* its snapshot and newer than it is
  applied after it;
* trades come twice, one by one and aggregated by taker order and price: the kind that comes first in a
  capture counts, the other is left out. Those of a futures capture that were not made in the book
  (``X`` is not MARKET: insurance fund) are left out;
* a partial book is a snapshot each time, and used where no book is followed by diffs;
* the exchange's clock is brought onto the recorder's by one constant offset: the 0.1 % quantile of
  (received - sent), so that a thousandth of the messages at most seems to arrive before it was sent.
  The true offset is smaller by the unknown shortest delay of the line;
* what a futures message reports happened when the engine matched it (``T``); spot diffs say only when they
  were sent (``E``).
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import orjson

from agent.core.errors import InputError
from connectors.importers.binance.binance_fields import Receipts, stream_of
from connectors.importers.binance.binance_messages import Messages
from connectors.importers.decimals import SCALE
from connectors.importers.import_report import ImportReport
from connectors.importers.lines import TornFileError, read_lines
from connectors.importers.pipeline import (
    BLOCK_ROWS,
    OFFSET_QUANTILE,
    ImportRequest,
    OpenWriter,
    write_session,
)
from connectors.importers.raw_rows import Place, RawBuffer, RawRows
from connectors.importers.symbols import MarketKind, Symbol, parse_symbol

_HEAD_LINES = 1000
EXCHANGES = {MarketKind.SPOT: "binance", MarketKind.LINEAR: "binanceusdm", MarketKind.INVERSE: "binancecoinm"}


def import_binance_raw(request: ImportRequest, open_writer: OpenWriter, spool_at: Path) -> ImportReport:
    """Write captures to the session that ``open_writer`` opens. Raises as ``write_session`` does."""
    source = _Captures(request)
    write_session(source, request, open_writer, spool_at)
    return source.report


def raw_symbol(symbol: Symbol) -> str:
    """Binance's own name: BTCUSDT, of coin-M BTCUSD_PERP, with an expiry BTCUSDT_241227."""
    end = symbol.expiry or ("PERP" if symbol.market is MarketKind.INVERSE else "")
    return f"{symbol.base}{symbol.quote}" + (f"_{end}" if end else "")


class _Captures:
    """Capture files in order of time (``connectors.importers.pipeline.FileSource``)."""

    price_scale = SCALE

    def __init__(self, request: ImportRequest) -> None:
        self.symbol = parse_symbol(request.symbol)
        self.report = ImportReport(
            self.symbol.unified, [path.name for path in request.paths], self.symbol.market.value
        )
        self.place = Place()
        self._request = request
        self._buffer = RawBuffer(self.place, self.report)
        self._messages = Messages(
            raw_symbol(self.symbol), self.symbol.market, self.report, self.place, self._buffer
        )
        self.delays = self._messages.delays

    def blocks(self) -> Iterator[RawRows]:
        report, place, messages, buffer = self.report, self.place, self._messages, self._buffer
        heads = {path: _head(path) for path in self._request.paths}
        for path in sorted(self._request.paths, key=lambda path: heads[path][0]):
            place.open(path.name)
            messages.begin_file(heads[path][1])
            try:
                for line in read_lines(path, place.count_bytes):
                    place.code += 1
                    messages.line(line)
                    if buffer.pending >= BLOCK_ROWS:
                        yield buffer.take()
            except TornFileError as torn:
                place.code += 1
                report.bad_lines += 1
                report.problem(f"{place.name()}: {torn.args[0]}")
            report.lines += place.line
        messages.finish()
        if buffer.pending:
            yield buffer.take()

    def nothing(self) -> InputError:
        report, others = self.report, self._messages.others
        seen = f"; other symbols: {', '.join(sorted(others))}" if others else ""
        why = f"; first problem: {report.problems[0]}" if report.problems else ""
        if report.lines and report.bad_lines == report.lines:
            return InputError(
                f"{', '.join(report.files)}: no line is one of a raw Binance capture, a receive time and JSON"
                f" as the exchange sent it (first: {report.problems[0]})"
            )
        return InputError(
            f"no Binance {report.market} messages of {report.symbol} in {', '.join(report.files)} "
            f"({report.lines:,} lines{seen}{why}): give another --symbol or another file"
        )

    def exchange(self) -> str:
        return EXCHANGES[self.symbol.market]

    def contract_size(self) -> Decimal:
        """A coin-M contract is 100 USD of bitcoin, 10 USD of anything else; all other sizes are in base."""
        if self._request.contract_size is not None:
            return self._request.contract_size
        if self.symbol.market is not MarketKind.INVERSE:
            return Decimal(1)
        return Decimal(100 if self.symbol.base == "BTC" else 10)

    def offset_ns(self) -> int:
        return -self.delays.quantile(OFFSET_QUANTILE)


def _stamp_ns(stamp: bytes) -> int:
    """A receive stamp of any unit, 0 where it is none."""
    try:
        return Receipts().ns(int(stamp))
    except ValueError:
        return 0


def _head(path: Path) -> tuple[int, str]:
    """A file's first receive stamp and the first symbol it names, as its streams write it; 0 and "" without.

    Files are joined in order of time, however given; snapshots are of the symbol that their file names.
    """
    first = 0
    try:
        for number, line in enumerate(read_lines(path)):
            stamp, _, text = line.partition(b" ")
            first = first or _stamp_ns(stamp)
            if name := _named(text):
                return first, name
            if number == _HEAD_LINES:
                break
    except TornFileError:
        pass
    return first, ""


def _named(text: bytes) -> str:
    """The symbol that a message names, in small letters; "" where it names none."""
    try:
        message = orjson.loads(text)
        stream = message.get("stream")
        if stream is not None:
            return str(stream).partition("@")[0]
        single = stream_of(message)
        return single[0] if single else str(message.get("symbol", "")).lower()
    except (ValueError, AttributeError):
        return ""
