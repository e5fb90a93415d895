"""Risk: the gate every child order passes on its way out. A refusal names the rule, the value and the limit.

It names the key of the configuration that holds the limit too. A child is judged at the limit price that it
is sent with (``agent.core.orders.order_value``); what its parent has filled counts at what it cost.

A rule whose limit is None is off. The gate is deterministic: it knows engine time only, and its whole
state is the kill flag and the send times of the last second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from agent.core.instrument import Instrument
from agent.core.money import MOST_TL
from agent.core.orders.order_value import order_lots, too_much
from agent.core.types import NS_PER_MS, NS_PER_S, Side

PARTICIPATION_CAP, MAX_PARTICIPATION = "order.participation_cap", "risk.max_participation"


def tightest_cap(own: float | None, everyones: float | None) -> tuple[float, str] | None:
    """The smaller of an order's own participation cap and the one for every order, with its key."""
    caps = [(own, PARTICIPATION_CAP), (everyones, MAX_PARTICIPATION)]
    return min(((cap, key) for cap, key in caps if cap is not None), default=None)


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """What is allowed, in one instrument's integers; None is off. The configuration holds the defaults.

    ``max_notional_tl`` is the money of one parent order, in ticks x lots; ``max_notional_lots`` is the same
    for inverse contracts, each of which is a fixed sum.
    """

    max_notional_tl: int | None = None
    max_notional_lots: int | None = None
    max_participation: float | None = None  # own / market volume since the parent's start
    price_collar_bps: float | None = None  # how far beyond the mid an order may reach
    max_child_lots: int | None = None
    max_orders_per_s: int | None = None
    stale_book_ns: int | None = None


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """A child order that wants out. ``committed_*`` is what its parent has filled or in flight already.

    ``cap_tl`` bounds its money (0: nothing does): that is its value then.
    """

    parent_id: str
    side: Side
    qty_lots: int
    price_ticks: int
    committed_lots: int = 0
    committed_tl: int = 0
    limit_price_ticks: int | None = None  # the parent's own limit
    participation_cap: float | None = None  # the parent's own cap
    cap_tl: int = 0

    @property
    def value_tl(self) -> int:
        """Ticks x lots at the limit."""
        return self.cap_tl or self.qty_lots * self.price_ticks


@dataclass(frozen=True, slots=True)
class MarketFacts:
    """What the market shows now.

    ``market_lots`` is the volume the parent's participation is measured against: what has traded since
    its start. None: nothing is known, and participation cannot be judged.
    """

    mid_half_ticks: int | None
    book_ns: int | None  # engine time of the last book update
    market_lots: int | None = None
    unseen: bool = False  # the process has stood still, and read no book of later


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an order may not go out: the rule's name, and a sentence; ``key`` of the configuration, if any."""

    rule: str
    reason: str
    key: str = ""


