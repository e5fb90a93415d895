"""Sentences of docs/sessions.md on cutting and joining, shown on sessions of a small synthetic market."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.app.replay_session import replay_session
from agent.config import Config, Order, Venue
from agent.core.errors import RecordingError
from agent.core.events import AuditEvent, ChildFilled
from agent.core.instrument import Instrument
from agent.core.market.tape import EventArray, Flag, Kind
from agent.venue.kernel.tape_market import TapeMarket
from agent.venue.kernel.update_end import READ_LATE_NS
from storage.recordings.session import SessionHeader, SessionReader, SessionWriter
from storage.recordings.slicing import Cut, slice_session, utc
from storage.recordings.staging import staged
from tests.every_key.command_line import call
from tests.fakes import S, small_session, synthetic_tape


def made(*argv: object, code: int = 0) -> Any:
    """What ``agent sessions ... --json`` says it made."""
    done = call("agent", "sessions", *argv, "--json")
    assert done.code == code, done.err
    return json.loads(done.out)


def recorded(
    path: Path, events: EventArray, instrument: Instrument, segment_bytes: int = 1 << 28, **header: Any
) -> Path:
    """A session of rows that were received."""
    told = SessionHeader(path.name, (instrument,), int(events["recv_ns"][0]), **header)
    writer = SessionWriter.create(path, told, segment_bytes=segment_bytes)
    for at in range(0, len(events), 100):
        writer.events(events[at : at + 100])
    writer.close(int(events["recv_ns"][-1]))
    return path


@pytest.fixture
def market(tmp_path: Path) -> Path:
    """Twelve seconds."""
    instrument, events = synthetic_tape(12.0)
    return recorded(tmp_path / "market", events, instrument)


def test_a_cut_is_named_by_times_or_durations(market: Path, tmp_path: Path) -> None:
    """A duration counts from the session's start: the same rows as by the time of day."""
    first = int(SessionReader(market).events()["recv_ns"][0])
    edges = (("2s", "5s"), tuple(str(np.datetime64(first + at * S, "ns")) + "Z" for at in (2, 5)))
    for name, (start, end) in zip(("a", "b"), edges, strict=True):
        done = made("slice", market, "--from", start, "--to", end, "--out", tmp_path / name)
        assert (done["start_ns"], done["end_ns"]) == (first + 2 * S, first + 5 * S)
    a, b = (SessionReader(tmp_path / name).events() for name in "ab")
    assert np.array_equal(a, b)


def test_history_keeps_its_times_before_what_is_carried(market: Path, tmp_path: Path) -> None:
    """Two seconds of trades at their own times, then the book at the cut, then what was received."""
    whole = SessionReader(market).events()
    cut_ns = int(whole["recv_ns"][0]) + 6 * S
    done = made("slice", market, "--from", "6s", "--history", "2s", "--out", tmp_path / "s")
    tape = SessionReader(tmp_path / "s").events()
    opening = tape[: done["carried"]]
    assert (opening["flags"] & Flag.CARRIED != 0).all()
    assert not (tape[done["carried"] :]["flags"] & Flag.CARRIED).any()
    past = opening[opening["flags"] & Flag.HISTORY != 0]
    trades = whole[(whole["kind"] == Kind.TRADE) & (whole["recv_ns"] < cut_ns)]
    trades = trades[trades["exch_ns"] >= cut_ns - 2 * S]
    assert len(trades) > 10
    assert np.array_equal(past[["recv_ns", "ext_id"]], trades[["recv_ns", "ext_id"]])
    book = opening[len(past) :]
    assert set(book["recv_ns"].tolist()) == {cut_ns}
    assert {Kind(kind) for kind in book["kind"]} == {Kind.SNAPSHOT_BEGIN, Kind.LEVEL, Kind.SNAPSHOT_END}


def test_an_update_is_received_at_one_moment() -> None:
    """All rows up to the one that ends it."""
    _, events = synthetic_tape(5.0)
    same_moment(events)


