"""Windows of real bars: where orders start, and the bars known before each.

No window holds a gap or a split, and no history reaches back across one: both stay within one contiguous run
(``lem.bars.contiguous``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from agent.barfiles.bar_quality import Quality
from agent.barfiles.read_bars import Series
from agent.core.arrays import IntArray
from agent.core.market.bars import FBarArray, empty_fbars
from lem.bars.contiguous import contiguous_runs
from lem.bars.volume_curves import VolumeCurves, VolumeHistory
from lem.evaluation.paths import Paths

ALL = slice(None)


@dataclass(frozen=True, slots=True)
class Windows:
    """Where the N orders of one series start.

    ``bars`` [T]; ``start`` [N]: each order's first row; ``known_from`` [N]: the first row of its contiguous
    run; ``past``: bars of history at most; ``n``: intervals of an order; ``volumes``: what its curve is made
    of; ``quality``: of the series, with its splits.
    """

    bars: FBarArray
    start: IntArray
    known_from: IntArray
    past: int
    n: int
    volumes: VolumeHistory
    quality: Quality

    @property
    def starts_ns(self) -> IntArray:
        """When each order starts, [N]."""
        starts: IntArray = self.bars["start_ns"][self.start]
        return starts

    @property
    def curves(self) -> VolumeCurves:
        """The volumes expected in the intervals of each order."""
        return self.volumes.curves(self.start, self.n)

    def paths(self, chosen: slice | IntArray = ALL) -> Paths:
        """The bars of the ``chosen`` orders: hundreds for each, so not all are copied where few are used."""
        start, first = self.start[chosen], self.known_from[chosen]
        curve = self.volumes.curves(start, self.n).expected
        rows = start[:, None] + np.arange(-self.past, curve.shape[1])
        out = empty_fbars(rows.size).reshape(rows.shape)
        known = rows >= first[:, None]
        out[known] = self.bars[rows[known]]
        known_from = self.past - np.minimum(self.past, start - first)
        return Paths(out, known_from.astype(np.int64), self.past, curve)


def order_windows(series: Series, delta_ns: int, past: int, n: int, every: int = 0) -> Windows:
    """Orders every ``every`` bars (0: every ``n``, so that none overlaps), with up to ``past`` bars before.

    No order crosses a gap or a split. Raises InputError on a series without a calendar whose market closes.
    """
    good = np.isfinite(series.bars["close"]) & np.isfinite(series.bars["vwap"]) & (series.bars["vwap"] > 0)
    series = replace(series, bars=series.bars[good])
    bars = series.bars
    first, splits = contiguous_runs(series, delta_ns)
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
    volumes = VolumeHistory(_on_wall_clock(series), delta_ns)
    return Windows(bars, start, first_of[start], past, n, volumes, quality)


def _on_wall_clock(series: Series) -> FBarArray:
    """The bars with their starts on the exchange's clock: a time of day means the same in summer."""
    if series.grid is None:
        return series.bars
    bars = series.bars.copy()
    bars["start_ns"] = series.grid.wall_ns[series.grid.place(bars["start_ns"])]
    return bars
