"""The state of a tape at a moment: each instrument's book and open gaps, as rows that restate it.

A tape that begins in the middle begins with these rows, so that its reader sees the book that a reader
from the start would have seen. They carry ``CARRIED``, because no exchange sent them there.
"""

from __future__ import annotations

import numpy as np

from agent.core.arrays import IntArray
from agent.core.market.tape import EventArray, Flag, Kind, empty_events

_BOOK_KINDS = (Kind.LEVEL, Kind.SNAPSHOT_BEGIN, Kind.SNAPSHOT_END)
_OPENS = {Kind.GAP_BEGIN: Kind.GAP_END, Kind.STALE: Kind.ALIVE}
_STREAMS = int(Flag.TRADES | Flag.BOOK)


class Opening:
    """Follows a tape; ``rows`` restates where it is. Memory: the present books, nothing of the past."""

    def __init__(self) -> None:
        self.books: dict[int, Book] = {}
        self._marks: dict[
            tuple[int, int, int], list[EventArray]
        ] = {}  # (instrument, kind, stream): open ones

    def add(self, events: EventArray) -> None:
        """Take rows in, in the tape's order."""
        kind = events["kind"]
        book_rows = events[np.isin(kind, _BOOK_KINDS)]
        for number in np.unique(book_rows["instrument"]).tolist():
            self.books.setdefault(number, Book()).add(book_rows[book_rows["instrument"] == number])
        for at in np.flatnonzero(kind >= Kind.GAP_BEGIN):
            self._mark(events[at : at + 1])

    def _mark(self, row: EventArray) -> None:
        number, kind, stream = int(row["instrument"][0]), int(row["kind"][0]), int(row["flags"][0]) & _STREAMS
        if kind in _OPENS:
            self._marks.setdefault((number, kind, stream), []).append(row.copy())
            return
        for opened, closes in _OPENS.items():
            waiting = self._marks.get((number, opened, stream))
            if kind == closes and waiting:
                waiting.pop()

    def rows(self, number: int, recv_ns: int) -> EventArray:
        """Rows at ``recv_ns`` that bring a reader of instrument ``number`` to where the tape is."""
        pieces = [row for key, rows in sorted(self._marks.items()) if key[0] == number for row in rows]
        if number in self.books:
            pieces.append(self.books[number].rows(number))
        found = np.concatenate(pieces) if pieces else empty_events()
        found["recv_ns"] = recv_ns
        found["flags"] |= np.uint32(Flag.CARRIED)
        return found


class Book:
    """One instrument's levels: the last size shown at each price and side."""

    def __init__(self) -> None:
        self._key: IntArray = np.zeros(0, np.int64)  # 2 x price in ticks, + 1 for an ask
        self._lots: IntArray = np.zeros(0, np.int64)
        self._in_snapshot = False
        self._exch_ns = self._ext_id = 0

    def add(self, rows: EventArray) -> None:
        self._exch_ns, self._ext_id = int(rows["exch_ns"][-1]), int(rows["ext_id"][-1])
        begins = np.flatnonzero(rows["kind"] == Kind.SNAPSHOT_BEGIN)
        if len(begins):
            self._in_snapshot = True
            self._key = self._lots = np.zeros(0, np.int64)
            rows = rows[begins[-1] + 1 :]
        if (rows["kind"] == Kind.SNAPSHOT_END).any():
            self._in_snapshot = False
        levels = rows[rows["kind"] == Kind.LEVEL]
        key = np.concatenate([self._key, 2 * levels["price_ticks"] + (levels["side"] < 0)])
        lots = np.concatenate([self._lots, levels["qty_lots"]])
        last_key, from_end = np.unique(key[::-1], return_index=True)
        last_lots = lots[::-1][from_end]
        self._key, self._lots = last_key[last_lots > 0], last_lots[last_lots > 0]

    def touch(self) -> tuple[int, int] | None:
        """(best bid, best ask) in ticks; None without a whole, two-sided, uncrossed book."""
        if self._in_snapshot or not len(self._key):
            return None
        ask = self._key & 1 == 1
        if ask.all() or not ask.any():
            return None
        bid_ticks, ask_ticks = int(self._key[~ask][-1] >> 1), int(self._key[ask][0] >> 1)
        return (bid_ticks, ask_ticks) if bid_ticks < ask_ticks else None

    def rows(self, number: int) -> EventArray:
        """A snapshot; one whose end has not been seen yet is left open, its own end follows on the tape."""
        table = empty_events(len(self._key) + 2)
        table["exch_ns"], table["ext_id"], table["instrument"] = self._exch_ns, self._ext_id, number
        table["kind"] = Kind.LEVEL
        table["kind"][0], table["kind"][-1] = Kind.SNAPSHOT_BEGIN, Kind.SNAPSHOT_END
        table["flags"][-1] = Flag.LAST
        levels = table[1:-1]
        levels["price_ticks"], levels["qty_lots"] = self._key >> 1, self._lots
        levels["side"] = np.where(self._key & 1, -1, 1)
        return table[:-1] if self._in_snapshot else table
