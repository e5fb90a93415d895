"""Slices and merges lose nothing: the same book at the end, the same events put together again."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent import app
from agent.config import Config, Order
from agent.core.events import ChildFilled, StartParent
from agent.core.instrument import Instrument
from agent.core.market.tape import EVENT, EventArray, Flag, Kind
from agent.orders import build_spec
from connectors.embedded.synthetic.synthetic_market import synthetic_session
from storage.recordings.merging import in_order, merge_sessions
from storage.recordings.opening_rows import Opening
from storage.recordings.session import SessionHeader, SessionReader, SessionWriter
from storage.recordings.slicing import Cut, slice_session

Book = dict[tuple[int, int, int], int]


def written(path: Path, seed: int, seconds: float) -> EventArray:
    """A session of two symbols with a gap in it; returns its tape."""
    instruments, events = synthetic_session(seed, seconds, ("BTC/USDT", "ETH/USDT"))
    marks = np.zeros(2, EVENT)
    marks["recv_ns"] = events["recv_ns"][[len(events) // 3, len(events) // 2]]
    marks["kind"], marks["flags"] = [Kind.GAP_BEGIN, Kind.GAP_END], Flag.LAST | Flag.BOOK
    events = np.concatenate([events, marks])
    events = events[np.argsort(events["recv_ns"], kind="stable")]
    events["seq"] = np.arange(1, len(events) + 1)
    writer = SessionWriter.create(
        path, SessionHeader(path.name, tuple(instruments), 0, clock_offsets={"binance": 5})
    )
    writer.events(events)
    writer.close(int(events["recv_ns"][-1]))
    return events


def book(events: EventArray) -> Book:
    """Each instrument's book after the tape, row by row."""
    found: Book = {}
    for row in events.tolist():
        number, kind, side = row[6], row[7], row[8]
        if kind == Kind.SNAPSHOT_BEGIN:
            found = {key: lots for key, lots in found.items() if key[0] != number}
        elif kind == Kind.LEVEL:
            found[(number, side, row[4])] = row[5]
            if not row[5]:
                del found[(number, side, row[4])]
    return found


def received(path: Path) -> EventArray:
    """The rows of a session that were received in it, their numbering left out."""
    events = SessionReader(path).events()
    return unnumbered(events[events["flags"] & Flag.CARRIED == 0])


def unnumbered(events: EventArray) -> EventArray:
    events = events.copy()
    events["seq"] = 0
    return events


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(1, 5), cut=st.floats(0.02, 0.98), second=st.floats(0.01, 0.99))
def test_a_slice_ends_with_the_same_book(seed: int, cut: float, second: float) -> None:
    """Cut anywhere, the slice's own rows give the book that the whole session has at the slice's end."""
    with tempfile.TemporaryDirectory() as folder:
        whole = written(Path(folder) / "whole", seed, 2.0)
        start = int(whole["recv_ns"][int(cut * len(whole))])
        end = start + 1 + round((int(whole["recv_ns"][-1]) - start) * second)
        done = slice_session(Path(folder) / "whole", Path(folder) / "cut", Cut(start, end))
        inside = whole[(whole["recv_ns"] >= start) & (whole["recv_ns"] < end)]
        assert np.array_equal(received(Path(folder) / "cut"), unnumbered(inside))
        assert done.events == len(inside)
        tape = SessionReader(Path(folder) / "cut").events()
        assert book(tape) == book(whole[whole["recv_ns"] < end])
        assert (np.diff(tape["recv_ns"]) >= 0).all()
        assert np.array_equal(tape["seq"], np.arange(1, len(tape) + 1))
        gap = whole["recv_ns"][whole["kind"] == Kind.GAP_BEGIN][0] < start
        closed = whole["recv_ns"][whole["kind"] == Kind.GAP_END][0] < start
        opening = tape[tape["flags"] & Flag.CARRIED != 0]
        assert (Kind.GAP_BEGIN in opening["kind"]) == (gap and not closed)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(1, 5), cuts=st.lists(st.floats(0.7, 0.95), min_size=1, max_size=3))
