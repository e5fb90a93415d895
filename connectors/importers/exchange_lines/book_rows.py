"""A book and its trades on their way to the tape, whatever exchange's messages they come from.

Rules kept here:

* a change before the first snapshot is dropped and counted;
* where an exchange numbers its updates without holes (the head of the files shows it), a hole is a gap of the
  book until the next snapshot, as in ``connectors.importers.binance.binance_raw``;
* a snapshot ends a gap. Whether one that comes while the book is followed means that something was lost says
  its exchange's reader;
* a trade of an id that came lately is dropped and counted: a stream sends its last trades again when it is
  subscribed anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from hashlib import blake2b

import numpy as np

from agent.core.arrays import IntArray
from agent.core.market.late_rows import is_late
from agent.core.market.tape import Flag, Kind
from connectors.importers.decimals import SCALE, e8, e8_many
from connectors.importers.import_report import ImportReport
from connectors.importers.price_scale import FinerPricesError
from connectors.importers.raw_rows import Place, RawBuffer

_LAST = int(Flag.LAST)
_REMEMBERED = 100_000  # trade ids
_MOST = 1 << 62
Levels = Sequence[Sequence[str]]
"""Price and size of each, and what else an exchange puts behind them."""


@dataclass(frozen=True, slots=True)
class Print:
    """A trade. Price in the scale of the reading, size in 1e-8."""

    exch_ns: int
    key: str  # what tells it from every other
    price: int
    size: int
    side: int


class BookRows:
    """Puts what readers have understood into the buffer, and counts it."""

    def __init__(self, report: ImportReport, place: Place, buffer: RawBuffer, price_scale: int) -> None:
        self.report, self._place, self._buffer, self._price_scale = report, place, buffer, price_scale
        self.followed = False  # the book is whole
        self.book_ns = 0  # of its last update, by the exchange
        self.number: int | None = None  # of its last update
        self.begins_file = False  # no update of the book has come from this file yet
        self._lost_from: int | None = None  # the update before the gap that is open
        self._lost = 0
        self._recv_ns = 0
        self._trade_ns = 0
        self._known: dict[str, None] = {}  # trades seen lately
        self.before: Callable[[int], None] | None = None  # brings in what came before a moment

    def place_name(self) -> str:
        return self._place.name()

    def received(self, recv_ns: int) -> int:
        """The stamp, held at the last one if it stepped back."""
        report = self.report
        if self.before is not None:
            self.before(recv_ns)
        if recv_ns < self._recv_ns:
            report.recv_steps_back += 1
            why = f"received {self._recv_ns - recv_ns} ns before the line above it"
            report.problem(f"{self._place.name()}: {why}")
            return self._recv_ns
        report.first_recv_ns = report.first_recv_ns or recv_ns
        self._recv_ns = report.last_recv_ns = recv_ns
        return recv_ns

    def numbers(self, bids: Levels, asks: Levels) -> IntArray:
        """Prices and sizes, bids first. Raises ValueError, and FinerPricesError where prices are finer."""
        texts = [text for side in (bids, asks) for level in side for text in level[:2]]
        if len(texts) != 2 * (len(bids) + len(asks)):
            raise ValueError("a level is not a price and a size")
        if self._price_scale == SCALE:
            try:
                found = e8_many(texts)
            except ValueError:
                if any(_decimals(text) > SCALE for text in texts[::2]):
                    raise FinerPricesError from None
                raise
        else:
            found = np.array([self._one(text, i % 2 == 1) for i, text in enumerate(texts)], np.int64)
        if len(found) and not found[::2].all():
            raise ValueError("a level at price 0")
        return found

    def _one(self, text: str, is_size: bool) -> int:
        return e8(text, clip=True) if is_size else scaled(text, self._price_scale)

    def price(self, text: str) -> int:
        """A trade's price. Raises as ``numbers`` does."""
        if self._price_scale == SCALE and _decimals(text) > SCALE:
            raise FinerPricesError
        return scaled(text, self._price_scale)

    # --- the book ---------------------------------------------------------------------------------

    def snapshot(
        self, recv_ns: int, exch_ns: int, number: int, bids: Levels, asks: Levels, *, lost: bool
    ) -> None:
        """The book whole. ``lost``: something may be missing before it."""
        numbers = self.numbers(bids, asks)
        recv_ns = self.received(recv_ns)
        if lost and self.followed:
            self.lose(recv_ns, 0, "a new snapshot: the book was not followed until here")
        buffer = self._buffer
        buffer.mark(recv_ns, Kind.SNAPSHOT_BEGIN, number, 0)
        buffer.levels(recv_ns, exch_ns, number, numbers, len(bids), 0)
        buffer.mark(recv_ns, Kind.SNAPSHOT_END, number, _LAST)
        if self._lost_from is not None:
            buffer.mark(recv_ns, Kind.GAP_END, self._lost_from, Flag.BOOK | _LAST, self._lost)
            self._lost_from = None
        self.report.snapshots += 1
        self.followed, self.number, self.book_ns, self.begins_file = True, number, exch_ns, False

    def change(self, recv_ns: int, exch_ns: int, number: int, bids: Levels, asks: Levels) -> None:
        """Levels that are otherwise now; dropped while the book is not known."""
        numbers = self.numbers(bids, asks)
        recv_ns, self.begins_file = self.received(recv_ns), False
        if not self.followed:
            self.report.depth_unsynced += 1
            return
        self.report.depth_updates += 1
        self._buffer.levels(recv_ns, exch_ns, number, numbers, len(bids), _LAST)
        self.number, self.book_ns = number, exch_ns

    def lose(self, recv_ns: int, lost: int, why: str) -> None:
        """The book is not known any more, from its last update on."""
        last = self.number or 0
        self.report.gaps += 1
        self.report.book_updates_lost += lost
        self.report.problem(f"{self._place.name()}: {why}")
        self._buffer.mark(self.received(recv_ns), Kind.GAP_BEGIN, last, Flag.BOOK | _LAST)
        self._lost_from, self._lost, self.followed = last, lost, False

    def finish(self) -> None:
        """Say first if the book ends without one, or if there never was one."""
        if self._lost_from is not None:
            where = f"no snapshot follows book update {self._lost_from}"
            self.report.problems.insert(0, f"{where}: from there on the book is not known")
        elif not self.report.snapshots and self.report.events + self._buffer.pending:
            self.report.problems.insert(
                0, "no snapshot: the session has no book, and no order can trade on it"
            )

    # --- trades -----------------------------------------------------------------------------------

    def trades(self, recv_ns: int, prints: Sequence[Print]) -> None:
        """All trades of one line."""
        recv_ns = self.received(recv_ns)
        report = self.report
        report.trades_sharing += len(prints) - 1
        for one in prints:
            if one.key in self._known:
                report.trade_duplicates += 1
                continue
            self._remember(one.key)
            flags = 0
            if is_late(one.exch_ns, self._trade_ns):
                report.trades_late += 1
                flags = int(Flag.LATE)
            self._trade_ns = max(self._trade_ns, one.exch_ns)
            report.trades += 1
            number = id_of_key(one.key)
            self._buffer.trade(recv_ns, one.exch_ns, number, one.price, one.size, one.side, flags)

    def _remember(self, key: str) -> None:
        self._known[key] = None
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]


def _decimals(text: str) -> int:
    """Decimals of a plain number, 0 of anything else."""
    return len(text.rstrip("0").partition(".")[2]) if text.replace(".", "", 1).isdigit() else 0


def scaled(text: str, scale: int) -> int:
    """A number above 0 in units of 10^-scale. Raises ValueError."""
    try:
        value = Decimal(text).scaleb(scale)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not a number") from error
    if not value.is_finite() or value != int(value) or not 0 < value < _MOST:
        raise ValueError(f"price {text} is not a number above 0 of at most {scale} decimals that can be held")
    return int(value)


def id_of_key(key: str) -> int:
    """A number as it is, of any other text a stable hash."""
    if key.isascii() and key.isdigit() and len(key) <= 18:
        return int(key)
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big") >> 1
