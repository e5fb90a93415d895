"""Commands that stream: run, record, serve-exchange."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli import options as o
from agent.core.errors import InputError

Out = Annotated[Path | None, typer.Option("--out", help="Directory for recorded sessions.")]
Market = Annotated[str | None, typer.Option(help="Embedded exchange: a session's directory, or synthetic.")]


def register(app: typer.Typer) -> None:
    app.command("run")(run)
    app.command("record")(record)
    app.command("serve-exchange")(serve_exchange)


def run(
    paper: Annotated[
        bool, typer.Option("--paper", help="Simulate fills; no order leaves this machine.")
    ] = False,
    config: o.ConfigFile = None,
    exchange: o.Exchange = None,
    symbol: o.Symbol = None,
    side: o.SideName = None,
    quantity: o.Quantity = None,
    notional: o.Notional = None,
    benchmark: o.BenchmarkName = None,
    min_duration: o.MinDuration = None,
    max_duration: o.MaxDuration = None,
    interval: o.Interval = None,
    algo: o.AlgoName = None,
    tactic: o.TacticName = None,
    shadow: o.ShadowNames = None,
    limit_price: o.LimitPrice = None,
    participation_cap: o.Cap = None,
    risk_aversion: o.RiskAversion = None,
    market: Market = None,
    seed: o.Seed = None,
    db: o.Database = None,
    out: Out = None,
    as_json: o.AsJson = False,
    log_json: o.LogJson = False,
) -> int:
    """Work a parent order live, on paper."""
    if not paper:
        raise InputError("run needs a mode: give --paper (no order leaves this machine)")
    order = o.order_values(
        side=side,
        quantity=quantity,
        notional=notional,
        benchmark=benchmark,
        min_duration=min_duration,
        max_duration=max_duration,
        interval=interval,
        algo=algo,
        tactic=tactic,
        shadows=shadow,
        limit_price=limit_price,
        participation_cap=participation_cap,
        risk_aversion=risk_aversion,
    )
    settings = _settings(config, order, exchange, symbol, market, seed, db, out)
    o.set_up_logging(log_json)
    result = _stream(settings, as_json, trade=True, seconds=None)
    if as_json:
        o.emit(result.to_json())
    else:
        o.show_run(result)
    if result.interrupted:
        return 130
    return 0 if result.succeeded else 1


def record(
    config: o.ConfigFile = None,
    exchange: o.Exchange = None,
    symbol: o.Symbol = None,
    duration: Annotated[
        str | None, typer.Option(help="How long, as in 10m; until Ctrl-C if left out.")
    ] = None,
    market: Market = None,
    seed: o.Seed = None,
    out: Out = None,
    as_json: o.AsJson = False,
    log_json: o.LogJson = False,
) -> int:
    """Record a session without trading."""
    from agent.durations import parse_duration_ns

    settings = _settings(config, {}, exchange, symbol, market, seed, None, out)
    seconds = parse_duration_ns(duration) / 1e9 if duration else None
    o.set_up_logging(log_json)
    result = _stream(settings, as_json, trade=False, seconds=seconds)
    facts = {
        "session": str(result.path),
        "events": result.events,
        "trades": result.feed.get("trades", 0),
        "gaps": result.feed.get("gaps", 0),
    }
    if as_json:
        o.emit(facts)
    else:
        o.show_facts("Recorded", facts)
    return 130 if result.interrupted and seconds is not None else 0


def _settings(
    config: Path | None,
    order: dict[str, Any],
    exchange: str | None,
    symbol: str | None,
    market: str | None,
    seed: int | None,
    db: str | None,
    out: Path | None,
) -> Any:
    settings = o.configuration(
        config, order, exchange=exchange, symbol=symbol, seed=seed, database=db, out=out
    )
    embedded = {k: v for k, v in (("market", market), ("seed", seed)) if v is not None}
    return settings.model_copy(update={"embedded": settings.embedded.model_copy(update=embedded)})


def _stream(settings: Any, as_json: bool, *, trade: bool, seconds: float | None) -> Any:
    from agent.app.live import run_paper

    with o.live_view(plain=as_json or not trade) as view:
        return asyncio.run(run_paper(settings, view, trade=trade, seconds=seconds))


def serve_exchange(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 0,
    market: Market = None,
    seed: o.Seed = None,
    config: o.ConfigFile = None,
    as_json: o.AsJson = False,
    log_json: o.LogJson = False,
) -> int:
    """The embedded exchange by itself, for any ccxt client on this machine."""
    o.set_up_logging(log_json)
    settings = _settings(config, {}, None, None, market, seed, None, None)
    from agent.app.embedded_market import embedded_exchange
    from agent.system_clock import SystemClock

    async def serve() -> None:
        async with embedded_exchange(settings, SystemClock(), host=host, port=port) as (_, endpoint):
            facts = endpoint.to_json()
            if as_json:
                o.emit(facts)
            else:
                o.show_facts("Serving; Ctrl-C ends", facts)
            await asyncio.Event().wait()

    asyncio.run(serve())
    return 0
