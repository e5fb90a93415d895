"""The paper venue: what an exchange would have done with our orders, from the tape alone.

Orders, amendments and cancels travel (``latency``), are checked as an exchange checks them (``checks``),
match against the kernel's book with what their lane already consumed, and every answer travels back.
Each lane is a venue of its own with its own account (``ledger``); they share the tape.

What ends a walk before the order's limit: price protection, a number of basis points from the far touch
at arrival, at whose edge the rest of an order that may rest then stands; and our own resting order on
the other side, before which the rest of the newer order is cancelled (``self_trade``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.core.agenda import Agenda, Rank
from agent.core.types import TimeInForce
from agent.venue import kernel as k
from agent.venue.account import Account
from agent.venue.checks import Checks, in_units, in_utc
from agent.venue.impact import Impact
from agent.venue.ledger import Ledger, OpenOrder
from agent.venue.market import Market
from agent.venue.orders import DecimalOrder, Deliver, Report, ReportKind, VenueOrder
from agent.venue.rules import VenueRules

__all__ = ["DecimalOrder", "PaperVenue", "Report", "ReportKind", "VenueOrder", "VenueRules"]

QUEUE_NAMES = {k.RISK_AVERSE: "queue:risk_averse", k.POWER_PROBABILITY: "queue:power_probability"}


@dataclass(frozen=True, slots=True)
class _Walk:
    """How far an order may walk; why no further ("": its own limit); whether that cancels the rest."""

    limit_ticks: int
    why: str = ""
    ends: bool = False


class PaperVenue:
    """Matches orders of every lane. All times are engine time (``recv_ns``)."""

    def __init__(self, market: Market, agenda: Agenda, rules: VenueRules, deliver: Deliver) -> None:
        self._market = market
        self._agenda = agenda
        self._rules = rules
        self._deliver = deliver
        self._checks = Checks(market, rules)
        self._ledger = Ledger(market.instruments, rules.fees, rules.balances)
        self._open: dict[int, OpenOrder] = {}
        self._heard_ns: dict[int, int] = {}  # when the last report about an order is heard
        self._impact = None if rules.impact is None else Impact(rules.impact, market.instruments)
        queue = int(market.state.queue_model[0])
        self._queue_name = QUEUE_NAMES[queue]

    def account(self, lane: int) -> Account:
        """The lane's account, opened with the configured balances on first use."""
        return self._ledger.account(lane)

    def send(self, order: VenueOrder, now_ns: int) -> None:
        """An order leaves at ``now_ns``."""
        at_ns = self._rules.latencies.arrival_ns(self._rules.seed, order.number, now_ns)
        self._agenda.add(at_ns, Rank.VENUE, lambda t: self._arrive(order, t))

    def submit(self, order: DecimalOrder, now_ns: int) -> None:
        """An order in decimals leaves at ``now_ns``; numbers off the tick or the lot are rejected there."""
        made = in_units(order, self._market.instruments[order.instrument])
        if not isinstance(made, str):
            self.send(made, now_ns)
            return
        rejected = Report(order.number, ReportKind.REJECTED, made)
        at_ns = self._rules.latencies.arrival_ns(self._rules.seed, order.number, now_ns)
        self._agenda.add(at_ns, Rank.VENUE, lambda t: self._report(t, rejected))

    def cancel(self, number: int, now_ns: int) -> None:
        """A cancel leaves at ``now_ns``."""
        at_ns = self._rules.latencies.arrival_ns(self._rules.seed, number, now_ns, cancel=True)
        self._agenda.add(at_ns, Rank.VENUE, lambda t: self._cancel_arrives(number, t))

    def collect(self) -> None:
        """Turn the kernel's fills into reports."""
        for row in self._market.drain_fills():
            self._fill(row)

    # --- arrivals ---------------------------------------------------------------------------------

    def _arrive(self, order: VenueOrder, now_ns: int) -> None:
        opened = self._checks.refusal(order, self._others(order), now_ns) or self._ledger.open(order)
        if isinstance(opened, str):
            self._report(now_ns, Report(order.number, ReportKind.REJECTED, opened))
            return
        self._open[order.number] = opened
        self._report(now_ns, Report(order.number, ReportKind.ACKNOWLEDGED))
        self._enter(opened, now_ns)
        if order.tif is TimeInForce.GTD and order.number in self._open:
            self._agenda.add(order.expire_ns, Rank.VENUE, lambda t: self._good_till(order, t))

    def _others(self, order: VenueOrder) -> list[VenueOrder]:
        """What else of its lane rests in its instrument."""
        return [
            state.order
            for number, state in self._open.items()
            if number != order.number
            and state.order.lane == order.lane
            and state.order.instrument == order.instrument
        ]

    def _enter(self, state: OpenOrder, now_ns: int) -> None:
        """Match what is left of an order, then let the rest stand or expire."""
        order, walk = state.order, _Walk(state.order.price_ticks)
        if order.tif is not TimeInForce.POST_ONLY:
            walk = self._walk(order)
            reach = replace(order, price_ticks=walk.limit_ticks, lots=state.left)
            if order.tif is TimeInForce.FOK and (short := self._too_little(state, reach, walk, now_ns)):
                self._expire(state, short, now_ns)
                return
            self._market.take(order.number, order.lane, self._within_impact(reach, now_ns), now_ns)
            self.collect()
        if order.number not in self._open:
            return
        lots = self._affordable(state, walk.limit_ticks)
        if walk.ends or not order.may_rest or lots < 1:
            self._expire(state, self._why_unfilled(order, walk), now_ns)
            return
        state.order = replace(order, price_ticks=walk.limit_ticks)
        self._market.rest(order.number, order.lane, state.order, lots)

    def _walk(self, order: VenueOrder) -> _Walk:
        instrument = self._market.instruments[order.instrument]
        walk, side, most_bps = _Walk(order.price_ticks), order.side, self._rules.price_protection_bps
        if most_bps is not None:
            far = self._checks.far_touch(order)
            edge = far + side * int(far * most_bps * 1e-4)
            if (walk.limit_ticks - edge) * side > 0:
                why = (
                    f"no more was offered up to {instrument.price(edge)}: price protection is"
                    f" {most_bps:g} bps from the far touch {instrument.price(far)}"
                    " (venue.price_protection_bps)"
                )
                walk = _Walk(edge, why)
        own = self._checks.own_touch(order, self._others(order))
        if own is not None and (walk.limit_ticks - own) * side >= 0:
            price = instrument.price(own)
            why = f"self_trade: the rest would meet our own order at {price} (venue.self_trade)"
            walk = _Walk(own - side, why, ends=True)
        return walk

    def _too_little(self, state: OpenOrder, reach: VenueOrder, walk: _Walk, now_ns: int) -> str:
        """Why a fill-or-kill order cannot be filled whole; "" when it can."""
        whole = self._within_impact(reach, now_ns)
        offered = sum(lots for _, lots in self._market.preview(reach.lane, whole, now_ns))
        free = replace(reach, cap_tl=0)
        without_cap = sum(lots for _, lots in self._market.preview(reach.lane, free, now_ns))
        if offered >= state.left or (reach.cap_tl and 0 < offered < without_cap):
            return ""
        instrument = self._market.instruments[reach.instrument]
        found, wanted = instrument.quantity(offered), instrument.quantity(state.left)
        if reach.cap_tl:
            return f"fill-or-kill: only {found} were offered at its limit, its money is not spent"
        return f"fill-or-kill: {found} of {wanted} were offered at {walk.why or 'its limit'}"

    def _affordable(self, state: OpenOrder, price_ticks: int) -> int:
        """Lots of the rest that may stand: a bound on the order's money holds for them too."""
        if not state.order.cap_tl:
            return state.left
        return min(state.left, (state.order.cap_tl - state.spent_tl) // price_ticks)

    def _within_impact(self, order: VenueOrder, now_ns: int) -> VenueOrder:
        """The order cut to what its limit stands, and its money pays, of our own impact."""
        if self._impact is None:
            return order
        flow = (order.lane, order.instrument, order.side)
        mid = self._market.mid_half_ticks(order.instrument)
        lots = self._impact.room(*flow, order.price_ticks, order.lots, mid, now_ns)
        if order.cap_tl and lots:
            walk = self._market.preview(order.lane, replace(order, lots=lots), now_ns)
            lots = self._impact.affordable(*flow, walk, order.cap_tl, mid, now_ns)
        return replace(order, lots=lots, cap_tl=0)

    def _why_unfilled(self, order: VenueOrder, walk: _Walk) -> str:
        after = "" if self._impact is None else ", our own impact counted in"
        if walk.why:
            return f"{walk.why}{after}"
        if order.cap_tl:
            return f"its money is spent, or no more was offered at its limit{after}"
        return f"no more was offered at its limit{after}"

    # --- ends -------------------------------------------------------------------------------------

    def _good_till(self, order: VenueOrder, now_ns: int) -> None:
        state = self._open.get(order.number)
        if state is not None:
            self._market.withdraw(order.number)
            self._expire(state, f"good till {in_utc(order.expire_ns)}", now_ns)

    def _expire(self, state: OpenOrder, reason: str, now_ns: int) -> None:
        self._close(state.order.number)
        self._report(now_ns, Report(state.order.number, ReportKind.EXPIRED, reason))

    def _cancel_arrives(self, number: int, now_ns: int) -> None:
        if number not in self._open:
            reason = "the order was no longer open when the cancel arrived"
            self._report(now_ns, Report(number, ReportKind.CANCEL_REJECTED, reason))
            return
        self._market.withdraw(number)
        self._close(number)
        self._report(now_ns, Report(number, ReportKind.CANCELLED))

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
        charge = self._ledger.settle(state, price, lots, bool(maker))
        if state.left == 0:
            self._close(number)
        quote = self._market.instruments[order.instrument].quote
        self._report(
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
                fill_ns=at_ns,
                mid_half_ticks=mid,
                book_age_ns=at_ns - book_ns,
                near_gap=self._market.near_gap(order.instrument, at_ns, self._rules.near_gap_ns),
                price_model=model,
                impact_ticks=None if priced is None else priced.impact_ticks,
                displacement_half_ticks=None if priced is None else priced.displacement_half_ticks,
                fill_number=state.fills,
                fee_amount=None if charge.currency == quote else charge.amount,
            ),
        )

    def _report(self, matched_ns: int, report: Report) -> None:
        at_ns = self._rules.latencies.report_ns(self._rules.seed, report.number, matched_ns)
        at_ns = max(at_ns, self._heard_ns.get(report.number, 0))  # one connection: answers stay in order
        self._heard_ns[report.number] = at_ns
        self._agenda.add(at_ns, Rank.REPORT, lambda t: self._deliver(t, report))
