"""From raw rows to a session, whatever their format: one reading of the files, bounded memory.

Tick, lot and clock offset are known only at the end of the files, so raw rows wait in an unnamed file on
disk (56 bytes a row) and are turned into ticks and lots block by block from there.

Rules kept here:

* tick and lot, where not given, are the largest powers of ten that divide every price and every trade;
* a given tick or lot that does not divide them is refused, with the first lines where it does not;
* old orders can rest in sizes finer than today's lot (10 of 572,863 levels in the reference captures):
  such book sizes are rounded down, to one lot at least, and counted. Trades are always exact.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import gcd
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from agent.core.errors import InputError, RecordingError
from agent.core.instrument import Instrument
from agent.core.ports import SessionWriter
from agent.core.tape import EVENT, EventArray, Kind, empty_events
from connectors.importers.decimals import SCALE
from connectors.importers.raw import UNSTAMPED, Delays, Place, RawRows
from connectors.importers.report import ImportReport
from connectors.importers.symbols import Symbol

BLOCK_ROWS = 65536
OFFSET_QUANTILE = 0.001

OpenWriter = Callable[[Instrument, ImportReport], SessionWriter]


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What a user asks for. Units are inferred where they are None."""

    paths: Sequence[Path]
    symbol: str
    tick: Decimal | None = None
    lot: Decimal | None = None
    contract_size: Decimal | None = None
    calendar: str | None = None  # of bars whose market closes
    watch: Callable[[int], None] | None = None  # told how many bytes of the files were read


class Source(Protocol):
    """The files of one format, read once from beginning to end."""

    report: ImportReport
    symbol: Symbol
    place: Place
    delays: Delays

    def blocks(self) -> Iterator[RawRows]:
        """Yield rows in blocks of whole exchange updates. Raises InputError."""
        ...

    def nothing(self) -> InputError:
        """Why the files held nothing of the symbol."""
        ...

    def exchange(self) -> str:
        """ccxt's id of the exchange; asked at the end."""
        ...

    def contract_size(self) -> Decimal:
        """Base units (linear) or quote units (inverse) of one unit of quantity; asked at the end."""
        ...

    def offset_ns(self) -> int:
        """What the exchange's clock is ahead of the recorder's; asked at the end."""
        ...


def read_all(source: Source, request: ImportRequest) -> tuple[Instrument, EventArray]:
    """Read everything into memory. Raises InputError."""
    units = _Units(source.place, request)
    blocks = []
    for block in source.blocks():
        units.learn(block)
        blocks.append(block.rows)
    instrument = _finish(source, units)
    seq = 1
    for rows in blocks:
        _to_tape(rows, instrument, source.report, seq)
        seq += len(rows)
    return instrument, np.concatenate(blocks) if blocks else empty_events()


def write_session(source: Source, request: ImportRequest, open_writer: OpenWriter, spool_at: Path) -> None:
    """Write the session that ``open_writer`` opens, and close it.

    Raw rows wait in a file of the directory ``spool_at`` that is gone when this returns or dies. Raises
    InputError before a session is made, RecordingError, and what the writer raises.
    """
    units = _Units(source.place, request)
    with _spool(spool_at) as spool:
        for block in source.blocks():
            units.learn(block)
            _put(spool, block.rows, spool_at)
            if request.watch is not None:
                request.watch(source.place.bytes_read)
        instrument = _finish(source, units)
        writer = open_writer(instrument, source.report)
        spool.seek(0)
        seq = 1
        while data := spool.read(BLOCK_ROWS * EVENT.itemsize):
            rows = np.frombuffer(bytearray(data), EVENT)
            _to_tape(rows, instrument, source.report, seq)
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


def _finish(source: Source, units: _Units) -> Instrument:
    """Complete the report and return the instrument. Raises InputError."""
    report = source.report
    if not report.events:
        raise source.nothing()
    if len(source.delays):
        report.clock_offset_ns = source.offset_ns()
        report.delay_median_ns = source.delays.quantile(0.5) + report.clock_offset_ns
    tick, lot, size = units.tick(), units.lot(), source.contract_size()
    report.tick, report.lot, report.contract_size = (format(u, "f") for u in (tick, lot, size))
    report.tick_inferred, report.lot_inferred = units.request.tick is None, units.request.lot is None
    return source.symbol.instrument(source.exchange(), tick, lot, size)


