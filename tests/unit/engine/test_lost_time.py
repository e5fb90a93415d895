"""Time in which nothing was done: what was due in it never happens, and orders go on from its end."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from agent.config import Config, LatencyMs, Order, RehearsalSection, Risk, Venue
from agent.core.events import Command, CommandKind, ControlParent, SkipTime, SlippageMeasured
from agent.core.types import ChildState, ParentState
from tests.fakes import S, start, synthetic_tape
from tests.lost_time import WHY, Lived, lived

TWAP = Order(
    quantity=Decimal("0.6"),
    min_duration=6 * S,
    max_duration=30 * S,
    interval=3 * S,
    algo="twap",
    shadows=("vwap",),
)


RESTS = replace(TWAP, quantity=Decimal(12), tactic="peg", shadows=())
"""What rests of it takes longer to be filled than a test goes on."""


def ran(order: Order, from_s: float, to_s: float, *others: Command, venue: Venue | None = None) -> Lived:
    """On a synthetic minute; ``others`` are timed from the order's start."""
    instrument, tape = synthetic_tape(60.0)
    begin = start(instrument, tape, order)
    risk = Risk(max_orders_per_s=None, max_volume_share=None)
    commands = [replace(c, recv_ns=begin.recv_ns + c.recv_ns) for c in others]
    return lived(
        instrument,
        tape,
        begin,
        (from_s, to_s),
        Config(order=order, risk=risk, venue=venue or Venue()),
        commands,
    )


def sent_ns(found: Lived) -> list[int]:
    return [states[0].at_ns for states in found.children().values()]


def test_intervals_within_never_were_and_the_rest_is_caught_up() -> None:
    """Dead from 4 to 13 s of intervals of 3 s: 1 had begun, 2 and 3 never are, 4 is decided late."""
    found = ran(TWAP, 4.0, 13.0)
    assert found.decided == [0, 1, 4, 5, 6, 7, 8, 9]
    assert found.parent().state is ParentState.COMPLETED
    assert sum(fill.qty_lots for fill in found.fills()) == found.parent().spec.target
    assert not [e for e in found.events if found.from_ns < e.at_ns < found.to_ns]


def test_shadows_lose_the_same_time() -> None:
    found = ran(TWAP, 4.0, 13.0)
    shadow = found.parent("s-P1~vwap")
    assert shadow.state is ParentState.COMPLETED
    assert not [f for f in found.fills("s-P1~vwap") if found.from_ns < f.at_ns <= found.to_ns]


def test_a_slice_that_had_begun_goes_on() -> None:
    """Dead for the middle of an interval: what it was to do by its end it does."""
    order = replace(TWAP, max_duration=12 * S, min_duration=12 * S, interval=12 * S, shadows=())
    found = ran(order, 3.0, 6.0)
    assert found.decided == [0]
    assert found.parent().state is ParentState.COMPLETED
    assert [at_ns for at_ns in sent_ns(found) if at_ns > found.to_ns]


def test_a_decision_that_was_asked_for_is_asked_for_again() -> None:
    """Its answer was due while nobody was there: what it would have rested on is old."""
    order = replace(TWAP, shadows=())
    found = ran(order, 3.05, 4.5)
    (again,) = (e for e in found.events if getattr(e, "interval", None) == 1 and hasattr(e, "asked_ns"))
    assert again.at_ns >= found.to_ns + S
    assert found.parent().state is ParentState.COMPLETED


def test_what_rested_is_void() -> None:
    """Nothing fills on paper meanwhile, and the venue knows the order no more."""
    found = ran(RESTS, 3.5, 10.0)
    voided = [states[-1] for states in found.children().values() if WHY in states[-1].reason]
    assert voided
    assert {(v.state, v.at_ns) for v in voided} == {(ChildState.EXPIRED, found.to_ns)}
    assert not [f for f in found.fills() if found.from_ns < f.fill_ns <= found.to_ns]
    assert found.parent().state is ParentState.COMPLETED


def test_a_fill_of_before_is_heard_after() -> None:
    """The venue had filled it, and its report was on the way: it counts, as the account does."""
    slow = Venue(entry=LatencyMs(median_ms=5), acknowledgement=LatencyMs(median_ms=1500))
    found = ran(replace(TWAP, shadows=()), 3.4, 9.0, venue=slow)
    (late, *_) = [f for f in found.fills() if f.fill_ns < found.from_ns and f.at_ns >= found.to_ns]
    assert late.at_ns == found.to_ns
    assert found.parent().filled_lots == sum(fill.qty_lots for fill in found.fills())


def test_its_time_may_be_over() -> None:
    """An order does not outlive its max_duration: what it no longer allows expires, and is named."""
    found = ran(TWAP, 10.0, 40.0)
    assert (found.parent().state, found.parent().ended_ns) == (ParentState.EXPIRED, found.to_ns)
    assert WHY in found.parent().reason
    assert "max_duration ended" in found.parent().reason
    assert "unfilled" in found.parent().reason
    assert found.parent("s-P1~vwap").state is ParentState.EXPIRED


def test_a_start_that_was_due_comes_late() -> None:
    """On the grid; its intervals are those of the grid, and its window the one it was given."""
    order = replace(TWAP, align="grid", interval=6 * S, max_duration=30 * S, min_duration=6 * S, shadows=())
    found = ran(order, 0.2, 13.0)
    started = found.parent().started_ns
    assert started is not None
    assert found.to_ns <= started <= found.to_ns + S
    assert 0 not in found.decided
    assert found.parent().state is ParentState.COMPLETED


