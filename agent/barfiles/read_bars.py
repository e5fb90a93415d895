"""Bars from files: klines of exchanges, daily and intraday bars of vendors.

Needed: a time, ``open``, ``high``, ``low``, ``close``, ``volume``; used where there are: ``quote_volume``,
``vwap``, ``n_trades``, ``taker_buy_base``. What else they may be called stands in
``agent.barfiles.column_names``, which files are read in ``bar_tables``, how times are read in ``file_times``.
Without money and VWAP an interval's price is (high + low + close) / 3. For bad rows see
``agent.barfiles.bar_quality``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agent.barfiles.bar_quality import Quality, clean, gaps_on, refuse_other_money, typical_price
from agent.barfiles.bar_tables import read_table
from agent.barfiles.calendars import Grid, fit, when
from agent.barfiles.column_names import TIMES_OF_DAY
from agent.barfiles.file_times import to_ns, with_clock
from agent.core.arrays import BoolArray, FloatArray, IntArray
from agent.core.errors import InputError
from agent.core.market.bars import FBarArray, empty_fbars
from agent.core.types import NS_PER_S

NO_VOLUME = (
    "these bars have no volume, and an order on bars is given a share of it, so nothing would fill: give bars"
    " with a volume"
)
NEEDED = ("open", "high", "low", "close", "volume")
_MS_NS = 1_000_000
_MINUTE_NS = 60 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Series:
    """Bars of one symbol, oldest first; ``start_ns`` may jump where some are missing.

    With a ``grid`` every bar stands on it, and neighbours are neighbours there; without, the market never
    closes, and neighbours are one interval apart.
    """

    name: str
    bars: FBarArray
    quality: Quality = field(default_factory=Quality)
    grid: Grid | None = None
    named: bool = False  # by a column of the file, not by the file's own name


def read_bars(
    path: Path, from_ns: int | None = None, to_ns: int | None = None, *, stamped: str | None = None
) -> list[Series]:
    """Read one file; one series per symbol. Raises InputError naming the file and what is wrong.

    ``stamped``: "start" or "end", what the times are of; where it is None, bars are moved to their start if
    the file tells only where they end.
    """
    table = read_table(path)
    has = table.column_names
    missing = [name for name in NEEDED if name not in has]
    if missing or not ("open_time" in has or "close_time" in has):
        if missing == ["volume"]:
            raise InputError(f"{path} lacks volume, it has {', '.join(has)}: {NO_VOLUME}")
        lacks = ", ".join(missing) if missing else "a time column, as in open_time or date"
        raise InputError(f"{path} lacks {lacks}: it has {', '.join(has)}")
    if "symbol" not in has:
        return [_series(path.stem, table, (from_ns, to_ns), stamped)]
    symbols = table["symbol"].cast(pa.string()).fill_null("")
    nameless = pc.index(symbols, "").as_py()
    if nameless >= 0:
        raise InputError(f"{path}: row {nameless + 1} has no symbol: name it or remove the row")
    names = sorted(pc.unique(symbols).to_pylist())
    series = ((name, table.filter(pc.equal(symbols, name))) for name in names)
    return [replace(_series(name, part, (from_ns, to_ns), stamped), named=True) for name, part in series]


def read_series(
    files: Sequence[Path], bounds_ns: tuple[int | None, int | None], calendar: str | None
) -> list[Series]:
    """Read several files, the bars from the first bound up to the second, on ``calendar`` where one is named.

    Raises InputError as ``read_bars`` and ``on_calendar`` do.
    """
    series = [one for path in files for one in read_bars(path, *bounds_ns)]
    return series if calendar is None else [on_calendar(one, calendar) for one in series]


def _series(
    name: str, table: pa.Table, bounds_ns: tuple[int | None, int | None], stamped: str | None
) -> Series:
    start_ns, at_end = _start_ns(name, table, stamped)
    bars = empty_fbars(len(start_ns))
    bars["start_ns"] = start_ns
    has = table.column_names
    for column in NEEDED:
        bars[column] = _column(name, table, column)
    for column, source in (("trades", "n_trades"), ("taker_volume", "taker_buy_base")):
        if source in has:
            bars[column] = _column(name, table, source)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is not finite, and counted so
        typical = (bars["high"] + bars["low"] + bars["close"]) / 3.0
        bars["vwap"], bars["quote_volume"] = typical, typical * bars["volume"]
        if "quote_volume" in has:
            bars["quote_volume"] = _column(name, table, "quote_volume")
            bars["vwap"] = _vwap(bars)
            refuse_other_money(name, bars)
        elif "vwap" in has:
            given = _column(name, table, "vwap")
            bars["vwap"] = np.where(bars["volume"] > 0, given, bars["close"])
            bars["quote_volume"] = bars["vwap"] * bars["volume"]
    keep = np.ones(len(bars), np.bool_)
    first_ns, until_ns = bounds_ns
    if first_ns is not None:
        keep &= bars["start_ns"] >= first_ns
    if until_ns is not None:
        keep &= bars["start_ns"] < until_ns
    cleaned, quality = clean(name, bars[keep])
    if "quote_volume" not in has and "vwap" not in has:
        cleaned, quality = typical_price(cleaned, quality)
    return Series(name, cleaned, replace(quality, stamped_at_end=at_end))


def _start_ns(name: str, table: pa.Table, stamped: str | None) -> tuple[IntArray, bool]:
    """Where each bar starts, and whether its time was its end: then it is moved by the bars' length.

    A file shows it that has the times of ends alone, or all times in the last second of a minute.
    """
    at_ns = _times(name, table)
    at_end = "open_time" not in table.column_names or _all_just_before_a_minute(at_ns)
    if stamped == "start" or not (at_end or stamped == "end"):
        return at_ns, False
    if _all_just_before_a_minute(at_ns):
        at_ns += -at_ns % _MINUTE_NS
    at_ns += -at_ns % _MS_NS  # 59.999999 is the next second
    at_ns += np.where(at_ns // _MS_NS % 1000 == 999, _MS_NS, 0)
    steps, counts = np.unique(np.diff(np.unique(at_ns)), return_counts=True)
    if not len(steps):
        raise InputError(f"{name} tells only where its bars end, and has fewer than two: add open_time")
    return at_ns - int(steps[np.argmax(counts)]), True


def _times(name: str, table: pa.Table) -> IntArray:
    """The times of the bars as the file has them: of their starts where it tells them."""
    clock = next((one for one in TIMES_OF_DAY if one in table.column_names), None)
    if clock is not None:
        return with_clock(name, table["open_time"], table[clock], of_hours=clock == "hour")
    return to_ns(name, table["open_time" if "open_time" in table.column_names else "close_time"])


def _all_just_before_a_minute(at_ns: IntArray) -> bool:
    """Whether all times are in the last second of a minute, as ends of bars are written."""
    return len(at_ns) > 1 and bool((at_ns % _MINUTE_NS >= _MINUTE_NS - NS_PER_S).all())


def _vwap(bars: FBarArray) -> FloatArray:
    traded = bars["volume"] > 0
    price: FloatArray = bars["quote_volume"] / np.where(traded, bars["volume"], 1.0)
    return np.where(traded, price, bars["close"])


def _column(name: str, table: pa.Table, column: str) -> FloatArray:
    try:
        values: FloatArray = table[column].cast(pa.float64()).to_numpy().astype(np.float64)
    except pa.ArrowException as error:
        raise InputError(
            f"{name}: column {column} is {table[column].type}: give numbers ({str(error).splitlines()[0]})"
        ) from error
    return values


def native_interval_ns(series: Series) -> int:
    """The most frequent distance between bars. Raises InputError with fewer than two."""
    if len(series.bars) < 2:
        raise InputError(
            f"{series.name} has {len(series.bars)} bars in the range asked for: widen --from, --to"
        )
    steps, counts = np.unique(np.diff(series.bars["start_ns"]), return_counts=True)
    return int(steps[np.argmax(counts)])


def on_calendar(series: Series, calendar: str, *, look_for_ends: bool = True) -> Series:
    """The bars that lie in sessions of ``calendar``, at their UTC starts; the others are dropped and named.

    With ``look_for_ends`` bars that fit the sessions only as stamped at their end are taken so, but those
    that were moved from there already.
    Gaps and missing bars are counted anew, against the calendar. Raises InputError as ``calendars.fit``
    does, and when two bars lie in one place.
    """
    start_ns = series.bars["start_ns"]
    look_for_ends = look_for_ends and not series.quality.stamped_at_end
    found = fit(calendar, start_ns, native_interval_ns(series), look_for_ends=look_for_ends)
    inside = found.place >= 0
    place, bars = found.place[inside], series.bars[inside]
    twice = np.flatnonzero(np.diff(place) <= 0)
    if len(twice):
        one, two = (when(bars["start_ns"][twice[0] + k]) for k in (0, 1))
        raise InputError(f"{series.name}: the bars of {one} and {two} fall on one session: remove one")
    bars["start_ns"] = found.grid.start_ns[place]
    quality = replace(
        gaps_on(series.quality, found.grid, place),
        clock=found.clock,
        stamped_at_end=series.quality.stamped_at_end or found.stamped_at_end,
        outside=int((~inside).sum()),
        first_outside=tuple(when(at, "") for at in start_ns[~inside][:3]),
    )
    return Series(series.name, bars, quality, found.grid, series.named)


def neighbours(series: Series, delta_ns: int) -> BoolArray:
    """Whether each of the series' ``delta_ns`` bars is followed by the one expected next, [T - 1]."""
    if series.grid is None:
        steps: BoolArray = np.diff(series.bars["start_ns"]) == delta_ns
        return steps
    joined: BoolArray = np.diff(series.grid.place(series.bars["start_ns"])) == 1
    return joined


