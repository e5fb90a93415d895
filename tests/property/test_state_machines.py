"""Both state machines against random events: no silent illegal state, monotone fills, absorbing ends."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.errors import InternalError, TransitionError
from agent.core.orders import child_order, parent_order
from agent.core.orders.child_order import ChildEvent
from agent.core.orders.parent_order import ParentEvent
from agent.core.types import ChildState, ParentState, TargetKind
from tests.property.drawn_orders import child, parent

FILLS = {ChildEvent.PARTIAL_FILL, ChildEvent.FULL_FILL}
steps = st.lists(
    st.one_of(
        st.sampled_from([e for e in ChildEvent if e not in FILLS]),
        st.tuples(st.integers(-1, 60), st.integers(1, 2_000)),
    ),
    max_size=25,
)


@settings(max_examples=300, deadline=None)
@given(qty_lots=st.integers(1, 100), events=steps)
def test_child_orders_survive_any_order_of_events(
    qty_lots: int, events: list[ChildEvent | tuple[int, int]]
) -> None:
    """Each event either moves along the table or raises and changes nothing; the row stays consistent."""
    order = child(qty_lots)
    for event in events:
        before = (order.state, order.filled_lots, order.filled_tl)
        try:
            if isinstance(event, tuple):
                order.apply_fill(*event)
            else:
                order.apply(event)
        except InternalError:
            assert (order.state, order.filled_lots, order.filled_tl) == before
        if before[0] in child_order.TERMINAL:
            assert order.state is before[0]
            assert order.filled_lots == before[1]
        assert before[1] <= order.filled_lots <= qty_lots
        assert (order.state is ChildState.FILLED) == (order.filled_lots == qty_lots)
        if order.state in (ChildState.PENDING_NEW, ChildState.OPEN, ChildState.REJECTED):
            assert order.state is ChildState.REJECTED or order.filled_lots == 0
        if order.state is ChildState.PARTIALLY_FILLED:
            assert order.filled_lots > 0


C, E = ChildState, ChildEvent
RESTING = {C.OPEN, C.PARTIALLY_FILLED}
ALIVE = {C.PENDING_NEW, C.PENDING_AMEND, C.PENDING_CANCEL} | RESTING
ENDS = {E.FULL_FILL: C.FILLED, E.CANCELLED: C.CANCELLED, E.EXPIRED: C.EXPIRED}
BACK_TO = {
    E.CANCEL_REJECTED: C.OPEN,
    E.CANCEL_REJECTED_AFTER_FILL: C.PARTIALLY_FILLED,
    E.AMEND_REJECTED: C.OPEN,
    E.AMEND_REJECTED_AFTER_FILL: C.PARTIALLY_FILLED,
    E.AMENDED: C.OPEN,
    E.AMENDED_AFTER_FILL: C.PARTIALLY_FILLED,
}
"""Where an answer leaves the order, if it is the answer that was waited for."""


def after(state: ChildState, event: ChildEvent) -> ChildState | None:
    """What an exchange's event means, said by kinds; None: it cannot be. Not the product's table."""
    if event is E.CANCEL_SENT:
        return C.PENDING_CANCEL if state in ALIVE - {C.PENDING_CANCEL} else None
    if event is E.AMEND_SENT:
        return C.PENDING_AMEND if state in RESTING else None
    if state not in ALIVE:
        return state if event in late_answers(state) else None
    if event is E.ACKNOWLEDGED:
        return C.OPEN if state is C.PENDING_NEW else state
    if event is E.PARTIAL_FILL:
        return C.PARTIALLY_FILLED if state in RESTING | {C.PENDING_NEW} else state
    if event in ENDS:
        return ENDS[event]
    if event is E.REJECTED:
        return None if state is C.PARTIALLY_FILLED else C.REJECTED
    return after_answer(state, event)


def after_answer(state: ChildState, event: ChildEvent) -> ChildState | None:
    """An answer to a cancel or an amendment, of an order that has not ended."""
    if event is E.AMENDED_TO_FILLED:
        return C.FILLED if state in (C.PENDING_AMEND, C.PENDING_CANCEL) else None
    if event in (E.CANCEL_REJECTED, E.CANCEL_REJECTED_AFTER_FILL):
        return BACK_TO[event] if state is C.PENDING_CANCEL else None
    if state is C.PENDING_CANCEL:
        return state  # the answer to an amendment sent before the cancel
    refused = event in (E.AMEND_REJECTED, E.AMEND_REJECTED_AFTER_FILL)
    if state is C.PENDING_AMEND or (refused and state is BACK_TO[event]):
        return BACK_TO[event]  # or the cancel sent after the amendment was refused first
    return None


def late_answers(state: ChildState) -> set[ChildEvent]:
    """What may still be on the wire when an order has ended; one that is filled had a fill."""
    refusals = {E.CANCEL_REJECTED, E.AMEND_REJECTED}
    after_fill = {E.CANCEL_REJECTED_AFTER_FILL, E.AMEND_REJECTED_AFTER_FILL}
    if state is C.FILLED:
        return {E.ACKNOWLEDGED} | after_fill
    return refusals if state is C.REJECTED else {E.ACKNOWLEDGED} | refusals | after_fill


@pytest.mark.parametrize(("state", "event"), list(product(ChildState, ChildEvent)))
def test_a_child_order_takes_what_an_exchange_can_say_and_nothing_else(
    state: ChildState, event: ChildEvent
) -> None:
    """Every pair of state and event, held against the same rules said in another way."""
    expected = after(state, event)
    if expected is None:
        with pytest.raises(TransitionError, match=state):
            child_order.transition(state, event)
    else:
        assert child_order.transition(state, event) is expected


def test_a_fill_may_cross_the_acknowledgement_and_the_cancel() -> None:
    """Fill before ack, fill after cancel sent, then the cancel's refusal: all legal, nothing lost."""
    order = child(10)
    order.apply_fill(3, 1_000)
    order.apply(ChildEvent.ACKNOWLEDGED)
    order.apply(ChildEvent.CANCEL_SENT)
    order.apply_fill(2, 999)
    assert order.state is ChildState.PENDING_CANCEL
    order.apply(ChildEvent.CANCEL_REJECTED)
    assert order.state is ChildState.PARTIALLY_FILLED
    order.apply_fill(5, 998)
    assert (order.state, order.filled_lots, order.filled_tl) == (ChildState.FILLED, 10, 3_000 + 1_998 + 4_990)
    order.apply(ChildEvent.CANCEL_REJECTED)
    assert order.changed(7, 8).state is ChildState.FILLED


