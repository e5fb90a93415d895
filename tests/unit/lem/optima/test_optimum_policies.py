"""What every optimum's policy keeps on any path: rate limits, durations, and no look-ahead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.core.errors import InputError
from agent.core.orders.projection import EPS, project
from lem.optima.optimum_cases import Case, Optimum, solve_case
from lem.optima.optimum_paths import draw_paths
from lem.optima.optimum_terms import Terms

CASES = {
    "stopping": Case(min_rate=0.03, max_rate=0.2, price="bars"),
    "impact": Case(min_rate=0.03, max_rate=0.2, participation=0.1),
    "risk": Case(min_rate=0.03, max_rate=0.2, participation=0.1, risk_aversion=1.0),
    "vwap": Case(min_rate=0.03, max_rate=0.2, benchmark="vwap", volume_sigma=0.6),
}
SIGMA = 0.002


def solved(name: str, m: int) -> Optimum:
    return solve_case(replace(CASES[name], m=m), m)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("m", [0, 8])
@pytest.mark.parametrize("side", [1, -1])
def test_rates_and_durations_are_kept(name: str, m: int, side: int) -> None:
    """Every share is one that ``project`` lets through, shares sum to 1, and finishing is possible then."""
    programme = solved(name, m)
    paths = draw_paths(np.random.default_rng(m), 300, programme.terms, SIGMA, 0.6)
    ran = programme.run(paths.price, paths.last, side, SIGMA, paths.volume)
    assert ran.shares.sum(1) == pytest.approx(np.ones(300), abs=1e-12)
    for shares, finish in zip(ran.shares, ran.finish, strict=True):
        left = 1.0
        for t in range(finish + 1):
            last = t == finish
            allowed, done = project(shares[t], last, left, 11 - t, m, t, 0.03, 0.2, 0.0)
            assert allowed == pytest.approx(shares[t], abs=EPS)
            assert done == last
            left -= shares[t]
        assert not shares[finish + 1 :].any()
    assert len(set(ran.finish)) > 1


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("t", [0, 1, 5, 10])
def test_garbage_ahead_changes_no_decision(name: str, t: int) -> None:
    """NaN for prices and volumes from t on, and closes after it: shares up to t are bit-identical."""
    programme = solved(name, 0)
    paths = draw_paths(np.random.default_rng(5), 200, programme.terms, SIGMA, 0.6)
    before = programme.run(paths.price, paths.last, 1, SIGMA, paths.volume)
    price, last, volume = paths.price.copy(), paths.last.copy(), paths.volume.copy()
    price[:, t:] = np.nan
    volume[:, t:] = np.nan
    last[:, t + 1 :] = np.nan
    after = programme.run(price, last, 1, SIGMA, volume)
    assert np.array_equal(before.shares[:, : t + 1], after.shares[:, : t + 1])
    early = before.finish <= t
    assert np.array_equal(before.finish[early], after.finish[early])
    assert (after.finish[~early] > t).all()


@pytest.mark.parametrize("name", CASES)
def test_volatility_scales_out(name: str) -> None:
    """The same path at a hundredth of the price and volatility is traded the same way."""
    programme = solved(name, 0)
    paths = draw_paths(np.random.default_rng(6), 500, programme.terms, 1e-6, 0.6)
    one = programme.run(paths.price, paths.last, -1, 1e-6, paths.volume)
    two = programme.run(0.01 * paths.price, 0.01 * paths.last, -1, np.full((500, 12), 1e-8), paths.volume)
    assert (one.finish == two.finish).mean() > 0.99
    assert np.abs(one.shares - two.shares)[one.finish == two.finish].max() < 1e-3


@pytest.mark.parametrize("name", CASES)
def test_without_a_known_volatility_nothing_stops_early(name: str) -> None:
    """sigma 0 is unknown: the order goes on to its last interval, within its rates."""
    programme = solved(name, 0)
    paths = draw_paths(np.random.default_rng(7), 100, programme.terms, SIGMA, 0.6)
    ran = programme.run(paths.price, paths.last, 1, 0.0, paths.volume)
    assert (ran.finish == 11).all()
    assert ran.shares.sum(1) == pytest.approx(np.ones(100))
    assert ran.shares.max() <= 0.2 + EPS


def test_columns_of_the_wrong_shape_are_refused() -> None:
    """Fewer intervals than n: one message with the shapes."""
    with pytest.raises(InputError, match=r"\(5, 3\)"):
        solved("impact", 0).run(np.zeros((5, 3)), np.zeros((5, 3)), 1, 0.01)
    assert Terms(12, 0, 0.0, 0.3).first == 3
