"""The venue of a market of which only bars are known: an order is filled at the bar's VWAP, made worse.

Nobody can say what an order would have met inside a bar, so the model says little and says it openly:

* an order that is at the venue when a bar ends is filled in it, at the bar's VWAP and half a spread worse
  (price model ``bars:vwap``), plus what our own flow displaces the price by, where an impact law is
  configured (``bars:vwap+impact``). Half the spread is of the VWAP. Where the bars are made of the trades on
  a tape (``agent.venue.bars.bars_of_trades``) the models are called ``trades:...``;
* prices are whole ticks, so a fill may come as two, at neighbouring prices. Together they cost what
  the model says, rounded against us to one tick of one lot;
* of a bar's volume no more than ``max_participation`` is given to one lane, in order of arrival, and
  nothing of a bar without volume or of one in which the market was closed for a part;
* nothing is filled beyond its limit: a bar whose modelled price is beyond it fills none; nor does one whose
  VWAP is further than ``reach_bps`` from the last close on our side: it is an error, or news, and no bargain;
* orders, cancels and answers travel in no time, which is what a latency is to a bar. What immediate orders
  miss expires at the end of their first bar. Nothing can be posted in a queue that nobody saw.

A fill's time is the end of its bar, because that is when it was known.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from agent.core.agenda import Agenda, Rank
from agent.core.market.tape import BarArray
from agent.core.orders.venue_messages import (
    Deliver,
    Report,
    ReportKind,
    VenueOrder,
    VenueTraits,
    not_connected,
)
from agent.core.types import TimeInForce
from agent.venue.account import Account
from agent.venue.bars.bar_market import BPS, BarMarket
from agent.venue.checks import GONE, Checks
from agent.venue.impact import Impact, largest
from agent.venue.ledger import Ledger, OpenOrder
from agent.venue.open_orders import OpenOrders
from agent.venue.rules import VenueRules


class BarVenue:
    """Fills orders of every lane from whole bars. All times are engine time. See ``OrderVenue``."""

    def __init__(self, market: BarMarket, agenda: Agenda, rules: VenueRules) -> None:
        self._market, self._agenda, self._rules = market, agenda, rules
        self._deliver: Deliver = not_connected
        self._checks = Checks(market, replace(rules, max_book_age_ns=None))
        self._ledger = Ledger(market.instruments, rules.fees, rules.balances)
        self._impact = None if rules.impact is None else Impact(rules.impact, market.instruments)
        self._open = OpenOrders()
        self._reports: dict[int, int] = {}  # by order: how many

    def account(self, lane: int) -> Account:
        """The lane's account, opened with the configured balances on first use."""
        return self._ledger.account(lane)

    def lacking(self, order: VenueOrder) -> str:
        """Why its lane's account could not pay for an order now, or "". Nothing is set aside."""
        return self._ledger.lacking(order)

    def connect(self, deliver: Deliver) -> None:
        self._deliver = deliver

    def traits(self, lane: int) -> VenueTraits:
        """An order waits for the end of its bar."""
        most = self._rules.max_quantity
        return VenueTraits(fills_later=True, own_impact=self._impact is not None, max_quantity=most)

    def submit(self, order: VenueOrder, now_ns: int) -> None:
        """An order leaves, and arrives, at ``now_ns``."""
        self._agenda.add(now_ns, Rank.VENUE, lambda t: self._arrive(order, t))

    def cancel(self, order: VenueOrder, now_ns: int) -> None:
        self._agenda.add(now_ns, Rank.VENUE, lambda t: self._cancel_arrives(order.number, t))

    def amend(self, order: VenueOrder, price_ticks: int, lots: int, now_ns: int) -> None:
        """Refused: what waits for the end of a bar has no place in a queue that an amendment could keep."""
        reason = "orders on a bars-only market are not amended: cancel, and send another"
        refused = Report(order.number, ReportKind.AMEND_REJECTED, reason)
        self._agenda.add(now_ns, Rank.VENUE, lambda t: self._report(t, refused))

    def query(self, order: VenueOrder, now_ns: int) -> None:
        """Nothing is ever lost on the way: there is no more to report."""

    def collect(self) -> None:
        """Fill the open orders of every instrument whose bar has just been completed."""
        for number, bar in enumerate(self._market.last):
            if bar is not None:
                self._market.last[number] = None
                self._fill_all(number, bar)

    def forget_lane(self, lane: int) -> None:
        """Drop a shadow's account, and what its flow had displaced."""
        self._ledger.forget_lane(lane)
        if self._impact is not None:
            self._impact.forget_lane(lane)

    def lose_time(self, from_ns: int) -> None:
        """All that waits for the end of a bar is void."""
        for state in self._open.values():
            self._ledger.close(self._open.pop(state.order.number))

    # --- arrivals ---------------------------------------------------------------------------------

    def _arrive(self, order: VenueOrder, now_ns: int) -> None:
        refusal = self._checks.refusal(order, self._open.beside(order), now_ns)
        if order.tif is TimeInForce.POST_ONLY:
            refusal = "post-only: a bars-only market has no queue to rest in"
        opened = refusal or self._ledger.open(order)
        if isinstance(opened, str):
            self._report(now_ns, Report(order.number, ReportKind.REJECTED, opened))
            return
        self._open.add(opened)
        self._report(now_ns, Report(order.number, ReportKind.ACKNOWLEDGED))

    def _cancel_arrives(self, number: int, now_ns: int) -> None:
        if number not in self._open:
            self._report(now_ns, Report(number, ReportKind.CANCEL_REJECTED, GONE.format("cancel")))
            return
        self._ledger.close(self._open.pop(number))
        self._report(now_ns, Report(number, ReportKind.CANCELLED))

    # --- a bar is complete --------------------------------------------------------------------------

    def _fill_all(self, instrument: int, bar: BarArray) -> None:
        now_ns, given = int(bar["recv_ns"]), dict[int, int]()
        most = int(self._market.rules.max_participation * int(bar["base_lots"]))
        for state in self._open.values():
            order = state.order
            if order.instrument != instrument:
                continue
            why = f"the bar's volume: {most} lots of it are given to us at most (bars.max_participation)"
            allowance = most - given.get(order.lane, 0)
            if allowance > 0:
                lots, why = self._fill(state, bar, min(state.left, allowance), now_ns)
                given[order.lane] = given.get(order.lane, 0) + lots
            self._leave(order.number, state, why, now_ns)

    def _leave(self, number: int, state: OpenOrder, why: str, now_ns: int) -> None:
        """What a bar leaves of an order stands, or expires and says why."""
        late = state.order.tif is TimeInForce.GTD and now_ns >= state.order.expire_ns
        if state.left and state.order.may_rest and not late:
            return
        self._ledger.close(self._open.pop(number))
        if state.left:
            self._report(now_ns, Report(number, ReportKind.EXPIRED, "good till then" if late else why))

    def _fill(self, state: OpenOrder, bar: BarArray, most: int, now_ns: int) -> tuple[int, str]:
        """Fill up to ``most`` lots in one bar. Returns the lots, and why no more."""
        order = state.order
        price = self._model_price(order, bar)
        lots, why = self._within(state, price, most, now_ns)
        if order.tif is TimeInForce.FOK and lots < state.left:
            return 0, f"fill-or-kill: {lots} of {state.left} lots could be filled; {why}"
        if lots < 1:
            return 0, why
        displaced = self._displace(order, price, lots, now_ns)
        for ticks, part in in_whole_ticks(order.side, price + order.side * Fraction(displaced or 0, 2), lots):
            self._book(state, bar, (ticks, part), displaced, now_ns)
        return lots, why

    def _model_price(self, order: VenueOrder, bar: BarArray) -> Fraction:
        """The bar's VWAP, half a spread worse, in ticks."""
        vwap = Fraction(int(bar["quote_tl"]), int(bar["base_lots"]))
        return vwap * (1 + order.side * self._market.rules.half_spread_bps / BPS)

    def _within(self, state: OpenOrder, price: Fraction, most: int, now_ns: int) -> tuple[int, str]:
        """How many of ``most`` lots the order's limit and its money allow, and what bounds them."""
        order, why = state.order, "the bar's volume: more is not given to us (bars.max_participation)"
        if self._too_good(order, price):
            return 0, "the bar's VWAP is further than that from the last close, on our side (bars.reach_bps)"
        worst = worse_ticks(order.side, price)
        if order.side * (worst - order.price_ticks) > 0:
            at, limit = (
                self._market.instruments[order.instrument].price(t) for t in (worst, order.price_ticks)
            )
            return 0, (
                f"the bar's VWAP, half a spread worse, is {at:f}, beyond its limit {limit:f}"
                " (bars.reach_bps or the limit price)"
            )
        lots = most
        if self._impact is not None:
            flow = (order.lane, order.instrument, order.side)
            lots = self._impact.most_lots(*flow, order.price_ticks, lots, 2 * worst, now_ns)
            why = "its limit, our own impact counted in" if lots < most else why
        if order.cap_tl:
            left = order.cap_tl - state.spent_tl

            def cost(q: int) -> int:
                return cost_tl(order.side, self._displaced(order, price, q, now_ns), q)

            paid = largest(lots, cost, left)
            why, lots = ("its money is spent", paid) if paid < lots else (why, lots)
        return lots, why

    def _too_good(self, order: VenueOrder, price: Fraction) -> bool:
        """Whether a bar is so far on our side of the last close that its price is not to be believed."""
        rules, close = self._market.rules, self._market.close_before[order.instrument]
        vwap = price / (1 + order.side * rules.half_spread_bps / BPS)
        return bool(close and order.side * (close - vwap) > rules.reach_bps * close / BPS)

    def _displaced(self, order: VenueOrder, price: Fraction, lots: int, now_ns: int) -> Fraction:
        """The price that a fill of ``lots`` would have."""
        if self._impact is None:
            return price
        flow = (order.lane, order.instrument, order.side)
        moved = self._impact.displacement(*flow, lots, round(2 * price), now_ns)
        return price + order.side * Fraction(max(0, moved), 2)

    def _displace(self, order: VenueOrder, price: Fraction, lots: int, now_ns: int) -> int | None:
        """Half ticks that the law displaces the fill by, our flow counted in; None without a law."""
        if self._impact is None:
            return None
        mid = round(2 * price)
        flow = (order.lane, order.instrument, order.side)
        # As a maker's its own price stays as it is: half the spread is no part of the law, and is added.
        priced = self._impact.fill(*flow, (worse_ticks(order.side, price), lots), mid, True, now_ns)
        return max(0, priced.displacement_half_ticks)

    def _book(
        self, state: OpenOrder, bar: BarArray, part: tuple[int, int], displaced: int | None, now_ns: int
    ) -> None:
        order, (ticks, lots) = state.order, part
        charge = self._ledger.settle(state, ticks, lots, False)
        quote = self._market.instruments[order.instrument].quote
        self._report(
            now_ns,
            Report(
                order.number,
                ReportKind.FILLED,
                charge.notice,
                price_ticks=ticks,
                lots=lots,
                fee_tlp=charge.fee_tlp,
                fee_currency=charge.currency,
                mid_half_ticks=round(Fraction(2 * int(bar["quote_tl"]), int(bar["base_lots"]))),
                price_model=f"{self._market.rules.of}:vwap{'' if displaced is None else '+impact'}",
                impact_ticks=None if displaced is None else -(-displaced // 2),
                displacement_half_ticks=displaced,
                fee_amount=None if charge.currency == quote else charge.amount,
            ),
        )

    def _report(self, now_ns: int, report: Report) -> None:
        report.sequence = self._reports[report.number] = self._reports.get(report.number, 0) + 1
        report.venue_ns = now_ns
        self._agenda.add(now_ns, Rank.REPORT, lambda t: self._hand_over(report, t))

    def _hand_over(self, report: Report, now_ns: int) -> None:
        report.recv_ns = now_ns
        self._deliver(report)
        if report.number not in self._open and self._reports.get(report.number) == report.sequence:
            del self._reports[report.number]  # all has been said of an order that is over


def worse_ticks(side: int, price: Fraction) -> int:
    """A price in whole ticks, rounded against ``side``."""
    return side * -int(-(side * price) // 1)


def cost_tl(side: int, price: Fraction, lots: int) -> int:
    """What ``lots`` cost (or bring) at a price in ticks: ticks x lots, rounded against ``side``."""
    return worse_ticks(side, price * lots)


def in_whole_ticks(side: int, price: Fraction, lots: int) -> list[tuple[int, int]]:
    """(price ticks, lots) of at most two fills at neighbouring ticks that cost ``cost_tl`` together."""
    total, low = cost_tl(side, price, lots), int(price // 1)
    dear = total - low * lots
    return [(ticks, part) for ticks, part in ((low, lots - dear), (low + 1, dear)) if part]
