"""Random orders while the venue rejects, loses, mutes and delays: what must hold all the same."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.config import Order, RehearsalSection, Tactics, Venue
from agent.core.events import ChildFilled
from agent.core.types import ParentState, TargetKind
from agent.orders import build_spec
from tests.property.test_engine import BTC, Ran, orders, random_tape
from tests.property.test_engine import work as run_order

MS = 10**6
troubles = st.builds(
    RehearsalSection,
    reject_ppm=st.integers(0, 500_000),
    timeout_ppm=st.integers(0, 500_000),
    timeout=st.integers(60, 1500).map(lambda ms: ms * MS),
)
venues = st.builds(
    Venue,
    rehearsal=troubles,
    amend=st.sampled_from(["keep_on_reduce", "lose_always"]),
    price_protection_bps=st.sampled_from([None, 2.0]),
    on_stale=st.sampled_from(["mark", "reject"]),
)


def work(order: Order, seed: int, venue: Venue, batch: int) -> Ran:
    """One order, pegged by amendments, to the end of its window and five seconds on."""
    tape = random_tape(seed, updates=400, thin=seed % 2 == 0)
    return run_order(order, tape, batch, venue, Tactics(repeg_by="amend", repeg=100 * MS))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(order=orders, seed=st.integers(0, 10_000), venue=venues, batch=st.integers(1, 50))
def test_nothing_is_lost_or_booked_twice(order: Order, seed: int, venue: Venue, batch: int) -> None:
    """Targets hold, every order ends, the venue's balances are the fills, and batches cannot matter."""
    ran = work(order, seed, venue, 400)
    spec = build_spec(order, BTC, "s-P1", None)
    for lane, parent_id in enumerate(("s-P1", "s-P1~twap")):
        last, fills = ran.last(parent_id), ran.fills(parent_id)
        lots = sum(f.qty_lots for f in fills)
        money = sum(f.qty_lots * f.price_ticks for f in fills)
        assert (lots if spec.target_kind is TargetKind.QUANTITY else money) <= spec.target
        assert (last.filled_lots, last.filled_tl) == (lots, money)
        assert last.state in (ParentState.COMPLETED, ParentState.EXPIRED)
        account = ran.engine.venue.account(lane)
        assert account.balances()["BTC"] - 100 == lots * BTC.lot * spec.side
        assert account.available("USDT") == account.balances()["USDT"]  # nothing stays set aside
    ids = [e.fill_id for e in ran.events if isinstance(e, ChildFilled)]
    assert len(set(ids)) == len(ids)
    assert work(order, seed, venue, batch).rows == ran.rows
