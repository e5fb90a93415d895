"""A book built from updates must not stay crossed: the newer level wins.

When an update ends with the best bid not below the best ask, the side that was set last has crossed
levels of the other side whose removal was never sent: they are taken off with rows of their own, in the
same update. So one lost removal does not leave the rest of a session without a market.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agent.core.arrays import IntArray
from agent.core.compile.jit import njit
from agent.core.market.sorted_levels import set_level
from agent.core.market.tape import EventArray, Flag, Kind

_LAST = int(Flag.LAST)
_LEVEL, _SNAPSHOT = int(Kind.LEVEL), int(Kind.SNAPSHOT_BEGIN)


class Uncrosser:
    """Follows the book through chunks of whole updates."""

    def __init__(self) -> None:
        self._keys = np.zeros((2, 1024), np.int64)
        self._sizes = np.zeros((2, 1024), np.int64)
        self._counts = np.zeros(2, np.int64)

    def mend(self, rows: EventArray) -> tuple[EventArray, IntArray, IntArray]:
        """Return the rows with the removals, and by old rows: which crossed, before which one was added."""
        self._extend_by(len(rows))
        most = len(rows) + int(self._counts.sum())
        found, crossed = np.zeros((most, 3), np.int64), np.zeros(len(rows), np.int64)
        added, n = _scan(
            rows["kind"],
            rows["side"],
            rows["price_ticks"],
            rows["qty_lots"],
            rows["flags"],
            self._keys,
            self._sizes,
            self._counts,
            found,
            crossed,
        )
        if added:
            rows = _insert(rows, found[:added])
        return rows, crossed[:n], found[:added, 0]

    def _extend_by(self, more: int) -> None:
        need = int(self._counts.max()) + more + 1
        if need > self._keys.shape[1]:
            grow = ((0, 0), (0, need))
            self._keys, self._sizes = np.pad(self._keys, grow), np.pad(self._sizes, grow)


def _insert(rows: EventArray, found: IntArray) -> EventArray:
    """Put the removals before the row that ends their update: order inside an update means nothing."""
    at = found[:, 0]
    gone = rows[at].copy()
    gone["kind"], gone["side"], gone["price_ticks"] = _LEVEL, found[:, 1], found[:, 2]
    gone["qty_lots"] = gone["flags"] = 0
    return np.insert(rows, at, gone)


@njit
def _scan(
    kind: npt.NDArray[np.uint8],
    side: npt.NDArray[np.int8],
    price: IntArray,
    size: IntArray,
    flags: npt.NDArray[np.uint32],
    keys: IntArray,
    sizes: IntArray,
    counts: IntArray,
    found: IntArray,
    crossed: IntArray,
) -> tuple[int, int]:
    """Apply the levels; ``found`` rows: (row before which, side, price) of what must go. Returns counts."""
    added, n, winner = 0, 0, 0
    for i in range(len(kind)):
        if kind[i] == _SNAPSHOT:
            counts[0] = counts[1] = 0
        elif kind[i] == _LEVEL:
            s = 0 if side[i] > 0 else 1
            counts[s], _ = set_level(keys[s], sizes[s], counts[s], price[i] * side[i], size[i])
            o = 1 - s
            if size[i] > 0 and counts[o] > 0 and price[i] * side[i] >= -keys[o, counts[o] - 1]:
                winner = s
        if not flags[i] & _LAST:
            continue
        if counts[0] and counts[1] and keys[0, counts[0] - 1] >= -keys[1, counts[1] - 1]:
            crossed[n] = i
            n += 1
            loser = 1 - winner
            best = keys[winner, counts[winner] - 1]
            while counts[loser] and best >= -keys[loser, counts[loser] - 1]:
                counts[loser] -= 1
                key = keys[loser, counts[loser]]
                found[added, 0], found[added, 1] = i, 1 - 2 * loser
                found[added, 2] = key * (1 - 2 * loser)
                added += 1
    return added, n
