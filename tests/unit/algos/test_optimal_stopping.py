"""The dynamic programme against its published table and its own policy, and the schedule built on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.algos.optimal_stopping import OptimalStopping, even_share, solve
from agent.core.errors import InputError
from agent.core.market.bars import empty_fbars
from agent.core.types import NS_PER_S, BenchmarkKind, MarketView, OrderView, Side, TargetKind
from lem.optima.stopping_optimum import gain_sigma, stop_interval

WALK = [0.2990] * 4 + [0.2958, 0.2815, 0.2572, 0.2254, 0.1877, 0.1455, 0.0997, 0.0510, 0.0]
BARS = [0.3668] * 3 + [0.3652, 0.3515, 0.3261, 0.2923, 0.2523, 0.2077, 0.1595, 0.1085, 0.0552, 0.0]
ORDER = OrderView(
    side=Side.BUY,
    target_kind=TargetKind.QUANTITY,
    benchmark=BenchmarkKind.TWAP,
    t=5,
    m=0,
    n=12,
    interval_ns=60 * NS_PER_S,
    start_ns=10**18,
    remaining=7 / 12,
    lot_share=1e-4,
    least_share=1e-4,
    min_rate=0.0,
    max_rate=1.0,
    achieved_price=100.0,
    benchmark_price=100.0,
    arrival_price=100.0,
    own_volume_share=0.0,
    expected_participation=0.05,
    risk_aversion=1.0,
)


def market(closes: list[float], mid: float = float("nan")) -> MarketView:
    bars = empty_fbars(len(closes))
    bars["close"] = closes
    return MarketView(now_ns=10**18, delta_ns=60 * NS_PER_S, bars=bars, mid=mid, spread=0.01)


def swinging(last: float, count: int = 40) -> MarketView:
    """Closes around 100 whose moves are 0.1 % an interval, ending at ``last``."""
    return market([100.0 + 0.05 * (-1) ** k for k in range(count)] + [last])


@pytest.mark.parametrize(("model", "table"), [("walk", WALK), ("bars", BARS)])
def test_the_table_of_the_specification(model: str, table: list[float]) -> None:
    """n = 12, every m, to 0.0005."""
    assert [gain_sigma(12, m, model=model) for m in range(13)] == pytest.approx(table, abs=5e-4)


def test_other_lengths() -> None:
    """n = 6 and n = 24 as the specification gives them."""
    assert solve(6, 0).gain_sigma == pytest.approx(0.104, abs=5e-4)
    assert solve(24, 0).gain_sigma == pytest.approx(0.602, abs=5e-4)
    assert solve(24, 12).gain_sigma == pytest.approx(0.451, abs=5e-4)


def test_a_rate_limit_delays_the_first_stop() -> None:
    """At most a quarter an interval is as good as a min duration of four; no limit leaves the most."""
    assert solve(12, 0, 0.25).gain_sigma == pytest.approx(solve(12, 4).gain_sigma, abs=1e-9)
    assert solve(12, 0, 1 / 12).gain_sigma == pytest.approx(0.0, abs=1e-9)
    gains = [solve(12, 0, rate).gain_sigma for rate in (0.1, 0.2, 0.5, 1.0)]
    assert gains == sorted(gains)


@pytest.mark.parametrize("model", ["walk", "bars"])
@pytest.mark.parametrize("m", [0, 4, 8])
def test_the_policy_earns_what_the_programme_says(model: str, m: int) -> None:
    """200,000 simulated paths of the optimal policy reproduce the bound within four standard errors."""
    rng = np.random.default_rng(7)
    sigma, shape = 1e-4, (200_000, 12)
    move = sigma * rng.standard_normal(shape)
    average = move / 2 + sigma * rng.standard_normal(shape) / np.sqrt(12) if model == "bars" else move
    last = np.cumsum(move, axis=1) - move
    price = last + average
    finish = stop_interval(price, last, 1, sigma, 12, m, model)
    assert finish.min() >= max(m - 1, 0)
    mean = np.cumsum(price, axis=1) / np.arange(1, 13)
    rows = np.arange(len(price))
    gain = (mean[rows, finish] - price[rows, finish]) / sigma  # any allocation has the mean of the last price
    error = gain.std() / np.sqrt(len(gain))
    assert gain.mean() == pytest.approx(solve(12, m, model=model).gain_sigma, abs=4 * error)


def test_bad_bounds_are_refused() -> None:
    """Impossible bounds name the value and what is allowed."""
    for n, m, rate in ((0, 0, 1.0), (5, 6, 1.0), (5, 0, 0.1), (5, 0, 0.0)):
        with pytest.raises(InputError, match=r"\d"):
            solve(n, m, rate)
    with pytest.raises(InputError, match="walk, bars"):
        solve(12, 0, model="daily")


def test_it_stops_when_the_price_is_good_enough_for_its_side() -> None:
    """A buyer stops well below the benchmark, a seller well above, and neither the other way."""
    algo = OptimalStopping()
    low, high = swinging(99.7), swinging(100.3)
    assert algo.decide(ORDER, low).finish
    assert not algo.decide(ORDER, high).finish
    seller = replace(ORDER, side=Side.SELL)
    assert algo.decide(seller, high).finish
    assert not algo.decide(seller, low).finish
    assert algo.decide(ORDER, low).share == ORDER.remaining


def test_it_waits_for_the_min_duration_and_the_max_rate() -> None:
    """However good the price, not before m, nor with more left than one interval may trade."""
    algo, low = OptimalStopping(), swinging(99.0)
    assert not algo.decide(replace(ORDER, m=7), low).finish
    assert algo.decide(replace(ORDER, m=6), low).finish
    assert not algo.decide(replace(ORDER, max_rate=0.5), low).finish


def test_without_volatility_it_trades_evenly() -> None:
    """Too little history is no reason to stop, and the decision says so."""
    answer = OptimalStopping().decide(ORDER, market([100.0, 99.0]))
    assert not answer.finish
    assert answer.share == pytest.approx(1 / 12)
    assert "unknown" in answer.reason


def test_an_order_too_long_for_the_programme_says_so() -> None:
    """2,001 intervals are worked evenly, and that is the reason, not the market."""
    order = replace(ORDER, n=2_001)
    answer = OptimalStopping().decide(order, market([100.0, 99.0, 100.5, 101.0, 99.5, 100.2]))
    assert not answer.finish
    assert "2001 intervals, and the programme takes 2000 at most" in answer.reason


def test_the_earliest_stop_stays_within_reach() -> None:
    """With a max rate of 0.3, even slices are raised so that interval 3 can finish."""
    remaining = 1.0
    for t in range(3):
        remaining -= even_share(replace(ORDER, t=t, remaining=remaining, max_rate=0.3))
    assert remaining <= 0.3 + 1e-9


price = st.one_of(st.floats(), st.floats(90, 110))


@settings(max_examples=100, deadline=None)
@given(
    closes=st.lists(price, max_size=8),
    t=st.integers(0, 13),
    m=st.integers(0, 12),
    remaining=st.floats(0, 1),
    max_rate=st.floats(0.0, 1.0),
    benchmark=price,
    mid=price,
)
def test_it_never_raises(
    closes: list[float], t: int, m: int, remaining: float, max_rate: float, benchmark: float, mid: float
) -> None:
    """As the engine's fallback it answers on any history, with a share within what is left."""
    order = replace(ORDER, t=t, m=m, remaining=remaining, max_rate=max_rate, benchmark_price=benchmark)
    answer = OptimalStopping().decide(order, market(closes, mid))
    assert 0.0 <= answer.share <= remaining


def test_the_worked_example_of_three_intervals() -> None:
    """n = 3, bars: stop in interval 1 below a distance of 0, worth (1/6) (1/sqrt 3) / sqrt(2 pi) = 0.0384."""
    rule = solve(3, 0, 1.0, "bars")
    assert rule.gain_sigma == pytest.approx(0.0384, abs=5e-5)
    assert rule.thresholds[1] == pytest.approx(0.0, abs=0.01)  # a step of the grid is 0.005
