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
from dataclasses import dataclass, field
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
    met_s: float | None = field(default=None, compare=False)  # loop time of the first try to fill it


class TradeLedger:
    """Which ids of one gapless id space have been admitted to the tape."""

    def __init__(self) -> None:
        self.next_id: int | None = None  # one above the highest id seen
        self.last_ms = 0
        self.holes: list[Hole] = []
        self.duplicates = 0

    def go_on(self, ids: IntArray, stamps_ms: IntArray, gap_id: int | None) -> None:
        """Continue after the trades of a tape. ``gap_id``: the first id of a gap still open on it."""
        order = np.argsort(ids, kind="stable")
        ids, stamps_ms = ids[order], stamps_ms[order]
        self.next_id, self.last_ms = int(ids[-1]) + 1, int(stamps_ms.max())
        if not gap_id:  # none, or one that no id names: what it lacked is lost
            return
        before = int(np.searchsorted(ids, gap_id)) - 1  # what is missing below it was given up before
        known = [(gap_id - 1, int(stamps_ms[max(before, 0)]))]
        known += list(zip(ids[before + 1 :].tolist(), stamps_ms[before + 1 :].tolist(), strict=True))
        for (last, ms), (following, _) in pairwise(known):
            if following - last > 1:
                self.holes.append(Hole(last + 1, following, ms))

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

    def misses(self, trade_id: int) -> bool:
        """Whether an id lies in a hole."""
        return any(hole.lo <= trade_id < hole.hi for hole in self.holes)

    def miss_up_to(self, trade_id: int, stamp_ms: int, most: int) -> bool:
        """Note that the ids up to this one exist and have not come, unless that is a jump beyond ``most``.

        ``stamp_ms``: the newest of them; a stream that tells them again after all begins no new count.
        """
        if self.next_id is None or not 0 <= trade_id - self.next_id < most:
            return False
        self.holes.append(Hole(self.next_id, trade_id + 1, self.last_ms))
        self.next_id, self.last_ms = trade_id + 1, max(self.last_ms, stamp_ms + CUT_MS)
        return True

    def restart(self, first_id: int) -> int:
        """The exchange counts anew from ``first_id``. Returns how many of the old count are lost."""
        lost = sum(self.give_up(hole) for hole in list(self.holes))
        self.next_id = first_id
        return lost

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
                rests = (
                    Hole(hole.lo, trade_id, hole.since_ms),  # its deadline begins anew: REST has some of it
                    Hole(trade_id + 1, hole.hi, stamp_ms),
                )
                self.holes[at : at + 1] = [rest for rest in rests if rest.lo < rest.hi]
                return True
        return False


CUT_MS = 1
"""Stream and REST may cut the same stamp to milliseconds differently."""
SAME_TRADE_MS = 1500
"""A repeat has the stamp of its first coming, or that stamp cut to whole seconds."""


class SeenIds:
    """Repeats among ids that have gaps of their own: the last ``capacity`` ids are kept.

    A known id with another stamp is another trade: the exchange counts anew.
    """

    def __init__(self, capacity: int = 200_000) -> None:
        self._seen: dict[int, int] = {}  # id -> stamp in ms; insertion-ordered
        self._capacity = capacity
        self.last_ms = 0
        self.duplicates = 0

    def __contains__(self, trade_id: int) -> bool:
        return trade_id in self._seen

    def admit(self, ids: IntArray, stamps_ms: IntArray) -> BoolArray:
        """Return which of a batch are new."""
        keep = np.zeros(len(ids), dtype=np.bool_)
        for at, (trade_id, ms) in enumerate(zip(ids.tolist(), stamps_ms.tolist(), strict=True)):
            if abs(self._seen.pop(trade_id, -SAME_TRADE_MS - 1) - ms) <= SAME_TRADE_MS:
                self.duplicates += 1
            else:
                keep[at] = True
            self._seen[trade_id] = ms
        if len(self._seen) > self._capacity + self._capacity // 4:  # rarely: a rebuild costs time
            self._seen = dict(islice(self._seen.items(), len(self._seen) - self._capacity, None))
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
        self.odd = 0  # aggregates that named no range, or one that cannot be

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
        """Cover a batch of ccxt trades of the aggregate stream; one whose range cannot be is counted only.

        Raises ExchangeError at a raw trade: then the stream carries raw trade ids while REST is read by
        aggregate id, and every repair would bring the wrong trades.
        """
        for trade in trades:
            refuse_raw_trade(trade)
            span = _raw_range(trade["info"])
            if span is None:
                self.odd += 1
            elif self._covered and span[0] == self._covered[-1][1] + 1:
                self._covered[-1][1] = span[1]
            else:
                self.add(*span)


