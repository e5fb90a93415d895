"""Files of bars to a session that holds bars and no tape.

Rules kept here:

* every bar that the market should have is in the session, each once: where the files lack one, an empty bar
  at the last close stands for it, flagged ABSENT, counted and named. Nothing is filled in it;
* with a calendar the bars are those of its sessions, and a bar that is not wholly within the regular hours
  (it holds an auction, or reaches out of the session) is flagged CLOSED: it is seen and never traded. A
  day's bar is its session;
* the first bar after a split of raw prices is flagged SPLIT and named: no order may cross it;
* bars that bear the time of their end are moved to their start, once: where the file has no other times,
  where they fit a calendar only so, or where ``--stamped end`` says it; never where ``--stamped start`` does;
* a bar is known at its end, a day's bar at the close of its session;
* tick and lot, where not given, are the largest powers of ten, up to 1, that divide every price and every
  volume; the lot is coarser where sums of money would not fit 64 bits, which is said. What a given one does
  not divide is rounded to the nearest, counted and named.

What is wrong in the files is refused or mended by the rules of ``agent.barfiles.bar_quality``.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.barfiles.bar_quality import clean
from agent.barfiles.calendars import hours, when
from agent.barfiles.closing import refuse_closing
from agent.barfiles.column_names import plain
from agent.barfiles.read_bars import NO_VOLUME, Series, native_interval_ns, on_calendar, read_bars
from agent.barfiles.splits import find_splits
from agent.core.arrays import BoolArray, IntArray
from agent.core.errors import InputError
from agent.core.market.bars import FBarArray, empty_fbars
from agent.core.market.tape import BAR, BarArray
from agent.core.market.trading_time import BarFlag
from agent.core.types import DAY_NS
from agent.durations import format_duration
from connectors.importers.bars.bar_report import BarReport
from connectors.importers.bars.units import in_units, largest_unit, refuse_too_much
from connectors.importers.pipeline import ImportRequest, OpenWriter
from connectors.importers.symbols import MarketKind, Symbol, parse_symbol
from connectors.importers.tick_and_lot import coarser, held_lot

PRICES = ("open", "high", "low", "close")
BLOCK_ROWS = 65536
RUN = 10  # equal steps in a row that are no gaps, but another interval


def import_klines(request: ImportRequest, open_writer: OpenWriter, _spool_at: Path) -> BarReport:
    """Read the files and write the session that ``open_writer`` opens. Raises InputError."""
    symbol = parse_symbol(request.symbol)
    if symbol.market is MarketKind.INVERSE:
        raise InputError(
            f"bars of inverse contracts ({symbol.unified}) are not taken: their volumes are contracts and"
            " their money is coins; import a book with its trades (tardis-csv, book-archive or a raw capture)"
        )
    report = BarReport(symbol.unified, [str(p) for p in request.paths], market=symbol.market.value)
    series = _read(request, symbol, report)
    bars, flags = _complete(series, report)
    tick, lot = _unit(request.tick, bars, PRICES, "tick"), _unit(request.lot, bars, ("volume",), "lot")
    size = request.contract_size or Decimal(1)
    if request.lot is None:
        finest, worth = lot, bars["volume"] * bars["high"] / float(tick)
        instrument = symbol.instrument("klines", tick, lot, size)
        lot = held_lot(instrument, float(worth.max()), float(worth.sum()))
        if lot != finest:
            report.problem(coarser(finest, lot, "volumes"))
    report.tick, report.lot = format(tick, "f"), format(lot, "f")
    report.tick_inferred, report.lot_inferred = request.tick is None, request.lot is None
    rows = _rows(bars, flags, series, (tick, lot), report)
    report.first_recv_ns, report.last_recv_ns = int(rows["recv_ns"][0]), int(rows["recv_ns"][-1])
    writer = open_writer(symbol.instrument(request.calendar or "klines", tick, lot, size), report)
    for k in range(0, len(rows), BLOCK_ROWS):
        writer.bars(rows[k : k + BLOCK_ROWS])
    writer.close(report.last_recv_ns)
    return report


# --- reading --------------------------------------------------------------------------------------


def _read(request: ImportRequest, symbol: Symbol, report: BarReport) -> Series:
    """The symbol's bars of all files in order of time, on the calendar where one is named."""
    pieces = [_of_symbol(path, symbol, request.stamped) for path in request.paths]
    for path, piece in zip(request.paths, pieces, strict=True):
        report.take(piece.quality)
        _refuse_other_steps(path.name, piece.bars["start_ns"])
    lengths = {str(p): native_interval_ns(s) for p, s in zip(request.paths, pieces, strict=True)}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{format_duration(ns)} in {name}" for name, ns in lengths.items())
        raise InputError(f"the files hold bars of mixed intervals ({found}): import one interval at a time")
    series = pieces[0]
    if len(pieces) > 1:
        bars, quality = clean(symbol.unified, np.concatenate([p.bars for p in pieces]))
        report.duplicates += quality.duplicates
        series = Series(symbol.unified, bars, replace(quality, stamped_at_end=report.stamped_at_end))
    report.interval_ns = native_interval_ns(series)
    if request.calendar is None:
        refuse_closing(series, report.interval_ns)
        _note_ends(series, report)
        return series
    series = on_calendar(series, request.calendar, look_for_ends=request.stamped is None)
    _note_ends(series, report)
    report.calendar, report.clock = request.calendar, series.quality.clock
    report.outside, report.first_outside = series.quality.outside, list(series.quality.first_outside)
    return series


