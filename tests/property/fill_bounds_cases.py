"""Random tapes and random orders for ``test_fill_bounds``, and the bound itself, from tape and fills alone.

The tapes are hostile: levels that jump over each other, books sent anew, several updates in one nanosecond,
trades larger than the book showed, of an unknown taker, through several levels, told late or as history.
The orders are up to a thousand times as large as the book, of every kind, amended, cancelled, several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np

from agent.core.agenda import Agenda
from agent.core.market.tape import EVENT, EventArray, Flag, Kind
from agent.core.orders.venue_messages import Report, ReportKind, VenueOrder
from agent.core.types import Side, TimeInForce
from agent.venue.fees import Fees
from agent.venue.kernel import loop as kernel
from agent.venue.kernel.tape_market import TapeMarket
from agent.venue.paper import PaperVenue
from agent.venue.rules import VenueRules
from agent.venue.wire.latency import Latencies, Latency
from tests.differential.ours import INSTRUMENT

ENTRY_NS, SHOWN_NS = 3, 2  # order entry, and market data: an order meets the tape 5 ns after it left
FREE = {"BTC": Decimal(10) ** 15, "USDT": Decimal(10) ** 24}
TIFS = (TimeInForce.IOC, TimeInForce.GTC, TimeInForce.GTC, TimeInForce.POST_ONLY, TimeInForce.FOK)
UNTOLD = (int(Flag.LATE), int(Flag.BACKFILL), int(Flag.LATE | Flag.BACKFILL), int(Flag.HISTORY))


@dataclass
class Fill:
    """One fill, and when its order came to the exchange."""

    lane: int
    side: int
    price: int
    lots: int
    at_ns: int
    there_ns: int


@dataclass
class Case:
    """A tape, and what is done on it: (at_ns, action, order, new price, new lots)."""

    tape: EventArray
    actions: list[tuple[int, str, VenueOrder, int, int]] = field(default_factory=list)


def random_case(seed: int, updates: int = 50) -> Case:
    rng = np.random.default_rng(seed)
    tape = _random_tape(rng, updates)
    case, until_ns = Case(tape), int(tape["recv_ns"][-1])
    lanes = int(rng.integers(1, 3))
    for number in range(1, int(rng.integers(2, 7))):
        lots = int(rng.integers(1, 10) * 10 ** rng.integers(0, 5))
        side = Side.BUY if rng.random() < 0.7 else Side.SELL
        tif = TIFS[rng.integers(len(TIFS))]
        price = int(rng.integers(94, 107))
        cap_tl = int(rng.integers(1, 9999)) if rng.random() < 0.1 else 0
        order = VenueOrder(number, int(rng.integers(lanes)), 0, side, tif, price, lots, cap_tl)
        at_ns = int(rng.integers(0, until_ns))
        case.actions.append((at_ns, "submit", order, 0, 0))
        for _ in range(int(rng.integers(0, 3))):
            at_ns += int(rng.integers(0, 15))
            new = (int(rng.integers(94, 107)), int(rng.integers(1, 2 * lots + 2)))
            case.actions.append((at_ns, "amend", order, *new))
        if rng.random() < 0.2:
            case.actions.append((at_ns + int(rng.integers(0, 20)), "cancel", order, 0, 0))
    case.actions.sort(key=lambda action: action[0])
    return case


def _random_tape(rng: np.random.Generator, updates: int) -> EventArray:
    rows: list[tuple[int, ...]] = []
    market, now_ns = _Market(rng), 1
    for n in range(updates):
        now_ns += int(rng.integers(0, 4))
        update = market.snapshot() if n == 0 or rng.random() < 0.05 else market.update()
        for i, (kind, price, lots, side, flags) in enumerate(update):
            told_ns = now_ns - SHOWN_NS - (int(rng.integers(0, 60)) if flags else 0)
            last = int(Flag.LAST) if i == len(update) - 1 else 0
            rows.append((now_ns, told_ns, len(rows) + 1, 0, price, lots, 0, kind, side, flags | last))
    return np.array(rows, dtype=EVENT)


Loose = tuple[int, int, int, int, int]
"""Kind, price, lots, side, flags."""


class _Market:
    """Levels around a middle that jumps; now and then its sides are left crossed, as late data does."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng, self._middle = rng, 100
        self._book: dict[int, set[int]] = {1: set(), -1: set()}

    def update(self) -> list[Loose]:
        if self._rng.random() < 0.3:
            self._middle = int(np.clip(self._middle + self._rng.integers(-3, 4), 97, 103))
        found: list[Loose] = []
        for _ in range(int(self._rng.integers(1, 5))):
            found += [self._trade()] if self._rng.random() < 0.4 else self._level()
        return found

    def snapshot(self) -> list[Loose]:
        self._book = {1: set(), -1: set()}
        levels = [row for _ in range(8) for row in self._level() if row[2]]
        return [(int(Kind.SNAPSHOT_BEGIN), 0, 0, 0, 0), *levels, (int(Kind.SNAPSHOT_END), 0, 0, 0, 0)]

    def _level(self) -> list[Loose]:
        """A new size, and what it crosses on the other side taken away."""
        rng, side = self._rng, (1, -1)[self._rng.integers(2)]
        price = self._middle - side * int(rng.integers(0, 5))
        lots = int(rng.integers(1, 30)) if rng.random() < 0.8 else 0
        (self._book[side].add if lots else self._book[side].discard)(price)
        found = [(int(Kind.LEVEL), price, lots, side, 0)]
        if lots and rng.random() < 0.95:
            for crossed in [p for p in self._book[-side] if (price - p) * side >= 0]:
                self._book[-side].discard(crossed)
                found.insert(int(rng.integers(2)), (int(Kind.LEVEL), crossed, 0, -side, 0))
        return found

    def _trade(self) -> Loose:
        rng = self._rng
        flags = UNTOLD[rng.integers(len(UNTOLD))] if rng.random() < 0.3 else 0
        price = self._middle + int(rng.integers(-3, 4))
        side = (1, 1, -1, -1, 0)[rng.integers(5)]
        return int(Kind.TRADE), price, int(rng.integers(1, 30)), side, flags


