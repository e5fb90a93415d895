"""An order as it stands at its start: the limits, the facts, and what it is at the prices of now.

A marketable child's limit is ``tactics.reach_bps`` beyond the far touch, within the order's own limit; all of
the order is judged at that price, as its children will be (``agent.core.orders.order_value``).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from agent.core.instrument import Instrument
from agent.core.orders.order_value import least_lots, order_value, send_price_ticks
from agent.core.orders.venue_messages import VenueOrder
from agent.core.types import ParentSpec, Side, TargetKind, TimeInForce
from agent.durations import format_duration
from agent.engine.settings import RiskSettings, TacticSettings
from agent.engine.tactics.base_tactic import LOOKS
from agent.engine.tactics.tactic_registry import tactic_classes
from agent.venue.rules import VenueRules

LAST_CALLS = 3
"""Children at the end of an interval, for what those before have missed."""


@dataclass(frozen=True, slots=True)
class StartRules:
    """What an order is held against."""

    risk: RiskSettings
    tactics: TacticSettings
    venue: VenueRules
    max_volume_share: float | None  # of what is shown and expected to trade in the longest window


@dataclass(frozen=True, slots=True)
class StartFacts:
    """What the market shows at a start. ``touch``: (bid, ask), or 0, 0. None: unknown.

    ``shown_lots``: bid and ask, within ``DEPTH_BAND_BPS`` of the mid.
    """

    now_ns: int
    touch: tuple[int, int]
    expected_lots: float | None  # of trades, within the order's longest window
    shown_lots: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What stands in an order's way: it must fail (``fatal``), or it may. ``rule`` as in a refused child."""

    rule: str
    reason: str
    fatal: bool = True


@dataclass(frozen=True)
class OrderAtStart:
    """One order, its instrument, limits and facts. Prices are in ticks; a ``price`` of 0 is not known."""

    spec: ParentSpec
    instrument: Instrument
    rules: StartRules
    facts: StartFacts

    # --- prices -------------------------------------------------------------------------------------

    @cached_property
    def mid_half_ticks(self) -> int:
        return sum(self.facts.touch)

    @cached_property
    def price(self) -> int:
        """The limit that its marketable children have now."""
        spec, touch = self.spec, self.facts.touch
        if not touch[0]:
            return spec.limit_price_ticks or 0
        return send_price_ticks(spec.side, touch, self.rules.tactics.reach_bps, spec.limit_price_ticks)

    @property
    def best_price(self) -> int:
        """The price at which it has its least value: the market's, or its own limit."""
        mid, limit = self.mid_half_ticks // 2 or self.price, self.spec.limit_price_ticks
        if limit is None:
            return mid
        return min(mid, limit) if self.spec.side is Side.BUY else max(mid, limit)

    def beyond_mid_bps(self, price_ticks: int) -> float:
        """How far a price is on the costly side of the mid; below 0: on the other."""
        mid = self.mid_half_ticks
        return self.spec.side * (2 * price_ticks - mid) * 1e4 / mid

    # --- size ---------------------------------------------------------------------------------------

    @cached_property
    def cap_tl(self) -> int:
        """What bounds its money; 0: its quantity is what is bounded."""
        return self.spec.target if self.spec.target_kind is TargetKind.NOTIONAL else 0

    @cached_property
    def lots(self) -> int:
        """Its quantity at ``price``; where that is not known, 0 for an order of money."""
        if not self.cap_tl:
            return self.spec.target
        return self.cap_tl // self.price if self.price else 0

    @property
    def least_lots(self) -> int:
        """The exchange's least order."""
        return least_lots(self.instrument, self.price) if self.price else self.instrument.min_lots

    def value(self, price_ticks: int) -> Decimal:
        return order_value(self.instrument, price_ticks, self.spec.target, self.cap_tl)

    def as_one(self) -> VenueOrder:
        """All of it as one child of the real lane: what it would set aside is what all of it may cost."""
        spec = self.spec
        lots = max(1, self.lots)
        return VenueOrder(0, 0, spec.instrument, spec.side, TimeInForce.IOC, self.price, lots, self.cap_tl)

    # --- its children -------------------------------------------------------------------------------

    @cached_property
    def rests(self) -> bool:
        """Whether its tactic has orders that rest, which reach beyond no touch."""
        return tactic_classes()[self.spec.tactic].rests

    @property
    def even_children(self) -> int:
        """Children of a plan that nothing disturbs."""
        return self.spec.max_intervals * (1 if self.rests else self.rules.tactics.micro_slices)

    @property
    def most_children(self) -> int:
        """No tactic sends more within the window."""
        looks = self.spec.interval_ns // self.rules.tactics.repeg_ns if self.rests else 0
        an_interval = max(looks, self.rules.tactics.micro_slices, LOOKS)
        return self.spec.max_intervals * (an_interval + LAST_CALLS)

    # --- in words -----------------------------------------------------------------------------------

    @property
    def window(self) -> str:
        return format_duration(self.spec.max_duration_ns)

    def quantity(self, lots: int) -> str:
        return f"{self.instrument.quantity(lots):f} {self.instrument.unit}"

    def money(self, ticks: int) -> str:
        """A price, as people write it."""
        return f"{self.instrument.price(ticks):f}"
