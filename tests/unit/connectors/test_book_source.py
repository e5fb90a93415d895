"""The book stream of one instrument, fed by hand: which book reaches the tape, and when it is a snapshot."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agent.core.instrument import Instrument
from agent.core.market.tape import Kind
from agent.system_clock import SystemClock
from connectors.ccxt_books import CROSSED_MOST, BboSource, BookSource
from connectors.normalise import Scale
from connectors.supervisor import Outbox

BTC = Instrument(
    0, "test", "BTC/USDT", "BTC", "USDT", "USDT", Decimal("0.01"), Decimal("0.00001"), 1, Decimal(5)
)
SYMBOL = "BTC/USDT"
BEGIN, END = Kind.SNAPSHOT_BEGIN, Kind.SNAPSHOT_END


def book(nonce: int, bid: float = 100.0, ask: float = 101.0, size: float = 1.0) -> dict[str, Any]:
    stamp = 1_700_000_000_000 + nonce
    return {"bids": [[bid, size]], "asks": [[ask, size]], "nonce": nonce, "timestamp": stamp}


class Stand:
    """A source, ccxt's cache of the book, and what comes on the tape."""

    def __init__(self) -> None:
        self.cache: dict[str, Any] = {}
        self.link: Any = SimpleNamespace(
            exchange=SimpleNamespace(orderbooks=self.cache, watch_order_book=self._watched),
            connections=1,
            quirks=SimpleNamespace(book_limit=None),
            clock=SimpleNamespace(offset_ns=0, round_trip_ns=0),
            on_our_clock_ns=lambda ms: ms * 10**6,
            restart=self._restarted,
        )
        self.restarts = 0
        self.source = BookSource(self.link, SYMBOL, Scale.of(BTC), SystemClock(), 10, 5.0)
        self.source.outbox = self.outbox = Outbox()

    async def _watched(self, *_: Any) -> Any:
        return self.cache[SYMBOL]

    def _restarted(self, silent_s: float) -> None:
        self.restarts += 1

    def drain(self, got: Any = None) -> list[Kind]:
        if got is not None:
            self.cache[SYMBOL] = got
        self.source.drain(got)
        rows = []
        while self.outbox._batches:
            rows.append(self.outbox._batches.popleft())
        self.outbox.rows = 0
        return [Kind(kind) for kind in np.concatenate(rows)["kind"]] if rows else []


def test_only_what_is_new_is_put_on_the_tape() -> None:
    """The first book whole, then levels that changed; the same book again is nothing."""
    stand = Stand()
    assert stand.drain(book(1)) == [BEGIN, Kind.LEVEL, Kind.LEVEL, END]
    assert stand.drain() == []
    assert stand.drain(book(2, size=2.0)) == [Kind.LEVEL, Kind.LEVEL]
    assert stand.drain(book(3, size=3.0)) == [Kind.LEVEL, Kind.LEVEL]
    assert (stand.source.counters.updates, stand.source.counters.snapshots) == (3, 1)


def test_between_connections_the_old_book_is_not_believed() -> None:
    """What ccxt still holds of the old connection stays off the tape; the new one's book comes whole."""
    stand = Stand()
    stand.drain(book(1))
    stand.link.connections = 2
    stand.cache[SYMBOL] = book(5, size=3.0)
    assert stand.drain() == []
    stand.cache[SYMBOL] = book(6, size=4.0)
    assert stand.drain() == []
    assert stand.drain(book(7)) == [BEGIN, Kind.LEVEL, Kind.LEVEL, END]
    assert stand.drain(book(8, size=2.0)) == [Kind.LEVEL, Kind.LEVEL]


def test_an_interruption_is_a_gap_until_the_next_book() -> None:
    """It begins once, and ends after the snapshot."""
    stand = Stand()
    stand.drain(book(1))
    stand.source.broken()
    stand.source.broken()
    assert stand.drain() == [Kind.GAP_BEGIN]
    stand.link.connections = 2
    assert stand.drain(book(9)) == [BEGIN, Kind.LEVEL, Kind.LEVEL, END, Kind.GAP_END]
    assert stand.source.counters.gaps == 1


async def test_a_book_that_stays_crossed_is_fetched_anew() -> None:
    """A crossed book is skipped; after several the connection is dropped, and so it is for an empty one."""
    stand = Stand()
    for nonce in range(CROSSED_MOST):
        assert stand.drain(book(nonce + 1, bid=102.0)) == []
    with pytest.raises(ConnectionError, match="stays crossed"):
        await stand.source.watch()
    assert (stand.restarts, stand.source.counters.crossed) == (1, CROSSED_MOST)
    stand.cache[SYMBOL] = {"bids": [], "asks": []}
    with pytest.raises(ConnectionError, match="empty order book"):
        await stand.source.watch()
    assert stand.restarts == 2


def test_a_slow_reader_misses_books_and_no_change() -> None:
    """While the reader is behind, books are skipped; the next one holds all that changed meanwhile."""
    stand = Stand()
    stand.drain(book(1))
    stand.outbox.crowded_rows = 0
    assert stand.drain(book(2, size=5.0)) == []
    stand.outbox.crowded_rows = 100
    assert stand.drain(book(3, size=5.0, ask=101.5)) == [Kind.LEVEL] * 3
    assert stand.source.counters.conflated == 1


async def test_a_quiet_best_offer_is_not_called_dead() -> None:
    """The book's stream says whether the market is silent; the ticker's silence says nothing."""
    stand = Stand()
    source = BboSource(stand.link, SYMBOL, Scale.of(BTC), SystemClock())
    assert not await source.is_dead()