def test_an_amendment_may_cross_fills_and_a_cancel() -> None:
    """A fill at the old price, then a cancel overtakes the answer: the new total counts, nothing is lost."""
    order = child(10)
    order.apply(ChildEvent.ACKNOWLEDGED)
    order.apply(ChildEvent.AMEND_SENT)
    order.apply_fill(3, 1_000)
    assert order.state is ChildState.PENDING_AMEND
    order.apply(ChildEvent.CANCEL_SENT)
    order.amended(1_001, 8)
    assert (order.state, order.price_ticks, order.remaining_lots) == (ChildState.PENDING_CANCEL, 1_001, 5)
    order.apply_fill(5, 1_001)
    assert (order.state, order.filled_lots) == (ChildState.FILLED, 8)
    order.apply(ChildEvent.CANCEL_REJECTED)
    assert order.state is ChildState.FILLED


def test_a_refused_amendment_leaves_the_order_as_it_was() -> None:
    """Before and after a fill; one to less than is filled is an error, one to just that fills the order."""
    order = child(10)
    for filled, after in ((0, ChildState.OPEN), (4, ChildState.PARTIALLY_FILLED)):
        order.apply(ChildEvent.ACKNOWLEDGED)
        if filled:
            order.apply_fill(filled, 1_000)
        order.apply(ChildEvent.AMEND_SENT)
        order.apply(ChildEvent.AMEND_REJECTED, "the order was no longer open")
        assert (order.state, order.qty_lots, order.reason) == (after, 10, "the order was no longer open")
    order.apply(ChildEvent.AMEND_SENT)
    with pytest.raises(InternalError, match="amended to 3 lots, and 4 are filled"):
        order.amended(1_000, 3)
    order.amended(1_000, 4)
    assert (order.state, order.remaining_lots) == (ChildState.FILLED, 0)


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(TargetKind),
    target=st.integers(1, 100_000),
    events=st.lists(
        st.one_of(st.sampled_from(ParentEvent), st.tuples(st.integers(-1, 50), st.integers(0, 2_000))),
        max_size=30,
    ),
)
def test_parent_orders_survive_any_order_of_events(
    kind: TargetKind, target: int, events: list[ParentEvent | tuple[int, int]]
) -> None:
    """Filled grows and never passes the target, final states are final, times are stamped once."""
    order = parent(kind, target)
    sum_lots = sum_tl = 0
    for k, event in enumerate(events):
        state, filled = order.state, order.filled
        try:
            if isinstance(event, tuple):
                order.apply_fill(*event, fee_tlp=5)
                sum_lots, sum_tl = sum_lots + event[0], sum_tl + event[0] * event[1]
            else:
                order.apply(event, k)
        except InternalError:
            assert (order.state, order.filled) == (state, filled)
        if state in parent_order.TERMINAL:
            assert order.state is state
        assert filled <= order.filled <= target
        assert (order.filled_lots, order.filled_tl) == (sum_lots, sum_tl)
        assert (order.ended_ns is not None) == order.done
        assert 0.0 <= order.remaining_share <= 1.0
    if sum_lots:
        assert order.avg_price_ticks == Fraction(sum_tl, sum_lots)


