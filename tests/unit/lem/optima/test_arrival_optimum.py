"""The optimum against the arrival price, on the simulators whose drift is known."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.errors import InputError
from lem.bars.simulate import simulate
from lem.optima.arrival_optimum import (
    ARRIVAL_MARKETS,
    arrival_gain_sigma,
    drift_law,
    filtered_gap,
    known_drift,
    solve_arrival,
    study_arrival,
)


@pytest.mark.parametrize("market", ARRIVAL_MARKETS)
def test_value_is_what_the_policy_earns_on_the_simulator(market: str) -> None:
    """Promised gain within 3 standard errors of the programme's, and prices pay what was promised."""
    ran = study_arrival(market, 12, 32, 40_000, 7)
    assert abs(ran.gain - arrival_gain_sigma(market, 12, 32)) < 3.0 * ran.gain_error
    assert abs(ran.surprise) < 3.0 * ran.surprise_error
    assert ran.gain > 30.0 * ran.gain_error


def test_one_interval_has_no_choice() -> None:
    """n = 1: the order trades whatever the signal says, and signals are as often bad as good."""
    for market in ARRIVAL_MARKETS:
        assert arrival_gain_sigma(market, 1) == pytest.approx(0.0, abs=1e-9)


def test_two_intervals_by_hand() -> None:
    """n = 2, y normal: wait if y/2 + rho y/2 < 0, so the gain is (1 + rho)/2 sd(y) / sqrt(2 pi)."""
    law = drift_law("book-signal", 2)
    by_hand = 0.5 * (1.0 + law.rho) * law.start / np.sqrt(2.0 * np.pi)
    assert arrival_gain_sigma("book-signal", 2) == pytest.approx(by_hand, rel=1e-3)


def test_more_time_and_more_history_are_worth_more() -> None:
    """The gain grows with n; on the mean-reverting market with history, towards that of a known level."""
    by_n = [arrival_gain_sigma("momentum", n) for n in (2, 4, 8, 16)]
    assert by_n == sorted(by_n)
    by_history = [arrival_gain_sigma("mean-reversion", 12, h) for h in (2, 32, 120, 10_000, None)]
    assert by_history == sorted(by_history)
    assert by_history[-2] == pytest.approx(by_history[-1], rel=0.01)


def test_the_filter_finds_the_level() -> None:
    """On a mean-reverting price around 5 the filtered gap tends to the true one."""
    rng = np.random.default_rng(1)
    pull = 1.0 - drift_law("mean-reversion", 1).rho
    gap = np.zeros((200, 600))
    for t in range(1, gap.shape[1]):
        gap[:, t] = (1.0 - pull) * gap[:, t - 1] + rng.standard_normal(200)
    error = filtered_gap(5.0 + gap) - gap
    assert np.abs(error[:, -1]).mean() < 0.5 * np.abs(error[:, 5]).mean()
    assert np.abs(error[:, -1]).mean() < 0.4


def test_the_drift_before_an_interval_does_not_know_it() -> None:
    """Bars from interval 3 on replaced by others: what is known before intervals 0 .. 3 stays the same."""
    for market in ARRIVAL_MARKETS:
        bars = simulate(market, np.random.default_rng(3), 4, 20, 1e-4, 60_000_000_000)
        level = np.log(bars["close"]) / 1e-4
        signal = 0.5 * (bars["touch_imbalance"] + 1.0)
        before = known_drift(market, level, signal, 10)
        level[:, 13:] = -7.0
        signal[:, 13:] = 0.01
        after = known_drift(market, level, signal, 10)
        assert np.array_equal(before[:, :4], after[:, :4])
        assert not np.array_equal(before[:, 4:], after[:, 4:])


def test_unknown_markets_and_short_histories_are_refused() -> None:
    """One message that names them."""
    with pytest.raises(InputError, match="'regimes'"):
        arrival_gain_sigma("regimes", 12)
    with pytest.raises(InputError, match="history = 0"):
        solve_arrival("momentum", 12, 0)
    with pytest.raises(InputError, match="history is 1"):
        known_drift("momentum", np.zeros((2, 13)), np.zeros((2, 13)), 1)
    with pytest.raises(InputError, match="simulated paths"):
        study_arrival("momentum", 12, 32, 5, 1)


def test_the_worked_example_of_momentum() -> None:
    """n = 2, rho = 0.3: ((1 + rho)/2) 0.3145 / sqrt(2 pi) = 0.0816 sigma."""
    assert arrival_gain_sigma("momentum", 2) == pytest.approx(0.0816, abs=1e-4)
