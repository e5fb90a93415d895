"""The paper venue: what an exchange would have done with our orders, from the tape alone.

Orders, amendments and cancels travel (``latency``), are checked as an exchange checks them (``checks``),
match against the kernel's book with what their lane already consumed, and every answer travels back.
Each lane is a venue of its own with its own account (``ledger``); they share the tape.

What ends a walk before the order's limit: price protection, a number of basis points from the far touch
at arrival, at whose edge the rest of an order that may rest then stands; and our own resting order on
the other side, before which the rest of the newer order is cancelled (``self_trade``).
"""

from __future__ import annotations

from dataclasses import replace

from agent.core.agenda import Agenda, Rank
from agent.core.clock import in_utc
from agent.core.orders.venue_messages import (
    Deliver,
    Report,
    ReportKind,
    VenueOrder,
    VenueTraits,
)
from agent.core.types import TimeInForce
from agent.venue.account import Account
from agent.venue.answers import Answers
from agent.venue.checks import GONE, Checks
from agent.venue.impact import Impact
from agent.venue.kernel import loop as k
from agent.venue.kernel.resting import shrink
from agent.venue.kernel.tape_market import TapeMarket
from agent.venue.ledger import Ledger, OpenOrder
from agent.venue.open_orders import OpenOrders
from agent.venue.reach import Reach, Walk
from agent.venue.rules import VenueRules
from agent.venue.wire.in_turn import InTurn
from agent.venue.wire.rehearsal import REJECTED, Trouble

QUEUE_NAMES = {model: f"queue:{name}" for name, model in k.QUEUE_MODELS.items()}
ALL_LOTS = 2**62
STALE = "+stale_book"
"""Ends the price model of a fill on a book older than ``venue.max_book_age`` (``venue.on_stale: mark``)."""


