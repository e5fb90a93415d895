"""Order books with cheap changes: a window of ticks, addressed directly, around the touch of either side.

Theory of operation
-------------------
A side of a book is addressed by its *row*, 2 x instrument + (0 bids, 1 asks), and its levels by their *key*:
the price for bids, minus the price for asks, so that "best" is the largest key on both sides.

* The *window* of a row holds the keys ``base <= key < base + WINDOW``: ``lots[row, key - base]``. Two layers
  of bits say which of them have lots: bit ``i & 63`` of ``words[row, i >> 6]`` for tick ``i``, and bit ``w &
  63`` of ``groups[row, w >> 6]`` for a word ``w`` that is not 0. So the next worse level is found in a few
  steps, however far it is.
* The *far* levels, all below the window, are kept sorted (``sorted_levels``), as many as there are.

Invariants: the best level, where there is one, lies in the window; no level is above it; a key is in the
window or among the far ones, by ``base`` alone; ``head[LEVELS]`` counts both, ``head[FAR]`` the far ones; a
bit is set where, and only where, there are lots. The window follows the touch: it is laid anew, with
``BEHIND`` of its ticks below the best, when a new best lies above it, or when the best has fallen into its
lower half while far levels wait. That is a matter of speed, never of what the book says.

Worked example (``tests/property/test_book.py`` holds it), WINDOW 65,536, BEHIND 49,152, LOW 32,768:

1. The first bid, 5 lots at 1,000,000: base = 1,000,000 - 49,152 = 950,848. Its tick is 49,152, which is bit
   0 of word 768, which is bit 0 of group 12.
2. A bid of 7 at 950,000 is below the base: it is the one far level.
3. A new best, 3 at 1,020,000, would be tick 69,152: beyond the window. Base becomes 970,848; the level at
   1,000,000 moves from tick 49,152 to 29,152; 950,000 stays far.
4. The best goes. The next is at tick 29,152, below LOW, and a far level waits: base becomes 950,848 again.
   950,000 is still below it, and still far.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba.cpython.unsafe.numbers import leading_zeros, trailing_zeros

from agent.core.arrays import IntArray
from agent.core.compile.jit import njit_flat, njit_inline, njit_inner
from agent.core.market.sorted_levels import find, set_level
from agent.core.money import MOST_TL

BitArray = npt.NDArray[np.uint64]

WINDOW = 65536
"""Ticks of a window. Of a real BTC/USDT book nine changes in ten are within 15,000 ticks of the touch."""
BEHIND = WINDOW // 4 * 3  # ticks of it that lie behind the best level when it is laid
LOW = WINDOW // 2  # with fewer left it is laid anew
MOST_SHOWN = MOST_TL
"""More lots than this are not told apart: two levels of so many fit 64 bits, and no order takes them."""
NOTHING = -(2**62)
"""The key that says that there is no level."""

# Columns of ``head``.
BASE, BEST, LEVELS, FAR, HEAD_COLUMNS = range(5)

ONE, NONE_SET = np.uint64(1), np.uint64(0)


class Ladders(NamedTuple):
    """Both sides of the books of several instruments."""

    head: IntArray  # [row, HEAD_COLUMNS]: lowest key of the window; best key; levels, far ones among them
    lots: IntArray  # [row, WINDOW]
    words: BitArray  # [row, WINDOW / 64] a bit for each tick that has lots
    groups: BitArray  # [row, WINDOW / 4096] a bit for each word that is not 0
    far_key: IntArray  # [row, levels] ascending, all below the window
    far_lots: IntArray  # [row, levels]


def new_ladders(instruments: int, levels: int) -> Ladders:
    """Empty books, with space for ``levels`` levels a side."""
    rows = 2 * instruments
    head = np.zeros((rows, HEAD_COLUMNS), np.int64)
    head[:, BEST] = NOTHING
    return Ladders(
        head=head,
        lots=np.zeros((rows, WINDOW), np.int64),
        words=np.zeros((rows, WINDOW // 64), np.uint64),
        groups=np.zeros((rows, WINDOW // 4096), np.uint64),
        far_key=np.zeros((rows, levels), np.int64),
        far_lots=np.zeros((rows, levels), np.int64),
    )


@njit_inner
def _highest(word: np.uint64) -> np.int64:
    return np.int64(63) - np.int64(leading_zeros(word))


@njit_inner
def _lowest(word: np.uint64) -> np.int64:
    return np.int64(trailing_zeros(word))


@njit_flat
def level_lots(b: Ladders, row: int, k: int) -> int:
    """Displayed lots at key ``k``, 0 where there is no level."""
    i = k - b.head[row, BASE]
    if i >= 0:
        return b.lots[row, i] if i < WINDOW else 0
    n = b.head[row, FAR]
    j = find(b.far_key[row], n, k)
    return b.far_lots[row, j] if j < n and b.far_key[row, j] == k else 0


@njit_flat
def put_level(b: Ladders, row: int, k: int, lots: int) -> int:
    """Set level ``k`` to ``lots`` (0 deletes). Returns the lots before.

    The caller guarantees space for one more level.
    """
    before = quick_put(b.head, b.lots, b.words, b.groups, row, k, lots)
    if before >= 0:
        return int(before)
    if k < b.head[row, BASE] and b.head[row, LEVELS] > 0:
        return _put_far(b, row, k, lots)
    if k != b.head[row, BEST]:  # a new best, or the first of its side, outside the window
        if lots <= 0:
            return 0
        _lay(b, row, k)
        return int(quick_put(b.head, b.lots, b.words, b.groups, row, k, lots))
    best = next_key(b, row, k)  # the best goes, and the next is low in the window or below it
    before = level_lots(b, row, k)
    _flip_bit(b, row, k - b.head[row, BASE])
    b.lots[row, k - b.head[row, BASE]] = 0
    b.head[row, LEVELS] -= 1
    b.head[row, BEST] = best
    if best != NOTHING:
        _lay(b, row, best)
    return int(before)


@njit_inline
def quick_put(
    head: IntArray, lots: IntArray, words: BitArray, groups: BitArray, row: int, k: int, to_lots: int
) -> int:
    """``put_level`` in the window, where that leaves the window where it is; else -1, and nothing is done.

    The arrays are those of ``Ladders``: a loop that has them at hand runs twice as fast.
    """
    i = k - head[row, BASE]
    if i < 0 or i >= WINDOW:
        return -1
    before = lots[row, i]
    if k >= head[row, BEST]:
        if to_lots > 0:
            head[row, BEST] = k
        elif before > 0:
            below = _below(words, groups, row, i)
            if below < 0 or (below < LOW and head[row, FAR] > 0):
                return -1
            head[row, BEST] = head[row, BASE] + below
    lots[row, i] = max(0, to_lots)
    # No branches from here: whether a level comes or goes is as good as random.
    head[row, LEVELS] += int(to_lots > 0) - int(before > 0)
    w, bit = i >> 6, np.uint64(i & 63)
    word = (words[row, w] & ~(ONE << bit)) | (np.uint64(to_lots > 0) << bit)
    words[row, w] = word
    bit = np.uint64(w & 63)
    groups[row, w >> 6] = (groups[row, w >> 6] & ~(ONE << bit)) | (np.uint64(word != NONE_SET) << bit)
    return int(before)


@njit_inner
def _flip_bit(b: Ladders, row: int, i: int) -> None:
    """Flip the bit of tick ``i``."""
    w = i >> 6
    word = b.words[row, w] ^ (ONE << np.uint64(i & 63))
    b.words[row, w] = word
    bit = ONE << np.uint64(w & 63)
    b.groups[row, w >> 6] = (b.groups[row, w >> 6] & ~bit) | (bit if word != NONE_SET else NONE_SET)


@njit_inner
def _below(words: BitArray, groups: BitArray, row: int, i: int) -> int:
    """The highest tick below ``i`` of the window that has lots, -1 where there is none."""
    w = i >> 6
    left = words[row, w] & ((ONE << np.uint64(i & 63)) - ONE)
    if left == NONE_SET:
        g = w >> 6
        marked = groups[row, g] & ((ONE << np.uint64(w & 63)) - ONE)
        while marked == NONE_SET:
            g -= 1
            if g < 0:
                return -1
            marked = groups[row, g]
        w = int((g << 6) + _highest(marked))
        left = words[row, w]
    return int((w << 6) + _highest(left))


@njit_flat
def next_key(b: Ladders, row: int, k: int) -> int:
    """The best key that is worse than ``k``, which is in the book; NOTHING after the last."""
    base, n = b.head[row, BASE], b.head[row, FAR]
    if k >= base:
        i = _below(b.words, b.groups, row, k - base)
        if i >= 0:
            return int(base + i)
        return b.far_key[row, n - 1] if n > 0 else NOTHING
    j = find(b.far_key[row], n, k)
    return b.far_key[row, j - 1] if j > 0 else NOTHING


@njit_flat
def lots_within(b: Ladders, row: int, worst: int) -> int:
    """Lots displayed at keys >= ``worst``; ``MOST_SHOWN`` where they are more."""
    total = 0
    k = b.head[row, BEST]
    while k >= worst and k != NOTHING:
        total += min(level_lots(b, row, k), MOST_SHOWN)
        if total >= MOST_SHOWN:
            return MOST_SHOWN
        k = next_key(b, row, k)
    return total


@njit_flat
def clear_levels(b: Ladders, row: int) -> None:
    """Take every level away."""
    for w in range(WINDOW // 64):
        word = b.words[row, w]
        b.words[row, w] = NONE_SET
        while word != NONE_SET:
            b.lots[row, (w << 6) + _lowest(word)] = 0
            word &= word - ONE
    for g in range(WINDOW // 4096):
        b.groups[row, g] = NONE_SET
    b.head[row, BEST] = NOTHING
    b.head[row, LEVELS] = 0
    b.head[row, FAR] = 0


# --- where the window lies -----------------------------------------------------------------------


@njit_inner
def _put_far(b: Ladders, row: int, k: int, lots: int) -> int:
    """``put_level`` for a key below the window."""
    n, before = set_level(b.far_key[row], b.far_lots[row], b.head[row, FAR], k, lots)
    b.head[row, LEVELS] += n - b.head[row, FAR]
    b.head[row, FAR] = n
    return int(before)


@njit_inner
def _lay(b: Ladders, row: int, best: int) -> None:
    """Lay the window around ``best``; levels go to the far ones or come from them."""
    was, base = b.head[row, BASE], best - BEHIND
    b.head[row, BASE] = base
    if base > was:
        for w in range(WINDOW // 64):  # upwards: a level moves to a tick that has been left
            _move_word(b, row, w, was)
    else:
        for w in range(WINDOW // 64 - 1, -1, -1):
            _move_word(b, row, w, was)
        far = b.head[row, FAR]
        while far > 0 and b.far_key[row, far - 1] >= base:
            far -= 1
            b.lots[row, b.far_key[row, far] - base] = b.far_lots[row, far]
            _flip_bit(b, row, b.far_key[row, far] - base)
        b.head[row, FAR] = far


@njit_inner
def _move_word(b: Ladders, row: int, w: int, was: int) -> None:
    """Move the levels of one word from a window that began at ``was`` to where they belong now."""
    word, base = b.words[row, w], b.head[row, BASE]
    if word == NONE_SET:
        return
    b.words[row, w] = NONE_SET
    b.groups[row, w >> 6] &= ~(ONE << np.uint64(w & 63))
    while word != NONE_SET:
        bit = _lowest(word) if base > was else _highest(word)
        word ^= ONE << np.uint64(bit)
        i = (w << 6) + bit
        lots, k = b.lots[row, i], was + i
        b.lots[row, i] = 0
        if k >= base:
            b.lots[row, k - base] = lots
            _flip_bit(b, row, k - base)
        else:  # ascending, and worse levels are further down: it is the best of the far ones
            far = b.head[row, FAR]
            b.far_key[row, far] = k
            b.far_lots[row, far] = lots
            b.head[row, FAR] = far + 1
