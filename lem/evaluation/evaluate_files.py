"""Evaluate on bar files: orders of every series, in order of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from agent.barfiles.read_bars import Series, native_interval_ns, read_series, resample
from agent.core.arrays import IntArray
from agent.core.errors import InputError
from lem.bars.data_digest import bars_digest
from lem.evaluation.evaluate import evaluate_windows
from lem.evaluation.evaluation_document import DataSource, EvaluationDocument, TimeSpan
from lem.evaluation.evaluation_spec import EvaluationSpec
from lem.evaluation.paths import OnProgress, Paths
from lem.evaluation.windows import Windows, order_windows
from lem.network.checkpoint import Checkpoint


def evaluate_files(
    checkpoint: Checkpoint,
    files: list[Path],
    interval_ns: int | None,
    bounds_ns: tuple[int | None, int | None],
    spec: EvaluationSpec,
    progress: OnProgress,
    calendar: str | None = None,
) -> EvaluationDocument:
    """Evaluate on bar files, an order every ``spec.every`` bars. Raises InputError.

    ``interval_ns``: of the orders; None: the files' own. ``bounds_ns``: only bars from the first up to the
    second. ``calendar``: of a market that closes; its nights and holidays are then no gaps.
    """
    series = read_series(files, bounds_ns, calendar)
    delta_ns = interval_ns or native_interval_ns(series[0])
    series = [resample(one, delta_ns) for one in series]
    spec = replace(spec, delta_ns=delta_ns).checked()
    past = checkpoint.model.config.bars_needed
    windows = [order_windows(one, delta_ns, past, spec.n, spec.every) for one in series]
    count, every = sum(len(one.start) for one in windows), spec.every or spec.n
    if not count:
        hint = "" if calendar else " (of a market that closes: name its --calendar)"
        raise InputError(
            f"no stretch of {spec.n + 1} bars without a gap in {', '.join(map(str, files))}{hint}"
        )
    chosen = _choose(windows, spec.orders)
    overlap = max(1.0, spec.n / every * len(chosen) / count)
    source: DataSource = {
        "bars": [one.name for one in series],
        "interval_ns": delta_ns,
        "data": _span(series),
        "every": every,
        "windows": count,
        "overlap": overlap,
        "data_digest": bars_digest([(one.name, one.bars) for one in series], delta_ns),
    }
    if calendar is not None:
        source["calendar"] = calendar
    source["quality"] = {one.name: w.quality.record() for one, w in zip(series, windows, strict=True)}
    return evaluate_windows(checkpoint, chosen, spec, source, progress, chosen.series, overlap)


@dataclass(frozen=True, slots=True)
class ChosenWindows:
    """Orders in order of time: of which of the ``windows``, and which row there, [N] each.

    Their bars are copied when they are asked for: all at once would be gigabytes where orders overlap.
    """

    windows: Sequence[Windows]
    series: IntArray
    row: IntArray

    def __len__(self) -> int:
        return len(self.series)

    def subset(self, rows: slice) -> Paths:
        """Some of the orders, with their bars."""
        series, row = self.series[rows], self.row[rows]
        found = np.unique(series)
        joined = _join([self.windows[k].paths(row[series == k]) for k in found])
        by_series = np.argsort(series, kind="stable")
        place = np.empty(len(series), np.int64)
        place[by_series] = np.arange(len(series))
        return joined.subset(place)


def _choose(windows: Sequence[Windows], orders: int) -> ChosenWindows:
    """At most ``orders`` of all windows, evenly over series and time."""
    counts = np.array([len(one.start) for one in windows])
    total = int(counts.sum())
    keep = np.linspace(0, total - 1, min(orders, total)).astype(np.int64)
    series = np.repeat(np.arange(len(windows)), counts)[keep]
    row = keep - (counts.cumsum() - counts)[series]
    starts_ns = np.concatenate([one.starts_ns for one in windows])[keep]
    # Of one time, series by series.
    in_time = np.argsort(starts_ns, kind="stable")
    return ChosenWindows(windows, series[in_time], row[in_time])


def _join(several: list[Paths]) -> Paths:
    names = ("bars", "known_from", "curve")
    bars, known_from, curve = (np.concatenate([getattr(one, name) for one in several]) for name in names)
    return Paths(bars, known_from, several[0].start, curve)


def _span(series: list[Series]) -> TimeSpan:
    starts = [one.bars["start_ns"] for one in series if len(one.bars)]
    return {"from_ns": int(min(s[0] for s in starts)), "to_ns": int(max(s[-1] for s in starts))}