class PaperVenue:
    """Matches orders of every lane. All times are engine time (``recv_ns``). See ``OrderVenue``."""

    def __init__(self, market: TapeMarket, agenda: Agenda, rules: VenueRules) -> None:
        self._market = market
        self._agenda = agenda
        self._rules = rules
        self._checks = Checks(market, rules)
        self._ledger = Ledger(market.instruments, rules.fees, rules.balances)
        self._open = OpenOrders()
        self._sent = InTurn()
        self._answers = Answers(agenda, rules, self._is_over)
        self._impact = None if rules.impact is None else Impact(rules.impact, market.instruments)
        self._reach = Reach(market, rules, self._checks, self._impact)
        queue = int(market.state.queue_model[0])
        self._queue_name = QUEUE_NAMES[queue]

    def account(self, lane: int) -> Account:
        """The lane's account, opened with the configured balances on first use."""
        return self._ledger.account(lane)

    def lacking(self, order: VenueOrder) -> str:
        """Why its lane's account could not pay for an order now, or "". Nothing is set aside."""
        return self._ledger.lacking(order)

    def connect(self, deliver: Deliver) -> None:
        self._answers.deliver = deliver

    def traits(self, lane: int) -> VenueTraits:
        """Answers may get lost where that is rehearsed; our flow moves prices where an impact law says so."""
        rehearsal = self._rules.rehearsal
        return VenueTraits(
            answer_within_ns=rehearsal.timeout_ns if rehearsal.times_out else None,
            own_impact=self._impact is not None,
            repeats=rehearsal.times_out,
            travel_ns=self._rules.latencies.travel_ns,
            round_trip_ns=self._rules.latencies.round_trip_ns,
            max_quantity=self._rules.max_quantity,
        )

    def submit(self, order: VenueOrder, now_ns: int) -> None:
        """An order leaves at ``now_ns``."""
        trouble = self._answers.order_sent(order.number)
        at_ns = self._rules.latencies.arrival_ns(self._rules.seed, order.number, now_ns)
        if trouble is Trouble.REJECTED:
            refused = Report(order.number, ReportKind.REJECTED, REJECTED, again=True)
            self._agenda.add(at_ns, Rank.VENUE, lambda t: self._answers.report(t, refused))
        elif trouble is not Trouble.LOST:
            there_ns = self._rules.latencies.there_ns(self._rules.seed, order.number, now_ns)
            self._sent.arrival_ns(order.number, at_ns)
            self._agenda.add(at_ns, Rank.VENUE, lambda t: self._arrive(order, there_ns, t))

    def cancel(self, order: VenueOrder, now_ns: int) -> None:
        """A cancel leaves at ``now_ns``; it does not overtake its order, nor what amends it."""
        number = order.number
        at_ns = self._rules.latencies.arrival_ns(self._rules.seed, number, now_ns, cancel=True)
        at_ns = self._sent.arrival_ns(number, at_ns)
        self._agenda.add(at_ns, Rank.VENUE, lambda t: self._cancel_arrives(number, t))

    def amend(self, order: VenueOrder, price_ticks: int, lots: int, now_ns: int) -> None:
        """An amendment leaves at ``now_ns``: a new price, and a new total of lots with those filled."""
        number = order.number
        latencies, seed = self._rules.latencies, self._rules.seed
        alone_ns = latencies.arrival_ns(seed, number, now_ns)
        at_ns = self._sent.arrival_ns(number, alone_ns)
        there_ns = latencies.there_ns(seed, number, now_ns) + at_ns - alone_ns
        new = (price_ticks, lots, there_ns)
        self._agenda.add(at_ns, Rank.VENUE, lambda t: self._amend_arrives(number, new, t))

    def query(self, order: VenueOrder, now_ns: int) -> None:
        """A question about a silent order leaves; it is answered by everything reported so far."""
        number = order.number
        at_ns = self._rules.latencies.arrival_ns(self._rules.seed, number, now_ns)
        at_ns = self._sent.arrival_ns(number, at_ns)
        self._agenda.add(at_ns, Rank.VENUE, lambda t: self._query_arrives(number, t))

    def collect(self) -> None:
        """Turn the kernel's fills into reports."""
        for row in self._market.drain_fills():
            self._fill(row)

    def forget_lane(self, lane: int) -> None:
        """Drop a shadow's account, and what its flow had displaced."""
        self._ledger.forget_lane(lane)
        if self._impact is not None:
            self._impact.forget_lane(lane)

    def lose_time(self, from_ns: int) -> None:
        """What rests is void, what is on its way never arrives; what was done is told unasked."""
        self._answers.tell_all(from_ns)
        for state in self._open.values():
            self._market.withdraw(state.order.number)
            self._close(state.order.number)
        self._sent = InTurn()

    # --- arrivals ---------------------------------------------------------------------------------

    def _arrive(self, order: VenueOrder, there_ns: int, now_ns: int) -> None:
        self._sent.arrived(order.number, now_ns)
        opened = self._checks.refusal(order, self._open.beside(order), now_ns) or self._ledger.open(order)
        if isinstance(opened, str):
            self._answers.report(now_ns, Report(order.number, ReportKind.REJECTED, opened))
            return
        self._open.add(opened)
        self._answers.report(now_ns, Report(order.number, ReportKind.ACKNOWLEDGED))
        self._enter(opened, there_ns, now_ns)
        if order.tif is TimeInForce.GTD and order.number in self._open:
            self._agenda.add(order.expire_ns, Rank.VENUE, lambda t: self._good_till(order, t))

    def _enter(self, state: OpenOrder, there_ns: int, now_ns: int) -> None:
        """Match what is left of an order, then let the rest stand or expire.

        By the tape's time it is now; by the exchange's it was ``there_ns``.
        """
        order, walk, reach = state.order, Walk(state.order.price_ticks), self._reach
        stopped = False  # by our own impact
        if order.tif is not TimeInForce.POST_ONLY:
            walk = reach.walk(order, self._open.beside(order).opposite)
            bounded = replace(order, price_ticks=walk.limit_ticks, lots=state.left)
            if order.tif is TimeInForce.FOK and (short := reach.too_little(state, bounded, walk, now_ns)):
                self._expire(state, short, now_ns)
                return
            within = reach.within_impact(bounded, now_ns)
            self._market.take(order.number, order.lane, within, now_ns)
            self.collect()
            stopped = within.lots < bounded.lots
        if order.number not in self._open:
            return
        lots = reach.affordable(state, walk.limit_ticks)
        if walk.ends or not order.may_rest or lots < 1:
            self._expire(state, reach.why_unfilled(order, walk), now_ns)
            return
        if walk.limit_ticks != order.price_ticks:
            state.order = replace(order, price_ticks=walk.limit_ticks)
        if stopped:
            self._put_out_of_reach(state.order, now_ns)
        self._market.rest(order.number, order.lane, state.order, lots, there_ns)

    def _put_out_of_reach(self, order: VenueOrder, now_ns: int) -> None:
        """Lots that our own impact has moved beyond the limit are gone for the lane, as if it had taken them.

        Else the next update of the book would give them, as resting fills, to the rest of the order.
        """
        self._market.take(0, order.lane, replace(order, lots=ALL_LOTS, cap_tl=0), now_ns)
        self._market.drain_fills()

    # --- amendments -------------------------------------------------------------------------------

    def _amend_arrives(self, number: int, new: tuple[int, int, int], now_ns: int) -> None:
        self._sent.arrived(number, now_ns)
        price_ticks, lots, there_ns = new
        state = self._open.get(number)
        reason = GONE.format("amendment")
        if state is not None:
            amended = replace(state.order, price_ticks=price_ticks, lots=lots)
            reason = self._amend(state, amended, there_ns, now_ns)
        if reason:
            self._answers.report(now_ns, Report(number, ReportKind.AMEND_REJECTED, reason))

    def _amend(self, state: OpenOrder, new: VenueOrder, there_ns: int, now_ns: int) -> str:
        """Give an order its new price and size; "" or why it stands as it was."""
        old = state.order
        done = old.lots - state.left
        if old.cap_tl:
            return "an order bounded by money cannot be amended: cancel it"
        if new.lots <= done:
            quantity = self._market.instruments[old.instrument].quantity
            return f"quantity {quantity(new.lots):f} is not above {quantity(done):f}, which is filled already"
        refusal = self._checks.refusal(new, self._open.beside(old), now_ns)
        refusal = refusal or self._ledger.amend(state, new, new.lots - done)
        if refusal:
            return refusal
        self._answers.report(
            now_ns,
            Report(new.number, ReportKind.AMENDED, price_ticks=new.price_ticks, lots=new.lots),
        )
        smaller = new.price_ticks == old.price_ticks and new.lots <= old.lots
        if smaller and self._rules.amend_keeps_queue:
            shrink(self._market.state, new.number, state.left)
        else:
            self._market.withdraw(new.number)
            self._enter(state, there_ns, now_ns)
        return ""

    # --- ends -------------------------------------------------------------------------------------

    def _good_till(self, order: VenueOrder, now_ns: int) -> None:
        state = self._open.get(order.number)
        if state is not None:
            self._market.withdraw(order.number)
            self._expire(state, f"good till {in_utc(order.expire_ns)}", now_ns)

    def _expire(self, state: OpenOrder, reason: str, now_ns: int) -> None:
        self._close(state.order.number)
        self._answers.report(now_ns, Report(state.order.number, ReportKind.EXPIRED, reason))

    def _cancel_arrives(self, number: int, now_ns: int) -> None:
        self._sent.arrived(number, now_ns)
        if number not in self._open:
            self._answers.report(now_ns, Report(number, ReportKind.CANCEL_REJECTED, GONE.format("cancel")))
            return
        self._market.withdraw(number)
        self._close(number)
        self._answers.report(now_ns, Report(number, ReportKind.CANCELLED))

    def _query_arrives(self, number: int, now_ns: int) -> None:
        self._sent.arrived(number, now_ns)
        self._answers.repeat(number, now_ns)

    def _is_over(self, number: int) -> bool:
        return number not in self._open and not self._sent.waits_for(number)

    def _close(self, number: int) -> None:
        self._ledger.close(self._open.pop(number))

    # --- fills ------------------------------------------------------------------------------------

    def _fill(self, row: tuple[int, ...]) -> None:
        number, price, lots, maker, at_ns, mid, book_ns = row
        state = self._open[number]
        order = state.order
        model = self._queue_name if maker else "book_walk"
        priced = None
        if self._impact is not None:
            flow = (order.lane, order.instrument, order.side)
            priced = self._impact.fill(*flow, (price, lots), mid, bool(maker), at_ns)
            price, model = priced.price_ticks, model if maker else f"{model}+impact"
        marked_ns = self._rules.marked_age_ns
        if marked_ns is not None and at_ns - book_ns > marked_ns:
            model += STALE
        charge = self._ledger.settle(state, price, lots, bool(maker))
        if state.left == 0:
            self._close(number)
        settle = self._market.instruments[order.instrument].settle
        self._answers.report(
            at_ns,
            Report(
                number,
                ReportKind.FILLED,
                charge.notice,
                price_ticks=price,
                lots=lots,
                fee_tlp=charge.fee_tlp,
                fee_currency=charge.currency,
                maker=bool(maker),
                mid_half_ticks=mid,
                book_age_ns=at_ns - book_ns,
                near_gap=self._market.near_gap(order.instrument, at_ns, self._rules.near_gap_ns),
                price_model=model,
                impact_ticks=None if priced is None else priced.impact_ticks,
                displacement_half_ticks=None if priced is None else priced.displacement_half_ticks,
                fee_amount=None if charge.currency == settle else charge.amount,
            ),
        )
        if maker and order.cap_tl and state.left and not self._reach.affordable(state, order.price_ticks):
            self._expire(state, "its money is spent", at_ns)
