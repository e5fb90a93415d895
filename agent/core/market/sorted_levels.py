"""Order book on flat sorted arrays, in Numba: the best level of either side stands last.

One side is ``key`` (int64, ascending), ``qty`` (int64, lots) and a count. The key is the price for
bids and minus the price for asks, so that "best" is the largest key on both sides and one code
serves both; most changes happen near the touch, where an insertion moves few elements.
"""

from __future__ import annotations

from agent.core.arrays import IntArray
from agent.core.compile.jit import njit_flat


@njit_flat
def find(key: IntArray, count: int, k: int) -> int:
    """Index of the first key >= ``k``: binary search after a look at the levels next to the touch."""
    lo, hi = 0, count
    step = 4
    while hi - step > 0 and key[hi - step] >= k:  # gallop down from the best
        hi -= step
        step *= 2
    lo = max(0, hi - step)
    while lo < hi:
        mid = (lo + hi) >> 1
        if key[mid] < k:
            lo = mid + 1
        else:
            hi = mid
    return lo


@njit_flat
def set_level(key: IntArray, qty: IntArray, count: int, k: int, lots: int) -> tuple[int, int]:
    """Set level ``k`` to ``lots`` (0 deletes). Returns (new count, lots before).

    The caller guarantees space for one more level.
    """
    i = find(key, count, k)
    if i < count and key[i] == k:
        before = qty[i]
        if lots > 0:
            qty[i] = lots
            return count, before
        for j in range(i, count - 1):
            key[j] = key[j + 1]
            qty[j] = qty[j + 1]
        return count - 1, before
    if lots <= 0:
        return count, 0
    for j in range(count, i, -1):
        key[j] = key[j - 1]
        qty[j] = qty[j - 1]
    key[i] = k
    qty[i] = lots
    return count + 1, 0
