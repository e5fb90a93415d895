"""The configured exchange's feed: a real exchange's, or that of the embedded one, which is started for it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

from agent.app.embedded_market import embedded_exchange
from agent.config import Config
from agent.core.clock import Clock
from agent.core.ports import Feed
from agent.core.types import NS_PER_S
from connectors.access.reaching import Reaching
from connectors.ccxt_feed import CcxtFeed, FeedOptions, embedded_feed
from connectors.supervisor import Patience
from connectors.units.exchange_units import EMBEDDED

Ended = Callable[[], bool]


@contextlib.asynccontextmanager
async def open_feed(config: Config, clock: Clock) -> AsyncIterator[tuple[Feed, Ended]]:
    """The configured exchange's feed, and whether its market has ended (``embedded`` only; runs it too)."""
    options = FeedOptions(
        book_depth=config.feed.book_depth,
        connect_deadline_s=config.feed.connect_timeout / NS_PER_S,
        patience=Patience(stale_s=config.feed.stale_after / NS_PER_S),
    )
    if config.exchange != EMBEDDED:
        told = config.ccxt
        reaching = Reaching(told.options, told.hostname, told.proxy, told.websocket_proxy, told.certificates)
        feed = CcxtFeed(config.exchange, clock, options=options, reaching=reaching)
        try:
            yield feed, lambda: False
        finally:
            await feed.close()
        return
    async with embedded_exchange(config, clock) as (exchange, endpoint):
        feed = embedded_feed(endpoint, clock, options=options)
        try:
            yield feed, lambda: exchange.ended
        finally:
            await feed.close()
