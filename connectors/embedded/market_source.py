"""Where the embedded exchange's market comes from: tape rows, in market time, in order of ``recv_ns``.

A source knows nothing of the wall clock: the server maps ``start_ns`` to the moment it starts playing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np

from agent.core.arrays import BoolArray
from agent.core.errors import SessionError
from agent.core.instrument import Instrument
from agent.core.market.tape import EventArray, Flag, Kind, empty_events
from agent.core.types import NS_PER_MS

BATCH_ROWS = 65536
_SEAM_NS = 100 * NS_PER_MS  # market time between the end of a recording and its next round


class MarketSource(Protocol):
    """Tape rows of one or more instruments; ``exch_ns`` and ``recv_ns`` on one clock."""

    @property
    def instruments(self) -> Sequence[Instrument]: ...

    @property
    def start_ns(self) -> int:
        """Market time at which playing begins."""
        ...

    def past(self) -> EventArray:
        """TRADE rows from before ``start_ns``, oldest first: what REST can show at once."""
        ...

    def batches(self) -> Iterator[EventArray]:
        """Whole exchange updates from ``start_ns`` on. A source that ends simply stops."""
        ...


class RecordedMarket:
    """A recorded tape: its HISTORY trades are the past, the rest is played, once or in rounds."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        open_batches: Callable[[], Iterator[EventArray]],
        *,
        loop: bool = False,
    ) -> None:
        """``open_batches`` starts a pass over the tape. Raises SessionError for one without live rows."""
        self._instruments = list(instruments)
        self._open = open_batches
        self._loop = loop
        self._past, self._start_ns = _split_past(open_batches())

    @classmethod
    def of(
        cls, instruments: Sequence[Instrument], events: EventArray, *, loop: bool = False
    ) -> RecordedMarket:
        """A market of rows in memory."""

        def batches() -> Iterator[EventArray]:
            for start in range(0, len(events), BATCH_ROWS):
                yield events[start : start + BATCH_ROWS]

        return cls(instruments, batches, loop=loop)

    @property
    def instruments(self) -> Sequence[Instrument]:
        return self._instruments

    @property
    def start_ns(self) -> int:
        return self._start_ns

    def past(self) -> EventArray:
        return self._past

    def batches(self) -> Iterator[EventArray]:
        ahead_ns, seam = 0, _Seam()
        while True:
            end_ns = self._start_ns
            for batch in self._open():
                live = batch[(batch["flags"] & Flag.HISTORY) == 0]
                if not len(live):
                    continue
                end_ns = int(live["recv_ns"][-1])
                if not self._loop:
                    yield live
                    continue
                if not ahead_ns:
                    seam.see(live)
                yield seam.shifted(live, ahead_ns)
            if not self._loop:
                return
            ahead_ns += end_ns - self._start_ns + _SEAM_NS
            seam.rounds += 1


class _Seam:
    """Moves times and ids so that each round continues above the last, each stream on its own."""

    def __init__(self) -> None:
        self.rounds = 0
        self._ends: dict[tuple[int, bool], tuple[int, int]] = {}  # (instrument, trades?) -> first, last id

    def see(self, rows: EventArray) -> None:
        for stream, own in _streams(rows):
            ids = rows["ext_id"][own]
            lo, hi = self._ends.get(stream, (int(ids[0]), int(ids[0])))
            self._ends[stream] = min(lo, int(ids.min())), max(hi, int(ids.max()))

    def shifted(self, rows: EventArray, ahead_ns: int) -> EventArray:
        rows = rows.copy()
        rows["recv_ns"] += ahead_ns
        rows["exch_ns"] += ahead_ns
        for stream, own in _streams(rows):
            first, last = self._ends[stream]
            rows["ext_id"][own] += self.rounds * (last - first + 1)
        return rows


def _streams(rows: EventArray) -> Iterator[tuple[tuple[int, bool], BoolArray]]:
    """Yield the numbered streams of some rows: each instrument's trades, and its book."""
    numbered = (rows["ext_id"] > 0) & (rows["kind"] <= Kind.BBO)
    for number in np.unique(rows["instrument"]).tolist():
        for trades in (True, False):
            own = numbered & (rows["instrument"] == number) & ((rows["kind"] == Kind.TRADE) == trades)
            if own.any():
                yield (number, trades), own


def _split_past(batches: Iterator[EventArray]) -> tuple[EventArray, int]:
    """Return (HISTORY trades, recv_ns of the first live row)."""
    past = [empty_events()]
    for batch in batches:
        old = (batch["flags"] & Flag.HISTORY) != 0
        past.append(batch[old & (batch["kind"] == Kind.TRADE)])
        if not old.all():
            return np.concatenate(past), int(batch["recv_ns"][~old][0])
    raise SessionError(
        "the recorded market has no live events to play: give a session with trades and book updates"
    )
