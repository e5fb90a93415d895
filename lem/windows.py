"""Windows of real bars: where orders start, and what is known before each.

No window holds a gap or a split, and no history reaches back across one. What is a neighbour is said by the
series' calendar; without one the market never closes. Bars of a market that closes need their calendar.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from agent.core.bars import FBarArray, empty_fbars
from agent.core.errors import InputError
from lem.calendars import DAY_NS, IntArray
from lem.curves import VolumeCurves, volume_curves
from lem.klines import Series, neighbours
from lem.paths import Paths
from lem.quality import Quality
from lem.splits import find_splits

SESSION_SHARE = 0.02  # of the steps
WEEK_DAYS = 7


@dataclass(frozen=True, slots=True)
class Windows:
    """Orders of one series; the volume each may expect is known before it starts (``lem.curves``)."""

    paths: Paths
    curves: VolumeCurves  # [N, n]
    starts_ns: IntArray  # [N]
    quality: Quality  # the series', with its splits


def windows(series: Series, delta_ns: int, past: int, n: int) -> Paths:
    """Orders every ``n`` bars, each with up to ``past`` bars before it; none crosses a gap or a split."""
    return order_windows(series, delta_ns, past, n).paths


def order_windows(series: Series, delta_ns: int, past: int, n: int) -> Windows:
    """As ``windows``, with the static volume curve of each order and the splits that were found.

    Raises InputError on a series without a calendar whose market closes.
    """
    good = np.isfinite(series.bars["close"]) & np.isfinite(series.bars["vwap"]) & (series.bars["vwap"] > 0)
    series = replace(series, bars=series.bars[good])
    _refuse_sessions(series, delta_ns)
    bars, splits = series.bars, find_splits(series)
    gaps = np.flatnonzero(~neighbours(series, delta_ns)) + 1
    rows_split = np.array([split.row for split in splits], np.int64)
    first_of = _first_rows(len(bars), np.union1d(gaps, rows_split))
    start = np.arange(1, len(bars) - n + 1, n)
    last = start + n - 1
    across = (start[:, None] <= rows_split) & (rows_split <= last[:, None])
    start = start[(first_of[last] == first_of[start]) & (first_of[start] < start)]
    rows = start[:, None] + np.arange(-past, n)
    out = empty_fbars(rows.size).reshape(rows.shape)
    known = rows >= first_of[start][:, None]
    out[known] = bars[np.maximum(rows, 0)][known]
    cut = past - np.minimum(past, start - first_of[start])
    quality = replace(
        series.quality,
        splits=tuple(str(split) for split in splits),
        windows_across_splits=int(across.any(1).sum()),
    )
    return Windows(
        Paths(out, cut.astype(np.int64), past),
        volume_curves(_on_wall_clock(series), start, delta_ns, n),
        bars["start_ns"][start],
        quality,
    )


def _first_rows(count: int, breaks: npt.NDArray[np.int64]) -> IntArray:
    """The first row of the unbroken stretch each of ``count`` rows lies in, [T]."""
    first: IntArray = np.concatenate([[0], breaks])[np.searchsorted(breaks, np.arange(count), side="right")]
    return first


def _on_wall_clock(series: Series) -> FBarArray:
    """The bars with their starts on the exchange's clock: a time of day means the same in summer."""
    if series.grid is None:
        return series.bars
    bars = series.bars.copy()
    bars["start_ns"] = series.grid.wall_ns[series.grid.place(bars["start_ns"])]
    return bars


def _refuse_sessions(series: Series, delta_ns: int) -> None:
    """Many gaps, and some day of the week that never has a bar: a market that closes."""
    start_ns = series.bars["start_ns"]
    if series.grid is not None or len(start_ns) < 2 or start_ns[-1] - start_ns[0] < 2 * WEEK_DAYS * DAY_NS:
        return
    share = float((~neighbours(series, delta_ns)).mean())
    closed = WEEK_DAYS - len(np.unique(start_ns // DAY_NS % WEEK_DAYS))
    if share > SESSION_SHARE and closed:
        raise InputError(
            f"{100 * share:.0f} % of {series.name}'s bars are not followed by the next, and {closed} days of"
            " the week have none: the market closes; name its calendar, as in --calendar XNYS"
        )
