"""What every live feed promises to the ingest point, whatever the exchange behind it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from agent.core.errors import InternalError
from agent.core.instrument import Instrument
from agent.core.market.tape import BAR, EVENT, BarArray, EventArray, Flag, Kind
from agent.core.ports import Feed
from agent.system_clock import SystemClock
from connectors.ccxt_feed import CcxtFeed, FeedOptions
from connectors.supervisor import Patience
from tests.integration.faulty_binance import FaultyBinance

SYMBOL = "BTC/USDT"
Play = Callable[[float], Awaitable[None]]
HEALTH = {"trades", "gaps", "backfilled", "lost", "stale_ns", "reconnects", "duplicates", "late", "off_tick"}


class Session:
    """One recorded session of a feed: warm-up, then live batches with one disconnect between them."""

    instrument: Instrument
    events: EventArray
    bars: BarArray
    batches: list[EventArray]
    health: dict[str, object]


async def record(feed: Feed, play: Play, cut: Callable[[], Awaitable[None]]) -> Session:
    """Use a feed as the runtime does, for a second or two."""
    session = Session()
    (session.instrument,) = await feed.instruments([SYMBOL])
    session.events, session.bars = await feed.history(session.instrument, time.time_ns() - 300_000_000_000)
    session.batches = []
    playing = asyncio.ensure_future(_drive(feed, play, cut))
    async for rows in feed.stream():
        session.batches.append(rows.copy())
    await playing
    session.health = feed.health().to_json()
    return session


async def _drive(feed: Feed, play: Play, cut: Callable[[], Awaitable[None]]) -> None:
    await play(2.0)
    await cut()
    await play(1.0)
    await feed.close()


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[Session]:
    server = FaultyBinance(seed=3, clock_ahead_ms=250)
    await server.start(tmp_path)
    await server.trade(1_500)
    options = FeedOptions(book_depth=10, bbo=True, patience=Patience(stale_s=2.0))
    feed = CcxtFeed("binance", SystemClock(), session_factory=server.session, options=options)
    yield await record(feed, lambda s: server.play(s, 200), server.drop)
    await feed.close()  # twice: the second does nothing
    await server.stop()


async def test_a_feed_keeps_its_promises(session: Session) -> None:
    """One session through all the rules: shape, order, flags, gaps, books, history, health."""
    tape = np.concatenate(session.batches)
    check_shape(session, tape)
    check_stamps(tape)
    check_marks_balance(tape)
    check_book_is_never_crossed(tape)
    check_history(session)
    assert set(session.health) >= HEALTH
    assert session.health["trades"] == int((tape["kind"] == Kind.TRADE).sum())
    ids = tape["ext_id"][tape["kind"] == Kind.TRADE]
    assert len(np.unique(ids)) == len(ids)


def check_shape(session: Session, tape: EventArray) -> None:
    """Rows of the tape's dtype, unstamped, positive, of a known kind; a batch ends with an update."""
    assert all(len(batch) and batch.dtype == EVENT for batch in session.batches)
    assert all(batch["flags"][-1] & Flag.LAST for batch in session.batches)
    assert not tape["recv_ns"].any()
    assert not tape["seq"].any()
    assert set(tape["instrument"].tolist()) == {session.instrument.number}
    assert {Kind.TRADE, Kind.LEVEL, Kind.SNAPSHOT_BEGIN, Kind.SNAPSHOT_END, Kind.BBO} <= set(
        tape["kind"].tolist()
    )
    trades = tape[tape["kind"] == Kind.TRADE]
    assert bool((trades["price_ticks"] > 0).all() and (trades["qty_lots"] > 0).all())
    assert set(trades["side"].tolist()) == {-1, 1}
    assert bool((trades["flags"] & Flag.LAST).all())
    assert not (tape["flags"] & Flag.HISTORY).any()


def check_stamps(tape: EventArray) -> None:
    """Without LATE the trades' stamps never step back, and they are on our clock, not the exchange's."""
    trades = tape[tape["kind"] == Kind.TRADE]
    on_time = trades[(trades["flags"] & Flag.LATE) == 0]
    assert bool((np.diff(on_time["exch_ns"]) >= 0).all())
    assert abs(int(on_time["exch_ns"][-1]) - time.time_ns()) < 5_000_000_000
    backfilled = trades[(trades["flags"] & Flag.BACKFILL) > 0]
    assert len(backfilled) > 0


def check_marks_balance(tape: EventArray) -> None:
    """Of each stream, every GAP_BEGIN is followed by its GAP_END, and gaps never nest."""
    for flag in (Flag.TRADES, Flag.BOOK):
        mine = tape[(tape["flags"] & flag) > 0]
        marks = [int(k) for k in mine["kind"] if k in (Kind.GAP_BEGIN, Kind.GAP_END)]
        assert marks == [Kind.GAP_BEGIN, Kind.GAP_END] * (len(marks) // 2)


def check_book_is_never_crossed(tape: EventArray) -> None:
    """After each whole update the best bid is below the best ask; no delete names an absent level."""
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for row in tape:
        if row["kind"] == Kind.SNAPSHOT_BEGIN:
            sides[0].clear()
            sides[1].clear()
        elif row["kind"] == Kind.LEVEL:
            side = sides[0 if row["side"] > 0 else 1]
            if row["qty_lots"]:
                side[int(row["price_ticks"])] = int(row["qty_lots"])
            else:
                del side[int(row["price_ticks"])]
        if row["flags"] & Flag.LAST and all(sides):
            assert max(sides[0]) < min(sides[1])


def check_history(session: Session) -> None:
    """Warm-up is flagged, oldest first, and its bars are closed, in order and of one minute."""
    assert session.events.dtype == EVENT
    assert session.bars.dtype == BAR
    assert len(session.events) >= 1_500
    assert bool((session.events["flags"] & Flag.HISTORY).all())
    assert bool((np.diff(session.events["exch_ns"]) >= 0).all())
    assert bool((session.bars["flags"] & Flag.HISTORY).all())
    assert bool((np.diff(session.bars["open_ns"]) == 60_000_000_000).all())
    assert int(session.bars["open_ns"][-1]) + 60_000_000_000 <= time.time_ns()


async def test_streaming_before_connecting_is_our_own_mistake() -> None:
    """``stream`` without ``instruments`` says what to call first."""
    feed = CcxtFeed("binance", SystemClock())
    with pytest.raises(InternalError, match="instruments"):
        await anext(feed.stream())
    await feed.close()