def refuse_raw_trade(trade: CcxtTrade) -> None:
    """Raise ExchangeError where a trade of the aggregate stream is a raw one."""
    info = trade["info"]
    if isinstance(info, dict) and "t" in info and not {"a", "f", "l"} & info.keys():
        raise ExchangeError(
            f"trade {trade['id']} of {trade['symbol']} carries no aggregate range (f, l): stream and"
            " REST must use the same ids, so set options['watchTrades']['name'] to 'aggTrade'"
        )


RANGE_MOST = 1_000_000
"""Raw trades that one aggregate may name."""


def _raw_range(info: object) -> tuple[int, int] | None:
    """The first and last raw id of an aggregate, None where they are missing or cannot be."""
    if not isinstance(info, Mapping):
        return None
    try:
        first, last = int(info["f"]), int(info["l"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return (first, last) if 0 <= first <= last < first + RANGE_MOST else None


def _between(spans: Sequence[Sequence[int]]) -> int:
    return sum(b[0] - a[1] - 1 for a, b in pairwise(spans))


@dataclass(frozen=True, slots=True)
class BackfillLimits:
    """How hard a hole is tried before it is called lost."""

    attempts: int = 6  # answers with trades, none of them of the hole: the exchange has not got it
    first_wait_s: float = 0.2  # doubled at each attempt without progress
    most_wait_s: float = 5.0
    deadline_s: float = 90.0  # for a hole of which nothing was to be learnt: no answer, or an empty one

    def wait_s(self, attempt: int) -> float:
        """After the k-th attempt without progress."""
        return min(self.most_wait_s, self.first_wait_s * 2.0 ** min(attempt - 1, 30))


FetchHole = Callable[[Hole], Awaitable[Trades]]
"""One REST page of trades from the hole's start. May raise anything the outside world can."""

EmitPage = Callable[[Trades], int]
"""Put on the tape what of a page was missing. Returns how many that were."""


async def fill_holes(
    ledger: TradeLedger, fetch: FetchHole, emit: EmitPage, limits: BackfillLimits | None = None
) -> tuple[int, int]:
    """Fetch until the ledger has no hole left. Returns (trades filled, trades lost for good).

    A hole is given up after ``attempts`` pages of other trades in a row, and at its deadline, which counts
    from the first try. A request that failed, and an empty page, say nothing of what the exchange has.
    """
    limits = limits or BackfillLimits()
    filled = lost = failed = elsewhere = 0
    while ledger.holes:
        hole = ledger.holes[0]
        now_s = asyncio.get_running_loop().time()
        hole.met_s = now_s if hole.met_s is None else hole.met_s
        if elsewhere >= limits.attempts or now_s - hole.met_s >= limits.deadline_s:
            lost += ledger.give_up(hole)
            failed = elsewhere = 0
            continue
        page = await _page(fetch, hole)
        got = emit(page)
        filled += got
        if got:
            failed = elsewhere = 0
            continue
        failed, elsewhere = failed + 1, elsewhere + bool(page)
        await asyncio.sleep(limits.wait_s(failed))
    return filled, lost


async def _page(fetch: FetchHole, hole: Hole) -> Trades:
    """One page, or none when the outside world failed: an attempt without progress, tried again."""
    try:
        return await fetch(hole)
    except ExchangeError:
        raise  # ours: a rule about ids is broken, no retry mends that
    except Exception:
        return []
