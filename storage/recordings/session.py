"""Recorded sessions: a directory that holds every cause of a run, in the order the engine saw them.

::

    session.json         format, session id, instruments, config, fingerprint, seed, clock offsets
    tape-00000.arrows    market events, columns as in ``agent.core.market.tape.EVENT`` (``segments``)
    bars-00000.arrows    bars as fetched, columns as in ``agent.core.market.tape.BAR``
    journal.jsonl        every other input, one JSON object a line, each with a CRC-32 of its own
    outcome.jsonl        canonical result rows, so that a replay can name the first that differs

A finished segment may be a Parquet file of the same name instead (``storage.recordings.parquet``, written by
``storage.recordings.compaction``): a reader sees no difference.

Theory of operation: the prefix rule
------------------------------------
A writer's call returns once the operating system has the bytes, and only then does the engine see the input.
So a process that is killed loses nothing that had an effect, and what a file holds is always *whole records,
then perhaps a torn one*: a record is one write, and after a write that failed none follows.

A reader uses of each file the longest prefix of whole records, and names what lies beyond it in ``losses``.
It never skips a record and goes on: rows after a hole would describe a book that was never seen. A record is
whole when its checksum fits: a record batch's CRC-32 of its rows, a journal line's of its text. A missing
segment ends the tape as a damaged one does. The closing ``end`` entry says how many rows there should be,
which finds a last segment that is gone.

Worked example (``tests/unit/storage/test_session.py`` holds it). Batches of 3, 2 and 4 rows, in one segment,
and three journal lines. A byte of the third batch and one of the second line flip. The reader gives rows 0
to 4 and the first line; ``losses`` says that tape rows from 5 on are lost, and inputs from line 2 on.
``resume`` cuts a torn end away (a write that never returned, so nothing came of it) and goes on after it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import orjson

from agent.core.errors import InternalError, RecordingError, SessionError
from agent.core.instrument import Instrument
from agent.core.json_types import JsonObject, int_in
from agent.core.market.tape import BAR, EVENT, BarArray, EventArray
from agent.core.session_header import SessionHeader
from storage.recordings.header_file import HEADER, plain, read_header, write_header
from storage.recordings.mapped import Rows
from storage.recordings.numbered_segments import NumberedSegments, segment_paths, segment_rows
from storage.recordings.segments import (
    BATCH_ROWS,
    SEGMENT_BYTES,
    AppendFile,
    SegmentDamageError,
    rechunk,
)

__all__ = ["SessionHeader", "SessionReader", "SessionWriter"]

JOURNAL = "journal.jsonl"
OUTCOME = "outcome.jsonl"
END_KIND = "end"
_CRC_MARK = b',"crc":"'


class SessionWriter:
    """Writes a session (the port ``agent.core.ports.SessionWriter``); any method may raise RecordingError."""

    def __init__(self, path: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Open the directory ``path`` for appending; use ``create`` or ``resume``."""
        self.path = path
        self._tape = NumberedSegments(path, "tape", EVENT, segment_bytes)
        self._bars = NumberedSegments(path, "bars", BAR, segment_bytes)
        self._journal = AppendFile(path / JOURNAL)
        self._outcome = AppendFile(path / OUTCOME)
        self._seq = 0

    @classmethod
    def create(
        cls, path: Path, header: SessionHeader, *, segment_bytes: int = SEGMENT_BYTES
    ) -> SessionWriter:
        """Start a new session in the directory ``path``, which is made.

        Raises SessionError if it holds one already, RecordingError if it cannot be written.
        """
        if (path / HEADER).exists():
            raise SessionError(f"{path} already holds a session: choose another --out, or replay it")
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise RecordingError(
                f"cannot make the session directory {path}: {error.strerror}; choose another --out"
            ) from error
        write_header(path, header)
        return cls(path, segment_bytes=segment_bytes)

    @classmethod
    def resume(cls, path: Path, *, segment_bytes: int = SEGMENT_BYTES) -> SessionWriter:
        """Go on with a session that was cut off: torn ends (writes that never returned) are cut away."""
        reader = SessionReader(path)
        _cut_torn_line(path / JOURNAL)
        _cut_torn_line(path / OUTCOME)
        writer = cls(path, segment_bytes=segment_bytes)
        writer._tape.resume()
        writer._bars.resume()
        journalled = max((int_in(e, "seq") for e in reader.journal()), default=0)
        writer._seq = max(journalled, writer._tape.last_seq, writer._bars.last_seq)
        return writer

    def restate(self, header: SessionHeader) -> None:
        """Write the header anew, atomically: an importer knows what it did only at the end."""
        write_header(self.path, header)

    def events(self, rows: EventArray) -> None:
        """Append tape rows, in order, as one record batch."""
        if len(rows):
            self._tape.append(rows)
            self._seq = max(self._seq, int(rows["seq"][-1]))

    def bars(self, rows: BarArray) -> None:
        """Append bars as fetched."""
        if len(rows):
            self._bars.append(rows)

    def journal(self, entry: JsonObject) -> None:
        """Append one input; ``recv_ns`` and ``seq`` say where in the total order it belongs."""
        if "recv_ns" not in entry or "seq" not in entry:
            raise InternalError(f"journal entry {dict(entry)} needs recv_ns and seq")
        self._seq = max(self._seq, int_in(entry, "seq"))
        self._journal.append(_journal_line(entry))

    def outcome(self, rows: Sequence[str]) -> None:
        """Append canonical result rows, one a line."""
        if any("\n" in row for row in rows):
            raise InternalError("an outcome row must not hold a line break")
        if rows:
            self._outcome.append("".join(f"{row}\n" for row in rows).encode())

    def sync(self) -> None:
        """Force everything to the disk: before a real order leaves, its cause must survive a power cut."""
        self._tape.sync()
        self._bars.sync()
        self._journal.sync()
        self._outcome.sync()

    def close(self, end_ns: int) -> None:
        """Journal the end, make large batches of the small ones, and close the files."""
        try:
            end = {"kind": END_KIND, "recv_ns": end_ns, "seq": self._seq + 1}
            self.journal({**end, "events": self._tape.rows, "bars": self._bars.rows})
            self.sync()
            self._tape.close()
            self._bars.close()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the files as they are, as a crash would leave them."""
        for series in (self._tape, self._bars):
            series.abandon()
        self._journal.close()
        self._outcome.close()


class SessionReader:
    """Reads a session (the port ``agent.core.ports.SessionReader``) up to its first damage.

    ``before_seq``: only inputs with lower numbers, as if those from it on had never been recorded. Raises
    SessionError when the directory holds no session this program can read.
    """

    def __init__(self, path: Path, before_seq: int | None = None) -> None:
        self.path, self._before_seq = Path(path), before_seq
        self._losses: dict[str, None] = {}
        self._header = read_header(self.path)
        self._entries: list[JsonObject] | None = None
        self._journal_damaged = False

    @property
    def header(self) -> SessionHeader:
        return self._header

    @property
    def instruments(self) -> Sequence[Instrument]:
        return self._header.instruments

    @property
    def end_ns(self) -> int | None:
        """When the session was closed; None if it was cut off."""
        end = self._end()
        return int_in(end, "recv_ns") if end else None

    @property
    def cut_off(self) -> bool:
        """Whether its writer died, or still writes: a journal without an end, whole as far as it goes."""
        return self._end() is None and not self._journal_damaged

    @property
    def losses(self) -> Sequence[str]:
        """What could not be read, a sentence each; complete once ``batches`` has been read through."""
        return list(self._losses)

    def bars(self) -> BarArray:
        """Return all bars in recorded order."""
        found = list(self._series("bars", BAR))
        return np.concatenate(found) if found else np.zeros(0, BAR)

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[EventArray]:
        """Yield the tape in pieces of exactly ``rows`` (the last may be shorter), whatever was recorded."""
        if rows < 1:
            raise SessionError(f"batches of {rows} rows: give 1 or more")
        return rechunk(self._series("tape", EVENT), rows)

    def events(self) -> EventArray:
        """Return the whole tape in memory."""
        found = list(self._series("tape", EVENT))
        return np.concatenate(found) if found else np.zeros(0, EVENT)

    def journal(self) -> Sequence[JsonObject]:
        """Return the other inputs in recorded order, the closing ``{"kind": "end"}`` included."""
        if self._entries is None:
            self._entries = [e for e in self._read_journal() if self._is_whole_before(e)]
        return self._entries

    def _is_whole_before(self, entry: JsonObject) -> bool:
        """Whether an entry is no later than what is asked for; an end is an end, whatever is missing."""
        before = self._before_seq
        return before is None or entry.get("kind") == END_KIND or int_in(entry, "seq") < before

    def outcome(self) -> Sequence[str]:
        """Return the canonical result rows in recorded order."""
        rows: list[str] = []
        for number, line in self._lines(OUTCOME):
            try:
                rows.append(line.decode())
            except UnicodeDecodeError:
                self._lose(f"{OUTCOME}: line {number} is corrupt; the rows from there on are lost")
                break
        return rows

    def _read_journal(self) -> Iterator[JsonObject]:
        for number, line in self._lines(JOURNAL):
            entry = _journal_entry(line)
            if entry is None:
                self._lose(f"{JOURNAL}: line {number} is corrupt; the inputs from there on are lost")
                self._journal_damaged = True
                return
            yield entry

    def _lines(self, name: str) -> Iterator[tuple[int, bytes]]:
        try:
            data = (self.path / name).read_bytes()
        except FileNotFoundError:
            self._lose(f"{name} is missing")
            return
        except OSError as error:
            raise SessionError(
                f"cannot read {self.path / name}: {error.strerror}; check its rights"
            ) from error
        lines = data.split(b"\n")
        if torn := lines.pop():
            self._lose(f"{name}: the last line is cut off; {len(torn)} bytes are lost")
        yield from enumerate(lines, start=1)

    def _series(self, stem: str, dtype: np.dtype[np.void]) -> Iterator[Rows]:
        rows = 0
        for number, path in enumerate(paths := segment_paths(self.path, stem)):
            if path.stem != f"{stem}-{number:05d}":
                self._lose(f"{stem}-{number:05d}.arrows is missing; {stem} rows from {rows:,} on are lost")
                return
            try:
                for batch in segment_rows(path, dtype):
                    self._check_listed(path, batch)
                    rows += len(batch)
                    if self._before_seq is not None:
                        batch = batch[batch["seq"] < self._before_seq]
                    if len(batch):
                        yield batch
            except SegmentDamageError as damage:
                others = "" if path is paths[-1] else ", with the segments after it"
                self._lose(
                    f"{path.name}: damaged after {stem} row {rows:,} ({damage}); "
                    f"{stem} rows from {rows:,} on are lost{others}"
                )
                return
        self._compare_with_end(stem, rows)

    def _check_listed(self, path: Path, rows: Rows) -> None:
        """Compiled code takes an instrument's number for a place in its arrays. Raises SessionError."""
        numbers = rows["instrument"]
        if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < len(self.instruments):
            raise SessionError(
                f"{path} holds rows of instrument {int(numbers.max())}, and the header lists"
                f" {len(self.instruments)}: restore {HEADER}, or record the session again"
            )

    def _compare_with_end(self, stem: str, rows: int) -> None:
        end = self._end()
        recorded = int_in(end, "events" if stem == "tape" else "bars", rows) if end else rows
        if rows != recorded:
            self._lose(f"{stem}: {recorded:,} rows were recorded and {rows:,} are there")

    def _end(self) -> JsonObject | None:
        entries = self.journal()
        return entries[-1] if entries and entries[-1].get("kind") == END_KIND else None

    def _lose(self, what: str) -> None:
        self._losses[what] = None


def _journal_line(entry: JsonObject) -> bytes:
    body = orjson.dumps(dict(entry), default=plain, option=orjson.OPT_SERIALIZE_NUMPY)
    return b'%s,"crc":"%08x"}\n' % (body[:-1], zlib.crc32(body))


def _journal_entry(line: bytes) -> JsonObject | None:
    body, mark, crc = line.rpartition(_CRC_MARK)
    if not mark or crc != b'%08x"}' % zlib.crc32(body + b"}"):
        return None
    try:
        entry: object = orjson.loads(body + b"}")
    except orjson.JSONDecodeError:
        return None
    return entry if isinstance(entry, dict) and _is_placed(entry) else None


def _is_placed(entry: JsonObject) -> bool:
    """Whether an entry says what it is and where it belongs; an end also how many rows there are."""
    numbers = ["recv_ns", "seq", *(("events", "bars") if entry.get("kind") == END_KIND else ())]
    return isinstance(entry.get("kind", ""), str) and all(_is_count(entry.get(name)) for name in numbers)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _cut_torn_line(path: Path) -> None:
    data = path.read_bytes() if path.exists() else b""
    if data and not data.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)
