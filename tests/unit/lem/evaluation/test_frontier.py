"""The frontier: the optimum is the least of its own objective, the model beside it on the same paths."""

from __future__ import annotations

from typing import Any

import pytest

from lem.evaluation.evaluation_spec import EvaluationSpec
from lem.evaluation.frontier import frontier
from lem.network.checkpoint import load_checkpoint
from lem.optima.optimum_terms import Terms
from lem.optima.risk_optimum import solve_risk
from lem.optima.stopping_optimum import gain_sigma

SPEC = EvaluationSpec(orders=500, min_periods=(0, 12), participation=0.3, max_rate=1.0)


@pytest.fixture(scope="module")
def curve() -> dict[str, Any]:
    made = frontier(load_checkpoint(), SPEC, lambda done, total: None, (0.05,), (0.1, 10.0), ("gaussian",))
    assert (made["n"], made["min_period"], made["orders"]) == (12, 0, 500)
    (one,) = made["curves"]
    assert (one["market"], one["participation"]) == ("gaussian", 0.05)
    found: dict[str, Any] = one
    return found


def pick(rows: list[dict[str, Any]], **given: Any) -> list[dict[str, Any]]:
    return [r for r in rows if all(r.get(k) == v for k, v in given.items())]


def test_the_programme_reaches_what_it_promises(curve: dict[str, Any]) -> None:
    """Simulated, its objective is the one that it was solved for, on both sides."""
    for aversion in (0.1, 10.0):
        promised = solve_risk(Terms(12), 0.05, aversion).objective
        for point in pick(curve["points"], strategy="programme", risk_aversion=aversion):
            half_width = point["objective_ci95"][1] - point["objective"]
            assert half_width < 0.01
            assert point["objective"] == pytest.approx(promised, abs=2.0 * half_width)


def test_the_model_is_beside_the_optimum_and_not_below_it(curve: dict[str, Any]) -> None:
    """Paired on the same paths, it misses the least objective by little, and does not beat it."""
    points = pick(curve["points"], strategy="lem")
    assert [(p["side"], p["risk_aversion"]) for p in points] == [
        ("buy", 0.1), ("sell", 0.1), ("buy", 10.0), ("sell", 10.0),
    ]  # fmt: skip
    for point in points:
        assert point["excess_ci95"][1] > 0.0
        assert point["excess"] < 0.01


def test_more_aversion_is_less_deviation(curve: dict[str, Any]) -> None:
    """For the programme and the model alike, on each side."""
    for strategy in ("lem", "programme"):
        for side in ("buy", "sell"):
            calm, bold = (
                pick(curve["points"], strategy=strategy, side=side, risk_aversion=x)[0] for x in (10.0, 0.1)
            )
            assert calm["std_sigma"] < bold["std_sigma"]


def test_a_point_is_its_gain_less_its_impact(curve: dict[str, Any]) -> None:
    """Means agree up to the control variates, and intervals hold them."""
    for point in curve["points"] + curve["rules"]:
        low, high = point["net_sigma_ci95"]
        assert low <= point["net_sigma"] <= high
        assert point["net_sigma"] == pytest.approx(point["gain_sigma"] - point["impact_sigma"], abs=0.01)


def test_the_rules_are_where_the_theory_has_them(curve: dict[str, Any]) -> None:
    """Both stopping rules earn the bound before impact, TWAP nothing, and dumping deviates most."""
    for side in ("buy", "sell"):
        rules = {r["strategy"]: r for r in pick(curve["rules"], side=side)}
        assert rules["optimal_stopping"]["gain_sigma"] == pytest.approx(gain_sigma(12, 0), abs=1e-3)
        assert rules["dump"]["gain_sigma"] == pytest.approx(gain_sigma(12, 0), abs=0.01)
        assert rules["twap"]["gain_sigma"] == pytest.approx(0.0, abs=1e-9)
        assert rules["dump"]["std_sigma"] > 3 * rules["optimal_stopping"]["std_sigma"]
        assert rules["optimal_impact"]["net_sigma"] > rules["optimal_stopping"]["net_sigma"]
