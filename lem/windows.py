"""Windows of real bars: where orders start, and what is known before each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.core.bars import FBarArray, empty_fbars
from agent.core.types import NS_PER_S
from lem.curves import VolumeCurves, volume_curves
from lem.klines import Series
from lem.paths import Paths
from lem.quality import Quality

SESSION_SHARE = 0.02
SPLIT = 0.35  # log return from close to close
WEEK_NS = 7 * 86_400 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Windows:
    """Orders of one series; the volume each may expect is known before it starts (``lem.curves``)."""

    paths: Paths
    curves: VolumeCurves  # [N, n]
    starts_ns: npt.NDArray[np.int64]  # [N]
    quality: Quality


def windows(series: Series, delta_ns: int, past: int, n: int) -> Paths:
    """Orders every ``n`` bars, each with up to ``past`` bars before it; none crosses a gap."""
    return order_windows(series, delta_ns, past, n).paths


def order_windows(series: Series, delta_ns: int, past: int, n: int) -> Windows:
    """As ``windows``, with the static volume curve of each order."""
    bars = series.bars
    good = np.isfinite(bars["close"]) & np.isfinite(bars["vwap"]) & (bars["vwap"] > 0)
    bars = bars[good]
    breaks = np.flatnonzero(_gaps(bars, delta_ns)) + 1
    segment = np.searchsorted(breaks, np.arange(len(bars)), side="right")
    first_of = np.concatenate([[0], breaks])[segment] if len(bars) else np.zeros(0, np.int64)
    start = np.arange(1, len(bars) - n + 1, n)
    start = (
        start[(segment[start] == segment[start + n - 1]) & (first_of[start] < start)] if len(start) else start
    )
    rows = start[:, None] + np.arange(-past, n)
    out = empty_fbars(rows.size).reshape(rows.shape)
    known = rows >= first_of[start][:, None]
    out[known] = bars[np.maximum(rows, 0)][known]
    cut = past - np.minimum(past, start - first_of[start])
    return Windows(
        Paths(out, cut.astype(np.int64), past),
        volume_curves(bars, start, delta_ns, n),
        bars["start_ns"][start],
        series.quality,
    )


def _gaps(bars: FBarArray, delta_ns: int) -> npt.NDArray[np.bool_]:
    """Where two bars are not neighbours, [T - 1].

    A market that closes (more than SESSION_SHARE of the steps are longer than a bar) has its next bar after
    the night or the weekend; there a week without a bar is a gap, and so is a split of raw prices.
    """
    steps = np.diff(bars["start_ns"])
    off: npt.NDArray[np.bool_] = steps != delta_ns
    if len(off) and off.mean() > SESSION_SHARE:
        off = steps > WEEK_NS
        off |= np.abs(np.diff(np.log(bars["close"]))) > SPLIT
    return off
