"""The paper venue: what an exchange would have done with our orders, from the tape alone.

Orders and cancels travel (``latency``), are checked as an exchange checks them, match against the
kernel's book with what their lane already consumed, and every answer travels back. Each lane is a
venue of its own with its own account; they share the tape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from agent.core.agenda import Agenda, Rank
from agent.core.instrument import Instrument
from agent.core.types import Side, TimeInForce
from agent.venue import kernel as k
from agent.venue.account import Account
from agent.venue.fees import Fees
from agent.venue.impact import Impact, ImpactLaw
from agent.venue.latency import Latencies
from agent.venue.market import Market

QUEUE_NAMES = {k.RISK_AVERSE: "queue:risk_averse", k.POWER_PROBABILITY: "queue:power_probability"}


@dataclass(frozen=True, slots=True)
class VenueRules:
    """How the venue behaves. ``price_band_bps`` refuses limits too far from the mid, either side."""

    latencies: Latencies
    fees: Fees
    balances: Mapping[str, Decimal]
    price_band_bps: float
    near_gap_ns: int
    seed: int
    impact: Mapping[str, ImpactLaw] | None = None  # by symbol; None: our own flow moves nothing


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order on its way. ``cap_tl`` bounds its money (0: none), as a quote-quantity order does."""

    number: int  # unique in the session, given in order of sending
    lane: int
    instrument: int
    side: Side
    tif: TimeInForce
    price_ticks: int
    lots: int
    cap_tl: int = 0


class ReportKind(StrEnum):
    ACKNOWLEDGED = "acknowledged"
    FILLED = "filled"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    CANCEL_REJECTED = "cancel_rejected"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Report:
    """The venue's answer about order ``number``. The fill fields are 0 for other kinds."""

    number: int
    kind: ReportKind
    reason: str = ""
    price_ticks: int = 0
    lots: int = 0
    fee_tlp: int = 0
    fee_currency: str = ""
    maker: bool = False
    fill_ns: int = 0
    mid_half_ticks: int = 0
    book_age_ns: int = 0
    near_gap: bool = False
    price_model: str = ""
    impact_ticks: int | None = None  # None: no impact model
    displacement_half_ticks: int | None = None


@dataclass(slots=True)
class _Open:
    order: VenueOrder
    left: int
    currency: str  # what was set aside for it, and how much of that is left
    held: Decimal


Deliver = Callable[[int, Report], None]
"""Called with the time at which we hear of it."""


