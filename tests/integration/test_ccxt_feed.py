"""The ccxt feed against a Binance that misbehaves: exactly once, books equal, nothing stays broken."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.core.errors import ExchangeError, InputError, OrderError
from agent.core.market.tape import EventArray, Flag, Kind, empty_events
from agent.system_clock import SystemClock
from connectors.backfill import BackfillLimits
from connectors.ccxt_feed import CcxtFeed, FeedOptions
from connectors.supervisor import Patience
from tests.integration.faulty_binance import FaultyBinance

SYMBOL = "BTC/USDT"
QUICK = FeedOptions(
    book_depth=20,
    patience=Patience(stale_s=1.0, most_wait_s=1.0),
    backfill=BackfillLimits(attempts=4, first_wait_s=0.1, deadline_s=10.0),
    connect_deadline_s=8.0,
)


class Run:
    """A feed being read into one list of batches, beside the server it talks to."""

    def __init__(self, server: FaultyBinance, feed: CcxtFeed) -> None:
        self.server, self.feed = server, feed
        self.batches: list[EventArray] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for rows in self.feed.stream():
            self.batches.append(rows.copy())

    @property
    def tape(self) -> EventArray:
        return np.concatenate(self.batches) if self.batches else empty_events()

    def trades(self) -> list[int]:
        rows = self.tape
        return [int(i) for i in rows["ext_id"][rows["kind"] == Kind.TRADE]]

    def kinds(self, flag: Flag) -> list[Kind]:
        """The marks (gaps, stale, alive) of one stream, in order."""
        marks = (Kind.GAP_BEGIN, Kind.GAP_END, Kind.STALE, Kind.ALIVE)
        return [Kind(r["kind"]) for r in self.tape if r["kind"] in marks and r["flags"] & flag]

    def book(self) -> tuple[dict[int, int], dict[int, int]]:
        """Read the tape's book rows as any reader would."""
        sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for row in self.tape:
            if row["kind"] == Kind.SNAPSHOT_BEGIN:
                sides[0].clear()
                sides[1].clear()
            elif row["kind"] == Kind.LEVEL:
                side = sides[0 if row["side"] > 0 else 1]
                side[int(row["price_ticks"])] = int(row["qty_lots"])
                if row["qty_lots"] == 0:
                    del side[int(row["price_ticks"])]
        return sides

    def server_book(self) -> tuple[dict[int, int], dict[int, int]]:
        top = QUICK.book_depth
        bids = sorted(self.server.bids.items(), reverse=True)[:top]
        return dict(bids), dict(sorted(self.server.asks.items())[:top])

    async def until(self, what: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait for a condition; fail with the feed's health when it does not come true."""
        deadline = time.monotonic() + seconds
        while not what():
            assert self._task is None or not self._task.done(), f"the stream ended: {self._task}"
            assert time.monotonic() < deadline, f"not within {seconds} s: {self.feed.health()}"
            await asyncio.sleep(0.02)

    async def error(self) -> BaseException | None:
        """Wait for the stream to end, and return what it raised."""
        assert self._task is not None
        await asyncio.wait([self._task], timeout=10)
        return self._task.exception()

    async def close(self) -> None:
        await self.feed.close()
        if self._task is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._task, 5)


async def served(folder: Path, options: FeedOptions) -> AsyncIterator[Run]:
    """What a fixture yields: a feed, not yet connected, beside a market that has traded."""
    server = FaultyBinance()
    await server.start(folder)
    await server.trade(50)
    feed = CcxtFeed("binance", SystemClock(), session_factory=server.session, options=options)
    made = Run(server, feed)
    yield made
    await made.close()
    await server.stop()


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    async for made in served(tmp_path, QUICK):
        yield made


async def live(run: Run) -> None:
    """Connect, start reading, and wait until both streams bring rows."""
    await run.feed.instruments([SYMBOL])
    run.start()
    await run.until(lambda: len(run.server.sockets) == 2 and all(run.server.sockets.values()))
    await run.server.trade(3)
    await run.server.move_book()
    await run.until(lambda: len(run.trades()) >= 1 and Kind.SNAPSHOT_END in run.tape["kind"])


def expected(run: Run) -> list[int]:
    """Aggregate ids of the market from the first that reached the tape on."""
    first = min(run.trades())
    return [t["a"] for t in run.server.aggregates if t["a"] >= first]


async def test_instruments_come_from_the_market_s_precision(run: Run) -> None:
    """Tick, lot, minimum notional and the clock offset are those of the exchange."""
    run.server.clock_ahead_ms = 5_000
    (btc,) = await run.feed.instruments([SYMBOL])
    assert (str(btc.tick), str(btc.lot), str(btc.min_notional), btc.number) == ("0.01", "0.00001", "5.0", 0)
    assert abs(run.feed.health().clock_offset_ns - 5_000_000_000) < 50_000_000


