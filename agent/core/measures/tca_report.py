"""The scorecard of one finished parent or shadow order: every term of ``agent.core.measures.tca``, as rows.

Benchmarks are taken over the used window, [start, end of the interval in which the order finished), and
over the full one, [start, start + max_duration), which is None until the tape has shown it. Measure an
order once the tape has passed the end of its used window, and again when more of ``mids`` is known.
What a measure stands on, and why one is not known: ``agent.core.measures.data_quality``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from fractions import Fraction
from math import nan

from agent.core.events import SlippageMeasured
from agent.core.instrument import Instrument
from agent.core.market.mids import MidTrack
from agent.core.measures import tca
from agent.core.measures.data_quality import (
    REVERSION_NS,
    Stand,
    markout_name,
    reasons,
    why_no_participation,
)
from agent.core.measures.exact_money import MONEY_DIGITS, plain, settled
from agent.core.measures.large_share import large_share_note
from agent.core.measures.traded_volume import Participation
from agent.core.money import average_ticks, cost_of_half_ticks
from agent.core.types import ParentSpec, ParentState

PWP_RATE = Fraction(1, 10)
"""Participation at which the participation-weighted price is taken: a desk's usual 10 %."""

OF_ROW = (
    *("used_price", "full_price", "avg_price", "arrival_price", "gain_bps", "full_gain_bps"),
    *("arrival_slippage_bps", "participation_rate"),
)
"""The measures that are members of ``SlippageMeasured``; the others are keys of its ``measures``."""


@dataclass(frozen=True, slots=True)
class TcaFacts:
    """What a finished order left behind. ``trades`` starts at the order's start, one row an interval.

    ``trades`` may be longer than the order was: with ``spec.max_intervals`` rows or more the full window
    is known. ``used_intervals`` is 1 + the index of the interval in which the order ended. Mids are in
    half ticks, None where no book was seen; ``mids`` serves what happened between and after the fills.
    """

    spec: ParentSpec
    state: ParentState
    start_ns: int
    end_ns: int
    filled_lots: int
    filled_tl: int
    fee_tlp: int
    sent_lots: int
    decision_mid_half_ticks: int | None
    arrival_mid_half_ticks: int
    end_mid_half_ticks: int | None
    used_intervals: int
    trades: Sequence[tca.IntervalTrades]
    mids: MidTrack
    stand: Stand
    participation: Participation  # at ``pwp_rate``
    fills: Sequence[tca.Fill] = ()
    pwp_rate: Fraction = PWP_RATE
    inverse: bool = False
    noted_share: float | None = None  # of the market's volume: what has more gets a note
    own_impact: bool = False  # fills pay for the price that they moved


@dataclass(frozen=True, slots=True)
class BenchmarkGain:
    """One benchmark over both windows, prices in ticks. Gains are positive when good; NaN unfilled."""

    name: str
    used_ticks: Fraction | None
    full_ticks: Fraction | None
    gain_bps: float
    full_gain_bps: float | None


@dataclass(frozen=True, slots=True)
class ParentTca:
    """Everything measured of one order. Prices in ticks; money in half ticks x lots."""

    shortfall: tca.Shortfall
    size_lots: Fraction
    decision_half_ticks: int
    avg_ticks: Fraction | None
    arrival_slippage_bps: float
    participation_rate: float
    benchmarks: tuple[BenchmarkGain, ...]
    measures: Mapping[str, float | str | None]  # the rest, by name


def measure(facts: TcaFacts) -> ParentTca:
    """Measure one order. Pure."""
    arrival = facts.arrival_mid_half_ticks
    decision = facts.decision_mid_half_ticks
    spec, filled = facts.spec, (facts.filled_lots, facts.filled_tl)
    size = tca.parent_lots(spec.target_kind, spec.target, *filled, arrival)
    components = tca.shortfall(
        spec.side,
        size,
        *filled,
        facts.fee_tlp,
        decision=arrival if decision is None else decision,
        arrival=arrival,
        end=arrival if facts.end_mid_half_ticks is None else facts.end_mid_half_ticks,
        inverse=facts.inverse,
    )
    avg = None
    if facts.filled_lots:
        avg = average_ticks(facts.filled_tl, facts.filled_lots, inverse=facts.inverse)
    market_lots = sum(t.base_lots for t in facts.trades[: facts.used_intervals])
    return ParentTca(
        shortfall=components,
        size_lots=size,
        decision_half_ticks=arrival if decision is None else decision,
        avg_ticks=avg,
        arrival_slippage_bps=_cost_bps(facts, avg, Fraction(arrival, 2)),
        participation_rate=facts.filled_lots / market_lots if market_lots else nan,
        benchmarks=_benchmarks(facts, avg),
        measures=_measures(facts, avg),
    )


