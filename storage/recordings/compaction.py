"""Compaction: the finished Arrow segments of a closed session become Parquet files, one for one.

A segment's Parquet file is written under another name, synced, read back and compared with the segment row
for row; then it takes its place in one rename and the segment goes. A crash or a full disk at any moment
leaves a session whose every row is there, in one file or the other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np

from agent.core.errors import InternalError, SessionError
from agent.core.market.tape import BAR, EVENT
from storage.recordings import parquet
from storage.recordings.mapped import Rows
from storage.recordings.numbered_segments import PARQUET, segment_paths, segment_rows
from storage.recordings.segments import rechunk, sync_path
from storage.recordings.session import SessionReader

_TEMPORARY = ".compacting"


@dataclass(frozen=True, slots=True)
class Compaction:
    """What was done. Bytes are of the segments that were rewritten, before and after."""

    segments: int
    rows: int
    bytes_before: int
    bytes_after: int
    already: int  # segments that were Parquet before

    @property
    def ratio(self) -> float | None:
        return self.bytes_before / self.bytes_after if self.bytes_after else None


def compact_session(path: Path, progress: Callable[[int], None] | None = None) -> Compaction:
    """Rewrite every Arrow segment of ``path``; ``progress`` is called with the rows done so far.

    Raises SessionError for a session that is open, cut off or damaged, RecordingError on a full disk.
    """
    _check(path)
    report = progress or (lambda rows: None)
    segments = rows = before = after = already = 0
    for stem, dtype in (("tape", EVENT), ("bars", BAR)):
        for segment in segment_paths(path, stem):
            old = segment.with_suffix(".arrows")
            if segment.suffix == PARQUET:
                already += 1
                old.unlink(missing_ok=True)  # a compaction was killed between its last two steps
                continue
            size = segment.stat().st_size
            rows += _rewrite(segment, dtype)
            segments, before = segments + 1, before + size
            after += segment.with_suffix(PARQUET).stat().st_size
            report(rows)
    return Compaction(segments, rows, before, after, already)


def _check(path: Path) -> None:
    """Raises SessionError unless every row is there and no run writes any more."""
    reader = SessionReader(path)
    if reader.end_ns is None:
        raise SessionError(
            f"{path} was not closed: a run may still write it. If none does (it was cut off), "
            f"`agent sessions slice {path} --out DIR` makes a whole session of what is there"
        )
    for _ in reader.batches():
        pass
    reader.bars()
    if reader.losses:
        raise SessionError(
            f"{path} is damaged and stays as it is ({'; '.join(reader.losses)}): "
            f"`agent sessions slice {path} --out DIR` makes a whole session of what can be read"
        )


def _rewrite(segment: Path, dtype: np.dtype[np.void]) -> int:
    """Put a verified Parquet file in the segment's place. Returns its rows."""
    temporary = segment.with_suffix(_TEMPORARY)
    target = segment.with_suffix(PARQUET)
    try:
        temporary.unlink(missing_ok=True)
        rows = parquet.write_parquet(temporary, dtype, segment_rows(segment, dtype))
        sync_path(temporary)
        _compare(segment, temporary, dtype)
        temporary.replace(target)
        sync_path(target.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    segment.unlink()
    sync_path(target.parent)
    return rows


def _compare(segment: Path, written: Path, dtype: np.dtype[np.void]) -> None:
    """Raises InternalError unless both files hold the same rows in the same order."""
    theirs: Iterator[Rows] = rechunk(segment_rows(segment, dtype), parquet.GROUP_ROWS)
    ours = rechunk(parquet.read_parquet(written, dtype), parquet.GROUP_ROWS)
    for number, (a, b) in enumerate(zip_longest(theirs, ours)):
        if a is None or b is None or not np.array_equal(a, b):
            raise InternalError(
                f"{written} differs from {segment} in rows {number * parquet.GROUP_ROWS:,} and after: "
                "nothing was replaced"
            )
