"""Trading time: the engine's clock in a session of bars, where nights, week-ends and holidays do not count.

Rules kept here:

* the bars that may be traded are laid end to end: bar ``j`` covers [origin + j delta, origin + (j + 1)
  delta) of engine time, so durations and intervals are multiples of bars, whatever lies between them;
* a market that never closes keeps its own time: there the two clocks are one;
* a bar in which the market was closed for a part (``BarFlag.CLOSED``: auctions, a session's ragged end) has
  no place of its own. It is seen between the bars around it, and nothing is filled in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

import numpy as np

from agent.core.arrays import IntArray
from agent.core.market.tape import BarArray


class BarFlag(IntFlag):
    """Bits of a bar's ``flags`` beyond those of the tape."""

    CLOSED = 1 << 16  # not wholly within the regular session: seen, never traded
    ABSENT = 1 << 17  # the files lack it: an empty bar at the last close
    SPLIT = 1 << 18  # the first bar after a split of raw prices: before it shares were others
    HOLED = 1 << 19  # made of trades, of which some are known to be missing


@dataclass(frozen=True, slots=True)
class TradingTime:
    """When each traded bar began and ended by the wall clock, [K] each in ns UTC, oldest first."""

    delta_ns: int
    start_ns: IntArray
    end_ns: IntArray  # when it was known: of a day's bar the close of its session

    @classmethod
    def of(cls, bars: BarArray) -> TradingTime:
        """Of a session's bars, oldest first, of one length. There is at least one that may be traded."""
        traded = bars[(bars["flags"] & BarFlag.CLOSED) == 0]
        return cls(int(traded["delta_ns"][0]), traded["open_ns"].copy(), traded["recv_ns"].copy())

    @property
    def origin_ns(self) -> int:
        return int(self.start_ns[0])

    @property
    def is_wall(self) -> bool:
        """Whether engine time is the wall clock's: the bars follow each other without a break."""
        ends = self.start_ns + self.delta_ns
        return bool((self.start_ns[1:] == ends[:-1]).all() and (self.end_ns == ends).all())

    def laid(self, bars: BarArray) -> BarArray:
        """The same bars at their engine times; an untraded one ends where the traded one before it does."""
        out = bars.copy()
        traded = (bars["flags"] & BarFlag.CLOSED) == 0
        place = np.cumsum(traded)  # of the next traded bar
        out["recv_ns"] = self.origin_ns + place * self.delta_ns
        out["open_ns"] = np.where(traded, out["recv_ns"] - self.delta_ns, out["recv_ns"])
        return out

    def of_wall(self, wall_ns: int) -> int:
        """Engine time of a moment; one between two bars is the boundary."""
        j = int(np.searchsorted(self.start_ns, wall_ns, side="right")) - 1
        if j < 0:
            return self.origin_ns + min(0, wall_ns - self.origin_ns)
        into = min(wall_ns, int(self.end_ns[j])) - int(self.start_ns[j])
        return self.origin_ns + j * self.delta_ns + min(into, self.delta_ns)

    def began(self, engine_ns: int) -> int:
        """Wall time; a boundary is the beginning of the bar after it."""
        j, into = divmod(engine_ns - self.origin_ns, self.delta_ns)
        if j >= len(self.start_ns):
            return int(self.end_ns[-1]) + engine_ns - (self.origin_ns + len(self.start_ns) * self.delta_ns)
        return int(self.start_ns[j]) + into if j >= 0 else engine_ns

    def ended(self, engine_ns: int) -> int:
        """Wall time; a boundary is the end of the bar before it."""
        j, into = divmod(engine_ns - self.origin_ns, self.delta_ns)
        if into or not 0 < j <= len(self.start_ns):
            return self.began(engine_ns)
        return int(self.end_ns[j - 1])
