"""The end of a tape, as whoever continues it needs to know it: the last trades, and what was still open.

An interruption (a gap, a silence) that is open where a tape ends would stay open for ever: the process that
would have ended it is gone. A gap of the trades is different: the feed that goes on fills it, and ends it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from agent.core.market.tape import EventArray, Flag, Kind, TradesBefore, empty_events, interruption

REMEMBERED = 200_000
"""Trades of each instrument: as many ids as a stream with sparse ones remembers."""
_ENDS = {Kind.GAP_BEGIN: Kind.GAP_END, Kind.STALE: Kind.ALIVE}


@dataclass(slots=True)
class TapeEnd:
    """Gather it with ``add``, batch by batch."""

    rows: int = 0
    _trades: dict[int, list[EventArray]] = field(default_factory=dict)
    _open: dict[tuple[int, str], EventArray] = field(default_factory=dict)

    def add(self, rows: EventArray) -> None:
        self.rows += len(rows)
        trades = rows[rows["kind"] == Kind.TRADE]  # few of the rows: all of them are looked at once
        for number in np.unique(trades["instrument"]).tolist():
            self._keep(number, trades[trades["instrument"] == number])
        for row in rows[(rows["kind"] >= Kind.GAP_BEGIN) & (rows["kind"] <= Kind.ALIVE)]:
            found = interruption(int(row["kind"]), int(row["flags"]))
            if found is not None:
                what, ended = found
                key = int(row["instrument"]), what
                self._open.pop(key, None)
                if not ended:
                    self._open[key] = row.copy()

    def _keep(self, number: int, trades: EventArray) -> None:
        kept = self._trades.setdefault(number, [])
        kept.append(trades)
        if sum(map(len, kept)) > 2 * REMEMBERED:
            kept[:] = [np.concatenate(kept)[-REMEMBERED:]]

    def trades(self, number: int) -> TradesBefore:
        """The last trades of an instrument, in order of arrival."""
        kept = self._trades.get(number) or [empty_events()]
        gap = self._open.get((number, "trades"))
        return TradesBefore(np.concatenate(kept)[-REMEMBERED:], None if gap is None else int(gap["ext_id"]))

    def ending_rows(self, at_ns: int) -> EventArray:
        """What ends every interruption that is open, but for gaps of trades: tape rows of ``at_ns``."""
        mine = [row for (_, what), row in self._open.items() if what != "trades"]
        rows = empty_events(len(mine))
        for ends, begun in zip(rows, mine, strict=True):
            ends["kind"], ends["flags"] = _ENDS[Kind(int(begun["kind"]))], begun["flags"] | Flag.LAST
            ends["instrument"], ends["exch_ns"] = begun["instrument"], at_ns
        return rows
