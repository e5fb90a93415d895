"""What is said of a recorded session without replaying it."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np

from agent.core.market.tape import BAR
from storage.log.flat_values import flat
from storage.recordings.catalogue import find_session, list_sessions, look_at
from storage.recordings.inspection import inspect_session
from storage.recordings.session import SessionReader, SessionWriter
from storage.recordings.slicing import Cut, slice_session, span
from tests.fakes import small_session
from tests.unit.storage.test_session import HEADER, _tape


def test_a_session_of_a_tape(tmp_path: Path) -> None:
    """Its rows, its order and how that ended; it has no bars."""
    path = small_session(tmp_path / "s")
    events = SessionReader(path).events()
    found = look_at(path)
    assert (found.state, found.events, found.bars, found.symbols) == ("whole", len(events), 0, ["BTC/USDT"])
    assert (found.start_ns, found.end_ns) == (int(events["recv_ns"][0]), int(events["recv_ns"][-1]))
    assert [(order.id, order.algo) for order in found.orders] == [("s-P1", "optimal_stopping")]
    assert found.problems == []
    assert found.bytes == sum(file.stat().st_size for file in path.iterdir())
    assert [one.session for one in list_sessions(tmp_path)] == ["s"]


def test_a_session_of_bars_that_was_cut_off(tmp_path: Path) -> None:
    """Its bars are counted; nobody said how it ended."""
    writer = SessionWriter.create(tmp_path / "b", HEADER)
    writer.bars(np.zeros(3, BAR))
    writer.abandon()
    found = look_at(tmp_path / "b")
    assert (found.events, found.bars) == (0, 3)
    assert found.state != "whole"


def test_a_session_that_was_cut_off_can_be_sliced_to_its_last_row(tmp_path: Path) -> None:
    """Its end is where its rows end: it is read through for that."""
    writer = SessionWriter.create(tmp_path / "s", HEADER)
    for first in range(0, 40_000, 20_000):
        writer.events(_tape(20_000, first))
    writer.abandon()
    tape = _tape(40_000)
    assert span(SessionReader(tmp_path / "s")) == (int(tape["recv_ns"][0]), int(tape["recv_ns"][-1]))
    slice_session(tmp_path / "s", tmp_path / "whole", Cut())
    sliced = SessionReader(tmp_path / "whole")
    assert np.array_equal(sliced.events()["ext_id"], tape["ext_id"])
    assert sliced.end_ns is not None


def test_the_last_session_is_the_newest_whatever_its_name(tmp_path: Path) -> None:
    """An import of yesterday called zz is not the last where a run of today is called 2026."""
    for name, age_s in (("zz", 86_400), ("20261129T120000-000", 0)):
        small_session(tmp_path / name)
        moment = time.time() - age_s
        os.utime(tmp_path / name / "session.json", (moment, moment))
    assert find_session(Path("last"), lambda: tmp_path) == tmp_path / "20261129T120000-000"


def test_bars_of_inverse_contracts_turn_over_what_they_are_worth(tmp_path: Path) -> None:
    """200 contracts of 100 USD are 20,000 USD, whatever the price."""
    inverse = replace(
        HEADER.instruments[0],
        symbol="BTC/USD:BTC",
        quote="USD",
        settle="BTC",
        multiplier=Decimal(100),
        inverse=True,
    )
    writer = SessionWriter.create(tmp_path / "b", replace(HEADER, instruments=(inverse,)))
    bars = np.zeros(2, BAR)
    bars["delta_ns"], bars["open_ns"] = 60 * 10**9, [0, 60 * 10**9]
    bars["base_lots"], bars["quote_tl"] = int(100 / inverse.lot), 5_000_000 * int(100 / inverse.lot)
    for name in ("open_ticks", "high_ticks", "low_ticks", "close_ticks"):
        bars[name] = 5_000_000
    writer.bars(bars)
    writer.close(120 * 10**9)
    (market,) = inspect_session(tmp_path / "b").instruments
    assert market.bars is not None
    assert (Decimal(market.bars.volume), Decimal(market.bars.turnover)) == (200, 20_000)


def test_a_record_that_no_row_has_keeps_its_column() -> None:
    """CSV of a table without rows, or whose rows have nothing there, has the same heading."""
    assert flat(["a", "seen"], []) == (["a", "seen"], [])
    assert flat(["a", "seen"], [[1, None]]) == (["a", "seen"], [[1, None]])
    assert flat(["a", "seen"], [[1, {"remaining": 0.5}]]) == (["a", "seen.remaining"], [[1, 0.5]])
