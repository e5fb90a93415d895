"""Messages of a raw Binance spot capture, parsed one by one into rows, with every line accounted for.

The rules of continuity are in ``connectors.importers.binance_raw``.
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from heapq import heappop, heappush
from math import gcd
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from agent.core.tape import Flag, Kind

SCALE = 8  # Binance spot quotes at most 8 decimals; everything is held in units of 1e-8 first
UNSTAMPED = -1
COLUMNS = ("recv_ns", "exch_ns", "ext_id", "price_ticks", "qty_lots", "kind", "side", "flags")
Columns = npt.NDArray[np.int64]
"""Rows not yet in ticks and lots: columns as named above, prices and sizes in 1e-8, stamps raw."""

_HELD_DIFFS = 100_000  # diffs kept while no snapshot has come: nearly three hours at 100 ms
_PROBLEMS_NAMED = 20
_BID, _ASK = 1, -1
_LAST = int(Flag.LAST)

_Levels = list[tuple[int, int]]
"""(price, size) in 1e-8."""

_Diff = tuple[int, int, int, _Levels, _Levels]
"""First and last update id, when sent (ns), bids, asks."""


@dataclass(slots=True)
class ImportReport:
    """What became of every line. Counts, unless the name carries a unit."""

    symbol: str
    files: list[str] = field(default_factory=list)
    lines: int = 0
    # One of these for each line:
    trades: int = 0
    trade_duplicates: int = 0  # a trade id seen before: dropped
    depth_updates: int = 0  # applied
    depth_before_snapshot: int = 0  # older than the snapshot: dropped
    depth_unsynced: int = 0  # never covered by a snapshot: dropped
    book_tickers: int = 0
    snapshots: int = 0
    snapshots_old: int = 0  # older than the book already built: dropped
    other_streams: int = 0
    other_symbols: int = 0
    bad_lines: int = 0
    # What they made:
    events: int = 0  # tape rows
    levels: int = 0  # of which book levels, snapshots included
    gaps: int = 0  # sequence breaks of the book and of the trade ids
    book_updates_lost: int = 0
    trades_missing: int = 0  # ids never seen
    trades_late: int = 0  # stamped earlier than a trade before them
    crossed: int = 0  # book updates after which the best bid was not below the best ask
    sizes_rounded: int = 0  # book sizes finer than the lot
    recv_steps_back: int = 0  # receive stamps that stepped back, held at the last one
    clock_offset_ns: int = 0  # the exchange's clock minus the recorder's; removed from exch_ns
    delay_median_ns: int = 0  # received - sent, after the offset is removed
    first_recv_ns: int = 0
    last_recv_ns: int = 0
    tick: str = ""
    lot: str = ""
    tick_inferred: bool = False
    lot_inferred: bool = False
    problems: list[str] = field(default_factory=list)  # the first 20, each with file and line

    @property
    def accounted(self) -> int:
        """Lines that fell in a category; equal to ``lines``."""
        kept = self.trades + self.depth_updates + self.book_tickers + self.snapshots
        old = self.trade_duplicates + self.depth_before_snapshot + self.depth_unsynced + self.snapshots_old
        return kept + old + self.other_streams + self.other_symbols + self.bad_lines

    def problem(self, text: str) -> None:
        if len(self.problems) < _PROBLEMS_NAMED:
            self.problems.append(text)


class Messages:
    """Parses messages into raw rows, keeping the continuity of the book and of the trade ids."""

    def __init__(self, raw_symbol: str, report: ImportReport) -> None:
        self._prefix = raw_symbol.lower()
        self._report = report
        self._flat: list[int] = []
        self._book = _Book()
        self._book_id: int | None = None  # last update applied; None without a snapshot
        self._lost_from: int | None = None  # last update before the gap the book is in
        self._lost = 0
        self._held: deque[_Diff] = deque()
        self._trade_id: int | None = None
        self._missing: set[int] = set()
        self._trade_ns = 0
        self._recv_ns = 0
        self.delays_ns = array("q")
        self.price_gcd = 0
        self.size_gcd = 0
        self.trade_gcd = 0
        self.others: set[str] = set()

    @property
    def pending(self) -> int:
        return len(self._flat) // len(COLUMNS)

    def take(self) -> Columns:
        rows = np.array(self._flat, dtype=np.int64).reshape(-1, len(COLUMNS))
        self._flat = []
        kinds, prices, sizes = rows[:, 5], rows[:, 3], rows[:, 4]
        sized = kinds <= Kind.BBO
        self.price_gcd = gcd(self.price_gcd, int(np.gcd.reduce(prices[sized], initial=0)))
        self.size_gcd = gcd(self.size_gcd, int(np.gcd.reduce(sizes[sized], initial=0)))
        self.trade_gcd = gcd(self.trade_gcd, int(np.gcd.reduce(sizes[kinds == Kind.TRADE], initial=0)))
        self._report.events += len(rows)
        self._report.levels += int(np.count_nonzero(kinds == Kind.LEVEL))
        return rows

    def finish(self) -> None:
        """Count what was still waiting for a snapshot."""
        self._report.depth_unsynced += len(self._held)
        self._report.trades_missing = len(self._missing)
        self._report.last_recv_ns = self._recv_ns

    def line(self, line: bytes, file: str, number: int) -> None:
        """Take in one line; a line that cannot be read is counted and named."""
        try:
            stamp, _, text = line.partition(b" ")
            recv_ns, message = int(stamp), orjson.loads(text)
            stream = message.get("stream")
            if stream is None:
                self._snapshot(self._received(recv_ns), message)
                return
            symbol, _, name = stream.partition("@")
            if symbol != self._prefix:
                self._report.other_symbols += 1
                self.others.add(symbol.upper())
                return
            self._stream(name, recv_ns, message["data"])
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            self._report.bad_lines += 1
            self._report.problem(f"{file}:{number}: {type(error).__name__}: {error}")

    def _stream(self, name: str, recv_ns: int, data: dict[str, Any]) -> None:
        if name == "trade":
            self._trade(recv_ns, data)
        elif name == "bookTicker":
            self._ticker(recv_ns, data)
        elif name.startswith("depth") and data.get("e") == "depthUpdate":
            self._depth(recv_ns, data)
        else:
            self._report.other_streams += 1

    def _received(self, recv_ns: int) -> int:
        """Return the stamp, held at the last one if it stepped back."""
        if recv_ns < self._recv_ns:
            self._report.recv_steps_back += 1
            return self._recv_ns
        if not self._recv_ns:
            self._report.first_recv_ns = recv_ns
        self._recv_ns = recv_ns
        return recv_ns

    def _trade(self, recv_ns: int, data: dict[str, Any]) -> None:
        trade_id, traded_ns, sent_ns = int(data["t"]), _stamp_ns(data["T"]), _stamp_ns(data["E"])
        price, size, side = _e8(data["p"]), _e8(data["q"]), _ASK if data["m"] else _BID
        self.delays_ns.append(recv_ns - sent_ns)
        recv_ns = self._received(recv_ns)
        flags = _LAST
        if self._trade_id is not None and trade_id <= self._trade_id:
            if trade_id not in self._missing:
                self._report.trade_duplicates += 1
                return
            self._missing.discard(trade_id)
        else:
            self._trade_gap(recv_ns, trade_id)
            self._trade_id = trade_id
        if traded_ns < self._trade_ns:
            self._report.trades_late += 1
            flags |= Flag.LATE
        self._trade_ns = max(self._trade_ns, traded_ns)
        self._report.trades += 1
        self._flat.extend((recv_ns, traded_ns, trade_id, price, size, Kind.TRADE, side, flags))

    def _trade_gap(self, recv_ns: int, trade_id: int) -> None:
        lost = trade_id - self._trade_id - 1 if self._trade_id is not None else 0
        if not lost:
            return
        self._report.gaps += 1
        self._missing.update(range(trade_id - lost, trade_id))
        for kind, count in ((Kind.GAP_BEGIN, 0), (Kind.GAP_END, lost)):
            self._mark(recv_ns, kind, trade_id - lost - 1, count, Flag.TRADES)

    def _ticker(self, recv_ns: int, data: dict[str, Any]) -> None:
        """``bookTicker`` bears no time of the exchange's."""
        update = int(data["u"])
        bid, bid_size, ask, ask_size = _e8(data["b"]), _e8(data["B"]), _e8(data["a"]), _e8(data["A"])
        recv_ns = self._received(recv_ns)
        self._report.book_tickers += 1
        self._flat.extend((recv_ns, UNSTAMPED, update, bid, bid_size, Kind.BBO, _BID, 0))
        self._flat.extend((recv_ns, UNSTAMPED, update, ask, ask_size, Kind.BBO, _ASK, _LAST))

    def _depth(self, recv_ns: int, data: dict[str, Any]) -> None:
        if "pu" in data:
            raise ValueError("a futures depth update; only spot captures can be imported")
        sent_ns = _stamp_ns(data["E"])
        diff = (int(data["U"]), int(data["u"]), sent_ns, _levels(data["b"]), _levels(data["a"]))
        self.delays_ns.append(recv_ns - sent_ns)
        self._apply(self._received(recv_ns), diff)

    def _apply(self, recv_ns: int, diff: _Diff) -> None:
        first, last, sent_ns, bids, asks = diff
        if self._book_id is not None and last <= self._book_id:
            self._report.depth_before_snapshot += 1
        elif self._book_id is not None and first <= self._book_id + 1:
            self._book_id = last
            self._report.depth_updates += 1
            self._put_levels(recv_ns, sent_ns, last, bids, asks)
            if bids or asks:
                self._flat[-1] |= _LAST
        else:
            self._lose_book(recv_ns, first)
            self._hold(diff)

    def _lose_book(self, recv_ns: int, first: int) -> None:
        if self._book_id is None:
            return
        self._report.gaps += 1
        self._lost = first - self._book_id - 1
        self._report.book_updates_lost += self._lost
        self._report.problem(f"book updates {self._book_id + 1} to {first - 1} are missing")
        self._mark(recv_ns, Kind.GAP_BEGIN, self._book_id, 0, Flag.BOOK)
        self._lost_from, self._book_id = self._book_id, None

    def _hold(self, diff: _Diff) -> None:
        if len(self._held) == _HELD_DIFFS:
            self._held.popleft()
            self._report.depth_unsynced += 1
        self._held.append(diff)

    def _snapshot(self, recv_ns: int, message: dict[str, Any]) -> None:
        update, bids, asks = int(message["lastUpdateId"]), _levels(message["bids"]), _levels(message["asks"])
        if self._book_id is not None and update <= self._book_id:
            self._report.snapshots_old += 1
            return
        self._report.snapshots += 1
        self._book = _Book()
        self._flat.extend((recv_ns, UNSTAMPED, update, 0, 0, Kind.SNAPSHOT_BEGIN, 0, 0))
        self._put_levels(recv_ns, UNSTAMPED, update, bids, asks)
        self._flat.extend((recv_ns, UNSTAMPED, update, 0, 0, Kind.SNAPSHOT_END, 0, _LAST))
        if self._lost_from is not None:
            self._mark(recv_ns, Kind.GAP_END, self._lost_from, self._lost, Flag.BOOK)
            self._lost_from = None
        self._book_id = update
        held, self._held = self._held, deque()
        for diff in held:
            self._apply(recv_ns, diff)

    def _put_levels(self, recv_ns: int, sent_ns: int, update: int, bids: _Levels, asks: _Levels) -> None:
        for side, levels in ((_BID, bids), (_ASK, asks)):
            for price, size in levels:
                self._flat.extend((recv_ns, sent_ns, update, price, size, Kind.LEVEL, side, 0))
        if self._book.update(bids, asks):
            self._report.crossed += 1
            self._report.problem(f"the book is crossed after update {update}")

    def _mark(self, recv_ns: int, kind: Kind, ext_id: int, lost: int, stream: Flag) -> None:
        self._flat.extend((recv_ns, UNSTAMPED, ext_id, 0, lost, kind, 0, stream | _LAST))


