"""A replay forgets trades and mids that no order asks for any more; its results do not change by a bit."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from agent import app
from agent.config import Config, EngineSection, Order
from agent.core.canonical import canonical_row
from agent.core.errors import InternalError
from agent.core.events import AuditEvent, DecisionTaken, StartParent
from agent.core.instrument import Instrument
from agent.core.market.tape import BAR, BarArray, EventArray, Flag, Kind
from agent.core.market.trade_bars import TradeColumns
from agent.engine.engine import Engine
from agent.orders import build_spec
from agent.summary import Summary
from agent.venue.kernel import tape_market
from agent.venue.kernel.tape_market import TapeMarket
from agent.venue.paper import PaperVenue
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


LATE = replace(ORDER, align="grid", algo="vwap", shadows=("twap",))


def live(tape: tuple[Instrument, EventArray], *, forget: bool, klines: bool) -> tuple[list[str], TapeMarket]:
    """An order at the first book, then two more; only two seconds are looked back at."""
    instrument, events = tape
    config = Config(order=ORDER, engine=EngineSection(lookback=2))
    engine = app.build_engine(config, [instrument], app.inline_policies(config))
    if forget:
        engine.forget(lambda number: 2 * S)
    if klines:
        engine.on_bars(bars_before(events, instrument))
    first = start(instrument, events, ORDER)
    commands = [
        StartParent(int(events["recv_ns"][at]), int(events["seq"][at]), spec, ())
        for n in (3, 4)
        for at in [n * len(events) // 5]
        for spec in [replace(build_spec(LATE, instrument, f"s-L{n}", None), interval_ns=S)]
    ]
    found: list[str] = []
    begin = 0
    for command in (first, *commands, None):
        cut = len(events) if command is None else int(np.flatnonzero(events["seq"] == command.seq)[0]) + 1
        for k in range(begin, cut, 4096):
            engine.advance(events[k : min(k + 4096, cut)])
            found += [canonical_row(e) for e in engine.drain()]
        begin = cut
        if command is not None:
            engine.command(command)
    engine.close(int(events["recv_ns"][-1]) + 200 * S)
    market = engine.market
    assert isinstance(market, TapeMarket)
    return found + [canonical_row(e) for e in engine.drain()], market


def bars_before(events: EventArray, instrument: Instrument) -> BarArray:
    """Klines of a quarter of a second, of the four seconds before the tape."""
    begin_ns = int(events["exch_ns"][0]) // S * S - 4 * S
    bars = np.zeros(16, BAR)
    bars["delta_ns"], bars["open_ns"] = S // 4, begin_ns + np.arange(16) * (S // 4)
    bars["recv_ns"] = events["recv_ns"][0]
    for name in ("open_ticks", "high_ticks", "low_ticks", "close_ticks"):
        bars[name] = 6_170_000
    bars["base_lots"], bars["quote_tl"], bars["trades"] = 1000, 6_170_000_000, 10
    bars["taker_base_lots"] = 500
    return bars


@pytest.mark.parametrize("klines", [False, True])
def test_a_live_run_forgets_and_decides_the_same(tape: tuple[Instrument, EventArray], klines: bool) -> None:
    """Orders may still come, and look two seconds back: rows are equal bit by bit, what is older goes."""
    kept, whole = live(tape, forget=False, klines=klines)
    less, small = live(tape, forget=True, klines=klines)
    assert less == kept
    assert sum(row.startswith("DecisionTaken") and "s-L4/" in row for row in kept) >= 2
    assert any(row.startswith("SlippageMeasured") and "s-L4" in row for row in kept)
    assert whole.trades(0).first == 0
    assert small.trades(0).first > 10_000


def test_nothing_of_a_measured_order_is_kept_but_its_end() -> None:
    """Its series, fills and views are gone once nothing can change its numbers; it cannot start again, and a
    command finds none that works."""
    (instrument,), events = synthetic_session(3, 100.0)
    config = Config(order=ORDER)
    engine = app.build_engine(config, [instrument], app.inline_policies(config))
    first = start(instrument, events, ORDER)
    cut = int(np.flatnonzero(events["seq"] == first.seq)[0]) + 1
    engine.advance(events[:cut])
    engine.command(first)
    parents = [spec.parent_id for spec in (first.spec, *first.shadows)]
    series = [weakref.ref(engine.workers[parent_id].series) for parent_id in parents]
    engine.advance(events[cut:])
    assert not engine.working
    assert engine.workers == {}
    again = StartParent(int(events["recv_ns"][-1]), int(events["seq"][-1]) + 1, first.spec, ())
    with pytest.raises(InternalError, match="started twice"):
        engine.command(again)
    other = replace(first.spec, parent_id="s-P9")
    engine.command(StartParent(again.recv_ns, again.seq + 1, other, ()))
    gc.collect()
    assert [one() for one in series] == [None] * len(parents)


def test_what_an_order_to_come_needs(tape: tuple[Instrument, EventArray]) -> None:
    """Without orders: the trades that it may look back at and one before them, and mids from now on."""
    instrument, events = tape
    config = Config(order=ORDER)
    engine = app.build_engine(config, [instrument], app.inline_policies(config))
    engine.advance(events)
    trades, now_ns = engine.market.trades(0), int(events["recv_ns"][-1])
    first, mids_ns = engine._live_needs(0, 2 * S)
    assert trades.exch_ns[first] < now_ns - 2 * S <= trades.exch_ns[first + 1]
    assert mids_ns == now_ns
    assert engine._live_needs(0, 0)[0] == len(trades.exch_ns) - 1


# --- faults, accounts and quiet markets -----------------------------------------------------------------


def troubled(events: EventArray, every: int) -> EventArray:
    """The same tape with trades that came late, and a gap after every so many rows."""
    rows = events.copy()
    trades = np.flatnonzero(rows["kind"] == Kind.TRADE)[::every]
    rows["flags"][trades] |= np.uint32(Flag.LATE)
    rows["exch_ns"][trades] -= S // 2
    gaps = rows[np.repeat(np.arange(every, len(rows), every), 2)].copy()
    gaps["kind"] = np.where(np.arange(len(gaps)) % 2, Kind.GAP_END, Kind.GAP_BEGIN)
    gaps["flags"] = int(Flag.TRADES | Flag.BOOK | Flag.LAST)
    gaps["qty_lots"] = 0
    rows = np.concatenate([rows, gaps])
    rows = rows[np.argsort(rows["recv_ns"], kind="stable")]
    rows["seq"] = np.arange(1, len(rows) + 1)
    return rows


def long_run(events: EventArray, instrument: Instrument, *, forget: bool) -> tuple[list[AuditEvent], Engine]:
    """Three orders one after another, each over and measured before the next; at the end all is settled."""
    config = Config(order=ORDER)
    engine = app.build_engine(config, [instrument], app.inline_policies(config))
    if forget:
        engine.forget(lambda number: 2 * S)
    first = start(instrument, events, ORDER)
    at_ns = [first.recv_ns + n * 80 * S for n in range(3)]
    begin = 0
    for n, ns in enumerate(at_ns):
        cut = int(np.searchsorted(events["recv_ns"], ns, side="right"))
        engine.advance(events[begin:cut])
        spec = replace(first.spec, parent_id=f"s-P{n}")
        shadows = tuple(
            replace(each, parent_id=f"s-P{n}~{each.algo}", shadow_of=spec.parent_id) for each in first.shadows
        )
        seq = int(events["seq"][cut - 1])
        engine.command(StartParent(ns, seq, spec, shadows))
        begin = cut
    for k in range(begin, len(events), 4096):
        engine.advance(events[k : k + 4096])
    return engine.drain(), engine


@pytest.fixture(scope="module")
def long_tape() -> tuple[Instrument, EventArray]:
    """Four minutes with a late trade and a gap every few moments."""
    (instrument,), events = synthetic_session(3, 240.0, trades_per_s=10.0)
    return instrument, troubled(events, 40)


def test_faults_that_no_measure_looks_at_are_forgotten(
    long_tape: tuple[Instrument, EventArray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holes and late trades of before every order's windows go; each measure and flag stays as it was."""
    monkeypatch.setattr(tape_market, "FAULTS_KEPT", 16)
    instrument, events = long_tape
    all_events, whole = long_run(events, instrument, forget=False)
    same_events, small = long_run(events, instrument, forget=True)
    kept = [canonical_row(e) for e in all_events]
    assert [canonical_row(e) for e in same_events] == kept
    assert any(row.startswith("SlippageMeasured") and "gap" in row and "late_trades" in row for row in kept)
    since_ns = int(events["recv_ns"][0]) + 78 * S  # the first order is over and measured soon after
    faults, all_of_them = small.market.faults(0), whole.market.faults(0)
    assert min(hole.end_ns for hole in all_of_them.holes()) < since_ns
    assert min(hole.end_ns for hole in faults.holes()) > since_ns
    assert min(int(rows[:, 1].min()) for rows in faults._late) > since_ns
    assert len(faults) < len(all_of_them)


