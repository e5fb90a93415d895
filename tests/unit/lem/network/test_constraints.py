"""The projection: feasible for every input, and the same on scalars and on tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agent.core.errors import OrderError
from agent.core.orders.projection import EPS, check_rates, project
from lem.network.constraints import can_finish, project_share

share = st.one_of(st.floats(), st.floats(0, 1))


@given(
    wanted=share,
    finish=st.booleans(),
    remaining=st.floats(0, 1),
    n=st.integers(1, 20),
    t=st.integers(0, 19),
    m=st.integers(0, 20),
    rates=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    lot=st.floats(0, 0.1),
)
def test_every_output_is_feasible(
    wanted: float,
    finish: bool,
    remaining: float,
    n: int,
    t: int,
    m: int,
    rates: tuple[float, float],
    lot: float,
) -> None:
    """Within the rates and what is left; finishes only when allowed; tensors agree with the scalar."""
    low, high = min(rates), max(rates)
    k_left = n - 1 - min(t, n - 1)
    t = n - 1 - k_left
    traded, finishing = project(wanted, finish, remaining, k_left, min(m, n), t, low, high, lot)
    assert 0.0 <= traded <= min(remaining, high + EPS)
    if finishing:
        assert t + 1 >= min(m, n)
        assert traded == remaining
    elif k_left:
        assert traded <= max(0.0, remaining - lot) + 1e-15
    columns = [wanted, remaining, k_left, min(m, n), t, low, high, lot]
    w, r, k, m_, t_, lo, hi, lot_ = (torch.tensor([float(c)], dtype=torch.float64) for c in columns)
    w = torch.where(torch.isfinite(w), w, r / (k + 1.0))
    ends = can_finish(t_, m_, r, hi) & (torch.tensor([finish]) | (k <= 0))
    assert bool(ends[0]) == finishing
    assert float(torch.where(ends, r, project_share(w, r, k, lo, hi, lot_))[0]) == traded


@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 24),
    part=st.floats(0, 1),
    slack=st.floats(0, 1),
    low=st.floats(0, 1),
)
def test_any_policy_completes_within_bounds(seed: int, n: int, part: float, slack: float, low: float) -> None:
    """Random answers, filled in full: the order completes, not before m, no later than n, within rates."""
    rng = np.random.default_rng(seed)
    m = int(part * n)
    max_rate = min(1.0, 1.0 / n + slack)
    min_rate = low / n
    remaining, finish, ended = 1.0, False, -1
    for t in range(n):
        finish = finish or bool(rng.random() < 0.2)
        traded, finishing = project(
            rng.random() * 2 - 0.5, finish, remaining, n - 1 - t, m, t, min_rate, max_rate, 1e-4
        )
        assert traded <= max_rate + EPS
        remaining -= traded
        if finishing:
            ended = t
            break
    assert ended + 1 >= m
    assert remaining == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("n", "m", "low", "high"),
    [
        (0, 0, 0.0, 1.0),
        (5, 6, 0.0, 1.0),
        (5, 0, 0.5, 0.4),
        (5, 0, 0.0, 0.1),
        (5, 5, 0.3, 1.0),
        (5, 0, 0.0, 0.0),
    ],
)
def test_infeasible_bounds_are_refused_with_the_reason(n: int, m: int, low: float, high: float) -> None:
    """No schedule satisfies these, and the message says which number is wrong."""
    with pytest.raises(OrderError, match=r"\d"):
        check_rates(n, m, low, high)
