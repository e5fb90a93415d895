"""The volume that a market may be expected to trade within a window: at the rate it has traded lately.

Klines come first, for they reach furthest; trades add what came after the last of them, and stand alone where
an exchange gives none. With too little history nothing is expected: unknown stays unknown.
"""

from __future__ import annotations

from agent.core.arrays import IntArray
from agent.core.market.tape import BarArray
from agent.core.money import exact_sum
from agent.core.types import NS_PER_S

LEAST_HISTORY_NS = 20 * NS_PER_S
LOOKBACK_NS = 2 * 3600 * NS_PER_S
WINDOWS = 4
"""History looked at: ``LOOKBACK_NS``, or so many of the order's windows where these are longer."""


def history_ns(window_ns: int) -> int:
    """How far back is looked for what to expect of a window."""
    return max(LOOKBACK_NS, WINDOWS * window_ns)


def expected_lots(
    klines: BarArray, exch_ns: IntArray, lots: IntArray, now_ns: int, window_ns: int
) -> float | None:
    """Lots expected within ``window_ns``, from an instrument's klines and trades until now; None: unknown."""
    since_ns = now_ns - history_ns(window_ns)
    recent = klines[klines["open_ns"] >= since_ns]
    first_ns, volume, known_ns = now_ns, 0, since_ns
    if len(recent):
        first_ns, volume = int(recent["open_ns"].min()), exact_sum(recent["base_lots"])
        known_ns = int((recent["open_ns"] + recent["delta_ns"]).max())
    later = exch_ns >= known_ns
    if later.any():
        first_ns = min(first_ns, int(exch_ns[later].min()))
        volume += exact_sum(lots[later])
    span_ns = now_ns - first_ns
    if span_ns < LEAST_HISTORY_NS or not volume:
        return None
    return volume / span_ns * window_ns
