"""Segments read in place: Arrow's columns from the file's own pages, made rows in one pass over each batch.

Rules kept here: rows are copies, so no page of a file is needed once its batch has been made rows; pages
that have been read are given back, or a mapped segment of 256 MB would count as the process's memory.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from agent.core.market.tape import EVENT

KEPT_BYTES = 16 << 20
"""So much of a file stays mapped behind the reader: giving back costs by the call."""

FEW_ROWS = 512
"""Below this the compiled pass is not worth its call, nor its first use Numba's start."""

_ADVISE = getattr(mmap, "MADV_DONTNEED", None)  # Unix only; elsewhere the pages stay until the end

Rows = npt.NDArray[np.void]


class Pages:
    """A file's bytes as an Arrow stream's source; ``let_go`` what was read. Raises OSError, ValueError."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.source = pa.BufferReader(pa.py_buffer(self._map))
        self._gone = 0

    def let_go(self) -> None:
        """Give back the pages behind the reader; no array may look at them any more."""
        end = self.source.tell() // mmap.PAGESIZE * mmap.PAGESIZE
        if _ADVISE is not None and end - self._gone >= KEPT_BYTES:
            self._map.madvise(_ADVISE, self._gone, end - self._gone)
            self._gone = end


@contextmanager
def pages(path: Path) -> Iterator[Pages]:
    """The pages of ``path``, unmapped when the last array of them is gone."""
    found = Pages(path)
    try:
        yield found
    finally:
        found.source.close()


def to_rows(batch: pa.RecordBatch, dtype: np.dtype[np.void]) -> Rows:
    """Copy the columns of a record batch into structured rows: the one copy a read makes."""
    rows = np.empty(batch.num_rows, dtype=dtype)
    names = dtype.names or ()
    columns = [_values(column, dtype[name]) for name, column in zip(names, batch.columns, strict=True)]
    if dtype == EVENT and len(rows) >= FEW_ROWS:
        from storage.recordings.rows_from_columns import interleave  # Numba starts here, where it pays

        interleave(rows, *columns)
        return rows
    for name, values in zip(names, columns, strict=True):
        rows[name] = values
    return rows


def _values(column: pa.Array, dtype: np.dtype[np.generic]) -> npt.NDArray[Any]:
    """A column without nulls as it lies in memory. Arrow's own way starts pandas: 0.3 s."""
    start = column.offset * dtype.itemsize
    return np.frombuffer(column.buffers()[1], dtype, len(column), start)
