"""``agent replay``: the same engine over a recorded session."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli import options as o
from agent.cli import output
from agent.core.errors import InputError
from agent.core.secret_url import DatabaseUrl
from agent.durations import parse_time_ns
from agent.entry import log_lines
from agent.entry.hints import agent_command
from agent.order_list.order_texts import OrderValues

if TYPE_CHECKING:
    from agent.app.replay_session import Replayed
    from agent.config import Config

IMPACT_WIDTH = 140


@o.order_options
def replay(
    session: o.SessionPath,
    order: OrderValues,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare with what was recorded; exit 1 if it differs.")
    ] = False,
    speed: Annotated[
        str, typer.Option(metavar="max|1x|10x", help="As fast as possible, or a multiple of real time.")
    ] = "max",
    config: o.ConfigFile = None,
    symbol: o.Symbol = None,
    seed: o.ReplaySeed = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Start of the order in a session without a book (bars, trades), as in 2025-03-03T14:30.",
        ),
    ] = None,
    db: Annotated[
        DatabaseUrl | None,
        typer.Option(parser=DatabaseUrl, metavar="URL", help="Store the replay in this execution log too."),
    ] = None,
    compare_impact: Annotated[
        bool, typer.Option("--compare-impact", help="Replay with impact off and on, side by side.")
    ] = False,
    as_json: o.AsJson = False,
    log_json: o.LogJson = False,
) -> int:
    """Run the same engine over a recorded session, with its own order or another.

    An order option gives an order of your own in place of the recorded ones: what is left out is the
    recorded order's. Exit code 1 if the recording differs (--verify), or if an order did not complete.
    """
    log_lines.set_up(always_json=log_json)
    override = bool(order)
    given = override or config is not None or symbol is not None or seed is not None
    chosen = _configuration(session, config, order, symbol, seed) if given else None
    if compare_impact:
        if verify or db is not None or speed != "max" or start is not None:
            raise InputError(
                "--compare-impact goes with order options only: leave --verify, --speed, --start, --db out"
            )
        return _compare_impact(session, chosen, override, as_json)
    from agent.app.replay_session import replay_session
    from agent.terminal.replay_view import replay_progress

    with replay_progress(time.monotonic) as progress:
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
        output.emit(done.to_json())
    else:
        _show(done)
    return 0 if (done.result.match if verify else done.summary.completed) else 1


def _configuration(
    session: Path, config: Path | None, order: OrderValues, symbol: str | None, seed: int | None
) -> Config:
    """What the session ran with and the order it recorded, with the options on top; or --config's."""
    from agent.app.recorded_order import recorded_base

    recorded = recorded_base(session, order, symbol)
    if config is not None or recorded is None:
        return o.configuration(config, order, symbol=symbol, seed=seed)
    return o.overlaid(recorded, order, {"symbol": symbol, "seed": seed})


def _compare_impact(session: Path, config: Config | None, override: bool, as_json: bool) -> int:
    """Both replays' JSON, or a table of them."""
    from agent.app.impact_comparison import compare_impact

    with output.spinner(f"replaying {session} twice, with impact off and on"):
        found = compare_impact(session, config, override=override)
    if as_json:
        output.emit(found.to_json())
        return 0
    from agent.terminal.impact_tables import render_impact

    render_impact(found.laws, found.sources, found.orders(), output.console_of(IMPACT_WIDTH))
    return 0


def _show(done: Replayed) -> None:
    """What the replay did, the summary of its orders, and where it is stored."""
    from agent.terminal.closing_tables import render_summary
    from agent.terminal.replay_view import render_replay

    console = output.console_of()
    render_replay(done.result, console)
    for note in done.notes:
        console.print(note, style="yellow", markup=False, highlight=False)
    render_summary(done.summary, console)
    stored = done.stored
    if stored is not None:
        earlier = ", in place of the same replay stored before" if stored.replaced else ""
        typer.echo(f"\nstored in {stored.database} as session {stored.session}{earlier}")
        look = agent_command("log", "parents", "--db", stored.database, "--session", stored.session)
        typer.echo(f"look at it: {look}")


def _speed(text: str) -> float | None:
    """The multiple of real time; None for as fast as possible. Raises InputError."""
    if text == "max":
        return None
    try:
        value = float(text.removesuffix("x"))
    except ValueError:
        value = 0.0
    if value <= 0:
        raise InputError(f"speed {text!r} is not understood: write max, or a multiple as in 1x or 10x")
    return value
