"""The programme of the training objective: against the risk-neutral one, by hand, and against its policy."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from agent.core.errors import InputError
from lem.optima import risk_optimum
from lem.optima.impact_optimum import solve_impact
from lem.optima.optimum_cases import Case, case_optima
from lem.optima.optimum_paths import SimulatedPaths, Study, draw_paths, outcomes, study
from lem.optima.optimum_terms import Schedule, Terms
from lem.optima.risk_kernel import finished
from lem.optima.risk_optimum import RiskOptimum, solve_risk
from lem.optima.stopping_optimum import solve_stopping

SMALL = 1e-6
CASES = [(Terms(12), 0.05, 1.0), (Terms(12, 4, price="bars"), 0.2, 0.3), (Terms(6, 2, 0.0, 0.5), 0.1, 3.0)]


@pytest.mark.slow
@pytest.mark.parametrize("price", ["walk", "bars"])
@pytest.mark.parametrize("participation", [0.0, 0.05])
def test_without_aversion_it_is_the_impact_programme(price: str, participation: float) -> None:
    """lambda = 0: the objective times -sqrt(n) is the gain after impact of the other programme."""
    terms = Terms(12, 0, price=price)
    neutral = solve_impact(terms, participation).gain_sigma
    assert -sqrt(12) * solve_risk(terms, participation, 0.0).objective == pytest.approx(neutral, abs=1e-3)


@pytest.mark.parametrize("aversion", [0.0, 1.0, 20.0])
@pytest.mark.parametrize("m", [0, 2])
def test_two_intervals_by_hand(aversion: float, m: int) -> None:
    """n = 2: halves have no slippage and the least impact, so c = sqrt(participation / n) for certain."""
    cost = sqrt(0.1 / 2)
    assert solve_risk(Terms(2, m), 0.1, aversion).objective == pytest.approx(
        cost + aversion * cost**2, abs=2e-4
    )


def test_a_fixed_horizon_has_no_slippage() -> None:
    """m = n: trading evenly, whose objective is certain, on any path."""
    terms = Terms(12, 12)
    programme = solve_risk(terms, 0.05, 2.0)
    ran = study(programme.run, terms, 1_000, 3, unit=programme.unit, risk_aversion=2.0)
    assert ran.objective == pytest.approx(programme.objective, abs=1e-9)
    assert ran.gain_std < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(("terms", "participation", "aversion"), CASES)
@pytest.mark.parametrize("side", [1, -1])
def test_objective_is_what_its_policy_pays(
    terms: Terms, participation: float, aversion: float, side: int
) -> None:
    """Simulated mean of c + lambda max(c, 0)^2 within 3 standard errors, buy and sell."""
    programme = solve_risk(terms, participation, aversion)
    ran = study(programme.run, terms, 200_000, 11, side=side, unit=programme.unit, risk_aversion=aversion)
    assert abs(ran.objective - programme.objective) < 3.0 * ran.objective_error
    assert ran.objective_error < 4e-4


def _objective(schedule: Schedule, paths: SimulatedPaths, unit: float, aversion: float) -> np.ndarray:
    ran = outcomes(schedule, paths, 1, SMALL, unit)
    cost = (ran.impact - ran.gain) / sqrt(schedule.shares.shape[1])
    return cost + aversion * np.maximum(cost, 0.0) ** 2


@pytest.mark.slow
def test_no_other_rule_has_a_lower_objective() -> None:
    """Paired on the same paths at lambda 3: the risk-neutral optimum and the stop with 1/n both pay more."""
    terms = Terms(12)
    paths = draw_paths(np.random.default_rng(2), 50_000, terms)
    best = solve_risk(terms, 0.05, 3.0)
    others = (solve_impact(terms, 0.05), solve_stopping(terms), solve_risk(terms, 0.05, 0.1))
    paid = _objective(best.run(paths.price, paths.last, 1, SMALL, paths.volume), paths, best.unit, 3.0)
    for other in others:
        schedule = other.run(paths.price, paths.last, 1, SMALL, paths.volume)
        more = _objective(schedule, paths, best.unit, 3.0) - paid
        assert more.mean() > 3.0 * more.std() / sqrt(len(more))


@pytest.mark.slow
def test_aversion_trades_gain_for_deviation() -> None:
    """From lambda 0.1 to 10 the policy's deviation falls and so does its gain."""
    terms = Terms(12)
    ran = [_study(solve_risk(terms, 0.05, aversion)) for aversion in (0.1, 1.0, 10.0)]
    assert ran[0].gain_std > ran[1].gain_std + 0.01 > ran[2].gain_std + 0.02
    assert ran[0].net > ran[2].net


def _study(programme: RiskOptimum) -> Study:
    return study(programme.run, programme.terms, 50_000, 4, unit=programme.unit)


def test_the_case_reports_the_simulated_gain_beside_the_objective() -> None:
    """``case_optima``: the exact objective, and the policy's gain with a half-width."""
    (answer,) = case_optima(Case(m=4, participation=0.05, risk_aversion=1.0, simulate=20_000))
    assert answer.objective == solve_risk(Terms(12, 4), 0.05, 1.0).objective
    assert answer.simulated is not None
    assert answer.gain_sigma == answer.simulated.net
    assert 0.0 < answer.half_width < 0.01


def test_the_worked_example_of_risk() -> None:
    """n = 2, participation 0.1, lambda = 1: halves cost 0.2736, all at once 0.4162; halves are optimal."""
    best = solve_risk(Terms(2), 0.1, 1.0)
    assert best.objective == pytest.approx(0.2736, abs=2e-4)
    assert finished(0, 0.0, 1.0, 0.0, best.problem) == pytest.approx(0.4162, abs=1e-4)


def test_what_is_kept_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Solutions used last are kept as far as their tables fit; the newest always is."""
    risk_optimum._kept.clear()
    first, second = solve_risk(Terms(3, 0), 0.05, 1.0), solve_risk(Terms(3, 1), 0.05, 1.0)
    assert solve_risk(Terms(3, 0), 0.05, 1.0) is first
    monkeypatch.setattr(risk_optimum, "KEPT_BYTES", first.bytes + second.bytes)
    solve_risk(Terms(3, 2), 0.05, 1.0)
    assert solve_risk(Terms(3, 0), 0.05, 1.0) is first
    assert solve_risk(Terms(3, 1), 0.05, 1.0) is not second
    monkeypatch.setattr(risk_optimum, "KEPT_BYTES", 0)
    newest = solve_risk(Terms(3, 2), 0.05, 2.0)
    assert list(risk_optimum._kept.values()) == [newest]


def test_tables_of_gigabytes_are_refused() -> None:
    """200 intervals at rates that put a node at every multiple: a message that says how much, at once."""
    with pytest.raises(InputError, match=r"n = 200 at rates 0\.0013 to 0\.0301: .* would need .* GiB"):
        solve_risk(Terms(200, 0, 0.0013, 0.0301), 0.05, 1.0)
