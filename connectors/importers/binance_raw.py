"""Raw Binance *spot* captures, as the hftbacktest collector writes them, made into tape rows.

A line is ``<local receive time, ns> <JSON as the exchange sent it>``: ``depth`` diffs, ``trade`` and
``bookTicker`` messages of the combined stream, and REST depth snapshots (the lines without ``stream``).

Rules kept here:

* every line falls in exactly one category of the ``ImportReport``;
* book continuity is the exchange's own rule: after a snapshot of id L a diff (U, u) with u <= L is
  old, one with U <= L + 1 applies, anything else is a gap. Diffs are kept until a snapshot arrives, so
  that one received *before* its snapshot and newer than it is applied after it;
* the exchange's clock is brought onto the recorder's by one constant offset: the 0.1 % quantile of
  (received - sent), so that a thousandth of the messages at most seems to arrive before it was sent.
  The true offset is smaller by the unknown shortest delay of the line;
* tick and lot, where not given, are the largest powers of ten that divide every price and every trade.
  Old orders can rest in sizes finer than today's lot (10 of 572,863 levels in the reference captures):
  such book sizes are rounded down, to one lot at least, and counted. Trades are always exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np

from agent.core.errors import InputError
from agent.core.instrument import Instrument
from agent.core.ports import SessionWriter
from agent.core.tape import EVENT, EventArray, Kind, empty_events
from connectors.importers.binance_messages import COLUMNS, SCALE, UNSTAMPED, Columns, ImportReport, Messages
from connectors.importers.lines import TornFileError, read_lines

__all__ = ["ImportReport", "import_binance_raw", "load", "split_symbol"]

QUOTES = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "DAI", "BTC", "ETH", "BNB", "EUR", "TRY", "BRL", "JPY")
OFFSET_QUANTILE = 0.001
_CHUNK_ROWS = 65536


def load(
    paths: Sequence[Path], symbol: str, *, tick: Decimal | None = None, lot: Decimal | None = None
) -> tuple[Instrument, EventArray, ImportReport]:
    """Read captures of ``symbol`` ("BTC/USDT" or "BTCUSDT") into memory. Raises InputError."""
    scan = _Scan(paths, symbol)
    chunks = list(scan.chunks())
    instrument = scan.finish(tick, lot)
    tape = [scan.to_events(chunk, instrument, 1) for chunk in chunks]
    events = np.concatenate(tape) if tape else empty_events()
    events["seq"] = np.arange(1, len(events) + 1)
    return instrument, events, scan.report


def import_binance_raw(
    paths: Sequence[Path],
    symbol: str,
    open_writer: Callable[[Instrument, ImportReport], SessionWriter],
    *,
    tick: Decimal | None = None,
    lot: Decimal | None = None,
) -> ImportReport:
    """Write captures of ``symbol`` to the session that ``open_writer`` opens, and close it.

    Reads twice: tick, lot and clock offset are known only at the end, and memory stays bounded. Raises
    InputError, and what the writer raises.
    """
    first = _Scan(paths, symbol)
    for _ in first.chunks():
        pass  # only what it learns counts
    instrument = first.finish(tick, lot)
    writer = open_writer(instrument, first.report)
    seq = 1
    for chunk in _Scan(paths, symbol).chunks():
        writer.events(first.to_events(chunk, instrument, seq))
        seq += len(chunk)
    writer.close(first.report.last_recv_ns)
    return first.report


def split_symbol(symbol: str) -> tuple[str, str]:
    """Return (base, quote) of "BTC/USDT" or "BTCUSDT". Raises InputError when the quote is not known."""
    base, slash, quote = symbol.upper().partition("/")
    if slash and base and quote:
        return base, quote
    for known in QUOTES:
        if base.endswith(known) and len(base) > len(known):
            return base.removesuffix(known), known
    raise InputError(f"symbol {symbol!r} names no base and quote: write it as BASE/QUOTE, like BTC/USDT")


class _Scan:
    """One pass over the files."""

    def __init__(self, paths: Sequence[Path], symbol: str) -> None:
        self.base, self.quote = split_symbol(symbol)
        self.report = ImportReport(f"{self.base}/{self.quote}", [path.name for path in paths])
        self._paths = sorted(paths, key=_first_stamp)
        self._messages = Messages(self.base + self.quote, self.report)

    def chunks(self) -> Iterator[Columns]:
        """Yield raw rows in pieces of whole exchange updates."""
        report = self.report
        for path in self._paths:
            number = 0
            try:
                for number, line in enumerate(read_lines(path), start=1):
                    report.lines += 1
                    self._messages.line(line, path.name, number)
                    if self._messages.pending >= _CHUNK_ROWS:
                        yield self._messages.take()
            except TornFileError as torn:
                report.lines += 1
                report.bad_lines += 1
                report.problem(f"{path.name}:{number + 1}: {torn.args[0]}")
        self._messages.finish()
        if self._messages.pending:
            yield self._messages.take()

    def finish(self, tick: Decimal | None, lot: Decimal | None) -> Instrument:
        """Complete the report and return the instrument. Raises InputError."""
        report, messages = self.report, self._messages
        if not report.events:
            seen = f"; other symbols: {', '.join(sorted(messages.others))}" if messages.others else ""
            why = f"; first problem: {report.problems[0]}" if report.problems else ""
            raise InputError(
                f"no Binance spot messages of {report.symbol} in {', '.join(report.files)} "
                f"({report.lines:,} lines{seen}{why}): give another --symbol or another file"
            )
        delays = np.frombuffer(messages.delays_ns, dtype=np.int64)
        if len(delays):
            report.clock_offset_ns = -round(float(np.quantile(delays, OFFSET_QUANTILE)))
            report.delay_median_ns = round(float(np.median(delays))) + report.clock_offset_ns
        report.tick_inferred, report.lot_inferred = tick is None, lot is None
        tick = _unit("tick", "prices", tick, messages.price_gcd)
        lot = _unit("lot", "trades", lot, messages.trade_gcd or messages.size_gcd)
        report.tick, report.lot = format(tick, "f"), format(lot, "f")
        return Instrument(0, "binance", report.symbol, self.base, self.quote, self.quote, tick, lot)

    def to_events(self, chunk: Columns, instrument: Instrument, seq: int) -> EventArray:
        """Return raw rows in ticks, lots and one clock, numbered from ``seq``."""
        rows = np.zeros(len(chunk), dtype=EVENT)
        for index, name in enumerate(COLUMNS):
            rows[name] = chunk[:, index]
        stamped = rows["exch_ns"] != UNSTAMPED
        rows["exch_ns"] = np.where(stamped, rows["exch_ns"] - self.report.clock_offset_ns, rows["recv_ns"])
        rows["price_ticks"] //= int(instrument.tick.scaleb(SCALE))
        sized = rows["kind"] <= Kind.BBO
        sizes = rows["qty_lots"][sized]
        lots, rest = np.divmod(sizes, int(instrument.lot.scaleb(SCALE)))
        self.report.sizes_rounded += int(np.count_nonzero(rest))
        rows["qty_lots"][sized] = np.maximum(lots, sizes > 0)
        rows["instrument"] = instrument.number
        rows["seq"] = np.arange(seq, seq + len(rows))
        return rows


def _unit(name: str, of: str, given: Decimal | None, found: int) -> Decimal:
    """Return the given unit if it fits what was found, or the largest power of ten that does."""
    largest = Decimal(10).scaleb(-1 - SCALE)
    while found and found % int(largest.scaleb(SCALE + 1)) == 0:
        largest *= 10
    largest = largest.normalize()
    if given is None:
        return largest
    step = given.scaleb(SCALE)
    if not given.is_finite() or given <= 0 or step % 1 or found % int(step):
        raise InputError(
            f"{name} {given} does not divide the {of} of the capture, which are multiples of {largest:f}: "
            f"give {largest:f}, or leave it out"
        )
    return given


def _first_stamp(path: Path) -> int:
    """Return the first receive stamp of a file: files are joined in order of time, however given."""
    try:
        for line in read_lines(path):
            stamp = line.partition(b" ")[0]
            if stamp.isdigit():
                return int(stamp)
    except TornFileError:
        pass
    return 0