def parent_after(state: ParentState, event: ParentEvent) -> ParentState | None:
    """What may happen to a parent, said by events; None: it cannot. Not the product's table."""
    from_states: dict[ParentEvent, tuple[set[ParentState], ParentState]] = {
        ParentEvent.STARTED: ({ParentState.PENDING}, ParentState.WORKING),
        ParentEvent.PAUSED: ({ParentState.WORKING}, ParentState.PAUSED),
        ParentEvent.RESUMED: ({ParentState.PAUSED}, ParentState.WORKING),
        ParentEvent.COMPLETED: ({ParentState.WORKING, ParentState.PAUSED}, ParentState.COMPLETED),
    }
    any_time = {ParentState.PENDING, ParentState.WORKING, ParentState.PAUSED}
    states, end = from_states[event] if event in from_states else (any_time, ParentState(event.value))
    return end if state in states else None


@pytest.mark.parametrize(("state", "event"), list(product(ParentState, ParentEvent)))
def test_a_parent_order_goes_where_it_may_and_nowhere_else(state: ParentState, event: ParentEvent) -> None:
    """It can end at any time, be completed once it works, be paused while it does; an end is final."""
    expected = parent_after(state, event)
    assert parent_order.allowed(state, event) == (expected is not None)
    if expected is None:
        with pytest.raises(TransitionError, match=state):
            parent_order.transition(state, event)
    else:
        assert parent_order.transition(state, event) is expected


def test_complete_is_exact_for_quantity_and_one_lot_for_notional() -> None:
    """Quantity: to the lot. Notional: when what is left no longer buys one lot at the last price."""
    quantity = parent(TargetKind.QUANTITY, 10)
    quantity.apply(ParentEvent.STARTED, 1)
    quantity.apply_fill(9, 100)
    assert not quantity.complete
    quantity.apply_fill(1, 100)
    assert quantity.complete
    notional = parent(TargetKind.NOTIONAL, 1_000)
    notional.apply(ParentEvent.STARTED, 1)
    assert not notional.complete
    notional.apply_fill(8, 101)
    assert (notional.complete, notional.remaining_lots(101)) == (False, 1)
    notional.apply_fill(1, 101)
    assert (notional.complete, notional.remaining, notional.remaining_lots(101)) == (True, 91, 0)
    with pytest.raises(InternalError, match="91 are left"):
        notional.apply_fill(1, 101)
