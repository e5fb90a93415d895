"""From raw rows to a session, whatever their format: one reading of the files, bounded memory.

Tick, lot and clock offset are known only at the end of the files, so raw rows wait in an unnamed file on
disk (56 bytes a row) and are turned into ticks and lots block by block from there.

Rules kept here:

* tick and lot are inferred or given as ``connectors.importers.tick_and_lot`` says;
* old orders can rest in sizes finer than today's lot (10 of 572,863 levels in the reference captures):
  such book sizes are rounded down, to one lot at least, and counted. Trades are exact, but where the lot was
  made coarser: then they go to the nearest lot.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from agent.core.arrays import BoolArray
from agent.core.errors import InputError, InternalError, RecordingError
from agent.core.instrument import Instrument
from agent.core.market.tape import EVENT, EventArray, Flag, Kind
from agent.core.money import MOST_TL
from agent.core.ports import SessionWriter
from connectors.continuity.impossible_prices import PriceJudge
from connectors.importers.decimals import SCALE
from connectors.importers.import_report import ImportReport
from connectors.importers.raw_rows import UNSTAMPED, Delays, Place, RawRows
from connectors.importers.symbols import Symbol
from connectors.importers.tick_and_lot import UnitFinder, coarser, held_lot

BLOCK_ROWS = 16384
OFFSET_QUANTILE = 0.001
MOST_BAD_SHARE = 0.5  # of the lines: beyond, the file is of another kind

OpenWriter = Callable[[Instrument, ImportReport], SessionWriter]


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What a user wants imported. Units are inferred where they are None."""

    paths: Sequence[Path]
    symbol: str
    tick: Decimal | None = None
    lot: Decimal | None = None
    contract_size: Decimal | None = None
    calendar: str | None = None  # of bars whose market closes
    stamped: str | None = None  # "start" or "end": what the times of bars are; looked at where None
    watch: Callable[[int], None] | None = None  # called with the bytes of the files read so far


class FileSource(Protocol):
    """The files of one format, read once from beginning to end."""

    report: ImportReport
    symbol: Symbol
    place: Place
    delays: Delays
    price_scale: int  # decimals of raw prices

    def blocks(self) -> Iterator[RawRows]:
        """Yield rows in blocks of whole exchange updates. Raises InputError."""
        ...

    def nothing(self) -> InputError:
        """Why the files held nothing of the symbol."""
        ...

    def exchange(self) -> str:
        """ccxt's id of the exchange; called at the end."""
        ...

    def contract_size(self) -> Decimal:
        """Base units (linear) or quote units (inverse) of one unit of quantity; called at the end."""
        ...

    def offset_ns(self) -> int:
        """What the exchange's clock is ahead of the recorder's; called at the end."""
        ...


def write_session(
    source: FileSource, request: ImportRequest, open_writer: OpenWriter, spool_at: Path
) -> None:
    """Write the session that ``open_writer`` opens, and close it.

    Raw rows wait in a file of the directory ``spool_at`` that is gone when this returns or dies. Raises
    InputError before a session is made, RecordingError, and what the writer raises.
    """
    units = _Units(source.place, request, source.price_scale)
    with _spool(spool_at) as spool:
        for block in source.blocks():
            units.learn(block)
            _put(spool, block.rows, spool_at)
            if request.watch is not None:
                request.watch(source.place.bytes_read)
        instrument = _finish(source, units)
        writer = open_writer(instrument, source.report)
        spool.seek(0)
        seq, judge = 1, PriceJudge()
        while data := spool.read(BLOCK_ROWS * EVENT.itemsize):
            rows = np.frombuffer(bytearray(data), EVENT)
            _to_tape(rows, instrument, source, seq)
            mark_impossible(rows, judge, source.report)
            writer.events(rows)
            seq += len(rows)
    writer.close(source.report.last_recv_ns)


def _spool(folder: Path) -> BinaryIO:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=folder)
    except OSError as error:
        raise RecordingError(f"cannot write to {folder}: {error.strerror}; choose another --out") from error


def _put(spool: BinaryIO, rows: EventArray, folder: Path) -> None:
    try:
        spool.write(rows.data)
    except OSError as error:
        raise RecordingError(
            f"cannot write to {folder}: {error.strerror}; free some space or choose another --out"
        ) from error


def _finish(source: FileSource, units: _Units) -> Instrument:
    """Complete the report and return the instrument. Raises InputError."""
    report = source.report
    if not report.events:
        raise source.nothing()
    if report.bad_lines > MOST_BAD_SHARE * report.lines:
        of_lines = tuple(f"{name}:" for name in report.files)
        first = next((text for text in report.problems if text.startswith(of_lines)), "not named")
        raise InputError(
            f"{report.bad_lines:,} of {report.lines:,} lines could not be read, too many to make a market of"
            f" the rest (first: {first}): give a whole file, or what it is as --format"
        )
    if report.accounted != report.lines:
        raise InternalError(f"{report.lines} lines were read and {report.accounted} are accounted for")
    if len(source.delays):
        report.clock_offset_ns = source.offset_ns()
        report.delay_median_ns = source.delays.quantile(0.5) + report.clock_offset_ns
    tick, size = units.tick(report), source.contract_size()
    lot = units.lot(source.symbol.instrument(source.exchange(), tick, units.finest_lot(), size), report)
    report.tick, report.lot, report.contract_size = (format(u, "f") for u in (tick, lot, size))
    report.tick_inferred, report.lot_inferred = units.request.tick is None, units.request.lot is None
    return source.symbol.instrument(source.exchange(), tick, lot, size)


