"""Levels of a book that can be: a price and a size above nothing, finite, and within what adds up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from connectors.ccxt_types import Level
from connectors.continuity.sane_numbers import COUNT_MOST, fits, is_number
from connectors.normalise import Scale


def sane_levels(levels: Sequence[Level], scale: Scale) -> tuple[list[Level], int]:
    """The levels that can be, in their order, and how many were refused."""
    tick, lot = float(scale.tick.size), float(scale.lot.size)
    try:
        prices = np.array([level[0] for level in levels], dtype=np.float64)
        sizes = np.array([level[1] for level in levels], dtype=np.float64)
    except (TypeError, ValueError, IndexError, KeyError, OverflowError):
        kept = [level for level in levels if _is_level(level, tick, lot)]
        return kept, len(levels) - len(kept)
    with np.errstate(invalid="ignore", over="ignore"):
        good = (prices > 0) & (prices < COUNT_MOST * tick) & (sizes >= 0) & (sizes < COUNT_MOST * lot)
        good &= fits(prices / tick, sizes / lot)
    if good.all():
        return list(levels), 0
    kept = [level for level, is_good in zip(levels, good.tolist(), strict=True) if is_good]
    return kept, len(levels) - len(kept)


def _is_level(level: object, tick: float, lot: float) -> bool:
    if not isinstance(level, Sequence) or len(level) < 2 or not all(map(is_number, level[:2])):
        return False
    price, size = float(level[0]), float(level[1])
    return price > 0 and size >= 0 and bool(fits(price / tick, size / lot))
