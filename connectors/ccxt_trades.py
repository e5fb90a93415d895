"""The trade stream of one instrument: exactly once, gaps found and filled, nothing held back.

Live trades go out at once, also while a hole before them is being filled: what comes over REST later
is flagged BACKFILL, and LATE because it is. On the tape a gap is open from the row where it was
noticed until all its holes are filled or given up, so gaps of one stream never nest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from agent.core.arrays import BoolArray
from agent.core.clock import Clock
from agent.core.market.late_rows import mark_late
from agent.core.market.tape import EventArray, Flag, Kind
from agent.core.types import NS_PER_MS, NS_PER_S
from connectors.backfill import BackfillLimits, Hole, RangeCoverage, SeenIds, TradeLedger, Trades, fill_holes
from connectors.ccxt_link import CcxtLink
from connectors.ccxt_types import CcxtTrade, UsableTrade
from connectors.normalise import (
    Scale,
    TradeBatch,
    mark_row,
    trade_columns,
    trade_rows,
    usable,
)
from connectors.supervisor import Outbox

JOIN_MOST = 20_000
"""Trades between the end of the history and the first live one up to which that is no gap."""

_PAGES_BY_TIME = 50

BURST = 4
BURST_PAUSE_S = 0.01
"""After ``BURST`` trades at once the next look waits so long: a wake-up costs ccxt and us more than ten
trades do, and in a market that fast two milliseconds later still means in time."""


@dataclass(slots=True)
class TradeCounters:
    trades: int = 0
    gaps: int = 0
    backfilled: int = 0
    joined: int = 0  # fetched to join the history to the stream
    lost: int = 0
    late: int = 0
    off_tick: int = 0
    malformed: int = 0


class TradeSource:
    """A ``StreamSource`` of TRADE rows. ``gapless``: the exchange numbers its trades without gaps."""

    name = "trades"
    flag = Flag.TRADES

    def __init__(
        self,
        link: CcxtLink,
        symbol: str,
        scale: Scale,
        gapless: bool,
        clock: Clock,
        limits: BackfillLimits,
        silent_s: float,
    ) -> None:
        self.symbol, self.number, self.gapless = symbol, scale.number, gapless
        self.counters = TradeCounters()
        self.ledger, self.seen = TradeLedger(), SeenIds()
        self.coverage = RangeCoverage() if link.quirks.aggregates else None
        self.hashed = False
        self.outbox: Outbox | None = None
        self._link, self._scale, self._clock = link, scale, clock
        self._limits, self._silent_s = limits, silent_s
        self._newest_ns = 0
        self._connections = 0
        self._burst = False
        self._live = False  # a live trade has been seen
        self._gap_id: int | None = None  # first missing id of the gap open on the tape
        self._break_ms: int | None = None  # stamp of the last trade before an interruption
        self._repair: asyncio.Task[None] | None = None

    @property
    def joining(self) -> bool:
        """Whether trades between the history and the stream are still to come, as far as ids can tell."""
        seeded = self.gapless and self.ledger.next_id is not None
        return seeded and (not self._live or self._repair is not None)

    # --- the stream ---------------------------------------------------------------------------------

    async def watch(self) -> Sequence[CcxtTrade] | None:
        """Wait for trades. In a burst: pause, then return None if some have come meanwhile."""
        if self._burst:
            await asyncio.sleep(BURST_PAUSE_S)
            if (self._link.exchange.trades or {}).get(self.symbol):
                return None
        return await self._link.exchange.watch_trades(self.symbol, None, None, {})

    def drain(self, got: object) -> int:
        """Put what ccxt has cached on the tape. Returns how many trades that were.

        The cache is emptied, and not read by its count of what is new: that count forgets, and a full
        cache costs 1.7 kB a trade.
        """
        cache = (self._link.exchange.trades or {}).get(self.symbol)
        trades = list(cache) if cache is not None else list(cast("Trades", got) or [])
        if cache is not None:
            cache.clear()
        if self._connections != self._link.connections:
            self.broken()  # the old connection may have gone while nothing was watched
            self._connections = self._link.connections
        self._burst = len(trades) >= BURST or (self._burst and got is None and not trades)
        return self._ingest(trades) if trades else 0

    def broken(self) -> None:
        """Note an interruption: without gapless ids nothing else shows that trades are missing."""
        if not self.gapless and self._live and self._break_ms is None:
            self._break_ms = self.seen.last_ms
            self._open_gap(0)

    async def is_dead(self) -> bool:
        """Whether REST has trades that the stream did not bring."""
        try:
            page = usable(await self._link.trades(self.symbol))
        except Exception:
            return True
        if not page:
            return False
        columns = trade_columns(page[-1:], self._scale)
        known = int(columns.ids[0]) in self.seen
        if self.gapless:
            known = self.ledger.next_id is not None and int(columns.ids[0]) < self.ledger.next_id
        old_ns = self._clock.now_ns() + self._link.clock.offset_ns - int(columns.stamp_ns[0])
        return not known and old_ns > NS_PER_S

    def restart(self) -> None:
        self._link.restart(self._silent_s)

    def seed(self, trades: Trades) -> EventArray:
        """Take the warm-up's trades, oldest first: what is streamed later joins them, without repeats."""
        columns, keep = self._admit(trades)
        rows = trade_rows(columns, self.number, self._link.clock.offset_ns, Flag.HISTORY)[keep]
        self._newest_ns, _ = mark_late(rows, self._newest_ns)
        return rows

    def _admit(self, trades: Trades, repair: bool = False) -> tuple[TradeBatch, BoolArray]:
        """Decide by id which usable trades are new (or, in a repair, missing)."""
        whole = usable(trades)
        self.counters.malformed += len(trades) - len(whole)
        columns = trade_columns(whole, self._scale)
        self.hashed |= columns.hashed
        stamps_ms = columns.stamp_ns // NS_PER_MS
        if not self.gapless:
            keep = self.seen.admit(columns.ids, stamps_ms)
        elif repair:
            keep = self.ledger.fill(columns.ids, stamps_ms)
        else:
            keep = self.ledger.admit(columns.ids, stamps_ms)
        if self.coverage is not None:
            kept = whole if keep.all() else [t for t, k in zip(whole, keep, strict=True) if k]
            self.coverage.add_aggregates(kept)
        return columns, keep

    def _ingest(self, trades: Trades) -> int:
        before = self.ledger.next_id
        columns, keep = self._admit(trades)
        self.counters.off_tick += columns.off_tick
        rows = trade_rows(columns, self.number, self._link.clock.offset_ns)
        rows = rows if keep.all() else rows[keep]
        first = not self._live
        self._live = self._live or len(rows) > 0
        if self.gapless and self.ledger.holes and self._repair is None:
            self._begin_repair(rows, join=first)
        else:
            if before is not None and any(hole.lo >= before for hole in self.ledger.holes):
                self._open_gap(before)  # met while another repair runs: that one fills it too
            self._emit(rows)
        if self._break_ms is not None and self._repair is None and len(rows):
            self._repair = asyncio.ensure_future(self._repair_by_time())
        return len(trades)

    def _begin_repair(self, rows: EventArray, join: bool) -> None:
        """Mark the gap between the rows around it, and start filling it."""
        holes = self.ledger.holes
        quiet = join and sum(hole.hi - hole.lo for hole in holes) <= JOIN_MOST
        at = next(iter(np.flatnonzero(rows["ext_id"] == holes[0].hi).tolist()), 0)
        self._emit(rows[:at])
        if not quiet:
            self._open_gap(holes[0].lo)
        self._emit(rows[at:])
        self._repair = asyncio.ensure_future(self._repair_by_id(quiet))

    def _emit(self, rows: EventArray) -> None:
        self._newest_ns, late = mark_late(rows, self._newest_ns)
        self.counters.late += late
        self.counters.trades += len(rows)
        self._put(rows)

    def _put(self, rows: EventArray) -> None:
        if self.outbox is not None:
            self.outbox.put(rows)

    # --- gaps ---------------------------------------------------------------------------------------

    def _open_gap(self, first_id: int) -> None:
        if self._gap_id is None:
            self._gap_id = first_id
            self.counters.gaps += 1
            self._put(mark_row(Kind.GAP_BEGIN, self.flag, self.number, self._clock.now_ns(), first_id))

    def _close_gap(self, lost: int) -> None:
        self.counters.lost += lost
        if self._gap_id is not None:
            now_ns = self._clock.now_ns()
            self._put(mark_row(Kind.GAP_END, self.flag, self.number, now_ns, self._gap_id, lost))
            self._gap_id = None

    def _emit_repair(self, trades: Trades) -> int:
        columns, keep = self._admit(trades, repair=True)
        rows = trade_rows(columns, self.number, self._link.clock.offset_ns, Flag.BACKFILL)[keep]
        self._emit(rows)
        return len(rows)

    async def _repair_by_id(self, quiet: bool) -> None:
        async def fetch(hole: Hole) -> Trades:
            return await self._link.trades(self.symbol, from_id=hole.lo, since_ms=hole.since_ms)

        with _reporting(self):
            filled, lost = await fill_holes(self.ledger, fetch, self._emit_repair, self._limits)
            if quiet:
                self.counters.joined += filled
            else:
                self.counters.backfilled += filled
            if quiet and lost:
                self._open_gap(0)  # what should have joined did not: that is a gap after all
            self._repair = None
            self._close_gap(lost)

    async def _repair_by_time(self) -> None:
        with _reporting(self):
            proven, break_ms = False, self._break_ms or 0
            since_ms, attempt = break_ms, 0
            self._break_ms = None
            for _ in range(_PAGES_BY_TIME):
                page = await self._page_by_time(since_ms)
                proven = proven or self._overlaps(page, break_ms)
                filled = self._emit_repair(page)
                self.counters.backfilled += filled
                attempt = 0 if page else attempt + 1
                if (page and not filled) or attempt >= self._limits.attempts:
                    break
                since_ms = max(since_ms, *(t["timestamp"] for t in page)) if page else since_ms
                await asyncio.sleep(0 if page else self._limits.first_wait_s * 2**attempt)
            self._repair = None
            self._close_gap(0 if proven else 1)  # how many cannot be known: at least one

    async def _page_by_time(self, since_ms: int) -> list[UsableTrade]:
        try:
            return usable(await self._link.trades(self.symbol, since_ms=since_ms))
        except Exception:
            return []

    def _overlaps(self, page: Sequence[UsableTrade], break_ms: int) -> bool:
        """True when the page holds a trade seen up to the break: nothing lies between."""
        before = [t for t in page if t["timestamp"] <= break_ms]
        return bool(before) and any(int(i) in self.seen for i in trade_columns(before, self._scale).ids)

    async def stop(self) -> None:
        """Cancel a repair under way; the gap it was filling stays open on the tape."""
        if self._repair is not None:
            self._repair.cancel()
            await asyncio.gather(self._repair, return_exceptions=True)


class _reporting:  # noqa: N801  (reads as a statement)
    """Hands an error of a repair to the reader of the feed: the task itself is not awaited."""

    def __init__(self, source: TradeSource) -> None:
        self._source = source

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and self._source.outbox is not None:
            self._source.outbox.fail(error)
