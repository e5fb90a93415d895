"""Time in which nothing was done, anywhere in any order's life: what must hold whatever the market did."""

from __future__ import annotations

from decimal import Decimal
from typing import cast

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.config import Config, LatencyMs, Order, RehearsalSection, Risk, Venue
from agent.core.orders.child_order import TERMINAL
from agent.core.orders.parent_order import TERMINAL as OVER
from agent.core.types import ParentState
from agent.venue.paper import PaperVenue
from tests.fakes import S, start
from tests.lost_time import Lived, lived
from tests.property.test_engine import BTC, orders, random_tape

venues = st.builds(
    lambda entry, answer, timeouts: Venue(
        entry=LatencyMs(median_ms=entry),
        acknowledgement=LatencyMs(median_ms=answer),
        rehearsal=RehearsalSection(timeout_ppm=timeouts, reject_ppm=timeouts // 3, timeout=S),
    ),
    st.sampled_from([1, 20, 700]),
    st.sampled_from([0, 20, 2500]),
    st.sampled_from([0, 0, 400_000]),
)


def worked(order: Order, venue: Venue, seed: int, lost_s: tuple[float, float], rows: int) -> Lived:
    tape = random_tape(seed)
    config = Config(order=order, risk=Risk(max_orders_per_s=None), venue=venue)
    return lived(BTC, tape, start(BTC, tape, order), lost_s, config, rows=rows)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    order=orders,
    venue=venues,
    seed=st.integers(0, 10_000),
    from_ms=st.integers(1, 9_000),
    for_ms=st.integers(1, 9_000),
)
def test_whenever_it_is(order: Order, venue: Venue, seed: int, from_ms: int, for_ms: int) -> None:
    """Every order ends, within its size; nothing is done or filled in it; the account has what was filled."""
    lost_s = (from_ms / 1000, (from_ms + for_ms) / 1000)
    found = worked(order, venue, seed, lost_s, 10_000)
    for parent_id in ("s-P1", "s-P1~twap"):
        parent, fills = found.parent(parent_id), found.fills(parent_id)
        assert parent.state in OVER
        assert parent.filled_lots == sum(fill.qty_lots for fill in fills)
        if order.quantity is not None:
            assert parent.filled_lots <= parent.spec.target
            assert (parent.state is ParentState.COMPLETED) == (parent.filled_lots == parent.spec.target)
        assert all(states[-1].state in TERMINAL for states in found.children(parent_id).values())
        assert not [fill for fill in fills if found.from_ns < fill.fill_ns < found.to_ns]
    assert not [e for e in found.events if found.from_ns < e.at_ns < found.to_ns]
    held = cast(PaperVenue, found.engine.venue).account(0)
    bought = sum(fill.side * fill.qty_lots for fill in found.fills())
    assert held.balances()["BTC"] == Decimal(100) + bought * BTC.lot
    assert all(held.available(name) == amount for name, amount in held.balances().items())
    again = worked(order, venue, seed, lost_s, 7)
    assert [repr(e) for e in again.events] == [repr(e) for e in found.events]
