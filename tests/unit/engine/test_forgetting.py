"""A replay forgets trades and mids that no order asks for any more; its results do not change by a bit."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from agent import app
from agent.config import Config, Order
from agent.core.canonical import canonical_row
from agent.core.errors import InternalError
from agent.core.events import StartParent
from agent.core.instrument import Instrument
from agent.core.market.tape import EventArray
from agent.core.market.trade_bars import TradeColumns
from agent.engine.engine import Engine
from agent.venue.kernel.tape_market import TapeMarket
from connectors.embedded.synthetic.synthetic_market import synthetic_session
from tests.fakes import S, start

ORDER = Order(
    quantity=Decimal(2),
    min_duration=2 * S,
    max_duration=4 * S,
    interval=S,
    algo="optimal_stopping",
    tactic="peg",
    shadows=("twap", "vwap", "pov"),
)


@pytest.fixture(scope="module")
def tape() -> tuple[Instrument, EventArray]:
    """12 s of a market so busy that a store of 16,384 trades is full several times over."""
    instruments, events = synthetic_session(3, 12.0, trades_per_s=5000.0)
    return instruments[0], events


def run(
    tape: tuple[Instrument, EventArray], *, forget: bool, rows: int = 4096
) -> tuple[list[str], TapeMarket]:
    """Two orders, the second later and on a grid of its own; canonical rows and the market at the end."""
    instrument, events = tape
    config = Config(order=ORDER)
    engine: Engine = app.build_engine(config, [instrument], app.inline_policies(config))
    first = start(instrument, events, ORDER)
    at = len(events) // 6
    later = replace(
        first.spec, parent_id="s-P2", interval_ns=S // 2, min_duration_ns=S, max_duration_ns=3 * S
    )
    second = StartParent(int(events["recv_ns"][at]), int(events["seq"][at]), later, ())
    cuts = [int(np.flatnonzero(events["seq"] == c.seq)[0]) + 1 for c in (first, second)]
    found: list[str] = []
    begin = 0
    for cut, command in ((cuts[0], first), (cuts[1], second), (len(events), None)):
        for k in range(begin, cut, rows):
            engine.advance(events[k : min(k + rows, cut)])
            found += [canonical_row(e) for e in engine.drain()]
        begin = cut
        if command is not None:
            engine.command(command)
        if command is second and forget:
            engine.no_more_commands()
    engine.close(int(events["recv_ns"][-1]))
    market = engine.market
    assert isinstance(market, TapeMarket)
    return found + [canonical_row(e) for e in engine.drain()], market


def test_forgetting_changes_nothing_but_memory(tape: tuple[Instrument, EventArray]) -> None:
    """Decisions, orders, fills and costs are equal bit by bit; the stores are a fraction of the whole."""
    kept, whole = run(tape, forget=False)
    less, small = run(tape, forget=True)
    assert less == kept
    assert any(row.startswith("SlippageMeasured") and "s-P2" in row for row in kept)
    assert whole.trades(0).first == 0
    assert small.trades(0).first > 0
    assert small.state.trade_ns.shape[1] < whole.state.trade_ns.shape[1]
    assert len(small.trades(0).exch_ns) + small.trades(0).first == len(whole.trades(0).exch_ns)


def test_batches_cannot_matter_to_what_is_forgotten(tape: tuple[Instrument, EventArray]) -> None:
    """Fed row by row or as a whole, the results are the same."""
    assert run(tape, forget=True, rows=331)[0] == run(tape, forget=True, rows=10**9)[0]


def test_what_is_forgotten_cannot_be_asked_for() -> None:
    """A look back beyond what is there is our own fault, and stops the run."""
    column = np.arange(5, dtype=np.int64)
    trades = TradeColumns(column, column, column, column.astype(np.int8), first=10)
    assert trades.since(12).exch_ns.tolist() == [2, 3, 4]
    assert (trades.since(15).first, len(trades.since(15).exch_ns)) == (15, 0)
    with pytest.raises(InternalError, match="trade 9 is needed, and those before 10 are forgotten"):
        trades.since(9)


def test_a_command_after_the_last_is_refused(tape: tuple[Instrument, EventArray]) -> None:
    """Once told that no command follows, the engine takes none: its bars would lack their past."""
    instrument, events = tape
    config = Config(order=ORDER)
    engine = app.build_engine(config, [instrument], app.inline_policies(config))
    engine.no_more_commands()
    with pytest.raises(InternalError, match="after the last one was announced"):
        engine.command(start(instrument, events, ORDER))