def same_moment(events: EventArray) -> None:
    """Every row of the tape was received when the row was that ends its update."""
    ends = np.flatnonzero(events["flags"] & Flag.LAST != 0)
    assert len(ends) > 10
    rows = events[: ends[-1] + 1]
    its_end = ends[np.searchsorted(ends, np.arange(len(rows)))]
    assert np.array_equal(rows["recv_ns"], events["recv_ns"][its_end])


def test_what_a_slice_takes_along(tmp_path: Path) -> None:
    """Instruments, clock offsets, configuration, an importer's report, where it is from; no orders."""
    run = small_session(tmp_path / "run")
    instrument, events = synthetic_tape(5.0)
    told = {"clock_offsets": {"binance": 7}, "config": {"x": 1}, "imported": {"lines": 3}}
    market = recorded(tmp_path / "market", events, instrument, **told)
    for path in (run, market):
        out = tmp_path / f"{path.name}-cut"
        done = made("slice", path, "--from", "1s", "--to", "3s", "--out", out)
        old, new = (SessionReader(one).header for one in (path, out))
        assert (new.instruments, new.config) == (old.instruments, old.config)
        assert (new.clock_offsets, new.imported) == (old.clock_offsets, old.imported)
        span = {"from_ns": done["start_ns"], "to_ns": done["end_ns"], "symbols": ["BTC/USDT"]}
        assert new.origin == {"session": old.session} | span
        assert SessionReader(out).outcome() == []
        assert [entry["kind"] for entry in SessionReader(out).journal()] == ["end"]
    assert SessionReader(run).outcome()


