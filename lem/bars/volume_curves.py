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


def volume_curves(bars: FBarArray, start: IntArray, delta_ns: int, n: int, days: int = 20) -> VolumeCurves:
    """Curves of orders over rows start … start + n - 1 of ``bars`` [T], one symbol's in order of time.

    Only bars of days before an order's first are used. Raises InputError when ``days`` is below MIN_DAYS.
    """
    if days < MIN_DAYS:
        raise InputError(f"a volume curve over {days} days: give at least {MIN_DAYS}")
    if not len(start):
        return VolumeCurves(np.ones((0, n)), np.zeros(0, np.bool_))
    day = (bars["start_ns"] - bars["start_ns"][0] // DAY_NS * DAY_NS) // DAY_NS
    slot = bars["start_ns"] % DAY_NS // delta_ns
    shape = (int(day[-1]) + 2, int(slot.max()) + 1)
    total, count = np.zeros(shape), np.zeros(shape)
    np.add.at(total, (day + 1, slot), bars["volume"])
    np.add.at(count, (day + 1, slot), 1.0)
    total, count = total.cumsum(0), count.cumsum(0)  # row d: days before d
    rows = start[:, None] + np.arange(n)
    to = day[start][:, None]
    since = np.maximum(to - days, 0)
    known = count[to, slot[rows]] - count[since, slot[rows]]
    volume = total[to, slot[rows]] - total[since, slot[rows]]
    flat = (known < MIN_DAYS).any(1) | ~(volume > 0).any(1)
    expected = np.where(flat[:, None], 1.0, volume / np.maximum(known, 1.0))
    return VolumeCurves(expected, flat)