def test_a_shadows_lane_is_forgotten_once_it_is_measured(long_tape: tuple[Instrument, EventArray]) -> None:
    """Its account, its fees, its gate and its place among the open orders; those of the real orders stay."""
    instrument, events = long_tape
    _, engine = long_run(events, instrument, forget=True)
    venue = engine.venue
    assert isinstance(venue, PaperVenue)
    assert not engine.workers
    assert engine._lanes == 9
    assert venue._ledger._accounts.keys() == venue._ledger._books.keys() == {0}
    assert venue._open._where == {}
    assert {lane for lane, _ in engine._desk._checks._gates} == {0}


def test_of_an_order_that_is_history_one_decision_is_kept(long_tape: tuple[Instrument, EventArray]) -> None:
    """Once another has begun; the last order is still shown with all of them. Counts and measures stay."""
    instrument, events = long_tape
    found, _ = long_run(events, instrument, forget=True)
    summary = Summary([instrument])
    summary.add(found)
    records = list(summary.records.values())
    assert [len(record.decisions) for record in records[:8]] == [1] * 8
    assert any(len(record.decisions) > 1 for record in records[8:])
    decided = Counter(event.parent_id for event in found if isinstance(event, DecisionTaken))
    assert {parent_id: r.decision_count for parent_id, r in summary.records.items()} == decided
    assert max(decided.values()) > 1
    assert all(record.own is not None for record in records)


def test_a_quiet_market_keeps_no_more_than_it_needs_beside_a_busy_one() -> None:
    """Its store is as long as the busy one's, and is not let fill up to that."""
    instruments, events = synthetic_session(3, 18.0, ("BTC/USDT", "ETH/USDT"), trades_per_s=5000.0)
    quiet = events["instrument"] == 1
    events = events[~quiet | (np.cumsum(quiet) % 2 == 0) | (events["kind"] != Kind.TRADE)]
    config = Config(order=ORDER)
    engine = app.build_engine(config, instruments, app.inline_policies(config))
    engine.forget(lambda number: S)
    most = [0, 0]
    for k in range(0, len(events), 2048):
        engine.advance(events[k : k + 2048])
        most = [max(most[n], len(engine.market.trades(n).exch_ns)) for n in (0, 1)]
    whole = int(np.count_nonzero((events["kind"] == Kind.TRADE) & (events["instrument"] == 1)))
    market = engine.market
    assert isinstance(market, TapeMarket)
    assert engine.market.trades(0).first > 0
    assert whole > market.state.trade_ns.shape[1]
    assert most[1] < market.state.trade_ns.shape[1] * 0.75
