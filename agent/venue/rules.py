"""How the paper venue behaves: one frozen record, built from the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from agent.venue.fees import Fees
from agent.venue.impact import ImpactLaw
from agent.venue.kernel.state import SHOWN
from agent.venue.wire.latency import Latencies
from agent.venue.wire.rehearsal import Rehearsal

QUIET = Rehearsal()
SelfTrade = Literal["cancel_newest", "allow"]


@dataclass(frozen=True, slots=True)
class Halt:
    """No new order from ``start_ns`` to before ``end_ns`` (engine time); ``symbol`` "" means every one."""

    start_ns: int
    end_ns: int
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class VenueRules:
    """``price_band_bps`` refuses limits too far from the mid, either side. None switches a rule off."""

    latencies: Latencies
    fees: Fees
    balances: Mapping[str, Decimal]
    price_band_bps: float
    near_gap_ns: int
    seed: int
    impact: Mapping[str, ImpactLaw] | None = None  # by symbol; None: our own flow moves nothing
    price_protection_bps: float | None = None  # how far from the far touch a walk may go
    self_trade: SelfTrade = "cancel_newest"
    max_quantity: Decimal | None = None  # of one order, base currency
    max_open_orders: int | None = None  # resting at once, per symbol
    halts: tuple[Halt, ...] = ()
    max_book_age_ns: int | None = None  # a marketable order is refused on an older book or near a gap
    marked_age_ns: int | None = None  # a fill on an older book is marked in its price model
    amend_keeps_queue: bool = True  # a resting order made smaller in place keeps its place in the queue
    rehearsal: Rehearsal = QUIET


@dataclass(frozen=True, slots=True)
class BarRules:
    """How fills are modelled. ``max_participation`` is of one bar's volume, by all orders of a lane."""

    half_spread_bps: Fraction
    max_participation: Fraction
    reach_bps: Fraction  # no fill in a bar whose VWAP is further than this from the last close
    of: Literal["bars", "trades"] = "bars"  # what the session holds, of which the bars are


@dataclass(frozen=True, slots=True)
class VenueSetup:
    """What a paper venue and its market are made of. ``bars``: of a session that holds bars and no tape."""

    rules: VenueRules
    queue_model: int
    queue_power: float
    bars: BarRules | None = None
    reach: int = SHOWN
