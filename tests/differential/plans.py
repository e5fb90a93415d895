"""Random orders for a tape: what to send and when, fixed before any venue sees it.

One order is alive at a time, and resting sizes are odd where a tape's are even (why: see ``tapes``). Of
the market only the book at sending is used, to price near the touch. Some orders and cancels are timed
to arrive in the very nanosecond of a tape row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from agent.core.market.tape import EventArray, Kind
from agent.venue.kernel.tape_market import TapeMarket
from tests.differential.ours import INSTRUMENT
from tests.differential.records import GTC, IOC, ORDER, POST_ONLY, Records, Rules

_MS = 1_000_000
Ways = Callable[[int], tuple[int, int, int]]
"""An order's number -> how long it, its cancel and every answer about it are on their way."""


@dataclass(frozen=True, slots=True)
class Style:
    """What kind of orders. ``odd``: resting sizes; ``group``: takers at once, each twice the last."""

    taking: int = IOC
    resting: int = POST_ONLY
    odd: bool = True
    group: int = 3
    takers: float = 0.2  # share of takers (and of groups)
    ways: Ways | None = None  # None: the rules' latencies


class _Plan:
    def __init__(self, tape: EventArray, rules: Rules, seed: int, style: Style) -> None:
        self._tape, self._rules, self._style = tape, rules, style
        self._rng = np.random.default_rng(seed)
        self._market, self._at = TapeMarket([INSTRUMENT]), 0
        trades = tape["qty_lots"][tape["kind"] == Kind.TRADE]
        self._typical_lots = float(np.mean(trades))
        self.orders: list[tuple[int, ...]] = []

    def make(self, orders: int) -> Records:
        """Fill ``orders`` orders into the tape, evenly; fewer when it is too short for them."""
        first = int(self._tape["recv_ns"][0]) + 100 * _MS
        end = int(self._tape["recv_ns"][-1]) - 2_000 * _MS
        mean_ns = (end - first) // orders
        now = first
        while now < end and len(self.orders) < orders:
            send_ns = self._meet(now, self._ways()[0])
            done_ns = self._add(send_ns)
            now = done_ns + 1 + int(self._rng.exponential(max(1, mean_ns - 200 * _MS)))
        return np.array(self.orders[:orders], ORDER)

    def _ways(self) -> tuple[int, int, int]:
        """The latencies of the next order: entry, cancel, answers."""
        if self._style.ways is None:
            return self._rules.entry_ns, self._rules.entry_ns, self._rules.response_ns
        return self._style.ways(len(self.orders) + 1)

    def _meet(self, leave_ns: int, way_ns: int) -> int:
        """Return a time of leaving; one in three arrives together with a row of the tape."""
        if self._rng.random() > 1 / 3:
            return leave_ns
        way = way_ns + self._rules.feed_ns
        i = int(np.searchsorted(self._tape["recv_ns"], leave_ns + way))
        return int(self._tape["recv_ns"][i]) - way

    def _add(self, send_ns: int) -> int:
        """Add an order (or a group) that leaves at ``send_ns``. Returns when it is surely over."""
        self._at, _ = self._market.run(self._tape, self._at, send_ns)
        book = self._market.book(0)
        entry_ns, cancel_entry_ns, answer_ns = self._ways()
        flight_ns = entry_ns + answer_ns
        side = int(self._rng.choice((1, -1)))
        near, far = (book.bid_ticks, book.ask_ticks) if side > 0 else (book.ask_ticks, book.bid_ticks)
        if self._rng.random() < self._style.takers:
            return self._take(send_ns, side, far)
        price = near + side * int(self._rng.choice((0, 0, 0, 1, 1, -1, -3)))
        if (price - far) * side >= 0:
            price = far - side
        alive_ns = int(self._rng.uniform(flight_ns + _MS, 8 * flight_ns))
        cancel_ns = max(self._meet(send_ns + alive_ns, cancel_entry_ns), send_ns + flight_ns + 1)
        self._put(send_ns, cancel_ns, price, self._lots() | self._style.odd, side, self._style.resting)
        return cancel_ns + cancel_entry_ns + answer_ns

    def _take(self, send_ns: int, side: int, far: int) -> int:
        """A group of takers of growing size at one limit: each shows how deep its last lot reached."""
        limit = far + side * int(self._rng.choice((-1, 0, 0, 1, 2, 5, 50)))
        entry_ns, _, answer_ns = self._ways()
        flight_ns = entry_ns + answer_ns
        if self._style.taking == GTC:
            self._put(send_ns, send_ns + 2 * flight_ns, limit, self._lots(), side, GTC)
            return send_ns + 3 * flight_ns
        for lots in sorted(self._lots() * 2**i for i in range(self._style.group)):
            self._put(send_ns, 0, limit, lots, side, self._style.taking)
        return send_ns + flight_ns

    def _put(self, send_ns: int, cancel_ns: int, price: int, lots: int, side: int, tif: int) -> None:
        ways = self._ways()
        self.orders.append((len(self.orders) + 1, send_ns, cancel_ns, price, lots, side, tif, *ways))

    def _lots(self) -> int:
        return max(1, round(self._typical_lots * self._rng.lognormal(1.0, 1.2)))


ODD_IOC = Style()


def random_plan(tape: EventArray, rules: Rules, orders: int, seed: int, style: Style = ODD_IOC) -> Records:
    """Return up to ``orders`` random orders for ``tape``."""
    return _Plan(tape, rules, seed, style).make(orders)


def random_crowd(tape: EventArray, rules: Rules, orders: int, seed: int, alive: int) -> Records:
    """Return resting orders of which up to ``alive`` are alive at once, in order of sending."""
    style = Style(takers=0.0)
    each = [random_plan(tape, rules, orders // alive, seed + i, style) for i in range(alive)]
    crowd: Records = np.concatenate(each)
    crowd = crowd[np.argsort(crowd["send_ns"], kind="stable")]
    crowd["number"] = np.arange(1, len(crowd) + 1)
    return crowd