@dataclass(slots=True)
class RiskGate:
    """Checks intents against the limits, in a fixed order; the first rule broken answers."""

    limits: RiskLimits
    instrument: Instrument
    killed: bool = False
    _sent_ns: deque[int] = field(default_factory=deque)

    def check(self, intent: OrderIntent, market: MarketFacts, now_ns: int) -> Refusal | None:
        """Return why ``intent`` may not go out, or None. Changes nothing: call ``sent`` for what went."""
        return next(self.refusals(intent, market, now_ns), None)

    def sent(self, now_ns: int) -> None:
        """Count an order that went out at ``now_ns`` towards the order rate."""
        while self._sent_ns and self._sent_ns[0] <= now_ns - NS_PER_S:
            self._sent_ns.popleft()
        self._sent_ns.append(now_ns)

    def refusals(self, intent: OrderIntent, market: MarketFacts, now_ns: int) -> Iterator[Refusal]:
        """Every rule that ``intent`` breaks."""
        if self.killed:
            yield Refusal(
                "kill_switch", "no order goes out until a new run: this one was killed (agent ctl kill)"
            )
        if intent.qty_lots <= 0 or intent.price_ticks <= 0:
            yield Refusal(
                "order_size",
                f"{intent.qty_lots} lots at {intent.price_ticks} ticks: both must be positive",
            )
            return
        yield from self._counted(intent)
        yield from self._child_size(intent)
        yield from self._stale_book(market, now_ns)
        yield from self._limit_price(intent)
        yield from self._price_collar(intent, market)
        yield from self._notional(intent)
        yield from self._participation(intent, market)
        yield from self._order_rate(now_ns)

    def _counted(self, intent: OrderIntent) -> Iterator[Refusal]:
        """All that its parent may be filled, at this child's limit, is within what 64 bits hold."""
        lots = order_lots(intent.price_ticks, intent.qty_lots, intent.cap_tl)
        left = MOST_TL - intent.committed_tl
        if fault := too_much(self.instrument, intent.price_ticks, lots, intent.cap_tl, left):
            yield Refusal("order_size", fault)

    def _child_size(self, intent: OrderIntent) -> Iterator[Refusal]:
        most = self.limits.max_child_lots
        lots = order_lots(intent.price_ticks, intent.qty_lots, intent.cap_tl)
        if most is not None and lots > most:
            what = f"quantity {self._quantity(lots)} in one order, at most {self._quantity(most)} is allowed"
            yield _refusal("child_size", what, "risk.max_child_quantity")

    def _stale_book(self, market: MarketFacts, now_ns: int) -> Iterator[Refusal]:
        most_ns = self.limits.stale_book_ns
        if most_ns is None:
            return
        most = f"at most {most_ns / NS_PER_MS:.0f} ms is allowed"
        if market.unseen:
            what = f"the program stood still, and has read no book of the time since, {most}"
            yield _refusal("stale_book", what, "risk.stale_book")
        elif market.book_ns is None:
            yield _refusal("stale_book", f"no book has been seen yet, {most}", "risk.stale_book")
        elif now_ns - market.book_ns > most_ns:
            age_ms = (now_ns - market.book_ns) / NS_PER_MS
            yield _refusal("stale_book", f"the book is {age_ms:.0f} ms old, {most}", "risk.stale_book")

    def _limit_price(self, intent: OrderIntent) -> Iterator[Refusal]:
        limit = intent.limit_price_ticks
        if limit is not None and intent.side * (intent.price_ticks - limit) > 0:
            what = f"{self._at(intent)} is beyond the order's own limit {self._price(limit)}"
            yield _refusal("limit_price", what, "order.limit_price")

    def _price_collar(self, intent: OrderIntent, market: MarketFacts) -> Iterator[Refusal]:
        collar_bps = self.limits.price_collar_bps
        if collar_bps is None:
            return
        key, mid = "risk.price_collar_bps", market.mid_half_ticks
        if mid is None:
            what = f"no mid price to measure from, at most {collar_bps:g} bps beyond it is allowed"
            yield _refusal("price_collar", what, key)
            return
        # Only the costly side is bounded: a buy far below the mid risks nothing.
        beyond = intent.side * (2 * intent.price_ticks - mid)
        if beyond * 10_000 > collar_bps * mid:
            what = (
                f"{self._at(intent)} reaches {beyond * 1e4 / mid:.2f} bps beyond the mid"
                f" {self.instrument.tick * mid / 2:f}, at most {collar_bps:g} bps is allowed"
            )
            yield _refusal("price_collar", what, key)

    def _notional(self, intent: OrderIntent) -> Iterator[Refusal]:
        most_tl, total_tl = self.limits.max_notional_tl, intent.committed_tl + intent.value_tl
        if most_tl is not None and total_tl > most_tl:
            yield self._too_much(intent, self._money(total_tl), self._money(most_tl))
        most_lots, lots = self.limits.max_notional_lots, intent.committed_lots + intent.qty_lots
        if most_lots is not None and lots > most_lots:
            worth = self.instrument.quote_notional
            yield self._too_much(intent, worth(1, lots), worth(1, most_lots))

    def _too_much(self, intent: OrderIntent, value: Decimal, most: Decimal) -> Refusal:
        quote = self.instrument.quote
        what = f"order {intent.parent_id} would commit {value:f} {quote}, at most {most:f} {quote} is allowed"
        return _refusal("max_notional", what, "risk.max_notional")

    def _participation(self, intent: OrderIntent, market: MarketFacts) -> Iterator[Refusal]:
        tightest = tightest_cap(intent.participation_cap, self.limits.max_participation)
        if tightest is None or market.market_lots is None:
            return
        cap, key = tightest
        own_lots = intent.committed_lots + order_lots(intent.price_ticks, intent.qty_lots, intent.cap_tl)
        if own_lots > cap * market.market_lots:
            own, markets = self._quantity(own_lots), self._quantity(market.market_lots)
            what = f"{own} of our own volume against {markets} of the market, at most {cap:.3%} is allowed"
            yield _refusal("participation", what, key)

    def _order_rate(self, now_ns: int) -> Iterator[Refusal]:
        most = self.limits.max_orders_per_s
        if most is None:
            return
        recent = sum(1 for at_ns in self._sent_ns if at_ns > now_ns - NS_PER_S)
        if recent >= most:
            what = f"{recent} orders went out in the last second, at most {most} are allowed"
            yield _refusal("order_rate", what, "risk.max_orders_per_s")

    # --- in the units of people ---------------------------------------------------------------------

    def _at(self, intent: OrderIntent) -> str:
        return f"{intent.side.name.lower()} at {self._price(intent.price_ticks)}"

    def _price(self, ticks: int) -> str:
        return f"{self.instrument.price(ticks):f}"

    def _quantity(self, lots: int) -> str:
        return f"{self.instrument.quantity(lots):f} {self.instrument.unit}"

    def _money(self, tl: int) -> Decimal:
        return self.instrument.notional(tl)


def _refusal(rule: str, what: str, key: str) -> Refusal:
    return Refusal(rule, f"{what} ({key})", key)
