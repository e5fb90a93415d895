"""The book stream of one instrument: LEVEL rows from consecutive ccxt books, and optional BBO rows.

ccxt conflates (25,000 diffs gave 49 wake-ups), so what is differenced are the books it shows. After
any interruption, also one that ccxt healed silently, the whole window is sent again between
SNAPSHOT_BEGIN and SNAPSHOT_END.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from agent.core.clock import Clock
from agent.core.market.late_rows import mark_late
from agent.core.market.tape import Flag, Kind
from connectors.ccxt_link import CcxtLink
from connectors.ccxt_types import CcxtBook, CcxtTicker, Level
from connectors.continuity.own_rate import OwnRate
from connectors.continuity.sane_levels import sane_levels
from connectors.continuity.sane_numbers import is_stamp
from connectors.continuity.stamp_watch import StampWatch
from connectors.normalise import BookDiffer, Scale, bbo_rows, mark_row
from connectors.supervisor import Outbox

CROSSED_MOST = 5
"""Books in a row, crossed or with levels that cannot be, before a fresh snapshot is asked for."""
SPARE_LEVELS = 16
CONFIRM_S = 0.3
"""A book that REST has and the stream has not brought may be on its way: so long."""
SAME_LEVELS = 5
"""A side, by which REST's book is told to be the stream's."""


@dataclass(slots=True)
class BookCounters:
    updates: int = 0
    snapshots: int = 0
    gaps: int = 0
    conflated: int = 0  # skipped because the reader was slow
    crossed: int = 0  # skipped because bid >= ask
    refused: int = 0  # levels that cannot be
    late: int = 0


class BookSource:
    """A ``StreamSource`` of LEVEL rows within ``depth`` levels a side."""

    name = "book"
    flag = Flag.BOOK

    def __init__(
        self, link: CcxtLink, symbol: str, scale: Scale, clock: Clock, depth: int, silent_s: float
    ) -> None:
        self.symbol, self.number = symbol, scale.number
        self.counters = BookCounters()
        self.differ, self._scale = BookDiffer(scale, depth), scale
        self.outbox: Outbox | None = None
        self.stamps: StampWatch | None = None
        self.rate = OwnRate(silent_s)
        self._link, self._clock, self._silent_s = link, clock, silent_s
        self._newest_ns = 0
        self._nonce: int | None = None
        self._connections = 0
        self._whole = False  # the tape's book is whole
        self._gap_open = False
        self._crossed_run = 0

    async def watch(self) -> CcxtBook:
        """Wait for the next book. Raises ConnectionError on one that cannot be true."""
        book = await self._link.exchange.watch_order_book(self.symbol, self._link.quirks.book_limit, {})
        if not book["bids"] and not book["asks"]:
            self.restart()  # ccxt would go on buffering diffs for this empty book for ever
            raise ConnectionError(f"empty order book of {self.symbol}")
        if self._crossed_run >= CROSSED_MOST:
            self._crossed_run = 0
            self.restart()
            raise ConnectionError(f"order book of {self.symbol} stays crossed, or holds what cannot be")
        return book

    def drain(self, got: object) -> int:
        """Put the book on the tape, if it is one and says something new. Returns 1 or 0."""
        if got is not None:
            book = cast("CcxtBook | None", got)
        else:
            book = (self._link.exchange.orderbooks or {}).get(self.symbol)
        nonce = None if book is None else book.get("nonce")
        if book is None or (got is None and (nonce is None or nonce == self._nonce)):
            return 0
        if self._connections != self._link.connections:
            self._whole = False
            if got is None:
                return 0  # between connections the old book may still be there
            self._connections = self._link.connections
        self._nonce = nonce
        self.rate.came(self._clock.now_ns())
        return self._put_book(book)

    def _put_book(self, book: CcxtBook) -> int:
        if self.outbox is None or (self._whole and self.outbox.crowded):
            self.counters.conflated += 1
            return 1
        (bids, bad_bids), (asks, bad_asks) = (self._sane(book[side]) for side in ("bids", "asks"))
        self.counters.refused += bad_bids + bad_asks
        if bids and asks and bids[0][0] >= asks[0][0]:
            self.counters.crossed += 1
            self._crossed_run += 1
            return 1
        self._crossed_run = self._crossed_run + 1 if bad_bids or bad_asks else 0
        exch_ns, ext_id = self._stamp_ns(book), book.get("nonce")
        rows = self.differ.update(
            bids,
            asks,
            exch_ns,
            ext_id if isinstance(ext_id, int) and 0 <= ext_id < 2**63 else 0,
            snapshot=not self._whole,
        )
        self._newest_ns, late = mark_late(rows, self._newest_ns)
        self.counters.late += int(late > 0)
        self.counters.updates += 1
        self.counters.snapshots += int(not self._whole)
        self._whole = True
        self.outbox.put(rows)
        if self._gap_open:
            self._gap_open = False
            self.outbox.put(mark_row(Kind.GAP_END, self.flag, self.number, self._clock.now_ns()))
        return 1

    def _sane(self, levels: Sequence[Level]) -> tuple[list[Level], int]:
        """A side's levels that can be, a few more than the tape holds; how many of them cannot."""
        return sane_levels(levels[: self.differ.depth + SPARE_LEVELS], self._scale)

    def _stamp_ns(self, book: CcxtBook) -> int:
        """The book's stamp on our clock. Without one that can be: half a round trip ago, or as old as what is
        read after a stall may be."""
        stamp_ms = book.get("timestamp")
        if stamp_ms is not None and is_stamp(stamp_ms):
            if self.stamps is not None:
                self.stamps.message(stamp_ms)
            if self.stamps is None or not self.stamps.too_late(stamp_ms):
                return self._link.on_our_clock_ns(stamp_ms)
        return min(self._just_now_ns(), self._link.stalls.sent_ns())

    def _just_now_ns(self) -> int:
        """When the exchange sent what it says now."""
        return self._clock.now_ns() - (self._link.clock.round_trip_ns or 0) // 2

    def broken(self) -> None:
        """The book on the tape goes stale from here until the next snapshot."""
        if self._whole and not self._gap_open and self.outbox is not None:
            self._gap_open = True
            self.counters.gaps += 1
            self.outbox.put(mark_row(Kind.GAP_BEGIN, self.flag, self.number, self._clock.now_ns()))
        self._whole = False

    def wait_s(self) -> float:
        """How long to wait for the next book before REST is asked whether it moves."""
        return self.rate.wait_s(doubtful=False)

    async def is_dead(self) -> bool:
        """By the stream's own rate it is dead if REST has another touch, now and a moment later.

        One that says nothing for the usual patience is dead unless REST has the same book: then that is how
        old it is.
        """
        if self._link.ban.left_s:
            return False  # nobody can be asked, and a new connection would ask: the book grows old
        if self.rate.silent_s(self._clock.now_ns()) >= 0.9 * self._silent_s or not self.rate.expected_s():
            return not await self._still_so()
        self.rate.looked()
        for _ in range(2):
            try:
                moved = await self._moves_at_rest()
            except Exception:
                return False  # asked again, and dead after so long
            if not moved or self.drain(None):
                return False
            await asyncio.sleep(CONFIRM_S)
        return not self.drain(None)

    async def _still_so(self) -> bool:
        """Whether REST has the book that the tape has; then the tape says that it is so now."""
        if not self._whole or self.outbox is None:
            return False
        try:
            said = await self._at_rest()
        except Exception:
            return False
        (bids, bad_bids), (asks, bad_asks) = (self._sane(said[side]) for side in ("bids", "asks"))
        if bad_bids or bad_asks or not self._whole or not self.differ.begins_with(bids, asks, SAME_LEVELS):
            return False
        self.rate.looked()
        rows = self.differ.restated(min(self._just_now_ns(), self._link.stalls.sent_ns()))
        self._newest_ns, _ = mark_late(rows, self._newest_ns)
        self.outbox.put(rows)
        return True

    async def _moves_at_rest(self) -> bool:
        """Whether REST has another touch than the stream."""
        said = await self._at_rest()
        known = (self._link.exchange.orderbooks or {}).get(self.symbol)
        return known is not None and any(
            list(said[side][0][:2]) != list(known[side][0][:2])
            for side in ("bids", "asks")
            if said[side] and known[side]
        )

    async def _at_rest(self) -> CcxtBook:
        """The best levels as REST has them. Raises anything."""
        levels = None if self._link.quirks.book_limit is None else SAME_LEVELS
        return await self._link.exchange.fetch_order_book(self.symbol, levels)

    def restart(self) -> None:
        self._link.restart(min(self._silent_s, max(0.5, self.rate.silent_s(self._clock.now_ns()))))


