"""Append-only Arrow segments of structured rows: what a recorded session's tape and bars are made of.

A segment is a plain Arrow IPC stream (any Arrow reader opens it), one column a field of the dtype.
Every record batch carries the CRC-32 of its rows as custom metadata. A segment that was cut off (crash,
full disk) is whole up to its last complete batch; a flipped byte is found by the CRC. Either way only a
*prefix* is ever used: rows after a hole would describe a book that was never seen.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from agent.core.errors import RecordingError, SessionError
from storage.recordings.mapped import FEW_ROWS, Rows, pages, to_rows

SEGMENT_BYTES = 256 << 20
BATCH_ROWS = 16384  # 0.9 MB: the copy and the checksum of a batch stay in the cache
OWNER_ONLY = 0o600  # a recording shows what its owner trades, and the configuration it ran with
_BINARY = getattr(os, "O_BINARY", 0)  # Windows would write a line's end as two bytes
_CRC = b"crc32"
UNREADABLE = (pa.ArrowException, OSError, ValueError, MemoryError)


class AppendFile:
    """A file that only grows, one write call a record: a record is there whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _BINARY, OWNER_ONLY)
        except OSError as error:
            raise cannot_write(path, error) from error
        self.size = os.fstat(self._fd).st_size
        self._failure: RecordingError | None = None

    def append(self, data: bytes | bytearray) -> None:
        """Hand ``data`` to the operating system. Raises RecordingError; a torn part is cut off again.

        After a failure every call raises: a later record must not follow a hole.
        """
        if self._failure is not None:
            raise self._failure
        view = memoryview(data)
        done = 0
        try:
            while done < len(view):
                done += os.write(self._fd, view[done:])
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self.size)
            self._failure = cannot_write(self.path, error)
            raise self._failure from error
        self.size += done

    def sync(self) -> None:
        """Force what was appended to the disk. Raises RecordingError."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def cannot_write(path: Path, error: OSError) -> RecordingError:
    """The one message for a disk that does not take what is written to it."""
    return RecordingError(
        f"cannot record to {path}: {error.strerror or error}; what was recorded before is readable: "
        "free some space or choose another --out"
    )


class _Pending:
    """The bytes Arrow writes for one batch, collected so that they reach the file in one call."""

    closed = False

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)

    def flush(self) -> None:
        """Arrow calls it; the bytes go out with ``take``."""

    def take(self) -> bytearray:
        data, self._data = self._data, bytearray()
        return data


class Segment:
    """One segment file being written."""

    def __init__(self, path: Path, dtype: np.dtype[np.void]) -> None:
        self._file = AppendFile(path)
        self._schema = schema_of(dtype)
        self._pending = _Pending()
        self._stream = pa.ipc.new_stream(pa.PythonFile(self._pending, "w"), self._schema)
        self.path = path
        self.rows = 0
        self.batches = 0

    @property
    def size(self) -> int:
        return self._file.size

    def append(self, rows: Rows) -> None:
        """Append ``rows`` as one record batch. Raises RecordingError."""
        self._stream.write_batch(to_batch(rows, self._schema), custom_metadata={_CRC: b"%08x" % crc_of(rows)})
        self._file.append(self._pending.take())
        self.rows += len(rows)
        self.batches += 1

    def sync(self) -> None:
        self._file.sync()

    def close(self) -> None:
        """Write the end-of-stream mark and close. Raises RecordingError."""
        self._stream.close()
        try:
            self._file.append(self._pending.take())
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Close the file as it is."""
        self._file.close()


