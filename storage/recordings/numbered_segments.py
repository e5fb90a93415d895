"""The numbered segments of a session: which files there are, of either kind, and writing the next one."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from agent.core.errors import RecordingError, SessionError
from storage.recordings.mapped import Rows
from storage.recordings.segments import (
    BATCH_ROWS,
    OWNER_ONLY,
    Segment,
    SegmentDamageError,
    compact,
    read_segment,
    sync_path,
)

PARQUET = ".parquet"


class NumberedSegments:
    """The numbered segments of one kind of row, made when first needed, rotated by size."""

    def __init__(self, folder: Path, stem: str, dtype: np.dtype[np.void], segment_bytes: int) -> None:
        self._folder, self._stem, self._dtype = folder, stem, dtype
        self._segment_bytes = segment_bytes
        self._segment: Segment | None = None
        self._number = 0
        self._scattered: list[Path] = []  # finished segments whose batches are small
        self.rows = 0
        self.last_seq = 0  # of the rows that were there before

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
        segment.sync()  # the next ``sync`` knows the next segment only
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
                for rows in segment_rows(path, self._dtype):
                    sizes.append(len(rows))
                    self.last_seq = max(self.last_seq, int(rows["seq"][-1]))
                self._note(path, sum(sizes), len(sizes))
            except SegmentDamageError as damage:
                if path is not paths[-1] or path.suffix == PARQUET:
                    raise SessionError(
                        f"{path} is damaged ({damage}) and no crash did that: it can be replayed, not resumed"
                    ) from damage
                kept = path.with_suffix(".damaged")
                kept.touch(mode=OWNER_ONLY)
                shutil.copyfile(path, kept)
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


def segment_paths(folder: Path, stem: str) -> list[Path]:
    """Return the segments of one kind in the order they were written.

    Of a segment that is there twice the Parquet file counts: it was verified before it got its name, and
    the compaction was stopped before it removed the other.
    """
    found = {p.stem: p for p in folder.glob(f"{stem}-*.arrows")}
    found |= {p.stem: p for p in folder.glob(f"{stem}-*{PARQUET}")}
    return [found[name] for name in sorted(found)]


def segment_rows(path: Path, dtype: np.dtype[np.void]) -> Iterator[Rows]:
    """Yield a segment's rows in order, whichever kind of file it is. Raises SegmentDamageError."""
    if not path.exists() and path.with_suffix(PARQUET).exists():
        path = path.with_suffix(PARQUET)  # compacted since the folder was looked at
    if path.suffix != PARQUET:
        return read_segment(path, dtype)
    from storage.recordings.parquet import (
        read_parquet,  # a twentieth of a second that most runs need not wait
    )

    return read_parquet(path, dtype)
