"""Measured latencies in a whole run: batches cannot matter, nothing is filled before it can have arrived."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.config import LatencyMs, Order, Venue
from agent.core.events import ChildChanged, ChildFilled
from tests.property.test_engine import S, orders, random_tape, work

MS = 10**6
QUICK = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


measured = st.lists(
    st.tuples(st.integers(1_000 * S, 1_010 * S), st.integers(0, 300 * MS)), min_size=1, max_size=20
)


@QUICK
@given(
    order=orders,
    seed=st.integers(0, 10**6),
    rows=measured,
    draw=st.sampled_from(["random", "nearest"]),
    batch=st.sampled_from([1, 7, 10**6]),
)
def test_batches_cannot_matter_with_measured_latencies(
    order: Order, seed: int, rows: list[tuple[int, int]], draw: str, batch: int
) -> None:
    """Drawn by the seed or by time, every row is the same in batches of 64 and of any other size."""
    way = LatencyMs.model_validate({"measured": rows, "draw": draw})
    venue = Venue(entry=way, cancel=way, acknowledgement=way, market_data=way)
    tape = random_tape(seed)
    ran = work(order, tape, 64, venue)
    assert work(order, tape, batch, venue).rows == ran.rows
    sent = {e.child_id: e.sent_ns for e in ran.events if isinstance(e, ChildChanged)}
    least = min(ns for _, ns in rows)
    for fill in (e for e in ran.events if isinstance(e, ChildFilled)):
        assert fill.fill_ns >= sent[fill.child_id] + 2 * least
        assert fill.at_ns >= fill.fill_ns


def test_the_latency_of_its_time_is_the_one_an_order_meets() -> None:
    """Quick until the fourth second, slow from then on: each child arrives as late as its moment was."""
    order = Order(
        quantity=Decimal("0.2"),
        algo="twap",
        interval=S,
        min_duration=8 * S,
        max_duration=8 * S,
        shadows=(),
    )
    start_ns = 1_000 * S
    slow = LatencyMs.model_validate(
        {"measured": [(start_ns, 5 * MS), (start_ns + 8 * S, 205 * MS)], "draw": "nearest"}
    )
    none = LatencyMs(median_ms=0)
    ran = work(order, random_tape(4), 64, Venue(entry=slow, market_data=none, acknowledgement=none))
    sent = {e.child_id: e.sent_ns for e in ran.events if isinstance(e, ChildChanged)}
    took = [(sent[f.child_id] - start_ns, f.fill_ns - sent[f.child_id]) for f in ran.fills("s-P1")]
    assert {ns for at_ns, ns in took if at_ns <= 4 * S} == {5 * MS}
    assert {ns for at_ns, ns in took if at_ns > 4 * S} == {205 * MS}
