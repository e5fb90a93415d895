"""Orders, prices, decisions and counters in words: the phrases every view shares."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeGuard

from agent.core.events import AuditEvent, ChildChanged, CommandHandled, DecisionTaken, GapSeen, RiskRefused
from agent.core.instrument import Instrument
from agent.core.ports import FeedHealth
from agent.core.types import NS_PER_S, ChildState, ParentSpec, Side, TargetKind
from agent.durations import format_duration

UNKNOWN = "–"
FEATURES = 3


def order_in_words(spec: ParentSpec, instruments: Sequence[Instrument]) -> str:
    """buy 2.00000 BTC, done between 3m and 9m, decided every 45s, to beat vwap."""
    instrument = instruments[spec.instrument]
    if spec.target_kind is TargetKind.QUANTITY:
        amount = f"{instrument.quantity(spec.target)} {instrument.unit}"
        amount += "" if instrument.unit == instrument.base else f" of {instrument.symbol}"
    else:
        amount = f"{instrument.notional(spec.target):.2f} {instrument.quote} of {instrument.base}"
    side = "buy" if spec.side is Side.BUY else "sell"
    return (
        f"{side} {amount}, done between {format_duration(spec.min_duration_ns)} and"
        f" {format_duration(spec.max_duration_ns)}, decided every {format_duration(spec.interval_ns)},"
        f" to beat {spec.benchmark.value}"
    )


def bps(value: float | None) -> str:
    """+1.23, with a dash for what is not known; never -0.00."""
    return f"{round(value, 2) + 0.0:+.2f}" if known(value) else UNKNOWN


def price(value: float | None, instrument: Instrument) -> str:
    """As many decimals as the tick has, and one more: averages and mids lie between ticks."""
    exponent = instrument.tick.normalize().as_tuple().exponent
    decimals = max(0, -int(exponent)) + 1
    return f"{value:.{decimals}f}" if known(value) else UNKNOWN


def known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def seconds(ns: int) -> str:
    """45.0 s, 12m 05s, 3h 07m."""
    whole = ns // NS_PER_S
    if whole < 120:
        return f"{ns / NS_PER_S:.1f} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}m {rest:02}s" if minutes < 120 else f"{minutes // 60}h {minutes % 60:02}m"


def decision_in_words(decision: DecisionTaken) -> str:
    """What was done, and why."""
    done = "finish" if decision.finishing else f"{decision.slice_share:.1%}"
    h = decision.finish_probability
    chance = "" if h is None else f" (finish probability {h:.0%})"
    late = ", LATE" if decision.overrun else ""
    return f"{done}{chance}{late}: {why(decision)}{turn(decision)}{main_features(decision.importances)}"


def why(decision: DecisionTaken) -> str:
    """The reason, without the name of the algo that gave it."""
    return decision.reason.removeprefix(f"{decision.algo}: ")


def turn(decision: DecisionTaken) -> str:
    """What would have turned it: "; finishes if the price falls 3.1 bps". Empty where nothing is known to."""
    move = decision.turns_at_bps
    if not known(move):
        return ""
    otherwise, way = "goes on" if decision.finish else "finishes", "rises" if move > 0 else "falls"
    return f"; {otherwise} if the price {way} {abs(move):.1f} bps"


def main_features(importances: Mapping[str, float], most: int = FEATURES) -> str:
    """The features that weighed most, in brackets."""
    top = sorted(importances.items(), key=lambda item: -item[1])[:most]
    return f" [{', '.join(f'{name} {weight:.0%}' for name, weight in top)}]" if top else ""


def notice_in_words(event: AuditEvent) -> str:
    """What someone watching must not miss; "" for the rest."""
    if isinstance(event, RiskRefused):
        return f"{event.parent_id} refused by {event.rule}: {event.reason}"
    if isinstance(event, ChildChanged) and event.reason:
        return _child_in_words(event)
    if isinstance(event, GapSeen):
        what, after = ("ended", f", {event.lost} lost") if event.ended else ("began", "")
        name = event.stream if event.stream.endswith("silent") else f"gap of {event.stream}"
        return f"{name} {what}{after}"
    if isinstance(event, CommandHandled):
        return f"{event.kind.value} {event.parent_id or 'all'}: {event.outcome}"
    return ""


def _child_in_words(child: ChildChanged) -> str:
    """What the venue had against a child, or says of its fees; a post-only order too late is everyday."""
    refused = child.state is ChildState.REJECTED and not child.reason.startswith("post-only")
    asked = child.state is ChildState.PENDING_NEW
    if refused or asked or "fees are charged" in child.reason or child.reason.startswith("self_trade"):
        return f"{child.child_id}{' rejected by the venue' if refused else ''}: {child.reason}"
    return ""


def health_in_words(health: FeedHealth) -> str:
    """1,234 trades, 1 gap (12 trades filled in, 0 lost), silent 2.0 s in all."""
    text = (
        f"{health.trades:,} trades, {health.gaps} {'gap' if health.gaps == 1 else 'gaps'}"
        f" ({health.backfilled} trades filled in, {health.lost} lost)"
    )
    if health.stale_ns:
        text += f", silent {seconds(health.stale_ns)} in all"
    return f"{text}, SILENT NOW: {', '.join(health.stale_now)}" if health.stale_now else text
