"""What is said of a recorded session without replaying it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agent.core.market.tape import BAR
from storage.recordings.catalogue import list_sessions, look_at
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
