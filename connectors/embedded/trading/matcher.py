"""The exchange's matching: the paper venue's kernel, in the market as it is played.

Theory of operation
-------------------
The player moves the market for everybody; most of the time nobody has an order, and the kernel must cost
nothing. So it follows a market only while something of ours is there. The first order of a symbol gives the
kernel the symbol's book as it stands, as a snapshot; from then on every row that is played goes to it too,
after everybody has been told of it. When nothing rests and no level is remembered from which we took, it
stops following, and the next order begins again with a snapshot.

What it does to an order is what it does in the paper venue: a taking order walks what is shown, less what
it took before; a resting one queues behind what stood there when it came, and gets no more than the
market traded. The market that others see does not change: our orders are not in its book and our trades are
not in its prints.

Times of the kernel are the market's own; ``TimeMap`` of the player turns them into the exchange's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from agent.core.market.tape import EventArray, Flag, Kind, empty_events
from agent.venue.kernel import loop as k
from agent.venue.kernel.tape_market import TapeMarket
from connectors.embedded.player import Player
from connectors.embedded.traded_symbol import Lane

OURS = 0  # the kernel's lane of the one account
_FOR_EVER = 2**62

Filled = Callable[[int, int, int, int], None]
"""Called with (order id, ticks, lots, exchange's ns) of a resting order's fill."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a marketable order may go. ``cap_tl`` bounds its money (0: no bound)."""

    instrument: int
    side: int
    price_ticks: int
    lots: int
    cap_tl: int = 0


class Matcher:
    """Owns the kernel's state of every symbol. Knows orders by number only."""

    def __init__(self, lanes: Mapping[int, Lane], player: Player, filled: Filled) -> None:
        instruments = [lanes[n].instrument if n in lanes else None for n in range(max(lanes) + 1)]
        some = next(iter(lanes.values())).instrument
        self._market = TapeMarket([i or some for i in instruments])
        self._market.forget_beyond(lambda _: (_FOR_EVER, _FOR_EVER))
        self._lanes, self._player, self._filled = lanes, player, filled
        self._following: set[int] = set()

    def warm_up(self) -> None:
        """Compile the kernel: blocking."""
        self._market.warm_up()

    # --- what an order does ------------------------------------------------------------------------

    def take(self, order_id: int, reach: Reach) -> list[tuple[int, int]]:
        """Match now: (ticks, lots) of each fill, best first."""
        self._follow(reach.instrument)
        self._market.take(order_id, OURS, reach, self._player.market_ns())
        return [(int(row[k.F_PRICE]), int(row[k.F_LOTS])) for row in self._market.drain_fills()]

    def preview(self, reach: Reach) -> list[tuple[int, int]]:
        """What ``take`` would give now."""
        self._follow(reach.instrument)
        return self._market.preview(OURS, reach, self._player.market_ns())

    def rest(self, order_id: int, reach: Reach) -> None:
        """Put an order into the queue at its price."""
        self._follow(reach.instrument)
        self._market.rest(order_id, OURS, reach, reach.lots, self._player.market_ns())

    def withdraw(self, order_id: int) -> None:
        self._market.withdraw(order_id)

    def touch(self, instrument: int) -> tuple[int, int]:
        """(best bid, best ask) in ticks; 0, 0 while there is no two-sided book."""
        self._follow(instrument)
        return self._market.touch(instrument)

    # --- the market ----------------------------------------------------------------------------------

    def _follow(self, instrument: int) -> None:
        if instrument in self._following:
            return
        self._run(_snapshot(self._lanes[instrument], instrument, self._player.market_ns()))
        self._following.add(instrument)
        self._player.follower = self._played

    def _played(self, rows: EventArray) -> None:
        """Rows that have just been played to everybody."""
        known = rows["instrument"] < len(self._market.instruments)
        self._run(rows if known.all() else rows[known])
        counts = self._market.state.counts
        if counts[k.N_RESTING] == 0 and counts[k.N_CONSUMED] == 0:
            self._following.clear()
            self._player.follower = None

    def _run(self, rows: EventArray) -> None:
        at = 0
        while at < len(rows):
            at, _ = self._market.run(rows, at, _FOR_EVER)
            for order_id, ticks, lots, _, at_ns, _, _ in self._market.drain_fills():
                self._filled(order_id, ticks, lots, self._player.wall_ns(at_ns))


def _snapshot(lane: Lane, instrument: int, at_ns: int) -> EventArray:
    """A symbol's book as tape rows."""
    levels = [(1, t, q) for t, q in lane.bids.items()] + [(-1, t, q) for t, q in lane.asks.items()]
    rows = empty_events(len(levels) + 2)
    rows["recv_ns"] = rows["exch_ns"] = at_ns
    rows["instrument"] = instrument
    rows["kind"] = int(Kind.LEVEL)
    rows["kind"][0], rows["kind"][-1] = int(Kind.SNAPSHOT_BEGIN), int(Kind.SNAPSHOT_END)
    rows["flags"][-1] = int(Flag.LAST)
    if levels:
        side, ticks, lots = np.array(levels, np.int64).T
        inside = rows[1:-1]
        inside["side"], inside["price_ticks"], inside["qty_lots"] = side, ticks, lots
    return rows