@pytest.mark.parametrize("quiet_ns", [READ_LATE_NS // 2, 3 * READ_LATE_NS])
def test_the_age_of_a_carried_book(tmp_path: Path, quiet_ns: int) -> None:
    """Of a book updated half a second before the cut: from the cut. Three seconds: from its stamp."""
    instrument, events = synthetic_tape(12.0)
    events = events[events["kind"] != Kind.BBO]
    last = int(np.flatnonzero((events["kind"] == Kind.LEVEL) & (events["flags"] & Flag.LAST != 0))[50])
    told_ns, cut_ns = int(events["exch_ns"][last]), int(events["exch_ns"][last]) + quiet_ns
    silent = (events["recv_ns"] > events["recv_ns"][last]) & (events["recv_ns"] < cut_ns + S)
    events = events[~silent | (events["kind"] == Kind.TRADE)]
    path = recorded(tmp_path / "s", events, instrument)
    slice_session(path, tmp_path / "cut", Cut(start_ns=cut_ns))
    tape = SessionReader(tmp_path / "cut").events()
    opening = int(np.count_nonzero(tape["flags"] & Flag.CARRIED))
    market = TapeMarket([instrument])
    market.run(tape[:opening], 0, 2**62)
    assert market.book_ns(0) == (told_ns if quiet_ns > READ_LATE_NS else cut_ns)
    market.run(tape[opening:], 0, 2**62)
    assert market.book_ns(0) > cut_ns + S


def test_another_precision_is_another_instrument(tmp_path: Path) -> None:
    """The same symbol with a tenth of the tick."""
    instrument, events = synthetic_tape(6.0)
    finer = replace(instrument, tick=instrument.tick / 10)
    early = events["recv_ns"] < events["recv_ns"][0] + 3 * S
    for name, one, rows in (("a", instrument, early), ("b", finer, ~early), ("c", instrument, ~early)):
        recorded(tmp_path / name, events[rows], one)
    for second, count in (("b", 2), ("c", 1)):
        made("merge", tmp_path / "a", tmp_path / second, "--out", tmp_path / f"a{second}")
        merged = SessionReader(tmp_path / f"a{second}").instruments
        assert [one.number for one in merged] == list(range(count))
        assert {one.symbol for one in merged} == {"BTC/USDT"}


def test_overlap_is_refused_with_both_times(market: Path, tmp_path: Path) -> None:
    """Until when the one holds the symbol, and from when the other."""
    made("slice", market, "--to", "5s", "--out", tmp_path / "a")
    made("slice", market, "--from", "4s", "--out", tmp_path / "b")
    done = call("agent", "sessions", "merge", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "c")
    first = int(SessionReader(market).events()["recv_ns"][0])
    assert done.code == 2
    assert f"until {utc(first + 5 * S - 1)} and in " in done.err
    assert f"from {utc(first + 4 * S)}" in done.err
    assert not (tmp_path / "c").exists()


def test_fills_near_a_joint_are_marked(tmp_path: Path) -> None:
    """Two parts with two seconds between them: a gap of unknown loss, and fills next to it say so."""
    instrument, events = synthetic_tape(40.0)
    market, c = recorded(tmp_path / "market", events, instrument), tmp_path / "c"
    made("slice", market, "--to", "14s", "--out", tmp_path / "a")
    made("slice", market, "--from", "16s", "--out", tmp_path / "b")
    made("merge", tmp_path / "a", tmp_path / "b", "--out", c)
    tape = SessionReader(c).events()
    edges = tape[(tape["kind"] == Kind.GAP_BEGIN) | (tape["kind"] == Kind.GAP_END)]
    assert edges["kind"].tolist() == [Kind.GAP_BEGIN, Kind.GAP_END]
    assert edges["qty_lots"].tolist() == [0, 0]
    assert edges["instrument"].tolist() == [0, 0]
    fills = fills_of(c)
    near_ns = Venue().near_gap
    begin_ns, end_ns = edges["recv_ns"].tolist()
    near = [begin_ns <= fill.fill_ns < end_ns + near_ns for fill in fills]
    assert [fill.near_gap for fill in fills] == near
    assert {True, False} == set(near)


def fills_of(path: Path) -> list[ChildFilled]:
    """Of an order worked on the session from its first book on."""
    order = Order(
        quantity=Decimal(2), algo="twap", interval=S, min_duration=25 * S, max_duration=30 * S, shadows=()
    )
    happened: list[AuditEvent] = []
    config = Config(order=order)
    replay_session(path, config, override=True, verify=False, speed=None, watch=happened.extend)
    return [event for event in happened if isinstance(event, ChildFilled)]


def test_what_is_left_of_a_damaged_session_is_joined(market: Path, tmp_path: Path) -> None:
    """The rows before the damage and those of the other session; the loss is a warning."""
    made("slice", market, "--to", "5s", "--out", tmp_path / "a")
    instrument, events = synthetic_tape(12.0)
    late = events[events["recv_ns"] > int(events["recv_ns"][0]) + 6 * S]
    torn = recorded(tmp_path / "torn", late, instrument, segment_bytes=20_000)
    last = sorted(torn.glob("tape-*"))[-1]
    last.write_bytes(last.read_bytes()[:-3000])
    done = call("agent", "sessions", "merge", tmp_path / "a", torn, "--out", tmp_path / "c")
    assert done.code == 0, done.err
    assert f"warning: {torn}: {last.name}: damaged after tape row" in done.err
    assert made("list", tmp_path / "c", "--check")["sessions"][0]["state"] == "whole"
    merged, left = SessionReader(tmp_path / "c").events(), SessionReader(torn).events()
    assert 0 < len(left) < len(late)
    assert len(merged) == len(SessionReader(tmp_path / "a").events()) + len(left) + 2


def test_a_new_session_appears_whole(tmp_path: Path) -> None:
    """Beside its place until its block ends; nothing is there where the block fails."""
    instrument, events = synthetic_tape(1.0)
    out = tmp_path / "new"
    header = SessionHeader("new", (instrument,), 0)
    with pytest.raises(RecordingError, match="free some space"), staged(out, header):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []
    with staged(out, header) as writer:
        writer.events(events)
        writer.close(1)
        assert [one.name.startswith(".new.") for one in tmp_path.iterdir()] == [True]
    assert [one.name for one in tmp_path.iterdir()] == ["new"]
    assert np.array_equal(SessionReader(out).events(), events)
