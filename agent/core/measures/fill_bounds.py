"""Whether fills could have come from the tape: over any window no more than it showed and traded.

A buy at a price can only come from what was offered, or sold by a taker, at that price or below; a sale the
other way round. So for every price P and window (t0, t1], of one lane and side:

    fills up to P in it  <=  shown up to P at t0  +  added to that in it  +  traded there against them in it

Nothing is known here of orders, queues or models: rows of the tape and fills are all it takes.

Theory of operation. Put F for the fills up to P so far, A for lots added, G for lots gone (so that A - G is
what is shown), T for lots traded. The bound is then

    F(t1) - A(t1) - T(t1)  <=  F(t0) - G(t0) - T(t0)        for all t0 <= t1

The left side grows by fills only, and the right side falls but for fills. So the right side's minimum is
taken just before each time at which something was filled, and the left side is looked at just after it.

Worked example (``tests/unit/core/test_fill_bounds.py`` holds it): an ask of 5 at 100 is shown; we buy 5 there
(F 5, A 5: 0 <= 0). It goes to 3, and back to 5: A 7, G 2. Another 3 bought at 100 make F 8: left 8 - 7 = 1,
and the right side was 0 before the first fill. One lot was never there: 2 came back, and 3 were bought.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from agent.core.arrays import IntArray
from agent.core.market.tape import EventArray, Flag, Kind

EARLIER = -(2**62)
SETTLED_FROM = 2**58
"""Lots from which the sums are settled (``_settle``): what a batch adds fits besides."""


@dataclass(frozen=True, slots=True)
class BookFill:
    """A fill at the price that the book gave: without what an impact model added."""

    lane: str
    instrument: int
    side: int  # +1 bought
    price_ticks: int
    lots: int
    at_ns: int  # recv_ns of what it was matched with


@dataclass(frozen=True, slots=True)
class Excess:
    """A window (from_ns, to_ns] in which a lane was filled, up to a price, by more than there was."""

    lane: str
    instrument: int
    side: int
    price_ticks: int
    from_ns: int
    to_ns: int
    filled_lots: int
    most_lots: int


def first_excess(batches: Iterable[EventArray], fills: Sequence[BookFill]) -> Excess | None:
    """The first window that breaks the bound, None where none does. ``batches``: the whole tape."""
    sides: dict[tuple[int, int], list[BookFill]] = {}
    for fill in fills:
        sides.setdefault((fill.instrument, fill.side), []).append(fill)
    checks = [_SideCheck(*key, found) for key, found in sides.items()]
    for rows in batches:
        for check in checks:
            check.add(rows)
    for check in checks:
        check.finish()
    found = [check.excess for check in checks if check.excess is not None]
    return min(found, key=lambda excess: excess.to_ns, default=None)


@dataclass(slots=True)
class _Lane:
    """By price: what was filled; and the least of the right side, with the time and the fills of then."""

    filled: IntArray
    least: IntArray
    least_ns: IntArray
    filled_then: IntArray


@dataclass(slots=True)
class _Changes:
    """Rows that matter, in order: their times, the price they count from, and what they change."""

    at_ns: IntArray
    price: IntArray  # position among the prices of fills
    added: IntArray
    gone: IntArray
    traded: IntArray


@dataclass(slots=True)
class _Levels:
    """The side of the book that the fills came from. Keys: prices, signed so that a lower key is better."""

    shown: dict[int, int] = field(default_factory=dict)
    unsaid: set[int] = field(default_factory=set)  # not yet in the book that is being sent anew

    def set(self, keys: IntArray, lots: IntArray) -> IntArray:
        """Set levels in turn. Returns what each showed before."""
        before = np.zeros(len(keys), np.int64)
        order = np.argsort(keys, kind="stable")
        again = np.zeros(len(keys), bool)
        again[1:] = keys[order][1:] == keys[order][:-1]
        before[order[again]] = lots[order[np.flatnonzero(again) - 1]]
        for i in order[~again].tolist():
            before[i] = self.shown.get(int(keys[i]), 0)
        self.shown.update(zip(keys.tolist(), lots.tolist(), strict=True))
        self.unsaid.difference_update(keys.tolist())
        return before

    def drop_unsaid(self) -> list[tuple[int, int]]:
        """A book sent anew is whole: (key, lots) of what it did not say."""
        gone = [(key, self.shown.pop(key)) for key in sorted(self.unsaid)]
        self.unsaid = set()
        return gone


class _SideCheck:
    """The bound for one side of one instrument, every lane and every price at which there was a fill."""

    def __init__(self, instrument: int, side: int, fills: Sequence[BookFill]) -> None:
        self._instrument, self._side = instrument, side
        self._filled = sum(fill.lots for fill in fills)  # what shows as much bounds none of them: more is cut
        self._prices = np.unique([fill.price_ticks * side for fill in fills])
        self._fills: dict[int, list[BookFill]] = {}
        for fill in sorted(fills, key=lambda fill: fill.at_ns):
            self._fills.setdefault(fill.at_ns, []).append(fill)
        self._due = list(reversed(self._fills))  # times, the next one last
        self._levels = _Levels()
        self._added, self._gone, self._traded = (self._zeros() for _ in range(3))
        self._lanes = {fill.lane: self._new_lane() for fill in fills}
        self._before_due = True  # the minimum is still to be taken of the time that is due
        self.excess: Excess | None = None

    def _zeros(self) -> IntArray:
        return np.zeros(len(self._prices), np.int64)

    def _new_lane(self) -> _Lane:
        return _Lane(self._zeros(), self._zeros(), self._zeros() + EARLIER, self._zeros())

    def add(self, rows: EventArray) -> None:
        """Take the next rows of the tape."""
        if not len(rows):
            return
        newest_ns = int(rows["recv_ns"][-1])
        changes = self._changes(rows[rows["instrument"] == self._instrument])
        start = 0
        while self._due and self.excess is None:
            at_ns = self._due[-1]
            first = int(np.searchsorted(changes.at_ns, at_ns, side="left"))
            end = int(np.searchsorted(changes.at_ns, at_ns, side="right"))
            if newest_ns < at_ns:
                break
            if self._before_due:
                self._count(changes, start, first)
                start = first
                self._take_least(at_ns)
            if newest_ns == at_ns:
                break  # more rows of that time may come
            self._count(changes, start, end)
            start = end
            self._look(at_ns)
        self._count(changes, start, len(changes.at_ns))

    def finish(self) -> None:
        """No more rows: what was filled at the last of them, or after it."""
        while self._due and self.excess is None:
            if self._before_due:
                self._take_least(self._due[-1])
            self._look(self._due[-1])

    def _take_least(self, at_ns: int) -> None:
        for lane in self._lanes.values():
            right = lane.filled - self._gone - self._traded
            lower = right < lane.least
            lane.least[lower] = right[lower]
            lane.least_ns[lower] = at_ns - 1
            lane.filled_then[lower] = lane.filled[lower]
        self._before_due = False

    def _look(self, at_ns: int) -> None:
        """Book the fills of a time, and hold each lane against the bound."""
        self._due.pop()
        self._before_due = True
        for fill in self._fills[at_ns]:
            first = int(np.searchsorted(self._prices, fill.price_ticks * self._side))
            self._lanes[fill.lane].filled[first:] += fill.lots
        for name in {fill.lane: None for fill in self._fills[at_ns]}:
            lane = self._lanes[name]
            over = lane.filled - self._added - self._traded - lane.least
            if (over > 0).any():
                at = int(np.argmax(over > 0))
                filled = int(lane.filled[at] - lane.filled_then[at])
                price, from_ns = int(self._prices[at]) * self._side, int(lane.least_ns[at])
                most = filled - int(over[at])
                self.excess = Excess(name, self._instrument, self._side, price, from_ns, at_ns, filled, most)
                return

    def _count(self, changes: _Changes, start: int, end: int) -> None:
        for total, change in (
            (self._added, changes.added),
            (self._gone, changes.gone),
            (self._traded, changes.traded),
        ):
            by_price = self._zeros()
            np.add.at(by_price, changes.price[start:end], change[start:end])
            total += np.cumsum(by_price)
        if max(int(self._added[-1]), int(self._traded[-1])) > SETTLED_FROM:
            self._settle()

    def _settle(self) -> None:
        """Take out of the sums what has come and gone: months of it would not fit 64 bits.

        The left side (filled - added - traded) and the right one (filled - gone - traded) rise by the same.
        """
        passed, traded = np.minimum(self._added, self._gone), self._traded.copy()
        self._added -= passed
        self._gone -= passed
        self._traded -= traded
        for lane in self._lanes.values():
            lane.least += passed + traded

    # --- rows of the tape -----------------------------------------------------------------------

    def _changes(self, rows: EventArray) -> _Changes:
        """What the rows change of the side, up to the dearest fill."""
        marks = np.flatnonzero(np.isin(rows["kind"], (Kind.SNAPSHOT_BEGIN, Kind.SNAPSHOT_END)))
        parts: list[tuple[IntArray, ...]] = []
        for start, end in pairwise([0, *(int(m) for m in marks), len(rows)]):
            if start in marks:
                parts += self._mark(rows[start])
            parts.append(self._plain(rows[start:end]))
        joined = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
        at_ns, keys, added, gone, traded = joined
        near = keys <= self._prices[-1]
        price = np.searchsorted(self._prices, keys[near])
        return _Changes(at_ns[near], price, added[near], gone[near], traded[near])

    def _mark(self, row: EventArray) -> list[tuple[IntArray, ...]]:
        """The book is sent anew: at its end what it did not say is gone."""
        if row["kind"] == Kind.SNAPSHOT_BEGIN:
            self._levels.unsaid = set(self._levels.shown)
            return []
        gone = self._levels.drop_unsaid()
        keys, lots = (np.array([pair[i] for pair in gone], np.int64) for i in (0, 1))
        nothing = np.zeros(len(gone), np.int64)
        return [(nothing + int(row["recv_ns"]), keys, nothing, lots, nothing)]

    def _plain(self, rows: EventArray) -> tuple[IntArray, ...]:
        """Time, key, lots added, gone and traded of each level and trade that may have filled us."""
        side = self._side
        level = (rows["kind"] == Kind.LEVEL) & (rows["side"] == -side)
        counts = rows["flags"] & (Flag.HISTORY | Flag.IMPOSSIBLE) == 0
        trade = (rows["kind"] == Kind.TRADE) & (rows["side"] != side) & counts
        level &= rows["price_ticks"] * side <= self._prices[-1]
        found = rows[level | trade]
        keys, lots = found["price_ticks"] * side, np.clip(found["qty_lots"], 0, self._filled)
        is_level = found["kind"] == Kind.LEVEL
        change = np.zeros(len(found), np.int64)
        change[is_level] = lots[is_level] - self._levels.set(keys[is_level], lots[is_level])
        traded = np.where(is_level, 0, lots)
        return found["recv_ns"], keys, np.maximum(change, 0), np.maximum(-change, 0), traded


def words(excess: Excess, symbols: Mapping[int, str]) -> str:
    """The window and the level, as a sentence's end."""
    bought = "bought" if excess.side > 0 else "sold"
    better = "at or below" if excess.side > 0 else "at or above"
    since = "the start" if excess.from_ns == EARLIER else f"{excess.from_ns} ns"
    return (
        f"{excess.lane} {bought} {excess.filled_lots} lots of {symbols[excess.instrument]} {better} tick"
        f" {excess.price_ticks} from {since} to {excess.to_ns} ns, where the tape showed and traded"
        f" {excess.most_lots}"
    )
