"""What was wrong with an instrument's data, and when: its market keeps it, measures carry it.

Theory of operation. A mark on the tape (a gap, a silence) says when a fault was *noticed*. What is missing
was missing since the stream was last heard, so a hole reaches from there to the row that ends it. Example:
book updates at 0.9 s and 1.0 s, lines cut out, the next update at 6.0 s shows that some are missing
(GAP_BEGIN), a snapshot at 8.0 s ends it (GAP_END). The hole is 1.0 to 8.0 s, not 6.0 to 8.0. The mid of
1.0 s holds at 1.0 s and no longer; a measure whose window touches the hole carries the flag with the hole's
share of the window.

A trade is heard at its own (the exchange's) time, because windows bucket trades by it; a late one was missing
from its own time until it came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from agent.core.arrays import IntArray
from agent.core.market.tape import SILENT
from agent.core.money import exact_sum

NEVER_NS = -(2**62)
FOREVER_NS = 2**62
Span = tuple[int, int]
LotsIn = Callable[[int, int], int]
"""The lots that the market traded in a window [from, to) in ns."""


class Fault(StrEnum):
    """A measure whose window holds one never appears without it."""

    GAP = "gap"  # data is known to be missing, filled in later or not
    LOST_TRADES = "lost_trades"  # trades that never came
    STALE_BOOK = "stale_book"  # the book's stream was silent
    LATE_TRADES = "late_trades"  # trades that came after newer ones, or were fetched to fill a gap
    CLOCK_STEP = "clock_step"  # the exchange's clock or ours stepped: stamps before and after do not compare
    LOST_TIME = "lost_time"  # the process stood still
    BARS_ONLY = "bars_only"
    TRADES_ONLY = "trades_only"  # no book
    MODELLED_SPREAD = "modelled_spread"
    IMPOSSIBLE_PRICE = "impossible_price"  # trades at one: they are in no number


@dataclass(frozen=True, slots=True)
class Hole:
    """From when what was interrupted was last heard to its end."""

    fault: Fault
    begin_ns: int
    end_ns: int
    of_book: bool  # the mid is not known in it

    def touches(self, begin_ns: int, end_ns: int) -> bool:
        """Whether a window [begin, end), or a moment, holds some of it. Its own begin is still good."""
        if begin_ns == end_ns:
            return self.begin_ns < begin_ns <= self.end_ns
        return self.begin_ns < end_ns and self.end_ns >= begin_ns


class DataFaults:
    """Of one instrument. ``standing``: what is so from beginning to end, as in a session of bars."""

    def __init__(self, standing: Sequence[Fault] = ()) -> None:
        self.standing = tuple(standing)
        self._closed: list[Hole] = []
        self._open: dict[str, list[int]] = {}  # what is interrupted -> since when, once for every mark
        self._late: list[IntArray] = []  # [trades, 3]: its own time, when it came, lots
        self._impossible: list[IntArray] = []  # the same
        self._kept = 0

    def __len__(self) -> int:
        """Holes that have ended, and marked trades: what grows with time."""
        return self._kept

    def forget(self, before_ns: int) -> None:
        """Drop what was over before a time that no measure's window begins before any more."""
        self._closed = [hole for hole in self._closed if hole.end_ns >= before_ns]
        for trades in (self._late, self._impossible):
            trades[:] = [rows[rows[:, 1] >= before_ns] for rows in _joined(trades)]
        self._kept = len(self._closed) + sum(len(rows) for rows in (*self._late, *self._impossible))

    def began(self, what: str, since_ns: int) -> None:
        """``what`` (as ``tape.interruption`` names it) was last heard at ``since_ns``."""
        self._open.setdefault(what, []).append(since_ns)

    def ended(self, what: str, since_ns: int, at_ns: int, lost: int) -> None:
        """It is heard again; ``since_ns`` counts where no beginning was seen. ``lost``: never recovered."""
        begun = self._open.get(what) or [since_ns]
        first_ns = min(begun)
        self._open[what] = begun[1:]
        if not self._open[what]:
            del self._open[what]
        self.missed(_holes(what, first_ns, at_ns, lost))

    def missed(self, holes: Iterable[Hole]) -> None:
        before = len(self._closed)
        self._closed.extend(holes)
        self._kept += len(self._closed) - before

    def late(self, rows: IntArray) -> None:
        """Trades that came late, [trades, 3]: their own time, when they came, lots."""
        self._late.append(rows)
        self._kept += len(rows)

    def impossible(self, rows: IntArray) -> None:
        """Trades at a price that cannot be, [trades, 3] as ``late`` has them."""
        self._impossible.append(rows)
        self._kept += len(rows)

    def holes(self) -> list[Hole]:
        """All of them; one that is open has no end yet."""
        still = (h for what, begun in self._open.items() for h in _holes(what, min(begun), FOREVER_NS, 0))
        return [*self._closed, *still]

    def open_since_ns(self) -> int:
        """Since when something is missing now; for ever if nothing is."""
        return min((min(begun) for begun in self._open.values()), default=FOREVER_NS)

    def book_holes(self) -> list[Span]:
        """Where the mid is not known, oldest first, none touching another."""
        return merged([(h.begin_ns, h.end_ns) for h in self.holes() if h.of_book])

    def shares(self, begin_ns: int, end_ns: int, lots_in: LotsIn) -> dict[str, float]:
        """Each fault that a window holds, with its share: of its time, of its volume for trades."""
        touching = [h for h in self.holes() if h.touches(begin_ns, end_ns)]
        found = dict.fromkeys(self.standing, 1.0)
        for fault in {h.fault for h in touching}:
            spans = [(h.begin_ns, h.end_ns) for h in touching if h.fault is fault]
            found[fault] = max(found.get(fault, 0.0), share_of(spans, begin_ns, end_ns))
        late = _lots_touching(self._late, begin_ns, end_ns)
        if late is not None:
            found[Fault.LATE_TRADES] = min(1.0, late / max(lots_in(begin_ns, end_ns), late, 1))
        wild = _lots_touching(self._impossible, begin_ns, end_ns)
        if wild is not None:
            found[Fault.IMPOSSIBLE_PRICE] = wild / max(lots_in(begin_ns, end_ns) + wild, 1)
        return {fault.value: found[fault] for fault in Fault if fault in found}


