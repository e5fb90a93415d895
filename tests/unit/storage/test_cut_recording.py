"""What a power cut left uneven is cut to its first missing input, and what was there stays beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.recordings.lives.cut_recording import cut
from storage.recordings.session import SessionReader
from tests.unit.storage.test_session import _written


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """Rows 1 to 5 and a command numbered 5, rows 6 to 9 and one numbered 9, never closed."""
    _written(tmp_path / "s", [5, 4], close=False)
    return tmp_path / "s"


def _kept(session: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in session.iterdir() if ".before-cut" in path.name}


def test_a_second_cut_keeps_what_the_first_one_kept(session: Path) -> None:
    """Whoever wants to know what a power cut took finds each file as it was before each cut."""
    whole = {path.name: path.read_bytes() for path in session.iterdir()}
    cut(session, 8, ["row 1"])
    first = _kept(session)
    assert {name.removesuffix(".before-cut") for name in first} == {
        "tape-00000.arrows",
        "journal.jsonl",
        "outcome.jsonl",
    }
    assert all(data == whole[name.removesuffix(".before-cut")] for name, data in first.items())
    between = (session / "tape-00000.arrows").read_bytes()
    cut(session, 4, ["row 1"])
    second = _kept(session)
    assert {name: second[name] for name in first} == first
    assert second["tape-00000.arrows.before-cut-2"] == between
    assert SessionReader(session).events()["seq"].tolist() == [1, 2, 3]


def test_a_cut_that_takes_nothing_keeps_nothing(session: Path) -> None:
    """Files that are whole stay as they are."""
    before = {path.name: path.read_bytes() for path in session.iterdir()}
    cut(session, 99, ["row 1", "row 2"])
    assert {path.name: path.read_bytes() for path in session.iterdir()} == before
