"""OKX's order book archives: ``instId, action, ts, asks, bids`` a line, each level price, size and orders.

Rules kept here:

* a line ``snapshot`` comes first and again every quarter of an hour; they anchor a book that goes on, so none
  is a gap, but one that begins a file later than ``JOINS_NS`` after the update before it;
* updates bear no ids: a loss inside an archive is not seen;
* sizes of contracts are contracts, whose size the files do not tell.
"""

from __future__ import annotations

from typing import Any

from connectors.importers.binance.binance_fields import stamp_ns
from connectors.importers.exchange_lines.line_reader import LineReader
from connectors.importers.symbols import MarketKind, Symbol

JOINS_NS = 60_000_000_000


def okx_name(symbol: Symbol) -> str:
    """BTC-USDT, BTC-USDT-SWAP, BTC-USDT-241227."""
    pair = f"{symbol.base}-{symbol.quote}"
    if symbol.market is MarketKind.SPOT:
        return pair
    return f"{pair}-{symbol.expiry or 'SWAP'}"


class OkxLines(LineReader):
    """Messages of one symbol."""

    exchange = "okx"

    def message(self, recv_ns: int | None, message: Any) -> None:
        name = str(message["instId"])
        if not self.is_ours(name):
            self.other(name)
            return
        stamp, rows = stamp_ns(int(message["ts"])), self.rows
        recv_ns, bids, asks = self.stamp(recv_ns, stamp), message["bids"], message["asks"]
        if message["action"] == "snapshot":
            lost = rows.begins_file and stamp - rows.book_ns > JOINS_NS
            rows.snapshot(recv_ns, stamp, stamp // 1_000_000, bids, asks, lost=lost)
        elif message["action"] == "update":
            rows.change(recv_ns, stamp, stamp // 1_000_000, bids, asks)
        else:
            raise ValueError(f"a book message with action {message['action']!r}")

    def names(self, name: str) -> bool:
        return name == okx_name(self.symbol)