def test_a_cancel_that_was_on_its_way_ends_it() -> None:
    found = ran(RESTS, 3.51, 12.0, ControlParent(7 * S // 2, 0, CommandKind.CANCEL))
    assert (found.parent().state, found.parent().ended_ns) == (ParentState.CANCELLED, found.to_ns)


def test_a_paused_order_stays_paused() -> None:
    pause, resume = (
        ControlParent(at * S, 0, kind) for at, kind in ((4, CommandKind.PAUSE), (16, CommandKind.RESUME))
    )
    found = ran(replace(TWAP, shadows=()), 5.0, 11.0, pause, resume)
    assert not [at_ns for at_ns in sent_ns(found) if found.from_ns - S < at_ns < found.from_ns + 11 * S]
    assert found.parent().state is ParentState.COMPLETED


def test_an_order_whose_symbol_is_gone_expires_and_says_why() -> None:
    instrument, tape = synthetic_tape(60.0)
    begin = start(instrument, tape, TWAP)
    found = lived(
        instrument, tape, begin, (4.0, 9.0), Config(order=TWAP), unworkable={"BTC/USDT": "it was delisted"}
    )
    assert found.parent().state is ParentState.EXPIRED
    assert "it was delisted" in found.parent().reason


def test_answers_that_were_lost_are_heard_without_being_asked_for() -> None:
    """Rehearsed: the venue had filled and said nothing; or had never got the order."""
    mute = Venue(rehearsal=RehearsalSection(timeout_ppm=1_000_000, timeout=4 * S))
    found = ran(replace(TWAP, shadows=()), 2.0, 8.0, venue=mute)
    before = {k: v for k, v in found.children().items() if v[0].at_ns <= found.from_ns}
    assert before
    assert all(
        states[-1].state in (ChildState.FILLED, ChildState.REJECTED, ChildState.EXPIRED)
        for states in before.values()
    )
    filled = sum(f.qty_lots for f in found.fills())
    account = found.engine.venue.account(0).balances()  # type: ignore[attr-defined]
    assert (
        account["BTC"]
        == Decimal(100) + filled * Decimal("0.00001")
        == Decimal(100) + Decimal(found.parent().filled_lots) * Decimal("0.00001")
    )


def test_an_order_all_of_whose_measures_were_due_within_is_measured_once() -> None:
    """Soon after that time, to the last; then it is over. The next of its measures once ended the run."""
    order = replace(TWAP, algo="immediate", max_duration=12 * S, shadows=("twap",))
    instrument, tape = synthetic_tape(400.0)
    found = lived(instrument, tape, start(instrument, tape, order), (3.2, 380.0), Config(order=order))
    assert found.parent().state is ParentState.COMPLETED
    own = [e for e in found.events if isinstance(e, SlippageMeasured) and e.parent_id == "s-P1"]
    assert {e.at_ns for e in own} == {found.to_ns + S}
    assert len(own) == len({e.benchmark for e in own})


def test_measures_of_such_a_window_say_so() -> None:
    found = ran(TWAP, 4.0, 13.0)
    rows = [e for e in found.events if isinstance(e, SlippageMeasured) and e.own_benchmark]
    assert 0.2 < rows[-1].flags["used_price"]["lost_time"] < 0.6


@pytest.mark.parametrize("tactic", ["twap_micro", "peg", "sweep"])
def test_cut_anywhere_the_batches_do_not_matter(tactic: str) -> None:
    order = replace(TWAP, tactic=tactic)
    one, many = (events_of(order, rows) for rows in (17, 100_000))
    assert one == many


def events_of(order: Order, rows: int) -> list[str]:
    instrument, tape = synthetic_tape(60.0)
    begin = start(instrument, tape, order)
    found = lived(instrument, tape, begin, (4.3, 11.2), Config(order=order), rows=rows)
    return [repr(e) for e in found.events]


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ((3.0, 6.0), (6.3, 8.5)),
        ((0.05, 2.0), (2.4, 4.0)),
        ((0.2, 2.0), (2.0001, 14.0)),
        ((3.0, 4.0), (5.2, 7.0)),
    ],
)
@pytest.mark.parametrize("interval_s", [30, 12])
def test_time_lost_again_before_it_was_back(
    first: tuple[float, float], again: tuple[float, float], interval_s: int
) -> None:
    """What was owed after the first is owed after the second: nobody waits for the next interval."""
    order = replace(
        TWAP, interval=interval_s * S, min_duration=interval_s * S, max_duration=interval_s * S, shadows=()
    )
    from_ns, to_ns = (round(at_s * S) for at_s in again)
    instrument, tape = synthetic_tape(60.0)
    begin = start(instrument, tape, order)
    skip = SkipTime(begin.recv_ns + from_ns, 0, begin.recv_ns + from_ns, begin.recv_ns + to_ns, WHY)
    found = lived(
        instrument, tape, begin, first, Config(order=order, risk=Risk(max_orders_per_s=None)), [skip]
    )
    over = to_ns > interval_s * S
    assert found.parent().state is (ParentState.EXPIRED if over else ParentState.COMPLETED)
    assert found.decided == [0] or over


def test_what_cannot_go_on_expires_although_time_is_lost_again() -> None:
    instrument, tape = synthetic_tape(60.0)
    begin = start(instrument, tape, TWAP)
    skip = SkipTime(begin.recv_ns + 9 * S, 0, begin.recv_ns + 9 * S, begin.recv_ns + 10 * S, WHY)
    gone = {"BTC/USDT": "it was delisted"}
    found = lived(instrument, tape, begin, (4.0, 9.0), Config(order=TWAP), [skip], unworkable=gone)
    assert "it was delisted" in found.parent().reason
