"""One Tardis file at a time to blocks of rows in order of time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.core.arrays import BoolArray, IntArray
from agent.core.market.late_rows import mark_late
from agent.core.market.tape import EVENT, EventArray, Flag, Kind, empty_events
from connectors.importers.decimals import SCALE
from connectors.importers.import_report import ImportReport
from connectors.importers.lines import TornFileError, read_blocks
from connectors.importers.price_scale import FinerPricesError
from connectors.importers.raw_rows import UNSTAMPED, Delays, Place, RawRows
from connectors.importers.tardis.tardis_lines import (
    BAD,
    COLUMNS,
    EXTRA,
    FINER,
    OK,
    OTHER,
    PRICE,
    RECV_US,
    SENT_US,
    SIDE,
    SIZE,
    STATUS,
    parse,
)
from connectors.importers.trade_ids import Seen, TradeIds

_US = 1000
_LAST = int(Flag.LAST)
_NAMED_PER_BLOCK = 20
OFF_BOOK_IDS = 100
"""Of futures: so many ids in a row may be of trades that the exchange does not show."""
_FUTURES = (b"binance-futures,", b"binance-delivery,")


@dataclass(frozen=True, slots=True)
class Reading:
    """A file and what it is read with: its wanted rows start with ``prefix``, counts go to ``report``."""

    path: Path
    prefix: bytes
    place: Place
    report: ImportReport
    delays: Delays
    price_scale: int = SCALE  # decimals of its prices


class CsvFile:
    """A file's rows of one symbol. Subclasses say what a row means."""

    rank = 0  # which goes first in the same microsecond
    trades = False

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._place, self._report = reading.place, reading.report
        self._base = reading.place.code
        self._line = 0
        self._recv_us = 0

    def blocks(self) -> Iterator[RawRows]:
        """Yield blocks of whole updates, in order of time."""
        first = True
        try:
            for data in read_blocks(self._reading.path, self._place.count_bytes):
                parsed = self._parsed(data)
                lines = np.arange(self._line + 1, self._line + 1 + len(parsed))
                self._line += len(parsed)
                self._report.lines += len(parsed)
                if first:
                    self._report.headers += 1
                    parsed, lines, first = parsed[1:], lines[1:], False
                rows, lines = self._readable(data, parsed, lines)
                yield self._rows(rows, self._base + lines)
        except TornFileError as torn:
            self._report.lines += 1
            self._bad(self._line + 1, torn.args[0])
        yield self._end()

    def _parsed(self, data: bytes) -> IntArray:
        reading = self._reading
        return parse(data, reading.prefix, trades=self.trades, price_scale=reading.price_scale)

    def _readable(self, data: bytes, parsed: IntArray, lines: IntArray) -> tuple[IntArray, IntArray]:
        """Drop and count what is not; hold stamps that step back."""
        status = parsed[:, STATUS]
        if (status == FINER).any():
            raise FinerPricesError
        self._report.other_symbols += int(np.count_nonzero(status == OTHER))
        bad = np.flatnonzero(status == BAD)
        if len(bad):
            texts = data.split(b"\n")
            first = len(texts) - len(parsed) - (1 if data.endswith(b"\n") else 0)
            for i in bad[:_NAMED_PER_BLOCK]:
                text = texts[first + i].decode(errors="replace")[:100]
                self._bad(int(lines[i]), f"{text!r} is not a row of this file", count=False)
            self._report.bad_lines += len(bad)
        ok = status == OK
        rows, lines = parsed[ok], lines[ok]
        if len(rows):
            self._hold_back(rows, lines)
        return rows, lines

    def _bad(self, line: int, why: str, *, count: bool = True) -> None:
        self._report.bad_lines += count
        self._report.problem(f"{self._place.name(self._base + line)}: {why}")

    def _hold_back(self, rows: IntArray, lines: IntArray) -> None:
        recv = rows[:, RECV_US]
        for delay in (recv[::16] - rows[::16, SENT_US]) * _US:  # one in sixteen says enough of a clock
            self._reading.delays.add(int(delay))
        held = np.maximum.accumulate(np.maximum(recv, self._recv_us))
        back = np.flatnonzero(held != recv)
        self._report.recv_steps_back += len(back)
        for i in back[:3]:
            self._report.problem(
                f"{self._place.name(self._base + int(lines[i]))}: received {held[i] - recv[i]} us"
                " before the line above it"
            )
        rows[:, RECV_US] = held
        self._recv_us = int(held[-1])

    def _rows(self, rows: IntArray, where: IntArray) -> RawRows:
        raise NotImplementedError

    def _end(self) -> RawRows:
        """What was held back until the file ended."""
        return RawRows(empty_events(), np.zeros(0, np.int64))


