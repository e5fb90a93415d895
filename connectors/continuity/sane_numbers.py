"""What an exchange's number may be before anything is made of it: finite, sized, and within 64 bits.

ccxt hands on what a frame holds. A size of 1e30 or a stamp of 1e300 is no trade; taken for one it would end
the run, or overflow a sum without a word. What is refused here is counted by whoever asks.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

from agent.core.money import MOST_TL

STAMP_MOST_MS = 4_102_444_800_000  # 2100
TRADED_SINCE_MS = 1_230_768_000_000  # 2009
COUNT_MOST = 2.0**53  # ticks of a price, lots of a size
VALUE_MOST = float(MOST_TL)  # ticks x lots of one trade


def is_number(value: object) -> bool:
    """A finite int or float, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and _finite(value)


def _finite(value: float) -> bool:
    try:
        return isfinite(value)
    except OverflowError:  # an int beyond any double
        return False


def is_size(value: object) -> bool:
    return is_number(value) and value > 0  # type: ignore[operator]


def is_stamp(value: object) -> bool:
    """Whole milliseconds between 1970 and 2100."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < STAMP_MOST_MS


def is_time(value: object) -> bool:
    """A stamp of a time in which anything was traded so: not before 2009."""
    return is_stamp(value) and value >= TRADED_SINCE_MS  # type: ignore[operator]


def fits(ticks: Any, lots: Any) -> Any:
    """Whether a price and a size, in ticks and lots, can be on the tape; of arrays, each of them."""
    return (abs(ticks) < COUNT_MOST) & (lots < COUNT_MOST) & (abs(ticks * lots) < VALUE_MOST)
