"""The embedded exchange with the configured market: synthetic by seed, or a recorded session."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from agent.config import Config
from agent.core.clock import Clock
from agent.core.errors import InputError
from connectors.embedded.market_source import MarketSource, RecordedMarket
from connectors.embedded.server import EmbeddedExchange, Endpoint, PlayFrom
from connectors.embedded.synthetic.synthetic_market import SyntheticMarket
from connectors.embedded.synthetic.synthetic_symbols import SYMBOLS
from storage.recordings.session import SessionReader

SYNTHETIC = "synthetic"
FIRST_RUN = ("BTC/USDT",)


@contextlib.asynccontextmanager
async def embedded_exchange(
    config: Config,
    clock: Clock,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    began_ns: int | None = None,
) -> AsyncIterator[tuple[EmbeddedExchange, Endpoint]]:
    """Serve the configured market while the context lasts, as if since ``began_ns``."""
    exchange = EmbeddedExchange(
        _market(config),
        clock,
        host=host,
        port=port,
        speed=config.embedded.speed,
        play_from=PlayFrom.START if config.embedded.market == SYNTHETIC else PlayFrom.SUBSCRIBED,
        began_ns=began_ns,
    )
    endpoint = await exchange.start()
    try:
        yield exchange, endpoint
    finally:
        await exchange.stop()


def _market(config: Config) -> MarketSource:
    if config.embedded.market == SYNTHETIC:
        wanted = [config.symbol, *config.listed_symbols]
        known = tuple(symbol for symbol in SYMBOLS if symbol in wanted)  # else the exchange says what it has
        return SyntheticMarket(config.embedded.seed, known or FIRST_RUN)
    path = Path(config.embedded.market)
    if not path.is_dir():
        raise InputError(f"market {path} is neither a session's directory nor {SYNTHETIC!r}")
    reader = SessionReader(path)
    return RecordedMarket(reader.instruments, reader.batches)
