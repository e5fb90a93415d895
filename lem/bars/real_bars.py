"""Real bars for training: no draw holds a bar that ends after the split, or one across a gap.

A draw picks a series and an interval, then a start anywhere in its stretches (``lem.bars.contiguous``) in
proportion to how many starts each offers. Where the market never closes these are of native bars, so that
the phase of a coarser grid is random too; bars of a calendar are made of whole sessions' parts first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.barfiles.read_bars import Series, add_up, native_interval_ns, resample
from agent.core.errors import InputError
from agent.core.market.bars import FBarArray, empty_fbars
from lem.bars.contiguous import stretches
from lem.bars.data_digest import bars_digest


def split(series: Series, from_ns: int, to_ns: int, embargo_ns: int = 0) -> Series:
    """Bars that start at or after ``from_ns`` + embargo and end at or before ``to_ns``.

    ``embargo_ns``: the time left out after the part before, so that no window of one part overlaps the
    history of the other: (lookback + n) intervals. Raises InputError where nothing is left.
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
    """Bars to learn from, later ones to watch (None: nothing held back), and a record of what they are."""

    train: BarSource
    validation: BarSource | None
    record: dict[str, Any]


def training_bars(
    series: list[Series], intervals_ns: Sequence[int], window: int, validation_share: float
) -> TrainingBars:
    """Hold the last ``validation_share`` of the time back, after an embargo of ``window`` longest bars.

    ``window``: bars a draw takes, history and order. Raises InputError where a part cannot be drawn from.
    """
    if not 0.0 <= validation_share < 1.0:
        raise InputError(f"validation share is {validation_share:g}: give 0 up to, but less than, 1")
    first = min(int(one.bars["start_ns"][0]) for one in series)
    last = max(int(one.bars["start_ns"][-1]) + native_interval_ns(one) for one in series)
    cut = last - int(validation_share * (last - first))
    train = BarSource([split(one, first, cut) for one in series], intervals_ns)
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
        validation = BarSource([split(one, cut, last, embargo_ns) for one in series], intervals_ns)
        validation.check(window, advice)
    record = {
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
class _Stretches:
    """Gap-free rows [first, last) of one series."""

    bars: FBarArray
    native_ns: int
    first: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]
    whole: bool  # bars are drawn as they are, not added up

    def bars_in(self, delta_ns: int) -> int:
        """Native bars in one of ``delta_ns``; 0: there is none."""
        if self.whole:
            return int(self.native_ns == delta_ns)
        return 0 if delta_ns % self.native_ns else delta_ns // self.native_ns

    def starts(self, need: int) -> npt.NDArray[np.int64]:
        """How many starts each stretch offers to ``need`` native bars, cumulated."""
        return np.cumsum(np.maximum(self.last - self.first - need + 1, 0))


class BarSource:
    """Windows of real bars for training, drawn from one or more series."""

    def __init__(self, series: list[Series], intervals_ns: Sequence[int]) -> None:
        """``intervals_ns``: each a multiple of at least one series' native interval, else InputError."""
        if not series or not intervals_ns:
            raise InputError("real bars need at least one series and one interval")
        self._parts = [part for one in series for part in _parts(one, intervals_ns)]
        for delta_ns in intervals_ns:
            if delta_ns <= 0 or not any(part.bars_in(delta_ns) for part in self._parts):
                known = sorted({part.native_ns // 10**9 for part in self._parts})
                raise InputError(
                    f"interval {delta_ns / 1e9:g} s is not a multiple of the bars' own ({known} s)"
                )
        self._intervals = tuple(intervals_ns)
        self._cache: dict[tuple[int, int], tuple[npt.NDArray[np.int64], list[npt.NDArray[np.int64]]]] = {}

    def check(self, length: int, advice: str = "") -> None:
        """Raise InputError, ending with ``advice``, where an interval has no stretch of ``length`` bars."""
        for delta_ns in self._intervals:
            if not self._offered(delta_ns, length)[0][-1]:
                raise InputError(_too_short(length, delta_ns) + advice)

    def draw(self, rng: np.random.Generator, count: int, length: int) -> tuple[FBarArray, int]:
        """Return bars [count, length] of one interval, drawn with ``rng``, and that interval.

        Raises InputError when no stretch holds ``length`` bars of the interval drawn.
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

    def _offered(
        self, delta_ns: int, length: int
    ) -> tuple[npt.NDArray[np.int64], list[npt.NDArray[np.int64]]]:
        key = (delta_ns, length)
        if key not in self._cache:
            starts = [
                part.starts(length * per)
                if (per := part.bars_in(delta_ns))
                else np.zeros(len(part.first), int)
                for part in self._parts
            ]
            self._cache[key] = np.cumsum([s[-1] for s in starts]), starts
        return self._cache[key]

    def _cut(
        self,
        k: int,
        local: npt.NDArray[np.int64],
        cumulated: npt.NDArray[np.int64],
        delta_ns: int,
        length: int,
    ) -> FBarArray:
        part = self._parts[k]
        stretch = np.searchsorted(cumulated, local, side="right")
        before = np.where(stretch > 0, cumulated[stretch - 1], 0)
        first = part.first[stretch] + local - before
        per = part.bars_in(delta_ns)
        rows = part.bars[first[:, None] + np.arange(length * per)]
        if per > 1:
            rows = add_up(rows.reshape(-1, per)).reshape(len(local), length)
        out: FBarArray = rows
        return out


def _too_short(length: int, delta_ns: int) -> str:
    return (
        f"no stretch of {length} bars of {delta_ns / 1e9:g} s without a gap: give more history"
        " or finer intervals"
    )


def _parts(series: Series, intervals_ns: Sequence[int]) -> list[_Stretches]:
    """What a series offers: its native bars, or with a calendar bars of each interval it can be made into."""
    if series.grid is None:
        return [_stretches(series, native_interval_ns(series), whole=False)]
    native = series.grid.interval_ns
    made = [resample(series, delta_ns) for delta_ns in intervals_ns if delta_ns % native == 0]
    return [_stretches(one, one.grid.interval_ns, whole=True) for one in made if one.grid is not None]


def _stretches(series: Series, native_ns: int, *, whole: bool) -> _Stretches:
    first, _ = stretches(series, native_ns)
    return _Stretches(series.bars, native_ns, first, np.append(first[1:], len(series.bars)), whole)
