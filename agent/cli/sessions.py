"""Commands on recorded sessions: replay, import."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli import options as o
from agent.core.errors import InputError


def register(app: typer.Typer) -> None:
    app.command("replay")(replay)
    app.command("import")(import_)


def replay(
    session: Annotated[Path, typer.Argument(help="Directory of a recorded session.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Recompute and compare; exit 1 on a difference.")
    ] = False,
    speed: Annotated[str, typer.Option(help="max, or a multiple of real time as in 1x, 10x.")] = "max",
    config: o.ConfigFile = None,
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
    seed: o.Seed = None,
    start: Annotated[
        str | None, typer.Option(help="Start of the order in a session of bars, as in 2025-03-03T14:30.")
    ] = None,
    db: Annotated[str | None, typer.Option(help="Store everything in this database too.")] = None,
    compare_impact: Annotated[
        bool, typer.Option("--compare-impact", help="Replay with impact off and on, side by side.")
    ] = False,
    as_json: o.AsJson = False,
    log_json: o.LogJson = False,
) -> int:
    """The same engine over a recorded session, with its own order or another."""
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
    o.set_up_logging(log_json)
    override = bool(order)
    given = override or config is not None or symbol is not None or seed is not None
    chosen = o.configuration(config, order, symbol=symbol, seed=seed) if given else None
    if compare_impact:
        if verify or db is not None or speed != "max" or start is not None:
            raise InputError(
                "--compare-impact goes with order options only: leave --verify, --speed, --start, --db out"
            )
        return _compare_impact(session, chosen, override, as_json)
    from agent.app.replay_session import replay_session
    from agent.durations import parse_time_ns
    from agent.terminal.replay_progress import replaying

    with replaying() as progress:
        done = replay_session(
            session,
            chosen,
            override=override,
            verify=verify,
            speed=_speed(speed),
            database=db,
            start_ns=None if start is None else parse_time_ns(start, "--start"),
            progress=progress,
        )
    if as_json:
        o.emit(done.to_json())
    else:
        o.show_replay(done)
    return 1 if verify and not done.result.match else 0


def _compare_impact(session: Path, config: Any, override: bool, as_json: bool) -> int:
    """Both replays' JSON, or a table of them."""
    from agent.app.impact_comparison import compare_impact

    document = compare_impact(session, config, override=override).to_json()
    if as_json:
        o.emit(document)
        return 0
    from agent.terminal.impact_tables import render_impact

    render_impact(document, o.wide_console(140))
    return 0


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        value = float(text.removesuffix("x"))
    except ValueError:
        value = 0.0
    if value <= 0:
        raise InputError(f"speed {text!r} is not understood: write max, or a multiple as in 1x or 10x")
    return value


def import_(
    files: Annotated[list[Path], typer.Argument(help="Recorded files, in any order.")],
    symbol: Annotated[
        str,
        typer.Option(help="Unified symbol: BTC/USDT, BTC/USDT:USDT (linear) or BTC/USD:BTC (inverse)."),
    ],
    out: Annotated[Path, typer.Option(help="Directory of the session to make.")],
    kind: Annotated[str, typer.Option("--format", help="binance-raw, tardis-csv or klines.")] = "binance-raw",
    tick_size: Annotated[str | None, typer.Option(help="Tick; inferred when not given.")] = None,
    lot_size: Annotated[str | None, typer.Option(help="Lot; inferred when not given.")] = None,
    contract_size: Annotated[
        str | None, typer.Option(help="What one contract is worth; known for Binance.")
    ] = None,
    calendar: Annotated[
        str | None, typer.Option(help="Of klines whose market closes: its calendar, as in XNYS.")
    ] = None,
    as_json: o.AsJson = False,
    log_json: o.LogJson = False,
) -> int:
    """Make a session from market data that others recorded."""
    o.set_up_logging(log_json)
    from agent.app.importing import import_files
    from agent.terminal.import_tables import reading

    units = (
        _amount(tick_size, "tick size"),
        _amount(lot_size, "lot size"),
        _amount(contract_size, "contract size"),
    )
    with reading(files) as watch:
        report = import_files(files, kind, symbol, out, *units, calendar, watch)
    if as_json:
        o.emit(report)
    else:
        o.show_import(report)
    return 0


def _amount(text: str | None, what: str) -> Decimal | None:
    from agent.orders import parse_amount

    return None if text is None else parse_amount(text, what)
