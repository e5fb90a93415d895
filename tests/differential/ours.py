"""The paper venue on a tape: orders sent at their times, its reports put in the common form.

Its reach is ``whole``, which is hftbacktest's: what it is by default is held to its own bound, in
``tests/property/test_fill_bounds.py``.

Every order has a lane, and so an account and a memory of consumed lots, of its own: with one order
alive at a time that is the venue with consumption off. Balances are ample, the price band wide.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from agent.core.agenda import FAR_FUTURE_NS, Agenda, Rank
from agent.core.instrument import Instrument
from agent.core.market.tape import EventArray
from agent.core.orders.venue_messages import Report, ReportKind, VenueOrder
from agent.core.types import Side, TimeInForce
from agent.venue.fees import Fees
from agent.venue.kernel import loop as kernel
from agent.venue.kernel.tape_market import Intent, TapeMarket
from agent.venue.paper import PaperVenue
from agent.venue.rules import VenueRules
from agent.venue.wire.latency import Latencies, Latency
from tests.differential import records as r

UNIT = Decimal(1)
INSTRUMENT = Instrument(0, "test", "BTC/USDT", "BTC", "USDT", "USDT", UNIT, UNIT)
AMPLE = {"BTC": Decimal(10) ** 15, "USDT": Decimal(10) ** 24}
TIFS = {
    r.GTC: TimeInForce.GTC,
    r.POST_ONLY: TimeInForce.POST_ONLY,
    r.IOC: TimeInForce.IOC,
    r.FOK: TimeInForce.FOK,
    r.GTD: TimeInForce.GTD,
}
QUEUES = {
    r.RISK_AVERSE: kernel.RISK_AVERSE,
    r.POWER_PROBABILITY: kernel.POWER_PROBABILITY,
    r.LOG_PROBABILITY: kernel.LOG_PROBABILITY,
}
ENDS = {
    ReportKind.EXPIRED: r.EXPIRED,
    ReportKind.CANCELLED: r.CANCELLED,
    ReportKind.REJECTED: r.REFUSED,
}


@dataclass(frozen=True, slots=True)
class Setting:
    """How the venue is run. ``venue``: fields of ``VenueRules`` by name, in place of the plain ones.

    ``shared_lane``: every order in one lane, and so consumption on; ``refilled``: off again, because a
    lane's memory is emptied before each taker. ``asks``: we ask about each order once it is over.
    """

    shared_lane: bool = False
    refilled: bool = False
    asks: bool = False
    instrument: Instrument = INSTRUMENT
    latencies: Latencies | None = None
    venue: tuple[tuple[str, Any], ...] = ()


PLAIN = Setting()
SHARED_LANE = Setting(shared_lane=True)


class RefilledMarket(TapeMarket):
    """A market in which what a lane took is there again for its next taker."""

    def take(self, number: int, lane: int, intent: Intent, now_ns: int) -> int:
        self.forget_lane(lane)
        return super().take(number, lane, intent, now_ns)


class Run:
    """One pass of the venue over a tape. ``said``: what it said of each order, and when that was heard."""

    def __init__(self, rules: r.Rules, setting: Setting = PLAIN) -> None:
        self._feed_ns, self._setting = rules.feed_ns, setting
        market = RefilledMarket if setting.refilled else TapeMarket
        model = QUEUES[rules.queue_model]
        self.market = market([setting.instrument], model, rules.queue_power, kernel.WHOLE)
        self.agenda = Agenda()
        entry, response = Latency(rules.entry_ns), Latency(rules.response_ns)
        ways = setting.latencies or Latencies(entry, entry, response, Latency(rules.feed_ns))
        plain = VenueRules(ways, Fees(rules.maker_ppm, rules.taker_ppm), AMPLE, 1e9, 0, 1)
        self.rules = replace(plain, **dict(setting.venue))
        self.venue = PaperVenue(self.market, self.agenda, self.rules)
        self.venue.connect(self._note)
        self.said: dict[int, list[tuple[int, Report]]] = {}
        self._orders: dict[int, r.Records] = {}
        self._fills: dict[tuple[int, int], list[int]] = {}  # (number, time) -> the record's other fields
        self._ends: dict[int, list[int]] = {}  # number -> time, lots left, outcome, fee

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
        return self.outcome()

    def outcome(self) -> r.Outcome:
        """What became of the orders so far."""
        fills = [(n, t, heard, lots, p, q, m) for (n, t), (heard, lots, p, q, m) in self._fills.items()]
        ends = [(n, *end) for n, end in self._ends.items()]
        return r.Outcome(r.records(fills, r.FILL), r.records(ends, r.END))

    def _schedule(self, row: r.Records) -> None:
        number, lots, tif = int(row["number"]), int(row["lots"]), int(row["tif"])
        gone_ns = int(row["cancel_ns"] + row["cancel_entry_ns"])  # when a cancel is at the exchange
        order = VenueOrder(
            number=number,
            lane=0 if self._setting.shared_lane else number,
            instrument=0,
            side=Side(int(row["side"])),
            tif=TIFS[tif],
            price_ticks=int(row["price_ticks"]),
            lots=lots,
            expire_ns=gone_ns + self._feed_ns if tif == r.GTD else 0,
        )
        self._orders[number] = row
        self._ends[number] = [0, lots, r.OPEN, 0]
        self.agenda.add(int(row["send_ns"]), Rank.TIMER, lambda t: self.venue.submit(order, t))
        if row["cancel_ns"] and tif != r.GTD:
            self.agenda.add(int(row["cancel_ns"]), Rank.TIMER, lambda t: self.venue.cancel(order, t))
        if self._setting.asks:
            over_ns = max(int(row["send_ns"]), gone_ns) + 2 * int(row["entry_ns"] + row["response_ns"])
            self.agenda.add(over_ns, Rank.TIMER, lambda t: self.venue.query(order, t))

    def _handle(self, until_ns: int) -> None:
        while (due := self.agenda.pop(until_ns)) is not None:
            due[1](due[0])

    def _note(self, report: Report) -> None:
        """Note what a report says; one that comes twice counts once.

        Nothing but a fill carries its own time of matching: the others' follows from when they are heard.
        """
        said = self.said.setdefault(report.number, [])
        if any(report.sequence == before.sequence for _, before in said):
            return
        at_ns = report.recv_ns
        said.append((at_ns, report))
        end, order = self._ends[report.number], self._orders[report.number]
        if report.kind is ReportKind.FILLED:
            exch_ns = report.venue_ns - self._feed_ns
            fill = self._fills.setdefault((report.number, exch_ns), [0, 0, 0, 0, 0])
            fill[0], fill[1] = at_ns, fill[1] + report.lots
            fill[2:] = report.price_ticks, report.lots, int(report.maker)
            end[0], end[1], end[3] = exch_ns, end[1] - report.lots, end[3] + report.fee_tlp
            if end[1] == 0:
                end[2] = r.FILLED
        elif report.kind in ENDS:
            end[0] = at_ns - max(int(order["response_ns"]), self._feed_ns)
            ended = r.CANCELLED if order["tif"] == r.GTD else r.EXPIRED
            end[2] = ended if report.kind is ReportKind.EXPIRED else ENDS[report.kind]
