"""``agent serve-exchange``: the embedded exchange by itself."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from agent.cli import options as o
from agent.cli import output
from agent.core.errors import InputError
from agent.entry import log_lines

MOST_PORT = 65_535


def serve_exchange(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 0,
    market: o.Market = None,
    seed: o.MarketSeed = None,
    config: o.ConfigFile = None,
    as_json: o.AsJson = False,
    log_json: o.LogJson = False,
) -> int:
    """Serve the embedded exchange by itself, for any ccxt client on this machine, until Ctrl-C."""
    log_lines.set_up(always_json=log_json)
    if not 0 <= port <= MOST_PORT:
        raise InputError(f"port {port} is not allowed: give 1 to {MOST_PORT}, or 0 for a free one")
    settings = o.market_configuration(config, market, seed)
    from agent.app.embedded_market import embedded_exchange
    from agent.system_clock import SystemClock

    async def serve() -> None:
        async with embedded_exchange(settings, SystemClock(), host=host, port=port) as (_, endpoint):
            facts = endpoint.to_json()
            if as_json:
                output.emit(facts)
            else:
                output.show_facts("Serving; Ctrl-C ends", facts)
            await asyncio.Event().wait()

    asyncio.run(serve())
    return 0
