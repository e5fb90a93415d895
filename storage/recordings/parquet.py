"""Parquet segments: the same rows as an Arrow segment in about a tenth of the bytes, for finished sessions.

A row group carries the CRC-32 of its rows in the file's metadata, beside the pages' own checksums and the
least and greatest value of each column, so that any Parquet reader finds a time without reading the rest.
As with Arrow segments only a whole *prefix* is ever used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import orjson
import pyarrow.parquet as pq

from agent.core.errors import SessionError
from storage.recordings.mapped import Rows, to_rows
from storage.recordings.segments import (
    BATCH_ROWS,
    OWNER_ONLY,
    UNREADABLE,
    SegmentDamageError,
    cannot_write,
    crc_of,
    rechunk,
    schema_of,
    to_batch,
)

GROUP_ROWS = (
    BATCH_ROWS  # eight times as many read half as fast and save 1 %: rows are copied out of the cache
)
_CRCS = b"crc32"
# Measured on the real capture: numbering is a line, so its differences vanish; times and ids repeat within
# an update, which zstd sees best in plain columns; what has few values is a dictionary.
_DELTA = ("seq",)
_FEW_VALUES = ("instrument", "kind", "side", "flags", "delta_ns", "pad")


def write_parquet(path: Path, dtype: np.dtype[np.void], batches: Iterable[Rows]) -> int:
    """Write ``batches`` into a new file. Returns its rows.

    Raises RecordingError, and leaves a file of no use.
    """
    names = dtype.names or ()
    schema = schema_of(dtype)
    crcs: list[str] = []
    rows = 0
    try:
        path.touch(mode=OWNER_ONLY)
        with pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            use_dictionary=[name for name in _FEW_VALUES if name in names],
            column_encoding=dict.fromkeys(_DELTA, "DELTA_BINARY_PACKED"),
            write_statistics=True,
            write_page_checksum=True,
        ) as writer:
            for piece in rechunk(batches, GROUP_ROWS):
                writer.write_batch(to_batch(piece, schema), row_group_size=GROUP_ROWS)
                crcs.append(f"{crc_of(piece):08x}")
                rows += len(piece)
            writer.add_key_value_metadata({_CRCS: orjson.dumps(crcs)})
    except OSError as error:
        raise cannot_write(path, error) from error
    return rows


def read_parquet(path: Path, dtype: np.dtype[np.void]) -> Iterator[Rows]:
    """Yield the row groups in order.

    Raises SegmentDamageError after the last whole one when the file is damaged, and SessionError when it
    holds something else.
    """
    try:
        with pq.ParquetFile(path, memory_map=False, page_checksum_verification=True) as file:
            if file.schema_arrow.remove_metadata() != schema_of(dtype):
                raise SessionError(
                    f"{path} has columns {file.schema_arrow.names}, not {list(dtype.names or ())}: "
                    "it was not recorded by this program; record or import the session again"
                )
            crcs = orjson.loads((file.metadata.metadata or {}).get(_CRCS, b"[]"))
            for number in range(file.num_row_groups):
                batches = file.read_row_group(number, use_threads=False).to_batches()
                rows = np.concatenate([to_rows(batch, dtype) for batch in batches])
                if number >= len(crcs) or crcs[number] != f"{crc_of(rows):08x}":
                    raise SegmentDamageError("its checksum does not match its rows")
                yield rows
    except UNREADABLE as error:
        raise SegmentDamageError(
            str(error).splitlines()[0] if str(error) else type(error).__name__
        ) from error


def outline(path: Path) -> tuple[int, int, int]:
    """(rows, first recv_ns, last recv_ns) by the file's own account. Raises SegmentDamageError."""
    try:
        metadata = pq.read_metadata(path)
        groups = [metadata.row_group(k).column(0).statistics for k in range(metadata.num_row_groups)]
    except UNREADABLE as error:
        raise SegmentDamageError(str(error)) from error
    return metadata.num_rows, int(groups[0].min) if groups else 0, int(groups[-1].max) if groups else 0
