"""What the engine is told about itself; built from the configuration by the composition root."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from agent.core.types import NS_PER_MS, NS_PER_S

MARKOUT_S = (1, 10, 60)


@dataclass(frozen=True, slots=True)
class RiskSettings:
    """Limits that hold for every order. Money is in the quote currency. None switches a rule off."""

    max_notional: Decimal | None = None
    max_participation: float | None = None
    price_collar_bps: float | None = 100.0
    max_child_quantity: Decimal | None = None  # in the base currency
    max_orders_per_s: int | None = 20
    stale_book_ns: int | None = 5 * NS_PER_S


@dataclass(frozen=True, slots=True)
class TacticSettings:
    """How a slice becomes child orders inside its interval."""

    micro_slices: int = 5
    reach_bps: float = 10.0  # how far beyond the far touch a marketable order may walk
    repeg_ns: int = NS_PER_S
    cross_share: float = 0.15  # the last part of the interval, in which what is left is crossed
    repeg_by_amend: bool = False  # move a pegged order by an amendment instead of cancel and new


@dataclass(frozen=True, slots=True)
class EngineSettings:
    risk: RiskSettings
    tactics: TacticSettings
    decision_latency_ns: int = 50 * NS_PER_MS
    history_bars: int = 312  # bars shown to an algo before an order's first interval
    settle_ns: int = NS_PER_S  # how long late trades are waited for before a measurement