def _is_called(name: str, symbol: Symbol) -> bool:
    """Whether a name in a file is the symbol's, as in X:BTCUSD and IBM.US too."""
    pair = f"{symbol.base}{symbol.quote}"
    ours = {plain(symbol.unified), plain(pair), plain(symbol.base)}
    names = {name} if "/" in name else {name, name.rpartition(":")[2], name.partition(".")[0]}
    return any(plain(one) in ours for one in names)


def _note_ends(series: Series, report: BarReport) -> None:
    report.stamped_at_end = report.stamped_at_end or series.quality.stamped_at_end
    if report.stamped_at_end:
        report.problem(
            "the bars are stamped at their end: each was moved to its start (--stamped start if not)"
        )


def _of_symbol(path: Path, symbol: Symbol, stamped: str | None) -> Series:
    """The series that bears the symbol's name, or the only one of a file that names none."""
    found = read_bars(path, stamped=stamped)
    for series in found:
        if not series.named or _is_called(series.name, symbol):
            if not series.bars["volume"].any() and series.quality.rows:
                raise InputError(f"{path}: {NO_VOLUME}")
            if len(series.bars) < 2:
                some = "1 bar" if len(series.bars) else "no bars"
                more = "two or more show the interval" if len(series.bars) else "give another file"
                raise InputError(f"{path} holds {some} of {symbol.unified}: {more}")
            return series
    known = ", ".join(s.name for s in found[:12]) or "nothing"
    raise InputError(f"{path} holds no bars of {symbol.unified}: it has {known}")


def _refuse_other_steps(name: str, start_ns: IntArray) -> None:
    """A run of equal steps that are not the usual one: bars of another interval, not gaps."""
    steps = np.diff(start_ns)
    if not len(steps):
        return
    values, counts = np.unique(steps, return_counts=True)
    native = int(values[np.argmax(counts)])
    same = np.flatnonzero(np.diff(steps, prepend=0, append=0))  # where runs begin
    for first, length in zip(same[:-1], np.diff(same), strict=True):
        if length >= RUN and steps[first] != native:
            raise InputError(
                f"{name} holds bars of mixed intervals: from {when(start_ns[first])} on they are"
                f" {format_duration(int(steps[first]))} apart, elsewhere {format_duration(native)};"
                " import one interval at a time"
            )


# --- the bars that should be there ------------------------------------------------------------------