def run(case: Case, *, reach: int, queue: int, self_trade: bool, market: type[TapeMarket]) -> list[Fill]:
    """Everything that the paper venue fills of the case."""
    book, agenda = market([INSTRUMENT], queue, 3.0, reach), Agenda()
    ways = Latencies(Latency(ENTRY_NS), Latency(ENTRY_NS), Latency(1), Latency(SHOWN_NS))
    allowed = "allow" if self_trade else "cancel_newest"
    venue = PaperVenue(book, agenda, VenueRules(ways, Fees(0, 0), FREE, 1e9, 0, 1, self_trade=allowed))
    orders = {order.number: (order, at) for at, what, order, *_ in case.actions if what == "submit"}
    fills: list[Fill] = []

    def hear(report: Report) -> None:
        if report.kind is ReportKind.FILLED:
            order, sent_ns = orders[report.number]
            fills.append(
                Fill(
                    order.lane,
                    int(order.side),
                    report.price_ticks,
                    report.lots,
                    report.venue_ns,
                    sent_ns + ENTRY_NS,
                )
            )

    venue.connect(hear)
    waiting = list(case.actions)

    def until(at_ns: int) -> None:
        """All that is due before ``at_ns``."""
        while True:
            due_ns = agenda.next_ns
            if waiting and waiting[0][0] <= min(due_ns, at_ns - 1):
                sent_ns, what, order, price, lots = waiting.pop(0)
                if what == "submit":
                    venue.submit(order, sent_ns)
                elif what == "amend":
                    venue.amend(order, price, lots, sent_ns)
                else:
                    venue.cancel(order, sent_ns)
            elif (due := agenda.pop(at_ns - 1)) is not None:
                due[1](due[0])
            else:
                return

    at, tape = 0, case.tape
    while at < len(tape):
        until(int(tape["recv_ns"][at]))
        next_ns = min([agenda.next_ns, *(action[0] for action in waiting[:1])])
        at, why = book.run(tape, at, next_ns)
        if why == kernel.FILLED:
            venue.collect()
    until(int(tape["recv_ns"][-1]) + 100)
    return fills