async def test_trades_reach_the_tape_exactly_once_across_a_disconnect(run: Run) -> None:
    """Trades made while the connection is down are fetched by id: f-l coverage is whole, none twice."""
    await live(run)
    await run.server.play(0.5)
    await run.server.drop()
    await run.server.trade(40)  # nobody hears these
    await asyncio.sleep(0.2)
    await run.until(lambda: len(run.server.sockets) == 2 and all(run.server.sockets.values()))
    await run.server.play(0.5)
    await run.until(lambda: sorted(run.trades()) == expected(run))
    health = run.feed.health()
    assert (health.range_overlaps, health.range_missing, health.lost) == (0, 0, 0)
    assert health.backfilled >= 40
    assert health.gaps == 1
    assert run.kinds(Flag.TRADES) == [Kind.GAP_BEGIN, Kind.GAP_END]
    late = run.tape[(run.tape["flags"] & Flag.BACKFILL) > 0]
    assert bool(((late["flags"] & Flag.LATE) > 0).all())


async def test_the_book_equals_the_server_s_after_a_disconnect(run: Run) -> None:
    """After the cut the tape says GAP, then a snapshot, and its book is the server's, level by level."""
    await live(run)
    await run.server.play(0.3)
    await run.until(lambda: run.book() == run.server_book())
    await run.server.drop()
    await run.server.move_book()
    await run.until(lambda: len(run.server.sockets) == 2 and all(run.server.sockets.values()))
    await run.server.play(0.3)
    await run.until(lambda: run.book() == run.server_book())
    assert run.kinds(Flag.BOOK) == [Kind.GAP_BEGIN, Kind.GAP_END]
    snapshots = int((run.tape["kind"] == Kind.SNAPSHOT_BEGIN).sum())
    health = run.feed.health()
    assert snapshots >= 2
    assert (health.book_snapshots, health.book_gaps) == (snapshots, 1)
    updates = (run.tape["kind"] < Kind.GAP_BEGIN) & (run.tape["kind"] != Kind.TRADE)
    assert health.book_updates == int(((run.tape["flags"] & Flag.LAST) > 0)[updates].sum())


@pytest.mark.parametrize(
    "frame", ['{"e":"aggTrade","a":1', "upstream timeout", "[]", '{"e":"aggTrade","s":"BTCUSDT"}']
)
async def test_an_unreadable_frame_heals_at_once(run: Run, frame: str) -> None:
    """Truncated JSON, plain text, an empty list or missing fields cost one reconnect, not minutes."""
    await live(run)
    await run.server.send_frame(frame)
    await asyncio.sleep(0.2)
    await run.until(lambda: len(run.server.sockets) == 2 and all(run.server.sockets.values()), 5)
    await run.server.play(0.3)
    await run.until(lambda: sorted(run.trades()) == expected(run), 5)
    await run.until(lambda: run.book() == run.server_book(), 5)


async def test_a_silent_server_is_noticed_and_heals(run: Run) -> None:
    """A server that answers pings and sends nothing gives STALE; when it speaks again, ALIVE, all there."""
    await live(run)
    run.server.silent = True
    for _ in range(8):
        await run.server.trade(5)
        await asyncio.sleep(0.3)
    await run.until(lambda: Kind.STALE in run.kinds(Flag.TRADES) and Kind.STALE in run.kinds(Flag.BOOK))
    run.server.silent = False
    await run.until(lambda: len(run.server.sockets) == 2 and all(run.server.sockets.values()))
    await run.server.play(0.3)
    await run.until(lambda: sorted(run.trades()) == expected(run))
    await run.until(lambda: run.book() == run.server_book())
    assert Kind.ALIVE in run.kinds(Flag.TRADES)
    assert Kind.ALIVE in run.kinds(Flag.BOOK)
    assert run.feed.health().stale_ns > 0


async def test_a_quiet_market_is_not_called_stale(run: Run) -> None:
    """Without trades on the exchange, silence of the trade stream is no fault: REST confirms it."""
    await live(run)
    for _ in range(25):
        await run.server.move_book()
        await asyncio.sleep(0.1)
    assert run.kinds(Flag.TRADES) == []
    assert run.kinds(Flag.BOOK) == []


async def test_html_with_status_200_never_becomes_a_book(run: Run) -> None:
    """While REST answers HTML the book stays in its gap; the snapshot comes when REST is itself again."""
    await live(run)
    run.server.html = True
    before = len(run.tape)
    await run.server.drop()
    await asyncio.sleep(1.5)
    assert not (run.tape[before:]["kind"] == Kind.LEVEL).any()
    assert run.feed.health().rest_rejected > 0
    run.server.html = False
    for _ in range(30):
        await run.server.play(0.1)
        if run.book() == run.server_book():
            break
    await run.until(lambda: run.book() == run.server_book())


async def test_raw_trade_ids_on_the_aggregate_stream_stop_the_feed(run: Run) -> None:
    """If the stream carried raw ids, REST repairs would bring the wrong trades: the feed refuses."""
    await live(run)
    run.server.trade_name = "trade"
    await run.server.trade(1)
    error = await run.error()
    assert isinstance(error, ExchangeError)
    assert "aggTrade" in str(error)


