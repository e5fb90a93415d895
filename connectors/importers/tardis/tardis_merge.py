"""The rows of several Tardis files in one order of time, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from agent.core.market.tape import empty_events
from connectors.importers.raw_rows import RawRows
from connectors.importers.tardis.tardis_files import CsvFile

_NEVER = 1 << 62


def merged(files: Sequence[CsvFile]) -> Iterator[RawRows]:
    """Yield the rows of all files in order of time, in blocks; holds a block or two a file.

    In the same microsecond the file of the lower rank goes first, then the one given first.
    """
    order = sorted(range(len(files)), key=lambda i: (files[i].rank, i))
    waiting = [_Waiting(files[i]) for i in order]
    while sum(w.fill() for w in waiting):
        bounds = [int(w.rows["recv_ns"][-1]) for w in waiting if not w.ended]
        pieces = [w.take(min(bounds, default=_NEVER)) for w in waiting]
        rows = np.concatenate([piece.rows for piece in pieces])
        where = np.concatenate([piece.where for piece in pieces])
        by_time = np.argsort(rows["recv_ns"], kind="stable")
        yield RawRows(rows[by_time], where[by_time])


class _Waiting:
    """The rows of one file that have not gone out."""

    def __init__(self, file: CsvFile) -> None:
        self._blocks = file.blocks()
        self.rows = empty_events()
        self._where = np.zeros(0, np.int64)
        self.ended = False

    def fill(self) -> bool:
        """Read on until two stamps wait, so that all rows of the first are there; False when all is out."""
        while not self.ended and not self._two_stamps():
            block = next(self._blocks, None)
            if block is None:
                self.ended = True
            else:
                self.rows = np.concatenate([self.rows, block.rows])
                self._where = np.concatenate([self._where, block.where])
        return len(self.rows) > 0

    def _two_stamps(self) -> bool:
        recv_ns = self.rows["recv_ns"]
        return len(recv_ns) > 0 and bool(recv_ns[0] != recv_ns[-1])

    def take(self, bound_ns: int) -> RawRows:
        """Take what came before ``bound_ns``."""
        count = int(np.searchsorted(self.rows["recv_ns"], bound_ns))
        taken = RawRows(self.rows[:count], self._where[:count])
        self.rows, self._where = self.rows[count:], self._where[count:]
        return taken