def _joined(kept: list[IntArray]) -> list[IntArray]:
    """The same rows as one array, or none."""
    return kept if len(kept) < 2 else [np.concatenate(kept)]


def _lots_touching(kept: list[IntArray], begin_ns: int, end_ns: int) -> int | None:
    """The lots of marked trades that belong to a window, or came in it; None without such a trade."""
    kept[:] = _joined(kept)
    if not kept:
        return None
    rows = kept[0]
    inside = (rows[:, 0] < max(end_ns, begin_ns + 1)) & (rows[:, 1] >= begin_ns)
    return exact_sum(rows[inside, 2]) if inside.any() else None


def share_of(spans: Sequence[Span], begin_ns: int, end_ns: int) -> float:
    """The share of a window that spans cover; 1 for a moment, which they hold."""
    if end_ns <= begin_ns:
        return 1.0
    cut = [(max(a, begin_ns), min(b, end_ns)) for a, b in spans]
    return sum(b - a for a, b in merged(cut)) / (end_ns - begin_ns)


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same moments as spans in order that do not touch."""
    found: list[Span] = []
    for a, b in sorted(spans):
        if found and a <= found[-1][1]:
            found[-1] = (found[-1][0], max(b, found[-1][1]))
        else:
            found.append((a, b))
    return found


def _holes(what: str, begin_ns: int, end_ns: int, lost: int) -> list[Hole]:
    """What an interruption is to a measure. A silent book is stale; a silent stream of trades lacks them."""
    stream, silent = what.removesuffix(SILENT), what.endswith(SILENT)
    of_book = stream != "trades"
    faults = [Fault.STALE_BOOK] if silent and of_book else [Fault.GAP]
    if silent and stream == "feed":
        faults.append(Fault.GAP)
    if lost and stream != "book":
        faults.append(Fault.LOST_TRADES)
    return [Hole(fault, begin_ns, end_ns, of_book and fault is not Fault.LOST_TRADES) for fault in faults]
