"""The trade stream of one instrument: exactly once, gaps found and filled, nothing held back.

Live trades go out at once, also while a hole before them is being filled: what comes over REST later
is flagged BACKFILL, and LATE because it is. On the tape a gap is open from the row where it was
noticed until all its holes are filled or given up, so gaps of one stream never nest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import numpy as np

from agent.core.clock import Clock
from agent.core.errors import ExchangeError
from agent.core.market.late_rows import mark_late
from agent.core.market.tape import EventArray, Flag, Kind, TradesBefore
from agent.core.types import NS_PER_MS
from connectors.backfill import BackfillLimits, Hole, Trades, fill_holes
from connectors.ccxt_link import CcxtLink
from connectors.ccxt_types import CcxtTrade, UsableTrade
from connectors.continuity.admission import Admission, TradeCounters
from connectors.continuity.id_jumps import HOLE_MOST, NEAR
from connectors.continuity.impossible_prices import PriceJudge, Touch
from connectors.continuity.own_rate import OwnRate
from connectors.continuity.sane_numbers import COUNT_MOST, is_size, is_time
from connectors.continuity.stamp_order import StampOrder
from connectors.continuity.stamp_watch import StampWatch
from connectors.normalise import Scale, TradeBatch, mark_row, trade_columns, trade_ids, trade_rows, usable
from connectors.supervisor import Outbox

__all__ = ["TradeCounters", "TradeSource"]

RATE_ROWS = 1000
"""Of the end of a tape that goes on: the pace that the stream had."""
JOIN_MOST = 20_000
"""Trades between the end of the history and the first live one up to which that is no gap."""

_PAGES_BY_TIME = 50
CONFIRM_S = 0.3
"""What REST has and the stream has not brought may be on its way: so long."""

BURST = 4
BURST_PAUSE_S = 0.01
"""After ``BURST`` trades at once the next look waits so long: a wake-up costs ccxt and us more than ten
trades do, and in a market that fast two milliseconds later still means in time."""


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
        self.admission = Admission(scale, gapless=gapless, aggregates=link.quirks.aggregates)
        self.counters, self.coverage = self.admission.counters, self.admission.coverage
        self.ledger, self.seen = self.admission.ledger, self.admission.seen
        self.rate, self.prices = OwnRate(silent_s), PriceJudge()
        self.outbox: Outbox | None = None
        self.stamps: StampWatch | None = None
        self.order = StampOrder(by_id=gapless)
        self._link, self._scale, self._clock = link, scale, clock
        self._limits, self._silent_s = limits, silent_s
        self._newest_ns = 0
        self._connections = 0
        self._burst = False
        self._live = False  # a live trade has been seen
        self._gap_id: int | None = None  # first missing id of the gap open on the tape
        self._break_ms: int | None = None  # stamp of the last trade before an interruption
        self._repair: asyncio.Task[None] | None = None
        self._settling: asyncio.Task[None] | None = None
        self._touch_looked: object = None
        self.went_on = False  # the tape goes on: what was missed meanwhile is fetched
        self._catching_up = False
        self._first_look_ms: int | None = None  # stamp of REST's newest trade before any was streamed

    @property
    def hashed(self) -> bool:
        """Whether some ids were no numbers."""
        return self.admission.hashed

    @property
    def joining(self) -> bool:
        """Whether trades between the history and the stream are still to come, as far as ids can tell."""
        if self.went_on:
            return self._catching_up or self._repair is not None
        seeded = self.gapless and self.ledger.next_id is not None
        return seeded and (not self._live or self._repair is not None)

    # --- the stream ---------------------------------------------------------------------------------

    async def watch(self) -> Sequence[CcxtTrade] | None:
        """Wait for trades. In a burst: pause, then return None if some have come meanwhile."""
        self.rate.last_ns = self.rate.last_ns or self._clock.now_ns()
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
            self.admission.another_telling()
            self.order.another_telling()
            self._connections = self._link.connections
        self._burst = len(trades) >= BURST or (self._burst and got is None and not trades)
        if trades:
            self.rate.came(self._clock.now_ns())
            self._ingest(self._in_time(trades))
        return len(trades)

    def _in_time(self, trades: Trades) -> list[CcxtTrade]:
        """The trades whose stamps can be; the others wait until the clock, or more trades, tell."""
        if self.stamps is None:
            return list(trades)
        known = [t["timestamp"] or 0 for t in trades if is_time(t["timestamp"])]
        if known:
            self.stamps.message(max(known))
        return self._counted(self.order.take(trades, self.stamps.too_late))

    def clock_looked(self, *, stepped: bool) -> None:
        """The exchange's clock has been looked at: what still cannot be is wrong."""
        if self.stamps is not None:
            waited = self._counted(self.order.looked(self.stamps.too_late, stepped=stepped))
            if waited:
                self._ingest(waited)

    def _counted(self, trades: list[CcxtTrade]) -> list[CcxtTrade]:
        self.counters.malformed += self.order.refused
        self.order.refused = 0
        return trades

    def broken(self) -> None:
        """Note an interruption: without gapless ids nothing else shows that trades are missing."""
        if not self.gapless and self._live and self._break_ms is None:
            self._break_ms = self.seen.last_ms
            self._open_gap(0)

    def wait_s(self) -> float:
        """How long to wait for the next trades before REST is asked; sooner where the book moves."""
        return self.rate.wait_s(doubtful=self._touch() != self._touch_looked)

    def _touch(self) -> tuple[float, float] | None:
        """The best bid and ask that ccxt has, to see whether the book moves."""
        book = (getattr(self._link.exchange, "orderbooks", None) or {}).get(self.symbol)
        return (book["bids"][0][0], book["asks"][0][0]) if book and book["bids"] and book["asks"] else None

    async def is_dead(self) -> bool:
        """Whether REST has trades that the stream does not bring; those are then fetched."""
        self.rate.looked()
        self._touch_looked = self._touch()
        try:
            page = self.admission.readable(await self._link.trades(self.symbol))
        except Exception:
            return self.rate.surely_dead(self._clock.now_ns())
        if not self._unheard(page):
            return False
        await asyncio.sleep(CONFIRM_S)
        self.drain(None)
        unheard = self._unheard(page)
        if not self.gapless:
            return bool(unheard)
        newest = self.admission.newest_believed(unheard)
        if newest is not None:
            self._miss_up_to(*newest)
        return newest is not None

    def _unheard(self, page: list[UsableTrade]) -> list[tuple[int, int]]:
        """Before the stream has said anything, what came after the first look at REST."""
        unheard = self.admission.unheard(page)
        if self.admission.newest_ms:
            return unheard
        if self._first_look_ms is None:
            self._first_look_ms = max((t["timestamp"] for t in page), default=0)
        return [(trade_id, ms) for trade_id, ms in unheard if ms > self._first_look_ms]

    def _miss_up_to(self, trade_id: int, stamp_ms: int) -> None:
        """Fetch what the stream has not brought, up to a trade that REST knows."""
        if self.ledger.miss_up_to(trade_id, stamp_ms, HOLE_MOST):
            self._open_gap(self.ledger.holes[-1].lo)
            self._begin_repair(join=False)

    def restart(self) -> None:
        self.rate.lost()
        self._link.restart(min(self._silent_s, max(0.5, self.rate.silent_s(self._clock.now_ns()))))

    def seed(self, trades: Trades) -> EventArray:
        """Take the warm-up's trades, oldest first: what is streamed later joins them, without repeats."""
        readable, near = self.admission.readable(trades), JOIN_MOST
        told = [t for released in self.admission.in_turn(readable, near) for t in released.trades]
        columns, keep = self.admission.admit(told)  # an id that is wild is not among them
        rows = self._rows(columns, Flag.HISTORY)[keep]
        self._newest_ns, _ = mark_late(rows, self._newest_ns)
        self.rate.seed(rows["exch_ns"].tolist())
        return rows

    def go_on(self, before: TradesBefore) -> None:
        """Continue a tape: nothing that is on it is told again, and what is missing at its end is fetched."""
        rows, ms = before.rows, (before.rows["exch_ns"] + self._link.clock.offset_ns) // NS_PER_MS
        if not len(rows):
            return
        if self.gapless:
            self.ledger.go_on(rows["ext_id"], ms, before.gap_id)
        else:
            self.seen.admit(rows["ext_id"], ms)
        self._gap_id = before.gap_id
        self._newest_ns = int(rows["exch_ns"].max())
        self.rate.seed(rows["exch_ns"][-RATE_ROWS:].tolist())
        self._live = self.went_on = self._catching_up = True

    async def catch_up(self) -> None:
        """Ask REST how far the market has come since the tape ended, and fetch what lies between.

        Where it does not answer in time, the stream's first trades tell.
        """
        with _reporting(self):
            if self.gapless:
                newest = self.admission.newest_believed(self.admission.unheard(await self._latest_page()))
                if newest is not None:
                    self._miss_up_to(*newest)
                if self.ledger.holes:
                    self._begin_repair(join=False)
            elif self._break_ms is None and self._repair is None:
                self.broken()
                self._repair = asyncio.ensure_future(self._repair_by_time())
            self._catching_up = False

    async def _latest_page(self) -> list[UsableTrade]:
        """REST's newest trades; none where it has not answered by the deadline of a hole."""
        loop, attempt = asyncio.get_running_loop(), 0
        deadline_s = loop.time() + self._limits.deadline_s
        while loop.time() < deadline_s:
            deadline_s += await self._link.ban.over()
            try:
                return self.admission.readable(await self._link.trades(self.symbol))
            except ExchangeError:
                raise
            except Exception:
                attempt += 1
                await asyncio.sleep(self._limits.wait_s(attempt))
        return []

    def _ingest(self, trades: Trades) -> None:
        near = NEAR if self._live else JOIN_MOST
        for released in self.admission.in_turn(self.admission.readable(trades), near):
            if released.new_count is not None:
                self._count_anew(released.new_count)
            if released.trades:
                self._take_in(released.trades)
        if self.admission.jumps.held and self._settling is None:
            self._settling = asyncio.ensure_future(self._settle())

    def _take_in(self, trades: list[UsableTrade]) -> None:
        before = self.ledger.next_id
        columns, keep = self.admission.admit(trades)
        self.counters.off_tick += columns.off_tick
        rows = self._rows(columns)
        rows = rows if keep.all() else rows[keep]
        first = not self._live
        self._live = self._live or len(rows) > 0
        if self.gapless and self.ledger.holes and self._repair is None:
            self._meet_hole(rows, join=first)
        else:
            if before is not None and any(hole.lo >= before for hole in self.ledger.holes):
                self._open_gap(before)  # met while another repair runs: that one fills it too
            self._emit(rows)
        if self._break_ms is not None and self._repair is None and len(rows):
            self._repair = asyncio.ensure_future(self._repair_by_time())

    def _meet_hole(self, rows: EventArray, join: bool) -> None:
        """Mark the gap between the rows around it, and start filling it."""
        holes = self.ledger.holes
        quiet = join and sum(hole.hi - hole.lo for hole in holes) <= JOIN_MOST
        at = next(iter(np.flatnonzero(rows["ext_id"] == holes[0].hi).tolist()), 0)
        self._emit(rows[:at])
        if not quiet:
            self._open_gap(holes[0].lo)
        self._emit(rows[at:])
        self._begin_repair(quiet)

    def _begin_repair(self, join: bool) -> None:
        if self._repair is None:
            self._repair = asyncio.ensure_future(self._repair_by_id(join))

    def _rows(self, columns: TradeBatch, flags: int = 0) -> EventArray:
        """Tape rows of trades, those at an impossible price marked."""
        rows = trade_rows(columns, self.number, self._link.clock.offset_ns, flags)
        impossible = self.prices.impossible(columns.ticks, self._touch_ticks())
        if impossible.any():
            rows["flags"][impossible] |= np.uint32(Flag.IMPOSSIBLE)
        return rows

    def _touch_ticks(self) -> Touch:
        touch = self._touch()
        tick = float(self._scale.tick.size)
        if touch is None or not all(is_size(price) and price < COUNT_MOST * tick for price in touch):
            return None
        return round(touch[0] / tick), round(touch[1] / tick)

    def _emit(self, rows: EventArray) -> None:
        self._newest_ns, late = mark_late(rows, self._newest_ns)
        self.counters.late += late
        self.counters.trades += len(rows)
        self.counters.impossible += int(np.count_nonzero(rows["flags"] & np.uint32(Flag.IMPOSSIBLE)))
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
        if self._break_ms is not None:  # interrupted again meanwhile: that gap is still to be filled
            self._open_gap(0)

    def _emit_repair(self, trades: Trades) -> int:
        columns, keep = self.admission.admit(self.admission.readable(trades), repair=True)
        rows = self._rows(columns, Flag.BACKFILL)[keep]
        self._emit(rows)
        return len(rows)

    async def _repair_by_id(self, quiet: bool) -> None:
        with _reporting(self):
            await self._fill(quiet)
            self._repair = None

    async def _fill(self, quiet: bool) -> None:
        async def fetch(hole: Hole) -> Trades:
            hole.met_s = (hole.met_s or 0.0) + await self._link.ban.over()
            return await self._link.trades(self.symbol, from_id=hole.lo, since_ms=hole.since_ms)

        filled, lost = await fill_holes(self.ledger, fetch, self._emit_repair, self._limits)
        if quiet:
            self.counters.joined += filled
        else:
            self.counters.backfilled += filled
            self._live = True  # what is missed from here on is no joining of the history any more
        if quiet and lost:
            self._open_gap(0)  # what should have joined did not: that is a gap after all
        self._close_gap(lost)

    async def _repair_by_time(self) -> None:
        with _reporting(self):
            proven, break_ms = False, self._break_ms or 0
            since_ms, empty = break_ms, 0
            deadline_s = asyncio.get_running_loop().time() + self._limits.deadline_s
            self._break_ms = None
            for _ in range(_PAGES_BY_TIME):
                deadline_s += await self._link.ban.over()
                page = await self._page_by_time(since_ms)
                proven = proven or self._overlaps(page, break_ms)
                filled = self._emit_repair(page)
                self.counters.backfilled += filled
                empty = 0 if page else empty + 1
                if (page and not filled) or asyncio.get_running_loop().time() >= deadline_s:
                    break
                since_ms = max(since_ms, *(t["timestamp"] for t in page)) if page else since_ms
                await asyncio.sleep(0 if page else self._limits.wait_s(empty))
            self._repair = None
            self._close_gap(0 if proven else 1)  # how many cannot be known: at least one

    # --- ids that do not go on ----------------------------------------------------------------------

    async def _settle(self) -> None:
        """Ask REST whether held ids are real, where the stream itself does not show it."""
        with _reporting(self):
            jumps, attempt = self.admission.jumps, 0
            deadline_s = asyncio.get_running_loop().time() + self._limits.deadline_s
            while jumps.held and asyncio.get_running_loop().time() < deadline_s:
                attempt += 1
                await asyncio.sleep(self._limits.wait_s(attempt))
                page = await self._latest()
                if jumps.held and page:
                    self._judge(set(page))
            self.counters.odd_ids += len(jumps.held)
            jumps.refuse()
            self._settling = None

    def _judge(self, known: set[tuple[int, int]]) -> None:
        """``known``: (id, stamp in ms) of REST's newest trades."""
        jumps = self.admission.jumps
        if not known & set(jumps.held):
            self.counters.odd_ids += len(jumps.held)
            jumps.refuse()
            return
        released = jumps.release()
        if released.new_count is not None:
            self._count_anew(released.new_count)
        self._take_in(released.trades)

    def _count_anew(self, first_id: int) -> None:
        """The exchange started its ids again: what came before the first id seen is fetched."""
        self.counters.new_counts += 1
        newest_ms, old = self.ledger.last_ms, self._repair
        self._open_gap(first_id)
        self.counters.lost += self.ledger.restart(first_id)
        self._repair = asyncio.ensure_future(self._repair_new_count(first_id, newest_ms, old))

    async def _repair_new_count(self, first_id: int, newest_ms: int, old: asyncio.Task[None] | None) -> None:
        with _reporting(self):
            if old is not None:
                old.cancel()
                await asyncio.gather(old, return_exceptions=True)
            lo = await self._beginning(first_id, newest_ms)
            if lo < first_id:
                self.ledger.holes.insert(0, Hole(lo, first_id, newest_ms))
            await self._fill(quiet=False)
            self._repair = None

    async def _beginning(self, first_id: int, newest_ms: int) -> int:
        """The first id of the new count that came after the newest trade of the old one, as REST has it."""
        deadline_s = asyncio.get_running_loop().time() + self._limits.deadline_s
        lo, attempt = first_id, 0
        while asyncio.get_running_loop().time() < deadline_s:
            attempt += 1
            page = await self._latest(None if lo == first_id else max(0, lo - 1000))
            earlier = [(i, ms) for i, ms in page if i < lo and i > first_id - HOLE_MOST]
            newer = [i for i, ms in earlier if ms >= newest_ms]
            lo = min(newer, default=lo)
            if page and (len(newer) < len(earlier) or not earlier or not self._link.quirks.aggregates):
                return lo
            await asyncio.sleep(0 if page else self._limits.wait_s(attempt))
        return lo

    async def _latest(self, from_id: int | None = None) -> list[tuple[int, int]]:
        """(id, stamp in ms) of REST's newest trades, or from an id on; none where it does not answer."""
        try:
            page = usable(await self._link.trades(self.symbol, from_id=from_id))
        except Exception:
            return []
        ids, _ = trade_ids(page, self._scale.reading)
        return list(zip(ids.tolist(), (t["timestamp"] for t in page), strict=True))

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
        tasks = [task for task in (self._repair, self._settling) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _reporting:  # noqa: N801  (reads as a statement)
    """Hands an error of a repair to the reader of the feed: the task itself is not awaited."""

    def __init__(self, source: TradeSource) -> None:
        self._source = source

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and self._source.outbox is not None:
            self._source.outbox.fail(error)
