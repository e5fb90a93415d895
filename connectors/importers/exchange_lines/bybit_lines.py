"""Bybit's messages: ``orderbook.N`` snapshots and deltas, ``publicTrade``, of archives and of captures.

Rules kept here:

* of several depths the deepest in the files' heads is the book; the others are left out and counted;
* ``u`` rises by one from delta to delta where the heads show so; then a hole is a gap until the next
  snapshot;
* a snapshot while the book is followed means a new connection or a restart: a gap, unless its ``u`` goes on,
  or it begins a file and comes within ``JOINS_NS`` of the update before it;
* what happened when the engine matched it (``cts``) is the exchange's stamp, ``ts`` where there is none;
* a trade's side is the taker's. Trades of contracts bear a tick direction (``L``), those of spot none: one of
  another market than the symbol's is refused, because the names are the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from agent.core.errors import InputError
from connectors.importers.binance.binance_fields import stamp_ns
from connectors.importers.decimals import e8
from connectors.importers.exchange_lines.book_rows import BookRows, Print
from connectors.importers.exchange_lines.line_reader import Head, LineReader
from connectors.importers.symbols import MarketKind, Symbol
from connectors.importers.tardis.tardis_symbols import is_of

JOINS_NS = 1_000_000_000
NUMBERED, FEWEST = 0.9, 20  # of so many steps from delta to delta
_SIDES = {"Buy": 1, "Sell": -1}


def bybit_is(name: str, symbol: Symbol) -> bool:
    """Whether a name of Bybit's is the symbol's. Spot and linear contracts bear the same."""
    if symbol.market is MarketKind.SPOT:
        return name == f"{symbol.base}{symbol.quote}" and symbol.quote != "USD"
    if symbol.market is MarketKind.LINEAR and symbol.quote == "USDC" and not symbol.expiry:
        return name in (f"{symbol.base}PERP", f"{symbol.base}USDC")
    return is_of("bybit", name, symbol)


class BybitLines(LineReader):
    """Messages of one symbol."""

    exchange = "bybit"

    def __init__(self, symbol: Symbol, rows: BookRows, heads: Sequence[Head]) -> None:
        super().__init__(symbol, rows, heads)
        mine = [m for m in self.first if _depth(m) and self.is_ours(str(m["topic"]).rpartition(".")[2])]
        self._depth = max((_depth(m) for m in mine), default=0)
        self._numbered = _numbered([m for m in mine if _depth(m) == self._depth])

    def message(self, recv_ns: int | None, message: Any) -> None:
        topic = message.get("topic")
        if topic is None:
            self.skip("")
            return
        kind, _, rest = str(topic).partition(".")
        name = rest.rpartition(".")[2]
        if kind not in ("orderbook", "publicTrade"):
            self.skip(kind)
        elif not self.is_ours(name):
            self.other(name)
        elif kind == "publicTrade":
            self._trades(recv_ns, message)
        elif self._depth and _depth(message) != self._depth:
            self.skip(f"orderbook.{_depth(message)}")
        else:
            self._depth = self._depth or _depth(message)
            self._book(recv_ns, message)

    def names(self, name: str) -> bool:
        return bybit_is(name, self.symbol)

    def _book(self, recv_ns: int | None, message: Any) -> None:
        data, rows = message["data"], self.rows
        sent_ns = stamp_ns(message["ts"])
        exch_ns = stamp_ns(message["cts"]) if "cts" in message else sent_ns
        recv_ns = self.stamp(recv_ns, sent_ns)
        number, bids, asks = int(data["u"]), data["b"], data["a"]
        if message["type"] == "snapshot":
            joins = rows.begins_file and sent_ns - rows.book_ns <= JOINS_NS
            goes_on = rows.number is not None and number in (rows.number, rows.number + 1)
            rows.snapshot(recv_ns, exch_ns, number, bids, asks, lost=not (joins or goes_on))
        elif message["type"] == "delta":
            self._delta(recv_ns, exch_ns, number, message)
        else:
            raise ValueError(f"a book message of type {message['type']!r}")

    def _delta(self, recv_ns: int, exch_ns: int, number: int, message: Any) -> None:
        rows, last = self.rows, self.rows.number
        if self._numbered and rows.followed and last is not None:
            if number <= last:
                rows.report.depth_before_snapshot += 1
                return
            if number > last + 1:
                lost = number - last - 1
                rows.lose(recv_ns, lost, f"book updates {last + 1} to {number - 1} are missing")
        rows.change(recv_ns, exch_ns, number, message["data"]["b"], message["data"]["a"])

    def _trades(self, recv_ns: int | None, message: Any) -> None:
        trades = message["data"]
        if not trades:
            self.skip("publicTrade")
            return
        prints = [self._trade(trade) for trade in trades]
        self.rows.trades(self.stamp(recv_ns, stamp_ns(message["ts"])), prints)

    def _trade(self, trade: Any) -> Print:
        if ("L" in trade) is (self.symbol.market is MarketKind.SPOT):
            what = "a contract" if "L" in trade else "spot"
            raise InputError(
                f"{self.rows.place_name()}: the trades are of {what}, and {self.symbol.unified} is"
                f" {self.symbol.market.value}: give its --symbol as BASE/QUOTE for spot, BASE/QUOTE:SETTLE"
                " for a contract"
            )
        size = e8(trade["v"])
        if not size:
            raise ValueError("a trade of 0")
        key, side = str(trade["i"]), _SIDES[trade["S"]]
        return Print(stamp_ns(trade["T"]), key, self.rows.price(trade["p"]), size, side)


def _depth(message: Any) -> int:
    """How deep the book of a message is, 0 of another message."""
    kind, _, rest = str(message.get("topic", "")).partition(".")
    depth = rest.partition(".")[0]
    return int(depth) if kind == "orderbook" and depth.isascii() and depth.isdigit() else 0


def _numbered(messages: list[Any]) -> bool:
    """Whether the updates are numbered without holes, as far as these show."""
    numbers = [m["data"]["u"] for m in messages if isinstance(m.get("data"), dict) and "u" in m["data"]]
    steps = [b - a for a, b in itertools.pairwise(numbers) if isinstance(a, int) and isinstance(b, int)]
    return len(steps) >= FEWEST and sum(step == 1 for step in steps) >= NUMBERED * len(steps)
