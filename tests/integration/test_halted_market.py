"""A market that is halted: no order waits for it without a bound, and it is said why nothing happened.

The whole agent, with the real ccxt client over TLS, against an exchange that misbehaves.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from agent.app.live.run_views import LiveResult
from agent.app.live_feed import Market
from agent.app.live_session import run_paper
from agent.app.world.run_world import World
from agent.config import Config, Feed, Order
from agent.core.clock import Clock
from agent.core.errors import ExchangeError
from connectors.ccxt_feed import CcxtFeed, FeedOptions
from storage.log import queries
from storage.recordings.session import SessionReader
from tests.integration.faulty_binance import FaultyBinance
from tests.integration.test_parity import Quiet

pytestmark = pytest.mark.slow

S = 10**9
Script = Callable[[FaultyBinance], Coroutine[None, None, None]]


def order(seconds: int = 6) -> Order:
    return Order(
        quantity=Decimal("0.1"),
        interval=2 * S,
        min_duration=2 * S,
        max_duration=seconds * S,
        algo="twap",
        shadows=(),
    )


def settings(folder: Path, **changes: object) -> Config:
    base = {
        "exchange": "binance",
        "order": order(),
        "feed": Feed(stale_after=2 * S, connect_timeout=4 * S, warm_up=60 * S),
        "database": f"sqlite:///{folder / 'agent.db'}",
        "out": folder / "sessions",
    }
    return Config(**{**base, **changes})  # type: ignore[arg-type]


async def ran(
    config: Config,
    folder: Path,
    server: FaultyBinance,
    script: Script,
) -> LiveResult:
    """A run against ``server``, which ``script`` drives."""
    await server.start(folder)

    @contextlib.asynccontextmanager
    async def feed(_c: Config, clock: Clock, _began: int | None) -> AsyncIterator[tuple[CcxtFeed, Market]]:
        options = FeedOptions(connect_deadline_s=config.feed.connect_timeout / S)
        made = CcxtFeed("binance", clock, session_factory=server.session, options=options)
        try:
            yield made, Market()
        finally:
            await made.close()

    playing = asyncio.create_task(script(server))
    try:
        return await asyncio.wait_for(run_paper(config, Quiet(), world=World(open_feed=feed)), 90)
    finally:
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        await server.stop()


async def test_a_market_without_a_book(tmp_path: Path) -> None:
    """Listed, and halted since before the run: it ends with the reason, and leaves nothing open."""
    server = FaultyBinance()
    server.bids, server.asks = {}, {}
    with pytest.raises(ExchangeError, match=r"BTC/USDT has shown no order book .* may be halted or delisted"):
        await ran(settings(tmp_path), tmp_path, server, lambda s: asyncio.sleep(60))
    database = str(tmp_path / "agent.db")
    found = await asyncio.to_thread(queries.sql, database, "SELECT state FROM sessions")
    assert found.rows == [("failed",)]
    (session,) = (tmp_path / "sessions").iterdir()
    assert SessionReader(session).journal()[-1]["kind"] == "end"


async def silence(server: FaultyBinance) -> None:
    """The exchange says nothing more."""
    server.silent = True
    await asyncio.sleep(0)


async def empty(server: FaultyBinance) -> None:
    """Every level of the book goes."""
    first, server.update_id = server.update_id + 1, server.update_id + 1
    gone = {
        name: [[f"{cents / 100:.2f}", "0.00000000"] for cents in side]
        for name, side in (("b", server.bids), ("a", server.asks))
    }
    server.bids, server.asks = {}, {}
    event = {"e": "depthUpdate", "E": server.now_ms(), "s": "BTCUSDT", "U": first, "u": first, **gone}
    await server._publish("btcusdt@depth@100ms", event)


@pytest.mark.parametrize("halt", [silence, empty])
async def test_a_market_halted_in_mid_order(tmp_path: Path, halt: Script) -> None:
    """Nothing trades any more: the order expires at its time, with what is left of it and why."""

    async def script(server: FaultyBinance) -> None:
        playing = asyncio.create_task(server.play(20, 1000))
        for _ in range(400):
            if sum(len(streams) for streams in server.sockets.values()) >= 2:  # trades and book
                break
            await asyncio.sleep(0.05)
        await asyncio.sleep(4)
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        await halt(server)

    config = settings(tmp_path, order=replace(order(12), quantity=Decimal(40)))
    result = await ran(config, tmp_path, FaultyBinance(), script)
    (parent,) = result.summary.parents()
    assert parent["state"] == "expired"
    assert 0 < Decimal(str(parent["filled"])) < 40
    reason = result.summary.orders()[0].changed.reason
    assert " BTC unfilled: " in reason
    assert "did not offer it in time" not in reason  # it names what stood in the way: the old book
