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


@pytest.mark.parametrize(("state", "event"), list(product(ChildState, ChildEvent)))
def test_child_table_moves_or_raises(state: ChildState, event: ChildEvent) -> None:
    """Every pair of state and event has one answer: the table's row, or TransitionError."""
    row = child_order.TRANSITIONS.get((state, event))
    if row is None:
        with pytest.raises(TransitionError, match=state):
            child_order.transition(state, event)
    else:
        assert child_order.transition(state, event) is row
        assert state not in child_order.TERMINAL or row is state


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


@pytest.mark.parametrize(("state", "event"), list(product(ParentState, ParentEvent)))
def test_parent_table_moves_or_raises(state: ParentState, event: ParentEvent) -> None:
    """Every pair has one answer, ``allowed`` says which, and final states have no way out."""
    if parent_order.allowed(state, event):
        assert parent_order.transition(state, event) is parent_order.TRANSITIONS[state, event]
        assert state not in parent_order.TERMINAL
    else:
        with pytest.raises(TransitionError, match=state):
            parent_order.transition(state, event)


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
