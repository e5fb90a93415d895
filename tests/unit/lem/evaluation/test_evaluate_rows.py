"""Rows of the evaluation: paired differences, unbiased controls, rate limits, the volume curve."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.errors import InputError
from lem.bars.simulate import simulate
from lem.evaluation.evaluate import evaluate_market, evaluate_windows, run_paths
from lem.evaluation.evaluate_rows import Evaluation, rows_of
from lem.evaluation.evaluation_spec import EvaluationSpec
from lem.evaluation.optimum_gains import OptimumGains, optimum_description, optimum_gains
from lem.evaluation.paths import Paths
from lem.evaluation.statistics import Blocks, Independent
from lem.network.checkpoint import load_checkpoint


def quiet(done: int, total: int) -> None:
    """No progress bar."""


def judged(market: str, spec: EvaluationSpec, martingale: bool = True) -> Evaluation:
    bars = simulate(market, np.random.default_rng(5), spec.orders, 44, spec.sigma, spec.delta_ns)
    paths = Paths(bars, np.zeros(spec.orders, np.int64), 32)
    sigma = spec.sigma if martingale else None
    model = load_checkpoint().model
    outcomes, _ = run_paths(model, paths, spec, market, sigma, quiet)
    outcomes["vwap_curve"] = outcomes["twap"]
    optimum = OptimumGains(optimum_gains(market, spec), optimum_description(market), spec.sigma)
    return Evaluation(outcomes, spec, optimum, Independent(martingale))


def test_differences_are_paired() -> None:
    """Their means are those of the rows, with an interval far narrower than two separate ones."""
    found = judged("gaussian", EvaluationSpec(min_periods=(0,), orders=1_500))
    row = next(r for r in rows_of(found) if r["benchmark"] == "twap" and r["target_kind"] == "quantity")
    rule = row["versus"]["optimal_stopping"]
    raw = found.outcomes["lem"].gain[1].mean() - found.outcomes["optimal_stopping"].gain[1].mean()
    assert rule["gain_bps_mean"] == pytest.approx(raw, abs=0.01)
    half = rule["gain_bps_ci95"][1] - rule["gain_bps_mean"]
    stds = [found.outcomes[name].gain[1].std() for name in ("lem", "optimal_stopping")]
    alone = 1.96 * float(np.hypot(*stds)) / 1_500**0.5
    assert 0.0 < half < 0.5 * alone
    assert set(row["versus"]) == set(row["baselines"])
    net = rule["gain_after_impact_bps_mean"] - rule["gain_bps_mean"]
    saved = found.outcomes["optimal_stopping"].impact[1].mean() - found.outcomes["lem"].impact[1].mean()
    assert net == pytest.approx(saved, abs=0.02)


def test_random_volume_does_not_bias_the_means() -> None:
    """Against VWAP the stopping rule is not the optimum: its result against TWAP is the control."""
    found = judged("gaussian-bars-volume", EvaluationSpec(min_periods=(4,), orders=2_000))
    for s in range(8):
        zero = found.known_zero(found.pick(s, 0))
        assert abs(zero.mean()) < 4.0 * zero.std() / 2_000**0.5
        np.testing.assert_array_equal(zero, found.known_zero(found.pick(s - s % 4 + 1, 0)))


def test_rate_limits_have_their_own_bound() -> None:
    """Max rate 0.25: the rule earns the limited bound, dumping obeys the rate, regret is left out."""
    spec = EvaluationSpec(min_periods=(0,), orders=1_500, max_rate=0.25)
    document = evaluate_market(load_checkpoint(), "gaussian", spec, quiet)
    assert "rate limits" in document["left_out"]["regret"]
    for row in document["rows"]:
        assert "regret" not in row
        if row["benchmark"] == "twap" and row["target_kind"] == "quantity":
            assert row["bound_gain_bps"] < 0.299
            for name in ("optimal_stopping", "dump"):
                best = row["baselines"][name]
                noise = 4.0 * best["gain_bps_std"] / 1_500**0.5
                assert best["gain_bps_mean"] == pytest.approx(row["bound_gain_bps"], abs=noise)
                assert best["intervals_mean"] >= 4.0
            assert row["baselines"]["dump"]["gain_bps_std"] < 1.0  # 1.47 where all can wait
            assert row["baselines"]["twap"]["gain_bps_std"] < 1e-6


def test_impossible_rates_are_refused() -> None:
    """A max rate that cannot finish, and a min rate that would finish too early."""
    with pytest.raises(InputError, match=r"max rate 0\.05"):
        EvaluationSpec(max_rate=0.05).checked()
    with pytest.raises(InputError, match=r"min rate 0\.2"):
        EvaluationSpec(min_rate=0.2).checked()


def test_windows_use_their_volume_curves() -> None:
    """With the volume known in advance the curve's slippage against VWAP is nil; the model's is told in %."""
    spec = EvaluationSpec(min_periods=(12,), sigma=1e-3)
    bars = simulate("seasonal", np.random.default_rng(3), 120, 44, 1e-3, spec.delta_ns)
    curve = bars["volume"][:, 32:] * np.random.default_rng(4).uniform(0.8, 1.25, (120, 12))
    paths = Paths(bars, np.zeros(120, np.int64), 32, curve)
    document = evaluate_windows(load_checkpoint(), paths, spec, {}, quiet)
    for row in document["rows"]:
        if row["benchmark"] == "vwap":
            known = row["baselines"]["vwap_curve"]["abs_slippage_bps_mean"]
            assert known < 0.6 * row["baselines"]["twap"]["abs_slippage_bps_mean"]
            against = row["slippage_against_curve"]
            assert against["percent"] == pytest.approx(100 * (row["abs_slippage_bps_mean"] / known - 1))
            assert against["ci95"][0] < against["percent"] < against["ci95"][1]
        else:
            assert "slippage_against_curve" not in row


def test_a_ratio_by_blocks_is_as_wide_as_by_the_delta_method() -> None:
    """On independent entries both intervals agree, and a mean within a choice is that choice's mean."""
    rng = np.random.default_rng(6)
    y = rng.uniform(1.0, 2.0, 3_000)
    x = 0.8 * y + 0.3 * rng.standard_normal(3_000)
    blocks, alone = Blocks(1, 1), Independent(martingale=False)
    assert blocks.ratio(x, y).value == alone.ratio(x, y).value == pytest.approx(0.8, abs=0.02)
    assert blocks.ratio(x, y).half_width == pytest.approx(alone.ratio(x, y).half_width, rel=0.1)
    chosen = rng.random(3_000) < 0.05
    for estimate in (blocks, alone):
        mean = estimate.within(x, np.zeros(3_000), chosen)
        assert mean.value == pytest.approx(x[chosen].mean())
        assert mean.half_width == pytest.approx(1.96 * x[chosen].std() / chosen.sum() ** 0.5, rel=0.1)
    assert blocks.mean(x, x).half_width == pytest.approx(1.96 * x.std() / 3_000**0.5, rel=0.1)
