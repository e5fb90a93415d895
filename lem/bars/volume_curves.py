"""Static volume curves: the volume to expect in each interval of an order, from whole days before its own.

An interval's expected volume is the mean over the trailing days of the bars at its own time of day (by the
bars' clock). Days without such a bar do not count. With fewer than MIN_DAYS of them the curve is flat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.core.arrays import BoolArray, FloatArray, IntArray
from agent.core.errors import InputError
from agent.core.market.bars import FBarArray
from agent.core.types import DAY_NS

MIN_DAYS = 3


@dataclass(frozen=True, slots=True)
class VolumeCurves:
    """``expected`` volume [N, n], in the bars' unit; 1 throughout where ``flat`` [N]: too few days before."""

    expected: FloatArray
    flat: BoolArray


class VolumeHistory:
    """What the bars [T] of one symbol, in order of time, traded at each time of day up to each day."""

    def __init__(self, bars: FBarArray, delta_ns: int, days: int = 20) -> None:
        """Raises InputError when ``days`` is below MIN_DAYS."""
        if days < MIN_DAYS:
            raise InputError(f"a volume curve over {days} days: give at least {MIN_DAYS}")
        self._days = days
        first_ns = bars["start_ns"][0] // DAY_NS * DAY_NS if len(bars) else 0
        self._day = (bars["start_ns"] - first_ns) // DAY_NS
        self._slot = bars["start_ns"] % DAY_NS // delta_ns
        shape = (int(self._day.max(initial=0)) + 2, int(self._slot.max(initial=0)) + 1)
        total, count = np.zeros(shape), np.zeros(shape)
        np.add.at(total, (self._day + 1, self._slot), bars["volume"])
        np.add.at(count, (self._day + 1, self._slot), 1.0)
        self._total, self._count = total.cumsum(0), count.cumsum(0)  # row d: days before d

    def curves(self, start: IntArray, n: int) -> VolumeCurves:
        """Curves of orders over rows start … start + n - 1; only days before an order's first are used."""
        slots = self._slot[start[:, None] + np.arange(n)]
        to = self._day[start][:, None]
        since = np.maximum(to - self._days, 0)
        known = self._count[to, slots] - self._count[since, slots]
        volume = self._total[to, slots] - self._total[since, slots]
        flat = (known < MIN_DAYS).any(1) | ~(volume > 0).any(1)
        return VolumeCurves(np.where(flat[:, None], 1.0, volume / np.maximum(known, 1.0)), flat)


def volume_curves(bars: FBarArray, start: IntArray, delta_ns: int, n: int, days: int = 20) -> VolumeCurves:
    """Curves of orders over rows start … start + n - 1 of ``bars`` [T], one symbol's in order of time.

    Only bars of days before an order's first are used. Raises InputError when ``days`` is below MIN_DAYS.
    """
    return VolumeHistory(bars, delta_ns, days).curves(start, n)
