"""Compaction: Parquet in the place of Arrow, the same rows whatever happens meanwhile."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from agent.app.replay_session import replay_session
from agent.core.errors import InternalError, RecordingError, SessionError
from agent.core.market.tape import EVENT, EventArray
from storage.recordings import parquet
from storage.recordings.compaction import compact_session
from storage.recordings.segments import rechunk
from storage.recordings.session import SessionHeader, SessionReader, SessionWriter
from tests.fakes import flipped_reads, synthetic_tape
from tests.realdata import capture_files

GOLDEN = Path(__file__).parents[2] / "data" / "small-session"


def written(
    path: Path, *, seconds: float = 10.0, close: bool = True, segment_bytes: int = 1 << 28
) -> EventArray:
    """A session of a synthetic tape; returns the tape."""
    instrument, events = synthetic_tape(seconds)
    writer = SessionWriter.create(
        path, SessionHeader(path.name, (instrument,), 0), segment_bytes=segment_bytes
    )
    for at in range(0, len(events), 500):
        writer.events(events[at : at + 500])
    if close:
        writer.close(int(events["recv_ns"][-1]))
    else:
        writer.abandon()
    return events


def test_a_compacted_session_replays_to_the_same_digest(tmp_path: Path) -> None:
    """The golden session: smaller, and the same decisions, orders and fills; a second time does nothing."""
    path = Path(shutil.copytree(GOLDEN, tmp_path / "small-session"))
    before = SessionReader(path).events()
    done = compact_session(path)
    assert (done.rows >= len(before), done.bytes_after < done.bytes_before / 4) == (True, True)
    assert not list(path.glob("*.arrows"))
    assert np.array_equal(SessionReader(path).events(), before)
    replayed = replay_session(path, None, override=False, verify=True, speed=None)
    assert replayed.result.match is True, replayed.result.difference
    again = compact_session(path)
    assert (again.segments, again.already) == (0, done.segments)


def test_row_groups_say_when(tmp_path: Path) -> None:
    """Each row group carries the least and greatest recv_ns of its rows, for any Parquet reader."""
    events = written(tmp_path / "s", seconds=50.0)
    compact_session(tmp_path / "s")
    metadata = pq.read_metadata(tmp_path / "s" / "tape-00000.parquet")
    assert metadata.num_row_groups > 1
    start = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        known = group.column(0).statistics
        rows = events[start : start + group.num_rows]
        assert (known.min, known.max) == (rows["recv_ns"].min(), rows["recv_ns"].max())
        start += len(rows)
    assert start == len(events)


def test_the_real_capture_shrinks_ninefold(tmp_path: Path) -> None:
    """Eleven minutes of Binance: all rows again from a ninth of the bytes."""
    from tests.loaded_captures import load

    instrument, events, _ = load(capture_files("btcusdt")[:1], "BTC/USDT")
    writer = SessionWriter.create(tmp_path / "s", SessionHeader("s", (instrument,), 0))
    writer.events(events)
    writer.close(int(events["recv_ns"][-1]))
    done = compact_session(tmp_path / "s")
    assert done.ratio is not None
    assert done.ratio > 9
    assert np.array_equal(SessionReader(tmp_path / "s").events(), events)


def test_no_flipped_byte_of_a_parquet_segment_passes_unseen(tmp_path: Path) -> None:
    """Whichever byte is flipped, a true prefix is read, and a short one names its loss."""
    tape = written(tmp_path / "s")
    compact_session(tmp_path / "s")
    path = tmp_path / "s" / "tape-00000.parquet"
    places = np.random.default_rng(1).integers(0, path.stat().st_size, 60).tolist()
    refused = flipped_reads(path, tape, places)
    assert refused < 10


def test_both_files_of_a_segment_are_one(tmp_path: Path) -> None:
    """Killed between its last two steps a compaction leaves both files: read once, and tidied by the next."""
    tape = written(tmp_path / "s", segment_bytes=100_000)
    kept = Path(shutil.copytree(tmp_path / "s", tmp_path / "kept"))
    compact_session(tmp_path / "s")
    for segment in sorted(kept.glob("*.arrows"))[:2]:
        shutil.copy(segment, tmp_path / "s")
    assert np.array_equal(SessionReader(tmp_path / "s").events(), tape)
    assert compact_session(tmp_path / "s").segments == 0
    assert not list((tmp_path / "s").glob("*.arrows"))


def test_killed_at_any_moment_every_row_is_there(tmp_path: Path) -> None:
    """SIGKILL at several moments of a compaction: the same rows each time, and the next one finishes."""
    tape = written(tmp_path / "s", segment_bytes=20_000)
    code = (
        "import sys; from pathlib import Path; from storage.recordings.compaction import compact_session\n"
        "print('ready', flush=True); compact_session(Path(sys.argv[1]))"
    )
    partly = 0
    for delay_s in (0.02, 0.05, 0.1, 0.15):
        running = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "s")], stdout=subprocess.PIPE, text=True
        )
        assert running.stdout is not None
        running.stdout.readline()
        time.sleep(delay_s)
        running.kill()
        running.communicate()
        reader = SessionReader(tmp_path / "s")
        assert np.array_equal(reader.events(), tape)
        assert reader.losses == []
        partly += bool(list((tmp_path / "s").glob("*.arrows")))
    assert partly  # at least one kill came before the end
    compact_session(tmp_path / "s")
    assert {f.suffix for f in (tmp_path / "s").glob("tape-*")} == {".parquet"}


def test_a_full_disk_leaves_the_session_as_it_was(tmp_path: Path) -> None:
    """One clear error, nothing half-written, every row still there."""
    tape = written(tmp_path / "s")
    files = sorted(f.name for f in (tmp_path / "s").iterdir())
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, old[1]))
    try:
        with pytest.raises(RecordingError, match="free some space"):
            compact_session(tmp_path / "s")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert sorted(f.name for f in (tmp_path / "s").iterdir()) == files
    assert np.array_equal(SessionReader(tmp_path / "s").events(), tape)


@pytest.mark.parametrize("seconds", [10.0, 50.0])  # one row group, and several
def test_a_file_that_lacks_its_last_rows_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """Should the writing of Parquet ever lose rows, the compaction stops and the tape is as it was."""
    tape = written(tmp_path / "s", seconds=seconds)
    write = parquet.write_parquet

    def losing(path: Path, dtype: np.dtype[np.void], batches: Iterable[EventArray]) -> int:
        return write(path, dtype, list(rechunk(batches, parquet.GROUP_ROWS))[:-1])

    monkeypatch.setattr(parquet, "write_parquet", losing)
    with pytest.raises(InternalError, match="nothing was replaced"):
        compact_session(tmp_path / "s")
    assert [f.name for f in (tmp_path / "s").glob("tape-*")] == ["tape-00000.arrows"]
    assert np.array_equal(SessionReader(tmp_path / "s").events(), tape)


def test_open_and_damaged_sessions_are_left_alone(tmp_path: Path) -> None:
    """A session without its end may still be written; a damaged one keeps its files; both are refused."""
    written(tmp_path / "open", close=False)
    with pytest.raises(SessionError, match="was not closed: a run may still write it"):
        compact_session(tmp_path / "open")
    written(tmp_path / "torn")
    path = tmp_path / "torn" / "tape-00000.arrows"
    path.write_bytes(path.read_bytes()[:-100_000])
    with pytest.raises(SessionError, match=r"is damaged and stays as it is .*rows from .* on are lost"):
        compact_session(tmp_path / "torn")
    assert [f.name for f in (tmp_path / "torn").glob("tape-*")] == ["tape-00000.arrows"]


def test_a_compacted_session_can_be_resumed(tmp_path: Path) -> None:
    """Rows appended after a compaction go into a new segment, and all are read."""
    tape = written(tmp_path / "s")
    compact_session(tmp_path / "s")
    writer = SessionWriter.resume(tmp_path / "s")
    more = np.zeros(3, EVENT)
    more["seq"] = int(tape["seq"][-1]) + 1 + np.arange(3)
    writer.events(more)
    writer.abandon()
    assert np.array_equal(SessionReader(tmp_path / "s").events(), np.concatenate([tape, more]))
