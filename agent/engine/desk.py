"""The desk: where child orders leave, after risk, and where the venue's reports come back.

One desk serves every parent, and knows of the venue only what ``OrderVenue`` says. It numbers the orders,
keeps each with the execution it belongs to, and takes its reports to the child and the parent.

Reports may come twice, late and out of order. A report counts once, by its sequence. One that closes an order
and says how much was filled in all waits until those fills have come; an amendment may come after the fills
that used it up. What answers a question after the order has ended changes nothing; a fill that comes then
cannot be, for quantity would appear from nowhere. A venue that is computed must not report what cannot be,
so that raises; of a venue outside ``fault`` says it before, and the run goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agent.core.agenda import Agenda, Rank
from agent.core.errors import InternalError
from agent.core.events import ChildFilled
from agent.core.money import value_tl
from agent.core.orders.child_order import ChildEvent, ChildOrder
from agent.core.orders.order_value import order_lots
from agent.core.orders.parent_order import ParentOrder
from agent.core.orders.risk import Refusal
from agent.core.orders.venue_messages import ENDS, Report, ReportKind, VenueOrder
from agent.core.ports import Market, OrderVenue
from agent.core.types import NS_PER_S, Side
from agent.engine.outbox import Outbox
from agent.engine.pretrade import PreTradeChecks, Ticket
from agent.engine.settings import RiskSettings

_EVENT_OF = {
    ReportKind.ACKNOWLEDGED: ChildEvent.ACKNOWLEDGED,
    ReportKind.REJECTED: ChildEvent.REJECTED,
    ReportKind.CANCELLED: ChildEvent.CANCELLED,
    ReportKind.CANCEL_REJECTED: ChildEvent.CANCEL_REJECTED,
    ReportKind.EXPIRED: ChildEvent.EXPIRED,
    ReportKind.AMEND_REJECTED: ChildEvent.AMEND_REJECTED,
}
_MAY_COME_LATE = frozenset(
    {
        ReportKind.ACKNOWLEDGED,
        ReportKind.CANCEL_REJECTED,
        ReportKind.AMENDED,
        ReportKind.AMEND_REJECTED,
    }
)


class Owner(Protocol):
    """Whose order it is: its parent, its lane, its open children, and who to call after a report."""

    order: ParentOrder
    lane: int
    children: dict[str, ChildOrder]

    def market_lots(self) -> int: ...

    def filled(self, child: ChildOrder, fill: ChildFilled, now_ns: int) -> None: ...

    def child_ended(self, child: ChildOrder, now_ns: int) -> None: ...


@dataclass(slots=True)
class _Sent:
    child: ChildOrder
    owner: Owner
    order: VenueOrder
    fills: int = 0
    wanted: tuple[int, int] | None = None  # an amendment on its way: price ticks, total lots
    closing: Report | None = None  # came before fills that the venue made earlier
    counted: set[int] = field(default_factory=set)  # sequences of the reports that counted
    open: tuple[int, int] = (0, 0)  # (lots, ticks x lots) that the limits of all count as open


class Desk:
    """Sends, cancels and books child orders of every parent and shadow."""

    def __init__(
        self, market: Market, venue: OrderVenue, agenda: Agenda, risk: RiskSettings, outbox: Outbox
    ) -> None:
        self._market, self._venue, self._agenda, self._outbox = market, venue, agenda, outbox
        self._checks = PreTradeChecks(market, risk, outbox)
        self._sent: dict[int, _Sent] = {}
        self._numbers = 0
        self._ended: dict[int, _Sent] = {}  # where reports may come again, or late
        venue.connect(self.report)

    def kill(self) -> None:
        """No order goes out any more."""
        self._checks.kill()

    @property
    def killed(self) -> bool:
        return self._checks.killed

    # --- out --------------------------------------------------------------------------------------

    def send(self, owner: Owner, ticket: Ticket, now_ns: int) -> ChildOrder | Refusal:
        """Pass a ticket through risk and send it. A refusal is recorded, and returned."""
        refusal = self._checks.refusal(owner, ticket, self._flying(owner), now_ns)
        if refusal is not None:
            return refusal
        child = self._new_child(owner.order, ticket, now_ns)
        order = VenueOrder(
            child.number,
            owner.lane,
            child.instrument,
            child.side,
            child.tif,
            child.price_ticks,
            child.qty_lots,
            ticket.cap_tl,
            ticket.expire_ns,
        )
        self._sent[child.number] = sent = _Sent(child, owner, order)
        self._recount(sent)
        self._outbox.emit(child.changed(now_ns, self._outbox.seq))
        self._venue.submit(order, now_ns)
        waits_ns = self._venue.traits(owner.lane).answer_within_ns
        if waits_ns is not None:
            self._agenda.add(now_ns + waits_ns, Rank.TIMER, lambda t: self._query(child.number, waits_ns, t))
        return child

    def _new_child(self, parent: ParentOrder, ticket: Ticket, now_ns: int) -> ChildOrder:
        spec = parent.spec
        parent.children += 1
        self._numbers += 1
        book = self._market.book(spec.instrument)
        return ChildOrder(
            child_id=f"{spec.parent_id}/{parent.children:04d}",
            number=self._numbers,
            parent_id=spec.parent_id,
            interval=ticket.interval,
            instrument=spec.instrument,
            side=spec.side,
            tif=ticket.tif,
            price_ticks=ticket.price_ticks,
            qty_lots=ticket.lots,
            sent_ns=now_ns,
            sent_mid_half_ticks=self._market.mid_half_ticks(spec.instrument),
            far_touch_ticks=book.ask_ticks if spec.side is Side.BUY else book.bid_ticks,
            inverse=self._market.instruments[spec.instrument].inverse,
        )

    def _query(self, number: int, waited_ns: int, now_ns: int) -> None:
        """Ask the venue about an order that no report came about in time."""
        sent = self._sent.get(number)
        if sent is None or sent.counted:
            return
        sent.child.reason = f"no answer within {waited_ns / NS_PER_S:g} s: the venue was asked"
        sent.child.again = True  # time was lost: whatever it missed may be sent at once
        self._outbox.emit(sent.child.changed(now_ns, self._outbox.seq))
        self._venue.query(sent.order, now_ns)

    def amend(self, owner: Owner, child: ChildOrder, price_ticks: int, lots: int, now_ns: int) -> bool:
        """Ask the venue for a new price and total of lots; False when risk refused, and nothing changes.

        A fill at the old price may still come first, and the venue may refuse: the order then stands.
        """
        ticket = Ticket(child.interval, child.tif, price_ticks, lots - child.filled_lots)
        flying, sent = self._flying(owner, but=child), self._sent[child.number]
        if self._checks.refusal(owner, ticket, flying, now_ns, sent.open) is not None:
            return False
        sent.wanted = (price_ticks, lots)
        self._recount(sent)
        child.apply(ChildEvent.AMEND_SENT)
        self._outbox.emit(child.changed(now_ns, self._outbox.seq))
        self._venue.amend(sent.order, price_ticks, lots, now_ns)
        return True

    def cancel(self, child: ChildOrder, now_ns: int) -> None:
        """Ask the venue to cancel; a fill may still come first."""
        child.apply(ChildEvent.CANCEL_SENT)
        self._outbox.emit(child.changed(now_ns, self._outbox.seq))
        self._venue.cancel(self._sent[child.number].order, now_ns)

    # --- in flight --------------------------------------------------------------------------------

    def in_flight(self, child: ChildOrder) -> tuple[int, int]:
        """(lots, ticks x lots) the child may still fill; its money bound counts where it has one."""
        if child.done:
            return 0, 0
        sent = self._sent[child.number]
        lots = child.remaining_lots
        value = value_tl(child.price_ticks, lots, inverse=child.inverse)
        if sent.order.cap_tl:
            value = sent.order.cap_tl - child.filled_tl
        if sent.wanted is not None:  # either may still happen
            wanted = sent.wanted[1] - child.filled_lots
            lots = max(lots, wanted)
            value = max(value, value_tl(sent.wanted[0], wanted, inverse=child.inverse))
        return lots, value

    def _flying(self, owner: Owner, but: ChildOrder | None = None) -> tuple[int, int]:
        """(lots, ticks x lots) that all of an owner's children, ``but`` one, may still fill."""
        flying = [self.in_flight(child) for child in owner.children.values() if child is not but]
        return sum(lots for lots, _ in flying), sum(value for _, value in flying)

    def _recount(self, sent: _Sent, fill: Report | None = None) -> None:
        """Tell the limits of all what of an order is open now, and what of it was just filled."""
        together = self._checks.together(sent.owner.lane)
        if together is None:
            return
        if fill is not None:
            worth_tl = value_tl(fill.price_ticks, fill.lots, inverse=sent.child.inverse)
            together.filled(sent.child.instrument, fill.lots, worth_tl)
        lots, open_tl = self.in_flight(sent.child)
        if sent.order.cap_tl and lots:
            lots = order_lots(sent.child.price_ticks, lots, open_tl)
        (was_lots, was_tl), sent.open = sent.open, (lots, open_tl)
        together.opened(sent.child.instrument, lots - was_lots, open_tl - was_tl)

    def left_together(self, owner: Owner) -> int | None:
        """Lots that the participation of all orders leaves to one of them; None: it has no limit."""
        together = self._checks.together(owner.lane)
        if together is None:
            return None
        return together.left_lots(owner.order.spec.instrument, owner.market_lots)

    def ended(self, owner: Owner) -> None:
        """A parent has ended: what it filled counts no more."""
        order, together = owner.order, self._checks.together(owner.lane)
        if together is not None:
            spec = order.spec
            together.ended(spec.instrument, spec.parent_id, order.filled_lots, order.filled_tl)

    def forget_lane(self, lane: int) -> None:
        """A shadow's lane sends nothing any more."""
        self._checks.forget_lane(lane)

    # --- reports ----------------------------------------------------------------------------------

    def report(self, report: Report) -> None:
        """Take a report, at its ``recv_ns``. Raises InternalError or TransitionError on an impossible one."""
        sent = self._sent.get(report.number)
        if sent is None:
            if fault := self._late_fault(report):
                raise InternalError(fault)
        elif report.sequence not in sent.counted:
            sent.counted.add(report.sequence)
            self._take(sent, report)

    def fault(self, report: Report) -> str:
        """Why a report cannot be true, or ""; nothing changes."""
        sent = self._sent.get(report.number)
        if sent is None:
            return self._late_fault(report)
        child, left = sent.child, sent.child.remaining_lots
        if report.sequence in sent.counted:
            return ""
        if report.kind is ReportKind.FILLED:
            return "" if 0 < report.lots <= left else f"{report.lots} lots filled of {left} that were left"
        if report.kind is ReportKind.AMENDED:
            fewer = f"amended to {report.lots} lots, and {child.filled_lots} are filled"
            return fewer if report.lots < child.filled_lots else child.fault_of(ChildEvent.AMENDED)
        return child.fault_of(_EVENT_OF[report.kind])

    def _late_fault(self, report: Report) -> str:
        ended = self._ended.get(report.number)
        repeated = ended is not None and report.sequence in ended.counted
        if repeated or report.kind in _MAY_COME_LATE:
            return ""
        return f"report {report.kind} about order {report.number}, which is not open"

    def void(self, child: ChildOrder, now_ns: int, reason: str) -> None:
        """Expire an order that nobody will hear of any more."""
        sent = self._sent.pop(child.number, None)
        child.apply(ChildEvent.EXPIRED, reason)
        if sent is not None:
            self._recount(sent)
        self._outbox.emit(child.changed(now_ns, self._outbox.seq))

    def on_paper(self) -> list[int]:
        """The open orders that nobody works any more once time is lost."""
        return [n for n, sent in self._sent.items() if not self._venue.traits(sent.order.lane).survives]

    def void_lost(self, numbers: Sequence[int], now_ns: int, reason: str) -> None:
        """Expire those of these orders that are still open: nothing is heard of them any more."""
        for number in numbers:
            if (sent := self._sent.get(number)) is not None:
                traits = self._venue.traits(sent.order.lane)
                self.void(sent.child, now_ns, reason)
                if traits.repeats:
                    self._ended[sent.child.number] = sent
                sent.owner.child_ended(sent.child, now_ns)

    def parent_of(self, number: int) -> str | None:
        """The parent of an order, as far as it is known here."""
        sent = self._sent.get(number) or self._ended.get(number)
        return None if sent is None else sent.child.parent_id

    def _take(self, sent: _Sent, report: Report) -> None:
        if report.kind in ENDS and (report.filled_lots or 0) > sent.child.filled_lots:
            sent.closing = report  # the fills it counts are still on their way
            return
        if report.kind is ReportKind.FILLED:
            self._book(sent, report)
            closing = sent.closing
            if closing is not None and not sent.child.done:
                sent.closing, closing.recv_ns = None, report.recv_ns
                self._take(sent, closing)
                return
        else:
            self._change(sent, report)
        self._recount(sent)
        if sent.child.done:
            del self._sent[report.number]
            if self._venue.traits(sent.order.lane).repeats:
                self._ended[report.number] = sent
            sent.owner.child_ended(sent.child, report.recv_ns)

    def _change(self, sent: _Sent, report: Report) -> None:
        """Move the child for a report that is no fill."""
        child = sent.child
        if report.kind is ReportKind.AMENDED:
            sent.wanted = None
            child.amended(report.price_ticks, report.lots)
        else:
            if report.kind is ReportKind.AMEND_REJECTED:
                sent.wanted = None
            child.again = child.again or report.again
            child.apply(_EVENT_OF[report.kind], report.reason)
        self._outbox.emit(child.changed(report.recv_ns, self._outbox.seq))

    def _book(self, sent: _Sent, report: Report) -> None:
        child, owner = sent.child, sent.owner
        child.apply_fill(report.lots, report.price_ticks)
        child.reason = report.reason or child.reason
        owner.order.apply_fill(report.lots, report.price_ticks, report.fee_tlp)
        sent.fills += 1
        self._recount(sent, report)
        fill = ChildFilled(
            at_ns=report.recv_ns,
            seq=self._outbox.seq,
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
            fill_ns=report.venue_ns,
            mid_half_ticks=report.mid_half_ticks,
            book_age_ns=report.book_age_ns,
            near_gap=report.near_gap,
            price_model=report.price_model,
            impact_ticks=report.impact_ticks,
            displacement_half_ticks=report.displacement_half_ticks,
            fee_amount=report.fee_amount,
        )
        self._outbox.emit(fill)
        self._outbox.emit(child.changed(report.recv_ns, self._outbox.seq))
        owner.filled(child, fill, report.recv_ns)
