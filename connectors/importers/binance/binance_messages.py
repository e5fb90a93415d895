"""Messages of a raw Binance capture, parsed one by one into rows, with every line accounted for.

The rules of continuity are in ``connectors.importers.binance.binance_raw``.
"""

from __future__ import annotations

from collections import deque
from typing import Any, cast

import orjson

from agent.core.arrays import IntArray
from agent.core.errors import InputError
from agent.core.market.late_rows import is_late
from agent.core.market.tape import Flag, Kind
from connectors.importers.binance.binance_fields import (
    DepthData,
    Diff,
    Receipts,
    SnapshotMessage,
    TickerData,
    TradeData,
    as_snapshot,
    id_of,
    is_partial,
    levels_of,
    stamp_ns,
    stream_of,
)
from connectors.importers.decimals import Memo
from connectors.importers.import_report import ImportReport
from connectors.importers.raw_rows import UNSTAMPED, Delays, Place, RawBuffer
from connectors.importers.symbols import MarketKind
from connectors.importers.trade_ids import Seen, TradeIds

_HELD_DIFFS = 20_000  # diffs kept while no snapshot has come: half an hour at 100 ms
_MOST_IDS = 1_000_000  # in one book update: more is a broken number
_HOUR_NS = 3600 * 10**9
_LAST = int(Flag.LAST)
_NAMES = {MarketKind.SPOT: "spot", MarketKind.LINEAR: "USD-M futures", MarketKind.INVERSE: "coin-M futures"}
_EXAMPLES = {
    MarketKind.SPOT: "BTC/USDT",
    MarketKind.LINEAR: "BTC/USDT:USDT",
    MarketKind.INVERSE: "BTC/USD:BTC",
}
_COUNTED = {"markPrice": "mark_prices", "forceOrder": "force_orders"}


