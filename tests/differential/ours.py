"""The paper venue on a tape: orders sent at their times, its reports put in the common form.

Every order has a lane, and so an account and a memory of consumed lots, of its own: with one order
alive at a time that is the venue with consumption off. Fees are 0, balances ample, the band wide.
"""

from __future__ import annotations

from decimal import Decimal

from agent.core.agenda import FAR_FUTURE_NS, Agenda, Rank
from agent.core.instrument import Instrument
from agent.core.tape import EventArray
from agent.core.types import Side, TimeInForce
from agent.venue import kernel
from agent.venue.fees import Fees
from agent.venue.latency import Latencies, Latency
from agent.venue.market import Market
from agent.venue.paper import PaperVenue, Report, ReportKind, VenueOrder, VenueRules
from tests.differential import records as r

UNIT = Decimal(1)
INSTRUMENT = Instrument(0, "test", "BTC/USDT", "BTC", "USDT", "USDT", UNIT, UNIT)
AMPLE = {"BTC": Decimal(10) ** 15, "USDT": Decimal(10) ** 24}
TIFS = {r.GTC: TimeInForce.GTC, r.POST_ONLY: TimeInForce.POST_ONLY, r.IOC: TimeInForce.IOC}
QUEUES = {r.RISK_AVERSE: kernel.RISK_AVERSE, r.POWER_PROBABILITY: kernel.POWER_PROBABILITY}
ENDS = {
    ReportKind.EXPIRED: r.EXPIRED,
    ReportKind.CANCELLED: r.CANCELLED,
    ReportKind.REJECTED: r.REFUSED,
}


class Run:
    """One pass of the venue over a tape. ``shared_lane``: every order in one lane (consumption on)."""

    def __init__(self, rules: r.Rules, shared_lane: bool = False) -> None:
        self._feed_ns, self._response_ns = rules.feed_ns, rules.response_ns
        self._shared_lane = shared_lane
        self.market = Market([INSTRUMENT], QUEUES[rules.queue_model], rules.queue_power)
        self.agenda = Agenda()
        entry, response = Latency(rules.entry_ns), Latency(rules.response_ns)
        ways = Latencies(entry, entry, response, Latency(rules.feed_ns))
        venue_rules = VenueRules(ways, Fees(0, 0), AMPLE, 1e9, 0, 1)
        self.venue = PaperVenue(self.market, self.agenda, venue_rules, self._hear)
        self._fills: dict[tuple[int, int], list[int]] = {}  # (number, time) -> the record's other fields
        self._ends: dict[int, list[int]] = {}  # number -> time, lots left, outcome

    def __call__(self, tape: EventArray, orders: r.Records) -> r.Outcome:
        for row in orders:
            self._schedule(row)
        at = 0
        while at < len(tape):
            due = min(self.agenda.next_ns, FAR_FUTURE_NS - 1)
            at, why = self.market.run(tape, at, due)
            if why == kernel.FILLED:
                self.venue.collect()
            elif why == kernel.NOTICE:
                self.market.note(tape[at - 1])
            elif why == kernel.DUE:
                self._handle(due)
        self._handle(int(tape["recv_ns"][-1]))
        fills = [(n, t, heard, lots, p, q, m) for (n, t), (heard, lots, p, q, m) in self._fills.items()]
        ends = [(n, *end) for n, end in self._ends.items()]
        return r.Outcome(r.records(fills, r.FILL), r.records(ends, r.END))

    def _schedule(self, row: r.Records) -> None:
        number, lots = int(row["number"]), int(row["lots"])
        order = VenueOrder(
            number=number,
            lane=0 if self._shared_lane else number,
            instrument=0,
            side=Side(int(row["side"])),
            tif=TIFS[int(row["tif"])],
            price_ticks=int(row["price_ticks"]),
            lots=lots,
        )
        self._ends[number] = [0, lots, r.OPEN]
        self.agenda.add(int(row["send_ns"]), Rank.TIMER, lambda t: self.venue.send(order, t))
        if row["cancel_ns"]:
            self.agenda.add(int(row["cancel_ns"]), Rank.TIMER, lambda t: self.venue.cancel(number, t))

    def _handle(self, until_ns: int) -> None:
        while (due := self.agenda.pop(until_ns)) is not None:
            due[1](due[0])

    def _hear(self, at_ns: int, report: Report) -> None:
        """Note what a report says. Nothing but a fill carries its own time of matching."""
        end = self._ends[report.number]
        if report.kind is ReportKind.FILLED:
            exch_ns = report.fill_ns - self._feed_ns
            fill = self._fills.setdefault((report.number, exch_ns), [0, 0, 0, 0, 0])
            fill[0], fill[1] = at_ns, fill[1] + report.lots
            fill[2:] = report.price_ticks, report.lots, int(report.maker)
            end[0], end[1] = exch_ns, end[1] - report.lots
            if end[1] == 0:
                end[2] = r.FILLED
        elif report.kind in ENDS:
            end[0], end[2] = at_ns - self._response_ns, ENDS[report.kind]
