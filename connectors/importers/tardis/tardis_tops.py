"""Tardis files whose every line is a book as it stood: ``quotes`` and ``book_snapshot_5``, ``_25``, compiled.

``exchange,symbol,timestamp,local_timestamp,`` and then ``ask_amount,ask_price,bid_price,bid_amount`` (quotes,
book_ticker) or ``asks[0].price,asks[0].amount,bids[0].price,bids[0].amount,asks[1].price,...``. Empty cells
are a level that was not there. A line is a snapshot of its own; what lies deeper is not known.
"""

from __future__ import annotations

import re

import numpy as np

from agent.core.arrays import IntArray
from agent.core.compile.jit import njit
from agent.core.market.tape import EVENT, EventArray, Flag, Kind
from connectors.importers.decimals import CLIPPED, FINE_SCALE, SCALE
from connectors.importers.raw_rows import UNSTAMPED, RawRows
from connectors.importers.tardis.tardis_files import CsvFile, Reading
from connectors.importers.tardis.tardis_lines import (
    BAD,
    COLUMNS,
    FINER,
    OK,
    OTHER,
    RECV_US,
    SENT_US,
    STATUS,
    Bytes,
    decimal_of,
    in_time,
    starts_with,
    whole_of,
)

QUOTE_COLUMNS = "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount"
_LEVEL = ",asks[{0}].price,asks[{0}].amount,bids[{0}].price,bids[{0}].amount"
_FIRST = "exchange,symbol,timestamp,local_timestamp"
_MOST_LEVELS = 100
_PARTS = 4  # of a level: ask price, ask amount, bid price, bid amount, as COLUMNS are followed by them
_US = 1000


def levels_of_header(header: str) -> int:
    """How many levels a side a file with these columns shows; 0 where it is of another kind."""
    if header == QUOTE_COLUMNS:
        return 1
    count = len(re.findall(r",asks\[\d+\]\.price", header))
    expected = _FIRST + "".join(_LEVEL.format(k) for k in range(count))
    return count if header == expected and count <= _MOST_LEVELS else 0


def parse_tops(block: bytes, prefix: bytes, levels: int, quotes: bool, price_scale: int) -> IntArray:
    """One row a line, [lines, COLUMNS + 4 x levels]; a level that is not there has price 0."""
    if not block.endswith(b"\n"):
        block += b"\n"
    out = np.zeros((block.count(b"\n"), COLUMNS + _PARTS * levels), np.int64)
    order = np.array([1, 0, 2, 3] if quotes else [0, 1, 2, 3], np.int64)
    text, wanted = np.frombuffer(block, np.uint8), np.frombuffer(prefix, np.uint8)
    _parse_lines(text, wanted, levels, order, price_scale, out)
    return out


@njit
def _parse_lines(
    text: Bytes, prefix: Bytes, levels: int, order: IntArray, price_scale: int, out: IntArray
) -> None:
    fields = 4 + _PARTS * levels
    ends = np.zeros(fields + 1, np.int64)  # where each field ends
    line, start, n = 0, 0, 0
    for i in range(len(text)):
        c = text[i]
        if c == 44:
            if n < fields:
                ends[n] = i
            n += 1
        elif c == 10:
            ends[fields - 1] = i - 1 if i > start and text[i - 1] == 13 else i
            if n != fields - 1:
                out[line, STATUS] = BAD
            elif not starts_with(text, start, prefix):
                out[line, STATUS] = OTHER
            else:
                _parse_fields(text, ends, levels, order, price_scale, out[line])
            line, start, n = line + 1, i + 1, 0


@njit
def _parse_fields(
    text: Bytes, ends: IntArray, levels: int, order: IntArray, price_scale: int, row: IntArray
) -> None:
    row[SENT_US] = whole_of(text, ends[1] + 1, ends[2])
    row[RECV_US] = whole_of(text, ends[2] + 1, ends[3])
    row[STATUS] = OK if in_time(row[SENT_US], row[RECV_US]) else BAD
    there = 0
    for level in range(levels):
        for part in range(_PARTS):
            at = 4 + _PARTS * level + order[part]
            first, end = ends[at - 1] + 1, ends[at]
            place = COLUMNS + _PARTS * level + part
            if end <= first:
                row[place] = 0
            elif part % 2 == 0:
                row[place] = decimal_of(text, first, end, -1, price_scale)
                if row[place] < 0 and price_scale < FINE_SCALE and row[STATUS] == OK:
                    finer = decimal_of(text, first, end, -1, FINE_SCALE) > 0
                    row[STATUS] = FINER if finer else BAD
            else:
                row[place] = decimal_of(text, first, end, CLIPPED, SCALE)
        for side in range(2):
            price, size = COLUMNS + _PARTS * level + 2 * side, COLUMNS + _PARTS * level + 2 * side + 1
            if (
                (row[price] < 0 and row[STATUS] != FINER)
                or row[size] < 0
                or (row[price] == 0) != (row[size] == 0)
            ):
                row[STATUS] = BAD
            there += row[price] > 0
    if there == 0 and row[STATUS] == OK:
        row[STATUS] = BAD


class TopsFile(CsvFile):
    """Each line a snapshot."""

    rank = 1

    def __init__(self, reading: Reading, levels: int, *, quotes: bool) -> None:
        super().__init__(reading)
        self._levels, self._quotes = levels, quotes

    def _parsed(self, data: bytes) -> IntArray:
        reading = self._reading
        return parse_tops(data, reading.prefix, self._levels, self._quotes, reading.price_scale)

    def _rows(self, rows: IntArray, where: IntArray) -> RawRows:
        self._report.snapshots += len(rows)
        return RawRows(*_snapshots(rows, where, self._levels))


def _snapshots(rows: IntArray, where: IntArray, levels: int) -> tuple[EventArray, IntArray]:
    """Each line as its edges and levels: bids from the best down, then asks from the best up."""
    parts = rows[:, COLUMNS:].reshape(len(rows), levels, _PARTS)
    width = 2 * levels + 2
    grid = np.zeros((len(rows), width), EVENT)
    grid["recv_ns"] = rows[:, RECV_US, None] * _US
    grid["exch_ns"][:, 1:-1] = rows[:, SENT_US, None] * _US
    grid["exch_ns"][:, [0, -1]] = UNSTAMPED
    grid["kind"] = Kind.LEVEL
    grid["kind"][:, 0], grid["kind"][:, -1] = Kind.SNAPSHOT_BEGIN, Kind.SNAPSHOT_END
    for side, price, first in ((1, 2, 1), (-1, 0, 1 + levels)):
        here = slice(first, first + levels)
        grid["side"][:, here] = side
        grid["price_ticks"][:, here] = parts[:, :, price]
        grid["qty_lots"][:, here] = parts[:, :, price + 1]
    grid["flags"][:, -1] = int(Flag.LAST)
    kept = (grid["kind"] != Kind.LEVEL) | (grid["price_ticks"] > 0)
    return grid[kept], np.repeat(where, kept.sum(axis=1))
