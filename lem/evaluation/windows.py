"""Windows of real bars: where orders start, and what is known before each.

No window holds a gap or a split, and no history reaches back across one: both stay in one stretch
(``lem.bars.contiguous``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from agent.barfiles.bar_quality import Quality
from agent.barfiles.calendars import IntArray
from agent.barfiles.read_bars import Series
from agent.core.market.bars import FBarArray, empty_fbars
from lem.bars.contiguous import stretches
from lem.evaluation.paths import Paths
from lem.evaluation.volume_curves import VolumeCurves, volume_curves

ALL = slice(None)


@dataclass(frozen=True, slots=True)
class Windows:
    """Where the orders of one series start; expected volumes are known before (``volume_curves``)."""

    bars: FBarArray  # [T]
    start: IntArray  # [N] rows of bars
    known_from: IntArray  # [N] idem: the first of each order's stretch
    past: int
    curves: VolumeCurves  # [N, n]
    quality: Quality  # the series', with its splits

    @property
    def starts_ns(self) -> IntArray:
        starts: IntArray = self.bars["start_ns"][self.start]
        return starts

    def paths(self, chosen: slice | IntArray = ALL) -> Paths:
        """The bars of the ``chosen`` orders: hundreds each, so that not all are held where few are judged."""
        start, first = self.start[chosen], self.known_from[chosen]
        curve = self.curves.expected[chosen]
        rows = start[:, None] + np.arange(-self.past, curve.shape[1])
        out = empty_fbars(rows.size).reshape(rows.shape)
        known = rows >= first[:, None]
        out[known] = self.bars[rows[known]]
        cut = self.past - np.minimum(self.past, start - first)
        return Paths(out, cut.astype(np.int64), self.past, curve)


def order_windows(series: Series, delta_ns: int, past: int, n: int, every: int = 0) -> Windows:
    """Orders every ``every`` bars (0: every ``n``, so that none overlaps), each with up to ``past`` bars
    before it; none crosses a gap or a split.

    With the static volume curve of each order and the splits that were found.
    Raises InputError on a series without a calendar whose market closes.
    """
    good = np.isfinite(series.bars["close"]) & np.isfinite(series.bars["vwap"]) & (series.bars["vwap"] > 0)
    series = replace(series, bars=series.bars[good])
    bars = series.bars
    first, splits = stretches(series, delta_ns)
    first_of = first[np.searchsorted(first, np.arange(len(bars)), side="right") - 1]
    start = np.arange(1, len(bars) - n + 1, every or n)
    last = start + n - 1
    split_at = np.array([split.row for split in splits], np.int64)
    across = (start[:, None] <= split_at) & (split_at <= last[:, None])
    start = start[(first_of[last] == first_of[start]) & (first_of[start] < start)]
    quality = replace(
        series.quality,
        splits=tuple(str(split) for split in splits),
        windows_across_splits=int(across.any(1).sum()),
    )
    curves = volume_curves(_on_wall_clock(series), start, delta_ns, n)
    return Windows(bars, start, first_of[start], past, curves, quality)


def _on_wall_clock(series: Series) -> FBarArray:
    """The bars with their starts on the exchange's clock: a time of day means the same in summer."""
    if series.grid is None:
        return series.bars
    bars = series.bars.copy()
    bars["start_ns"] = series.grid.wall_ns[series.grid.place(bars["start_ns"])]
    return bars
