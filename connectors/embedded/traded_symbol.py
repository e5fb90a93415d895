"""One symbol on the embedded exchange: its book, its trades, and the messages they make.

Continuity of the book is the exchange's own rule: each depth message covers the update ids ``U..u``,
``U`` being one above the last message's ``u``, and a snapshot names the ``u`` it stands at.
"""

from __future__ import annotations

import heapq
from decimal import Decimal

from agent.core.instrument import Instrument
from connectors.embedded.hub import Hub
from connectors.embedded.printed_trades import TradeStore

_SCALE = 100_000_000
_SLOW_MS = 1000  # the plain ``@depth`` stream

Levels = dict[int, int]
"""ticks -> lots of one side."""


class Decimals:
    """Integers of a unit (tick or lot) as the exchange's strings with eight decimals."""

    def __init__(self, unit: Decimal) -> None:
        self._e8 = int(unit.scaleb(8))

    def __call__(self, count: int) -> str:
        whole, part = divmod(count * self._e8, _SCALE)
        return f"{whole}.{part:08d}"


class Lane:
    """The live state of one symbol. ``ms`` arguments are stamps as the client is to see them."""

    def __init__(self, instrument: Instrument, hub: Hub) -> None:
        self.instrument = instrument
        self.name = f"{instrument.base}{instrument.quote}"
        self.status = "TRADING"  # or another word of the exchange's, "BREAK": then it takes no orders
        self.trades = TradeStore()
        self.bids: Levels = {}
        self.asks: Levels = {}
        self.update_id = 0
        self.best: dict[int, tuple[int, int]] = {}  # side -> (ticks, lots)
        self.price, self.quantity = Decimals(instrument.tick), Decimals(instrument.lot)
        self._hub = hub
        prefix = self.name.lower()
        self._trade, self._agg = f"{prefix}@trade", f"{prefix}@aggTrade"
        self._fast, self._slow, self._ticker = (
            f"{prefix}@depth@100ms",
            f"{prefix}@depth",
            f"{prefix}@bookTicker",
        )
        self._changed: dict[tuple[int, int], int] = {}  # (side, ticks) -> lots, of the update under way
        self._slow_changed: dict[tuple[int, int], int] = {}
        self._slow_first, self._slow_ms = 0, 0
        self._snapshot: tuple[Levels, Levels] | None = None
        self._quoted = False  # the market itself publishes the best bid and offer

    # --- trades -----------------------------------------------------------------------------------

    def trade(self, trade_id: int, ticks: int, lots: int, side: int, ms: int) -> None:
        if self._hub.wants(self._trade):
            self._hub.publish(
                self._trade,
                {
                    "e": "trade",
                    "E": ms,
                    "s": self.name,
                    "t": trade_id,
                    "p": self.price(ticks),
                    "q": self.quantity(lots),
                    "T": ms,
                    "m": side < 0,
                    "M": True,
                },
            )

    def aggregate(self, agg: tuple[int, ...]) -> None:
        """Publish one aggregate: (id, first, last, ms, ticks, lots, side)."""
        if self._hub.wants(self._agg):
            agg_id, first, last, ms, ticks, lots, side = agg
            self._hub.publish(
                self._agg,
                {
                    "e": "aggTrade",
                    "E": ms,
                    "s": self.name,
                    "a": agg_id,
                    "p": self.price(ticks),
                    "q": self.quantity(lots),
                    "f": first,
                    "l": last,
                    "T": ms,
                    "m": side < 0,
                    "M": True,
                },
            )

    # --- the book ---------------------------------------------------------------------------------

    def level(self, side: int, ticks: int, lots: int) -> None:
        """Set one level; part of an update that ``end_update`` closes."""
        if self._snapshot is not None:
            self._snapshot[0 if side > 0 else 1][ticks] = lots
        else:
            self._changed[side, ticks] = lots

    def begin_snapshot(self) -> None:
        self._snapshot = ({}, {})

    def end_snapshot(self) -> None:
        """Turn a fresh snapshot into the changes that lead to it."""
        if self._snapshot is None:
            return
        for side, now, then in ((1, self.bids, self._snapshot[0]), (-1, self.asks, self._snapshot[1])):
            self._changed |= {(side, ticks): 0 for ticks in now if ticks not in then}
            self._changed |= {(side, t): lots for t, lots in then.items() if now.get(t) != lots}
        self._snapshot = None

    def end_update(self, ext_id: int, ms: int) -> None:
        """Apply the changes since the last update, and publish them on the depth streams."""
        if not self._changed or self._snapshot is not None:
            return
        first = self.update_id + 1 if self.update_id else ext_id
        self.update_id = max(ext_id, first)
        for (side, ticks), lots in self._changed.items():
            levels = self.bids if side > 0 else self.asks
            if lots:
                levels[ticks] = lots
            else:
                levels.pop(ticks, None)
        if self._hub.wants(self._fast):
            self._hub.publish(self._fast, self._depth(self._changed, first, ms))
        self._publish_slowly(first, ms)
        self._changed = {}
        if not self._quoted and self._hub.wants(self._ticker):
            self._publish_own_best(self.update_id)

    def _publish_slowly(self, first: int, ms: int) -> None:
        self._slow_changed |= self._changed
        self._slow_first = self._slow_first or first
        if ms - self._slow_ms < _SLOW_MS:
            return
        if self._hub.wants(self._slow):
            self._hub.publish(self._slow, self._depth(self._slow_changed, self._slow_first, ms))
        self._slow_changed, self._slow_first, self._slow_ms = {}, 0, ms

    def _depth(self, changed: dict[tuple[int, int], int], first: int, ms: int) -> dict[str, object]:
        price, quantity = self.price, self.quantity
        return {
            "e": "depthUpdate",
            "E": ms,
            "s": self.name,
            "U": first,
            "u": self.update_id,
            "b": [[price(ticks), quantity(lots)] for (side, ticks), lots in changed.items() if side > 0],
            "a": [[price(ticks), quantity(lots)] for (side, ticks), lots in changed.items() if side < 0],
        }

    def top(self, limit: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return the best ``limit`` (ticks, lots) of bids and asks, best first."""
        bids = heapq.nlargest(limit, self.bids.items())
        return bids, heapq.nsmallest(limit, self.asks.items())

    # --- best bid and offer -----------------------------------------------------------------------

    def quote(self, side: int, ticks: int, lots: int) -> None:
        self.best[side] = (ticks, lots)
        self._quoted = True

    def end_quote(self, ext_id: int) -> None:
        if self._hub.wants(self._ticker) and len(self.best) == 2:
            self._publish_best(ext_id)

    def _publish_own_best(self, ext_id: int) -> None:
        if not (self.bids and self.asks):
            return
        bid, ask = max(self.bids), min(self.asks)
        best = {1: (bid, self.bids[bid]), -1: (ask, self.asks[ask])}
        if best != self.best:
            self.best = best
            self._publish_best(ext_id)

    def _publish_best(self, ext_id: int) -> None:
        (bid, bid_lots), (ask, ask_lots) = self.best[1], self.best[-1]
        self._hub.publish(
            self._ticker,
            {
                "u": ext_id,
                "s": self.name,
                "b": self.price(bid),
                "B": self.quantity(bid_lots),
                "a": self.price(ask),
                "A": self.quantity(ask_lots),
            },
        )
