"""What an importer did with files of bars: what was wrong, by which rule it was mended, and where."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from agent.barfiles.bar_quality import Quality
from agent.barfiles.calendars import when
from agent.core.arrays import BoolArray, IntArray
from agent.core.market.bars import FBarArray
from connectors.importers.import_report import ImportReport

NAMED = 3
MANY_ABSENT = 0.02


@dataclass(slots=True)
class BarReport(ImportReport):
    """Counts in bars. ``first_...``: the first three of a kind, in UTC."""

    bars: int = 0  # of the session
    interval_ns: int = 0
    calendar: str = ""
    clock: str = ""  # with a calendar: how the files' times were read
    stamped_at_end: bool = False  # bars bore the time of their end: moved to their start
    absent: int = 0  # missing in the files: empty bars stand for them
    closed: int = 0  # an auction in them, or beyond the session: seen, never traded
    outside: int = 0  # outside all sessions: dropped
    first_outside: list[str] = field(default_factory=list)
    zero_volume: int = 0  # kept: nothing is filled in them
    duplicates: int = 0  # equal copies: dropped
    out_of_order: int = 0  # sorted
    not_finite: int = 0  # dropped
    range_widened: int = 0  # open or close outside low .. high
    vwap_moved: int = 0  # a VWAP outside low .. high, moved to its edge
    typical_price: int = 0  # no notional in the file: the VWAP is (high + low + close) / 3
    far_prints: int = 0  # extremes left out of that
    splits: list[str] = field(default_factory=list)  # of raw prices: no order may cross one
    off_tick: int = 0  # prices rounded to the tick
    off_lot: int = 0  # volumes rounded to the lot

    def take(self, quality: Quality) -> None:
        """Add what was found in one file."""
        self.lines += quality.rows
        self.stamped_at_end |= quality.stamped_at_end
        for name in (
            "duplicates",
            "out_of_order",
            "not_finite",
            "range_widened",
            "vwap_moved",
            "typical_price",
            "far_prints",
        ):
            setattr(self, name, getattr(self, name) + getattr(quality, name))

    def note_bars(self, bars: FBarArray, absent: BoolArray, closed: BoolArray) -> None:
        """Count the session's bars."""
        still = (bars["volume"] == 0) & ~absent
        runs = int((np.diff(absent.astype(np.int8), prepend=0) > 0).sum())
        self.bars = self.events = len(bars)
        self.absent, self.closed, self.zero_volume, self.gaps = (
            int(absent.sum()),
            int(closed.sum()),
            int(still.sum()),
            runs,
        )
        self._name("missing, an empty bar stands for each", bars["start_ns"], absent)
        self._name("without volume", bars["start_ns"], still)
        if absent.mean() > MANY_ABSENT and not self.calendar:
            self.problem(
                f"{100 * absent.mean():.0f} % are missing: if the market closes, name its --calendar"
            )

    def note_rounded(
        self,
        start_ns: IntArray,
        off_tick: BoolArray,
        off_lot: BoolArray,
    ) -> None:
        """Count what a given tick or lot does not divide."""
        self.off_tick, self.off_lot = int(off_tick.sum()), int(off_lot.sum())
        self._name(f"off the tick {self.tick}, rounded", start_ns, off_tick)
        self._name(f"off the lot {self.lot}, rounded", start_ns, off_lot)

    def _name(self, what: str, start_ns: IntArray, which: BoolArray) -> None:
        rows = np.flatnonzero(which)
        if len(rows):
            first = ", ".join(when(start_ns[k]) for k in rows[:NAMED])
            more = ", ..." if len(rows) > NAMED else ""
            self.problem(f"{len(rows):,} bar{'s' if len(rows) > 1 else ''} {what}: {first}{more}")
