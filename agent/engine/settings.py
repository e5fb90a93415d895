"""What the engine is set to. ``agent.config`` holds the defaults, the composition root hands them over.

No setting has a default here, so none can be forgotten or differ from the configured one.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from agent.core.orders.together import TogetherLimits


@dataclass(frozen=True, slots=True)
class RiskSettings:
    """Limits that hold for every order, and for all together. Money is in the quote currency.

    None switches a rule off.
    """

    max_notional: Decimal | None
    max_participation: float | None
    price_collar_bps: float | None
    max_child_quantity: Decimal | None  # in the base currency
    max_orders_per_s: int | None
    stale_book_ns: int | None
    together: TogetherLimits


@dataclass(frozen=True, slots=True)
class TacticSettings:
    """How a slice becomes child orders inside its interval."""

    micro_slices: int
    reach_bps: float  # how far beyond the far touch a marketable order may walk
    repeg_ns: int
    cross_share: float  # the last part of the interval, in which what is left is crossed
    repeg_by_amend: bool  # move a pegged order by an amendment instead of cancel and new


@dataclass(frozen=True, slots=True)
class EngineSettings:
    risk: RiskSettings
    tactics: TacticSettings
    decision_latency_ns: int
    history_bars: int  # bars shown to an algo before an order's first interval
    settle_ns: int  # how long late trades are waited for before a measurement
    noted_share: float | None = None  # own share of the market's volume that a measurement remarks on
