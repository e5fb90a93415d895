"""What an exchange checks when an order arrives. Every refusal is one sentence with value, limit and key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.core.clock import in_utc
from agent.core.instrument import Instrument
from agent.core.orders.order_value import order_lots
from agent.core.orders.venue_messages import VenueOrder
from agent.core.types import NS_PER_S, Side, TimeInForce
from agent.venue.kernel.tape_market import TapeMarket
from agent.venue.open_orders import Beside
from agent.venue.order_rules import band_refusals, least_refusals, most_refusals
from agent.venue.rules import VenueRules

GONE = "the order was no longer open when the {} arrived"


class Checks:
    """The checks against the market and the rules; the first that fails answers."""

    def __init__(self, market: TapeMarket, rules: VenueRules) -> None:
        self._market, self._rules = market, rules

    def refusal(self, order: VenueOrder, beside: Beside, now_ns: int) -> str:
        """Why the exchange would not take ``order`` now, or ""."""
        return next(self._reasons(order, beside, now_ns), "")

    def _reasons(self, order: VenueOrder, beside: Beside, now_ns: int) -> Iterator[str]:
        instrument = self._market.instruments[order.instrument]
        yield from self._open_for(instrument, order, now_ns)
        yield from self._size(instrument, order)
        yield from self._price(instrument, order)
        yield from self._too_many(instrument, order, beside.others)
        yield from self._post_only(instrument, order, beside.opposite)
        yield from self._stale(order, now_ns)

    def crosses(self, order: VenueOrder) -> bool:
        """Whether the order would trade at once."""
        return (order.price_ticks - self.far_touch(order)) * order.side >= 0

    def far_touch(self, order: VenueOrder) -> int:
        bid, ask = self._market.touch(order.instrument)
        return ask if order.side is Side.BUY else bid

    # --- one rule each: its reason, or nothing ------------------------------------------------------

    def _open_for(self, instrument: Instrument, order: VenueOrder, now_ns: int) -> Iterator[str]:
        for halt in self._rules.halts:
            if halt.symbol in ("", instrument.symbol) and halt.start_ns <= now_ns < halt.end_ns:
                yield f"{instrument.symbol} is halted until {in_utc(halt.end_ns)} (venue.halts)"
        if self._market.mid_half_ticks(order.instrument) == 0:
            yield "the market has no two-sided book to trade on (exchange.book)"
        if order.tif is TimeInForce.GTD and order.expire_ns <= now_ns:
            yield (
                f"good-till-date order arrived at {in_utc(now_ns)}, after its end {in_utc(order.expire_ns)}"
                " (exchange.good_till_date)"
            )

    def _size(self, instrument: Instrument, order: VenueOrder) -> Iterator[str]:
        lots = order_lots(order.price_ticks, order.lots, order.cap_tl)
        yield from least_refusals(instrument, order.price_ticks, order.lots, order.cap_tl)
        yield from most_refusals(instrument, lots, self._rules.max_quantity)

    def _price(self, instrument: Instrument, order: VenueOrder) -> Iterator[str]:
        mid = self._market.mid_half_ticks(order.instrument)
        yield from band_refusals(instrument, order.price_ticks, mid, self._rules.price_band_bps)

    def _too_many(self, instrument: Instrument, order: VenueOrder, others: int) -> Iterator[str]:
        most = self._rules.max_open_orders
        if most is not None and order.may_rest and others >= most:
            yield (
                f"{others} orders of ours are open on {instrument.symbol}: at most {most} are allowed"
                " (venue.max_open_orders)"
            )

    def _post_only(
        self, instrument: Instrument, order: VenueOrder, opposite: Sequence[VenueOrder]
    ) -> Iterator[str]:
        if order.tif is not TimeInForce.POST_ONLY:
            return
        if self.crosses(order):
            price, far = instrument.price(order.price_ticks), instrument.price(self.far_touch(order))
            yield (
                f"post-only order at {price:f} would have traded at once: {far:f} is offered"
                " (exchange.post_only)"
            )
        own = self.own_touch(order, opposite)
        if own is not None and (order.price_ticks - own) * order.side >= 0:
            price = instrument.price(order.price_ticks)
            touch = instrument.price(own)
            yield (
                f"self_trade: post-only at {price:f} would meet our own order at {touch:f} (venue.self_trade)"
            )

    def _stale(self, order: VenueOrder, now_ns: int) -> Iterator[str]:
        most_ns = self._rules.max_book_age_ns
        if most_ns is None or order.tif is TimeInForce.POST_ONLY or not self.crosses(order):
            return
        age_ns = now_ns - self._market.book_ns(order.instrument)
        if age_ns > most_ns:
            yield (
                f"the book is {age_ns / NS_PER_S:.3f} s old: a marketable order is filled on one of at most"
                f" {most_ns / NS_PER_S:g} s (venue.on_stale: reject, venue.max_book_age)"
            )
        if self._market.near_gap(order.instrument, now_ns, self._rules.near_gap_ns):
            yield (
                f"the feed has a gap, or had one less than {self._rules.near_gap_ns / NS_PER_S:g} s ago: no"
                " marketable order is filled then (venue.on_stale: reject, venue.near_gap)"
            )

    def own_touch(self, order: VenueOrder, opposite: Sequence[VenueOrder]) -> int | None:
        """The best price of our own orders on the other side in ticks; None without, or where allowed."""
        if self._rules.self_trade == "allow":
            return None
        prices = [other.price_ticks for other in opposite]
        return min(prices, key=lambda p: p * order.side, default=None)