class Messages:
    """Puts messages into a buffer of rows, keeping the continuity of the book and of the trade ids."""

    def __init__(
        self, raw_symbol: str, market: MarketKind, report: ImportReport, place: Place, buffer: RawBuffer
    ) -> None:
        self._prefix = raw_symbol.lower()
        self._market = market
        self._report = report
        self._place = place
        self._buffer = buffer
        self._book_id: int | None = None  # last update applied; None without a book
        self._fresh = False  # the book is a snapshot to which no diff has been applied
        self._lost_from: int | None = None  # last update before the gap the book is in
        self._lost = 0
        self._held: deque[Diff] = deque()
        self._ids = TradeIds()
        self._prices, self._sizes = Memo(), Memo(clip=True)
        self._of_file = self._prefix  # the symbol of the line before: a snapshot names none
        self._trade_kind = ""
        self._trade_ns = 0
        self._recv_ns = 0
        self._delay_ns: int | None = None  # received - sent of the last message that held both
        self._other_delay_ns: int | None = None  # of the one after it, if it was quite another
        self._sure = False  # a message has shown that the capture is of the symbol's market
        self.delays = Delays()
        self.others: set[str] = set()
        self._receipts = Receipts()
        self._partial_id = -1  # last update of the partial book, where nothing better is there
        self._left_out: set[str] = set()  # streams that are not read

    def begin_file(self, symbol: str) -> None:
        """A file whose first message that names one is of ``symbol`` ("" where none does)."""
        self._of_file = symbol or self._prefix
        self._receipts = Receipts()

    def finish(self) -> None:
        """Count what was still waiting for a snapshot, and say first if the book ends without one."""
        if self._lost_from is not None:
            self._report.problems.insert(
                0, f"no snapshot follows book update {self._lost_from}: from there on the book is not known"
            )
        elif not self._report.snapshots and (self._held or self._report.trades or self._report.book_tickers):
            what = "no snapshot" if self._held else "no book in the files"
            self._report.problems.insert(0, f"{what}: the session has no book, and no order can trade on it")
        if self._left_out:
            self._report.problem(f"streams that are not read: {', '.join(sorted(self._left_out)[:10])}")
        self._report.depth_unsynced += len(self._held)
        self._report.trades_missing = self._ids.missing
        self._report.last_recv_ns = self._recv_ns

    def line(self, line: bytes) -> None:
        """Take in one line; a line that cannot be read is counted and named.

        Raises InputError when it is of another market than the symbol.
        """
        try:
            stamp, _, text = line.partition(b" ")
            self._message(stamp, text)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
            self._report.bad_lines += 1
            self._report.problem(f"{self._place.name()}: {type(error).__name__}: {error}")

    def _message(self, stamp: bytes, text: bytes) -> None:
        recv_ns, message = self._receipts.ns(int(stamp)), orjson.loads(text)
        stream = message.get("stream")
        if stream is None:
            self._unframed(recv_ns, message)
            return
        symbol, _, name = stream.partition("@")
        self._of_file = symbol
        self._of_stream(recv_ns, symbol, name, message["data"])

    def _unframed(self, recv_ns: int, message: dict[str, Any]) -> None:
        """A message of a stream of its own, a snapshot, or the exchange's word that it has subscribed."""
        single = stream_of(message)
        if single is not None:
            self._of_file = single[0]
            self._of_stream(recv_ns, *single, message)
        elif "result" in message and "id" in message:
            self._report.other_streams += 1
        else:
            self._snapshot(recv_ns, cast(SnapshotMessage, message))

    def _of_stream(self, recv_ns: int, symbol: str, name: str, data: Any) -> None:
        if symbol != self._prefix:
            self._other(symbol)
            return
        if name == "bookTicker":
            self._ticker(recv_ns, data)
        elif name in ("trade", "aggTrade"):
            self._trade(name, recv_ns, data)
        elif is_partial(name):
            self._partial(recv_ns, data)
        elif name.startswith("depth") and data.get("e") == "depthUpdate":
            self._depth(recv_ns, data)
        else:
            counter = _COUNTED.get(name.partition("@")[0], "other_streams")
            if counter == "other_streams":
                self._left_out.add(name)
            setattr(self._report, counter, getattr(self._report, counter) + 1)

    def _other(self, symbol: str) -> None:
        self._report.other_symbols += 1
        self.others.add(symbol.upper())

    def _received(self, recv_ns: int, sent_ns: int | None = None) -> int:
        """Return the stamp, held at the last one if it stepped back.

        One that leaps by an hour is believed if the exchange's stamp leaps with it, or the next does
        the same: otherwise a broken digit would hold every later line. Raises ValueError.
        """
        if sent_ns is not None:
            self._judge(recv_ns - sent_ns)
            self.delays.add(recv_ns - sent_ns)
        elif self._recv_ns and recv_ns - self._recv_ns > _HOUR_NS:
            raise ValueError(f"received {(recv_ns - self._recv_ns) / 1e9:.0f} s after the line above it")
        if recv_ns < self._recv_ns:
            self._report.recv_steps_back += 1
            self._report.problem(
                f"{self._place.name()}: received {self._recv_ns - recv_ns} ns before the line above it"
            )
            return self._recv_ns
        if not self._recv_ns:
            self._report.first_recv_ns = recv_ns
        self._recv_ns = recv_ns
        return recv_ns

    def _judge(self, delay_ns: int) -> None:
        """Raise ValueError when a message's delay is an hour from the last one's, once."""
        known = [d for d in (self._delay_ns, self._other_delay_ns) if d is not None]
        if known and all(abs(delay_ns - d) > _HOUR_NS for d in known):
            self._other_delay_ns = delay_ns
            raise ValueError(f"received {(delay_ns - known[0]) / 1e9:.0f} s off the exchange's own stamp")
        self._delay_ns, self._other_delay_ns = delay_ns, None

    def _is(self, market: MarketKind) -> None:
        """Refuse a capture of another market than the symbol's; one broken line of it is only bad."""
        self._sure = self._sure or market is self._market
        if market is not self._market and self._sure:
            raise ValueError(f"keys of a {_NAMES[market]} capture")
        if market is not self._market:
            raise InputError(
                f"{self._place.name()} is of a {_NAMES[market]} capture and {self._report.symbol} is a "
                f"symbol of {_NAMES[self._market]}: give a --symbol like {_EXAMPLES[market]}, or another file"
            )

    # --- trades -----------------------------------------------------------------------------------

    def _trade(self, name: str, recv_ns: int, data: TradeData) -> None:
        if "M" in data:  # "best match", which only spot has
            self._is(MarketKind.SPOT)
        elif self._market is MarketKind.SPOT and "X" in data:
            self._is(MarketKind.LINEAR)
        self._trade_kind = self._trade_kind or name
        if name != self._trade_kind:
            self._report.trades_other_kind += 1
            return
        trade_id = id_of(data["t" if name == "trade" else "a"])
        traded_ns, sent_ns = stamp_ns(data["T"]), stamp_ns(data["E"])
        if data.get("X", "MARKET") != "MARKET":
            self._ids.see(trade_id)
            self._report.trades_off_market += 1
            return
        price, size, side = self._prices[data["p"]], self._sizes[data["q"]], -1 if data["m"] else 1
        if not price or not size:
            raise ValueError(f"trade {trade_id} at price {data['p']} for {data['q']}: both must be positive")
        self._put_trade(self._received(recv_ns, sent_ns), traded_ns, trade_id, price, size, side)

    def _put_trade(
        self, recv_ns: int, traded_ns: int, trade_id: int, price: int, size: int, side: int
    ) -> None:
        seen, before = self._ids.see(trade_id), self._ids.last
        if seen is Seen.REPEATED:
            self._report.trade_duplicates += 1
            self._report.problem(f"{self._place.name()}: trade {trade_id} came before: dropped")
            return
        if seen is Seen.AFTER_GAP and before is not None:
            self._trade_gap(recv_ns, before - self._ids.lost - 1)
        flags = 0
        if is_late(traded_ns, self._trade_ns):
            self._report.trades_late += 1
            flags = Flag.LATE
        self._trade_ns = max(self._trade_ns, traded_ns)
        self._report.trades += 1
        self._buffer.trade(recv_ns, traded_ns, trade_id, price, size, side, flags)

    def _trade_gap(self, recv_ns: int, last: int) -> None:
        self._report.gaps += 1
        lost = self._ids.lost
        self._report.problem(f"{self._place.name()}: trades {last + 1} to {last + lost} are missing")
        for kind, count in ((Kind.GAP_BEGIN, 0), (Kind.GAP_END, lost)):
            self._buffer.mark(recv_ns, kind, last, Flag.TRADES | _LAST, count)

    # --- the book ---------------------------------------------------------------------------------

    def _ticker(self, recv_ns: int, data: TickerData) -> None:
        """Of a spot capture it bears no time of the exchange's."""
        update = id_of(data["u"])
        prices, sizes = self._prices, self._sizes
        numbers = (prices[data["b"]], sizes[data["B"]], prices[data["a"]], sizes[data["A"]])
        if not numbers[0] or not numbers[2]:
            raise ValueError(f"best prices {data['b']} and {data['a']}: both must be positive")
        exch_ns = stamp_ns(data["T"]) if "T" in data else UNSTAMPED
        self._report.book_tickers += 1
        self._buffer.bbo(self._received(recv_ns), exch_ns, update, numbers)

    def _depth(self, recv_ns: int, data: DepthData) -> None:
        futures = "pu" in data
        self._is((MarketKind.INVERSE if "ps" in data else MarketKind.LINEAR) if futures else MarketKind.SPOT)
        sent_ns = stamp_ns(data["E"])
        before, last = id_of(data["pu"]) if futures else id_of(data["U"]) - 1, id_of(data["u"])
        if not 0 <= last - before <= _MOST_IDS:
            raise ValueError(f"update ids from {before + 1} to {last}")
        numbers = levels_of(data["b"], data["a"])
        exch_ns = stamp_ns(data["T"]) if futures else sent_ns
        diff = Diff(before, last, exch_ns, len(data["b"]), numbers)
        self._apply(self._received(recv_ns, sent_ns), diff)

    def _apply(self, recv_ns: int, diff: Diff) -> None:
        if self._book_id is not None and self._old(diff):
            self._report.depth_before_snapshot += 1
        elif self._book_id is not None and self._follows(diff):
            self._book_id, self._fresh = diff.last, False
            self._report.depth_updates += 1
            self._buffer.levels(recv_ns, diff.exch_ns, diff.last, diff.numbers, diff.bids, _LAST)
        else:
            self._lose_book(recv_ns, diff.before)
            self._hold(diff)

    def _old(self, diff: Diff) -> bool:
        assert self._book_id is not None
        if self._market is not MarketKind.SPOT and self._fresh:
            return diff.last < self._book_id  # futures: the one that ends at the snapshot leads on
        return diff.last <= self._book_id

    def _follows(self, diff: Diff) -> bool:
        assert self._book_id is not None
        if self._market is MarketKind.SPOT or self._fresh:
            return diff.before <= self._book_id
        return diff.before == self._book_id

    def _lose_book(self, recv_ns: int, before: int) -> None:
        if self._book_id is None:
            return
        self._report.gaps += 1
        self._lost = max(0, before - self._book_id)
        self._report.book_updates_lost += self._lost
        self._report.problem(
            f"{self._place.name()}: book updates {self._book_id + 1} to {before} are missing"
        )
        self._buffer.mark(recv_ns, Kind.GAP_BEGIN, self._book_id, Flag.BOOK | _LAST)
        self._lost_from, self._book_id = self._book_id, None

    def _hold(self, diff: Diff) -> None:
        if len(self._held) == _HELD_DIFFS:
            self._held.popleft()
            self._report.depth_unsynced += 1
        self._held.append(diff)

    def _partial(self, recv_ns: int, data: Any) -> None:
        """The best levels whole: shown as snapshots where no deeper book is followed."""
        message = as_snapshot(data)
        update, numbers = id_of(message["lastUpdateId"]), levels_of(message["bids"], message["asks"])
        sent_ns = stamp_ns(data["E"]) if "E" in data else None
        recv_ns = self._received(recv_ns, sent_ns)
        if self._book_id is not None or self._lost_from is not None or update <= self._partial_id:
            self._report.snapshots_old += 1
            return
        self._partial_id = update
        self._report.snapshots += 1
        exch_ns = stamp_ns(data["T"]) if "T" in data else UNSTAMPED
        self._show(recv_ns, exch_ns, update, numbers, len(message["bids"]))

    def _show(self, recv_ns: int, exch_ns: int, update: int, numbers: IntArray, bids: int) -> None:
        self._buffer.mark(recv_ns, Kind.SNAPSHOT_BEGIN, update, 0)
        self._buffer.levels(recv_ns, exch_ns, update, numbers, bids, 0)
        self._buffer.mark(recv_ns, Kind.SNAPSHOT_END, update, _LAST)

    def _snapshot(self, recv_ns: int, message: SnapshotMessage) -> None:
        update, numbers = id_of(message["lastUpdateId"]), levels_of(message["bids"], message["asks"])
        futures, symbol = "T" in message, str(message.get("symbol", self._of_file)).lower()
        if symbol != self._prefix:
            self._other(symbol)
            return
        self._is(
            (MarketKind.INVERSE if "pair" in message else MarketKind.LINEAR) if futures else MarketKind.SPOT
        )
        recv_ns = self._received(recv_ns)
        if self._book_id is not None and update <= self._book_id:
            self._report.snapshots_old += 1
            return
        self._report.snapshots += 1
        self._show(recv_ns, UNSTAMPED, update, numbers, len(message["bids"]))
        if self._lost_from is not None:
            self._buffer.mark(recv_ns, Kind.GAP_END, self._lost_from, Flag.BOOK | _LAST, self._lost)
            self._lost_from = None
        self._book_id, self._fresh = update, True
        held, self._held = self._held, deque()
        for diff in held:
            self._apply(recv_ns, diff)
