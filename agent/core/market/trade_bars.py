"""Bars of one instrument at one interval and phase, accumulated from the trades the tape has shown.

A series is brought up to date when it is used, from where it stopped: a late trade lands in its own
bucket, and so revises it for every later use, and for none before. What is made of the buckets is carried
from use to use (``agent.core.market.carried_bars``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agent.core.arrays import FloatArray, IntArray
from agent.core.compile.jit import njit
from agent.core.errors import InternalError, SessionError
from agent.core.instrument import Instrument
from agent.core.market.bars import BOOK_COLUMNS, FBAR, FBarArray
from agent.core.market.carried_bars import CarriedFloats, CarriedTotals, Changed
from agent.core.market.tape import BarArray
from agent.core.money import MOST_TL, exact_sum, fits, inverse_value, mean_ticks, value_at_mean_price

OPEN_NS, CLOSE_NS, OPEN, HIGH, LOW, CLOSE, BASE, QUOTE, TRADES, TAKER_BASE, *_OVER, COLUMNS = range(14)
OVER_BASE, OVER_QUOTE, OVER_TAKER = _OVER
"""How many times ``WORD`` the sums of BASE, QUOTE and TAKER_BASE are above what stands in their columns."""

F_OPEN, F_HIGH, F_LOW, F_CLOSE, F_VWAP, F_VOLUME, F_QUOTE, F_TRADES, F_TAKER = range(1, 10)
"""Where FBAR has them."""

WORD = 2**61
"""A sum that passes it goes on in its second word: one more trade still fits."""

UNSEEN = (np.nan,) * len(BOOK_COLUMNS)
"""A book that nobody saw."""

MOST_BUCKETS = 1 << 21
"""A trade further ahead than this carries a wrong stamp; it is on the tape, and in no bar."""


class TradeColumns(NamedTuple):
    """Trades in order of arrival, as columns of equal length."""

    exch_ns: IntArray
    price_ticks: IntArray
    qty_lots: IntArray
    side: npt.NDArray[np.int8]
    first: int = 0  # the number of the first trade here: those before it have been forgotten

    def since(self, first: int) -> TradeColumns:
        """The trades from number ``first`` on. Raises InternalError when it has been forgotten."""
        at = first - self.first
        if at < 0:
            raise InternalError(f"trade {first} is needed, and those before {self.first} are forgotten")
        return TradeColumns(
            self.exch_ns[at:], self.price_ticks[at:], self.qty_lots[at:], self.side[at:], first
        )

    def number_at(self, at_ns: int) -> int:
        """The number of the first trade at or after a time, in order of arrival; of the next, if none is."""
        after = np.flatnonzero(self.exch_ns >= at_ns)
        return self.first + (int(after[0]) if len(after) else len(self.exch_ns))


class BookSample(NamedTuple):
    """The book at one moment, in ticks and lots; depths are within ``DEPTH_BAND_BPS``."""

    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int
    bid_depth_lots: int
    ask_depth_lots: int


@njit
def _accumulate(
    table: IntArray,
    exch_ns: IntArray,
    ticks: IntArray,
    lots: IntArray,
    side: npt.NDArray[np.int8],
    origin_ns: int,
    delta: int,
    inverse: bool,
) -> tuple[int, int, int]:
    """Add trades to ``table`` [bucket, COLUMNS]; bucket 0 starts at ``origin_ns``.

    QUOTE is their value as ``agent.core.money`` counts it. Returns the first bucket touched, the last, and
    the first trade that is worth too much to be counted; (length of the table, -1) where every trade fell
    outside, and -1 where each can be counted.
    """
    first, last = len(table), -1
    for i in range(len(exch_ns)):
        ns = exch_ns[i]
        k = (ns - origin_ns) // delta
        if ns < origin_ns or k >= len(table):
            continue
        first, last = min(first, k), max(last, k)
        price, qty = ticks[i], lots[i]  # by place below: a view of the row would cost more than the rest
        if not fits(price, qty, inverse):
            return first, last, i
        if table[k, TRADES] == 0:
            table[k, OPEN_NS], table[k, CLOSE_NS] = ns, ns
            table[k, OPEN], table[k, HIGH], table[k, LOW], table[k, CLOSE] = price, price, price, price
        else:
            table[k, HIGH] = max(table[k, HIGH], price)
            table[k, LOW] = min(table[k, LOW], price)
            if ns < table[k, OPEN_NS]:
                table[k, OPEN_NS], table[k, OPEN] = ns, price
            if ns >= table[k, CLOSE_NS]:
                table[k, CLOSE_NS], table[k, CLOSE] = ns, price
        base = table[k, BASE] + qty
        quote = table[k, QUOTE] + (inverse_value(price, qty) if inverse else qty * price)
        table[k, BASE], table[k, QUOTE] = base, quote
        table[k, TRADES] += 1
        if side[i] > 0:
            table[k, TAKER_BASE] += qty
        elif side[i] == 0:  # nobody knows: half of it; of an odd lot in turn more and less
            table[k, TAKER_BASE] += (qty + (table[k, TRADES] & 1)) >> 1
        if base > WORD or quote > WORD:
            _carry(table, k)
    return first, last, -1


@njit
def _carry(table: IntArray, k: int) -> None:
    """Move what is above ``WORD`` into the second words; 0 stays 0, and what is above 0 stays above it."""
    for column, over in ((BASE, OVER_BASE), (QUOTE, OVER_QUOTE), (TAKER_BASE, OVER_TAKER)):
        while table[k, column] > WORD:
            table[k, column] -= WORD
            table[k, over] += 1


def _whole(column: IntArray, over: IntArray) -> list[int]:
    """Sums kept in two words, as Python's integers."""
    return [low + high * WORD for low, high in zip(column.tolist(), over.tolist(), strict=True)]