def _to_tape(rows: EventArray, instrument: Instrument, source: FileSource, seq: int) -> None:
    """Turn raw rows into ticks, lots and one clock, in place, numbered from ``seq``."""
    report = source.report
    stamped = rows["exch_ns"] != UNSTAMPED
    rows["exch_ns"] = np.where(stamped, rows["exch_ns"] - report.clock_offset_ns, rows["recv_ns"])
    step = int(instrument.tick.scaleb(source.price_scale))
    ticks, off = np.divmod(rows["price_ticks"], step)
    report.prices_rounded += int(np.count_nonzero(off))
    rows["price_ticks"] = np.where(off > 0, np.maximum(1, ticks + (2 * off >= step)), ticks)
    sized = _sized(rows)
    sizes = rows["qty_lots"][sized]
    lot = int(instrument.lot.scaleb(SCALE))
    lots, rest = np.divmod(sizes, lot)
    report.sizes_rounded += int(np.count_nonzero(rest))
    lots += (rows["kind"][sized] == Kind.TRADE) & (2 * rest >= lot)
    rows["qty_lots"][sized] = np.maximum(lots, sizes > 0)
    rows["seq"] = np.arange(seq, seq + len(rows))


def mark_impossible(rows: EventArray, judge: PriceJudge, report: ImportReport) -> None:
    """Mark the trades whose price is far from everything around it, as the live feed does."""
    trades = np.flatnonzero(rows["kind"] == Kind.TRADE)
    impossible = trades[judge.impossible(rows["price_ticks"][trades], None)]
    rows["flags"][impossible] |= np.uint32(Flag.IMPOSSIBLE)
    report.prices_impossible += len(impossible)


def _sized(rows: EventArray) -> BoolArray:
    """The rows whose quantity is a size."""
    return np.isin(rows["kind"], (Kind.TRADE, Kind.LEVEL, Kind.BBO))


class _Units:
    """Learns tick and lot from the rows; the lot from trades where there are any."""

    def __init__(self, place: Place, request: ImportRequest, price_scale: int) -> None:
        self.request, self._price_scale = request, price_scale
        self._largest = self._total = 0.0  # of the trades' values, in raw units
        self._prices = UnitFinder("tick", "prices", request.tick, place, tolerant=True, scale=price_scale)
        self._trades = UnitFinder("lot", "trades", request.lot, place, tolerant=False)
        self._sizes = UnitFinder("lot", "trades", None, place, tolerant=False)

    def learn(self, block: RawRows) -> None:
        rows, where = block.rows, block.where
        sized, trades = _sized(rows), rows["kind"] == Kind.TRADE
        priced, sizes = sized & (rows["price_ticks"] > 0), sized & (rows["qty_lots"] > 0)
        self._prices.learn(rows["price_ticks"][priced], where[priced])
        self._trades.learn(rows["qty_lots"][trades], where[trades])
        worth = rows["price_ticks"][trades].astype(np.float64) * rows["qty_lots"][trades]
        self._largest = max(self._largest, float(worth.max(initial=0.0)))
        self._total += float(worth.sum())
        if not self._trades.found:
            self._sizes.learn(rows["qty_lots"][sizes], where[sizes])

    def tick(self, report: ImportReport) -> Decimal:
        """The tick; the report names prices off it. Raises InputError."""
        tick = self._prices.unit()
        for name in self._prices.named():
            report.problem(f"price {name} is off the tick {tick:f}: moved to the nearest")
        return tick

    def finest_lot(self) -> Decimal:
        """The one that divides every size. Raises InputError."""
        if self._trades.found or self.request.lot is not None:
            return self._trades.unit()
        return self._sizes.unit()

    def lot(self, instrument: Instrument, report: ImportReport) -> Decimal:
        """The instrument's, or a coarser one in which every trade can be counted. Raises InputError."""
        scale = 10.0 ** -(self._price_scale + SCALE) / float(instrument.tick)
        largest, total = self._largest * scale, self._total * scale
        lot = instrument.lot if self.request.lot is not None else held_lot(instrument, largest, total)
        if not instrument.inverse and largest / float(lot) > MOST_TL:
            most = instrument.notional(MOST_TL)
            raise InputError(
                f"a trade is worth {largest / float(lot):.2g} ticks x lots, and at most {MOST_TL:.2g}"
                f" ({most:.6g} {instrument.quote}) can be counted: give a larger --lot-size than {lot:f}"
            )
        if lot != instrument.lot:
            report.problem(coarser(instrument.lot, lot, "sizes"))
        return lot
