"""The intraday volume profile: how much the market usually trades at each time of day.

Klines that ended by now are averaged by time of day; an interval's expected volume is the integral of
that rate over it, so klines may be coarser or finer than the order's intervals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.core.arrays import FloatArray, IntArray
from agent.core.market.tape import BarArray
from agent.core.types import DAY_NS, MarketView, OrderView


@dataclass(frozen=True, slots=True)
class VolumeProfile:
    """Expected base lots of each kline-sized bucket of the day; NaN where history has none."""

    bucket_ns: int
    lots: FloatArray  # (buckets of a day,)
    days: int  # distinct days the history touches

    def expected(self, start_ns: int, end_ns: int) -> float:
        """Return the lots expected in ``[start_ns, end_ns)``; NaN where any part of it is unknown."""
        return float(self.expected_each(np.array([start_ns]), end_ns - start_ns)[0])

    def expected_each(self, starts_ns: IntArray, length_ns: int) -> FloatArray:
        """The same of intervals of one length, all at once: in each, bucket after bucket is added."""
        total = np.zeros(len(starts_ns))
        at_ns, ends_ns = starts_ns, starts_ns + length_ns
        while (open_ := at_ns < ends_ns).any():
            into_day = at_ns % DAY_NS
            bucket = into_day // self.bucket_ns
            upto_ns = np.minimum(
                ends_ns, at_ns - into_day + np.minimum((bucket + 1) * self.bucket_ns, DAY_NS)
            )
            part = self.lots[bucket] * (upto_ns - at_ns) / self.bucket_ns
            total = np.where(open_, total + part, total)
            at_ns = np.where(open_, upto_ns, at_ns)
        return total


def volume_profile(klines: BarArray | None, now_ns: int) -> VolumeProfile | None:
    """Average ``klines`` by time of day, leaving out what had not ended by ``now_ns``; None without any.

    With several kline lengths the finest is used, because it shows the shape best.
    """
    if klines is None or len(klines) == 0:
        return None
    ended = klines[klines["open_ns"] + klines["delta_ns"] <= now_ns]
    ended = ended[(ended["delta_ns"] > 0) & (ended["delta_ns"] <= DAY_NS)]
    if len(ended) == 0:
        return None
    bucket_ns = int(ended["delta_ns"].min())
    ended = ended[ended["delta_ns"] == bucket_ns]
    buckets = -(-DAY_NS // bucket_ns)
    index = (ended["open_ns"] % DAY_NS) // bucket_ns
    lots = np.bincount(index, weights=ended["base_lots"].astype(np.float64), minlength=buckets)
    count = np.bincount(index, minlength=buckets)
    mean = np.where(count > 0, lots / np.maximum(count, 1), np.nan)
    return VolumeProfile(bucket_ns, mean, int(np.unique(ended["open_ns"] // DAY_NS).size))


def expected_curve(order: OrderView, market: MarketView) -> tuple[FloatArray, str]:
    """Return relative volumes expected in intervals t .. n-1, all positive, and where they are from.

    Intervals whose time of day the history lacks take the mean of the others; with none known, or
    nothing traded in them, the curve is flat.
    """
    left = order.n - order.t
    profile = volume_profile(market.klines, market.now_ns)
    if profile is None:
        return np.ones(left), "flat, so as twap: no volume history"
    curve = profile.expected_each(market.now_ns + order.interval_ns * np.arange(left), order.interval_ns)
    known = np.isfinite(curve)
    mean = float(curve[known].mean()) if known.any() else 0.0
    if mean <= 0.0:
        return np.ones(left), "flat, so as twap: the volume history lacks this time of day"
    # A time of day that never traded still gets a little, so that no interval is impossible.
    filled = np.where(known, np.maximum(curve, 1e-3 * mean), mean)
    return filled, f"profile of {profile.days} days"