def _to_tape(rows: EventArray, instrument: Instrument, report: ImportReport, seq: int) -> None:
    """Turn raw rows into ticks, lots and one clock, in place, numbered from ``seq``."""
    stamped = rows["exch_ns"] != UNSTAMPED
    rows["exch_ns"] = np.where(stamped, rows["exch_ns"] - report.clock_offset_ns, rows["recv_ns"])
    rows["price_ticks"] //= int(instrument.tick.scaleb(SCALE))
    sized = _sized(rows)
    sizes = rows["qty_lots"][sized]
    lots, rest = np.divmod(sizes, int(instrument.lot.scaleb(SCALE)))
    report.sizes_rounded += int(np.count_nonzero(rest))
    rows["qty_lots"][sized] = np.maximum(lots, sizes > 0)
    rows["seq"] = np.arange(seq, seq + len(rows))


def _sized(rows: EventArray) -> npt.NDArray[np.bool_]:
    """The rows whose quantity is a size."""
    return np.isin(rows["kind"], (Kind.TRADE, Kind.LEVEL, Kind.BBO))


class _Units:
    """Learns tick and lot from the rows, and checks the given ones."""

    def __init__(self, place: Place, request: ImportRequest) -> None:
        self.request = request
        self._place = place
        self._price_gcd = self._size_gcd = self._trade_gcd = 0
        self._off: dict[str, list[str]] = {"tick": [], "lot": []}
        self._off_count = {"tick": 0, "lot": 0}
        self._given = {"tick": _step("tick", request.tick), "lot": _step("lot", request.lot)}

    def learn(self, block: RawRows) -> None:
        rows = block.rows
        sized, trades = _sized(rows), rows["kind"] == Kind.TRADE
        prices, sizes = rows["price_ticks"], rows["qty_lots"]
        self._price_gcd = gcd(self._price_gcd, int(np.gcd.reduce(prices[sized], initial=0)))
        self._size_gcd = gcd(self._size_gcd, int(np.gcd.reduce(sizes[sized], initial=0)))
        self._trade_gcd = gcd(self._trade_gcd, int(np.gcd.reduce(sizes[trades], initial=0)))
        self._check("tick", prices, sized, block)
        self._check("lot", sizes, trades, block)

    def _check(
        self,
        name: str,
        values: npt.NDArray[np.int64],
        among: npt.NDArray[np.bool_],
        block: RawRows,
    ) -> None:
        step = self._given[name]
        if not step:
            return
        off = np.flatnonzero(among & (values % step != 0))
        self._off_count[name] += len(off)
        for i in off[: 3 - len(self._off[name])]:
            value = Decimal(int(values[i])).scaleb(-SCALE).normalize()
            self._off[name].append(f"{value:f} in {self._place.name(int(block.where[i]))}")

    def tick(self) -> Decimal:
        return self._unit("tick", "prices", self.request.tick, self._price_gcd)

    def lot(self) -> Decimal:
        return self._unit("lot", "trades", self.request.lot, self._trade_gcd or self._size_gcd)

    def _unit(self, name: str, of: str, given: Decimal | None, found: int) -> Decimal:
        """Return the given unit if it fits what was found, or the largest power of ten that does."""
        if given is None:
            if not found:
                raise InputError(
                    f"no {name} can be inferred: the files hold no {of} of this symbol; give --{name}-size"
                )
            return _largest(found)
        if self._off_count[name]:
            fits = f"{_largest(found):f}"
            raise InputError(
                f"{name} {given} does not divide the {of} of the capture, which are multiples of {fits} "
                f"({self._off_count[name]:,} rows; {', '.join(self._off[name])}): give {fits}, "
                "or leave it out"
            )
        return given


def _step(name: str, given: Decimal | None) -> int:
    """A given unit in 1e-8; 0 for none. Raises InputError."""
    if given is None:
        return 0
    if not given.is_finite() or given <= 0 or given.scaleb(SCALE) % 1:
        raise InputError(f"{name} {given} is not allowed: give a positive multiple of 0.00000001, as in 0.01")
    return int(given.scaleb(SCALE))


def _largest(found: int) -> Decimal:
    """The largest power of ten that divides ``found`` (in 1e-8)."""
    unit = Decimal(1).scaleb(-SCALE)
    while found % int(unit.scaleb(SCALE + 1)) == 0:
        unit *= 10
    return unit.normalize()