def slippage_rows(facts: TcaFacts, instrument: Instrument, at_ns: int, seq: int) -> list[SlippageMeasured]:
    """Return one event a benchmark; the remaining terms are in each row's ``measures``."""
    result = measure(facts)
    measures = {**money_measures(result, instrument), **result.measures}
    return [_row(facts, result, b, measures, instrument, at_ns, seq) for b in result.benchmarks]


def _row(
    facts: TcaFacts,
    result: ParentTca,
    b: BenchmarkGain,
    measures: Mapping[str, float | str | None],
    instrument: Instrument,
    at_ns: int,
    seq: int,
) -> SlippageMeasured:
    spec = facts.spec
    row = SlippageMeasured(
        at_ns=at_ns,
        seq=seq,
        parent_id=spec.parent_id,
        shadow_of=spec.shadow_of,
        algo=spec.algo,
        benchmark=b.name,
        own_benchmark=b.name == spec.benchmark,
        used_price=nan if b.used_ticks is None else _price(instrument, b.used_ticks),
        full_price=None if b.full_ticks is None else _price(instrument, b.full_ticks),
        avg_price=nan if result.avg_ticks is None else _price(instrument, result.avg_ticks),
        arrival_price=_price(instrument, Fraction(facts.arrival_mid_half_ticks, 2)),
        gain_bps=b.gain_bps,
        full_gain_bps=b.full_gain_bps,
        arrival_slippage_bps=result.arrival_slippage_bps,
        participation_rate=result.participation_rate,
        measures=measures,
    )
    values = {**{name: getattr(row, name) for name in OF_ROW}, **measures}
    del values["flags"]  # sentences, no number
    why = reasons(values, facts.stand.times, facts.mids, facts.fills, b.name)
    if "pwp_slippage_bps" in why or facts.participation.price_ticks is None:
        why["pwp_slippage_bps"] = _why_no_pwp(facts, instrument)
    return replace(row, flags=facts.stand.flags(b.name, values), reasons=why)


def _why_no_pwp(facts: TcaFacts, instrument: Instrument) -> str:
    quantity = f"{float(facts.participation.need_lots) * float(instrument.lot):.6g} {instrument.unit}"
    return why_no_participation(facts.participation, facts.pwp_rate, quantity)


def money_measures(result: ParentTca, instrument: Instrument) -> dict[str, float | str | None]:
    """Return the shortfall's components as decimal strings that sum to the total's, and each in bps.

    Basis points are of the paper portfolio's value at the decision, S x P_d.
    """
    components = {
        "delay": result.shortfall.delay,
        "trading": result.shortfall.trading,
        "opportunity": result.shortfall.opportunity,
        "fees": result.shortfall.fees,
    }
    money = {name: settled(component, instrument) for name, component in components.items()}
    at_decision = cost_of_half_ticks(result.decision_half_ticks, inverse=instrument.inverse)
    paper = abs(result.size_lots * at_decision)
    with localcontext() as context:
        context.prec = MONEY_DIGITS
        total = sum(money.values(), Decimal(0))
    rows: dict[str, float | str | None] = {f"shortfall_{k}": plain(v) for k, v in money.items()}
    rows["shortfall_total"] = plain(total)
    for name, component in (*components.items(), ("total", result.shortfall.total)):
        rows[f"shortfall_{name}_bps"] = float(component / paper * tca.BPS) if paper else nan
    return rows


