"""Which trades of one stream are taken: those that can be read, each once, counted where they are refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from agent.core.arrays import BoolArray, IntArray
from agent.core.types import NS_PER_MS
from connectors.backfill import SAME_TRADE_MS, RangeCoverage, SeenIds, TradeLedger, Trades, refuse_raw_trade
from connectors.ccxt_types import UsableTrade
from connectors.continuity.id_jumps import NEAR, IdJumps, Released
from connectors.continuity.stand_in_ids import Telling, is_trade_number
from connectors.normalise import Scale, TradeBatch, fitting, trade_columns, trade_ids, usable


@dataclass(slots=True)
class TradeCounters:
    trades: int = 0
    gaps: int = 0
    backfilled: int = 0
    joined: int = 0  # fetched to join the history to the stream
    lost: int = 0
    late: int = 0
    off_tick: int = 0
    malformed: int = 0  # cannot be read: no trade was made of them
    impossible: int = 0  # at a price far from everything around it: marked
    odd_ids: int = 0  # refused under the id that they came with
    new_counts: int = 0  # times that the exchange started its ids again


class Admission:
    """Of one stream. ``gapless``: the exchange numbers its trades without gaps."""

    def __init__(self, scale: Scale, *, gapless: bool, aggregates: bool) -> None:
        self.gapless, self._scale = gapless, scale
        self.counters = TradeCounters()
        self.ledger, self.seen = TradeLedger(), SeenIds()
        self.jumps = IdJumps(self.ledger)
        self.coverage = RangeCoverage() if aggregates else None
        self.hashed = False
        self._telling = Telling()
        self._asked: tuple[list[UsableTrade], IntArray, bool] = ([], np.zeros(0, np.int64), False)

    @property
    def newest_ms(self) -> int:
        """The stamp of the newest trade taken."""
        return self.ledger.last_ms if self.gapless else self.seen.last_ms

    def another_telling(self) -> None:
        """The stream was interrupted: it may say again what it has said."""
        self._telling = Telling()

    def readable(self, trades: Trades) -> list[UsableTrade]:
        """The trades that can be read; the others are counted. Raises ExchangeError (mixed id spaces)."""
        whole = fitting(usable(trades), self._scale)
        self.counters.malformed += len(trades) - len(whole)
        if not self.gapless:
            return whole
        if self.coverage is not None:
            for trade in whole:
                refuse_raw_trade(trade)
        ids, hashed = self._ids_of(whole)
        if not hashed and not (ids < 0).any():
            return whole
        reading = self._scale.reading
        numbered = [t for t in whole if is_trade_number(reading.id_of(t))]
        self.counters.odd_ids += len(whole) - len(numbered)
        return numbered

    def _ids_of(self, trades: list[UsableTrade]) -> tuple[IntArray, bool]:
        """As ``trade_ids``; those of the last list are kept, for it is asked about more than once."""
        if self._asked[0] is not trades:
            self._asked = (trades, *trade_ids(trades, self._scale.reading))
        return self._asked[1:]

    def in_turn(self, trades: list[UsableTrade], near: int = NEAR) -> Iterator[Released]:
        """What of a readable batch may go on: whole, or cut where a new count begins."""
        if not self.gapless or not trades:
            yield Released(trades)
            return
        ids, _ = self._ids_of(trades)
        refused = self.jumps.refused
        if self.jumps.begin(ids):
            yield Released(trades)
        else:
            yield from self._one_by_one(ids.tolist(), trades, near)
        self.counters.odd_ids += self.jumps.refused - refused

    def _one_by_one(self, ids: list[int], trades: list[UsableTrade], near: int) -> Iterator[Released]:
        go: list[UsableTrade] = []
        for trade_id, trade in zip(ids, trades, strict=True):
            released = self.jumps.take(trade_id, trade, near)
            if released.new_count is not None:
                yield Released(go)
                go = []
                yield released
            else:
                go += released.trades
        yield Released(go)

    def admit(self, trades: Sequence[UsableTrade], repair: bool = False) -> tuple[TradeBatch, BoolArray]:
        """Decide by id which readable trades are new (or, in a repair, missing)."""
        columns = trade_columns(trades, self._scale, None if repair else self._telling)
        self.hashed |= columns.hashed
        stamps_ms = columns.stamp_ns // NS_PER_MS
        if not self.gapless:
            keep = self.seen.admit(columns.ids, stamps_ms)
        elif repair:
            keep = self.ledger.fill(columns.ids, stamps_ms)
        else:
            keep = self.ledger.admit(columns.ids, stamps_ms)
        if self.coverage is not None:
            kept = trades if keep.all() else [t for t, k in zip(trades, keep, strict=True) if k]
            self.coverage.add_aggregates(kept)
        return columns, keep

    def unheard(self, page: list[UsableTrade]) -> list[tuple[int, int]]:
        """(id, stamp in ms) of the trades of a page that the stream should have brought, and did not."""
        ids, _ = trade_ids(page, self._scale.reading)
        known = zip(ids.tolist(), (t["timestamp"] for t in page), strict=True)
        held = set(self.jumps.held)
        return [(i, ms) for i, ms in known if (i, ms) not in held and self._is_new(i, ms)]

    def newest_believed(self, unheard: list[tuple[int, int]]) -> tuple[int, int] | None:
        """The newest that is near the stream's place, or follows another: one odd id proves nothing."""
        ids, next_id = {trade_id for trade_id, _ in unheard}, self.ledger.next_id
        believed = (
            each for each in unheard if next_id is None or each[0] - next_id <= NEAR or each[0] - 1 in ids
        )
        return max(believed, default=None)

    def _is_new(self, trade_id: int, stamp_ms: int) -> bool:
        if not self.gapless:
            return stamp_ms > self.seen.last_ms and trade_id not in self.seen
        next_id = self.ledger.next_id
        return next_id is None or trade_id >= next_id or stamp_ms > self.ledger.last_ms + SAME_TRADE_MS
