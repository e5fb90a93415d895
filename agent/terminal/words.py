"""Orders, numbers and times in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.core.events import DecisionTaken
from agent.core.instrument import Instrument
from agent.core.types import ParentSpec, Side, TargetKind
from agent.durations import format_duration


def order_in_words(spec: ParentSpec, instruments: Sequence[Instrument]) -> str:
    """buy 2.00000 BTC in 3m to 9m, interval 45s, against vwap."""
    instrument = instruments[spec.instrument]
    if spec.target_kind is TargetKind.QUANTITY:
        amount = f"{instrument.quantity(spec.target)} {instrument.base}"
    else:
        amount = f"{instrument.notional(spec.target):.2f} {instrument.quote} of {instrument.base}"
    side = "buy" if spec.side is Side.BUY else "sell"
    return (
        f"{side} {amount}, done between {format_duration(spec.min_duration_ns)} and"
        f" {format_duration(spec.max_duration_ns)}, decided every {format_duration(spec.interval_ns)},"
        f" to beat {spec.benchmark.value}"
    )


def bps(value: float | None) -> str:
    """+1.23, with a dash for what is not known."""
    return "–" if value is None else f"{value:+.2f}"


def decision_in_words(decision: DecisionTaken) -> str:
    """What was done, and why."""
    done = "finish" if decision.finishing else f"{decision.slice_share:.1%}"
    chance = "" if decision.finish_probability is None else f", h {decision.finish_probability:.2f}"
    late = ", LATE" if decision.overrun else ""
    return f"{done}{chance}{late}: {decision.reason}{main_features(decision.importances)}"


def main_features(importances: Mapping[str, float], most: int = 3) -> str:
    """The features that weighed most, in brackets."""
    top = sorted(importances.items(), key=lambda item: -item[1])[:most]
    return f" [{', '.join(f'{name} {weight:.0%}' for name, weight in top)}]" if top else ""


def health_in_words(counters: Mapping[str, Any]) -> str:
    stale = counters.get("stale_now") or []
    words = (
        f"{counters.get('trades', 0)} trades, {counters.get('gaps', 0)} gaps"
        f" ({counters.get('backfilled', 0)} trades filled in, {counters.get('lost', 0)} lost)"
    )
    return f"{words}, SILENT: {', '.join(stale)}" if stale else words
