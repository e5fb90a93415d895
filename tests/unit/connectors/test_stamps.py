"""Clocks that step, stamps that cannot be, and what waits for either."""

from __future__ import annotations

import random

import pytest

from agent.core.types import NS_PER_MS, NS_PER_S
from connectors.clock_offset import ClockOffset, ClockStep
from connectors.continuity.stamp_order import RUN, StampOrder
from connectors.continuity.stamp_watch import LEARNED, StampWatch
from tests.unit.connectors.test_id_jumps import trade

NOW_MS = 1_700_000_000_000


class Hand:
    """A clock set by hand."""

    def __init__(self) -> None:
        self.ns = NOW_MS * NS_PER_MS

    def now_ns(self) -> int:
        return self.ns


def look(clock: ClockOffset, at_s: float, ahead_ms: int, round_trip_ms: int = 10) -> None:
    """An answer at ``at_s`` of a clock so far ahead of ours."""
    sent_ms = int(at_s * 1000)
    clock.add(
        sent_ms * NS_PER_MS, sent_ms + round_trip_ms // 2 + ahead_ms, (sent_ms + round_trip_ms) * NS_PER_MS
    )


@pytest.mark.parametrize("by_ms", [3_600_000, 20_000, 500, -20_000])
def test_a_step_is_proven_by_the_first_look_that_cannot_be_right(by_ms: int) -> None:
    """However quick the looks before it were; what they said is forgotten, and the step told once."""
    clock = ClockOffset()
    for n in range(20):
        look(clock, 20 * n, 0, round_trip_ms=4)
    look(clock, 400, by_ms, round_trip_ms=40)
    assert abs(clock.offset_ns / NS_PER_MS - by_ms) <= 20
    (step,) = clock.take_steps()
    assert (step.since_ns, step.at_ns) == (380_004 * NS_PER_MS, 400_040 * NS_PER_MS)
    assert clock.take_steps() == []
    look(clock, 420, by_ms, round_trip_ms=4)
    assert clock.take_steps() == []


def test_noise_and_drift_are_no_step() -> None:
    """Slow answers, late on one way only, and a clock that runs 50 ppm fast, for an hour."""
    clock, rng = ClockOffset(), random.Random(1)
    for n in range(180):
        there_ms, back_ms = rng.choice([2, 5, 300]), rng.choice([2, 5, 900])
        sent_ms = 20_000 * n
        server_ms = sent_ms + there_ms + n  # 1 ms in 20 s
        clock.add(sent_ms * NS_PER_MS, server_ms, (sent_ms + there_ms + back_ms) * NS_PER_MS)
    assert clock.take_steps() == []


def watch() -> tuple[StampWatch, ClockOffset, Hand]:
    offset, clock = ClockOffset(), Hand()
    offset.add(clock.ns - 4 * NS_PER_MS, NOW_MS, clock.ns)
    return StampWatch(offset, clock), offset, clock


def test_stamps_in_a_row_that_are_too_late_prove_a_step() -> None:
    """One makes a look due and a right one takes that back; five that agree are proof, told as a step."""
    stamps, offset, _ = watch()
    for _ in range(RUN):
        stamps.message(NOW_MS)
    stamps.message(NOW_MS + 60_000)
    assert stamps.doubted
    stamps.message(NOW_MS)
    assert not stamps.doubted
    for n in range(RUN):
        assert not offset.steps
        stamps.message(NOW_MS + 60_000 + n)
    (step,) = offset.take_steps()
    assert isinstance(step, ClockStep)
    assert abs(offset.offset_ns / NS_PER_MS - 60_000) <= 10
    assert not stamps.too_late(NOW_MS + 60_000)


def test_wild_stamps_that_do_not_agree_prove_nothing() -> None:
    """Each frame its own hour."""
    stamps, offset, _ = watch()
    for n in range(20):
        stamps.message(NOW_MS + 60_000 * (n + 1))
    assert offset.steps == []


def test_a_clock_never_asked_is_learnt_from_the_quickest_message() -> None:
    """Ours is 20 s fast: of twenty messages, each between 50 and 1,000 ms on its way."""
    offset, clock = ClockOffset(), Hand()
    stamps, rng = StampWatch(offset, clock), random.Random(2)
    for n in range(LEARNED):
        stamps.message(NOW_MS + 400 * n - 20_000 - rng.choice([50, 300, 1000]))
        clock.ns += 400 * NS_PER_MS
    assert offset.offset_ns == -20_050 * NS_PER_MS
    assert offset.steps == []