class _Book:
    """Just enough of a book to see it cross: price sets, and heaps whose dead entries go lazily."""

    def __init__(self) -> None:
        self._live: tuple[set[int], set[int]] = (set(), set())  # keys: -price of bids, price of asks
        self._heaps: tuple[list[int], list[int]] = ([], [])

    def update(self, bids: _Levels, asks: _Levels) -> bool:
        """Set levels; return True when the best bid is not below the best ask."""
        for live, heap, sign, levels in zip(self._live, self._heaps, (-1, 1), (bids, asks), strict=True):
            for price, size in levels:
                key = sign * price
                if not size:
                    live.discard(key)
                elif key not in live:
                    live.add(key)
                    heappush(heap, key)
            while heap and heap[0] not in live:
                heappop(heap)
        bid, ask = self._heaps
        return bool(bid and ask and -bid[0] >= ask[0])


def _levels(pairs: list[list[str]]) -> _Levels:
    return [(_e8(price), _e8(size)) for price, size in pairs]


def _e8(text: str) -> int:
    """Return a decimal string in units of 1e-8. Raises ValueError when it is negative or finer."""
    if text[-9:-8] == ".":
        value = int(text[:-9] + text[-8:])
    else:
        scaled = Decimal(text).scaleb(SCALE)
        value = int(scaled)
        if value != scaled:
            raise ValueError(f"{text} has more than {SCALE} decimals")
    if not 0 <= value < 1 << 62:
        raise ValueError(f"{text} is out of range")
    return value


def _stamp_ns(stamp: int) -> int:
    """Return the exchange's milliseconds (or microseconds, which it sends on request) as nanoseconds."""
    return stamp * 1_000_000 if stamp < 100_000_000_000_000 else stamp * 1000
