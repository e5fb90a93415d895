"""Risk: the gate every child order passes on its way out. A refusal says which rule, and why.

A rule whose limit is None is off. The gate is deterministic: it knows engine time only, and its whole
state is the kill flag and the send times of the last second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from agent.core.types import NS_PER_MS, NS_PER_S, Side


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
    """A child order that wants out. ``committed_*`` is what its parent has filled or in flight already."""

    parent_id: str
    side: Side
    qty_lots: int
    price_ticks: int
    committed_lots: int = 0
    committed_tl: int = 0
    limit_price_ticks: int | None = None  # the parent's own limit
    participation_cap: float | None = None  # the parent's own cap


@dataclass(frozen=True, slots=True)
class MarketFacts:
    """What the market shows now.

    ``market_lots`` is the volume the parent's participation is measured against: what has traded since
    its start. None: nothing is known, and participation cannot be judged.
    """

    mid_half_ticks: int | None
    book_ns: int | None  # engine time of the last book update
    market_lots: int | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    rule: str
    reason: str


@dataclass(slots=True)
class RiskGate:
    """Checks intents against the limits, in a fixed order; the first rule broken answers."""

    limits: RiskLimits
    killed: bool = False
    _sent_ns: deque[int] = field(default_factory=deque)

    def check(self, intent: OrderIntent, market: MarketFacts, now_ns: int) -> Refusal | None:
        """Return why ``intent`` may not go out, or None. Changes nothing: call ``sent`` for what went."""
        return next(self._refusals(intent, market, now_ns), None)

    def sent(self, now_ns: int) -> None:
        """Count an order that went out at ``now_ns`` towards the order rate."""
        while self._sent_ns and self._sent_ns[0] <= now_ns - NS_PER_S:
            self._sent_ns.popleft()
        self._sent_ns.append(now_ns)

    def _refusals(self, intent: OrderIntent, market: MarketFacts, now_ns: int) -> Iterator[Refusal]:
        if self.killed:
            yield Refusal("kill_switch", "the kill switch is on: no order goes out until a new run")
        if intent.qty_lots <= 0 or intent.price_ticks <= 0:
            yield Refusal(
                "order_size",
                f"{intent.qty_lots} lots at {intent.price_ticks} ticks: both must be positive",
            )
        yield from self._child_size(intent)
        yield from self._stale_book(market, now_ns)
        yield from self._limit_price(intent)
        yield from self._price_collar(intent, market)
        yield from self._notional(intent)
        yield from self._participation(intent, market)
        yield from self._order_rate(now_ns)

    def _child_size(self, intent: OrderIntent) -> Iterator[Refusal]:
        most = self.limits.max_child_lots
        if most is not None and intent.qty_lots > most:
            yield Refusal("child_size", f"{intent.qty_lots} lots in one order: at most {most} are allowed")

    def _stale_book(self, market: MarketFacts, now_ns: int) -> Iterator[Refusal]:
        most_ns = self.limits.stale_book_ns
        if most_ns is None:
            return
        if market.book_ns is None:
            yield Refusal("stale_book", "no book has been seen yet: orders wait for the first")
        elif now_ns - market.book_ns > most_ns:
            age_ms, most_ms = (now_ns - market.book_ns) / NS_PER_MS, most_ns / NS_PER_MS
            yield Refusal(
                "stale_book", f"the book is {age_ms:.0f} ms old: at most {most_ms:.0f} ms is allowed"
            )

    def _limit_price(self, intent: OrderIntent) -> Iterator[Refusal]:
        limit = intent.limit_price_ticks
        if limit is not None and intent.side * (intent.price_ticks - limit) > 0:
            yield Refusal(
                "limit_price",
                f"{intent.side.name.lower()} at {intent.price_ticks} ticks is beyond"
                f" the parent's limit {limit}",
            )

    def _price_collar(self, intent: OrderIntent, market: MarketFacts) -> Iterator[Refusal]:
        collar_bps = self.limits.price_collar_bps
        if collar_bps is None:
            return
        if market.mid_half_ticks is None:
            yield Refusal(
                "price_collar", "no mid price to measure the collar against: orders wait for a book"
            )
            return
        # Only the costly side is bounded: a buy far below the mid risks nothing.
        beyond = intent.side * (2 * intent.price_ticks - market.mid_half_ticks)
        if beyond * 10_000 > collar_bps * market.mid_half_ticks:
            yield Refusal(
                "price_collar",
                f"{intent.side.name.lower()} at {intent.price_ticks} ticks reaches"
                f" {beyond * 1e4 / market.mid_half_ticks:.2f} bps beyond the mid"
                f" {market.mid_half_ticks / 2:g}: at most {collar_bps:g} bps is allowed",
            )

    def _notional(self, intent: OrderIntent) -> Iterator[Refusal]:
        most_tl = self.limits.max_notional_tl
        total_tl = intent.committed_tl + intent.qty_lots * intent.price_ticks
        if most_tl is not None and total_tl > most_tl:
            yield Refusal(
                "max_notional",
                f"parent {intent.parent_id} would commit {total_tl} ticks x lots:"
                f" at most {most_tl} are allowed",
            )
        most_lots, lots = self.limits.max_notional_lots, intent.committed_lots + intent.qty_lots
        if most_lots is not None and lots > most_lots:
            yield Refusal(
                "max_notional",
                f"parent {intent.parent_id} would commit {lots} lots of an inverse contract:"
                f" at most {most_lots} are allowed",
            )

    def _participation(self, intent: OrderIntent, market: MarketFacts) -> Iterator[Refusal]:
        caps = [c for c in (self.limits.max_participation, intent.participation_cap) if c is not None]
        if not caps or market.market_lots is None:
            return
        own_lots = intent.committed_lots + intent.qty_lots
        if own_lots > min(caps) * market.market_lots:
            yield Refusal(
                "participation",
                f"{own_lots} lots of own volume against {market.market_lots} of the market:"
                f" at most a share of {min(caps):g} is allowed",
            )

    def _order_rate(self, now_ns: int) -> Iterator[Refusal]:
        most = self.limits.max_orders_per_s
        if most is None:
            return
        recent = sum(1 for at_ns in self._sent_ns if at_ns > now_ns - NS_PER_S)
        if recent >= most:
            yield Refusal(
                "order_rate", f"{recent} orders went out in the last second: at most {most} are allowed"
            )
