"""Columns of the evaluation's tables: each is a header and the text that a row has under it.

Numbers of one kind share their decimals ``d``, which follow from the volatility.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from agent.durations import format_duration
from lem.evaluation.evaluation_document import (
    BaselineMeasures,
    EvaluationDocument,
    EvaluationRow,
    Interval,
    RegimeSummary,
    SummaryRow,
    Versus,
)

Row = TypeVar("Row")
Columns = dict[str, Callable[[Row], str]]
"""Header -> the text of a row; a column that is empty in every row is left out."""

SummaryLine = tuple[EvaluationDocument, SummaryRow]


def gain_columns(document: EvaluationDocument, d: int) -> Columns[EvaluationRow]:
    """The model's gains."""
    return {
        **_names(),
        "mean": lambda r: f"{r['gain_bps']['mean']:.{d}f}",
        "± 95 %": lambda r: _half(r["gain_bps"]["mean"], r["gain_bps"]["ci95"], d),
        "std": lambda r: f"{r['gain_bps']['std']:.{d}f}",
        "p5": lambda r: f"{r['gain_bps']['p5']:.{d}f}",
        "p25": lambda r: f"{r['gain_bps']['p25']:.{d}f}",
        "median": lambda r: f"{r['gain_bps']['median']:.{d}f}",
        "p75": lambda r: f"{r['gain_bps']['p75']:.{d}f}",
        "p95": lambda r: f"{r['gain_bps']['p95']:.{d}f}",
        "|slip|": lambda r: f"{r['abs_slippage_bps_mean']:.{d}f}",
        "bound": lambda r: f"{r['bound_gain_bps']:.{d}f}",
        fraction_name(document): lambda r: _maybe(r["fraction_of_bound"]),
        "regret": lambda r: f"{r['regret']['fraction_of_bound']:.4f}" if "regret" in r else "",
    }


def versus_columns(d: int) -> Columns[EvaluationRow]:
    """The model's gain less that of each rule."""

    def less(name: str) -> Callable[[EvaluationRow], str]:
        return lambda r: _gain_difference(r["versus"][name], d)

    def rule(row: EvaluationRow) -> BaselineMeasures:
        return row["baselines"]["optimal_stopping"]

    return {
        **_names(),
        "model": lambda r: f"{r['gain_bps']['mean']:.{d}f}",
        "rule": lambda r: f"{rule(r)['gain_bps_mean']:.{d}f}",
        "its std": lambda r: f"{rule(r)['gain_bps_std']:.{d}f}",
        "less rule": less("optimal_stopping"),
        "less dump": less("dump"),
        "less twap": less("twap"),
        "less curve": less("vwap_curve"),
        "less A-C": less("almgren_chriss"),
    }


def fraction_name(document: EvaluationDocument) -> str:
    """The header of the fraction of the optimum: only on a martingale is it the market's own."""
    if "market" not in document:
        return "of bars bound"
    own = document["bound_is"].startswith("the market's own")
    return "of bound" if own else "of martingale bound"


def shows_arrival(document: EvaluationDocument) -> bool:
    """On real bars always; on a simulated market only where orders aim at the arrival price."""
    return bool(document["arrival_weight"]) or "market" not in document


def net_columns(document: EvaluationDocument, d: int) -> Columns[EvaluationRow]:
    """Gains after impact, and against the arrival price."""

    def net(name: str) -> Callable[[EvaluationRow], str]:
        return lambda r: f"{r['baselines'][name]['gain_after_impact_bps_mean']:.{d}f}"

    def arrival_half(r: EvaluationRow) -> str:
        return _half(r["arrival_gain_bps_mean"], r["arrival_gain_bps_ci95"], d)

    arrival = shows_arrival(document)
    return {
        **_names(),
        "net": lambda r: f"{r['gain_after_impact_bps_mean']:.{d}f}",
        "rule": net("optimal_stopping"),
        "dump": net("dump"),
        "twap": net("twap"),
        "curve": net("vwap_curve") if "market" not in document else lambda _: "",  # simulated: as twap
        "A-C": net("almgren_chriss"),
        "net less rule": lambda r: _net_difference(r["versus"]["optimal_stopping"], d),
        "of optimum": lambda r: _maybe(r["impact"]["fraction_of_programme"]) if "impact" in r else "",
        "of neutral": lambda r: _maybe(r["impact"]["fraction_of_neutral"]) if "impact" in r else "",
        "arrival": lambda r: f"{r['arrival_gain_bps_mean']:.{d}f}" if arrival else "",
        "± 95 %": lambda r: arrival_half(r) if arrival else "",
        "of best": lambda r: _maybe(r["arrival_fraction"]),
        "arrival less twap": lambda r: _arrival_difference(r["versus"]["twap"], d) if arrival else "",
    }


