"""What the venue says of its orders, on its way back: numbered, in turn, and late or lost where rehearsed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.core.agenda import Agenda, Rank
from agent.core.orders.venue_messages import Deliver, Report, ReportKind, not_connected
from agent.venue.rules import VenueRules
from agent.venue.wire.rehearsal import LOST, Trouble, Wire


@dataclass(slots=True)
class _Line:
    """The reports about an order: how many left, and when the last of them reaches us."""

    reports: int = 0
    last_recv_ns: int = 0


class Answers:
    """Reports of every order. ``over``: whether nothing more can happen to an order at the venue.

    An order is forgotten once it is over and all that was said of it has been delivered.
    """

    def __init__(self, agenda: Agenda, rules: VenueRules, over: Callable[[int], bool]) -> None:
        self._agenda, self._rules, self._over = agenda, rules, over
        self._wire = Wire(rules.rehearsal, rules.seed)
        self._lines: dict[int, _Line] = {}
        self.deliver: Deliver = not_connected

    def __len__(self) -> int:
        """How many orders something is remembered of."""
        return len(self._lines)

    def order_sent(self, number: int) -> Trouble:
        """An order leaves: what happens to it, and to what is said of it."""
        return self._wire.order_sent(number)

    def report(self, matched_ns: int, report: Report) -> None:
        """Send a report on its way, after whatever was reported about the order before."""
        line = self._lines.setdefault(report.number, _Line())
        line.reports += 1
        report.sequence, report.venue_ns = line.reports, matched_ns
        self._transmit(matched_ns, report)

    def repeat(self, number: int, now_ns: int) -> None:
        """Report again what was lost or late; an order with no trouble needs no answer."""
        trouble, reports = self._wire.query(number)
        if trouble is Trouble.NONE:
            return
        if number in self._lines:
            self._lines[number].last_recv_ns = 0  # what is late may come after the answer
        if trouble is Trouble.LOST:
            self.report(now_ns, Report(number, ReportKind.REJECTED, LOST, again=True))
            return
        for report in reports:
            self._transmit(now_ns, report)

    def tell_all(self, now_ns: int) -> None:
        """Send what was late or lost, as if every order had been asked about, and forget all orders."""
        for number in self._wire.kept():
            self.repeat(number, now_ns)
        self._lines.clear()

    def _transmit(self, matched_ns: int, report: Report) -> None:
        late_ns = self._wire.delay_ns(report)
        if late_ns is None:
            return
        line = self._lines[report.number]
        at_ns = self._rules.latencies.report_ns(self._rules.seed, report.number, matched_ns) + late_ns
        line.last_recv_ns = at_ns = max(at_ns, line.last_recv_ns)
        self._agenda.add(at_ns, Rank.REPORT, lambda t: self._hand_over(report, t))

    def _hand_over(self, report: Report, now_ns: int) -> None:
        report.recv_ns = now_ns
        self.deliver(report)
        line = self._lines.get(report.number)
        said = line is not None and line.reports == report.sequence
        if said and self._over(report.number) and not self._wire.keeps(report.number):
            del self._lines[report.number]
