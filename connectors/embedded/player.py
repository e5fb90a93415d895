"""Plays a market's tape rows into the lanes when they are due.

Market time is mapped to the wall clock once, when playing starts; stamps follow the same map, so a
client sees an exchange whose clock agrees with its own. What is due is never dropped: a player that
falls behind catches up. ``max_lag_ns`` says how far behind it has been.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from agent.core.arrays import IntArray
from agent.core.clock import Clock
from agent.core.market.tape import EventArray, Flag, Kind, empty_events
from agent.core.types import NS_PER_MS, NS_PER_S
from connectors.embedded.market_source import MarketSource
from connectors.embedded.printed_trades import AGG, RAW, Rows, aggregate
from connectors.embedded.traded_symbol import Lane

_HOLD_BACK_NS = 100 * NS_PER_MS  # rows at a batch's end wait for the next, so that no aggregate is cut
_SLICE_ROWS = 5_000  # the loop breathes after so many rows, however late it is
_LAST, _TRADE, _LEVEL = int(Flag.LAST), int(Kind.TRADE), int(Kind.LEVEL)
_BEGIN, _END, _BBO = int(Kind.SNAPSHOT_BEGIN), int(Kind.SNAPSHOT_END), int(Kind.BBO)


@dataclass(frozen=True, slots=True)
class TimeMap:
    """Market time to wall time. The past keeps its own pace, whatever the speed."""

    market_ns: int
    wall_ns: int
    speed: float

    def wall(self, market_ns: IntArray) -> IntArray:
        since = market_ns - self.market_ns
        if self.speed != 1.0:
            since = np.where(since > 0, (since / self.speed).astype(np.int64), since)
        return since + self.wall_ns

    def market(self, wall_ns: int) -> int:
        """Market time at a moment of the wall clock: the inverse."""
        since = wall_ns - self.wall_ns
        return self.market_ns + (int(since * self.speed) if since > 0 and self.speed != 1.0 else since)


def _whole_ms(at_ns: int) -> int:
    """Trades of one millisecond are one aggregate: they are the same ones whenever the market began."""
    return at_ns // NS_PER_MS * NS_PER_MS


class Player:
    """Owns the lanes' progress through the market. ``clock`` is what the market's time is mapped to.

    ``began_ns``: when it began, on that clock. All that has been due since then is played at once.
    """

    def __init__(
        self,
        market: MarketSource,
        lanes: Mapping[int, Lane],
        speed: float,
        clock: Clock,
        began_ns: int | None = None,
    ) -> None:
        self.rows = self.trades = 0
        self.max_lag_ns = 0
        self.began_ns = began_ns
        self.follower: Callable[[EventArray], None] | None = None  # is given the rows that were played
        self.ended, self.caught_up = asyncio.Event(), asyncio.Event()
        self._market, self._lanes, self._speed, self._clock = market, lanes, speed, clock
        self._map = TimeMap(market.start_ns, began_ns or _whole_ms(clock.now_ns()), speed)
        self._next_raw = dict.fromkeys(lanes, 0)
        self._next_agg = dict.fromkeys(lanes, 0)
        self._batches: Iterator[EventArray] = iter(())
        self._first: EventArray | None = None

    def market_ns(self) -> int:
        """Market time now."""
        return self._map.market(self._clock.now_ns())

    def wall_ns(self, market_ns: int) -> int:
        """When something of the market is due."""
        return int(self._map.wall(np.array([market_ns], np.int64))[0])

    def open(self) -> None:
        """Load the past and the opening book of every lane: blocking, to be called on a thread."""
        past = self._market.past()
        for number, lane in self._lanes.items():
            raw = self._raw(past[past["instrument"] == number], number)
            lane.trades.raw.append(raw)
            lane.trades.aggregates.append(self._aggregate(raw, number))
        self._batches = self._market.batches()
        self._first = next(self._batches, None)
        if self._first is not None:
            self._open_books(self._first)

    def _open_books(self, rows: EventArray) -> None:
        """Install each symbol's first snapshot at once: a client's own snapshot must not be empty."""
        for number, lane in self._lanes.items():
            own = rows[(rows["instrument"] == number) & (rows["kind"] <= _END) & (rows["kind"] != _TRADE)]
            kinds = own["kind"]
            begin, end = np.flatnonzero(kinds == _BEGIN), np.flatnonzero(kinds == _END)
            if not len(begin) or not len(end):
                continue
            lane.begin_snapshot()
            for row in own[begin[0] + 1 : end[0]].tolist():
                lane.level(row[8], row[4], row[5])
            lane.end_snapshot()
            lane.end_update(int(own["ext_id"][end[0]]), int(self._map.wall_ns // NS_PER_MS))

    async def play(self) -> None:
        """Play to the end of the market, the next batch being made on a thread meanwhile."""
        self.began_ns = self.began_ns or _whole_ms(self._clock.now_ns())
        self._map = TimeMap(self._market.start_ns, self.began_ns, self._speed)
        try:
            await self._play_all()
        finally:
            self.caught_up.set()
        self.ended.set()

    async def _play_all(self) -> None:
        batch, held = self._first, empty_events()
        while batch is not None:
            coming = asyncio.create_task(asyncio.to_thread(next, self._batches, None))
            try:
                held = await self._play_batch(np.concatenate([held, batch]))
                batch = await coming
            finally:
                await asyncio.gather(coming, return_exceptions=True)
        await self._play_rows(held)

    async def _play_batch(self, rows: EventArray) -> EventArray:
        """Play all but the last moments of ``rows``, which are returned."""
        if not len(rows):
            return rows
        cut = int(np.searchsorted(rows["recv_ns"], rows["recv_ns"][-1] - _HOLD_BACK_NS))
        await self._play_rows(rows[:cut])
        return rows[cut:]

    async def _play_rows(self, rows: EventArray) -> None:
        if not len(rows):
            return
        due = self._map.wall(rows["recv_ns"])
        columns = _Columns(rows, self._map.wall(rows["exch_ns"]) // NS_PER_MS)
        trades = {number: self._lane_trades(rows, columns, number) for number in self._lanes}
        at = 0
        while at < len(rows):
            now = self._clock.now_ns()
            if due[at] > now:
                self.caught_up.set()
                await asyncio.sleep(max(0.001, (int(due[at]) - now) / NS_PER_S))
                continue
            self.max_lag_ns = max(self.max_lag_ns, now - int(due[at]))
            end = min(int(np.searchsorted(due, now, side="right")), at + _SLICE_ROWS)
            while end < len(rows) and not columns.flags[end - 1] & _LAST:
                end += 1
            for number, lane in self._lanes.items():
                trades[number].store(lane, end)
            self._slice(columns, at, end)
            if self.follower is not None:
                self.follower(rows[at:end])
            at = end
            await asyncio.sleep(0)

    def _slice(self, c: _Columns, at: int, end: int) -> None:
        lanes = self._lanes
        for i in range(at, end):
            lane = lanes.get(c.instrument[i])
            kind = c.kind[i]
            if lane is None:
                continue
            if kind == _TRADE:
                lane.trade(c.ids[i], c.ticks[i], c.lots[i], c.side[i], c.ms[i])
                agg = c.closes.get(i)
                if agg is not None:
                    lane.aggregate(agg)
                self.trades += 1
                continue
            if kind == _LEVEL:
                lane.level(c.side[i], c.ticks[i], c.lots[i])
            elif kind == _BBO:
                lane.quote(c.side[i], c.ticks[i], c.lots[i])
            elif kind == _BEGIN:
                lane.begin_snapshot()
            elif kind == _END:
                lane.end_snapshot()
            if c.flags[i] & _LAST:
                if kind == _BBO:
                    lane.end_quote(c.ids[i])
                else:
                    lane.end_update(c.ids[i], c.ms[i])
        self.rows += end - at

    # --- trades -----------------------------------------------------------------------------------

    def _raw(self, rows: EventArray, number: int) -> Rows:
        """Return the trades of one lane as ``RAW``; ids that do not rise are lifted above the last."""
        rows = rows[rows["kind"] == _TRADE]
        out = np.zeros(len(rows), RAW)
        if not len(rows):
            return out
        step = np.arange(len(rows))
        lifted = np.maximum.accumulate(np.maximum(rows["ext_id"] - step, self._next_raw[number])) + step
        self._next_raw[number] = int(lifted[-1]) + 1
        out["id"] = lifted
        out["ms"] = self._map.wall(rows["exch_ns"]) // NS_PER_MS
        out["ticks"], out["lots"], out["side"] = rows["price_ticks"], rows["qty_lots"], rows["side"]
        return out

    def _aggregate(self, raw: Rows, number: int) -> Rows:
        if not len(raw):
            return np.zeros(0, AGG)
        # A space of its own, far from the raw ids: mixing the two must be seen at once.
        start = self._next_agg[number] or int(raw["id"][0]) // 2 + 1
        out = aggregate(raw, start)
        self._next_agg[number] = start + len(out)
        return out

    def _lane_trades(self, rows: EventArray, columns: _Columns, number: int) -> _LaneTrades:
        at = np.flatnonzero((rows["instrument"] == number) & (rows["kind"] == _TRADE))
        raw = self._raw(rows[at], number)
        aggs = self._aggregate(raw, number)
        closing = at[np.searchsorted(raw["id"], aggs["last"])] if len(aggs) else at[:0]
        for row, trade_id in zip(at.tolist(), raw["id"].tolist(), strict=True):
            columns.ids[row] = trade_id
        columns.closes.update(zip(closing.tolist(), aggs.tolist(), strict=True))
        return _LaneTrades(at, raw, closing, aggs)


class _Columns:
    """Tape rows as plain lists: a Python loop reads them many times faster than arrays."""

    def __init__(self, rows: EventArray, ms: IntArray) -> None:
        self.ms: list[int] = ms.tolist()
        self.ids: list[int] = rows["ext_id"].tolist()
        self.ticks: list[int] = rows["price_ticks"].tolist()
        self.lots: list[int] = rows["qty_lots"].tolist()
        self.instrument: list[int] = rows["instrument"].tolist()
        self.kind: list[int] = rows["kind"].tolist()
        self.side: list[int] = rows["side"].tolist()
        self.flags: list[int] = rows["flags"].tolist()
        self.closes: dict[int, tuple[int, ...]] = {}  # row of an aggregate's last trade -> the aggregate


@dataclass(slots=True)
class _LaneTrades:
    """One lane's trades of a batch, and how many REST knows already."""

    at: IntArray  # rows of the trades
    raw: Rows
    closing: IntArray  # rows at which an aggregate is whole
    aggregates: Rows
    raw_done: int = 0
    aggregates_done: int = 0

    def store(self, lane: Lane, end: int) -> None:
        """Let REST know the trades of rows before ``end``."""
        raw, aggs = int(np.searchsorted(self.at, end)), int(np.searchsorted(self.closing, end))
        if raw > self.raw_done:
            lane.trades.raw.append(self.raw[self.raw_done : raw])
            self.raw_done = raw
        if aggs > self.aggregates_done:
            lane.trades.aggregates.append(self.aggregates[self.aggregates_done : aggs])
            self.aggregates_done = aggs