@njit
def put_floats(
    table: IntArray, floats: FloatArray, start: int, stop: int, tick: float, lot: float, inverse: bool
) -> None:
    """Rows ``start`` to ``stop`` of ``table`` as floats: prices, volumes and counts in the order of FBAR.

    A bucket without trades has the last known price, and volume 0. ``quote_volume`` of an inverse market is
    on the same scale as another's: features see price x volume for either kind.
    """
    last = floats[start - 1, F_CLOSE] if start else np.nan
    for k in range(start, stop):
        lots = table[k, BASE] + table[k, OVER_BASE] * float(WORD)
        value = table[k, QUOTE] + table[k, OVER_QUOTE] * float(WORD)
        taker = table[k, TAKER_BASE] + table[k, OVER_TAKER] * float(WORD)
        traded = table[k, BASE] > 0  # some klines give a volume and no count of trades
        floats[k, F_VOLUME] = lots * lot
        floats[k, F_TRADES] = np.nan if traded and table[k, TRADES] == 0 else table[k, TRADES]
        floats[k, F_TAKER] = taker * lot if taker >= 0 else np.nan
        if traded:
            mean = np.inf if inverse and value == 0 else mean_ticks(value, lots, inverse)
            floats[k, F_OPEN], floats[k, F_HIGH] = table[k, OPEN] * tick, table[k, HIGH] * tick
            floats[k, F_LOW], floats[k, F_CLOSE] = table[k, LOW] * tick, table[k, CLOSE] * tick
            floats[k, F_VWAP], last = mean * tick, floats[k, F_CLOSE]
            own = floats[k, F_VWAP] * floats[k, F_VOLUME]
            floats[k, F_QUOTE] = own if inverse else value * (tick * lot)
        else:
            floats[k, F_OPEN : F_VWAP + 1] = last
            floats[k, F_QUOTE] = 0.0 if inverse else value * (tick * lot)


