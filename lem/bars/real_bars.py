"""Real bars for training: no draw holds a bar that ends after the cut in time, or one across a gap.

A draw picks a series and an interval, then a start anywhere in its contiguous runs (``lem.bars.contiguous``),
in proportion to how many starts each run offers. Where the market never closes the runs are of native bars,
so that the phase of a coarser grid is random too. On a calendar the bars of each interval are made first,
within whole sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from agent.barfiles.read_bars import Series, add_up, native_interval_ns, resample
from agent.core.arrays import IntArray
from agent.core.errors import InputError
from agent.core.market.bars import FBarArray, empty_fbars
from lem.bars.contiguous import contiguous_runs
from lem.bars.data_digest import bars_digest
from lem.network.checkpoint import BarsRecord


def bars_between(series: Series, from_ns: int, to_ns: int, embargo_ns: int = 0) -> Series:
    """Bars that start at or after ``from_ns`` + embargo and end at or before ``to_ns``.

    ``embargo_ns``: left out after ``from_ns``, so that no window on one side of it overlaps the history of
    the other: (lookback + n) intervals. Raises InputError where nothing is left.
    """
    if embargo_ns < 0 or from_ns + embargo_ns >= to_ns:
        raise InputError(
            f"split of {series.name}: embargo {embargo_ns} ns after {from_ns} leaves nothing before {to_ns}:"
            " give a later end or a shorter embargo"
        )
    bars, native = series.bars, native_interval_ns(series)
    inside = (bars["start_ns"] >= from_ns + embargo_ns) & (bars["start_ns"] + native <= to_ns)
    if not inside.any():
        raise InputError(f"{series.name} has no bar between {from_ns + embargo_ns} and {to_ns} ns")
    return replace(series, bars=bars[inside])


@dataclass(frozen=True, slots=True)
class TrainingBars:
    """Bars to train on, later bars to validate on (None: nothing held back), and a record of both."""

    train: BarSource
    validation: BarSource | None
    record: BarsRecord


def training_bars(
    series: list[Series], intervals_ns: Sequence[int], window: int, validation_share: float
) -> TrainingBars:
    """Hold the last ``validation_share`` of the time back, after an embargo of ``window`` longest bars.

    ``window``: bars a draw takes, history and order. Raises InputError where either side has too few bars.
    """
    if not 0.0 <= validation_share < 1.0:
        raise InputError(f"validation share is {validation_share:g}: give 0 up to, but less than, 1")
    first = min(int(one.bars["start_ns"][0]) for one in series)
    last = max(int(one.bars["start_ns"][-1]) + native_interval_ns(one) for one in series)
    cut = last - int(validation_share * (last - first))
    train = BarSource([bars_between(one, first, cut) for one in series], intervals_ns)
    validation = None
    train.check(window)
    embargo_ns = window * max(intervals_ns)
    if validation_share:
        advice = (
            f"; this is the validation part, the last {validation_share:g} of the time less an embargo of"
            f" {window} bars: a larger --validation-share makes it longer, 0 does without"
        )
        if cut + embargo_ns >= last:
            raise InputError(_too_short(window, max(intervals_ns)) + advice)
        validation = BarSource([bars_between(one, cut, last, embargo_ns) for one in series], intervals_ns)
        validation.check(window, advice)
    record: BarsRecord = {
        "series": [one.name for one in series],
        "intervals_ns": list(intervals_ns),
        "from_ns": first,
        "train_to_ns": cut,
        "embargo_ns": embargo_ns if validation_share else 0,
        "to_ns": last,
        "digest": bars_digest([(one.name, one.bars) for one in series], native_interval_ns(series[0])),
    }
    return TrainingBars(train, validation, record)


@dataclass(frozen=True, slots=True)
class _Runs:
    """Contiguous runs of one series: run k is rows [first[k], last[k]) of ``bars``."""

    bars: FBarArray
    native_ns: int
    first: IntArray
    last: IntArray
    whole: bool  # bars are drawn as they are, not added up

    def bars_in(self, delta_ns: int) -> int:
        """Native bars in one of ``delta_ns``; 0: there is none."""
        if self.whole:
            return int(self.native_ns == delta_ns)
        return 0 if delta_ns % self.native_ns else delta_ns // self.native_ns

    def starts(self, need: int) -> IntArray:
        """How many starts each run offers to ``need`` native bars, cumulated."""
        return np.cumsum(np.maximum(self.last - self.first - need + 1, 0))


class BarSource:
    """Windows of real bars for training, drawn from one or more series."""

    def __init__(self, series: list[Series], intervals_ns: Sequence[int]) -> None:
        """``intervals_ns``: each a multiple of at least one series' native interval, else InputError."""
        if not series or not intervals_ns:
            raise InputError("real bars need at least one series and one interval")
        self._series = [runs for one in series for runs in _runs_of(one, intervals_ns)]
        for delta_ns in intervals_ns:
            if delta_ns <= 0 or not any(runs.bars_in(delta_ns) for runs in self._series):
                known = sorted({runs.native_ns // 10**9 for runs in self._series})
                raise InputError(
                    f"interval {delta_ns / 1e9:g} s is not a multiple of the bars' own ({known} s)"
                )
        self._intervals = tuple(intervals_ns)
        self._cache: dict[tuple[int, int], tuple[IntArray, list[IntArray]]] = {}

    def check(self, length: int, advice: str = "") -> None:
        """Raise InputError, ending with ``advice``, where an interval has no run of ``length`` bars."""
        for delta_ns in self._intervals:
            if not self._offered(delta_ns, length)[0][-1]:
                raise InputError(_too_short(length, delta_ns) + advice)

    def draw(self, rng: np.random.Generator, count: int, length: int) -> tuple[FBarArray, int]:
        """Return bars [count, length] of one interval, drawn with ``rng``, and that interval.

        Raises InputError when no run holds ``length`` bars of the interval drawn.
        """
        delta_ns = int(self._intervals[rng.integers(len(self._intervals))])
        total, cumulated = self._offered(delta_ns, length)
        if not total[-1]:
            raise InputError(_too_short(length, delta_ns))
        picks = np.sort(rng.integers(total[-1], size=count))
        of = np.searchsorted(total, picks, side="right")
        out = empty_fbars(count * length).reshape(count, length)
        for k in np.unique(of):
            rows = np.flatnonzero(of == k)
            local = picks[rows] - (total[k - 1] if k else 0)
            out[rows] = self._cut(int(k), local, cumulated[k], delta_ns, length)
        shuffled: FBarArray = out[rng.permutation(count)]
        return shuffled, delta_ns

    def _offered(self, delta_ns: int, length: int) -> tuple[IntArray, list[IntArray]]:
        key = (delta_ns, length)
        if key not in self._cache:
            starts = [
                runs.starts(length * per)
                if (per := runs.bars_in(delta_ns))
                else np.zeros(len(runs.first), int)
                for runs in self._series
            ]
            self._cache[key] = np.cumsum([s[-1] for s in starts]), starts
        return self._cache[key]

    def _cut(
        self,
        k: int,
        local: IntArray,
        cumulated: IntArray,
        delta_ns: int,
        length: int,
    ) -> FBarArray:
        runs = self._series[k]
        run = np.searchsorted(cumulated, local, side="right")
        before = np.where(run > 0, cumulated[run - 1], 0)
        first = runs.first[run] + local - before
        per = runs.bars_in(delta_ns)
        rows = runs.bars[first[:, None] + np.arange(length * per)]
        if per > 1:
            rows = add_up(rows.reshape(-1, per)).reshape(len(local), length)
        out: FBarArray = rows
        return out


def _too_short(length: int, delta_ns: int) -> str:
    return (
        f"no stretch of {length} bars of {delta_ns / 1e9:g} s without a gap: give more history"
        " or finer intervals"
    )


def _runs_of(series: Series, intervals_ns: Sequence[int]) -> list[_Runs]:
    """The runs of a series: of its native bars, or on a calendar of each interval they can be added up to."""
    if series.grid is None:
        return [_runs(series, native_interval_ns(series), whole=False)]
    native = series.grid.interval_ns
    made = [resample(series, delta_ns) for delta_ns in intervals_ns if delta_ns % native == 0]
    return [_runs(one, one.grid.interval_ns, whole=True) for one in made if one.grid is not None]


def _runs(series: Series, native_ns: int, *, whole: bool) -> _Runs:
    first, _ = contiguous_runs(series, native_ns)
    return _Runs(series.bars, native_ns, first, np.append(first[1:], len(series.bars)), whole)
