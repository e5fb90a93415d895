"""Continuity of trade ids: what is missing, repeated or late, in bounded memory."""

from __future__ import annotations

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

    @property
    def missing(self) -> int:
        return sum(map(len, self._holes)) + self._forgotten

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
        """The gap just found is none: its ids were never trades of the public book."""
        self._holes.pop()

    def _fill(self, trade_id: int) -> bool:
        for i, hole in enumerate(self._holes):
            if trade_id in hole:
                pieces = (range(hole.start, trade_id), range(trade_id + 1, hole.stop))
                self._holes[i : i + 1] = [piece for piece in pieces if piece]
                return True
        return False