def _words(total: int) -> tuple[int, int]:
    """(what stands in the column, second word) of a sum."""
    over = max(0, (total - 1) // WORD)
    return total - over * WORD, over


class BarSeries:
    """Interval bars around ``phase_ns``; bucket k covers [phase + k delta, phase + (k+1) delta).

    ``reach`` is how many buckets before the phase are kept, for the features' history.
    """

    def __init__(self, instrument: Instrument, delta_ns: int, phase_ns: int, reach: int) -> None:
        self.instrument = instrument
        self.delta_ns = delta_ns
        self.phase_ns = phase_ns
        self.reach = reach
        self._origin_ns = phase_ns - reach * delta_ns
        self._table = np.zeros((reach + 64, COLUMNS), np.int64)
        self.next_trade = 0  # the first that has not been taken in
        self._first_ns: int | None = None
        self._books: dict[int, tuple[float, ...]] = {}  # by row of the table, as BOOK_COLUMNS
        self._from_klines = np.zeros(0, np.int64)
        self._watching: list[Changed] = []
        self._end = 0  # no row from here on has been touched
        self._totals = CarriedTotals(self.watch(), ((BASE, OVER_BASE), (QUOTE, OVER_QUOTE)), WORD)
        self._floats = CarriedFloats(self.watch(), self._make_floats)

    def watch(self) -> Changed:
        """What tells its holder the first row (bucket + ``reach``) that has changed since it last asked."""
        changed = Changed()
        self._watching.append(changed)
        return changed

    def _touched(self, first: int, last: int) -> None:
        """Rows ``first`` to ``last`` of the table are no longer what they were."""
        self._end = max(self._end, last + 1)
        for changed in self._watching:
            changed.note(first)

    def update(self, trades: TradeColumns) -> None:
        """Take in the trades that arrived since the last update."""
        new = trades.since(self.next_trade)
        if not len(new.exch_ns):
            return
        if self._first_ns is None:
            self._first_ns = int(new.exch_ns[0])
        self._first_ns = min(self._first_ns, int(new.exch_ns.min()))
        self._extend_to(int((new.exch_ns.max() - self._origin_ns) // self.delta_ns))
        first, last, beyond = _accumulate(
            self._table,
            new.exch_ns,
            new.price_ticks,
            new.qty_lots,
            new.side,
            self._origin_ns,
            self.delta_ns,
            self.instrument.inverse,
        )
        if beyond >= 0:
            raise _too_much(self.instrument, int(new.price_ticks[beyond]), int(new.qty_lots[beyond]))
        self._touched(first, last)
        self.next_trade += len(new.exch_ns)

    def use_klines(self, klines: BarArray) -> None:
        """Fill the buckets begun before the first trade from klines, where they fit the grid exactly.

        That is the first trade's own bucket too: its beginning was not seen, and the closed klines that
        cover it hold those trades. Without it the trades would be cut off from all history before them.
        """
        if not len(klines):
            return
        delta = int(klines["delta_ns"][0])
        if self.delta_ns % delta or (self._origin_ns - int(klines["open_ns"][0])) % delta:
            return
        per_bucket = self.delta_ns // delta
        limit_ns = self._first_ns if self._first_ns is not None else self.phase_ns
        bucket = (klines["open_ns"] - self._origin_ns) // self.delta_ns
        inside = (bucket >= 0) & (bucket * self.delta_ns + self._origin_ns < limit_ns)
        whole = np.bincount(bucket[inside], minlength=self.reach) == per_bucket
        filled = np.flatnonzero(whole)
        for k in filled:
            self._from_kline_rows(int(k), klines[inside & (bucket == k)])
        self._from_klines = filled

    def _from_kline_rows(self, k: int, rows: BarArray) -> None:
        taker = -1 if (rows["taker_base_lots"] < 0).any() else exact_sum(rows["taker_base_lots"])
        (base, base_over), (quote, quote_over), (taker, taker_over) = map(
            _words, (exact_sum(rows["base_lots"]), self._kline_value(rows), taker)
        )
        self._table[k] = (
            rows["open_ns"][0],
            rows["open_ns"][-1],
            rows["open_ticks"][0],
            rows["high_ticks"].max(),
            rows["low_ticks"].min(),
            rows["close_ticks"][-1],
            base,
            quote,
            rows["trades"].sum(),
            taker,
            base_over,
            quote_over,
            taker_over,
        )
        self._touched(k, k)

    def _kline_value(self, rows: BarArray) -> int:
        """Klines give ticks x lots, from which the value of an inverse bar is taken at its mean price."""
        money, lots = exact_sum(rows["quote_tl"]), exact_sum(rows["base_lots"])
        if not self.instrument.inverse or not money:
            return money
        return value_at_mean_price(money, lots)

    def _extend_to(self, last: int) -> None:
        while last >= len(self._table) and len(self._table) < MOST_BUCKETS:
            self._table = np.concatenate([self._table, np.zeros_like(self._table)])

    def note_book(self, k: int, sample: BookSample) -> None:
        """Keep the book at the end of bucket ``k`` (the first sample wins)."""
        row = k + self.reach
        if sample.bid_ticks and row >= 0 and row not in self._books:
            self._books[row] = _book_floats(sample, float(self.instrument.lot))
            self._touched(row, row)

    def totals(self, first: int, end: int) -> tuple[int, int]:
        """(lots, value) traded in buckets ``first`` to ``end`` (exclusive)."""
        last = min(self._end, len(self._table))  # beyond there is nothing, however far ahead is asked
        rows = (min(max(0, self.reach + k), last) for k in (first, end))
        lots, value = self._totals.between(self._table, *rows)
        return lots, value

    def prices(self, first: int, end: int) -> tuple[list[tuple[int, int]], int]:
        """Per bucket (lots, value), and the last price in ticks before ``first``."""
        return self.traded(first, end), self.last_before(first)

    def traded(self, first: int, end: int) -> list[tuple[int, int]]:
        """Per bucket (lots, value)."""
        self._extend_to(self.reach + end)
        rows = self._table[self.reach + first : self.reach + end]
        lots, values = (_whole(rows[:, c], rows[:, o]) for c, o in ((BASE, OVER_BASE), (QUOTE, OVER_QUOTE)))
        return list(zip(lots, values, strict=True))

    def last_before(self, first: int) -> int:
        """The last price in ticks before bucket ``first``; 0 where there is none."""
        before = self._table[: self.reach + first]
        traded = np.flatnonzero(before[:, BASE])
        return int(before[traded[-1], CLOSE]) if len(traded) else 0

    def priced_ns(self) -> int:
        """When the trade was that prices bucket 0: the phase, or the last one before it if none is in it."""
        self._extend_to(self.reach)
        before = np.flatnonzero(self._table[: self.reach, BASE])
        if self._table[self.reach, BASE] or not len(before):
            return self.phase_ns
        return int(self._table[before[-1], CLOSE_NS])

    def closes(self, first: int, end: int) -> list[int]:
        """Close of each bucket in ticks, 0 where nothing traded."""
        return [int(x) for x in self._table[self.reach + first : self.reach + end, CLOSE]]

    def view(self, end: int) -> FBarArray:
        """Bars up to bucket ``end`` (exclusive), oldest first, from the first whole bucket known.

        What is returned is not to be written to, and never changes: a later view may share its memory.
        """
        self._extend_to(self.reach + end)
        stop = self.reach + end
        return self._floats.view(self._first_known(stop), stop)

    def _first_known(self, stop: int) -> int:
        """First bucket that is whole and after which there is no unknown one."""
        if self._first_ns is None:
            first = stop
        else:
            first = max(0, -((self._origin_ns - self._first_ns) // self.delta_ns))
            if self._first_ns <= self._origin_ns:
                first = 0
        for k in self._from_klines[::-1]:
            if k != first - 1:
                break
            first = int(k)
        return min(first, stop)

    def _make_floats(self, bars: FBarArray, start: int, stop: int) -> None:
        """Make rows ``start`` to ``stop`` of ``bars`` from the table; those before are made already."""
        bars["start_ns"][start:stop] = self._origin_ns + self.delta_ns * np.arange(start, stop)
        floats = bars.view(np.float64).reshape(len(bars), len(FBAR.names or ()))
        instrument = self.instrument
        put_floats(
            self._table,
            floats,
            start,
            stop,
            float(instrument.tick),
            float(instrument.lot),
            instrument.inverse,
        )
        for row in range(start, stop):
            floats[row, -len(BOOK_COLUMNS) :] = self._books.get(row, UNSEEN)


def _too_much(instrument: Instrument, price_ticks: int, lots: int) -> SessionError:
    price, quantity = instrument.price(price_ticks), instrument.quantity(lots)
    money = instrument.most_money(price_ticks, MOST_TL)
    return SessionError(
        f"a trade of {quantity.normalize():f} {instrument.unit} of {instrument.symbol} at {price:f} is worth"
        f" more than the {money.normalize():f} {instrument.quote} that can be counted in steps of"
        f" {instrument.tick:f} and {instrument.lot:f}: import the session with a larger --lot-size, or"
        " correct the trade"
    )


def _book_floats(b: BookSample, lot: float) -> tuple[float, ...]:
    """A sample as BOOK_COLUMNS."""
    mid = (b.bid_ticks + b.ask_ticks) / 2
    size = b.bid_lots + b.ask_lots
    micro = (b.bid_ticks * b.ask_lots + b.ask_ticks * b.bid_lots) / size
    return (
        (b.ask_ticks - b.bid_ticks) / mid * 1e4,
        (b.bid_lots - b.ask_lots) / size,
        (micro - mid) / mid * 1e4,
        b.bid_depth_lots * lot,
        b.ask_depth_lots * lot,
    )
