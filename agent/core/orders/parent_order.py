"""Parent orders: one transition table, and the progress of the order that moves through it.

Rules kept here:

* filled never exceeds the target: lots of a quantity, ticks x lots of a notional;
* an order is complete to the lot (quantity) or to within one lot's value (notional);
* a fill that arrives after the order has ended still counts, because it happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from agent.core.errors import InternalError, TransitionError
from agent.core.events import ParentChanged
from agent.core.money import average_ticks, value_tl
from agent.core.types import ParentSpec, ParentState, TargetKind


class ParentEvent(StrEnum):
    """What can happen to a parent order once accepted (it is born ``pending``)."""

    STARTED = "started"
    PAUSED = "paused"
    RESUMED = "resumed"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    FAILED = "failed"


TERMINAL = frozenset({ParentState.COMPLETED, ParentState.EXPIRED, ParentState.CANCELLED, ParentState.FAILED})

_S, _E = ParentState, ParentEvent

TRANSITIONS: dict[tuple[ParentState, ParentEvent], ParentState] = {
    (_S.PENDING, _E.STARTED): _S.WORKING,
    (_S.PENDING, _E.EXPIRED): _S.EXPIRED,  # no book came before its time ran out
    (_S.PENDING, _E.CANCELLED): _S.CANCELLED,
    (_S.PENDING, _E.FAILED): _S.FAILED,
    (_S.WORKING, _E.PAUSED): _S.PAUSED,
    (_S.WORKING, _E.COMPLETED): _S.COMPLETED,
    (_S.WORKING, _E.EXPIRED): _S.EXPIRED,
    (_S.WORKING, _E.CANCELLED): _S.CANCELLED,
    (_S.WORKING, _E.FAILED): _S.FAILED,
    (_S.PAUSED, _E.RESUMED): _S.WORKING,
    (_S.PAUSED, _E.COMPLETED): _S.COMPLETED,  # a fill that was in flight can complete a paused order
    (_S.PAUSED, _E.EXPIRED): _S.EXPIRED,
    (_S.PAUSED, _E.CANCELLED): _S.CANCELLED,
    (_S.PAUSED, _E.FAILED): _S.FAILED,
}


def allowed(state: ParentState, event: ParentEvent) -> bool:
    """Say whether the table has a row: for commands of users, which must not raise."""
    return (state, event) in TRANSITIONS


def transition(state: ParentState, event: ParentEvent) -> ParentState:
    """Return the state after ``event``. Raises TransitionError when the table has no such row."""
    after = TRANSITIONS.get((state, event))
    if after is None:
        legal = ", ".join(e for s, e in TRANSITIONS if s is state) or "nothing, it is final"
        raise TransitionError(f"parent order in state {state} cannot take event {event}: it takes {legal}")
    return after


@dataclass(slots=True)
class ParentOrder:
    """A parent order and how far it is. Money is ticks x lots; mids are half ticks, None until seen."""

    spec: ParentSpec
    submitted_ns: int
    inverse: bool = False  # what its money is counted in: ``agent.core.money``
    state: ParentState = ParentState.PENDING
    started_ns: int | None = None
    ended_ns: int | None = None
    filled_lots: int = 0
    filled_tl: int = 0
    fee_tlp: int = 0
    last_price_ticks: int | None = None  # of the last fill
    decision_mid_half_ticks: int | None = None
    arrival_mid_half_ticks: int | None = None
    finishing: bool = False
    children: int = 0
    decisions: int = 0

    @property
    def done(self) -> bool:
        return self.state in TERMINAL

    @property
    def filled(self) -> int:
        """What is filled, in the target's unit: lots or ticks x lots."""
        return self.filled_lots if self.spec.target_kind is TargetKind.QUANTITY else self.filled_tl

    @property
    def remaining(self) -> int:
        """What is not, in the same unit."""
        return self.spec.target - self.filled

    @property
    def remaining_share(self) -> float:
        return self.remaining / self.spec.target

    @property
    def complete(self) -> bool:
        """Filled to the lot (quantity), or short by less than one lot at the last fill's price (notional)."""
        if self.spec.target_kind is TargetKind.QUANTITY:
            return self.remaining == 0
        return self.last_price_ticks is not None and self.remaining < self.last_price_ticks

    @property
    def avg_price_ticks(self) -> Fraction | None:
        """Average fill price, exact; None before the first fill."""
        if not self.filled_lots:
            return None
        return average_ticks(self.filled_tl, self.filled_lots, inverse=self.inverse)

    def remaining_lots(self, price_ticks: int) -> int:
        """Return the whole lots left, at ``price_ticks`` for a notional order."""
        if self.spec.target_kind is TargetKind.QUANTITY:
            return self.remaining
        return self.remaining // price_ticks

    def apply(self, event: ParentEvent, at_ns: int) -> None:
        """Take an event, stamping start and end. Raises TransitionError on an illegal one."""
        self.state = transition(self.state, event)
        if event is ParentEvent.STARTED:
            self.started_ns = at_ns
        if self.done:
            self.ended_ns = at_ns

    def apply_fill(self, lots: int, price_ticks: int, fee_tlp: int = 0) -> None:
        """Add a fill. Raises InternalError when it is empty, early, or would exceed the target."""
        if lots <= 0 or price_ticks <= 0 or self.state is ParentState.PENDING:
            raise InternalError(
                f"fill of {lots} lots at {price_ticks} ticks on {self.spec.parent_id} ({self.state}):"
                " fills are positive and follow the start"
            )
        value = value_tl(price_ticks, lots, inverse=self.inverse)
        added = lots if self.spec.target_kind is TargetKind.QUANTITY else value
        if added > self.remaining:
            raise InternalError(
                f"fill of {lots} lots at {price_ticks} ticks takes {self.spec.parent_id} over its"
                f" {self.spec.target_kind} target {self.spec.target}: {self.remaining} are left"
            )
        self.filled_lots += lots
        self.filled_tl += value
        self.fee_tlp += fee_tlp
        self.last_price_ticks = price_ticks

    def changed(self, at_ns: int, seq: int, reason: str = "") -> ParentChanged:
        """Return the row as an event of the engine's output."""
        return ParentChanged(
            at_ns=at_ns,
            seq=seq,
            spec=self.spec,
            state=self.state,
            reason=reason,
            submitted_ns=self.submitted_ns,
            started_ns=self.started_ns,
            ended_ns=self.ended_ns,
            filled_lots=self.filled_lots,
            filled_tl=self.filled_tl,
            fee_tlp=self.fee_tlp,
            decision_mid_half_ticks=self.decision_mid_half_ticks,
            arrival_mid_half_ticks=self.arrival_mid_half_ticks,
        )
