"""Recorded sessions: what is written comes back, and damage is named and never passed over."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
import zlib
from decimal import Decimal
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pytest

from agent.core.errors import InternalError, RecordingError, SessionError
from agent.core.instrument import Instrument
from agent.core.market.tape import BAR, EVENT, EventArray, Kind
from storage.recordings.segments import BATCH_ROWS
from storage.recordings.session import SessionHeader, SessionReader, SessionWriter
from storage.recordings.staging import staged
from tests.fakes import flipped_reads

BTC = Instrument(
    0, "binance", "BTC/USDT", "BTC", "USDT", "USDT", Decimal("0.01"), Decimal("0.00001"), 10, Decimal(5)
)
HEADER = SessionHeader(
    "s1", (BTC,), created_ns=1, seed=7, config={"algo": "lem"}, clock_offsets={"binance": -1_270_000_000}
)


def _tape(n: int, first: int = 0) -> EventArray:
    rows = np.zeros(n, EVENT)
    rows["seq"] = np.arange(first + 1, first + n + 1)
    rows["recv_ns"] = 1_700_000_000_000_000_000 + rows["seq"] // 3
    rows["price_ticks"] = 6_000_000 + rows["seq"] % 977
    rows["qty_lots"] = -rows["seq"]
    rows["kind"] = Kind.TRADE
    rows["side"] = -1
    return rows


def _written(path: Path, sizes: list[int], *, close: bool = True, segment_bytes: int = 1 << 28) -> EventArray:
    writer = SessionWriter.create(path, HEADER, segment_bytes=segment_bytes)
    parts: list[EventArray] = []
    for size in sizes:
        parts.append(_tape(size, sum(len(p) for p in parts)))
        writer.events(parts[-1])
        writer.journal({"kind": "start", "recv_ns": 5, "seq": int(parts[-1]["seq"][-1]), "x": Decimal("0.1")})
    writer.outcome(["row 1", "row 2"])
    if close:
        writer.close(end_ns=99)
    else:
        writer.abandon()
    return np.concatenate(parts)


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    """Header, tape, bars, journal and outcome are read as they were written."""
    writer = SessionWriter.create(tmp_path / "s", HEADER)
    bars = np.zeros(3, BAR)
    bars["open_ticks"] = [1, 2, 3]
    writer.bars(bars)
    writer.events(_tape(10))
    writer.journal({"kind": "start", "recv_ns": 5, "seq": 11, "notional": Decimal("0.10")})
    writer.outcome(["a", "b"])
    writer.outcome(["c"])
    writer.close(end_ns=99)

    reader = SessionReader(tmp_path / "s")
    assert reader.instruments == (BTC,)
    assert (reader.header.session, reader.header.seed) == ("s1", 7)
    assert reader.header.clock_offsets == {"binance": -1_270_000_000}
    assert np.array_equal(reader.events(), _tape(10))
    assert np.array_equal(reader.bars(), bars)
    assert reader.journal()[0] == {"kind": "start", "recv_ns": 5, "seq": 11, "notional": "0.10"}
    assert reader.journal()[-1] == {"kind": "end", "recv_ns": 99, "seq": 12, "events": 10, "bars": 3}
    assert reader.outcome() == ["a", "b", "c"]
    assert reader.end_ns == 99
    assert reader.losses == []


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_batches_do_not_depend_on_how_the_tape_was_written(tmp_path: Path, size: int) -> None:
    """Any piece size gives the same rows, over segments that rotate after every few batches."""
    tape = _written(tmp_path / "s", [1, 2, 30, 5, 100, 1, 61], segment_bytes=2000)
    assert len(list((tmp_path / "s").glob("tape-*"))) > 2
    pieces = list(SessionReader(tmp_path / "s").batches(size))
    assert all(len(p) == size for p in pieces[:-1])
    assert np.array_equal(np.concatenate(pieces), tape)


def test_close_makes_large_batches(tmp_path: Path) -> None:
    """After close the tape lies in batches of 16,384 rows, readable by any Arrow reader."""
    tape = _written(tmp_path / "s", [100] * 300)
    with pa.ipc.open_stream(tmp_path / "s" / "tape-00000.arrows") as stream:
        batches = list(stream)
    assert [len(b) for b in batches] == [BATCH_ROWS, len(tape) - BATCH_ROWS]
    assert batches[0].schema.names == list(EVENT.names or ())
    assert np.array_equal(SessionReader(tmp_path / "s").events(), tape)


@pytest.mark.parametrize("cut", [1, 40, 300])
def test_truncated_segment_is_read_to_its_last_whole_batch(tmp_path: Path, cut: int) -> None:
    """A tape cut off anywhere gives every whole batch and names what is lost."""
    tape = _written(tmp_path / "s", [50] * 20, close=False)
    path = tmp_path / "s" / "tape-00000.arrows"
    os.truncate(path, path.stat().st_size - cut)
    reader = SessionReader(tmp_path / "s")
    assert np.array_equal(reader.events(), tape[:950])
    assert len(reader.losses) == 1
    assert reader.losses[0].startswith("tape-00000.arrows: damaged after tape row 950")


def test_no_flipped_byte_passes_unseen(tmp_path: Path) -> None:
    """Whichever byte of the tape is flipped, a true prefix is read, and a short one names its loss."""
    tape = _written(tmp_path / "s", [3] * 4)
    path = tmp_path / "s" / "tape-00000.arrows"
    refused = flipped_reads(path, tape, range(0, path.stat().st_size, 3))
    assert refused < 50


def test_corrupt_batch_ends_the_tape(tmp_path: Path) -> None:
    """Rows after a corrupt batch are not used, in this segment or the next: the book would have a hole."""
    tape = _written(tmp_path / "s", [50] * 4, close=False, segment_bytes=6000)
    path = tmp_path / "s" / "tape-00000.arrows"
    data = bytearray(path.read_bytes())
    data[data.rindex(tape[60:61]["recv_ns"].tobytes())] ^= 1
    path.write_bytes(data)
    reader = SessionReader(tmp_path / "s")
    assert len(reader.events()) == 50
    assert reader.losses == [
        "tape-00000.arrows: damaged after tape row 50 (its checksum does not match its rows); "
        "tape rows from 50 on are lost, with the segments after it"
    ]


def test_missing_segment_is_a_loss(tmp_path: Path) -> None:
    """A segment removed from the middle or the end is noticed."""
    _written(tmp_path / "s", [50] * 9, segment_bytes=6000)
    segments = sorted((tmp_path / "s").glob("tape-*"))
    segments[-1].unlink()
    reader = SessionReader(tmp_path / "s")
    rows = len(reader.events())
    assert reader.losses == [f"tape: 450 rows were recorded and {rows} are there"]
    segments[0].unlink()
    reader = SessionReader(tmp_path / "s")
    assert len(reader.events()) == 0
    assert reader.losses == ["tape-00000.arrows is missing; tape rows from 0 on are lost"]


def test_journal_damage_is_named(tmp_path: Path) -> None:
    """A cut-off last line and a changed one are both losses; the lines before them are used."""
    _written(tmp_path / "s", [5] * 4, close=False)
    path = tmp_path / "s" / "journal.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    reader = SessionReader(tmp_path / "s")
    assert [e["seq"] for e in reader.journal()] == [5, 10, 15]
    assert reader.losses[0].startswith("journal.jsonl: the last line is cut off")
    path.write_bytes(whole.replace(b'"seq":10', b'"seq":11'))
    reader = SessionReader(tmp_path / "s")
    assert [e["seq"] for e in reader.journal()] == [5]
    assert reader.losses == ["journal.jsonl: line 2 is corrupt; the inputs from there on are lost"]


def test_the_worked_example_of_the_prefix_rule(tmp_path: Path) -> None:
    """Batches of 3, 2 and 4 rows, three journal lines, a byte changed in the third and one in the second."""
    tape = _written(tmp_path / "s", [3, 2, 4], close=False)
    segment, journal = tmp_path / "s" / "tape-00000.arrows", tmp_path / "s" / "journal.jsonl"
    data = bytearray(segment.read_bytes())
    at = data.rindex(tape["price_ticks"][5:].tobytes())
    data[at] ^= 1
    segment.write_bytes(data)
    journal.write_bytes(journal.read_bytes().replace(b'"seq":5', b'"seq":6'))
    reader = SessionReader(tmp_path / "s")
    assert np.array_equal(reader.events(), tape[:5])
    assert [e["seq"] for e in reader.journal()] == [3]
    assert [loss.split("; ")[-1] for loss in reader.losses] == [
        "tape rows from 5 on are lost",
        "the inputs from there on are lost",
    ]


def test_a_segment_without_a_byte_lost_nothing(tmp_path: Path) -> None:
    """The process died between making a segment and its first write: no row is missing."""
    _written(tmp_path, [3], close=False)
    (tmp_path / "tape-00001.arrows").touch()
    reader = SessionReader(tmp_path)
    assert len(reader.events()) == 3
    assert reader.losses == []
    writer = SessionWriter.resume(tmp_path)
    writer.events(_tape(2, first=3))
    writer.close(end_ns=99)
    again = SessionReader(tmp_path)
    assert (len(again.events()), again.losses) == (5, [])


def test_resume_goes_on_after_a_torn_end(tmp_path: Path) -> None:
    """A session cut off in the middle of a write is resumed, and then reads whole."""
    tape = _written(tmp_path / "s", [50] * 3, close=False)
    for name in ("tape-00000.arrows", "journal.jsonl", "outcome.jsonl"):
        path = tmp_path / "s" / name
        os.truncate(path, path.stat().st_size - 3)
    writer = SessionWriter.resume(tmp_path / "s")
    writer.events(_tape(70, 100))
    writer.close(end_ns=100)
    reader = SessionReader(tmp_path / "s")
    assert np.array_equal(reader.events(), np.concatenate([tape[:100], _tape(70, 100)]))
    assert [e["kind"] for e in reader.journal()] == ["start", "start", "end"]
    assert reader.outcome() == ["row 1"]
    assert reader.losses == []


def test_killed_writer_loses_nothing(tmp_path: Path) -> None:
    """After SIGKILL every row whose call had returned is read back."""
    code = (
        "import os, sys, signal; from pathlib import Path\n"
        "from tests.unit.storage.test_session import HEADER, SessionWriter, _tape\n"
        "w = SessionWriter.create(Path(sys.argv[1]), HEADER)\n"
        "[w.events(_tape(3, 3 * i)) for i in range(200)]\n"
        "w.journal({'recv_ns': 1, 'seq': 600}); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "s"], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()
    reader = SessionReader(tmp_path / "s")
    assert np.array_equal(reader.events(), _tape(600))
    assert reader.journal() == [{"recv_ns": 1, "seq": 600}]
    assert reader.end_ns is None
    assert reader.losses == []


def _write_for_ever(writer: SessionWriter) -> None:
    for i in range(100):
        writer.events(_tape(50, 50 * i))


class PowerCut:
    """Knows what was forced to the disk: the bytes of each file, the names in each folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._sizes: dict[int, int] = {}
        self._names: dict[int, set[str]] = {}
        self._force = os.fsync
        monkeypatch.setattr(os, "fsync", self._forcing)

    def _forcing(self, fd: int) -> None:
        self._force(fd)
        known = os.fstat(fd)
        self._sizes[known.st_ino] = known.st_size
        if stat.S_ISDIR(known.st_mode):
            self._names[known.st_ino] = set(os.listdir(fd))

    def names_in(self, folder: Path) -> set[str]:
        return self._names.get(folder.stat().st_ino, set())

    def happens(self, folder: Path) -> None:
        """What was not forced is gone."""
        names = self.names_in(folder)
        for file in folder.iterdir():
            known = file.stat()
            os.truncate(file, min(known.st_size, self._sizes.get(known.st_ino, 0)))
            if file.name not in names:
                file.unlink()


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("segment_bytes", [2000, 1 << 28])
def test_what_was_synced_or_closed_outlives_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: bool, segment_bytes: int
) -> None:
    """Rows, bars, inputs and results: in the segment that is written and in those that are full."""
    power = PowerCut(monkeypatch)
    writer = SessionWriter.create(tmp_path / "s", HEADER, segment_bytes=segment_bytes)
    for first in range(0, 300, 30):
        writer.events(_tape(30, first))
        writer.bars(np.zeros(30, BAR))
        writer.journal({"kind": "start", "recv_ns": 5, "seq": first + 31})
        writer.outcome([f"row {first}"])
    if closed:
        writer.close(end_ns=99)
    else:
        writer.sync()
        writer.abandon()
    power.happens(tmp_path / "s")
    reader = SessionReader(tmp_path / "s")
    assert np.array_equal(reader.events(), _tape(300))
    assert len(reader.bars()) == 300
    assert len(reader.journal()) == 10 + closed
    assert len(reader.outcome()) == 10
    assert reader.end_ns == (99 if closed else None)
    assert not [loss for loss in reader.losses if "cut off" in loss or "are there" in loss]