@example(seed=2, cuts=[0.75390625, 0.7544916877287876])  # a part in which one of the symbols is silent
def test_slices_merge_to_the_original(seed: int, cuts: list[float]) -> None:
    """A session cut at any moments and put together again, in any order: the same events."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = written(folder / "whole", seed, 1.5)
        times = whole["recv_ns"].tolist()
        edges = sorted({times[0], *(times[int(c * len(whole))] for c in cuts), times[-1] + 1})
        paths = [folder / f"part{k}" for k in range(len(edges) - 1)]
        for path, start, end in zip(paths, edges, edges[1:], strict=False):
            slice_session(folder / "whole", path, Cut(start, end, history_ns=10**9))
        done = merge_sessions(paths[::-1], folder / "again")
        merged = SessionReader(folder / "again")
        assert np.array_equal(unnumbered(merged.events()), unnumbered(whole))
        assert [i.symbol for i in merged.instruments] == ["BTC/USDT", "ETH/USDT"]
        assert merged.header.clock_offsets == {"binance": 5}
        assert all(join.endswith("without a gap") for join in done.joins)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_streams_merge_in_order_of_time(data: st.DataObject) -> None:
    """However they are cut into batches: all rows, by time, then by stream, then as they were."""
    rows = []
    streams = []
    for at in range(data.draw(st.integers(1, 3))):
        times = sorted(data.draw(st.lists(st.integers(0, 9), max_size=12)))
        stream = np.zeros(len(times), EVENT)
        stream["recv_ns"], stream["instrument"], stream["seq"] = times, at, np.arange(len(times))
        size = data.draw(st.integers(1, 5))
        streams.append(iter([stream[k : k + size] for k in range(0, len(stream), size)]))
        rows += stream.tolist()
    merged = [row for batch in in_order(streams) for row in batch.tolist()]
    assert merged == sorted(rows, key=lambda r: (r[0], r[6], r[2]))


@pytest.mark.parametrize("symbol", ["BTC/USDT", "ETH/USDT"])
def test_symbols_part_and_meet_again(symbol: str, tmp_path: Path) -> None:
    """Each symbol cut out for itself is numbered from 0; merged they hold every event of both."""
    whole = written(tmp_path / "whole", 1, 2.0)
    number = ["BTC/USDT", "ETH/USDT"].index(symbol)
    slice_session(tmp_path / "whole", tmp_path / "one", Cut(symbols=(symbol,)))
    one = SessionReader(tmp_path / "one")
    assert [(i.number, i.symbol) for i in one.instruments] == [(0, symbol)]
    mine = unnumbered(whole[whole["instrument"] == number])
    mine["instrument"] = 0
    assert np.array_equal(received(tmp_path / "one"), mine)
    other = ["ETH/USDT", "BTC/USDT"][number]
    slice_session(tmp_path / "whole", tmp_path / "two", Cut(symbols=(other,)))
    merge_sessions([tmp_path / "one", tmp_path / "two"], tmp_path / "both")
    both = SessionReader(tmp_path / "both")
    assert [i.symbol for i in both.instruments] == [symbol, other]
    assert np.array_equal(np.sort(both.events()["ext_id"]), np.sort(whole["ext_id"]))


def test_an_unfinished_snapshot_is_left_open() -> None:
    """Cut inside a snapshot, what was seen of it is carried and its own end closes it."""
    rows = np.zeros(3, EVENT)
    rows["kind"] = [Kind.SNAPSHOT_BEGIN, Kind.LEVEL, Kind.LEVEL]
    rows["price_ticks"], rows["qty_lots"], rows["side"] = [0, 5, 7], [0, 2, 3], [0, 1, -1]
    opening = Opening()
    opening.add(rows)
    said = opening.rows(0, 99)
    assert said["kind"].tolist() == [Kind.SNAPSHOT_BEGIN, Kind.LEVEL, Kind.LEVEL]
    assert said["recv_ns"].tolist() == [99] * 3
    assert not (said["flags"] & Flag.LAST).any()


def fills(instruments: list[Instrument], events: EventArray, at: int, order: Order) -> list[tuple[int, ...]]:
    """(time, price, lots, maker) of every fill of an order that starts right before row ``at``."""
    config = Config(order=order)
    engine = app.build_engine(config, instruments, app.inline_policies(config))
    spec = build_spec(order, instruments[0], "P1", None)
    engine.advance(events[:at])
    engine.command(StartParent(int(events["recv_ns"][at]), int(events["seq"][at]) - 1, spec, ()))
    engine.advance(events[at:])
    engine.close(int(events["recv_ns"][-1]))
    found = [e for e in engine.drain() if isinstance(e, ChildFilled)]
    return [(e.fill_ns, e.price_ticks, e.qty_lots, int(e.maker)) for e in found]


@pytest.mark.parametrize("tactic", ["sweep", "peg"])
def test_an_order_fills_the_same_on_a_slice(tactic: str, tmp_path: Path) -> None:
    """An order begun at the cut gets the fills that it gets there on the whole session, resting or not."""
    whole = written(tmp_path / "whole", 3, 12.0)
    at = int(np.searchsorted(whole["recv_ns"], whole["recv_ns"][len(whole) // 2]))
    slice_session(tmp_path / "whole", tmp_path / "cut", Cut(start_ns=int(whole["recv_ns"][at])))
    cut = SessionReader(tmp_path / "cut")
    first = int(np.flatnonzero(cut.events()["flags"] & Flag.CARRIED == 0)[0])
    order = Order(
        quantity=Decimal(1),
        algo="twap",
        tactic=tactic,
        interval=10**9,
        min_duration=2 * 10**9,
        max_duration=4 * 10**9,
        shadows=(),
    )
    instruments = list(cut.instruments)
    expected = fills(instruments, whole, at, order)
    assert len(expected) > 3
    assert fills(instruments, cut.events(), first, order) == expected
