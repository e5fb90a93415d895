"""Whatever an algo wants, what is made of it keeps the rates and completes the order in time."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.core.errors import OrderError
from agent.core.orders.projection import EPS, check_rates, fewest_intervals, project

wants = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, math.nan, -1.0, math.inf]))


@settings(max_examples=500, deadline=None)
@given(
    n=st.integers(1, 12),
    m_part=st.floats(0, 1),
    min_rate=st.floats(0, 0.5),
    spare=st.floats(1.0, 4.0),
    least=st.sampled_from([0.0, 0.001]),
    answers=st.lists(st.tuples(wants, st.booleans()), min_size=12, max_size=12),
)
def test_any_answers_complete_an_order_that_can_be_completed(
    n: int, m_part: float, min_rate: float, spare: float, least: float, answers: list[tuple[float, bool]]
) -> None:
    """In an interval from the min duration on and by the max; each share within the rates."""
    m, max_rate = round(m_part * n), min(1.0, spare / n)
    try:
        check_rates(n, m, min_rate, max_rate)
    except OrderError:
        assume(False)
    left, done_at = 1.0, None
    for t in range(n):
        share, finishes = project(*answers[t], left, n - t - 1, m, t, min_rate, max_rate, least)
        assert -EPS <= share <= max_rate + EPS
        assert share <= left + EPS
        left -= share
        if finishes:
            done_at = t
            break
        if left > least + EPS:  # the least order waits for a finishing interval
            assert share >= min(min_rate, left + share - least) - EPS
    assert done_at is not None
    assert done_at + 1 >= m
    assert abs(left) <= n * EPS


@pytest.mark.parametrize(
    ("max_rate", "intervals"), [(1.0, 1), (0.5, 2), (0.34, 3), (1 / 3, 3), (0.3, 4), (0.1, 10)]
)
def test_the_fewest_intervals_of_an_order(max_rate: float, intervals: int) -> None:
    """A whole order by default, else of a share."""
    assert fewest_intervals(max_rate) == intervals
    assert fewest_intervals(max_rate, 0.5) == math.ceil(0.5 / max_rate - EPS)
