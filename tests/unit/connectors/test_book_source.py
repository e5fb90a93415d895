"""The book stream of one instrument, fed by hand: which book reaches the tape, and when it is a snapshot."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agent.core.instrument import Instrument
from agent.core.market.tape import EventArray, Flag, Kind, empty_events
from agent.core.types import NS_PER_MS, NS_PER_S
from agent.system_clock import SystemClock
from connectors import ccxt_books
from connectors.access.ban import Ban
from connectors.ccxt_books import CROSSED_MOST, BboSource, BookSource
from connectors.clock_offset import ClockOffset
from connectors.continuity.stalls import Stalls
from connectors.continuity.stamp_watch import StampWatch
from connectors.normalise import Scale
from connectors.supervisor import Outbox
from tests.unit.connectors.test_stamps import NOW_MS, Hand

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
        self.clock = Hand()
        self.at_rest: dict[str, Any] = {}
        self.link: Any = SimpleNamespace(
            exchange=SimpleNamespace(
                orderbooks=self.cache, watch_order_book=self._watched, fetch_order_book=self._fetched
            ),
            connections=1,
            quirks=SimpleNamespace(book_limit=None),
            clock=SimpleNamespace(offset_ns=0, round_trip_ns=0),
            on_our_clock_ns=lambda ms: ms * 10**6,
            restart=self._restarted,
            stalls=Stalls(self.clock),
            ban=Ban(self.clock),
        )
        self.restarts = 0
        self.source = BookSource(self.link, SYMBOL, Scale.of(BTC), self.clock, 10, 5.0)
        self.source.outbox = self.outbox = Outbox()

    async def _watched(self, *_: Any) -> Any:
        return self.cache[SYMBOL]

    async def _fetched(self, *_: Any) -> Any:
        if not self.at_rest:
            raise ConnectionError("no answer")
        return self.at_rest

    def _restarted(self, silent_s: float) -> None:
        self.restarts += 1

    def drain(self, got: Any = None) -> list[Kind]:
        return [Kind(kind) for kind in self.rows(got)["kind"]]

    def rows(self, got: Any = None) -> EventArray:
        if got is not None:
            self.cache[SYMBOL] = got
        self.source.drain(got)
        return self.taken()

    def taken(self) -> EventArray:
        rows = []
        while self.outbox._batches:
            rows.append(self.outbox._batches.popleft())
        self.outbox.rows = 0
        return np.concatenate(rows) if rows else empty_events()


def test_only_what_is_new_is_put_on_the_tape() -> None:
    """The first book whole, then levels that changed; the same book again is nothing."""
    stand = Stand()
    assert stand.drain(book(1)) == [BEGIN, Kind.LEVEL, Kind.LEVEL, END]
    assert stand.drain() == []
    assert stand.drain(book(2, size=2.0)) == [Kind.LEVEL, Kind.LEVEL]
    stand.clock.ns += NS_PER_S
    assert stand.drain(book(3, size=3.0)) == [Kind.LEVEL, Kind.LEVEL]
    assert stand.source.rate.last_ns == stand.clock.ns  # silence counts from here
    assert stand.drain() == []
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


async def test_a_book_that_says_nothing_is_as_old_as_rest_s_answer_that_is_the_same() -> None:
    """A market in which nothing happens: the connection is kept, the tape says that the book is still so."""
    stand = Stand()
    stand.drain(book(1))
    stand.clock.ns += 30 * NS_PER_S
    assert await stand.source.is_dead()
    stand.at_rest = book(7, size=2.0)
    assert await stand.source.is_dead()
    stand.at_rest = book(7)
    assert not await stand.source.is_dead()
    rows = stand.taken()
    assert [Kind(kind) for kind in rows["kind"]] == [Kind.LEVEL]
    assert rows["exch_ns"].tolist() == [stand.clock.ns]
    assert (rows["price_ticks"][0], rows["qty_lots"][0], rows["flags"][0]) == (10_000, 100_000, Flag.LAST)
    stand.source.broken()
    stand.taken()
    assert await stand.source.is_dead()  # what is on the tape is no book any more
    assert len(stand.taken()) == 0


async def test_a_book_is_dead_by_its_own_rate_if_rest_has_another_touch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Now and a moment later; the same touch is a quiet market, and no answer proves nothing."""
    monkeypatch.setattr(ccxt_books, "CONFIRM_S", 0.0)
    stand = Stand()
    for nonce in range(1, 10):
        stand.drain(book(nonce, size=float(nonce)))
        stand.clock.ns += NS_PER_S // 10
    assert stand.source.wait_s() == 1.0
    stand.clock.ns += NS_PER_S
    assert not await stand.source.is_dead()  # REST does not answer
    stand.at_rest = book(9, size=9.0)
    assert not await stand.source.is_dead()
    assert stand.source.wait_s() == 4.0  # twice looked, and all is quiet
    stand.at_rest = book(20, bid=99.0)
    assert await stand.source.is_dead()
    stand.clock.ns += 30 * NS_PER_S
    stand.at_rest = book(9, size=9.0)
    looks = stand.source.rate._looks
    assert not await stand.source.is_dead()
    assert stand.source.rate._looks == looks + 1


