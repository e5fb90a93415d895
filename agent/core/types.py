"""The vocabulary of the core: sides, targets, states, and what an algo sees and answers.

Units are in the names: ``_ns`` nanoseconds UTC, ``_ticks`` price in ticks, ``_lots`` quantity in
lots, ``_tl`` money in ticks x lots (of inverse contracts: ``agent.core.money``), ``_bps`` basis points.
Names without a unit (``price``, ``volume``) are floats in quote and base units, used in features, models and
analytics only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from agent.core.market.bars import FBarArray
from agent.core.market.tape import BarArray
from agent.core.orders.order_defaults import (
    DEFAULT_ALIGN,
    DEFAULT_MAX_RATE,
    DEFAULT_MIN_RATE,
    DEFAULT_RISK_AVERSION,
    DEFAULT_TACTIC,
)

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
DAY_NS = 86_400 * NS_PER_S


class Side(IntEnum):
    """The ``s`` of every formula: +1 buy, -1 sell."""

    BUY = 1
    SELL = -1


class TargetKind(StrEnum):
    QUANTITY = "quantity"
    NOTIONAL = "notional"


class BenchmarkKind(StrEnum):
    VWAP = "vwap"
    TWAP = "twap"


class Align(StrEnum):
    NONE = "none"  # intervals start at the parent's own start
    GRID = "grid"  # ... at the next multiple of the interval


class ParentState(StrEnum):
    PENDING = "pending"
    WORKING = "working"
    PAUSED = "paused"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    FAILED = "failed"


class ChildState(StrEnum):
    PENDING_NEW = "pending_new"
    OPEN = "open"
    PARTIALLY_FILLED = "partially_filled"
    PENDING_AMEND = "pending_amend"
    PENDING_CANCEL = "pending_cancel"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"


class TimeInForce(StrEnum):
    IOC = "ioc"  # what is offered at once, no more
    FOK = "fok"  # all at once or nothing
    GTC = "gtc"
    GTD = "gtd"  # until a stated time
    POST_ONLY = "post_only"


_ALIGN = Align(DEFAULT_ALIGN)


@dataclass(frozen=True, slots=True)
class ParentSpec:
    """A parent order as accepted: what to trade, against which benchmark, by when.

    ``target`` is in lots (quantity) or ticks x lots (notional). Rates are shares of the whole order
    per interval. Durations are multiples of ``interval_ns``.
    """

    parent_id: str
    instrument: int
    symbol: str
    side: Side
    target_kind: TargetKind
    target: int
    benchmark: BenchmarkKind
    interval_ns: int
    min_duration_ns: int
    max_duration_ns: int
    algo: str
    tactic: str = DEFAULT_TACTIC
    limit_price_ticks: int | None = None
    participation_cap: float | None = None
    min_rate: float = DEFAULT_MIN_RATE
    max_rate: float = DEFAULT_MAX_RATE
    risk_aversion: float = DEFAULT_RISK_AVERSION
    align: Align = _ALIGN
    algo_params: Mapping[str, float] = field(default_factory=dict)
    shadow_of: str | None = None

    @property
    def min_intervals(self) -> int:
        """``m``: the order may not be complete before this many intervals."""
        return self.min_duration_ns // self.interval_ns

    @property
    def max_intervals(self) -> int:
        """``n``: the order must be complete after this many intervals."""
        return self.max_duration_ns // self.interval_ns


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order's own past and bounds at the start of interval ``t``: all an algo may know of it.

    Shares are of the whole target. Prices are floats in quote currency, NaN where there is none yet.
    """

    side: Side
    target_kind: TargetKind
    benchmark: BenchmarkKind
    t: int  # index of the interval about to start, 0 <= t < n
    m: int  # min duration in intervals
    n: int  # max duration in intervals
    interval_ns: int
    start_ns: int
    remaining: float  # share neither filled nor on its way to be, in [0, 1]
    lot_share: float  # one lot as a share of the target, at the mid for a notional order
    least_share: float  # the smallest child an exchange takes, as a share of the target
    min_rate: float
    max_rate: float
    achieved_price: float  # average fill price so far
    benchmark_price: float  # the running benchmark over intervals 0 .. t-1
    arrival_price: float  # mid at the order's start
    own_volume_share: float  # filled / market volume since the start; 0 before the first
    expected_participation: float  # the order / the market volume expected over n intervals
    risk_aversion: float
    finishing: bool = False  # finish was decided in an earlier interval and is sticky
    params: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MarketView:
    """What the market has shown by ``now_ns`` at the order's interval and phase.

    ``bars`` ends with the interval that ends at ``now_ns``; its last ``t`` rows are the order's own
    intervals. ``klines`` is coarser history where the exchange gave some, for volume profiles.
    """

    now_ns: int
    delta_ns: int
    bars: FBarArray
    mid: float  # NaN without a book
    spread: float
    klines: BarArray | None = None
    lot: float = 0.0  # one lot in base units


@dataclass(frozen=True, slots=True)
class Slice:
    """An algo's answer for one interval: share of the whole order to trade, and whether it ends here.

    The engine projects ``share`` on what bounds, caps and limits allow; an algo need not.
    """

    share: float
    finish: bool
    finish_probability: float | None = None
    reason: str = ""  # a sentence, for the terminal and the log
    model: str | None = None  # digest of the checkpoint that answered
    history_bars: int | None = None  # bars of history the answer is based on
    importances: Mapping[str, float] = field(default_factory=dict)  # feature -> weight, main ones
    attention: Mapping[int, float] = field(default_factory=dict)  # age in bars, 0 newest -> weight, main ones
    turns_at_bps: float | None = None  # nearest move of the last price that alone changes ``finish``
    latency_ns: int | None = None  # measured, live only; never part of a digest
    bars_seen: int | None = (
        None  # those of ``history_bars``, and those before that their features look back on
    )