def resample(series: Series, delta_ns: int) -> Series:
    """Bars of ``delta_ns`` from finer ones, on the UTC grid or counted from each session's start.

    Incomplete buckets are left out. Raises InputError when ``delta_ns`` is not a multiple of the native
    interval.
    """
    native = native_interval_ns(series) if series.grid is None else series.grid.interval_ns
    if delta_ns == native:
        return series
    if series.grid is not None:
        return _resample_sessions(series, series.grid, delta_ns)
    if delta_ns % native:
        raise InputError(
            f"interval {delta_ns / 1e9:g} s is not a multiple of the {native / 1e9:g} s bars of {series.name}"
        )
    rows, per = series.bars, delta_ns // native
    bucket = rows["start_ns"] // delta_ns
    first = np.flatnonzero(np.diff(bucket, prepend=bucket[0] - 1))
    whole = np.diff(np.append(first, len(rows))) == per
    rows = rows[np.repeat(whole, np.diff(np.append(first, len(rows))))].reshape(-1, per)
    return replace(series, bars=add_up(rows))


def _resample_sessions(series: Series, grid: Grid, delta_ns: int) -> Series:
    coarse, bucket_of = grid.coarser(delta_ns)
    bucket = bucket_of[grid.place(series.bars["start_ns"])]
    have = np.bincount(bucket, minlength=len(coarse.start_ns))
    expected = np.bincount(bucket_of)
    bars_by_size = []
    for size in np.unique(expected):  # buckets at a session's end are smaller
        whole = (have == expected) & (expected == size)
        rows = series.bars[whole[bucket]].reshape(-1, size)
        made = add_up(rows)
        made["start_ns"] = coarse.start_ns[whole]
        bars_by_size.append(made)
    bars = np.concatenate(bars_by_size)
    return replace(series, bars=bars[np.argsort(bars["start_ns"])], grid=coarse)


def add_up(rows: FBarArray) -> FBarArray:
    """One bar [N] of each row of neighbours [N, k]."""
    bars = empty_fbars(len(rows))
    bars["start_ns"], bars["open"] = rows["start_ns"][:, 0], rows["open"][:, 0]
    bars["high"], bars["low"] = rows["high"].max(1), rows["low"].min(1)
    bars["close"] = rows["close"][:, -1]
    for name in ("volume", "quote_volume", "trades", "taker_volume"):
        bars[name] = rows[name].sum(1)
    bars["vwap"] = np.clip(_vwap(bars), bars["low"], bars["high"])  # of rounding only
    return bars
