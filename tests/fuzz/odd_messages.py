"""Odd messages for ccxt's own handler and the feed's sources: thousands a minute, without a network.

``odd_frames`` shows that what is lost comes back; this that nothing raises, whatever ccxt makes of a message.
"""

from __future__ import annotations

import asyncio
import copy
import json
import random
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import ccxt.pro
import numpy as np

from agent.core.market.tape import Flag, Kind
from agent.core.types import NS_PER_MS
from agent.system_clock import SystemClock
from connectors.access.ban import Ban
from connectors.backfill import BackfillLimits
from connectors.ccxt_books import BookSource
from connectors.ccxt_trades import TradeSource
from connectors.clock_offset import ClockOffset
from connectors.continuity.stalls import Stalls
from connectors.continuity.stamp_watch import StampWatch
from connectors.exchange_quirks import quirks_of
from connectors.normalise import Scale
from connectors.supervisor import Outbox
from tests.fuzz.damaged_sessions import change_json
from tests.fuzz.trial import Case
from tests.fuzz.world import World
from tests.integration.faulty_binance import FaultyBinance
from tests.unit.connectors.test_id_jumps import BTC

MESSAGES = 400
"""Changed ones of a case."""
SYMBOL = "BTC/USDT"


class Market(FaultyBinance):
    """Its messages are kept, not sent."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.messages: list[dict[str, Any]] = []

    async def _publish(self, stream: str, event: dict[str, Any]) -> None:
        self.messages.append(event)


class Socket:
    """As much of ccxt's client as its handler of messages needs."""

    url = "wss://stream.binance.com:9443/ws/0"
    error = None

    def __init__(self) -> None:
        self.subscriptions: dict[str, Any] = {}
        self.futures: dict[str, Any] = {}

    def resolve(self, *_: object) -> None: ...

    def reject(self, *_: object) -> None: ...


class Link(SimpleNamespace):
    """The link of the sources: ccxt's parsers, and REST that has the whole market."""

    async def trades(self, symbol: str, *, from_id: int | None = None, since_ms: int | None = None) -> Any:
        page = [t for t in self.market.aggregates if from_id is None or t["a"] >= from_id][:1000]
        return self.exchange.parse_trades(page, self.exchange.market(symbol))

    def restart(self, silent_s: float) -> None: ...

    def on_our_clock_ns(self, stamp_ms: int) -> int:
        return int(stamp_ms * NS_PER_MS - self.clock.offset_ns)


def make_case(draw: random.Random, world: World) -> Case:
    """Some hundred changed messages, one after another."""
    seed = draw.randrange(2**32)
    world.fresh()

    def call() -> None:
        asyncio.run(_checked(seed))
        raise SystemExit(0)

    return Case([], f"messages changed by seed {seed}", call=call)


async def _checked(seed: int) -> None:
    draw, market, exchange = random.Random(seed), Market(seed), ccxt.pro.binance()
    exchange.options.update({"crossMarginPairsData": [], "isolatedMarginPairsData": []})
    exchange.set_markets(exchange.parse_markets(market._exchangeInfo({})["symbols"]))
    clock, limits = SystemClock(), BackfillLimits(first_wait_s=0.001, most_wait_s=0.01, deadline_s=0.2)
    link: Any = Link(exchange=exchange, market=market, quirks=quirks_of("binance"), clock=ClockOffset())
    link.connections, link.stalls, link.ban = 0, Stalls(clock), Ban(clock)
    link.clock.add(time.time_ns() - NS_PER_MS, time.time_ns() // NS_PER_MS, time.time_ns())
    trades = TradeSource(link, SYMBOL, Scale.of(BTC), True, clock, limits, 10.0)
    book = BookSource(link, SYMBOL, Scale.of(BTC), clock, 20, 10.0)
    outbox = trades.outbox = book.outbox = Outbox()
    trades.stamps = book.stamps = StampWatch(link.clock, clock)
    try:
        await _run(draw, market, exchange, trades, book)
    finally:
        await trades.stop()
        await exchange.close()
    _check(outbox)


async def _run(
    draw: random.Random, market: Market, exchange: Any, trades: TradeSource, book: BookSource
) -> None:
    changed = 0
    _whole_book(exchange, market)
    while changed < MESSAGES:
        await market.trade(1)
        await market.move_book()
        for message in market.messages:
            if draw.random() < 0.4:
                message, changed = _changed(draw, message), changed + 1
            try:
                exchange.handle_message(Socket(), json.loads(json.dumps(message)))
            except Exception:  # the link makes a reconnection of it
                _whole_book(exchange, market)
                book.broken()
            trades.drain(None)
            book.drain(exchange.orderbooks.get(SYMBOL))
        market.messages.clear()
        await asyncio.sleep(0)
        if draw.random() < 0.02:
            await trades.is_dead()


def _changed(draw: random.Random, message: Mapping[str, Any]) -> dict[str, Any]:
    changed = copy.deepcopy(dict(message))
    for _ in range(draw.choice([1, 1, 2, 4])):
        change_json(draw, changed)
        changed = copy.deepcopy(changed)
    return changed


def _whole_book(exchange: Any, market: Market) -> None:
    book = exchange.order_book({})
    said = exchange.parse_order_book(market._depth({"limit": 1000}), SYMBOL)
    book.reset({**said, "nonce": market.update_id})
    exchange.orderbooks[SYMBOL] = book


def _check(outbox: Outbox) -> None:
    """No error waits, and the tape holds what can be."""
    if outbox._error is not None:
        raise outbox._error
    rows = np.concatenate(list(outbox._batches))
    counts = rows[(rows["kind"] <= Kind.LEVEL) & (rows["flags"] & Flag.IMPOSSIBLE == 0)]
    assert (counts["price_ticks"] > 0).all()
    assert (counts["qty_lots"] >= 0).all()
