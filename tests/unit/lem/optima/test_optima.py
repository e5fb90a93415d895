"""The exact optima against the specification's tables, against each other, and against their own policies."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.errors import InputError
from lem.optima.impact_optimum import solve_impact
from lem.optima.notional_gain import notional_gain
from lem.optima.optimum_cases import Case, case_optima
from lem.optima.optimum_paths import SimulatedPaths, outcomes, study
from lem.optima.optimum_terms import Schedule, Terms
from lem.optima.stopping_optimum import gain_sigma, solve_stopping
from lem.optima.vwap_optimum import solve_vwap

WALK = (0.2990, 0.2990, 0.2990, 0.2990, 0.2958, 0.2815, 0.2572, 0.2254, 0.1877, 0.1455, 0.0997, 0.0510, 0.0)
BARS = (0.3668, 0.3668, 0.3668, 0.3652, 0.3515, 0.3261, 0.2923, 0.2523, 0.2077, 0.1595, 0.1085, 0.0552, 0.0)
TABLES = {"walk": WALK, "bars": BARS}
PATHS = 200_000


@pytest.mark.parametrize("price", ["walk", "bars"])
def test_tables_of_the_specification(price: str) -> None:
    """Every m of n = 12 within 0.0005."""
    assert [gain_sigma(12, m, model=price) for m in range(13)] == pytest.approx(TABLES[price], abs=5e-4)


@pytest.mark.parametrize(("n", "m", "gain"), [(6, 0, 0.104), (24, 0, 0.602), (24, 12, 0.451)])
def test_other_horizons_of_the_specification(n: int, m: int, gain: float) -> None:
    """n = 6 and 24 by the stopping programme and, without impact, by the one with shares as a state."""
    assert solve_stopping(Terms(n, m)).gain_sigma == pytest.approx(gain, abs=6e-4)
    assert solve_impact(Terms(n, m), 0.0).gain_sigma == pytest.approx(gain, abs=6e-4)


@pytest.mark.parametrize("price", ["walk", "bars"])
@pytest.mark.parametrize("m", [0, 3, 6, 9, 11, 12])
def test_no_impact_gives_the_stopping_bound(price: str, m: int) -> None:
    """The remaining share as a state changes nothing where impact costs nothing."""
    assert solve_impact(Terms(12, m, price=price), 0.0).gain_sigma == pytest.approx(
        TABLES[price][m], abs=5e-4
    )


@pytest.mark.parametrize("max_rate", [0.3, 0.5])
def test_rate_limits_without_impact_only_delay_the_first_stop(max_rate: float) -> None:
    """Both programmes see that a max rate of 0.3 makes m = 4 of m = 0, and 0.5 makes it 2."""
    gains = [solve(max_rate) for solve in (_neutral, _stopping)]
    assert gains[0] == pytest.approx(gains[1], abs=3e-4)


def _neutral(max_rate: float) -> float:
    return solve_impact(Terms(12, 0, 0.0, max_rate), 0.0).gain_sigma


def _stopping(max_rate: float) -> float:
    return solve_stopping(Terms(12, 0, 0.0, max_rate)).gain_sigma


def test_two_intervals_with_impact_by_hand() -> None:
    """n = 2: D is 0 at the only choice: halves cost 2 K(1/2) = K(1) / sqrt 2 and gain nothing on average."""
    programme = solve_impact(Terms(2), 0.1)
    assert programme.gain_sigma == pytest.approx(-((0.1 * 2) ** 0.5) / 2**0.5, abs=1e-5)


def test_a_fixed_horizon_with_impact_trades_evenly() -> None:
    """m = n leaves no option: n K(1/n) = sqrt(participation)."""
    programme = solve_impact(Terms(12, 12), 0.05)
    assert programme.gain_sigma == pytest.approx(-(0.05**0.5), abs=1e-4)


def test_impact_lowers_the_optimum() -> None:
    """More participation, a longer min duration or tighter rates never pay."""
    by_size = [solve_impact(Terms(12), p).gain_sigma for p in (0.0, 0.01, 0.05, 0.2)]
    assert by_size == sorted(by_size, reverse=True)
    assert by_size[0] > by_size[-1] + 0.5
    by_m = [solve_impact(Terms(12, m), 0.05).gain_sigma for m in (0, 6, 9, 12)]
    assert by_m == sorted(by_m, reverse=True)
    free, tight = (solve_impact(Terms(12, 4, 0.0, rate), 0.05).gain_sigma for rate in (1.0, 0.15))
    assert tight < free - 0.01


IMPACT_CASES = [
    (Terms(12), 0.0),
    (Terms(12), 0.05),
    (Terms(12, 6, price="bars"), 0.2),
    (Terms(12, 4, 0.05, 0.17, "bars"), 0.05),
]


@pytest.mark.parametrize(("terms", "participation"), IMPACT_CASES)
@pytest.mark.parametrize("side", [1, -1])
def test_impact_value_is_what_its_policy_earns(terms: Terms, participation: float, side: int) -> None:
    """Simulated gain less impact within 3 standard errors, buy and sell."""
    programme = solve_impact(terms, participation)
    ran = study(programme.run, terms, PATHS, 11, side=side, unit=programme.unit)
    assert abs(ran.net - programme.gain_sigma) < 3.0 * ran.net_error
    assert ran.net_error < 0.002


def test_impact_policy_beats_even_trading_and_its_size_matters() -> None:
    """At 5 % the programme nets more than an optimal stop with 1/n, by more than noise."""
    terms = Terms(12)
    best = solve_impact(terms, 0.05)
    ran = study(best.run, terms, PATHS, 5, unit=best.unit)
    even = study(solve_stopping(terms).run, terms, PATHS, 5, unit=best.unit)
    assert ran.net > even.net + 3.0 * (ran.net_error + even.net_error)


@pytest.mark.parametrize("price", ["walk", "bars"])
def test_volume_without_spread_gives_the_time_weighted_bound(price: str) -> None:
    """VWAP of equal volumes is TWAP; and m = n gains nothing."""
    periods = (0, 4, 8, 11, 12)
    found = [solve_vwap(Terms(12, m, price=price), 0.0).gain_sigma for m in periods]
    assert found == pytest.approx([TABLES[price][m] for m in periods], abs=5e-4)
    assert solve_vwap(Terms(12, 0, price=price), 0.01).gain_sigma == pytest.approx(found[0], abs=2e-4)


@pytest.mark.parametrize(("price", "m", "spread"), [("walk", 0, 0.6), ("bars", 4, 0.6), ("bars", 0, 1.2)])
@pytest.mark.parametrize("side", [1, -1])
def test_vwap_value_is_what_its_policy_earns(price: str, m: int, spread: float, side: int) -> None:
    """Simulated gain against VWAP within 3 standard errors; a rule that knows no volume earns less."""
    terms = Terms(12, m, price=price)
    programme = solve_vwap(terms, spread)
    ran = study(programme.run, terms, PATHS, 12, side=side, volume_sigma=spread, vwap=True)
    assert abs(ran.gain - programme.gain_sigma) < 3.0 * ran.gain_error
    blind = study(solve_stopping(terms).run, terms, PATHS, 12, side=side, volume_sigma=spread, vwap=True)
    assert blind.gain < ran.gain


def test_notional_gains_a_buyer_and_costs_a_seller() -> None:
    """About 5 % of the bound either way at sigma 1 %, nothing at 1e-4, with the interval stated."""
    programme = solve_stopping(Terms(12))
    bound = programme.gain_sigma
    for side in (1, -1):
        small = notional_gain(programme, side, 1e-4, 20_000, 1)
        large = notional_gain(programme, side, 1e-2, 20_000, 1)
        assert small.gain_sigma == pytest.approx(bound, rel=2e-3)
        assert 0.03 < side * (large.gain_sigma / bound - 1.0) < 0.07
        assert 0.0 < large.half_width < 0.005
    repeat = notional_gain(programme, -1, 1e-2, 20_000, 1)
    assert repeat == large


REFUSED = [
    (Case(benchmark="vwap"), "volume sigma"),
    (Case(volume_sigma=0.5), "volume sigma"),
    (Case(benchmark="vwap", volume_sigma=9.0), "volume sigma is 9"),
    (Case(benchmark="vwap", volume_sigma=0.5, participation=0.1), "impact and risk"),
    (Case(sigma=0.01), "--target notional only"),
    (Case(target="notional", sigma=0.01, participation=0.1), "impact and risk"),
    (Case(target="notional", sigma=0.5), "reach 0"),
    (Case(risk_aversion=1.0), "give one"),
    (Case(n=60, participation=0.1), "give one"),
    (Case(m=0, risk_aversion=-1.0), "risk aversion is -1"),
    (Case(m=0, participation=1.5), "participation is 1.5"),
    (Case(m=12, min_rate=0.09, risk_aversion=1.0), "at most 1/n"),
    (Case(m=0, price="ticks"), "unknown price model"),
    (Case(n=201, m=0, participation=0.1), "1 to 200"),
    (Case(m=0, max_rate=0.01), "max rate"),
    (Case(target="shares"), "target 'shares'"),
    (Case(m=0, simulate=3), "simulated paths"),
]


@pytest.mark.parametrize(("case", "words"), REFUSED)
def test_questions_without_an_answer_are_refused(case: Case, words: str) -> None:
    """One message that names the value."""
    with pytest.raises(InputError, match=words):
        list(case_optima(case))


def test_a_table_stops_where_the_min_rate_completes_the_order() -> None:
    """Min rate 0.2 is done after five intervals: m = 5 is the last that it can keep."""
    assert [a.m for a in case_optima(Case(min_rate=0.2, max_rate=0.5))] == [0, 1, 2, 3, 4, 5]


def test_the_worked_example_of_impact() -> None:
    """n = 3, bars, half left before interval 1: going on is worth -D/3 - 2 K(1/4), so finish below -0.340."""
    best = solve_impact(Terms(3, price="bars"), 0.1)
    half = int(np.searchsorted(best.nodes, 0.5))
    distance = best.steps[1] * (np.arange(best.go.shape[1]) - best.go.shape[1] // 2)
    np.testing.assert_allclose(best.go[1, :, half], -distance / 3 - 0.1369, atol=1e-4)
    finish = -distance / 2 - best.unit * 0.5**1.5
    first_on = distance[np.flatnonzero(finish < best.go[1, :, half])[0]]
    assert first_on == pytest.approx(-0.340, abs=best.steps[1])
    assert best.share[1, :, half] == pytest.approx(0.25, abs=0.005)


def test_the_worked_example_of_three_intervals_against_vwap() -> None:
    """Volume without spread, n = 3, bars: the stopping optimum's 0.0384 sigma."""
    assert solve_vwap(Terms(3, price="bars"), 0.0).gain_sigma == pytest.approx(0.0384, abs=5e-4)


def test_a_notional_buys_at_the_harmonic_mean() -> None:
    """Half the money at 100 and half at 50: 66.67, a third below 100, where equal quantities pay 75."""
    price = np.array([[0.0, -0.5]])
    paths = SimulatedPaths(price, np.zeros((1, 2)), price, np.ones((1, 2)))
    schedule = Schedule(np.array([[0.5, 0.5]]), np.array([1]))
    mean = -0.25  # the TWAP, as a deviation
    for notional, paid in ((True, -1 / 3), (False, -0.25)):
        ran = outcomes(schedule, paths, 1, 1.0, 0.0, notional=notional)
        assert ran.gain[0] == pytest.approx(-(paid - mean) / (1.0 + mean))
