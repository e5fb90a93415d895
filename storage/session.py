"""Recorded sessions: a directory that holds every cause of a run, in the order the engine saw them.

::

    session.json         format, session id, instruments, config, fingerprint, seed, clock offsets
    tape-00000.arrows    market events, columns as in ``agent.core.tape.EVENT`` (``storage.segments``)
    bars-00000.arrows    bars as fetched, columns as in ``agent.core.tape.BAR``
    journal.jsonl        every other input, one JSON object a line, each with a CRC-32 of its own
    outcome.jsonl        canonical result rows, so that a replay can name the first that differs

A finished segment may be a Parquet file of the same name instead (``storage.parquet``, written by
``storage.compaction``): a reader sees no difference.

Rules kept here: a call returns once the operating system has the bytes, so a killed process loses
nothing that had an effect; a reader uses the whole prefix and names what lies beyond it.
"""

from __future__ import annotations

import contextlib
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from agent.core.errors import InternalError, RecordingError, SessionError
from agent.core.instrument import Instrument
from agent.core.tape import BAR, EVENT, BarArray, EventArray
from storage import parquet
from storage.segments import (
    BATCH_ROWS,
    SEGMENT_BYTES,
    AppendFile,
    Rows,
    Segment,
    SegmentDamageError,
    compact,
    read_segment,
    rechunk,
    sync_path,
)

FORMAT = 1
HEADER = "session.json"
JOURNAL = "journal.jsonl"
OUTCOME = "outcome.jsonl"
END_KIND = "end"
_CRC_MARK = b',"crc":"'


@dataclass(frozen=True, slots=True)
class SessionHeader:
    """What is known of a session before its first event. Clock offsets: nanoseconds by exchange id."""

    session: str
    instruments: tuple[Instrument, ...]
    created_ns: int
    seed: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    clock_offsets: Mapping[str, int] = field(default_factory=dict)
    source: str = "live"  # or the importer's name; "merge" where several were joined
    origin: Mapping[str, Any] = field(default_factory=dict)  # of a slice or merge: what it was made of
    imported: Mapping[str, Any] = field(default_factory=dict)  # what an importer did with its files

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "session": self.session,
            "created_ns": self.created_ns,
            "seed": self.seed,
            "source": self.source,
            "instruments": [i.to_json() for i in self.instruments],
            "clock_offsets": dict(self.clock_offsets),
            "fingerprint": dict(self.fingerprint),
            "config": dict(self.config),
            **({"origin": dict(self.origin)} if self.origin else {}),
            **({"import": dict(self.imported)} if self.imported else {}),
        }


