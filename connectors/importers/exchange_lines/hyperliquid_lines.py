"""Hyperliquid's messages as hftbacktest's collector keeps them: ``l2Book`` and ``trades``.

Rules kept here:

* ``l2Book`` is the best levels whole, each message a snapshot; the market sends nothing else of its book, so
  none of them is a gap, and a lost connection is not seen in it;
* a trade's side is the taker's: ``B`` bought, ``A`` sold. ``tid`` tells trades apart; it does not count them;
* a perpetual is called as its coin, spot by its pair (PURR/USDC). Sizes are in the coin.
"""

from __future__ import annotations

from typing import Any

from connectors.importers.binance.binance_fields import stamp_ns
from connectors.importers.decimals import e8
from connectors.importers.exchange_lines.book_rows import Print
from connectors.importers.exchange_lines.line_reader import LineReader
from connectors.importers.symbols import MarketKind

_SIDES = {"B": 1, "A": -1}


class HyperliquidLines(LineReader):
    """Messages of one symbol."""

    exchange = "hyperliquid"

    def message(self, recv_ns: int | None, message: Any) -> None:
        channel, data = message["channel"], message.get("data")
        if channel == "trades" and data:
            self._trades(recv_ns, data)
        elif channel != "l2Book":
            self.skip(str(channel))
        elif not self.is_ours(str(data["coin"])):
            self.other(str(data["coin"]))
        else:
            stamp = stamp_ns(data["time"])
            bids, asks = ([[level["px"], level["sz"]] for level in side] for side in data["levels"])
            recv_ns = self.stamp(recv_ns, stamp)
            self.rows.snapshot(recv_ns, stamp, stamp // 1_000_000, bids, asks, lost=False)

    def names(self, name: str) -> bool:
        if self.symbol.market is MarketKind.SPOT:
            return name == f"{self.symbol.base}/{self.symbol.quote}"
        of_dollars = self.symbol.quote in ("USDC", "USD") and self.symbol.market is MarketKind.LINEAR
        return of_dollars and name.upper() == self.symbol.base

    def _trades(self, recv_ns: int | None, data: Any) -> None:
        coins = {str(trade["coin"]) for trade in data}
        if len(coins) > 1:
            raise ValueError(f"trades of {len(coins)} coins in one line")
        coin = coins.pop()
        if not self.is_ours(coin):
            self.other(coin)
            return
        prints = [self._trade(trade) for trade in data]
        self.rows.trades(self.stamp(recv_ns, max(one.exch_ns for one in prints)), prints)

    def _trade(self, trade: Any) -> Print:
        size = e8(trade["sz"])
        if not size:
            raise ValueError("a trade of 0")
        price, side = self.rows.price(trade["px"]), _SIDES[trade["side"]]
        return Print(stamp_ns(trade["time"]), str(trade["tid"]), price, size, side)
