"""A whole tape made faulty in known ways, marked as the feed and the importers mark what they notice.

``WAYS`` name them. Each takes a tape and a span [from, to) in ns and returns another tape; nothing outside
the span is lost, and the book is whole again after it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from agent.core.market.late_rows import mark_late
from agent.core.market.tape import EventArray, Flag, Kind, empty_events
from storage.recordings.opening_rows import Book

BOOK_KINDS = (Kind.LEVEL, Kind.SNAPSHOT_BEGIN, Kind.SNAPSHOT_END, Kind.BBO)
S = 10**9

Way = Callable[[EventArray, int, int], EventArray]


def trades_cut(tape: EventArray, from_ns: int, to_ns: int) -> EventArray:
    """Trades are missing; the next one shows it, as an importer says (both edges at once)."""
    gone = _within(tape, from_ns, to_ns) & (tape["kind"] == Kind.TRADE)
    at_ns = _next_ns(tape, tape["kind"] == Kind.TRADE, to_ns)
    edges = [_mark(kind, Flag.TRADES, at_ns, lost) for kind, lost in _edges(int(gone.sum()))]
    return _put(tape[~gone], *edges)


def trades_lost_live(tape: EventArray, from_ns: int, to_ns: int) -> EventArray:
    """The same, given up a second later, as a live feed says."""
    gone = _within(tape, from_ns, to_ns) & (tape["kind"] == Kind.TRADE)
    at_ns = _next_ns(tape, tape["kind"] == Kind.TRADE, to_ns)
    (begin, _), (end, lost) = _edges(int(gone.sum()))
    marks = (_mark(begin, Flag.TRADES, at_ns), _mark(end, Flag.TRADES, at_ns + S, lost))
    return _put(tape[~gone], *marks)


def book_cut(tape: EventArray, from_ns: int, to_ns: int) -> EventArray:
    """Book updates are missing; the next one shows it, and a snapshot mends it a second later."""
    noticed_ns = _next_ns(tape, np.isin(tape["kind"], BOOK_KINDS), to_ns)
    return _without_book(tape, from_ns, noticed_ns + S, _mark(Kind.GAP_BEGIN, Flag.BOOK, noticed_ns))


def all_cut(tape: EventArray, from_ns: int, to_ns: int) -> EventArray:
    """Lines of a capture are missing: trades and book updates."""
    return book_cut(trades_cut(tape, from_ns, to_ns), from_ns, to_ns)


def book_silent(tape: EventArray, from_ns: int, to_ns: int) -> EventArray:
    """The book's stream is silent: noticed in the middle, then a gap that a snapshot ends."""
    noticed_ns, end_ns = (from_ns + to_ns) // 2, _next_ns(tape, np.isin(tape["kind"], BOOK_KINDS), to_ns)
    stale = _mark(Kind.STALE, Flag.BOOK, noticed_ns)
    begin = _mark(Kind.GAP_BEGIN, Flag.BOOK, noticed_ns)
    return _without_book(tape, from_ns, end_ns, stale, begin, _mark(Kind.ALIVE, Flag.BOOK, end_ns))


def trades_silent(tape: EventArray, from_ns: int, to_ns: int) -> EventArray:
    """The trades' stream is silent and what it would have sent never comes."""
    gone = _within(tape, from_ns, to_ns) & (tape["kind"] == Kind.TRADE)
    end_ns = _next_ns(tape, tape["kind"] == Kind.TRADE, to_ns)
    stale, alive = (
        _mark(Kind.STALE, Flag.TRADES, (from_ns + to_ns) // 2),
        _mark(Kind.ALIVE, Flag.TRADES, end_ns),
    )
    return _put(tape[~gone], stale, alive)


def trades_late(tape: EventArray, from_ns: int, to_ns: int) -> EventArray:
    """Every third trade comes up to 0.9 s late."""
    late = np.flatnonzero(_within(tape, from_ns, to_ns) & (tape["kind"] == Kind.TRADE))[::3]
    moved = tape[late].copy()
    moved["recv_ns"] += np.arange(len(late)) % 9 * (S // 10) + S // 20
    moved["flags"] |= np.uint32(Flag.LAST)
    return _marked_late(_put(np.delete(tape, late), moved))


def trades_fetched(tape: EventArray, from_ns: int, to_ns: int) -> EventArray:
    """A gap of trades that is filled in over REST, 2 s after it was noticed."""
    gone = _within(tape, from_ns, to_ns) & (tape["kind"] == Kind.TRADE)
    at_ns = _next_ns(tape, tape["kind"] == Kind.TRADE, to_ns)
    fetched = tape[gone].copy()
    fetched["recv_ns"] = at_ns + 2 * S
    fetched["flags"] |= np.uint32(Flag.BACKFILL | Flag.LAST)
    begin = _mark(Kind.GAP_BEGIN, Flag.TRADES, at_ns)
    return _marked_late(_put(tape[~gone], begin, fetched, _mark(Kind.GAP_END, Flag.TRADES, at_ns + 2 * S)))


def tape_ends(tape: EventArray, from_ns: int, to_ns: int) -> EventArray:
    """The recording stops."""
    return tape[tape["recv_ns"] < from_ns].copy()


WAYS: dict[str, Way] = {
    way.__name__: way
    for way in (
        *(trades_cut, trades_lost_live, book_cut, all_cut, book_silent),
        *(trades_silent, trades_late, trades_fetched, tape_ends),
    )
}


def _within(tape: EventArray, from_ns: int, to_ns: int) -> np.ndarray:
    inside: np.ndarray = (tape["recv_ns"] >= from_ns) & (tape["recv_ns"] < to_ns)
    return inside


def _next_ns(tape: EventArray, mine: np.ndarray, at_ns: int) -> int:
    """When the stream's next row comes, or the tape ends."""
    later = np.flatnonzero(mine & (tape["recv_ns"] >= at_ns))
    return int(tape["recv_ns"][later[0] if len(later) else -1])


def _edges(lost: int) -> tuple[tuple[Kind, int], tuple[Kind, int]]:
    return (Kind.GAP_BEGIN, 0), (Kind.GAP_END, lost)


def _mark(kind: Kind, stream: Flag, at_ns: int, lost: int = 0) -> EventArray:
    row = empty_events(1)
    row["recv_ns"] = row["exch_ns"] = at_ns
    row["kind"], row["flags"], row["qty_lots"] = kind, stream | Flag.LAST, lost
    return row


def _without_book(tape: EventArray, from_ns: int, to_ns: int, *marks: EventArray) -> EventArray:
    """Take the book's rows out of a span; a snapshot and the gap's end follow it."""
    of_book = np.isin(tape["kind"], BOOK_KINDS)
    book = Book()
    book.add(tape[of_book & (tape["recv_ns"] < to_ns)])
    snapshot = book.rows(0)
    snapshot["recv_ns"] = snapshot["exch_ns"] = to_ns
    end = _mark(Kind.GAP_END, Flag.BOOK, to_ns)
    return _put(tape[~(of_book & _within(tape, from_ns, to_ns))], *marks, snapshot, end)


def _put(tape: EventArray, *pieces: EventArray) -> EventArray:
    """Insert pieces at their times, before the rows of the same moment, as if they had come so."""
    rows = np.concatenate([*pieces, tape])
    rows = rows[np.argsort(rows["recv_ns"], kind="stable")]
    rows["seq"] = np.arange(1, len(rows) + 1)
    return rows


def _marked_late(tape: EventArray) -> EventArray:
    trades = tape["kind"] == Kind.TRADE
    mine = tape[trades].copy()
    mark_late(mine, 0)
    tape[trades] = mine
    return tape
