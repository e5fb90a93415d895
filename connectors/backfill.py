"""Each trade reaches the tape exactly once: a ledger of ids, and what fills its holes.

Theory of operation
-------------------
Where an exchange numbers its trades without gaps, a jump in the ids *is* a hole, and REST fills it by id.
The ledger decides by id, not by exceptions: ccxt may lose trades without raising (a reconnect while no
watch is pending).

State of a ``TradeLedger``: ``next_id``, one above the highest id that came; ``holes``, ranges ``lo <= id <
hi`` below it that never came, each with the stamp of the trade before it. Invariants: an id from the first
one to ``next_id`` is in a hole or on the tape, never both; holes are disjoint; an id is admitted once. A
hole ends by being filled, or by being given up, and then its trades are counted as lost.

Worked example (``tests/unit/connectors/test_backfill.py`` holds it):

    =================================  =======  ======================  ==================================
    comes                              next_id  holes                   admitted
    =================================  =======  ======================  ==================================
    stream: 100, 101                   102      none                    both
    stream: 105                        106      [102, 105)              105, at once: nothing is held back
    REST page from 102: 103            106      [102, 103), [104, 105)  103
    stream: 101 again                  106      the same                none, a duplicate
    REST page from 102: 100 ... 104    106      none                    102 and 104
    =================================  =======  ======================  ==================================

Where ids have gaps of their own, they only tell repeats apart (``SeenIds``); after each interruption the
trades since the last one seen are fetched again, and only an overlap proves that none is missing.
``RangeCoverage`` is Binance's: an independent check by the raw ids that each of its aggregates names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np

from agent.core.arrays import BoolArray, IntArray
from agent.core.errors import ExchangeError
from connectors.ccxt_types import CcxtTrade, UsableTrade

Trades = Sequence[CcxtTrade]


@dataclass(slots=True)
class Hole:
    """Ids ``lo <= id < hi`` that never came. ``since_ms``: stamp of the last trade before them."""

    lo: int
    hi: int
    since_ms: int


class TradeLedger:
    """Which ids of one gapless id space have been admitted to the tape."""

    def __init__(self) -> None:
        self.next_id: int | None = None  # one above the highest id seen
        self.last_ms = 0
        self.holes: list[Hole] = []
        self.duplicates = 0

    def admit(self, ids: IntArray, stamps_ms: IntArray) -> BoolArray:
        """Return which of a batch, in order of arrival, are new; holes found are added to ``holes``."""
        if not len(ids):
            return np.zeros(0, dtype=np.bool_)
        if self.next_id is None:
            self.next_id = int(ids[0])
        if ids[0] == self.next_id and bool((ids[1:] - ids[:-1] == 1).all()):
            self.next_id = int(ids[-1]) + 1
            self.last_ms = int(stamps_ms[-1])
            return np.ones(len(ids), dtype=np.bool_)
        keep = [self._admit_one(i, ms) for i, ms in zip(ids.tolist(), stamps_ms.tolist(), strict=True)]
        return np.array(keep, dtype=np.bool_)

    def fill(self, ids: IntArray, stamps_ms: IntArray) -> BoolArray:
        """Return which ids close some of a hole; the others are not for a backfill to bring."""
        keep = [self._fill_one(i, ms) for i, ms in zip(ids.tolist(), stamps_ms.tolist(), strict=True)]
        return np.array(keep, dtype=np.bool_)

    def give_up(self, hole: Hole) -> int:
        """Forget a hole. Returns how many trades are thereby lost."""
        self.holes.remove(hole)
        return hole.hi - hole.lo

    def _admit_one(self, trade_id: int, stamp_ms: int) -> bool:
        assert self.next_id is not None
        if trade_id < self.next_id:
            new = self._fill_one(trade_id, stamp_ms)
            self.duplicates += not new
            return new
        if trade_id > self.next_id:
            self.holes.append(Hole(self.next_id, trade_id, self.last_ms))
        self.next_id = trade_id + 1
        self.last_ms = stamp_ms
        return True

    def _fill_one(self, trade_id: int, stamp_ms: int) -> bool:
        for at, hole in enumerate(self.holes):
            if hole.lo <= trade_id < hole.hi:
                rests = (Hole(hole.lo, trade_id, hole.since_ms), Hole(trade_id + 1, hole.hi, stamp_ms))
                self.holes[at : at + 1] = [rest for rest in rests if rest.lo < rest.hi]
                return True
        return False


class SeenIds:
    """Repeats among ids that have gaps of their own: the last ``capacity`` ids are kept."""

    def __init__(self, capacity: int = 200_000) -> None:
        self._seen: dict[int, None] = {}  # insertion-ordered
        self._capacity = capacity
        self.last_ms = 0
        self.duplicates = 0

    def __contains__(self, trade_id: int) -> bool:
        return trade_id in self._seen

    def admit(self, ids: IntArray, stamps_ms: IntArray) -> BoolArray:
        """Return which of a batch are new."""
        keep = np.zeros(len(ids), dtype=np.bool_)
        for at, trade_id in enumerate(ids.tolist()):
            if trade_id in self._seen:
                self.duplicates += 1
                continue
            self._seen[trade_id] = None
            keep[at] = True
        if len(self._seen) > self._capacity + self._capacity // 4:  # rarely: a rebuild costs time
            self._seen = dict.fromkeys(islice(self._seen, len(self._seen) - self._capacity, None))
        if len(ids):
            self.last_ms = max(self.last_ms, int(stamps_ms.max()))
        return keep


class RangeCoverage:
    """Which raw trades Binance's aggregates cover, by their first and last raw ids (``f``, ``l``).

    An independent check of "exactly once": aggregates follow each other without overlap. Fed in order
    of arrival, it keeps the covered raw ids as merged intervals.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        self._covered: list[list[int]] = []  # [first, last] raw ids, disjoint, ascending
        self._capacity = capacity  # spans kept; the oldest are forgotten, what is missing between them is not
        self._missing_before = 0
        self.overlaps = 0

    @property
    def missing(self) -> int:
        """Raw ids between the first and the last covered that no aggregate has named."""
        return self._missing_before + _between(self._covered)

    def add(self, first: int, last: int) -> None:
        """Cover raw ids ``first .. last``; an id covered before counts as an overlap."""
        spans = self._covered
        at = len(spans)
        while at > 0 and spans[at - 1][0] > first:
            at -= 1
        before = at > 0 and spans[at - 1][1] >= first
        after = at < len(spans) and spans[at][0] <= last
        self.overlaps += before or after
        spans.insert(at, [first, last])
        self._merge(max(0, at - 1))
        if len(spans) > self._capacity:
            half = self._capacity // 2
            self._missing_before += _between(spans[: half + 1])
            del spans[:half]

    def _merge(self, at: int) -> None:
        spans = self._covered
        for _ in range(2):
            while at + 1 < len(spans) and spans[at + 1][0] <= spans[at][1] + 1:
                spans[at][1] = max(spans[at][1], spans[at + 1][1])
                del spans[at + 1]
            at += 1

    def add_aggregates(self, trades: Sequence[UsableTrade]) -> None:
        """Cover a batch of ccxt trades of the aggregate stream.

        Raises ExchangeError when one has no raw range: then the stream carries raw trade ids while
        REST is read by aggregate id, and every repair would bring the wrong trades.
        """
        for trade in trades:
            info = trade["info"]
            if not isinstance(info, Mapping) or "f" not in info or "l" not in info:
                raise ExchangeError(
                    f"trade {trade['id']} of {trade['symbol']} carries no aggregate range (f, l): stream and"
                    " REST must use the same ids, so set options['watchTrades']['name'] to 'aggTrade'"
                )
            first, last = int(info["f"]), int(info["l"])
            if self._covered and first == self._covered[-1][1] + 1:
                self._covered[-1][1] = last
            else:
                self.add(first, last)


