"""The configured exchange's feed: a real exchange's, or that of the embedded one, which is started for it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

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


def _never() -> bool:
    return False


def _nobody_knows() -> int | None:
    return None


@dataclass(frozen=True, slots=True)
class Market:
    """What is known of the market besides its feed: whether it has ended, when it began. Embedded only."""

    ended: Ended = _never
    began_ns: Callable[[], int | None] = _nobody_knows


@contextlib.asynccontextmanager
async def open_feed(
    config: Config, clock: Clock, began_ns: int | None = None
) -> AsyncIterator[tuple[Feed, Market]]:
    """The configured exchange's feed and its market; ``embedded`` is run too, as if since ``began_ns``."""
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
            yield feed, Market()
        finally:
            await feed.close()
        return
    async with embedded_exchange(config, clock, began_ns=began_ns) as (exchange, endpoint):
        feed = embedded_feed(endpoint, clock, options=options)
        try:
            yield feed, Market(lambda: exchange.ended, lambda: exchange.began_ns)
        finally:
            await feed.close()
