"""The desk: where child orders leave, after risk, and where the venue's reports come back.

One desk serves every parent. It numbers the orders, keeps each with the parent it works for, and
turns reports into the child's and the parent's next state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from agent.core.agenda import Agenda, Rank
from agent.core.events import AuditEvent, ChildFilled
from agent.core.orders.child_order import ChildEvent, ChildOrder
from agent.core.orders.parent_order import ParentOrder
from agent.core.types import NS_PER_S, Side
from agent.engine.pretrade import Gates, Ticket
from agent.engine.settings import EngineSettings
from agent.venue.bars.bar_market import BarMarket
from agent.venue.bars.bar_venue import BarVenue
from agent.venue.kernel.market import Market
from agent.venue.paper import PaperVenue, Report, ReportKind, VenueOrder

_EVENT_OF = {
    ReportKind.ACKNOWLEDGED: ChildEvent.ACKNOWLEDGED,
    ReportKind.REJECTED: ChildEvent.REJECTED,
    ReportKind.CANCELLED: ChildEvent.CANCELLED,
    ReportKind.CANCEL_REJECTED: ChildEvent.CANCEL_REJECTED,
    ReportKind.EXPIRED: ChildEvent.EXPIRED,
    ReportKind.AMEND_REJECTED: ChildEvent.AMEND_REJECTED,
}
_MAY_COME_LATE = frozenset({ReportKind.ACKNOWLEDGED, ReportKind.CANCEL_REJECTED, ReportKind.AMEND_REJECTED})


class Owner(Protocol):
    """Who an order works for: told after every report."""

    order: ParentOrder
    lane: int

    def filled(self, child: ChildOrder, fill: ChildFilled, now_ns: int) -> None: ...

    def child_ended(self, child: ChildOrder, now_ns: int) -> None: ...


@dataclass(slots=True)
class _Sent:
    child: ChildOrder
    owner: Owner
    cap_tl: int
    fills: int = 0
    wanted: tuple[int, int] | None = None  # an amendment on its way: price ticks, total lots


class Desk:
    """Sends, cancels and books. ``emit`` takes the engine's output, ``seq`` names the cause."""

    def __init__(
        self,
        market: Market,
        agenda: Agenda,
        settings: EngineSettings,
        emit: Callable[[AuditEvent], None],
        seq: Callable[[], int],
    ) -> None:
        self.market, self.settings, self.emit, self.seq = market, settings, emit, seq
        self._agenda = agenda
        self.venue: PaperVenue | BarVenue = (
            BarVenue(market, agenda, settings.venue, self._on_report)
            if isinstance(market, BarMarket)
            else PaperVenue(market, agenda, settings.venue, self._on_report)
        )
        self._sent: dict[int, _Sent] = {}
        self._numbers: dict[str, int] = {}
        self._heard: dict[int, int] = {}  # the last report about an order, by its sequence
        self._gates = Gates(market, settings, emit, seq)

    def kill(self) -> None:
        """No order goes out any more."""
        self._gates.kill()

    def send(self, owner: Owner, ticket: Ticket, now_ns: int) -> ChildOrder | None:
        """Pass a ticket through risk and send it. None when it was refused; the refusal is recorded."""
        if not self._gates.passes(owner.order, owner.lane, ticket, self._flying(owner), now_ns):
            return None
        return self._send(owner, ticket, now_ns)

    def _send(self, owner: Owner, ticket: Ticket, now_ns: int) -> ChildOrder:
        spec = owner.order.spec
        owner.order.children += 1
        book = self.market.book(spec.instrument)
        child = ChildOrder(
            child_id=f"{spec.parent_id}/{owner.order.children:04d}",
            parent_id=spec.parent_id,
            interval=ticket.interval,
            instrument=spec.instrument,
            side=spec.side,
            tif=ticket.tif,
            price_ticks=ticket.price_ticks,
            qty_lots=ticket.lots,
            sent_ns=now_ns,
            sent_mid_half_ticks=self.market.mid_half_ticks(spec.instrument),
            far_touch_ticks=book.ask_ticks if spec.side is Side.BUY else book.bid_ticks,
            inverse=self.market.instruments[spec.instrument].inverse,
        )
        number = len(self._numbers) + 1
        self._numbers[child.child_id] = number
        self._sent[number] = _Sent(child, owner, ticket.cap_tl)
        self.emit(child.changed(now_ns, self.seq()))
        self.venue.send(
            VenueOrder(
                number,
                owner.lane,
                spec.instrument,
                spec.side,
                ticket.tif,
                ticket.price_ticks,
                ticket.lots,
                ticket.cap_tl,
                ticket.expire_ns,
            ),
            now_ns,
        )
        if self.settings.venue.rehearsal.times_out:
            waited_ns = self.settings.venue.rehearsal.timeout_ns
            self._agenda.add(now_ns + waited_ns, Rank.TIMER, lambda t: self._ask(number, t))
        return child

    def _ask(self, number: int, now_ns: int) -> None:
        """Ask the venue about an order of which nothing was heard in time."""
        sent = self._sent.get(number)
        if sent is None or number in self._heard:
            return
        waited = f"{self.settings.venue.rehearsal.timeout_ns / NS_PER_S:g} s"
        sent.child.reason = f"no answer within {waited}: the venue was asked"
        sent.child.again = True  # time was lost: whatever it missed may be sent at once
        self.emit(sent.child.changed(now_ns, self.seq()))
        self.venue.query(number, now_ns)

    def amend(self, owner: Owner, child: ChildOrder, price_ticks: int, lots: int, now_ns: int) -> bool:
        """Ask the venue for a new price and total of lots; False when risk refused, and nothing changes.

        A fill at the old price may still come first, and the venue may refuse: the order then stands.
        """
        ticket = Ticket(child.interval, child.tif, price_ticks, lots - child.filled_lots)
        flying = self._flying(owner, but=child)
        if not self._gates.passes(owner.order, owner.lane, ticket, flying, now_ns):
            return False
        number = self._numbers[child.child_id]
        self._sent[number].wanted = (price_ticks, lots)
        child.apply(ChildEvent.AMEND_SENT)
        self.emit(child.changed(now_ns, self.seq()))
        self.venue.amend(number, price_ticks, lots, now_ns)
        return True

    def cancel(self, child: ChildOrder, now_ns: int) -> None:
        """Ask the venue to cancel; a fill may still come first."""
        child.apply(ChildEvent.CANCEL_SENT)
        self.emit(child.changed(now_ns, self.seq()))
        self.venue.cancel(self._numbers[child.child_id], now_ns)

    def in_flight(self, child: ChildOrder) -> tuple[int, int]:
        """(lots, ticks x lots) the child may still fill; its money bound counts where it has one."""
        if child.done:
            return 0, 0
        sent = self._sent[self._numbers[child.child_id]]
        lots, value = child.remaining_lots, child.remaining_lots * child.price_ticks
        if sent.cap_tl:
            value = sent.cap_tl - child.filled_tl
        if sent.wanted is not None:  # either may still happen
            wanted = sent.wanted[1] - child.filled_lots
            lots, value = max(lots, wanted), max(value, wanted * sent.wanted[0])
        return lots, value

    def _flying(self, owner: Owner, but: ChildOrder | None = None) -> tuple[int, int]:
        """(lots, ticks x lots) that all of an owner's children, ``but`` one, may still fill."""
        mine = [s.child for s in self._sent.values() if s.owner is owner and s.child is not but]
        flying = [self.in_flight(child) for child in mine]
        return sum(lots for lots, _ in flying), sum(value for _, value in flying)

    # --- reports ----------------------------------------------------------------------------------

    def _on_report(self, now_ns: int, report: Report) -> None:
        if report.sequence <= self._heard.get(report.number, 0):
            return  # said again when we asked
        self._heard[report.number] = report.sequence
        if report.number not in self._sent and report.kind in _MAY_COME_LATE:
            return  # on the wire when the order ended: it changes nothing
        sent = self._sent[report.number]
        child, owner = sent.child, sent.owner
        if report.kind is ReportKind.FILLED:
            self._book(sent, report, now_ns)
        elif report.kind is ReportKind.AMENDED:
            sent.wanted = None
            child.amended(report.price_ticks, report.lots)
            self.emit(child.changed(now_ns, self.seq()))
        else:
            if report.kind is ReportKind.AMEND_REJECTED:
                sent.wanted = None
            child.again = child.again or report.again
            child.apply(_EVENT_OF[report.kind], report.reason)
            self.emit(child.changed(now_ns, self.seq()))
        if child.done:
            del self._sent[report.number]
            owner.child_ended(child, now_ns)

    def _book(self, sent: _Sent, report: Report, now_ns: int) -> None:
        child, owner = sent.child, sent.owner
        child.apply_fill(report.lots, report.price_ticks)
        child.reason = report.reason or child.reason
        owner.order.apply_fill(report.lots, report.price_ticks, report.fee_tlp)
        sent.fills += 1
        fill = ChildFilled(
            at_ns=now_ns,
            seq=self.seq(),
            fill_id=f"{child.child_id}/{sent.fills}",
            child_id=child.child_id,
            parent_id=child.parent_id,
            instrument=child.instrument,
            side=child.side,
            price_ticks=report.price_ticks,
            qty_lots=report.lots,
            fee_tlp=report.fee_tlp,
            fee_currency=report.fee_currency,
            maker=report.maker,
            fill_ns=report.fill_ns,
            mid_half_ticks=report.mid_half_ticks,
            book_age_ns=report.book_age_ns,
            near_gap=report.near_gap,
            price_model=report.price_model,
            impact_ticks=report.impact_ticks,
            displacement_half_ticks=report.displacement_half_ticks,
            fee_amount=report.fee_amount,
        )
        self.emit(fill)
        self.emit(child.changed(now_ns, self.seq()))
        owner.filled(child, fill, now_ns)
