"""Ids far from where a gapless stream stands: held until it is clear what they are.

Theory of operation
-------------------
A gapless stream stands at ``next_id``. An id a little above it shows a hole, one below it that came before is
a repeat. Any other is one of three things, and a guess costs trades: a wild id in one frame (believed, it
makes all that follows repeats, and a hole without end), the first id after a long hole, or a new count (an
exchange that started its ids again). So such a trade is *held*, and the next ones tell:

* an id that joins the stream comes: the held ones were wild, they are refused, and counted. The trade that
  one of them was leaves a hole like any other, which REST fills under its true id;
* ``RUN`` held trades in a row, each a little above the one before, and nothing else: the stream has moved;
* in a quiet market REST is asked, which knows an id or does not.

The stream that has moved lies above (a hole, filled as any) or below (a new count: ``TradeLedger.restart``).
An id below ``next_id`` is a repeat while its stamp is no newer than the newest trade's.

Worked example (``tests/unit/connectors/test_id_jumps.py`` holds it), next_id 101, newest stamp 6:

    =========================  ==========================  ===========  ===================
    comes (id, stamp)          held                        go on        refused
    =========================  ==========================  ===========  ===================
    (10**18, 7)                10**18                      none         none
    (102, 7)                   none                        102          10**18
    (1, 8), (2, 8)             1, 2                        none         none
    (3, 9)                     none                        1, 2, 3      none: a new count
    =========================  ==========================  ===========  ===================
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.arrays import IntArray
from connectors.backfill import TradeLedger
from connectors.ccxt_types import UsableTrade

NEAR = 100
"""A jump of so many ids is a hole; a larger one is looked at first."""
RUN = 3
HOLE_MOST = 2_000_000
"""Ids further above than this are no hole that anybody could fill: a new count."""


@dataclass(frozen=True, slots=True)
class Released:
    """Trades that may go on, in order. ``new_count``: the first id of a new count that begins with them."""

    trades: list[UsableTrade]
    new_count: int | None = None


class IdJumps:
    """Of one stream."""

    def __init__(self, ledger: TradeLedger) -> None:
        self.refused = 0
        self._ledger = ledger
        self._held: list[tuple[int, UsableTrade]] = []
        self._next_id: int | None = None  # where the stream stands, the batch under way counted in
        self._newest_ms = 0

    @property
    def held(self) -> list[tuple[int, int]]:
        """(id, stamp in ms) of the trades that wait."""
        return [(trade_id, trade["timestamp"]) for trade_id, trade in self._held]

    def begin(self, ids: IntArray) -> bool:
        """A batch begins. True: it simply goes on, as nearly all do, and need not be looked at."""
        self._next_id, self._newest_ms = self._ledger.next_id, self._ledger.last_ms
        if self._next_id is None:
            self._next_id = int(ids[0])
        if int(ids[0]) != self._next_id or not (ids[1:] - ids[:-1] == 1).all():
            return False
        self.refuse()
        return True

    def take(self, trade_id: int, trade: UsableTrade, near: int) -> Released:
        """What may go on now that this trade has come: it alone, the run that it ends, or nothing yet."""
        if self._joins(trade_id, trade["timestamp"], near):
            self.refuse()
            self._stand_at(trade_id, trade["timestamp"])
            return Released([trade])
        if self._held and not 0 < trade_id - self._held[-1][0] <= NEAR:
            self.refuse()
        self._held.append((trade_id, trade))
        return self.release() if len(self._held) >= RUN else Released([])

    def release(self) -> Released:
        """The held trades are real: they go on."""
        run, self._held = self._held, []
        if not run or self._next_id is None:
            return Released([])
        first_id, moved = run[0][0], not 0 <= run[0][0] - self._next_id <= HOLE_MOST
        self._next_id = run[-1][0] + 1
        self._newest_ms = max(self._newest_ms, run[-1][1]["timestamp"])
        return Released([trade for _, trade in run], first_id if moved else None)

    def refuse(self) -> None:
        """The held ids were wild."""
        self.refused += len(self._held)
        self._held = []

    def _stand_at(self, trade_id: int, stamp_ms: int) -> None:
        assert self._next_id is not None
        if trade_id >= self._next_id:
            self._next_id, self._newest_ms = trade_id + 1, stamp_ms

    def _joins(self, trade_id: int, stamp_ms: int, near: int) -> bool:
        assert self._next_id is not None
        if trade_id >= self._next_id:
            return trade_id - self._next_id <= near
        return stamp_ms <= self._newest_ms or self._ledger.misses(trade_id)