def excess(tape: EventArray, fills: Sequence[Fill], *, of_its_time: bool = True) -> int:
    """The most lots by which a lane's fills exceed what the tape showed and traded, of all windows.

    A buy at a price can only come from what was offered, or sold by a taker, at that price or below. So for
    each price and each window, of times t0 <= t1: the buys up to the price are no more than the asks shown
    up to it at t0, what was added to them until t1, and what takers sold there. Sales the other way round.
    A trade told late, or fetched later, is there for orders only that were at the exchange when it happened:
    the orders that came from ``there_ns`` on have nothing of those before (``of_its_time``).
    """
    worst = -(2**62)
    for lane, side in {(fill.lane, fill.side) for fill in fills}:
        ours = [fill for fill in fills if (fill.lane, fill.side) == (lane, side)]
        for price in {fill.price for fill in ours}:
            for there_ns in {-(2**62), *(fill.there_ns for fill in ours if of_its_time)}:
                worst = max(worst, _excess_at(tape, ours, side, price, there_ns))
    return worst


def _excess_at(tape: EventArray, fills: Sequence[Fill], side: int, price: int, there_ns: int) -> int:
    """The excess over all windows of fills up to a price, of orders that came from ``there_ns`` on."""
    shown, added, times = _supply(tape, side, price, there_ns)
    filled = np.zeros(len(times), np.int64)
    for fill in fills:
        if fill.there_ns >= there_ns and (price - fill.price) * side >= 0:
            filled[np.searchsorted(times, fill.at_ns, side="right") - 1 :] += fill.lots
    over = (filled[None, :] - filled[:, None]) - (added[None, :] - added[:, None]) - shown[:, None]
    return int(np.triu(over).max())


def _supply(
    tape: EventArray, side: int, price: int, there_ns: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Before the tape and after each of its times: lots shown up to the price; added or traded so far."""
    times = [-1, *np.unique(tape["recv_ns"]).tolist()]
    shown, added = np.zeros(len(times), np.int64), np.zeros(len(times), np.int64)
    levels: dict[int, int] = {}
    unsaid: set[int] = set()
    total, at = 0, 0
    for row in tape:
        while times[at] < row["recv_ns"]:
            at += 1
            shown[at], added[at] = shown[at - 1], added[at - 1]
        kind, on, within = (
            int(row["kind"]),
            int(row["price_ticks"]),
            (price - int(row["price_ticks"])) * side >= 0,
        )
        lots, flags = int(row["qty_lots"]), int(row["flags"])
        if kind == Kind.LEVEL and row["side"] == -side:
            before = levels.pop(on, 0)
            if lots:
                levels[on] = lots
            unsaid.discard(on)
            total += max(0, lots - before) if within else 0
        elif kind == Kind.SNAPSHOT_BEGIN:
            unsaid = set(levels)
        elif kind == Kind.SNAPSHOT_END:
            levels = {p: q for p, q in levels.items() if p not in unsaid}
        elif kind == Kind.TRADE and row["side"] != side and within and not flags & Flag.HISTORY:
            untold = flags & (Flag.LATE | Flag.BACKFILL)
            total += lots if not untold or row["exch_ns"] >= there_ns else 0
        shown[at] = sum(q for p, q in levels.items() if (price - p) * side >= 0)
        added[at] = total
    return shown, added, np.array(times)