def to_batch(rows: Rows, schema: pa.Schema) -> pa.RecordBatch:
    """Rows as a record batch of ``schema``. Built of buffers: ``pa.array`` would import pandas first."""
    arrays = [
        pa.Array.from_buffers(kind, len(rows), [None, pa.py_buffer(rows[name].tobytes())])
        for name, kind in zip(schema.names, schema.types, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def schema_of(dtype: np.dtype[np.void]) -> pa.Schema:
    """Return the Arrow schema whose columns are the fields of ``dtype``."""
    return pa.schema([pa.field(n, pa.from_numpy_dtype(dtype[n]), nullable=False) for n in dtype.names or ()])


def crc_of(rows: Rows) -> int:
    """Return the CRC-32 of the rows' bytes."""
    whole = np.ascontiguousarray(rows)
    if whole.nbytes < FEW_ROWS * whole.dtype.itemsize:
        return zlib.crc32(whole.data)
    from agent.core.compile.checksum import crc32  # Numba starts here, where it pays

    return crc32(whole.view(np.uint8))


class SegmentDamageError(Exception):
    """The rest of a segment cannot be read. The message says why."""


def read_segment(path: Path, dtype: np.dtype[np.void]) -> Iterator[Rows]:
    """Yield the whole batches of a segment, in order.

    Raises SegmentDamageError after the last of them when the file is cut off or corrupt, and SessionError
    when it holds something else.
    """
    try:
        if not path.stat().st_size:
            return  # its process died, or its disk was full, between making it and the first write
        with pages(path) as mapped:
            stream = pa.ipc.open_stream(mapped.source)
            if stream.schema != schema_of(dtype):
                raise SessionError(
                    f"{path} has columns {stream.schema.names}, not {list(dtype.names or ())}: "
                    "it was not recorded by this program; record or import the session again"
                )
            while True:
                try:
                    batch, metadata = stream.read_next_batch_with_custom_metadata()
                except StopIteration:
                    return
                rows = _checked(to_rows(batch, dtype), metadata)
                del batch  # its columns look at the file's pages
                mapped.let_go()
                yield rows
    except UNREADABLE as error:
        raise SegmentDamageError(
            str(error).splitlines()[0] if str(error) else type(error).__name__
        ) from error


def _checked(rows: Rows, metadata: pa.KeyValueMetadata | None) -> Rows:
    recorded = metadata.get(_CRC) if metadata is not None else None
    if recorded != b"%08x" % crc_of(rows):
        raise SegmentDamageError("its checksum does not match its rows")
    return rows


def rechunk(batches: Iterable[Rows], size: int) -> Iterator[Rows]:
    """Yield the same rows in pieces of exactly ``size`` (the last may be shorter); holds one piece."""
    held: list[Rows] = []
    count = 0
    for batch in batches:
        start = 0
        while count + len(batch) - start >= size:
            stop = start + size - count
            held.append(batch[start:stop])
            yield held[0] if len(held) == 1 else np.concatenate(held)
            held, count, start = [], 0, stop
        if start < len(batch):
            held.append(batch[start:])
            count += len(batch) - start
    if held:
        yield held[0] if len(held) == 1 else np.concatenate(held)


def compact(
    path: Path, dtype: np.dtype[np.void], size: int = BATCH_ROWS, *, before_seq: int | None = None
) -> int:
    """Rewrite a segment in batches of ``size`` rows, atomically; what is damaged at its end is left out.

    ``before_seq``: only rows with lower numbers stay. Returns the rows it holds. Raises RecordingError, and
    then leaves the segment as it was.
    """
    temporary = path.with_suffix(".compacting")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    target = Segment(temporary, dtype)
    try:
        for rows in rechunk(_whole(path, dtype, before_seq), size):
            target.append(rows)
        target.close()
        sync_path(temporary)
        temporary.replace(path)
        sync_path(path.parent)
    except RecordingError:
        target.abandon()
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return target.rows


def _whole(path: Path, dtype: np.dtype[np.void], before_seq: int | None) -> Iterator[Rows]:
    with contextlib.suppress(SegmentDamageError):
        for rows in read_segment(path, dtype):
            yield rows if before_seq is None else rows[rows["seq"] < before_seq]


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file, whole or not at all; it is on the disk then. Raises RecordingError."""
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


def sync_path(path: Path) -> None:
    """Force a file or a directory to the disk. Raises RecordingError."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no directory, and keeps a name that was given without being told
    try:
        fd = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise cannot_write(path, error) from error