class PaperVenue:
    """Matches orders of every lane. All times are engine time (``recv_ns``)."""

    def __init__(self, market: Market, agenda: Agenda, rules: VenueRules, deliver: Deliver) -> None:
        self._market = market
        self._agenda = agenda
        self._rules = rules
        self._deliver = deliver
        self._open: dict[int, _Open] = {}
        self._accounts: dict[int, Account] = {}
        self._impact = None if rules.impact is None else Impact(rules.impact, market.instruments)
        queue = int(market.state.queue_model[0])
        self._queue_name = QUEUE_NAMES[queue]

    def account(self, lane: int) -> Account:
        """The lane's account, opened with the configured balances on first use."""
        if lane not in self._accounts:
            self._accounts[lane] = Account(self._rules.balances)
        return self._accounts[lane]

    def send(self, order: VenueOrder, now_ns: int) -> None:
        """An order leaves at ``now_ns``."""
        at_ns = self._rules.latencies.arrival_ns(self._rules.seed, order.number, now_ns)
        self._agenda.add(at_ns, Rank.VENUE, lambda t: self._arrive(order, t))

    def cancel(self, number: int, now_ns: int) -> None:
        """A cancel leaves at ``now_ns``."""
        at_ns = self._rules.latencies.arrival_ns(self._rules.seed, number, now_ns, cancel=True)
        self._agenda.add(at_ns, Rank.VENUE, lambda t: self._cancel_arrives(number, t))

    def collect(self) -> None:
        """Turn the kernel's fills of resting orders into reports."""
        for row in self._market.drain_fills():
            self._fill(row)

    # --- arrivals ---------------------------------------------------------------------------------

    def _arrive(self, order: VenueOrder, now_ns: int) -> None:
        reason = self._refusal(order) or self._set_aside(order)
        if reason:
            self._report(now_ns, Report(order.number, ReportKind.REJECTED, reason))
            return
        self._report(now_ns, Report(order.number, ReportKind.ACKNOWLEDGED))
        if order.tif is not TimeInForce.POST_ONLY:
            self._market.take(order.number, order.lane, self._within_impact(order, now_ns), now_ns)
            self.collect()
        state = self._open.get(order.number)
        if state is None:
            return
        if order.tif is TimeInForce.IOC:
            self._close(order.number)
            self._report(now_ns, Report(order.number, ReportKind.EXPIRED, self._why_unfilled(order)))
        else:
            self._market.rest(order.number, order.lane, order, state.left)

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

    def _cancel_arrives(self, number: int, now_ns: int) -> None:
        state = self._open.get(number)
        if state is None:
            reason = "the order was no longer open when the cancel arrived"
            self._report(now_ns, Report(number, ReportKind.CANCEL_REJECTED, reason))
            return
        self._market.withdraw(number)
        self._close(number)
        self._report(now_ns, Report(number, ReportKind.CANCELLED))

    def _refusal(self, order: VenueOrder) -> str:
        """Why an exchange would not take it, or ""."""
        instrument = self._market.instruments[order.instrument]
        mid = self._market.mid_half_ticks(order.instrument)
        if mid == 0:
            return "the market has no two-sided book"
        if order.lots < instrument.min_lots:
            least = instrument.quantity(instrument.min_lots)
            return f"quantity {instrument.quantity(order.lots)} is below the minimum {least}"
        value = instrument.notional(order.cap_tl or order.lots * order.price_ticks)
        if value < instrument.min_notional:
            return f"notional {value} is below the minimum {instrument.min_notional}"
        if abs(2 * order.price_ticks - mid) * 10_000 > self._rules.price_band_bps * mid:
            price = instrument.price(order.price_ticks)
            return f"price {price} is more than {self._rules.price_band_bps:g} bps from the mid"
        if order.tif is TimeInForce.POST_ONLY and self._crosses(order):
            return "post-only order would have traded at once"
        return ""

    def _crosses(self, order: VenueOrder) -> bool:
        book = self._market.book(order.instrument)
        far = book.ask_ticks if order.side is Side.BUY else book.bid_ticks
        return (order.price_ticks - far) * order.side >= 0

    def _set_aside(self, order: VenueOrder) -> str:
        """Hold what the order may cost; "" or why it cannot be paid for."""
        instrument = self._market.instruments[order.instrument]
        if order.side is Side.BUY:
            currency = instrument.quote
            value = instrument.notional(order.cap_tl or order.lots * order.price_ticks)
            amount = value * (1 + self._rules.fees.worst_rate())
        else:
            currency, amount = instrument.base, instrument.quantity(order.lots) * instrument.multiplier
            if order.cap_tl:  # lots of a money-bounded sale are an upper bound
                lots = -(-order.cap_tl // max(1, self._market.mid_half_ticks(order.instrument) // 2))
                amount = min(amount, instrument.quantity(lots) * instrument.multiplier)
        account = self.account(order.lane)
        if not account.hold(currency, amount):
            return f"balance {account.available(currency)} {currency} does not cover {amount.normalize():f}"
        self._open[order.number] = _Open(order, order.lots, currency, amount)
        return ""

    def _why_unfilled(self, order: VenueOrder) -> str:
        after = "" if self._impact is None else ", our own impact counted in"
        if order.cap_tl:
            return f"its money is spent, or no more was offered at its limit{after}"
        return f"no more was offered at its limit{after}"

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
        instrument = self._market.instruments[order.instrument]
        fees = self._rules.fees
        fee_tlp = fees.fee_tlp(price, lots, bool(maker))
        self._settle(state, instrument, price, lots, fee_tlp)
        state.left -= lots
        if state.left == 0:
            self._close(number)
        self._report(
            at_ns,
            Report(
                number,
                ReportKind.FILLED,
                price_ticks=price,
                lots=lots,
                fee_tlp=fee_tlp,
                fee_currency=fees.currency_of(instrument, order.side),
                maker=bool(maker),
                fill_ns=at_ns,
                mid_half_ticks=mid,
                book_age_ns=at_ns - book_ns,
                near_gap=self._market.near_gap(order.instrument, at_ns, self._rules.near_gap_ns),
                price_model=model,
                impact_ticks=None if priced is None else priced.impact_ticks,
                displacement_half_ticks=None if priced is None else priced.displacement_half_ticks,
            ),
        )

    def _settle(self, state: _Open, instrument: Instrument, price: int, lots: int, fee_tlp: int) -> None:
        """Move the money of a fill; what was set aside for it is free again."""
        account = self.account(state.order.lane)
        value = instrument.notional(price * lots)
        quantity = instrument.quantity(lots) * instrument.multiplier
        side = state.order.side
        account.move(instrument.base, quantity * side)
        account.move(instrument.quote, -value * side)
        fee = instrument.notional(fee_tlp) / 1_000_000
        currency = self._rules.fees.currency_of(instrument, side)
        account.move(currency, -fee if currency == instrument.quote else -fee / instrument.price(price))
        spent = min(state.held, value + max(fee, Decimal(0)) if side is Side.BUY else quantity)
        account.release(state.currency, spent)
        state.held -= spent

    def _close(self, number: int) -> None:
        state = self._open.pop(number)
        self.account(state.order.lane).release(state.currency, state.held)

    def _report(self, matched_ns: int, report: Report) -> None:
        at_ns = self._rules.latencies.report_ns(self._rules.seed, report.number, matched_ns)
        self._agenda.add(at_ns, Rank.REPORT, lambda t: self._deliver(t, report))
