"""The evaluation as one JSON document: what ``lem evaluate --json`` prints, and tables and pages read.

Gains, slippages and impact are in basis points of the price unless a name ends in ``_sigma`` (units of an
interval's volatility) or holds ``fraction`` (of the optimum's gain). A gain above 0 is good. ``ci95`` is the
ends of a 95 % interval. Periods, durations and finishes are in intervals, times in ns.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict, final

from agent.barfiles.bar_quality import QualityRecord

Interval = list[float]
"""[low, high]"""


class GainSummary(TypedDict):
    """Gains of one row's orders: the paper's columns; ``raw_mean`` is without control variates."""

    mean: float
    std: float
    median: float
    p5: float
    p25: float
    p75: float
    p95: float
    ci95: Interval
    raw_mean: float


class NetMeasures(TypedDict):
    """What a strategy does on one row's orders, its gain aside."""

    abs_slippage_bps_mean: float
    gain_after_impact_bps_mean: float
    arrival_gain_bps_mean: float
    arrival_gain_bps_ci95: Interval
    intervals_mean: float  # until it finished


class BaselineMeasures(TypedDict):
    """What a baseline does on one row's orders."""

    gain_bps_mean: float
    gain_bps_std: float
    abs_slippage_bps_mean: float
    gain_after_impact_bps_mean: float
    arrival_gain_bps_mean: float
    arrival_gain_bps_ci95: Interval
    intervals_mean: float


class Versus(TypedDict):
    """The model less a baseline, paired on the same orders."""

    gain_bps_mean: float
    gain_bps_ci95: Interval
    gain_after_impact_bps_mean: float
    gain_after_impact_bps_ci95: Interval
    arrival_gain_bps_mean: float
    arrival_gain_bps_ci95: Interval


class FractionOfBound(TypedDict):
    """A fraction of the optimum's gain."""

    fraction_of_bound: float
    ci95: Interval


class ImpactFractions(TypedDict):
    """Gain after impact between TWAP's (0) and an exact optimum's (1): see ``evaluate_rows``."""

    fraction_of_programme: float | None
    programme_bps: float
    fraction_of_neutral: float | None
    neutral_bps: float
    better_rule_bps: float
    above_better_rule_bps: float


class CurveSlippage(TypedDict):
    """Mean absolute slippage against that of the static volume curve, in percent more."""

    percent: float
    ci95: Interval


class EvaluationRow(TypedDict):
    """One scenario and min period."""

    side: str
    target_kind: str
    benchmark: str
    min_period: int
    orders: int
    gain_bps: GainSummary
    abs_slippage_bps_mean: float
    gain_after_impact_bps_mean: float
    arrival_gain_bps_mean: float
    arrival_gain_bps_ci95: Interval
    intervals_mean: float
    bound_gain_bps: float
    fraction_of_bound: float | None
    baselines: dict[str, BaselineMeasures]
    versus: dict[str, Versus]
    arrival_achievable_bps: float | None
    arrival_fraction: float | None
    regret: NotRequired[FractionOfBound]
    impact: NotRequired[ImpactFractions]
    slippage_against_curve: NotRequired[CurveSlippage | None]


class LowestPeriod(TypedDict):
    """The min period with the lowest fraction."""

    min_period: int
    fraction_of_bound: float
    ci95: Interval


class SummaryRow(TypedDict):
    """Buy and sell together, over the min periods up to n / 2; kind and benchmark may be "all"."""

    interval_ns: NotRequired[int]  # where a document joins several
    target_kind: str
    benchmark: str
    sides: list[str]
    min_periods: list[int]
    orders: int
    gain_bps_mean: float
    bound_gain_bps: float
    fraction_of_bound: float
    ci95: Interval
    lowest: LowestPeriod
    rule_fraction_of_bound: float
    arrival_gain_bps_mean: float
    arrival_gain_bps_ci95: Interval
    versus_rule: FractionOfBound


class RegimeKey(TypedDict):
    """Which orders a row or summary is about."""

    kind: str
    regime: str
    orders: int
    sigma: float  # mean trailing volatility of its orders, a fraction of the price an interval
    sigma_inside: float  # the volatility that came
    side: str


class RegimeRow(RegimeKey):
    """One scenario and min period within one regime."""

    target_kind: str
    benchmark: str
    min_period: int
    gain_bps_mean: float
    gain_bps_ci95: Interval | None
    bound_gain_bps: float
    fraction_of_bound: float | None
    versus_rule_bps_mean: float
    versus_rule_bps_ci95: Interval | None


class RegimeSummary(RegimeKey):
    """One side within one regime, over targets, benchmarks and the min periods up to n / 2."""

    min_periods: list[int]
    gain_bps_mean: float
    fraction_of_bound_mean: float
    fraction_of_bound_ci95: Interval | None
    versus_rule_fraction_mean: float
    versus_rule_fraction_ci95: Interval | None


class Regimes(TypedDict):
    """Results by what the market had done before the orders began."""

    definitions: dict[str, str]
    summary: list[RegimeSummary]
    rows: list[RegimeRow]


class PointNumbers(TypedDict):
    gain_sigma: float
    gain_sigma_ci95: Interval
    std_sigma: float
    impact_sigma: float
    net_sigma: float
    net_sigma_ci95: Interval


class RulePoint(PointNumbers):
    """A rule, whose schedule does not depend on the risk aversion."""

    side: str
    strategy: str


class FrontierPoint(RulePoint):
    """The model or the optimum at one risk aversion."""

    risk_aversion: float
    objective: float
    objective_ci95: Interval


class ModelPoint(FrontierPoint):
    """The model's; ``excess``: its objective less the optimum's."""

    excess: float
    excess_ci95: Interval


class FrontierCurve(TypedDict):
    """One market and participation."""

    market: str
    participation: float
    points: list[FrontierPoint]
    rules: list[RulePoint]


class Frontier(TypedDict):
    """Gain against risk and impact, in sigmas."""

    n: int
    min_period: int
    orders: int
    curves: list[FrontierCurve]


class TimeSpan(TypedDict):
    """Starts of the first and the last bar."""

    from_ns: int
    to_ns: int


class DataSource(TypedDict, total=False):
    """What the orders ran on, a simulated market or windows of bar files; and what the command adds."""

    market: str
    history: int
    data_digest: str
    bars: list[str]
    interval_ns: int
    data: TimeSpan
    every: int
    windows: int
    overlap: float
    calendar: str
    quality: dict[str, QualityRecord]
    sigma_inside: float
    bootstrap_block_orders: int
    reproduce: str
    frontier: Frontier


@final
class EvaluationDocument(DataSource):
    """One evaluation; of ``DataSource`` it has ``data_digest`` always, the others where they apply."""

    model: str
    digest: str
    n: int
    seed: int
    risk_aversion: float
    participation: float
    min_rate: float
    max_rate: float
    arrival_weight: float
    impact_participation: float
    sigma: float  # of the simulated market, or the windows' mean trailing volatility
    bound_is: str
    volume_curve: str
    left_out: dict[str, str]
    summary: list[SummaryRow]
    rows: list[EvaluationRow]
    regimes: Regimes


@final
class JoinedDocument(TypedDict):
    """Several evaluations that differ in their interval."""

    model: str
    digest: str
    data_digest: str
    reproduce: str
    summary: list[SummaryRow]
    documents: list[EvaluationDocument]
    frontier: NotRequired[Frontier]
