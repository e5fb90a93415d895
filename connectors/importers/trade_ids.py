"""Continuity of trade ids: what is missing, repeated or late, in bounded memory."""

from __future__ import annotations

from bisect import bisect_right
from enum import Enum

_MOST_RANGES = 10_000


class Seen(Enum):
    """What an id says about its stream."""

    NEXT = "next"
    AFTER_GAP = "after_gap"
    LATE = "late"  # one that was missing
    REPEATED = "repeated"


class TradeIds:
    """Ids given by the exchange without a hole; the holes seen here are kept as ranges."""

    def __init__(self) -> None:
        self.last: int | None = None
        self.lost = 0  # ids in the gap just found
        self._holes: list[range] = []
        self._forgotten = 0  # ids of holes too many to keep
        self._forgiven: list[range] = []
        self._forgiven_forgotten = 0

    @property
    def missing(self) -> int:
        return sum(map(len, self._holes)) + self._forgotten

    @property
    def forgiven(self) -> int:
        """Ids in holes that are no gaps, and that were not seen since."""
        return sum(map(len, self._forgiven)) + self._forgiven_forgotten

    def see(self, trade_id: int) -> Seen:
        last, self.last = self.last, trade_id
        if last is None or trade_id == last + 1:
            return Seen.NEXT
        if trade_id > last:
            self.lost = trade_id - last - 1
            self._holes.append(range(last + 1, trade_id))
            if len(self._holes) > _MOST_RANGES:
                self._forgotten += len(self._holes.pop(0))
            return Seen.AFTER_GAP
        self.last = last
        return Seen.LATE if self._fill(trade_id) else Seen.REPEATED

    def forgive(self) -> None:
        """The gap just found is none: its ids may never have been trades of the public book.

        One that comes late is a trade all the same.
        """
        self._forgiven.append(self._holes.pop())
        if len(self._forgiven) > _MOST_RANGES:
            self._forgiven_forgotten += len(self._forgiven.pop(0))

    def _fill(self, trade_id: int) -> bool:
        return _taken_out(self._holes, trade_id) or _taken_out(self._forgiven, trade_id)


def _taken_out(holes: list[range], trade_id: int) -> bool:
    """Whether an id was in one of the holes, which are in order; it no longer is."""
    i = bisect_right(holes, trade_id, key=_start) - 1
    if i < 0 or trade_id not in holes[i]:
        return False
    hole = holes[i]
    pieces = (range(hole.start, trade_id), range(trade_id + 1, hole.stop))
    holes[i : i + 1] = [piece for piece in pieces if piece]
    return True


def _start(hole: range) -> int:
    return hole.start
