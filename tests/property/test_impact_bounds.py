"""Impact on random tapes and orders: it never improves a price, and nothing else of the run may notice it."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.app.replay_session import replay_session
from agent.config import ImpactParameters, Order, Venue
from agent.core.events import ChildChanged, ChildFilled
from agent.core.market.tape import EventArray
from agent.core.types import ParentState
from agent.venue.impact import Impact, ImpactLaw
from storage.recordings.session import SessionReader
from tests.fakes import record, start
from tests.property.test_engine import BTC, Ran, S, orders, random_tape
from tests.property.test_engine import work as run_order

QUICK = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FELT = ImpactParameters(sigma_bps_per_day=300, volume_per_day=500, decay=20 * S)
UNFELT = ImpactParameters(y=1e-9, sigma_bps_per_day=1, volume_per_day=1e9)


def venue(law: ImpactParameters | None) -> Venue:
    return Venue() if law is None else Venue(impact="sqrt", impact_laws={"BTC/USDT": law})


def work(order: Order, tape: EventArray, batch: int, law: ImpactParameters | None) -> Ran:
    return run_order(order, tape, batch, venue(law))


def all_fills(ran: Ran) -> list[ChildFilled]:
    return [e for e in ran.events if isinstance(e, ChildFilled)]


@QUICK
@given(order=orders, seed=st.integers(0, 10**6))
def test_impact_never_improves_a_price_nor_passes_a_limit(order: Order, seed: int) -> None:
    """Every fill: the model's part is against us, the price is within the child's limit, targets hold."""
    ran = work(order, random_tape(seed), 64, FELT)
    limits = {e.child_id: e.price_ticks for e in ran.events if isinstance(e, ChildChanged)}
    for fill in all_fills(ran):
        assert fill.impact_ticks is not None
        assert fill.displacement_half_ticks is not None
        assert fill.impact_ticks >= 0
        assert (limits[fill.child_id] - fill.price_ticks) * fill.side >= 0
        if fill.maker:
            assert fill.impact_ticks == 0
        else:
            paid = (2 * fill.price_ticks - fill.mid_half_ticks) * fill.side
            assert paid >= fill.displacement_half_ticks
    for parent in ("s-P1", "s-P1~twap"):
        assert ran.last(parent).filled_tl == sum(f.price_ticks * f.qty_lots for f in ran.fills(parent))
    changed = ran.last("s-P1")
    assert (changed.filled_lots if order.quantity is not None else changed.filled_tl) <= changed.spec.target


@QUICK
@given(order=orders, seed=st.integers(0, 10**6))
def test_a_law_too_weak_to_feel_changes_nothing(order: Order, seed: int) -> None:
    """With it every fill has the price, size, time and money of a run without: the walk is not repriced."""
    tape = random_tape(seed)
    off, on = work(order, tape, 64, None), work(order, tape, 64, UNFELT)
    same = [f.name for f in fields(ChildFilled)]
    same = [n for n in same if n not in ("price_model", "impact_ticks", "displacement_half_ticks")]
    assert [[getattr(f, n) for n in same] for f in all_fills(on)] == [
        [getattr(f, n) for n in same] for f in all_fills(off)
    ]
    assert {f.impact_ticks for f in all_fills(on)} <= {0}
    assert {f.impact_ticks for f in all_fills(off)} <= {None}


@QUICK
@given(order=orders, seed=st.integers(0, 10**6), batch=st.sampled_from([1, 7, 10**6]))
def test_batches_cannot_matter_with_impact(order: Order, seed: int, batch: int) -> None:
    """Every row of the run is the same in batches of 64 and of any other size."""
    tape = random_tape(seed)
    assert work(order, tape, batch, FELT).rows == work(order, tape, 64, FELT).rows


def test_lanes_of_a_run_are_apart() -> None:
    """A shadow of the same algo gets the parent's prices: neither feels the other's flow."""
    order = Order(
        quantity=Decimal("0.3"),
        algo="twap",
        interval=S,
        min_duration=8 * S,
        max_duration=8 * S,
        shadows=("twap",),
    )
    ran = work(order, random_tape(11), 64, FELT)
    own, shadow = ([(f.price_ticks, f.qty_lots) for f in ran.fills(i)] for i in ("s-P1", "s-P1~twap"))
    assert own == shadow
    assert sum(f.impact_ticks or 0 for f in ran.fills("s-P1")) > 0


def test_what_our_own_impact_leaves_unfilled_is_named() -> None:
    """A law so strong that no limit stands it: the order expires, and its reason says why."""
    order = Order(
        quantity=Decimal("0.4"), algo="twap", interval=S, min_duration=8 * S, max_duration=8 * S, shadows=()
    )
    strong = ImpactParameters(y=50, sigma_bps_per_day=1000, volume_per_day=1)
    last = work(order, random_tape(11), 64, strong).last("s-P1")
    assert last.state is ParentState.EXPIRED
    named = (
        "no more was offered at its limit (order.limit_price, tactics.reach_bps), our own impact counted in ("
    )
    assert named in last.reason


@given(
    sizes=st.lists(st.tuples(st.sampled_from([1, -1]), st.integers(1, 10**6)), min_size=1, max_size=12),
    gaps=st.lists(st.integers(0, 100 * S), min_size=12, max_size=12),
    y=st.floats(0.01, 10),
)
def test_a_round_trip_never_earns(sizes: list[tuple[int, int]], gaps: list[int], y: float) -> None:
    """Any buying and selling at the displaced mid that ends flat costs money: no dynamic arbitrage."""
    mid = 2_000_000
    model = Impact({"BTC/USDT": ImpactLaw(y, 300.0, 10_000.0, 30 * S)}, [BTC])
    position, cost, now = 0, 0, 0
    left = sum(side * lots for side, lots in sizes)
    flat = [*sizes, *([(-1 if left > 0 else 1, abs(left))] if left else [])]
    for (side, lots), gap in zip(flat, [*gaps, 0], strict=False):
        now += gap
        moved = model.fill(0, 0, side, (mid // 2, lots), mid, False, now).displacement_half_ticks
        position, cost = position + side * lots, cost + lots * moved
    assert position == 0
    assert cost >= 0


def test_a_session_recorded_with_impact_replays_to_the_bit(tmp_path: Path) -> None:
    """Its header holds the law; the replay matches in batches of 1 and whole, and says what impact took."""
    tape = random_tape(5)
    order = Order(
        quantity=Decimal("0.3"),
        algo="twap",
        interval=S,
        min_duration=8 * S,
        max_duration=8 * S,
        shadows=("pov",),
    )
    path = record(tmp_path / "s", BTC, tape, [start(BTC, tape, order)], order, venue(FELT))
    assert any("book_walk+impact|impact_ticks=" in row for row in SessionReader(path).outcome())
    for rows in (1, 10**6):
        done = replay_session(path, None, override=False, verify=True, speed=None, rows=rows)
        assert done.result.match is True, done.result.difference
