"""Rows on their way to the tape: messages are put in one by one and taken out as blocks of rows.

Prices and sizes are in 1e-8 and stamps as the source gave them, until the whole source has been read for its
tick, its lot and its clock (``connectors.importers.pipeline``). Every row knows its file and line.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np

from agent.core.arrays import IntArray
from agent.core.market.tape import EVENT, EventArray, Flag, Kind
from connectors.importers.decimals import CLIPPED
from connectors.importers.import_report import ImportReport
from connectors.importers.uncross import Uncrosser

UNSTAMPED = -1
"""``exch_ns`` of a message that bears no time of the exchange's."""

_HEAD = ("recv_ns", "exch_ns", "ext_id", "kind", "flags", "bids", "asks", "where")
_LINE_BITS = 40
_TRADE, _LEVEL, _BBO, _LAST = int(Kind.TRADE), int(Kind.LEVEL), int(Kind.BBO), int(Flag.LAST)
_MOST_DELAYS = 1 << 20


@dataclass(frozen=True, slots=True)
class RawRows:
    """Tape rows with raw prices, sizes and stamps. ``where`` names each row's file and line."""

    rows: EventArray
    where: IntArray


class Place:
    """The line being read. ``code`` packs file and line into one integer: add 1 for the next line."""

    def __init__(self) -> None:
        self._files: list[str] = []
        self.code = 0
        self.bytes_read = 0  # of all files, as they lie on the disk

    def open(self, file: str) -> None:
        self._files.append(file)
        self.code = (len(self._files) - 1) << _LINE_BITS

    def count_bytes(self, count: int) -> None:
        """``count`` more bytes were read."""
        self.bytes_read += count

    @property
    def line(self) -> int:
        return self.code & ((1 << _LINE_BITS) - 1)

    def name(self, code: int | None = None) -> str:
        """``file:line`` of a place, of this one by default."""
        if code is None:
            code = self.code
        return f"{self._files[code >> _LINE_BITS]}:{code & ((1 << _LINE_BITS) - 1)}"


class Delays:
    """Received minus sent of all messages, thinned evenly to a million: their quantiles, bounded."""

    def __init__(self) -> None:
        self._kept = array("q")
        self._every = 1
        self._seen = 0

    def add(self, delay_ns: int) -> None:
        if self._seen % self._every == 0:
            self._kept.append(delay_ns)
            if len(self._kept) >= _MOST_DELAYS:
                self._kept = self._kept[::2]
                self._every *= 2
        self._seen += 1

    def __len__(self) -> int:
        return len(self._kept)

    def quantile(self, q: float) -> int:
        return round(float(np.quantile(np.frombuffer(self._kept, np.int64), q)))


class RawBuffer:
    """Collects messages; ``take`` returns them as rows, the book mended where it was crossed."""

    def __init__(self, place: Place, report: ImportReport) -> None:
        self._place = place
        self._mender = Mender(place, report)
        self._heads: list[int] = []
        self._numbers = array("q")

    @property
    def pending(self) -> int:
        """Rows waiting."""
        return len(self._numbers) // 2

    def trade(
        self, recv_ns: int, exch_ns: int, trade_id: int, price: int, size: int, side: int, flags: int
    ) -> None:
        bids = 1 if side > 0 else 0
        self._heads += (recv_ns, exch_ns, trade_id, _TRADE, flags | _LAST, bids, 1 - bids, self._place.code)
        self._numbers.extend((price, size))

    def bbo(self, recv_ns: int, exch_ns: int, update: int, numbers: tuple[int, int, int, int]) -> None:
        """``numbers``: bid, its size, ask, its size."""
        self._heads += (recv_ns, exch_ns, update, _BBO, _LAST, 1, 1, self._place.code)
        self._numbers.extend(numbers)

    def levels(
        self, recv_ns: int, exch_ns: int, update: int, numbers: IntArray, bids: int, flags: int
    ) -> None:
        """``numbers``: price, size of each level, bids first; ``flags`` are the last row's."""
        if len(numbers):
            asks = len(numbers) // 2 - bids
            self._heads += (recv_ns, exch_ns, update, _LEVEL, flags, bids, asks, self._place.code)
            self._numbers.frombytes(numbers.tobytes())

    def mark(self, recv_ns: int, kind: Kind, ext_id: int, flags: int, lots: int = 0) -> None:
        """A row that is no price: the edges of snapshots and gaps."""
        self._heads += (recv_ns, UNSTAMPED, ext_id, int(kind), flags, 1, 0, self._place.code)
        self._numbers.extend((0, lots))

    def take(self) -> RawRows:
        """Return what waits as rows; counts it in the report."""
        heads = np.array(self._heads, np.int64).reshape(-1, len(_HEAD))
        column = {name: heads[:, i] for i, name in enumerate(_HEAD)}
        numbers = np.frombuffer(self._numbers, np.int64).reshape(-1, 2)
        rows = _expand(column, numbers)
        where = np.repeat(column["where"], column["bids"] + column["asks"])
        self._heads, self._numbers = [], array("q")
        return self._mender.mend(rows, where)


class Mender:
    """Counts rows on their way, and takes off the book what a newer level has crossed."""

    def __init__(self, place: Place, report: ImportReport) -> None:
        self._place = place
        self._report = report
        self._uncrosser = Uncrosser()

    def mend(self, rows: EventArray, where: IntArray) -> RawRows:
        """Take the next block of whole updates."""
        report = self._report
        mended, crossed, added_at = self._uncrosser.mend(rows)
        report.crossed += len(crossed)
        report.levels_uncrossed += len(added_at)
        for i in crossed[:20]:
            place = self._place.name(int(where[i]))
            report.problem(f"{place}: the book is crossed after update {int(rows['ext_id'][i])}")
        where = np.insert(where, added_at, where[added_at]) if len(added_at) else where
        report.events += len(mended)
        report.sizes_clipped += int(np.count_nonzero(mended["qty_lots"] == CLIPPED))
        report.levels += int(np.count_nonzero(mended["kind"] == Kind.LEVEL))
        return RawRows(mended, where)


def _expand(column: dict[str, IntArray], numbers: IntArray) -> EventArray:
    """One row a number pair: what its message says, bids before asks, the flags on the last of them."""
    counts = column["bids"] + column["asks"]
    rows = np.zeros(len(numbers), EVENT)
    for name in ("recv_ns", "exch_ns", "ext_id", "kind"):
        rows[name] = np.repeat(column[name], counts)
    ends = np.cumsum(counts)
    position = np.arange(len(rows)) - np.repeat(ends - counts, counts)
    rows["side"] = np.where(position < np.repeat(column["bids"], counts), 1, -1)
    rows["side"][(rows["kind"] >= Kind.SNAPSHOT_BEGIN) & (rows["kind"] != Kind.BBO)] = 0
    rows["flags"][ends - 1] = column["flags"]
    rows["price_ticks"], rows["qty_lots"] = numbers[:, 0], numbers[:, 1]
    return rows