def _between(spans: Sequence[Sequence[int]]) -> int:
    return sum(b[0] - a[1] - 1 for a, b in pairwise(spans))


@dataclass(frozen=True, slots=True)
class BackfillLimits:
    """How hard a hole is tried before it is called lost."""

    attempts: int = 6  # without progress, per hole
    first_wait_s: float = 0.2  # doubled at each attempt without progress
    most_wait_s: float = 5.0
    deadline_s: float = 90.0  # for one gap as a whole


FetchHole = Callable[[Hole], Awaitable[Trades]]
"""One REST page of trades from the hole's start. May raise anything the outside world can."""

EmitPage = Callable[[Trades], int]
"""Put on the tape what of a page was missing. Returns how many that were."""


async def fill_holes(
    ledger: TradeLedger, fetch: FetchHole, emit: EmitPage, limits: BackfillLimits | None = None
) -> tuple[int, int]:
    """Fetch until the ledger has no hole left. Returns (trades filled, trades lost for good).

    A hole is given up after ``attempts`` pages without progress, all of them at the deadline.
    """
    limits = limits or BackfillLimits()
    clock = asyncio.get_running_loop().time
    deadline = clock() + limits.deadline_s
    filled = lost = attempt = 0
    while ledger.holes and clock() < deadline:
        hole = ledger.holes[0]
        got = emit(await _page(fetch, hole))
        filled += got
        attempt = 0 if got else attempt + 1
        if attempt >= limits.attempts:
            lost += ledger.give_up(hole) if hole in ledger.holes else 0
            attempt = 0
        elif attempt:
            await asyncio.sleep(min(limits.most_wait_s, limits.first_wait_s * 2 ** (attempt - 1)))
    return filled, lost + sum(ledger.give_up(hole) for hole in list(ledger.holes))


async def _page(fetch: FetchHole, hole: Hole) -> Trades:
    """One page, or none when the outside world failed: an attempt without progress, tried again."""
    try:
        return await fetch(hole)
    except ExchangeError:
        raise  # ours: a rule about ids is broken, no retry mends that
    except Exception:
        return []
