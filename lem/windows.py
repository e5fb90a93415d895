"""Windows of real bars: where orders start, and what is known before each."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.core.bars import FBarArray, empty_fbars
from agent.core.errors import InputError
from agent.core.features import FEATURE_SPAN
from agent.core.types import NS_PER_S
from lem.checkpoint import Checkpoint
from lem.curves import VolumeCurves, volume_curves
from lem.evaluate import evaluate_windows
from lem.klines import Series, native_interval_ns, read_bars, resample
from lem.paths import Paths, Progress, Question
from lem.quality import Quality

SESSION_SHARE = 0.02
SPLIT = 0.35  # log return from close to close
WEEK_NS = 7 * 86_400 * NS_PER_S


def evaluate_files(
    checkpoint: Checkpoint,
    files: list[Path],
    interval_ns: int | None,
    bounds_ns: tuple[int | None, int | None],
    question: Question,
    progress: Progress,
) -> dict[str, Any]:
    """Evaluate on bar files, orders one after another (none overlap). Raises InputError."""
    series = [one for path in files for one in read_bars(path, *bounds_ns)]
    delta_ns = interval_ns or native_interval_ns(series[0])
    series = [resample(one, delta_ns) for one in series]
    question = replace(question, delta_ns=delta_ns).checked()
    past = checkpoint.model.config.lookback + FEATURE_SPAN
    parts = [windows(one, delta_ns, past, question.n) for one in series]
    paths = Paths(np.concatenate([p.bars for p in parts]), np.concatenate([p.cut for p in parts]), past)
    if not len(paths.bars):
        raise InputError(f"no stretch of {question.n + 1} bars without a gap in {', '.join(map(str, files))}")
    keep = np.linspace(0, len(paths.bars) - 1, min(question.orders, len(paths.bars))).astype(np.int64)
    keep = keep[np.argsort(paths.bars["start_ns"][keep, past], kind="stable")]
    paths = Paths(paths.bars[keep], paths.cut[keep], past)
    source: dict[str, Any] = {
        "bars": [one.name for one in series],
        "interval_ns": delta_ns,
        "data": _span(series),
    }
    source["quality"] = {one.name: asdict(one.quality) for one in series}
    return evaluate_windows(checkpoint, paths, question, source, progress, together=len(series))


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


def _span(series: list[Series]) -> dict[str, int]:
    starts = [one.bars["start_ns"] for one in series if len(one.bars)]
    return {"from_ns": int(min(s[0] for s in starts)), "to_ns": int(max(s[-1] for s in starts))}
