"""What a venue outside may report, in which order, and what becomes of an order otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np
import pytest

from agent import app
from agent.config import Config, Order
from agent.core.events import VenueReported
from agent.core.orders.child_order import ChildOrder
from agent.core.orders.venue_messages import Report, ReportKind
from agent.core.types import ChildState, ParentState
from agent.engine.engine import Engine
from agent.venue.outside import MessageKind, OutsideVenue
from tests.fakes import S, start, synthetic_tape

MS = 10**6
K = ReportKind
PEGGED = Order(
    quantity=Decimal("0.5"),
    min_duration=6 * S,
    max_duration=18 * S,
    interval=3 * S,
    algo="twap",
    tactic="peg",
    shadows=(),
)


@dataclass
class Outside:
    """One resting child of one order at a venue outside, in the first interval."""

    engine: Engine
    venue: OutsideVenue
    child: ChildOrder

    def report(self, sequence: int, kind: ReportKind, lots: int = 0, total: int | None = None) -> None:
        """A report arrives a millisecond after the last thing."""
        number, price = self.child.number, self.child.price_ticks
        filled = Report(number, kind, price_ticks=price, lots=lots, sequence=sequence, filled_lots=total)
        self.engine.command(VenueReported(self.engine.now_ns + MS, self.engine.seq + 1, filled))

    def amend(self, lots: int) -> None:
        execution = self.engine.workers["s-P1"].execution
        assert execution.amend(self.child, self.child.price_ticks, lots, self.engine.now_ns)

    @property
    def parent_state(self) -> ParentState:
        return self.engine.workers["s-P1"].order.state


@pytest.fixture
def outside() -> Outside:
    return outside_with(PEGGED)


def outside_with(order: Order) -> Outside:
    instrument, tape = synthetic_tape(5.0)
    config, venue = Config(order=order), OutsideVenue()
    engine = app.build_engine(config, [instrument], app.inline_policies(config), outside=venue)
    command = start(instrument, tape, order)
    engine.advance(tape[: int(np.flatnonzero(tape["seq"] == command.seq)[0]) + 1])
    engine.command(command)
    engine.advance_time(command.recv_ns + 200 * MS)
    (message,) = venue.take()
    assert message.kind is MessageKind.SUBMIT
    (child,) = engine.workers["s-P1"].execution.open_children()
    return Outside(engine, venue, child)


def test_an_amendment_is_heard_of_after_the_fills_that_used_it_up(outside: Outside) -> None:
    """Amended to 8 lots and 8 filled, the fills reported first: the order is filled."""
    outside.report(1, K.ACKNOWLEDGED)
    outside.amend(8)
    outside.report(3, K.FILLED, 8)
    assert outside.child.state is ChildState.PENDING_AMEND
    outside.report(2, K.AMENDED, 8)
    assert (outside.child.state, outside.child.qty_lots) == (ChildState.FILLED, 8)
    assert outside.parent_state is ParentState.WORKING


@pytest.mark.parametrize("end", [(K.FILLED, None), (K.CANCELLED, 0)])
def test_an_answer_to_an_amendment_after_the_end_changes_nothing(
    outside: Outside, end: tuple[ReportKind, int | None]
) -> None:
    """The order was filled whole, or cancelled, before the amendment's answer came."""
    outside.report(1, K.ACKNOWLEDGED)
    outside.amend(outside.child.qty_lots - 1)
    kind, total = end
    outside.report(3, kind, outside.child.qty_lots if kind is K.FILLED else 0, total)
    state = outside.child.state
    outside.report(2, K.AMENDED, outside.child.qty_lots - 1)
    assert outside.child.state is state
    assert outside.child.done
    assert outside.parent_state is ParentState.WORKING


def test_the_end_waits_for_the_fills_that_it_counts(outside: Outside) -> None:
    """Cancelled with 5 filled comes before the fill of 5; a repeated fill counts once."""
    outside.report(1, K.ACKNOWLEDGED)
    outside.report(3, K.CANCELLED, total=5)
    assert not outside.child.done
    outside.report(2, K.FILLED, 5)
    outside.report(2, K.FILLED, 5)
    assert (outside.child.state, outside.child.filled_lots) == (ChildState.CANCELLED, 5)
    assert outside.parent_state is ParentState.WORKING


def test_an_order_of_money_is_filled_for_as_much_less() -> None:
    """What its child may still spend is its bound less what its fills have cost, to the unit."""
    outside = outside_with(replace(PEGGED, quantity=None, notional=Decimal(30_000), tactic="sweep"))
    execution = outside.engine.workers["s-P1"].execution
    bound_tl = execution.in_flight_of(outside.child)
    assert bound_tl > 0
    outside.report(1, K.ACKNOWLEDGED)
    outside.report(2, K.FILLED, 5)
    spent_tl = 5 * outside.child.price_ticks
    assert execution.in_flight_of(outside.child) == bound_tl - spent_tl == execution.in_flight()
    assert execution.done_in(0) == bound_tl


IMPOSSIBLE: dict[str, Sequence[tuple[int, ReportKind, int]]] = {
    "a fill after an end that counted none": [(1, K.ACKNOWLEDGED, 0), (3, K.CANCELLED, 0), (2, K.FILLED, 5)],
    "a reject of what was filled": [(1, K.ACKNOWLEDGED, 0), (2, K.FILLED, 5), (3, K.REJECTED, 0)],
    "more filled than was sent": [(1, K.ACKNOWLEDGED, 0), (2, K.FILLED, 10**9)],
    "an amendment that nobody sent": [(1, K.ACKNOWLEDGED, 0), (2, K.AMENDED, 7)],
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_what_cannot_be_fails_its_order_and_not_the_run(outside: Outside, case: str) -> None:
    """The venue's fault raises nothing: once nothing rests any more the parent has failed and says why."""
    for sequence, kind, lots in IMPOSSIBLE[case]:
        outside.report(sequence, kind, lots)
    if not outside.child.done:  # what rests was called back
        outside.report(9, K.CANCELLED, total=outside.child.filled_lots)
    worker = outside.engine.workers["s-P1"]
    assert worker.order.state is ParentState.FAILED
    told = [e.reason for e in outside.engine.drain() if type(e).__name__ == "ParentChanged"]
    assert any("the venue reported what cannot be" in reason for reason in told)
    assert worker.order.filled_lots == outside.child.filled_lots