async def test_history_joins_the_stream_without_hole_or_repeat(run: Run) -> None:
    """Warm-up trades, those between it and the stream, and live ones are together each once; no gap."""
    (btc,) = await run.feed.instruments([SYMBOL])
    await run.server.trade(2_300)
    events, bars = await run.feed.history(btc, time.time_ns() - 600_000_000_000)
    assert len(events) == 2_350
    assert bool(((events["flags"] & Flag.HISTORY) > 0).all())
    assert len(bars) >= 9
    assert bool((bars["quote_tl"] == 900_007_500_000).all())
    await run.server.trade(30)  # between history and stream
    run.start()
    await run.until(lambda: len(run.server.sockets) == 2 and all(run.server.sockets.values()))
    await run.server.play(0.3)
    warm = [int(i) for i in events["ext_id"]]
    await run.until(lambda: sorted(warm + run.trades()) == [t["a"] for t in run.server.aggregates])
    health = run.feed.health()
    assert (health.gaps, health.joined, health.lost) == (0, 30, 0)


async def test_history_that_cannot_be_joined_is_a_gap(run: Run) -> None:
    """Trades between warm-up and stream that REST does not know: a gap on the tape, with their number."""
    (btc,) = await run.feed.instruments([SYMBOL])
    await run.feed.history(btc, time.time_ns() - 600_000_000_000)
    await run.server.trade(30)
    lost = [t["a"] for t in run.server.aggregates[-30:]][10:15]
    run.server.hidden = set(lost)
    run.start()
    await run.until(lambda: len(run.server.sockets) == 2 and all(run.server.sockets.values()))
    await run.server.trade(2)
    await run.until(lambda: run.feed.health().lost == len(lost))
    await run.until(lambda: Kind.GAP_END in run.kinds(Flag.TRADES))
    assert run.kinds(Flag.TRADES) == [Kind.GAP_BEGIN, Kind.GAP_END]
    (end,) = [r for r in run.tape if r["kind"] == Kind.GAP_END and r["flags"] & Flag.TRADES]
    assert end["qty_lots"] == len(lost)
    health = run.feed.health()
    assert (health.gaps, health.joined) == (1, 25)


async def test_a_trade_that_nobody_else_follows_is_not_held_back(run: Run) -> None:
    """The last trade of a burst reaches the tape without waiting for the next message."""
    await live(run)
    for _ in range(5):
        await run.server.trade(7)
        await run.until(lambda: sorted(run.trades()) == expected(run), 0.8)


async def test_trades_that_rest_does_not_know_are_called_lost(run: Run) -> None:
    """A hole that REST fills in part ends as GAP_END with the number of trades lost for good."""
    await live(run)
    await run.server.drop()
    await run.server.trade(10)
    lost = [t["a"] for t in run.server.aggregates[-10:]][3:7]
    run.server.hidden = set(lost)
    await run.until(lambda: len(run.server.sockets) == 2 and all(run.server.sockets.values()))
    await run.server.trade(2)
    await run.until(lambda: Kind.GAP_END in run.kinds(Flag.TRADES))
    assert sorted(run.trades()) == [i for i in expected(run) if i not in lost]
    (end,) = [r for r in run.tape if r["kind"] == Kind.GAP_END and r["flags"] & Flag.TRADES]
    assert end["qty_lots"] == 4
    assert run.feed.health().lost == 4


async def test_unknown_names_are_refused_with_the_nearest(run: Run) -> None:
    """Unknown exchange and symbol: InputError and OrderError that suggest what was meant."""
    with pytest.raises(InputError, match="binance"):
        await CcxtFeed("binanse", SystemClock()).instruments([SYMBOL])
    with pytest.raises(OrderError, match="BTC/USDT"):
        await run.feed.instruments(["BTCUSDT"])


@pytest.mark.parametrize("listed", [{}, {"symbols": []}, []])
async def test_an_empty_list_of_markets_delists_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch, listed: object
) -> None:
    """An answer without content says nothing of a symbol: it is the exchange's trouble, and passes."""
    monkeypatch.setattr(run.server, "_exchangeInfo", lambda query: listed)
    with pytest.raises(ExchangeError, match="lists no market at all just now"):
        await run.feed.instruments([SYMBOL])


async def test_an_exchange_without_the_streams_is_refused(run: Run) -> None:
    """A missing capability is an ExchangeError that names it."""
    config: dict[str, Any] = {"has": {"watchTrades": False}}
    feed = CcxtFeed("binance", SystemClock(), session_factory=run.server.session, config=config)
    with pytest.raises(ExchangeError, match="watchTrades"):
        await feed.instruments([SYMBOL])


async def test_an_unreachable_exchange_is_said_so_in_time(run: Run) -> None:
    """No server: ExchangeError within the deadline, pointing at the embedded exchange."""
    await run.server.stop()
    started = time.monotonic()
    with pytest.raises(ExchangeError, match="--exchange embedded"):
        await run.feed.instruments([SYMBOL])
    assert time.monotonic() - started < 10