class BboSource:
    """A ``StreamSource`` of BBO rows: the touch, sooner than the book has it. It is never called stale."""

    name = "bbo"
    flag = Flag.BOOK

    def __init__(self, link: CcxtLink, symbol: str, scale: Scale, clock: Clock) -> None:
        self.symbol, self.number = symbol, scale.number
        self.outbox: Outbox | None = None
        self.updates = 0
        self._link, self._scale, self._clock = link, scale, clock

    async def watch(self) -> Mapping[str, CcxtTicker]:
        return await self._link.exchange.watch_bids_asks([self.symbol], {})

    def drain(self, got: object) -> int:
        """Put the touch on the tape. Binance does not stamp it: then it is as old as its arrival."""
        ticker = cast("Mapping[str, CcxtTicker]", got or {}).get(self.symbol)
        if ticker is None or self.outbox is None or self.outbox.crowded:
            return 0
        stamp_ms = ticker.get("timestamp")
        stamped = stamp_ms is not None and is_stamp(stamp_ms)
        exch_ns = self._link.on_our_clock_ns(stamp_ms or 0) if stamped else self._clock.now_ns()
        bid, ask = (ticker.get("bid"), ticker.get("bidVolume")), (ticker.get("ask"), ticker.get("askVolume"))
        known = [(price, size or 0.0) for price, size in (bid, ask) if price]
        if not sane_levels(known, self._scale)[1]:
            self.outbox.put(bbo_rows(ticker, self._scale, exch_ns))
        self.updates += 1
        return 1

    def broken(self) -> None:
        return None

    async def is_dead(self) -> bool:
        return False

    def restart(self) -> None:
        return None
