"""The feed on another protocol: Kraken's second websocket and its REST, misbehaving; nothing is lost.

What differs from Binance's, and so is tried here: one socket for all streams, the last fifty trades again at
each subscription, repair by time in whole seconds, a clock that tells whole seconds, books without numbers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.core.market.tape import Flag, Kind
from agent.system_clock import SystemClock
from connectors.ccxt_feed import CcxtFeed
from connectors.supervisor import Patience
from tests.integration.faulty_kraken import SYMBOL, FaultyKraken
from tests.integration.test_ccxt_feed import QUICK, Run

pytestmark = pytest.mark.slow

OPTIONS = replace(QUICK, connect_deadline_s=30.0, patience=Patience(stale_s=2.0, most_wait_s=1.0))
QUICK_REST = {"rateLimit": 20}
"""ccxt waits a second between requests to Kraken; a test need not."""


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    server = FaultyKraken()
    await server.start(tmp_path)
    await server.trade(300)
    feed = CcxtFeed(
        "kraken", SystemClock(), session_factory=server.session, options=OPTIONS, config=QUICK_REST
    )
    made = Run(server, feed)  # type: ignore[arg-type]
    yield made
    await made.close()
    await server.stop()


def kraken(run: Run) -> FaultyKraken:
    assert isinstance(run.server, FaultyKraken)
    return run.server


async def live(run: Run) -> None:
    """Connect, start reading, and wait until both streams bring rows."""
    server = kraken(run)
    await run.feed.instruments([SYMBOL])
    run.start()
    await run.until(lambda: any(len(streams) == 2 for streams in server.sockets.values()), 30)
    await server.trade(3)
    await server.move_book()
    await run.until(lambda: len(run.trades()) >= 3 and Kind.SNAPSHOT_END in run.tape["kind"], 30)


def whole(run: Run) -> bool:
    """Every trade since the first on the tape is there, once."""
    got = run.trades()
    wanted = [trade["id"] for trade in kraken(run).trades if trade["id"] >= min(got)]
    return sorted(got) == wanted


async def few_missed(run: Run) -> None:
    """Fewer than a new subscription brings again."""
    await kraken(run).drop()
    await kraken(run).trade(40)


async def many_missed(run: Run) -> None:
    """More than it brings again: the rest has to be asked for."""
    await kraken(run).drop()
    await kraken(run).trade(400)


async def frames_lost(run: Run) -> None:
    """The connection stands, and some frames never come."""
    for _ in range(3):
        await kraken(run).trade(30, heard=False)
        await kraken(run).trade(2)


async def rest_is_down(run: Run) -> None:
    """A hole while REST answers 503, again and again."""
    kraken(run).unavailable = 6
    await kraken(run).trade(30, heard=False)
    await kraken(run).trade(2)


async def only_trades_stop(run: Run) -> None:
    """The subscription to trades is forgotten; the book goes on, and so does the market."""
    kraken(run).forget_trades()
    for _ in range(120):
        await kraken(run).trade(2)
        await kraken(run).move_book()
        await asyncio.sleep(0.05)


async def odd_frames(run: Run) -> None:
    """What is no message of the protocol, and messages with nothing, or nonsense, in them."""
    for frame in (
        '{"channel":"trade","type":"update","data":[]}',
        '{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD"}]}',
        '{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","price":-1,"qty":1e30,"trade_id":"x"}]}',
        '{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":"?"}]}]}',
        '{"error":"internal error","success":false}',
        '{"channel":"nobody","data":{}}',
        "[]",
        "not JSON",
    ):
        await kraken(run).send_frame(frame)
        await asyncio.sleep(0.05)
        await kraken(run).trade(2)


FAULTS: tuple[Callable[[Run], Awaitable[None]], ...] = (
    *(few_missed, many_missed, frames_lost, rest_is_down, only_trades_stop, odd_frames),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_no_trade_is_lost_or_comes_twice(run: Run, fault: Callable[[Run], Awaitable[None]]) -> None:
    """Whatever happens, in the end all trades are on the tape once, none is told lost, no gap stays open."""
    server = kraken(run)
    await live(run)
    await server.play(0.5)
    await fault(run)
    await run.until(lambda: any(len(streams) == 2 for streams in server.sockets.values()), 30)
    await server.play(1.0)
    await run.until(lambda: whole(run), 60)
    health = run.feed.health()
    assert (health.lost, health.new_counts, health.clock_steps) == (0, 0, 0)
    marks = [kind for kind in run.kinds(Flag.TRADES) if kind in (Kind.GAP_BEGIN, Kind.GAP_END)]
    assert marks.count(Kind.GAP_BEGIN) == marks.count(Kind.GAP_END)
    await server.move_book()
    await run.until(lambda: _books_agree(run), 30)


def _books_agree(run: Run) -> bool:
    """The tape's book is the server's, in ticks of a tenth and lots of a hundred-millionth."""
    server, top = kraken(run), OPTIONS.book_depth
    wanted = (dict(sorted(server.bids.items(), reverse=True)[:top]), dict(sorted(server.asks.items())[:top]))
    return run.book() == tuple({t: q * 1000 for t, q in side.items()} for side in wanted)


async def test_a_symbol_the_exchange_lacks_is_named(run: Run) -> None:
    """With what it has."""
    with pytest.raises(Exception, match="DOGE/USD"):
        await run.feed.instruments(["DOGE/USD"])