def fixed_columns(d: int) -> Columns[EvaluationRow]:
    """Slippage where the min period is the max duration."""
    return {
        "side": lambda r: r["side"],
        "target": lambda r: r["target_kind"],
        "bench": lambda r: r["benchmark"],
        "model": lambda r: f"{r['abs_slippage_bps_mean']:.{d}f}",
        "curve": lambda r: f"{r['baselines']['vwap_curve']['abs_slippage_bps_mean']:.{d}f}",
        "twap": lambda r: f"{r['baselines']['twap']['abs_slippage_bps_mean']:.{d}f}",
        "model against curve, %": lambda r: _curve_percent(r),
        "95 %": lambda r: _curve_interval(r),
    }


def regime_columns(d: int) -> Columns[RegimeSummary]:
    """Results by regime."""
    return {
        "regime": lambda r: f"{r['kind']}: {r['regime']}",
        "side": lambda r: r["side"],
        "orders": lambda r: str(r["orders"]),
        "sigma before": lambda r: f"{1e4 * r['sigma']:.{d}f}",
        "sigma inside": lambda r: f"{1e4 * r['sigma_inside']:.{d}f}",
        "gain": lambda r: f"{r['gain_bps_mean']:.{d}f}",
        "of its bound": lambda r: f"{r['fraction_of_bound_mean']:.3f}",
        "95 %": lambda r: _range(r["fraction_of_bound_ci95"], 3),
        "less rule": lambda r: f"{r['versus_rule_fraction_mean']:+.3f}",
        "95 % ": lambda r: _range(r["versus_rule_fraction_ci95"], 3),
    }


def summary_columns() -> Columns[SummaryLine]:
    """The summary, with where it comes from."""
    return {
        "on": lambda r: format_duration(r[0]["interval_ns"]) if "interval_ns" in r[0] else r[0]["market"],
        "target": lambda r: r[1]["target_kind"],
        "bench": lambda r: r[1]["benchmark"],
        "m": lambda r: _periods(r[1]["min_periods"]),
        "gain, bps": lambda r: f"{r[1]['gain_bps_mean']:.2f}",
        "fraction": lambda r: f"{r[1]['fraction_of_bound']:.3f}",
        "95 %": lambda r: _range(r[1]["ci95"], 3),
        "lowest": lambda r: _lowest(r[1]),
        "rule": lambda r: f"{r[1]['rule_fraction_of_bound']:.3f}",
        "less rule": lambda r: f"{r[1]['versus_rule']['fraction_of_bound']:+.3f}",
        "95 % ": lambda r: _range(r[1]["versus_rule"]["ci95"], 3),
        "arrival, bps": lambda r: _arrival(r[1]) if shows_arrival(r[0]) else "",
    }


def _lowest(row: SummaryRow) -> str:
    return f"{row['lowest']['fraction_of_bound']:.3f} (m {row['lowest']['min_period']})"


def _arrival(row: SummaryRow) -> str:
    mean = row["arrival_gain_bps_mean"]
    return f"{mean:+.2f} ± {_half(mean, row['arrival_gain_bps_ci95'], 2)}"


def _names() -> Columns[EvaluationRow]:
    return {
        "side": lambda r: r["side"],
        "target": lambda r: r["target_kind"],
        "bench": lambda r: r["benchmark"],
        "m": lambda r: str(r["min_period"]),
    }


def _curve_percent(row: EvaluationRow) -> str:
    found = row.get("slippage_against_curve")
    return f"{found['percent']:+.1f}" if found else ""


def _curve_interval(row: EvaluationRow) -> str:
    found = row.get("slippage_against_curve")
    return _range(found["ci95"], 1) if found else ""


def _maybe(fraction: float | None) -> str:
    return "" if fraction is None else f"{fraction:.3f}"


def _half(mean: float, interval: Interval, d: int) -> str:
    return f"{interval[1] - mean:.{d}f}"


def _gain_difference(versus: Versus, d: int) -> str:
    return _with_half(versus["gain_bps_mean"], versus["gain_bps_ci95"], d)


def _net_difference(versus: Versus, d: int) -> str:
    return _with_half(versus["gain_after_impact_bps_mean"], versus["gain_after_impact_bps_ci95"], d)


def _arrival_difference(versus: Versus, d: int) -> str:
    return _with_half(versus["arrival_gain_bps_mean"], versus["arrival_gain_bps_ci95"], d)


def _with_half(mean: float, interval: Interval, d: int) -> str:
    return f"{mean:+.{d}f} ± {_half(mean, interval, d)}"


def _range(interval: Interval | None, d: int) -> str:
    return "" if interval is None else f"{interval[0]:.{d}f} to {interval[1]:.{d}f}"


def _periods(periods: list[int]) -> str:
    """0-6 where they are consecutive, else a list."""
    if len(periods) > 2 and periods == list(range(periods[0], periods[-1] + 1)):
        return f"{periods[0]}-{periods[-1]}"
    return ", ".join(map(str, periods))
