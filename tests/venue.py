"""A paper venue driven by hand: a small book, orders sent at a time, and what was reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from agent.core.agenda import Agenda
from agent.core.instrument import Instrument
from agent.core.market.tape import EventArray, Flag, Kind, empty_events
from agent.core.orders.venue_messages import Report, ReportKind, VenueOrder
from agent.core.types import Side, TimeInForce
from agent.venue.fees import Fees
from agent.venue.kernel import loop as kernel
from agent.venue.kernel.tape_market import TapeMarket
from agent.venue.paper import PaperVenue
from agent.venue.rules import VenueRules
from agent.venue.wire.latency import Latencies, Latency, LatencyModel

MS = 1_000_000
LAST = int(Flag.LAST)
BTC = Instrument(
    0, "test", "BTC/USDT", "BTC", "USDT", "USDT", Decimal("0.01"), Decimal("0.001"), 2, Decimal("0.5")
)
ENTRY, CANCEL, ACKNOWLEDGEMENT = Latency(20 * MS), Latency(30 * MS), Latency(25 * MS)
BALANCES = {"BTC": Decimal(10), "USDT": Decimal(10_000)}


@dataclass
class Stand:
    """A market, a venue and what it reported, driven by hand. Prices in ticks around 10,000."""

    fees: Fees = field(default_factory=lambda: Fees(100, 1000))
    queue: int = kernel.RISK_AVERSE
    rules: Mapping[str, Any] = field(default_factory=dict)  # of VenueRules, by name
    near_gap_ns: int = 0
    entry: LatencyModel = ENTRY
    cancel_latency: LatencyModel = CANCEL
    acknowledgement: LatencyModel = ACKNOWLEDGEMENT
    balances: Mapping[str, Decimal] = field(default_factory=lambda: BALANCES)

    def __post_init__(self) -> None:
        self.market = TapeMarket([BTC], self.queue, 3.0)
        self.agenda = Agenda()
        self.reports: list[tuple[int, Report]] = []
        ways = Latencies(self.entry, self.cancel_latency, self.acknowledgement, Latency(10 * MS))
        rules = VenueRules(ways, self.fees, self.balances, 500.0, self.near_gap_ns, 1, **self.rules)
        self.venue = PaperVenue(self.market, self.agenda, rules)
        self.venue.connect(lambda r: self.reports.append((r.recv_ns, r)))
        self.seq = self.sent = 0
        self.orders: dict[int, VenueOrder] = {}
        bids = [(Kind.LEVEL, 9_999, 50, 1), (Kind.LEVEL, 9_998, 90, 1)]
        asks = [(Kind.LEVEL, 10_001, 30, -1), (Kind.LEVEL, 10_002, 70, -1)]
        edges = [(Kind.SNAPSHOT_BEGIN, 0, 0, 0), (Kind.SNAPSHOT_END, 0, 0, 0)]
        self.tape(0, edges[0], *bids, *asks, edges[1])

    def tape(self, at_ms: float, *rows: tuple[Kind, int, int, int]) -> None:
        """One exchange update seen at ``at_ms``: (kind, price, lots, side) each."""
        events: EventArray = empty_events(len(rows))
        for i, (kind, price, lots, side) in enumerate(rows):
            self.seq += 1
            flags = LAST if i == len(rows) - 1 else 0
            values: Any = (
                round(at_ms * MS),
                round(at_ms * MS),
                self.seq,
                0,
                price,
                lots,
                0,
                kind,
                side,
                flags,
            )
            events[i] = values
        self.until(at_ms - 1e-6)
        at = 0
        while at < len(events):
            at, why = self.market.run(events, at, 2**62)
            if why == kernel.FILLED:
                self.venue.collect()

    def until(self, at_ms: float) -> None:
        while (due := self.agenda.pop(round(at_ms * MS))) is not None:
            due[1](due[0])

    def send(self, at_ms: float, **changes: Any) -> VenueOrder:
        values = {"side": Side.BUY, "tif": TimeInForce.IOC, "price_ticks": 10_002, "lots": 10, **changes}
        self.sent += 1
        order = VenueOrder(number=self.sent, instrument=0, **{"lane": 0, **values})
        self.orders[order.number] = order
        self.venue.submit(order, round(at_ms * MS))
        return order

    def _order(self, number: int) -> VenueOrder:
        """The order of a number, or one that the venue has never seen."""
        unknown = VenueOrder(number, 0, 0, Side.BUY, TimeInForce.GTC, 1, 1)
        return self.orders.get(number, unknown)

    def cancel(self, number: int, at_ns: int) -> None:
        self.venue.cancel(self._order(number), at_ns)

    def amend(self, number: int, price_ticks: int, lots: int, at_ns: int) -> None:
        self.venue.amend(self._order(number), price_ticks, lots, at_ns)

    def query(self, number: int, at_ns: int) -> None:
        self.venue.query(self._order(number), at_ns)

    def of(self, order: VenueOrder) -> list[Report]:
        """What was reported about one order."""
        return [r for _, r in self.reports if r.number == order.number]

    def kinds(self) -> list[ReportKind]:
        return [r.kind for _, r in self.reports]

    def fills(self) -> list[tuple[int, int]]:
        return [(r.price_ticks, r.lots) for _, r in self.reports if r.kind is ReportKind.FILLED]