def _events(rows: IntArray, kind: Kind) -> EventArray:
    events = np.zeros(len(rows), EVENT)
    events["recv_ns"] = rows[:, RECV_US] * _US
    events["exch_ns"] = rows[:, SENT_US] * _US
    events["price_ticks"], events["qty_lots"] = rows[:, PRICE], rows[:, SIZE]
    events["kind"], events["side"] = kind, rows[:, SIDE]
    return events


class TradeFile(CsvFile):
    """``trades``: each row an update of its own."""

    trades = True

    def __init__(self, reading: Reading) -> None:
        super().__init__(reading)
        self._ids = TradeIds() if reading.prefix.startswith(b"binance") else None
        self._off_book_ids = OFF_BOOK_IDS if reading.prefix.startswith(_FUTURES) else 0
        self._traded_ns = 0

    def _rows(self, rows: IntArray, where: IntArray) -> RawRows:
        events = _events(rows, Kind.TRADE)
        events["ext_id"] = rows[:, EXTRA]
        events["flags"] = _LAST
        if self._ids is not None and len(events):
            events, where = self._judged(self._ids, events, where)
        self._flag_late(events)
        self._report.trades += int(np.count_nonzero(events["kind"] == Kind.TRADE))
        return RawRows(events, where)

    def _flag_late(self, events: EventArray) -> None:
        self._traded_ns, late = mark_late(events, self._traded_ns, Kind.TRADE)
        self._report.trades_late += late

    def _judged(self, ids: TradeIds, events: EventArray, where: IntArray) -> tuple[EventArray, IntArray]:
        """Drop repeated ids and put gaps where ids are missing."""
        numbers = events["ext_id"]
        if ids.last is not None and numbers[0] == ids.last + 1 and (np.diff(numbers) == 1).all():
            ids.last = int(numbers[-1])
            return events, where
        keep, gaps = np.ones(len(events), np.bool_), []
        for i, number in enumerate(numbers.tolist()):
            before = ids.last
            seen = ids.see(number)
            if seen is Seen.REPEATED:
                keep[i] = False
            elif seen is Seen.AFTER_GAP and ids.lost <= self._off_book_ids:
                ids.forgive()
            elif seen is Seen.AFTER_GAP and before is not None:
                gaps.append((i, before, ids.lost))
                self._name_gap(int(where[i]), before, ids.lost)
        self._report.trade_duplicates += int(np.count_nonzero(~keep))
        return _with_gaps(events, where, keep, gaps)

    def _name_gap(self, where: int, last: int, lost: int) -> None:
        self._report.gaps += 1
        self._report.problem(f"{self._place.name(where)}: trades {last + 1} to {last + lost} are missing")

    def _end(self) -> RawRows:
        if self._ids is not None:
            self._report.trades_missing += self._ids.missing
            self._report.ids_off_market += self._ids.forgiven
        return super()._end()


def _with_gaps(
    events: EventArray, where: IntArray, keep: BoolArray, gaps: list[tuple[int, int, int]]
) -> tuple[EventArray, IntArray]:
    """Insert the edges of gaps (row, last id before, ids lost) and leave out the rows not kept."""
    at = np.array([i for i, _, _ in gaps for _ in range(2)], np.int64)
    edges = events[at].copy()
    edges["kind"] = [Kind.GAP_BEGIN, Kind.GAP_END] * len(gaps)
    edges["ext_id"] = [last for _, last, _ in gaps for _ in range(2)]
    edges["qty_lots"] = [n for _, _, lost in gaps for n in (0, lost)]
    edges["price_ticks"] = edges["side"] = 0
    edges["exch_ns"] = UNSTAMPED
    edges["flags"] = _LAST | Flag.TRADES
    kept = np.insert(keep, at, True)
    return np.insert(events, at, edges)[kept], np.insert(where, at, where[at])[kept]