def test_old_trades_told_one_after_another_teach_no_offset() -> None:
    """A subscription begins with the last fifty, a message each; what comes next is of now, and no step."""
    offset, clock = ClockOffset(), Hand()
    stamps = StampWatch(offset, clock)
    for n in range(50):
        stamps.message(NOW_MS - 60_000 + 1000 * n)
        clock.ns += NS_PER_MS
    for _ in range(40):
        stamps.message(clock.ns // NS_PER_MS - 30)
        clock.ns += 300 * NS_PER_MS
    assert offset.offset_ns == 0
    assert offset.steps == []


def test_a_trade_whose_stamp_cannot_be_waits_and_is_refused() -> None:
    """By the next message that is as it should be; it never goes on with that stamp."""
    order = StampOrder(by_id=True)
    late = trade("2", NOW_MS + 60_000)

    def too_late(ms: int) -> bool:
        return ms > NOW_MS + 2000

    assert order.take([trade("1", NOW_MS), late], too_late) == [trade("1", NOW_MS)]
    assert order.take([trade("3", NOW_MS - 90_000)], too_late) == []
    assert order.take([trade("4", NOW_MS)], too_late) == [trade("4", NOW_MS)]
    assert order.refused == 2
    assert order.take([trade("5", 1)], too_late) == []


def test_trades_that_wait_go_on_with_a_proven_step() -> None:
    """By a look, or by messages in a row."""
    order, late = StampOrder(by_id=True), [trade(str(n), NOW_MS + 60_000) for n in range(3)]
    assert order.take(late, lambda ms: True) == []
    assert order.looked(lambda ms: False, stepped=True) == late
    back = [trade(str(n), NOW_MS - 3_600_000) for n in range(RUN)]
    for one in back[:-1]:
        assert order.take([one], lambda ms: False) == []
    assert order.take(back[-1:], lambda ms: False) == back
    assert order.refused == 0


def test_an_old_stamp_is_a_late_trade_s_where_ids_tell_no_order() -> None:
    """Late data is never dropped."""
    order = StampOrder(by_id=False)
    old = [trade("1", NOW_MS), trade("2", NOW_MS - NS_PER_S)]
    assert order.take(old[:1], lambda ms: False) == old[:1]
    old = [trade("2", NOW_MS - 90_000)]
    assert order.take(old, lambda ms: False) == old


@pytest.mark.parametrize("offset_ms", [-40, 0, 310, 7_300])
@pytest.mark.parametrize("cut_ms", [100, 10])
def test_a_clock_of_tenths_makes_no_step(cut_ms: int, offset_ms: int) -> None:
    """Quick answers a moment before and after the cut contradict each other by no more than what was cut."""
    clock, rng = ClockOffset(), random.Random(4)
    at_ms = 1_700_000_000_000
    for _ in range(200):
        at_ms += rng.randint(900, 1100)
        server_ms = (at_ms + 1 + offset_ms) // cut_ms * cut_ms
        clock.add(at_ms * NS_PER_MS, server_ms, (at_ms + 2) * NS_PER_MS)
    assert clock.take_steps() == []
    assert abs(clock.offset_ns / NS_PER_MS - offset_ms) <= max(cut_ms / 4, 12)


@pytest.mark.parametrize("offset_ms", [-40, 0, 310, 7_300])
def test_a_clock_of_whole_seconds_is_no_step_and_is_read_between_them(offset_ms: int) -> None:
    """Kraken's: no answer contradicts another, and sixteen at odd moments find it to a tenth of a second."""
    clock, rng = ClockOffset(), random.Random(3)
    at_ms, worst = 1_700_000_000_000, []
    for _ in range(64):
        at_ms += rng.randint(19_000, 21_000)
        there_ms = at_ms + rng.randint(5, 40)
        clock.add(
            at_ms * NS_PER_MS,
            (there_ms + offset_ms) // 1000 * 1000,
            (there_ms + rng.randint(5, 40)) * NS_PER_MS,
        )
        worst.append(abs(clock.offset_ns / NS_PER_MS - offset_ms))
    assert clock.take_steps() == []
    assert max(worst) <= 560
    assert max(worst[16:]) <= 120
    clock.add(at_ms * NS_PER_MS, (at_ms + offset_ms + 3_000) // 1000 * 1000, (at_ms + 20) * NS_PER_MS)
    assert len(clock.take_steps()) == 1  # three seconds are more than was cut


def test_one_answer_with_milliseconds_shows_that_no_second_is_cut() -> None:
    """From then on the quickest answer is believed, as ever."""
    clock = ClockOffset()
    clock.add(1_000_000 * NS_PER_MS, 1_000_000 + 5_000, 1_000_020 * NS_PER_MS)
    clock.add(1_001_500 * NS_PER_MS, 1_001_505 + 5_000, 1_001_510 * NS_PER_MS)
    assert clock.offset_ns == 5_000_500_000
