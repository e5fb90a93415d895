"""Evaluation on bar files: orders of every series in order of time, one after another unless asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from agent.barfiles.klines import Series, native_interval_ns, read_series, resample
from agent.core.bars import FloatArray
from agent.core.errors import InputError
from lem.checkpoint import Checkpoint
from lem.digest import bars_digest
from lem.evaluate import evaluate_windows
from lem.paths import Paths, Progress, Question
from lem.windows import order_windows


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
    paths = _together([part.paths for part in parts], [part.curves.expected for part in parts])
    if not len(paths.bars):
        hint = "" if calendar else " (of a market that closes: name its --calendar)"
        raise InputError(
            f"no stretch of {question.n + 1} bars without a gap in {', '.join(map(str, files))}{hint}"
        )
    keep = np.linspace(0, len(paths.bars) - 1, min(question.orders, len(paths.bars))).astype(np.int64)
    keep = keep[np.argsort(paths.bars["start_ns"][keep, past], kind="stable")]
    paths = paths.part(keep)
    of = np.repeat(np.arange(len(parts)), [len(part.starts_ns) for part in parts])[keep]
    source: dict[str, Any] = {
        "bars": [one.name for one in series],
        "interval_ns": delta_ns,
        "data": _span(series),
        "every": question.every or question.n,
        "windows": sum(len(part.starts_ns) for part in parts),
        "data_digest": bars_digest([(one.name, one.bars) for one in series], delta_ns),
    }
    if calendar is not None:
        source["calendar"] = calendar
    source["quality"] = {one.name: found.quality.record() for one, found in zip(series, parts, strict=True)}
    return evaluate_windows(checkpoint, paths, question, source, progress, of)


def _together(parts: list[Paths], curves: list[FloatArray]) -> Paths:
    bars, cut = (np.concatenate([getattr(part, name) for part in parts]) for name in ("bars", "cut"))
    return Paths(bars, cut, parts[0].start, np.concatenate(curves))


def _span(series: list[Series]) -> dict[str, int]:
    starts = [one.bars["start_ns"] for one in series if len(one.bars)]
    return {"from_ns": int(min(s[0] for s in starts)), "to_ns": int(max(s[-1] for s in starts))}
