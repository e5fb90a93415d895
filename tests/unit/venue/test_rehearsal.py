"""Rehearsed rejects and timeouts: what the venue does to an order, and what is heard of it.

Messages take 30 ms to arrive and 15 ms to be heard; the stand's seed is 1.
"""

from __future__ import annotations

from collections import Counter

import pytest

from agent.core.orders.venue_messages import Report, ReportKind
from agent.core.types import TimeInForce
from agent.venue.wire.rehearsal import LOST, REJECTED, Rehearsal, Trouble
from tests.venue import MS, Stand

ALL_TIME_OUT = Rehearsal(timeout_ppm=1_000_000, timeout_ns=500 * MS)


def in_trouble(trouble: Trouble, shortest_ns: int = 0) -> int:
    """The number of an order that meets ``trouble`` when all time out."""
    for number in range(1, 1000):
        fate, late_ns = ALL_TIME_OUT.fate(1, number)
        if fate is trouble and late_ns >= shortest_ns:
            return number
    raise AssertionError(trouble)


def timed_out(trouble: Trouble, shortest_ns: int = 0, tif: TimeInForce = TimeInForce.IOC) -> Stand:
    """A stand on which an order for 40 lots in ``trouble`` was sent at 0 ms."""
    stand = Stand(rules={"rehearsal": ALL_TIME_OUT})
    stand.sent = in_trouble(trouble, shortest_ns) - 1
    price = 10_002 if tif is TimeInForce.IOC else 9_999
    stand.send(0, lots=40, tif=tif, price_ticks=price)
    return stand


def lots_of(reports: list[Report]) -> int:
    """What a desk would book: each thing said counts once."""
    return sum({r.sequence: r.lots for r in reports if r.kind is ReportKind.FILLED}.values())


def test_nothing_happens_by_default() -> None:
    """Off: no order has trouble."""
    assert {Rehearsal().fate(seed, n) for seed in range(3) for n in range(200)} == {(Trouble.NONE, 0)}


def test_fates_come_as_often_as_asked() -> None:
    """20 % rejects; 10 % timeouts of the rest, a third each lost, mute and late; late by up to 2 timeouts."""
    rehearsal = Rehearsal(200_000, 100_000, 1000)
    fates = [rehearsal.fate(7, n) for n in range(20_000)]
    count = Counter(fate for fate, _ in fates)
    assert count[Trouble.REJECTED] == pytest.approx(4000, abs=200)
    for trouble in (Trouble.LOST, Trouble.MUTE, Trouble.LATE):
        assert count[trouble] == pytest.approx(20_000 * 0.8 * 0.1 / 3, abs=80)
    late = [ns for fate, ns in fates if fate is Trouble.LATE]
    assert 0 <= min(late) < 200
    assert 1800 < max(late) <= 2000


def test_a_fate_depends_on_seed_and_number_alone() -> None:
    """Asked in any order the answers are the same; another seed gives others."""
    rehearsal = Rehearsal(300_000, 300_000)
    first = [rehearsal.fate(7, n) for n in range(300)]
    assert first == [rehearsal.fate(7, n) for n in reversed(range(300))][::-1]
    assert first != [rehearsal.fate(8, n) for n in range(300)]


def test_a_rehearsed_reject_is_said_and_may_be_sent_again() -> None:
    """It arrives, is rejected, and no money is held."""
    stand = Stand(rules={"rehearsal": Rehearsal(reject_ppm=1_000_000)})
    stand.send(0)
    stand.until(44)
    assert stand.reports == []
    stand.until(45)
    (report,) = [r for _, r in stand.reports]
    assert (report.kind, report.reason, report.again) == (ReportKind.REJECTED, REJECTED, True)


def test_a_mute_order_is_matched_and_told_when_asked() -> None:
    """Nothing is heard of its fills until the question, sent at 500 ms, is answered at 545."""
    stand = timed_out(Trouble.MUTE)
    stand.until(400)
    assert stand.reports == []
    assert stand.venue.account(0).balances()["BTC"].quantize(1) == 10
    stand.query(stand.sent, 500 * MS)
    stand.until(5000)
    assert {at for at, _ in stand.reports} == {545 * MS}
    assert stand.kinds() == [ReportKind.ACKNOWLEDGED, ReportKind.FILLED, ReportKind.FILLED]
    assert lots_of([r for _, r in stand.reports]) == 40


def test_after_the_answer_all_is_heard_as_usual() -> None:
    """A mute order rests; once asked about, its cancel is answered in time."""
    stand = timed_out(Trouble.MUTE, tif=TimeInForce.POST_ONLY)
    stand.query(stand.sent, 500 * MS)
    stand.until(600)
    stand.cancel(stand.sent, 600 * MS)
    stand.until(2000)
    assert [at for at, _ in stand.reports] == [545 * MS, 655 * MS]
    assert stand.kinds() == [ReportKind.ACKNOWLEDGED, ReportKind.CANCELLED]


def test_a_lost_order_never_matches_and_is_not_known() -> None:
    """The venue answers that it does not know it, once, even if a cancel was sent after it."""
    stand = timed_out(Trouble.LOST)
    stand.cancel(stand.sent, 100 * MS)
    stand.until(400)
    assert stand.reports == []
    stand.query(stand.sent, 500 * MS)
    stand.until(5000)
    ((at_ns, report),) = stand.reports
    assert (at_ns, report.kind, report.reason) == (545 * MS, ReportKind.REJECTED, LOST)
    assert report.again
    assert stand.venue.account(0).balances()["BTC"] == 10


def test_late_answers_come_again_but_count_once() -> None:
    """Asked about before its late reports came in, everything is heard twice under the same numbers."""
    stand = timed_out(Trouble.LATE, shortest_ns=600 * MS)
    stand.query(stand.sent, 500 * MS)
    stand.until(5000)
    assert [r.sequence for _, r in stand.reports] == [1, 2, 3, 1, 2, 3]
    assert lots_of([r for _, r in stand.reports]) == 40
    _, late_ns = ALL_TIME_OUT.fate(1, stand.sent)
    assert [at for at, _ in stand.reports] == [545 * MS] * 3 + [45 * MS + late_ns] * 3


def test_an_order_without_trouble_needs_no_answer() -> None:
    """Asked about one whose reports are on their way, the venue repeats nothing."""
    stand = Stand(rules={"rehearsal": Rehearsal(timeout_ppm=1, timeout_ns=10 * MS)})
    order = stand.send(0)
    stand.query(order.number, 10 * MS)
    stand.until(1000)
    assert stand.kinds() == [ReportKind.ACKNOWLEDGED, ReportKind.FILLED]
