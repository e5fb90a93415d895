"""Bars from files: parquet or CSV with the klines' columns, or daily / hourly equities.

Columns needed: a time (``open_time`` in ms UTC, or ``time``, ``date``, ``timestamp``), ``open``, ``high``,
``low``, ``close``, ``volume``; ``quote_volume``, ``n_trades``, ``taker_buy_base`` where there are. Without
``quote_volume`` an interval's price is (high + low + close) / 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from agent.core.bars import FBarArray, FloatArray, empty_fbars
from agent.core.errors import InputError

TIMES = ("open_time", "time", "timestamp", "datetime", "date")
NEEDED = ("open", "high", "low", "close", "volume")
NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


@dataclass(frozen=True, slots=True)
class Series:
    """Bars of one symbol, oldest first; ``start_ns`` may jump where some are missing."""

    name: str
    bars: FBarArray


def read_bars(path: Path, from_ns: int | None = None, to_ns: int | None = None) -> list[Series]:
    """Read one file; one series per symbol. Raises InputError naming the file and what is wrong."""
    table = _read(path)
    time = next((name for name in TIMES if name in table.column_names), None)
    missing = [name for name in NEEDED if name not in table.column_names]
    if time is None or missing:
        lacks = ", ".join(missing) if time else "a time column, one of " + ", ".join(TIMES)
        raise InputError(f"{path} lacks {lacks}: it has {', '.join(table.column_names)}")
    symbol = next((name for name in ("symbol", "ticker") if name in table.column_names), None)
    if symbol is None:
        return [Series(path.stem, _bars(table, time, from_ns, to_ns))]
    names = sorted(str(name) for name in pc.unique(table[symbol]).to_pylist())
    return [
        Series(name, _bars(table.filter(pc.equal(table[symbol], name)), time, from_ns, to_ns))
        for name in names
    ]


def _read(path: Path) -> Any:
    if not path.exists():
        raise InputError(f"no file {path}: give a parquet or CSV file of bars")
    try:
        if path.suffix == ".csv":
            return pyarrow.csv.read_csv(path)
        return pyarrow.parquet.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"{path} is not a readable parquet or CSV file: {str(error).splitlines()[0]}"
        ) from error


def _bars(table: Any, time: str, from_ns: int | None, to_ns: int | None) -> FBarArray:
    start_ns = _times_ns(table[time])
    order = np.argsort(start_ns, kind="stable")
    bars = empty_fbars(len(start_ns))
    bars["start_ns"] = start_ns[order]
    for name in NEEDED:
        bars[name] = _column(table, name)[order]
    for name, source in (("trades", "n_trades"), ("taker_volume", "taker_buy_base")):
        if source in table.column_names:
            bars[name] = _column(table, source)[order]
    typical = (bars["high"] + bars["low"] + bars["close"]) / 3.0
    bars["vwap"], bars["quote_volume"] = typical, typical * bars["volume"]
    if "quote_volume" in table.column_names:
        bars["quote_volume"] = _column(table, "quote_volume")[order]
        traded = bars["volume"] > 0
        bars["vwap"] = np.where(
            traded, bars["quote_volume"] / np.where(traded, bars["volume"], 1.0), bars["close"]
        )
    keep = np.ones(len(bars), np.bool_)
    if from_ns is not None:
        keep &= bars["start_ns"] >= from_ns
    if to_ns is not None:
        keep &= bars["start_ns"] < to_ns
    return bars[keep]


def _column(table: Any, name: str) -> FloatArray:
    column: FloatArray = table[name].cast(pa.float64()).to_numpy().astype(np.float64)
    return column


def _times_ns(column: Any) -> Any:
    if pa.types.is_integer(column.type):
        return column.to_numpy().astype(np.int64) * NS["ms"]
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.cast(pa.timestamp("ns"))
    return column.cast(pa.timestamp("ns")).cast(pa.int64()).to_numpy()


def native_interval_ns(series: Series) -> int:
    """The most frequent distance between bars. Raises InputError with fewer than two."""
    if len(series.bars) < 2:
        raise InputError(
            f"{series.name} has {len(series.bars)} bars in the range asked for: widen --from, --to"
        )
    steps, counts = np.unique(np.diff(series.bars["start_ns"]), return_counts=True)
    return int(steps[np.argmax(counts)])


def resample(series: Series, delta_ns: int) -> Series:
    """Bars of ``delta_ns`` on the UTC grid from finer ones; incomplete buckets are left out.

    Raises InputError when ``delta_ns`` is not a multiple of the native interval.
    """
    native = native_interval_ns(series)
    if delta_ns == native:
        return series
    if delta_ns % native:
        raise InputError(
            f"interval {delta_ns / 1e9:g} s is not a multiple of the {native / 1e9:g} s bars of {series.name}"
        )
    rows, per = series.bars, delta_ns // native
    bucket = rows["start_ns"] // delta_ns
    first = np.flatnonzero(np.diff(bucket, prepend=bucket[0] - 1))
    whole = np.diff(np.append(first, len(rows))) == per
    rows = rows[np.repeat(whole, np.diff(np.append(first, len(rows))))].reshape(-1, per)
    bars = empty_fbars(len(rows))
    bars["start_ns"], bars["open"] = rows["start_ns"][:, 0], rows["open"][:, 0]
    bars["high"], bars["low"] = rows["high"].max(1), rows["low"].min(1)
    bars["close"] = rows["close"][:, -1]
    for name in ("volume", "quote_volume", "trades", "taker_volume"):
        bars[name] = rows[name].sum(1)
    traded = bars["volume"] > 0
    bars["vwap"] = np.where(
        traded, bars["quote_volume"] / np.where(traded, bars["volume"], 1.0), bars["close"]
    )
    return Series(series.name, bars)
