"""Trades fetched before the stream: oldest first, none twice, and no hole before the newest."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from agent.core.instrument import Instrument
from connectors.ccxt_history import HistoryLimits, recent_trades
from connectors.normalise import Scale

BTC = Instrument(0, "binance", "BTC/USDT", "BTC", "USDT", "USDT", Decimal("0.01"), Decimal("0.001"))
SCALE = Scale.of(BTC)

NEWEST = 500
PAGE = 50


def stamp_ms(number: int) -> int:
    return 1_700_000_000_000 + number * 1000


def trade(number: int) -> dict[str, Any]:
    return {
        "id": str(number),
        "timestamp": stamp_ms(number),
        "symbol": "BTC/USDT",
        "side": "buy",
        "price": 60_000.0,
        "amount": 0.001,
        "info": {},
    }


class Exchange:
    """REST with trades 1 to ``NEWEST``, one a second; ``hidden`` ones it never had."""

    def __init__(self, *, by_id: bool, hidden: range = range(0)) -> None:
        self.quirks = SimpleNamespace(aggregates=by_id, page=PAGE)
        self.known = [n for n in range(1, NEWEST + 1) if n not in hidden]
        self.requests = 0
        self.fails_after = 10**9

    async def trades(
        self, symbol: str, *, from_id: int | None = None, since_ms: int | None = None
    ) -> list[dict[str, Any]]:
        self.requests += 1
        if self.requests > self.fails_after:
            await asyncio.sleep(3600)
        if from_id is not None:
            return [trade(n) for n in self.known if n >= from_id][:PAGE]
        if since_ms is not None:
            return [trade(n) for n in self.known if stamp_ms(n) >= since_ms][:PAGE]
        return [trade(n) for n in self.known][-PAGE:]


async def fetched(exchange: Exchange, since: int, **limits: Any) -> list[int]:
    link: Any = exchange
    found = await recent_trades(link, "BTC/USDT", SCALE, stamp_ms(since), HistoryLimits(**limits))
    return [int(t["id"] or 0) for t in found]


@pytest.mark.parametrize("by_id", [True, False])
@pytest.mark.parametrize("since", [1, 51, 223, 449, 451, 470, 499, 500])
async def test_all_since_a_moment_each_once(by_id: bool, since: int) -> None:
    """By id backwards, or by time forwards, over pages of fifty that meet or overlap."""
    assert await fetched(Exchange(by_id=by_id), since) == list(range(since, NEWEST + 1))


async def test_backwards_over_numbers_that_no_trade_has() -> None:
    """A page that begins in a hole is as good as another; nothing before the first trade is asked for."""
    exchange = Exchange(by_id=True, hidden=range(120, 140))
    assert await fetched(exchange, 1) == [n for n in range(1, NEWEST + 1) if not 120 <= n < 140]
    assert exchange.requests <= NEWEST // PAGE + 2


@pytest.mark.parametrize(("since", "requests"), [(430, 2), (451, 2), (452, 1)])
async def test_backwards_asks_for_no_more_than_it_needs(since: int, requests: int) -> None:
    """The page that begins before the moment is the last: 451 to 500 come first."""
    exchange = Exchange(by_id=True)
    await fetched(exchange, since)
    assert exchange.requests == requests


@pytest.mark.parametrize(("by_id", "first"), [(True, 351), (False, 451)])
async def test_what_takes_too_many_pages_leaves_no_hole(by_id: bool, first: int) -> None:
    """Backwards the newest three pages; forwards what does not reach the newest page is left out."""
    assert await fetched(Exchange(by_id=by_id), 1, trade_pages=3) == list(range(first, NEWEST + 1))


async def test_a_slow_exchange_gives_what_came_in_time() -> None:
    """The newest page, without a hole."""
    for by_id in (True, False):
        exchange = Exchange(by_id=by_id)
        exchange.fails_after = 1
        assert await fetched(exchange, 1, deadline_s=0.05) == list(range(NEWEST - PAGE + 1, NEWEST + 1))


async def test_a_market_that_never_traded() -> None:
    """No trade, no error."""
    for by_id in (True, False):
        assert await fetched(Exchange(by_id=by_id, hidden=range(1, NEWEST + 1)), 1) == []