def _complete(series: Series, report: BarReport) -> tuple[FBarArray, npt.NDArray[np.uint32]]:
    """Every bar from the first to the last that the market should have, and its flags."""
    have, delta = series.bars["start_ns"], report.interval_ns
    if series.grid is None:
        off = np.flatnonzero((have - have[0]) % delta)
        if len(off):
            raise InputError(
                f"{series.name}: the bar of {when(have[off[0]])} does not start a multiple of"
                f" {format_duration(delta)} after the first ({when(have[0])}): correct or remove it"
            )
        start_ns = have[0] + delta * np.arange((have[-1] - have[0]) // delta + 1)
        closed = np.zeros(len(start_ns), np.bool_)
    else:
        first, last = series.grid.place(have[[0, -1]])
        start_ns = series.grid.start_ns[first : last + 1]
        closed = _closed(start_ns, report)
    bars = empty_fbars(len(start_ns))
    place = np.searchsorted(start_ns, have)
    bars[place] = series.bars
    absent = np.ones(len(bars), np.bool_)
    absent[place] = False
    bars["start_ns"] = start_ns
    _stand_in(bars, absent)
    flags = (closed * int(BarFlag.CLOSED) + absent * int(BarFlag.ABSENT)).astype(np.uint32)
    splits = find_splits(series)
    flags[place[[split.row for split in splits]]] |= int(BarFlag.SPLIT)
    report.splits = [str(split) for split in splits]
    report.note_bars(bars, absent, closed)
    return bars, flags


def _stand_in(bars: FBarArray, absent: BoolArray) -> None:
    """Empty bars at the last close where one is absent. The first is never absent."""
    last = np.maximum.accumulate(np.where(absent, 0, np.arange(len(bars))))
    for name in (*PRICES, "vwap"):
        bars[name][absent] = bars["close"][last[absent]]
    for name in ("volume", "quote_volume", "trades"):
        bars[name][absent] = 0.0


def _closed(start_ns: IntArray, report: BarReport) -> BoolArray:
    """Which bars are not wholly within the hours of their session; a day's bar is its session."""
    if report.interval_ns == DAY_NS:
        return np.zeros(len(start_ns), np.bool_)
    at = hours(report.calendar, start_ns, report.interval_ns)
    end_ns = start_ns + report.interval_ns
    out: BoolArray = (start_ns < at.open_ns) | (end_ns > at.close_ns)
    return out | ((start_ns < at.resume_ns) & (end_ns > at.break_ns))


# --- ticks and lots -----------------------------------------------------------------------------------


def _unit(given: Decimal | None, bars: FBarArray, columns: tuple[str, ...], name: str) -> Decimal:
    if given is not None:
        return given
    of = "prices" if name == "tick" else "volumes"
    return largest_unit(np.concatenate([bars[c] for c in columns]), name, of)


def _rows(
    bars: FBarArray,
    flags: npt.NDArray[np.uint32],
    series: Series,
    units: tuple[Decimal, Decimal],
    report: BarReport,
) -> BarArray:
    """BAR rows in ticks and lots. Raises InputError where they do not fit 64 bits."""
    tick, lot = units
    rows = np.zeros(len(bars), BAR)
    rows["open_ns"], rows["delta_ns"], rows["flags"] = bars["start_ns"], report.interval_ns, flags
    rows["recv_ns"] = rows["open_ns"] + report.interval_ns
    if series.grid is not None and report.interval_ns == DAY_NS:
        rows["recv_ns"] = hours(report.calendar, rows["open_ns"], DAY_NS).close_ns
    rows["seq"] = np.arange(1, len(bars) + 1)
    lots, off_lot = in_units(bars["volume"], lot)
    refuse_too_much(in_units(bars["high"], tick)[0], lots, bars["start_ns"], lot)
    off = np.zeros(len(bars), np.bool_)
    for name in PRICES:
        ticks, wrong = in_units(bars[name], tick)
        rows[f"{name}_ticks"], off = np.maximum(ticks, 1), off | wrong
    report.note_rounded(bars["start_ns"], off, off_lot)
    rows["base_lots"] = lots
    rows["quote_tl"] = np.clip(
        np.rint(lots * (bars["vwap"] / float(tick))),
        rows["low_ticks"] * rows["base_lots"],
        rows["high_ticks"] * rows["base_lots"],
    )
    rows["trades"] = np.nan_to_num(bars["trades"])
    taker, _ = in_units(np.nan_to_num(bars["taker_volume"], nan=0.0), lot)
    known = np.isfinite(bars["taker_volume"])
    rows["taker_base_lots"] = np.where(known, np.minimum(taker, lots), -1)
    rows["taker_quote_tl"] = -1
    return rows
