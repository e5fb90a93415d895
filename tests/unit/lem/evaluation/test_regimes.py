"""Regimes know the past only, summaries count each path once, digests name the data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest

from agent.barfiles.read_bars import read_bars
from agent.core.market.bars import FBarArray
from lem.bars.data_digest import bars_digest, market_digest
from lem.bars.simulate import simulate
from lem.evaluation.evaluate import evaluate_market, evaluate_windows
from lem.evaluation.evaluation_spec import EvaluationSpec
from lem.evaluation.paths import Paths
from lem.evaluation.regimes import Conditions, conditions, regimes
from lem.network.checkpoint import load_checkpoint
from tests.unit.lem.evaluation.test_evaluate import klines, quiet

SPEC = EvaluationSpec(min_periods=(0, 4, 12), sigma=1e-3)


def bars(count: int) -> FBarArray:
    return simulate("regimes", np.random.default_rng(2), count, 60 + 12, 1e-3, SPEC.delta_ns)


def test_conditions_know_nothing_of_the_order() -> None:
    """Garbage from the order's first bar on changes no regime; what came inside is for reading only."""
    clean = bars(50)
    spoilt = clean.copy()
    spoilt["close"][:, 60:] = 1e6
    for name in ("sigma", "burst", "trend"):
        before, after = (getattr(conditions(b, 60), name) for b in (clean, spoilt))
        assert np.isfinite(before).all()
        np.testing.assert_array_equal(before, after)


def test_orders_are_sorted_within_their_series() -> None:
    """A series ten times as volatile is in every third as often; thirds are thirds and stress a twentieth."""
    x = np.random.default_rng(3).uniform(1.0, 2.0, 600)
    series = np.arange(600) % 2
    scale = np.where(series == 1, 10.0, 1.0)
    found = regimes(Conditions(x * scale, x * scale, np.where(x > 1.9, np.nan, x), x), series)
    counts = {(r.kind, r.level): (int(r.chosen[series == 0].sum()), int(r.chosen.sum())) for r in found}
    for level in ("low", "middle", "high"):
        assert counts["volatility", level] == (100, 200)
    assert counts["stress", "yes"] == (15, 30)
    assert counts["stress", "no"][1] == 570
    known = int((x <= 1.9).sum())
    assert sum(counts["trend", level][1] for level in ("falling", "sideways", "rising")) == known
    high = next(r.chosen for r in found if (r.kind, r.level) == ("volatility", "high"))
    assert x[high].min() > x[~high & (series == 0)].min()


def test_real_regimes_are_told_with_their_own_bound() -> None:
    """Means over a kind's levels add up to the whole; the bound goes with the regime's volatility."""
    paths = Paths(bars(300), np.zeros(300, np.int64), 60)
    document = evaluate_windows(load_checkpoint(), paths, SPEC, {}, quiet)
    told = document["regimes"]
    assert len(told["rows"]) == 8 * 8 * 3
    assert len(told["summary"]) == 8 * 2
    assert set(told["definitions"]) == {"volatility", "trend", "stress"}
    first = [r for r in told["rows"] if r["kind"] == "volatility"]
    for row in document["rows"][:6]:
        keys = ("side", "target_kind", "benchmark", "min_period")
        parts = [r for r in first if all(r[k] == row[k] for k in keys)]
        whole = sum(r["gain_bps_mean"] * r["orders"] for r in parts) / sum(r["orders"] for r in parts)
        assert whole == pytest.approx(row["gain_bps"]["raw_mean"])
        low, _, high = parts
        assert low["sigma"] < high["sigma"]
        ratio = high["sigma"] / low["sigma"]
        assert high["bound_gain_bps"] == pytest.approx(ratio * low["bound_gain_bps"])
        if row["min_period"] < 12:
            assert low["gain_bps_ci95"][0] < low["gain_bps_mean"] < low["gain_bps_ci95"][1]
    rare = [r for r in told["rows"] if (r["kind"], r["regime"]) == ("stress", "yes")]
    assert all(r["gain_bps_ci95"] is None for r in rare)  # 15 orders


def test_the_summary_is_the_mean_of_fractions() -> None:
    """Over sides, and min periods up to n / 2, at one count a path; its interval is the paths' own."""
    paths = Paths(bars(300), np.zeros(300, np.int64), 60)
    document = evaluate_windows(load_checkpoint(), paths, SPEC, {}, quiet)
    *parts, whole = document["summary"]
    assert len(parts) == 4
    for record in parts:
        rows = [
            r
            for r in document["rows"]
            if (r["target_kind"], r["benchmark"]) == (record["target_kind"], record["benchmark"])
            and r["min_period"] <= 6
        ]
        assert record["min_periods"] == [0, 4]
        assert record["orders"] == 300
        assert record["fraction_of_bound"] == pytest.approx(np.mean([r["fraction_of_bound"] for r in rows]))
        assert record["ci95"][0] < record["fraction_of_bound"] < record["ci95"][1]
        assert record["lowest"]["fraction_of_bound"] <= record["fraction_of_bound"]
        lead = record["fraction_of_bound"] - record["rule_fraction_of_bound"]
        assert record["versus_rule"]["fraction_of_bound"] == pytest.approx(lead)
        arrival = np.mean([r["arrival_gain_bps_mean"] for r in rows])
        assert record["arrival_gain_bps_mean"] == pytest.approx(arrival)
        widths = [r["arrival_gain_bps_ci95"][1] - r["arrival_gain_bps_mean"] for r in rows]
        assert record["arrival_gain_bps_ci95"][1] - arrival < 0.5 * min(widths)  # buy and sell cancel drift
    assert whole["fraction_of_bound"] == pytest.approx(np.mean([r["fraction_of_bound"] for r in parts]))


def test_nothing_to_gain_has_no_summary() -> None:
    """With m = n alone there is no fraction to tell."""
    document = evaluate_market(
        load_checkpoint(), "gaussian", replace(SPEC, min_periods=(12,), orders=30), quiet
    )
    assert document["summary"] == []


def test_a_digest_names_the_bars(tmp_path: Path) -> None:
    """Parquet and CSV of the same bars agree; one changed price, name or interval does not."""
    table = klines(300)
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    pyarrow.csv.write_csv(table, tmp_path / "x.csv")
    (one,), (two,) = read_bars(tmp_path / "x.parquet"), read_bars(tmp_path / "x.csv")
    digest = bars_digest([("x", one.bars)], 60)
    assert len(digest) == 16
    assert bars_digest([("x", two.bars)], 60) == digest
    changed = one.bars.copy()
    changed["close"][7] *= 1.0 + 1e-12
    others = [bars_digest([("x", changed)], 60), bars_digest([("y", one.bars)], 60)]
    others += [bars_digest([("x", one.bars)], 61), bars_digest([("x", one.bars[1:])], 60)]
    assert digest not in others
    assert market_digest("gaussian", SPEC) != market_digest("gaussian", replace(SPEC, seed=2))
    assert market_digest("gaussian", SPEC) != market_digest("gaussian-bars", SPEC)