def _benchmarks(facts: TcaFacts, avg: Fraction | None) -> tuple[BenchmarkGain, ...]:
    n = facts.spec.max_intervals
    used, full = facts.trades[: facts.used_intervals], facts.trades[:n]
    used_end_ns = facts.start_ns + facts.used_intervals * facts.spec.interval_ns
    full_end_ns = facts.start_ns + facts.spec.max_duration_ns
    known = len(full) == n
    windows = {
        "vwap": (tca.vwap(used) or tca.twap(used), (tca.vwap(full) or tca.twap(full)) if known else None),
        "twap": (tca.twap(used), tca.twap(full) if known else None),
        "twap_mid": (
            _half(facts.mids.mean(facts.start_ns, used_end_ns)),
            _half(facts.mids.mean(facts.start_ns, full_end_ns)),
        ),
    }
    return tuple(
        BenchmarkGain(
            name=name,
            used_ticks=used_ticks,
            full_ticks=full_ticks,
            gain_bps=nan if used_ticks is None else _gain_bps(facts, avg, used_ticks),
            full_gain_bps=None if full_ticks is None else _gain_bps(facts, avg, full_ticks),
        )
        for name, (used_ticks, full_ticks) in windows.items()
    )


def _measures(facts: TcaFacts, avg: Fraction | None) -> dict[str, float | str | None]:
    side, fills, mids = facts.spec.side, facts.fills, facts.mids
    pwp_ticks = facts.participation.price_ticks
    used = facts.trades[: facts.used_intervals]
    rows: dict[str, float | str | None] = {
        "pwp_rate": float(facts.pwp_rate),
        "pwp_slippage_bps": None if pwp_ticks is None else _cost_bps(facts, avg, pwp_ticks),
        "effective_spread_bps": tca.effective_spread_bps(side, fills),
        "price_improvement_bps": tca.price_improvement_bps(side, fills),
        "fill_rate": facts.filled_lots / facts.sent_lots if facts.sent_lots else None,
        "maker_share": tca.maker_share(fills),
        "reversion_bps": _reversion_bps(facts),
    }
    for tau_ns in tca.MARKOUT_NS:
        rows[markout_name(tau_ns)] = tca.markout_bps(side, fills, mids.each_at, tau_ns)
    rows["flags"] = ", ".join(_notes(facts, used)) or None
    return rows


def _reversion_bps(facts: TcaFacts) -> float | None:
    """None for an order that never traded, and where either mid is not known."""
    if not facts.filled_lots or facts.mids.at(facts.end_ns) is None:
        return None
    later = facts.mids.at(facts.end_ns + REVERSION_NS)
    return tca.reversion_bps(facts.spec.side, facts.end_mid_half_ticks, later)


def _notes(facts: TcaFacts, used: Sequence[tca.IntervalTrades]) -> list[str]:
    """Where a definition had to fall back or a number is past belief, a sentence each."""
    traded = sum(t.base_lots for t in used)
    share = facts.filled_lots / traded if traded else 0.0
    unseen = facts.stand.times.known_ns < facts.stand.times.used_end_ns
    checks = (
        (facts.decision_mid_half_ticks is None, "no mid at submission: delay counted as 0"),
        (facts.end_mid_half_ticks is None, "no mid at the end: opportunity priced at arrival"),
        (tca.vwap(used) is None, "no market trades in the used window: vwap is the last price"),
        (unseen, "the tape ends within the used window: what it shows of it is measured"),
        (share > 1, f"participation of {share:.0%}: more was filled than the market traded meanwhile"),
        (facts.filled_lots == 0, "nothing filled"),
    )
    found = [sentence for applies, sentence in checks if applies]
    market_lots = sum(t.base_lots for t in used)
    note = large_share_note(facts.filled_lots, market_lots, facts.noted_share, own_impact=facts.own_impact)
    return [*found, *([note] if note else [])]


def _cost_bps(facts: TcaFacts, avg: Fraction | None, reference_ticks: Fraction) -> float:
    return nan if avg is None else tca.cost_bps(facts.spec.side, avg, reference_ticks)


def _gain_bps(facts: TcaFacts, avg: Fraction | None, reference_ticks: Fraction) -> float:
    return 0.0 - _cost_bps(facts, avg, reference_ticks)  # never -0.0


def _half(half_ticks: Fraction | None) -> Fraction | None:
    return None if half_ticks is None else half_ticks / 2


def _price(instrument: Instrument, ticks: Fraction) -> float:
    return float(ticks * Fraction(instrument.tick))
