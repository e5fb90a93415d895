"""``agent record``: record a session without trading."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from agent.cli import options as o
from agent.cli import output
from agent.durations import parse_duration_ns
from agent.entry import log_lines


def record(
    config: o.ConfigFile = None,
    exchange: o.Exchange = None,
    symbol: o.Symbol = None,
    duration: Annotated[
        str | None, typer.Option(metavar="DURATION", help="How long, as in 10m; until Ctrl-C if left out.")
    ] = None,
    market: o.Market = None,
    seed: o.MarketSeed = None,
    out: o.SessionsFolder = None,
    as_json: o.AsJson = False,
    log_json: o.LogJson = False,
) -> int:
    """Record a session without trading."""
    settings = o.market_configuration(config, market, seed, exchange=exchange, symbol=symbol, out=out)
    seconds = parse_duration_ns(duration) / 1e9 if duration else None
    log_lines.set_up(always_json=log_json)
    with output.run_view(plain=True) as view:
        view.preparing("loading the program")
        from agent.app.live_session import prepare, run_paper
        from agent.app.world.garbage import collect_often

        prepare(settings, view, trade=False)
        collect_often()
        result = asyncio.run(run_paper(settings, view, view, trade=False, seconds=seconds))
    facts = {
        "session": str(result.path),
        "events": result.events,
        "trades": result.feed.trades,
        "gaps": result.feed.gaps,
    }
    if as_json:
        output.emit(facts)
    else:
        output.show_facts("Recorded", facts)
    return 130 if result.interrupted and seconds is not None else 0