class BookFile(CsvFile):
    """``incremental_book_L2``: rows of one microsecond are an update, a run of snapshot rows a snapshot."""

    rank = 1

    def __init__(self, reading: Reading) -> None:
        super().__init__(reading)
        self._held = np.zeros((0, COLUMNS), np.int64)
        self._held_where = np.zeros(0, np.int64)
        self._synced = False
        self._after_snapshot = False

    def _rows(self, rows: IntArray, where: IntArray) -> RawRows:
        rows = np.concatenate([self._held, rows])
        where = np.concatenate([self._held_where, where])
        whole = _whole_updates(rows)
        self._held, self._held_where = rows[whole:], where[whole:]
        return self._updates(rows[:whole], where[:whole])

    def _end(self) -> RawRows:
        return self._updates(self._held, self._held_where)

    def _updates(self, rows: IntArray, where: IntArray) -> RawRows:
        if not self._synced:
            snapshots = np.flatnonzero(rows[:, EXTRA])
            first = int(snapshots[0]) if len(snapshots) else len(rows)
            self._report.book_rows_unsynced += first
            rows, where = rows[first:], where[first:]
        if not len(rows):
            return RawRows(empty_events(), where)
        self._report.book_rows += len(rows)
        snapshot = rows[:, EXTRA] == 1
        runs = _run_starts(rows, snapshot)
        events = _events(rows, Kind.LEVEL)
        ends = np.append(runs[1:], len(rows)) - 1
        in_snapshot = snapshot[runs]
        events["flags"][ends[~in_snapshot]] = _LAST
        lengths = ends - runs + 1  # a snapshot is shown when its last row came
        shown = np.repeat(events["recv_ns"][ends], lengths)
        events["recv_ns"] = shown
        follows = np.concatenate([[self._after_snapshot], in_snapshot[:-1]])[in_snapshot]
        self._after_snapshot = bool(in_snapshot[-1])
        return self._framed(events, where, runs[in_snapshot], ends[in_snapshot], follows)

    def _framed(
        self, events: EventArray, where: IntArray, begins: IntArray, ends: IntArray, follows: BoolArray
    ) -> RawRows:
        """Put the edges of snapshots, and of the gaps that all but the first close, around their rows.

        ``follows``: which come straight after another snapshot, so that nothing was lost.
        """
        marks: list[tuple[int, int, Kind, int]] = []  # row before which, row whose time it bears, kind, flags
        for begin, end, after_one in zip(begins.tolist(), ends.tolist(), follows.tolist(), strict=True):
            lost = self._synced and not after_one
            if lost:
                marks.append((begin, begin, Kind.GAP_BEGIN, _LAST | Flag.BOOK))
            marks.append((begin, begin, Kind.SNAPSHOT_BEGIN, 0))
            marks.append((end + 1, end, Kind.SNAPSHOT_END, _LAST))
            if lost:
                marks.append((end + 1, end, Kind.GAP_END, _LAST | Flag.BOOK))
                self._report.gaps += 1
                place = self._place.name(int(where[begin]))
                self._report.problem(f"{place}: a new snapshot: the book was not followed until here")
            self._synced = True
        if not marks:
            return RawRows(events, where)
        at, like = [m[0] for m in marks], [m[1] for m in marks]
        edges = events[like].copy()
        edges["kind"], edges["flags"] = [m[2] for m in marks], [m[3] for m in marks]
        edges["price_ticks"] = edges["qty_lots"] = edges["side"] = 0
        edges["exch_ns"] = UNSTAMPED
        return RawRows(np.insert(events, at, edges), np.insert(where, at, where[like]))


def _run_starts(rows: IntArray, snapshot: BoolArray) -> IntArray:
    """First row of each update. Rows of one stamp are one; so is a snapshot, unless it is several.

    In a run of snapshot rows one begins where rows of both sides bear a new stamp.
    """
    new_stamp = rows[1:, RECV_US] != rows[:-1, RECV_US]
    changed = snapshot[1:] != snapshot[:-1]
    starts = np.concatenate([[0], np.flatnonzero(changed | new_stamp) + 1])
    bids = np.add.reduceat(rows[:, SIDE] > 0, starts, dtype=np.int64)
    lengths = np.diff(np.append(starts, len(rows)))
    of_one_side = snapshot[starts] & ((bids == 0) | (bids == lengths))
    goes_on = np.concatenate([[False], of_one_side[1:] & ~changed[starts[1:] - 1]])
    first: IntArray = starts[~goes_on]
    return first


def _whole_updates(rows: IntArray) -> int:
    """Rows that no later row can belong to: all but the last update's."""
    return int(_run_starts(rows, rows[:, EXTRA] == 1)[-1]) if len(rows) else 0