def test_a_level_of_less_than_nothing_is_refused_and_counted() -> None:
    """The others of its side are taken."""
    stand = Stand()
    odd = book(1)
    odd["bids"] += [[99.0, -1.0], [98.0, 2.0]]
    assert stand.drain(odd) == [BEGIN, Kind.LEVEL, Kind.LEVEL, Kind.LEVEL, END]
    assert stand.source.counters.refused == 1


async def test_during_a_ban_a_quiet_book_grows_old_and_keeps_its_connection() -> None:
    """A new connection would ask REST for a snapshot, which makes the ban longer."""
    stand = Stand()
    stand.drain(book(1))
    stand.clock.ns += 30 * NS_PER_S
    said = f"418 banned until {stand.clock.ns // 10**6 + 60_000}"
    stand.link.ban.note(ConnectionError(f"binance GET https://x 418 {{{said}}}"), "", 0)
    assert not await stand.source.is_dead()
    assert len(stand.taken()) == 0
    stand.clock.ns += 61 * NS_PER_S
    assert await stand.source.is_dead()


async def test_a_book_that_was_skipped_is_not_taken_for_the_one_on_the_tape() -> None:
    """The reader was behind when the last book came: what REST has is that one, and not the tape's."""
    stand = Stand()
    stand.drain(book(1))
    stand.outbox.crowded_rows = 0
    stand.drain(book(2, size=5.0))
    stand.clock.ns += 30 * NS_PER_S
    stand.at_rest = book(2, size=5.0)
    assert await stand.source.is_dead()
    stand.at_rest = {**book(1), "asks": []}
    assert await stand.source.is_dead()


def test_a_book_without_a_stamp_is_as_old_as_what_is_read_after_a_stall_may_be() -> None:
    """It may have waited in the socket all the time; a second later it is of then."""
    stand, bare = Stand(), {"timestamp": None}
    stand.link.stalls.look()
    stand.clock.ns += 100 * NS_PER_MS
    assert stand.rows(book(1) | bare)["exch_ns"][0] == stand.clock.ns
    stand.link.stalls.look()
    looked_ns = stand.clock.ns
    stand.clock.ns += 30 * NS_PER_S
    assert stand.rows(book(2, size=2.0) | bare)["exch_ns"][0] == looked_ns
    stand.link.stalls.look()
    stand.clock.ns += 900 * NS_PER_MS
    assert stand.rows(book(3, size=3.0) | bare)["exch_ns"][0] == looked_ns
    stand.link.stalls.look()
    stand.clock.ns += 200 * NS_PER_MS
    assert stand.rows(book(4, size=4.0) | bare)["exch_ns"][0] == stand.clock.ns


def test_one_wild_stamp_of_a_book_makes_no_later_book_late() -> None:
    """An hour ahead: that book is as old as its arrival, and the next one is in order."""
    stand = Stand()
    offset = ClockOffset()
    offset.add(stand.clock.ns - 4 * NS_PER_MS, NOW_MS, stand.clock.ns)
    stand.source.stamps = StampWatch(offset, stand.clock)
    assert stand.rows(book(1) | {"timestamp": NOW_MS + 3_600_000})["exch_ns"][0] == stand.clock.ns
    stand.clock.ns += 100 * NS_PER_MS
    rows = stand.rows(book(2, size=2.0) | {"timestamp": NOW_MS + 90})
    assert not (rows["flags"] & Flag.LATE).any()
    assert stand.source.counters.late == 0
