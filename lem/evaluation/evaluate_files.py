"""Evaluation on bar files: orders of every series in order of time, one after another unless asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from agent.barfiles.read_bars import Series, native_interval_ns, read_series, resample
from agent.core.errors import InputError
from lem.bars.data_digest import bars_digest
from lem.evaluation.evaluate import evaluate_windows
from lem.evaluation.paths import Paths, Progress, Question
from lem.evaluation.windows import order_windows
from lem.network.checkpoint import Checkpoint


def evaluate_files(
    checkpoint: Checkpoint,
    files: list[Path],
    interval_ns: int | None,
    bounds_ns: tuple[int | None, int | None],
    question: Question,
    progress: Progress,
    calendar: str | None = None,
) -> dict[str, Any]:
    """Evaluate on bar files, an order every ``question.every`` bars. Raises InputError.

    ``calendar``: of a market that closes; its nights and holidays are then no gaps.
    """
    series = read_series(files, bounds_ns, calendar)
    delta_ns = interval_ns or native_interval_ns(series[0])
    series = [resample(one, delta_ns) for one in series]
    question = replace(question, delta_ns=delta_ns).checked()
    past = checkpoint.model.config.bars_needed
    parts = [order_windows(one, delta_ns, past, question.n, question.every) for one in series]
    counts = np.array([len(part.start) for part in parts])
    windows, every = int(counts.sum()), question.every or question.n
    if not windows:
        hint = "" if calendar else " (of a market that closes: name its --calendar)"
        raise InputError(
            f"no stretch of {question.n + 1} bars without a gap in {', '.join(map(str, files))}{hint}"
        )
    keep = np.linspace(0, windows - 1, min(question.orders, windows)).astype(np.int64)
    of = np.repeat(np.arange(len(parts)), counts)[keep]
    row = keep - (counts.cumsum() - counts)[of]
    in_time = np.argsort(np.concatenate([part.starts_ns for part in parts])[keep], kind="stable")
    paths = _together([part.paths(row[of == k]) for k, part in enumerate(parts)]).part(in_time)
    overlap = max(1.0, question.n / every * len(keep) / windows)
    source: dict[str, Any] = {
        "bars": [one.name for one in series],
        "interval_ns": delta_ns,
        "data": _span(series),
        "every": every,
        "windows": windows,
        "overlap": overlap,
        "data_digest": bars_digest([(one.name, one.bars) for one in series], delta_ns),
    }
    if calendar is not None:
        source["calendar"] = calendar
    source["quality"] = {one.name: found.quality.record() for one, found in zip(series, parts, strict=True)}
    return evaluate_windows(checkpoint, paths, question, source, progress, of[in_time], overlap)


def _together(parts: list[Paths]) -> Paths:
    bars, cut, curve = (
        np.concatenate([getattr(p, name) for p in parts]) for name in ("bars", "cut", "curve")
    )
    return Paths(bars, cut, parts[0].start, curve)


def _span(series: list[Series]) -> dict[str, int]:
    starts = [one.bars["start_ns"] for one in series if len(one.bars)]
    return {"from_ns": int(min(s[0] for s in starts)), "to_ns": int(max(s[-1] for s in starts))}
