"""What goes into the engine besides the tape (commands, imperative) and what comes out (past tense).

The engine's output is a stream of the events below; storage, the terminal, shadows' scorecards and
the digest are views that fold it. ``at_ns`` is engine time and ``seq`` the input that caused it.
Money is in integers: ``*_tl`` ticks x lots, ``fee_tlp`` ticks x lots x parts per million (what they are
for inverse contracts says ``agent.core.money``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from agent.core.orders.venue_messages import Report
from agent.core.types import ChildState, OrderView, ParentSpec, ParentState, Side, TimeInForce

# --- commands: inputs that are not market data ------------------------------------------------


class CommandKind(StrEnum):
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    AMEND = "amend"
    KILL = "kill"  # of all: every parent is cancelled and no order goes out any more; of one: of that one


@dataclass(frozen=True, slots=True)
class StartParent:
    """Work ``spec`` for real, and each of ``shadows`` through a venue lane of its own."""

    recv_ns: int
    seq: int
    spec: ParentSpec
    shadows: tuple[ParentSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class ControlParent:
    """A user's command. ``parent_id`` None means every working parent."""

    recv_ns: int
    seq: int
    kind: CommandKind
    parent_id: str | None = None
    command_id: str = ""
    amend: Mapping[str, int | float | str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VenueReported:
    """A report of a venue outside, which nobody can compute again. Stamped at the ingest point."""

    recv_ns: int
    seq: int
    report: Report


@dataclass(frozen=True, slots=True)
class AbandonParents:
    """The run died at this moment, and nobody worked on: orders expire, what was in flight is void."""

    recv_ns: int
    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class SkipTime:
    """Nothing was done from ``from_ns`` to ``to_ns``: the process was dead, or stood still.

    What was due then does not happen; what rested on paper, or was on its way there, is void. Orders go on
    with the interval that the time ended in. ``unworkable``: by symbol, why its orders cannot go on.
    """

    recv_ns: int
    seq: int
    from_ns: int
    to_ns: int
    cause: str  # as in "the agent was not running"
    unworkable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resumed:
    """How a session went on: the time that was lost, and the trades of it that were fetched."""

    from_ns: int
    to_ns: int
    missed_trades: int
    parents: int  # that were not done


Command = StartParent | ControlParent | VenueReported | AbandonParents | SkipTime

# --- events: what the engine did ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ParentChanged:
    """A parent (or shadow) entered ``state``, or its progress moved. Carries the whole row."""

    at_ns: int
    seq: int
    spec: ParentSpec
    state: ParentState
    reason: str
    submitted_ns: int
    started_ns: int | None
    ended_ns: int | None
    filled_lots: int
    filled_tl: int
    fee_tlp: int
    decision_mid_half_ticks: int | None
    arrival_mid_half_ticks: int | None


@dataclass(frozen=True, slots=True)
class DecisionTaken:
    """What an algo saw at ``asked_ns``, and what was done with its answer at ``at_ns``."""

    at_ns: int
    seq: int
    decision_id: str  # parent id / interval number
    parent_id: str
    interval: int
    asked_ns: int
    algo: str  # the one that acted: the fallback, when the order's own was late
    view: OrderView
    market_close: float
    market_mid: float
    share: float  # as answered
    finish: bool
    finish_probability: float | None
    slice_share: float  # after projection on bounds, caps and limits
    slice_lots: int
    finishing: bool  # the interval finishes the order
    reason: str
    overrun: bool
    model: str | None
    history_bars: int | None
    importances: Mapping[str, float]
    attention: Mapping[int, float] = field(default_factory=dict)  # as in ``Slice``
    turns_at_bps: float | None = None
    latency_ns: int | None = None  # measured, live only; left out of the digest
    bars_seen: int | None = None  # as in ``Slice``

    @property
    def full_reason(self) -> str:
        """The reason for people: of a model's, with how far back its bars look, and how few they are."""
        bars, seen = self.history_bars, self.bars_seen
        if bars is None or seen is None:
            return self.reason
        return self.reason + history_clause(bars, seen)


FEW_BARS = 20
"""With fewer, an estimated volatility is off by more than a sixth: one part in the root of twice the bars."""


def history_clause(bars: int, seen: int) -> str:
    """What follows "120 bars of history": ", and 192 before them for their features", or nothing."""
    clause = f", and {seen - bars} before them for their features" if seen > bars else ""
    return f"{clause}: so few that any sigma is a guess" if bars < FEW_BARS else clause


@dataclass(frozen=True, slots=True)
class ChildChanged:
    """A child order entered ``state``. Carries the whole row."""

    at_ns: int
    seq: int
    child_id: str
    parent_id: str
    interval: int
    instrument: int
    side: Side
    tif: TimeInForce
    price_ticks: int
    qty_lots: int
    state: ChildState
    filled_lots: int
    filled_tl: int
    sent_ns: int
    sent_mid_half_ticks: int
    far_touch_ticks: int
    reason: str


@dataclass(frozen=True, slots=True)
class ChildFilled:
    """One fill, as reported at ``at_ns``; ``fill_ns`` is when the venue matched it (our clock)."""

    at_ns: int
    seq: int
    fill_id: str  # child id / fill number
    child_id: str
    parent_id: str
    instrument: int
    side: Side
    price_ticks: int
    qty_lots: int
    fee_tlp: int
    fee_currency: str
    maker: bool
    fill_ns: int
    mid_half_ticks: int  # at the fill
    book_age_ns: int
    near_gap: bool
    price_model: str  # which model priced it: "book_walk", "book_walk+impact", "queue:...+stale_book", ...
    impact_ticks: int | None = None  # of the price, what the impact model added to the book's; None: no model
    displacement_half_ticks: int | None = None  # how far our own flow had moved the mid, by the model
    fee_amount: Decimal | None = None  # in ``fee_currency``; None where that is the quote currency


@dataclass(frozen=True, slots=True)
class RiskRefused:
    """An order that risk did not let out, and why."""

    at_ns: int
    seq: int
    parent_id: str
    interval: int
    side: Side
    qty_lots: int
    price_ticks: int
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class CommandHandled:
    at_ns: int
    seq: int
    command_id: str
    kind: CommandKind
    parent_id: str | None
    outcome: str  # ``carried_out`` says whether it is one
    parents: tuple[str, ...] = ()  # orders it was carried out on, shadows left out


DONE = "done"
KILLED = "no order goes out any more"
NOTHING = "no working parent"


def carried_out(outcome: str, parent_id: str | None) -> bool:
    """Whether an outcome says that the command was carried out on all it addressed: on nothing, where
    nothing works and no parent was named."""
    nothing = parent_id is None and outcome == NOTHING
    return nothing or outcome == DONE or outcome.endswith(KILLED)


@dataclass(frozen=True, slots=True)
class GapSeen:
    """A gap or a silence began (``ended`` False) or ended, ``lost`` events never recovered."""

    at_ns: int
    seq: int
    instrument: int
    stream: str  # as ``agent.core.market.tape.interruption`` names it
    ended: bool
    lost: int


@dataclass(frozen=True, slots=True)
class SlippageMeasured:
    """The TCA of one finished parent or shadow against one benchmark. Money is exact, as strings.

    Terms and signs: gains positive are good; slippage and shortfall positive are cost.
    """

    at_ns: int
    seq: int
    parent_id: str
    shadow_of: str | None
    algo: str
    benchmark: str  # "vwap" | "twap" | "twap_mid"
    own_benchmark: bool  # the one the order was given
    used_price: float  # the benchmark over the used window
    full_price: float | None  # over the full window; None until the tape has shown it
    avg_price: float
    arrival_price: float
    gain_bps: float
    full_gain_bps: float | None
    arrival_slippage_bps: float
    participation_rate: float
    measures: Mapping[str, float | str | None] = field(default_factory=dict)  # the other rows of the TCA
    flags: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Measure (a member above or a key of ``measures``) -> ``data_faults.Fault`` -> share of its window."""
    reasons: Mapping[str, str] = field(default_factory=dict)  # measure that is not known -> why


AuditEvent = (
    ParentChanged
    | DecisionTaken
    | ChildChanged
    | ChildFilled
    | RiskRefused
    | CommandHandled
    | GapSeen
    | SlippageMeasured
)