class SessionWriter:
    """Writes a session (the port ``agent.core.ports.SessionWriter``); any method may raise RecordingError."""

    def __init__(self, path: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Open the directory ``path`` for appending; use ``create`` or ``resume``."""
        self.path = path
        self._tape = _Series(path, "tape", EVENT, segment_bytes)
        self._bars = _Series(path, "bars", BAR, segment_bytes)
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
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordingError(
                f"cannot make the session directory {path}: {error.strerror}; choose another --out"
            ) from error
        _write_header(path, header)
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
        writer._seq = max((int(e["seq"]) for e in reader.journal()), default=0)
        return writer

    def restate(self, header: SessionHeader) -> None:
        """Write the header anew, atomically: an importer knows what it did only at the end."""
        _write_header(self.path, header)

    def events(self, rows: EventArray) -> None:
        """Append tape rows, in order, as one record batch."""
        if len(rows):
            self._tape.append(rows)
            self._seq = max(self._seq, int(rows["seq"][-1]))

    def bars(self, rows: BarArray) -> None:
        """Append bars as fetched."""
        if len(rows):
            self._bars.append(rows)

    def journal(self, entry: Mapping[str, Any]) -> None:
        """Append one input; ``recv_ns`` and ``seq`` say where in the total order it belongs."""
        if "recv_ns" not in entry or "seq" not in entry:
            raise InternalError(f"journal entry {dict(entry)} needs recv_ns and seq")
        self._seq = max(self._seq, int(entry["seq"]))
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
        for part in (self._tape, self._bars):
            part.abandon()
        self._journal.close()
        self._outcome.close()


class _Series:
    """The numbered segments of one kind of row, made when first needed, rotated by size."""

    def __init__(self, folder: Path, stem: str, dtype: np.dtype[np.void], segment_bytes: int) -> None:
        self._folder, self._stem, self._dtype = folder, stem, dtype
        self._segment_bytes = segment_bytes
        self._segment: Segment | None = None
        self._number = 0
        self._scattered: list[Path] = []  # finished segments whose batches are small
        self.rows = 0

    def append(self, rows: Rows) -> None:
        if self._segment is None:
            path = self._folder / f"{self._stem}-{self._number:05d}.arrows"
            self._segment = Segment(path, self._dtype)
            sync_path(self._folder)
            self._number += 1
        self._segment.append(rows)
        self.rows += len(rows)
        if self._segment.size >= self._segment_bytes:
            self._finish(self._segment)

    def _finish(self, segment: Segment) -> None:
        segment.close()
        self._note(segment.path, segment.rows, segment.batches)
        self._segment = None

    def _note(self, path: Path, rows: int, batches: int) -> None:
        if batches > 1 and rows < batches * BATCH_ROWS // 2:
            self._scattered.append(path)

    def resume(self) -> None:
        """Count what is there and cut the last segment's torn end; the original stays as ``.damaged``."""
        paths = segment_paths(self._folder, self._stem)
        for path in paths:
            sizes: list[int] = []
            try:
                sizes.extend(len(rows) for rows in segment_rows(path, self._dtype))
                self._note(path, sum(sizes), len(sizes))
            except SegmentDamageError as damage:
                if path is not paths[-1] or path.suffix == parquet.SUFFIX:
                    raise SessionError(
                        f"{path} is damaged ({damage}) and no crash did that: it can be replayed, not resumed"
                    ) from damage
                shutil.copyfile(path, path.with_suffix(".damaged"))
                compact(path, self._dtype)
            self.rows += sum(sizes)
        self._number = len(paths)

    def sync(self) -> None:
        if self._segment is not None:
            self._segment.sync()

    def close(self) -> None:
        """Finish the open segment and compact those that were written in small batches."""
        if self._segment is not None:
            self._finish(self._segment)
        with contextlib.suppress(RecordingError):  # a full disk: the small batches are as true
            while self._scattered:
                compact(self._scattered.pop(), self._dtype)

    def abandon(self) -> None:
        if self._segment is not None:
            self._segment.abandon()
            self._segment = None


class SessionReader:
    """Reads a session (the port ``agent.core.ports.SessionReader``) up to its first damage.

    Raises SessionError when the directory holds no session this program can read.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._losses: dict[str, None] = {}
        self._header = _read_header(self.path)
        self._instruments = tuple(Instrument.from_json(i) for i in self._header["instruments"])
        self._entries: list[Mapping[str, Any]] | None = None

    @property
    def header(self) -> Mapping[str, Any]:
        return self._header

    @property
    def instruments(self) -> Sequence[Instrument]:
        return self._instruments

    @property
    def end_ns(self) -> int | None:
        """When the session was closed; None if it was cut off."""
        end = self._end()
        return int(end["recv_ns"]) if end else None

    @property
    def losses(self) -> Sequence[str]:
        """What could not be read, in words; complete once ``batches`` has been read through."""
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

    def journal(self) -> Sequence[Mapping[str, Any]]:
        """Return the other inputs in recorded order, the closing ``{"kind": "end"}`` included."""
        if self._entries is None:
            self._entries = list(self._read_journal())
        return self._entries

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

    def _read_journal(self) -> Iterator[Mapping[str, Any]]:
        for number, line in self._lines(JOURNAL):
            entry = _journal_entry(line)
            if entry is None:
                self._lose(f"{JOURNAL}: line {number} is corrupt; the inputs from there on are lost")
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
                    yield batch
                    rows += len(batch)
            except SegmentDamageError as damage:
                others = "" if path is paths[-1] else ", with the segments after it"
                self._lose(
                    f"{path.name}: damaged after {stem} row {rows:,} ({damage}); "
                    f"{stem} rows from {rows:,} on are lost{others}"
                )
                return
        self._compare_with_end(stem, rows)

    def _compare_with_end(self, stem: str, rows: int) -> None:
        end = self._end()
        recorded = end.get("events" if stem == "tape" else "bars", rows) if end else rows
        if rows != recorded:
            self._lose(f"{stem}: {recorded:,} rows were recorded and {rows:,} are there")

    def _end(self) -> Mapping[str, Any] | None:
        entries = self.journal()
        return entries[-1] if entries and entries[-1].get("kind") == END_KIND else None

    def _lose(self, what: str) -> None:
        self._losses[what] = None


def segment_paths(folder: Path, stem: str) -> list[Path]:
    """Return the segments of one kind in the order they were written.

    Of a segment that is there twice the Parquet file counts: it was verified before it got its name, and
    whoever compacted it did not come to remove the other.
    """
    found = {p.stem: p for p in folder.glob(f"{stem}-*.arrows")}
    found |= {p.stem: p for p in folder.glob(f"{stem}-*{parquet.SUFFIX}")}
    return [found[name] for name in sorted(found)]


def segment_rows(path: Path, dtype: np.dtype[np.void]) -> Iterator[Rows]:
    """Yield a segment's rows in order, whichever kind of file it is. Raises SegmentDamageError."""
    if not path.exists() and path.with_suffix(parquet.SUFFIX).exists():
        path = path.with_suffix(parquet.SUFFIX)  # compacted since the folder was looked at
    return (parquet.read_parquet if path.suffix == parquet.SUFFIX else read_segment)(path, dtype)


def _read_header(path: Path) -> dict[str, Any]:
    file = path / HEADER
    try:
        header = orjson.loads(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SessionError(
            f"{path} is not a recorded session ({HEADER} is missing): give the directory that `run`, "
            "`record` or `import` wrote"
        ) from error
    except OSError as error:
        raise SessionError(f"cannot read {file}: {error.strerror}; check its rights") from error
    except orjson.JSONDecodeError as error:
        raise SessionError(f"{file} is corrupt ({error}): restore it, or record the session again") from error
    return _checked_header(file, header)


def _checked_header(file: Path, header: Any) -> dict[str, Any]:
    version = header.get("format") if isinstance(header, dict) else None
    if version != FORMAT:
        raise SessionError(
            f"{file} has session format {version!r} and this program reads {FORMAT}: use the version of the "
            "program that recorded it"
        )
    try:
        for record in header["instruments"]:
            Instrument.from_json(record)
        str(header["session"]), int(header["created_ns"])
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise SessionError(
            f"{file} is corrupt ({error!r}): restore it, or record the session again"
        ) from error
    return dict(header)


def _journal_line(entry: Mapping[str, Any]) -> bytes:
    body = orjson.dumps(dict(entry), default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)
    return b'%s,"crc":"%08x"}\n' % (body[:-1], zlib.crc32(body))


def _journal_entry(line: bytes) -> dict[str, Any] | None:
    body, mark, crc = line.rpartition(_CRC_MARK)
    if not mark or crc != b'%08x"}' % zlib.crc32(body + b"}"):
        return None
    entry: dict[str, Any] = orjson.loads(body + b"}")
    return entry


def _plain(value: Any) -> Any:
    """What JSON lacks: exact decimals as strings, any mapping as an object."""
    if isinstance(value, Decimal | Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be recorded")


def _write_header(path: Path, header: SessionHeader) -> None:
    _write_atomically(
        path / HEADER, orjson.dumps(header.to_json(), option=orjson.OPT_INDENT_2, default=_plain)
    )


def _write_atomically(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    file = AppendFile(temporary)
    try:
        file.append(data)
        file.sync()
    finally:
        file.close()
    try:
        temporary.replace(path)
    except OSError as error:
        raise RecordingError(f"cannot write {path}: {error.strerror}; choose another --out") from error
    sync_path(path.parent)


def _cut_torn_line(path: Path) -> None:
    data = path.read_bytes() if path.exists() else b""
    if data and not data.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)
