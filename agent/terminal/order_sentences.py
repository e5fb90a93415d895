"""Every sentence of the views on an order: what it is, what was decided, how far it is, how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from agent.core.events import (
    AuditEvent,
    ChildChanged,
    CommandHandled,
    DecisionTaken,
    ParentChanged,
    RiskRefused,
)
from agent.core.instrument import Instrument
from agent.core.market.feature_names import feature_label
from agent.core.types import ChildState, ParentSpec, Side, TargetKind
from agent.durations import format_duration
from agent.parent_record import ParentRecord
from agent.summary import ParentDocument
from agent.terminal.formatting import bps, duration, known, money, price

if TYPE_CHECKING:  # a neighbour: what is shown is handed in
    from storage.recordings.catalogue import ListedOrder

FEATURES = 3


# --- what it is --------------------------------------------------------------------------------------


def order_in_words(spec: ParentSpec, instruments: Sequence[Instrument]) -> str:
    """buy 2.00000 BTC in a window of 3m to 9m, decided every 45s, to beat vwap."""
    instrument = instruments[spec.instrument]
    if spec.target_kind is TargetKind.QUANTITY:
        amount = f"{instrument.quantity(spec.target):f} {instrument.unit}"
        amount += "" if instrument.unit == instrument.base else f" of {instrument.symbol}"
    else:
        target = instrument.notional(spec.target)
        amount = f"{money(target, target * 100, least=2)} {instrument.quote} of {instrument.base}"
    side = "buy" if spec.side is Side.BUY else "sell"
    return (
        f"{side} {amount} in a window of {format_duration(spec.min_duration_ns)} to"
        f" {format_duration(spec.max_duration_ns)}, decided every {format_duration(spec.interval_ns)},"
        f" to beat {spec.benchmark.value}"
    )


# --- what was decided --------------------------------------------------------------------------------


def decision_in_words(decision: DecisionTaken) -> str:
    """What was done, and why."""
    done = "finish" if decision.finishing else f"{decision.slice_share:.1%}"
    h = decision.finish_probability
    chance = "" if h is None else f" (finish probability {h:.0%})"
    late = ", LATE" if decision.overrun else ""
    why = f"{reason_of(decision)}{turning_clause(decision)}{feature_list(decision.importances)}"
    return f"{done}{chance}{late}: {why}"


def reason_of(decision: DecisionTaken) -> str:
    """The reason, without the name of the algo that gave it."""
    return decision.full_reason.removeprefix(f"{decision.algo}: ")


def turning_clause(decision: DecisionTaken) -> str:
    """What would have changed it: "; finishes if the price falls 3.1 bps". Empty where nothing would."""
    move = decision.turns_at_bps
    if not known(move):
        return ""
    otherwise, way = "goes on" if decision.finish else "finishes", "rises" if move > 0 else "falls"
    return f"; {otherwise} if the price {way} {abs(move):.1f} bps"


def feature_list(importances: Mapping[str, float], most: int = FEATURES) -> str:
    """The features that weighed most, in brackets."""
    top = sorted(importances.items(), key=lambda item: -item[1])[:most]
    return f" [{', '.join(f'{feature_label(name)} {weight:.0%}' for name, weight in top)}]" if top else ""


# --- what must not be missed -------------------------------------------------------------------------


def notice_in_words(event: AuditEvent) -> str:
    """What someone watching must not miss of an order; "" for the rest."""
    if isinstance(event, RiskRefused):
        return f"{event.parent_id} refused by {event.rule}: {event.reason}"
    if isinstance(event, ChildChanged) and event.reason:
        return _child_in_words(event)
    if isinstance(event, CommandHandled):
        return f"{event.kind.value} {event.parent_id or 'all'}: {event.outcome}"
    return ""


def _child_in_words(child: ChildChanged) -> str:
    """A refusal of the venue, or a remark on its fees. A post-only order that came too late is usual."""
    refused = child.state is ChildState.REJECTED and not child.reason.startswith("post-only")
    waiting = child.state is ChildState.PENDING_NEW
    if refused or waiting or "fees are charged" in child.reason or child.reason.startswith("self_trade"):
        return f"{child.child_id}{' rejected by the venue' if refused else ''}: {child.reason}"
    return ""


# --- how far it is -----------------------------------------------------------------------------------


def state_in_words(changed: ParentChanged) -> str:
    """S-P1 paused: by command."""
    return f"{changed.spec.parent_id} {changed.state.value}: {changed.reason}"


def progress_in_words(record: ParentRecord, instrument: Instrument, now_ns: int, name: str = "") -> str:
    """S-P1 working, 40% filled at 61837.635, +1.20 bps against vwap so far, 45.0 s in.

    ``name``: what it is called, where its whole id is too long.
    """
    changed = record.changed
    sentence = f"{name or changed.spec.parent_id} {changed.state.value}, {record.filled_share:.0%} filled"
    average, gain = record.average_price(instrument), record.gain_so_far_bps(instrument)
    if average is not None:
        sentence += f" at {price(average, instrument)}"
    if gain is not None:
        sentence += f", {bps(gain)} bps against {changed.spec.benchmark.value} so far"
    since_ns = now_ns - (changed.started_ns or changed.submitted_ns)
    return f"{sentence}, {duration(max(0, since_ns))} in"


def filled_phrase(record: ParentRecord, instrument: Instrument) -> tuple[str, str, str]:
    """("  40% ", "working", " at 61837.635"): share, state and average price."""
    average = record.average_price(instrument)
    at = "" if average is None else f" at {price(average, instrument)}"
    return f"{record.filled_share:4.0%} ", record.changed.state.value, at


def interval_phrase(spec: ParentSpec, elapsed_share: float) -> str:
    """interval 3 of 12, may finish after 4."""
    interval = min(spec.max_intervals, int(elapsed_share * spec.max_intervals) + 1)
    least = f"may finish after {spec.min_intervals}" if spec.min_intervals else "may finish at any"
    return f"interval {interval} of {spec.max_intervals}, {least}"


# --- how it ended ------------------------------------------------------------------------------------


def closing_in_words(p: ParentDocument) -> str:
    """completed after 41.2 s, in a window of 45s: 2.00000 of 2.00000 filled, 9 decisions, ..., 41 fills.

    The window is what the order is judged over: it ends with the interval in which the order does.
    """
    why = f" ({p['reason']})" if p["reason"] else ""
    took = f" after {duration(p['ended_ns'] - p['started_ns'])}" if p["started_ns"] and p["ended_ns"] else ""
    if took and p["window_ns"]:
        took += f", in a window of {format_duration(p['window_ns'])}"
    return (
        f"{p['state']}{why}{took}: {_of_target(p)} filled,"
        f" {p['decisions']} decisions, {p['children']} child orders, {p['fills']} fills"
    )


def _of_target(p: ParentDocument) -> str:
    """2.00000 of 2.00000: quantities to the lot, money as it is rounded for people."""
    if p["target_kind"] == TargetKind.QUANTITY.value:
        return f"{p['filled']} of {p['target']}"
    worth = Decimal(p["target"])
    return f"{money(p['filled'], worth)} of {money(worth, worth)}"


def unmeasured_in_words(record: ParentRecord) -> str:
    """Why there is no cost analysis."""
    if record.changed.ended_ns is None:
        why = "the order has not ended on this tape"
    elif record.changed.arrival_mid_half_ticks is None:
        why = "the order never saw a two-sided book"
    else:
        why = "the tape ends before the interval in which the order ended"
    return f"no cost analysis: {why}"


def waiting_in_words(changed: ParentChanged, now_ns: int) -> str:
    """What a finished order still waits for: the rest of the window its full gain is measured on."""
    if changed.ended_ns is None or changed.started_ns is None:
        return ""
    left_ns = changed.started_ns + changed.spec.max_duration_ns - now_ns
    if left_ns <= 0:
        return ""
    return f"done; the market is watched for {duration(left_ns)} more, to measure the full gain"


def recorded_order_in_words(order: ListedOrder) -> str:
    """S-P1: buy BTC/USDT by lem: completed; and what its measures remark."""
    note = f" ({order.note})" if order.note else ""
    return f"{order.id}: {order.side} {order.symbol} by {order.algo}: {order.state}{note}"
