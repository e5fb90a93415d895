"""The track of the mid: values and time-weighted means, exact, against a sum written out."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.market.mids import MidTrack
from tests.fakes import mid_track

DAY_NS = 86_400 * 10**9
Steps = list[tuple[int, int]]


def naive_mean(steps: Steps, start_ns: int, end_ns: int) -> Fraction | None:
    """Nanosecond by nanosecond; times without a mid (0) are left out."""
    seen = [max((s for s in steps if s[0] <= t), default=(0, 0))[1] for t in range(start_ns, end_ns)]
    known = [mid for mid in seen if mid]
    return Fraction(sum(known), len(known)) if known else None


paths = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=8, unique_by=lambda s: s[0])


@settings(deadline=None)
@given(steps=paths.map(sorted), start_ns=st.integers(0, 40), length=st.integers(1, 20))
def test_a_mean_is_the_sum_written_out(steps: Steps, start_ns: int, length: int) -> None:
    """Value and mean are those taken nanosecond by nanosecond, times without a book left out."""
    end_ns, track = start_ns + length, mid_track(steps, 60)
    assert track.mean(start_ns, end_ns) == naive_mean(steps, start_ns, end_ns)
    assert [track.at(t) for t in range(61)] == [naive_mean(steps, t, t + 1) for t in range(61)]
    assert (track.at(61), track.mean(0, 61)) == (None, None)


def test_a_mean_over_a_day_is_exact() -> None:
    """BTC moves by 1 % in the first hour: half ticks times nanoseconds pass 2^63, the mean does not."""
    steps = [(0, 12_000_000), (3600 * 10**9, 12_120_000)]
    expected = Fraction(12_000_000 * 1 + 12_120_000 * 23, 24)
    assert mid_track(steps, DAY_NS).mean(0, DAY_NS) == expected


def test_a_mean_over_a_month_of_changes_is_exact() -> None:
    """A million changes over 30 days, up to a million half ticks apart: no digit is lost."""
    n = 1_000_000
    at_ns = np.arange(n, dtype=np.int64) * (30 * DAY_NS // n)
    mids = 12_000_000 + np.arange(n, dtype=np.int64)
    assert MidTrack(at_ns, mids, 30 * DAY_NS).mean(0, 30 * DAY_NS) == 12_000_000 + Fraction(n - 1, 2)


def test_the_future_is_not_known() -> None:
    """Beyond what the tape has shown there is no value and no mean; up to it there is."""
    track = mid_track([(10, 100)], 20)
    assert (track.at(9), track.at(10), track.at(20), track.at(21)) == (None, 100, 100, None)
    assert track.mean(10, 20) == 100
    assert track.mean(10, 21) is None
    assert track.mean(0, 5) is None


def test_a_time_without_a_book_has_no_mid() -> None:
    """A zero in the kernel's track is a time at which there was no mid, not a mid of zero."""
    track = mid_track([(0, 100), (10, 0), (20, 200)], 30)
    assert (track.at(5), track.at(15), track.at(25)) == (100, None, 200)
    assert track.mean(10, 20) is None
    assert track.mean(0, 30) == 150


def test_a_mid_ends_where_the_book_does() -> None:
    """Heard at 10 and again at 30: no mid in between, and a mean of the rest only."""
    at_ns, mids = np.array([0, 10, 30]), np.array([100, 200, 400])
    track = MidTrack(at_ns, mids, 40, [(10, 30), (35, 2**62)])
    assert [track.at(t) for t in (9, 10, 11, 29, 30, 35, 36)] == [100, 200, None, None, 400, 400, None]
    assert track.mean(5, 35) == Fraction(5 * 100 + 5 * 400, 10)
    assert track.mean(11, 29) is None
    assert track.mean(36, 40) is None
    assert "the book was not followed" in track.why_none(20)
    assert track.why_none(41) == "the tape ends before"
    assert "no two-sided book" in MidTrack(at_ns, mids, 40).why_none(-1)