def test_a_session_that_was_made_elsewhere_outlives_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slice or an import appears under its name when it is whole, and then stays."""
    power = PowerCut(monkeypatch)
    with staged(tmp_path / "s", HEADER) as writer:
        writer.events(_tape(10))
        writer.close(end_ns=99)
        assert not (tmp_path / "s").exists()
    assert "s" in power.names_in(tmp_path)
    power.happens(tmp_path / "s")
    assert np.array_equal(SessionReader(tmp_path / "s").events(), _tape(10))


def test_a_whole_line_that_is_no_json_is_damage(tmp_path: Path) -> None:
    """Its checksum fits: another program wrote it. What came before it is read."""
    _written(tmp_path / "s", [5])
    body = b'{"kind":"start",oops}'
    journal = tmp_path / "s" / "journal.jsonl"
    first, *rest = journal.read_bytes().splitlines(keepends=True)
    line = b'%s,"crc":"%08x"}\n' % (body[:-1], zlib.crc32(body))
    journal.write_bytes(b"".join([first, line, *rest]))
    reader = SessionReader(tmp_path / "s")
    assert len(reader.journal()) == 1
    assert reader.losses == ["journal.jsonl: line 2 is corrupt; the inputs from there on are lost"]


def test_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    """A device without space gives RecordingError naming the file, and again on the next call."""
    writer = SessionWriter.create(tmp_path / "s", HEADER)
    (tmp_path / "s" / "tape-00000.arrows").symlink_to("/dev/full")
    for _ in range(2):
        with pytest.raises(RecordingError, match=r"tape-00000.arrows: No space left on device; .*free some"):
            writer.events(_tape(3))
    writer.journal({"kind": "stop", "recv_ns": 1, "seq": 1})
    writer.abandon()
    assert SessionReader(tmp_path / "s").journal()[-1]["kind"] == "stop"


def test_what_was_written_before_the_disk_was_full_is_readable(tmp_path: Path) -> None:
    """A write that no longer fits is undone, so that the session ends with a whole batch."""
    writer = SessionWriter.create(tmp_path / "s", HEADER)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, old[1]))
    try:
        with pytest.raises(RecordingError):
            _write_for_ever(writer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        writer.abandon()
    reader = SessionReader(tmp_path / "s")
    rows = reader.events()
    assert 0 < len(rows) < 400
    assert np.array_equal(rows, _tape(len(rows)))
    assert reader.losses == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 3}, "has session format 3 and this program reads 1 to 2"),
        ({"instruments": [{"number": 0}]}, "is corrupt"),
        ({"session": None, "instruments": None}, "is corrupt"),
    ],
)
def test_unusable_headers(tmp_path: Path, change: dict[str, object], message: str) -> None:
    """A header of another format or with missing parts is refused with the file's name."""
    _written(tmp_path / "s", [1])
    path = tmp_path / "s" / "session.json"
    path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | change))
    with pytest.raises(SessionError, match=message):
        SessionReader(tmp_path / "s")


def test_not_a_session(tmp_path: Path) -> None:
    """A directory without session.json, a missing one, and one with a broken header are refused."""
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(SessionError, match=r"is not a recorded session \(session.json is missing\)"):
            SessionReader(path)
    (tmp_path / "session.json").write_text("{")
    with pytest.raises(SessionError, match=r"session.json is corrupt"):
        SessionReader(tmp_path)


def test_wrong_use_is_refused(tmp_path: Path) -> None:
    """No second session in a directory, no journal entry without its place, no torn outcome row."""
    writer = SessionWriter.create(tmp_path / "s", HEADER)
    with pytest.raises(SessionError, match="already holds a session"):
        SessionWriter.create(tmp_path / "s", HEADER)
    with pytest.raises(InternalError, match="needs recv_ns and seq"):
        writer.journal({"kind": "x"})
    with pytest.raises(InternalError, match="line break"):
        writer.outcome(["a\nb"])
    writer.abandon()
