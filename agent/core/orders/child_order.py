"""Child orders: one transition table, and the row that moves through it.

Rules kept here:

* a missing row of the table raises: no order is ever silently in a state it cannot be in;
* what is in flight is a state (``pending_new``, ``pending_amend``, ``pending_cancel``), so reports may cross
  on the wire: a fill before the acknowledgement, a fill after a cancel or an amendment was sent, a cancel
  after an amendment and an answer that comes after the order has ended are all legal;
* terminal states absorb, and a fill after one of them raises: quantity would appear from nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.core.errors import InternalError, TransitionError
from agent.core.events import ChildChanged
from agent.core.money import value_tl
from agent.core.types import ChildState, Side, TimeInForce


class ChildEvent(StrEnum):
    """What can happen to a child order once it is on its way (it is born ``pending_new``)."""

    ACKNOWLEDGED = "acknowledged"
    PARTIAL_FILL = "partial_fill"
    FULL_FILL = "full_fill"
    CANCEL_SENT = "cancel_sent"
    CANCELLED = "cancelled"
    CANCEL_REJECTED = "cancel_rejected"  # nothing was filled before: the order rests on
    CANCEL_REJECTED_AFTER_FILL = "cancel_rejected_after_fill"
    AMEND_SENT = "amend_sent"
    AMENDED = "amended"
    AMENDED_AFTER_FILL = "amended_after_fill"
    AMENDED_TO_FILLED = "amended_to_filled"  # to no more than is filled already: nothing is left
    AMEND_REJECTED = "amend_rejected"  # the order stands as it was
    AMEND_REJECTED_AFTER_FILL = "amend_rejected_after_fill"
    REJECTED = "rejected"
    EXPIRED = "expired"


AFTER_FILL = {
    ChildEvent.CANCEL_REJECTED: ChildEvent.CANCEL_REJECTED_AFTER_FILL,
    ChildEvent.AMENDED: ChildEvent.AMENDED_AFTER_FILL,
    ChildEvent.AMEND_REJECTED: ChildEvent.AMEND_REJECTED_AFTER_FILL,
}
"""What an answer is called when something was filled before: the order goes back to another state."""
BEFORE_FILL = {after: before for before, after in AFTER_FILL.items()}

TERMINAL = frozenset({ChildState.FILLED, ChildState.CANCELLED, ChildState.REJECTED, ChildState.EXPIRED})

_S, _E = ChildState, ChildEvent

TRANSITIONS: dict[tuple[ChildState, ChildEvent], ChildState] = {
    (_S.PENDING_NEW, _E.ACKNOWLEDGED): _S.OPEN,
    (_S.PENDING_NEW, _E.PARTIAL_FILL): _S.PARTIALLY_FILLED,
    (_S.PENDING_NEW, _E.FULL_FILL): _S.FILLED,
    (_S.PENDING_NEW, _E.CANCEL_SENT): _S.PENDING_CANCEL,
    (_S.PENDING_NEW, _E.CANCELLED): _S.CANCELLED,
    (_S.PENDING_NEW, _E.REJECTED): _S.REJECTED,
    (_S.PENDING_NEW, _E.EXPIRED): _S.EXPIRED,
    (_S.OPEN, _E.ACKNOWLEDGED): _S.OPEN,  # a cancel was refused before the acknowledgement came
    (_S.OPEN, _E.PARTIAL_FILL): _S.PARTIALLY_FILLED,
    (_S.OPEN, _E.FULL_FILL): _S.FILLED,
    (_S.OPEN, _E.CANCEL_SENT): _S.PENDING_CANCEL,
    (_S.OPEN, _E.AMEND_SENT): _S.PENDING_AMEND,
    (_S.OPEN, _E.AMEND_REJECTED): _S.OPEN,  # a cancel after it was refused first
    (_S.OPEN, _E.REJECTED): _S.REJECTED,  # a cancel overtook the order, and was refused before it
    (_S.OPEN, _E.CANCELLED): _S.CANCELLED,  # venues cancel unasked, too
    (_S.OPEN, _E.EXPIRED): _S.EXPIRED,
    (_S.PARTIALLY_FILLED, _E.ACKNOWLEDGED): _S.PARTIALLY_FILLED,
    (_S.PARTIALLY_FILLED, _E.PARTIAL_FILL): _S.PARTIALLY_FILLED,
    (_S.PARTIALLY_FILLED, _E.FULL_FILL): _S.FILLED,
    (_S.PARTIALLY_FILLED, _E.CANCEL_SENT): _S.PENDING_CANCEL,
    (_S.PARTIALLY_FILLED, _E.AMEND_SENT): _S.PENDING_AMEND,
    (_S.PARTIALLY_FILLED, _E.AMEND_REJECTED_AFTER_FILL): _S.PARTIALLY_FILLED,
    (_S.PARTIALLY_FILLED, _E.CANCELLED): _S.CANCELLED,
    (_S.PARTIALLY_FILLED, _E.EXPIRED): _S.EXPIRED,
    (_S.PENDING_AMEND, _E.ACKNOWLEDGED): _S.PENDING_AMEND,
    (_S.PENDING_AMEND, _E.PARTIAL_FILL): _S.PENDING_AMEND,
    (_S.PENDING_AMEND, _E.FULL_FILL): _S.FILLED,
    (_S.PENDING_AMEND, _E.AMENDED): _S.OPEN,
    (_S.PENDING_AMEND, _E.AMENDED_AFTER_FILL): _S.PARTIALLY_FILLED,
    (_S.PENDING_AMEND, _E.AMENDED_TO_FILLED): _S.FILLED,
    (_S.PENDING_AMEND, _E.AMEND_REJECTED): _S.OPEN,
    (_S.PENDING_AMEND, _E.AMEND_REJECTED_AFTER_FILL): _S.PARTIALLY_FILLED,
    (_S.PENDING_AMEND, _E.CANCEL_SENT): _S.PENDING_CANCEL,
    (_S.PENDING_AMEND, _E.CANCELLED): _S.CANCELLED,
    (_S.PENDING_AMEND, _E.REJECTED): _S.REJECTED,
    (_S.PENDING_AMEND, _E.EXPIRED): _S.EXPIRED,
    (_S.PENDING_CANCEL, _E.ACKNOWLEDGED): _S.PENDING_CANCEL,
    (_S.PENDING_CANCEL, _E.AMENDED): _S.PENDING_CANCEL,
    (_S.PENDING_CANCEL, _E.AMENDED_AFTER_FILL): _S.PENDING_CANCEL,
    (_S.PENDING_CANCEL, _E.AMENDED_TO_FILLED): _S.FILLED,
    (_S.PENDING_CANCEL, _E.AMEND_REJECTED): _S.PENDING_CANCEL,
    (_S.PENDING_CANCEL, _E.AMEND_REJECTED_AFTER_FILL): _S.PENDING_CANCEL,
    (_S.PENDING_CANCEL, _E.PARTIAL_FILL): _S.PENDING_CANCEL,
    (_S.PENDING_CANCEL, _E.FULL_FILL): _S.FILLED,
    (_S.PENDING_CANCEL, _E.CANCELLED): _S.CANCELLED,
    (_S.PENDING_CANCEL, _E.CANCEL_REJECTED): _S.OPEN,
    (_S.PENDING_CANCEL, _E.CANCEL_REJECTED_AFTER_FILL): _S.PARTIALLY_FILLED,
    (_S.PENDING_CANCEL, _E.REJECTED): _S.REJECTED,
    (_S.PENDING_CANCEL, _E.EXPIRED): _S.EXPIRED,
    # Answers that were on the wire when the order ended change nothing.
    (_S.FILLED, _E.ACKNOWLEDGED): _S.FILLED,
    (_S.FILLED, _E.CANCEL_REJECTED_AFTER_FILL): _S.FILLED,
    (_S.CANCELLED, _E.ACKNOWLEDGED): _S.CANCELLED,
    (_S.CANCELLED, _E.CANCEL_REJECTED): _S.CANCELLED,
    (_S.CANCELLED, _E.CANCEL_REJECTED_AFTER_FILL): _S.CANCELLED,
    (_S.EXPIRED, _E.ACKNOWLEDGED): _S.EXPIRED,
    (_S.EXPIRED, _E.CANCEL_REJECTED): _S.EXPIRED,
    (_S.EXPIRED, _E.CANCEL_REJECTED_AFTER_FILL): _S.EXPIRED,
    (_S.REJECTED, _E.CANCEL_REJECTED): _S.REJECTED,
    (_S.FILLED, _E.AMEND_REJECTED_AFTER_FILL): _S.FILLED,
    (_S.CANCELLED, _E.AMEND_REJECTED): _S.CANCELLED,
    (_S.CANCELLED, _E.AMEND_REJECTED_AFTER_FILL): _S.CANCELLED,
    (_S.EXPIRED, _E.AMEND_REJECTED): _S.EXPIRED,
    (_S.EXPIRED, _E.AMEND_REJECTED_AFTER_FILL): _S.EXPIRED,
    (_S.REJECTED, _E.AMEND_REJECTED): _S.REJECTED,
}


def transition(state: ChildState, event: ChildEvent) -> ChildState:
    """Return the state after ``event``. Raises TransitionError when the table has no such row."""
    after = TRANSITIONS.get((state, event))
    if after is None:
        legal = ", ".join(e for s, e in TRANSITIONS if s is state) or "nothing"
        raise TransitionError(f"child order in state {state} cannot take event {event}: it takes {legal}")
    return after


@dataclass(slots=True)
class ChildOrder:
    """One order at the venue. ``price_ticks`` is its limit, ``far_touch_ticks`` the touch when sent."""

    child_id: str
    parent_id: str
    interval: int
    instrument: int
    side: Side
    tif: TimeInForce
    price_ticks: int
    qty_lots: int
    sent_ns: int
    sent_mid_half_ticks: int
    far_touch_ticks: int
    state: ChildState = ChildState.PENDING_NEW
    filled_lots: int = 0
    filled_tl: int = 0
    inverse: bool = False  # what its money is counted in: ``agent.core.money``
    reason: str = ""
    number: int = 0  # the desk's, by which a venue knows the order
    again: bool = False  # ended by no fault of its own: the same may be sent again

    @property
    def remaining_lots(self) -> int:
        return self.qty_lots - self.filled_lots

    @property
    def done(self) -> bool:
        return self.state in TERMINAL

    def apply(self, event: ChildEvent, reason: str = "") -> None:
        """Take an event other than a fill. Raises TransitionError on an illegal one."""
        if event in (ChildEvent.PARTIAL_FILL, ChildEvent.FULL_FILL, ChildEvent.AMENDED_TO_FILLED):
            raise InternalError(
                f"{event} of {self.child_id} given without quantity: use apply_fill or amended"
            )
        names = AFTER_FILL if self.filled_lots else BEFORE_FILL
        event = names.get(event, event)
        self.state = transition(self.state, event)
        self.reason = reason or self.reason

    def apply_fill(self, lots: int, price_ticks: int) -> None:
        """Add a fill. Raises InternalError when it is empty or more than is left, or the order has ended."""
        if not 0 < lots <= self.remaining_lots:
            raise InternalError(
                f"fill of {lots} lots on {self.child_id}, which has {self.remaining_lots} left:"
                " a fill is at least one lot and at most what is left"
            )
        full = lots == self.remaining_lots
        self.state = transition(self.state, ChildEvent.FULL_FILL if full else ChildEvent.PARTIAL_FILL)
        self.filled_lots += lots
        self.filled_tl += value_tl(price_ticks, lots, inverse=self.inverse)

    def amended(self, price_ticks: int, qty_lots: int) -> None:
        """The venue took a new price and total quantity. Raises InternalError when it is less than filled.

        Where the fills came first, it may be just what is filled: then the order is.
        """
        if qty_lots < self.filled_lots:
            raise InternalError(
                f"{self.child_id} was amended to {qty_lots} lots, and {self.filled_lots} are filled:"
                " an amended order has what is filled, or more"
            )
        if qty_lots == self.filled_lots:
            self.state = transition(self.state, ChildEvent.AMENDED_TO_FILLED)
        else:
            self.apply(ChildEvent.AMENDED)
        self.price_ticks, self.qty_lots = price_ticks, qty_lots

    def fault_of(self, event: ChildEvent) -> str:
        """Why an event other than a fill cannot be in this state, or ""."""
        names = AFTER_FILL if self.filled_lots else BEFORE_FILL
        if (self.state, names.get(event, event)) in TRANSITIONS:
            return ""
        return f"{event} of an order that is {self.state}"

    def changed(self, at_ns: int, seq: int) -> ChildChanged:
        """Return the row as an event of the engine's output."""
        return ChildChanged(
            at_ns=at_ns,
            seq=seq,
            child_id=self.child_id,
            parent_id=self.parent_id,
            interval=self.interval,
            instrument=self.instrument,
            side=self.side,
            tif=self.tif,
            price_ticks=self.price_ticks,
            qty_lots=self.qty_lots,
            state=self.state,
            filled_lots=self.filled_lots,
            filled_tl=self.filled_tl,
            sent_ns=self.sent_ns,
            sent_mid_half_ticks=self.sent_mid_half_ticks,
            far_touch_ticks=self.far_touch_ticks,
            reason=self.reason,
        )
