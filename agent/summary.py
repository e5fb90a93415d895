"""The summary of a run: audit events folded into one record a parent, shadows beside it.

A view like any other: it only reads events, so a live run and its replay print the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TypedDict, TypeVar, cast

from agent.core.events import (
    AuditEvent,
    ChildChanged,
    ChildFilled,
    DecisionTaken,
    ParentChanged,
    SlippageMeasured,
)
from agent.core.instrument import Instrument
from agent.core.types import ParentState, Side, TargetKind
from agent.parent_record import ImpactDocument, ParentRecord
from agent.shadow import compare

T = TypeVar("T")
DIFFERENCES = {
    "diff_gain_bps": "gain_bps",
    "diff_full_bps": "full_gain_bps",
    "diff_arrival_bps": "arrival_slippage_bps",
}
"""What is compared with a shadow, and the measure that it is of."""


class Shortfall(TypedDict):
    """Implementation shortfall in the settle currency, exact decimal strings; positive is cost."""

    delay: str
    trading: str
    opportunity: str
    fees: str
    total: str


class MeasuresDocument(TypedDict, total=False):
    """The finer terms of the cost analysis (``agent.core.measures.tca_report``)."""

    shortfall_delay: str
    shortfall_trading: str
    shortfall_opportunity: str
    shortfall_fees: str
    shortfall_total: str
    shortfall_delay_bps: float | None
    shortfall_trading_bps: float | None
    shortfall_opportunity_bps: float | None
    shortfall_fees_bps: float | None
    shortfall_total_bps: float | None
    pwp_rate: float
    pwp_slippage_bps: float | None  # positive is cost
    effective_spread_bps: float | None  # positive is cost
    price_improvement_bps: float | None  # positive is good
    fill_rate: float | None  # filled / sent
    maker_share: float | None
    reversion_bps: float | None
    markout_1s_bps: float | None  # positive is good
    markout_10s_bps: float | None
    markout_60s_bps: float | None
    flags: str | None  # where a definition had to fall back


FlagsDocument = dict[str, dict[str, float]]
"""Measure -> what was wrong with the data in its window (``data_faults.Fault``) -> share of the window."""


class ShadowDocument(TypedDict):
    """A shadow beside its parent; the numbers are null until both are measured.

    Differences are parent minus shadow, positive is good.
    """

    algo: str
    state: str
    gain_bps: float | None
    full_gain_bps: float | None
    arrival_slippage_bps: float | None
    diff_gain_bps: float | None
    diff_full_bps: float | None
    diff_arrival_bps: float | None
    flags: FlagsDocument | None
    reasons: dict[str, str] | None


class ParentDocument(TypedDict):
    """One parent order as every ``--json`` gives it. Quantities and money are decimal strings."""

    id: str
    symbol: str
    side: str
    target_kind: str
    target: str
    filled: str
    avg_price: str | None
    arrival_price: str | None
    state: str
    reason: str
    algo: str
    benchmark: str
    gain_bps: float | None
    full_gain_bps: float | None
    arrival_slippage_bps: float | None
    shortfall: Shortfall | None
    measures: MeasuresDocument | None
    participation_rate: float | None
    flags: FlagsDocument | None
    reasons: dict[str, str] | None  # measure that is null -> why
    impact: ImpactDocument | None
    children: int
    fills: int
    decisions: int
    started_ns: int | None
    ended_ns: int | None
    window_ns: int | None  # how long the window is that it is judged over; None until it has ended
    shadows: list[ShadowDocument]


class Summary:
    """Folds audit events; ``parents`` gives the JSON of the command line contract."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self.instruments = list(instruments)
        self.records: dict[str, ParentRecord] = {}
        self.order_count = 0  # shadows aside
        self._shadows_by_parent: dict[str, dict[str, ParentRecord]] = {}  # by parent, then by algo
        self._ended: list[ParentRecord] = []  # since the last order began

    def add(self, events: Iterable[AuditEvent]) -> None:
        for event in events:
            if isinstance(event, ParentChanged):
                self._changed(event)
            elif isinstance(event, ChildChanged):
                self.records[event.parent_id].saw_child(event)
            elif isinstance(event, ChildFilled):
                self.records[event.parent_id].fills += 1
                self.records[event.parent_id].impact.add(event, self.instruments[event.instrument])
            elif isinstance(event, DecisionTaken):
                self.records[event.parent_id].decided(event)
            elif isinstance(event, SlippageMeasured) and event.own_benchmark:
                self.records[event.parent_id].own = event

    def _changed(self, event: ParentChanged) -> None:
        spec = event.spec
        record = self.records.get(spec.parent_id)
        if record is not None:
            record.changed = event
        else:
            record = self.records[spec.parent_id] = ParentRecord(event)
            self.order_count += spec.shadow_of is None
            if spec.shadow_of is not None:
                self._shadows_by_parent.setdefault(spec.shadow_of, {})[spec.algo] = record
            self._shorten_ended()
        if event.ended_ns is not None:
            self._ended.append(record)

    def _shorten_ended(self) -> None:
        """Another order is looked at from now on: of those that are over little is kept, for weeks."""
        for record in self._ended:
            record.shorten()
        self._ended.clear()

    def put_first(self, parent_ids: Sequence[str]) -> None:
        """Give these parents in this order, before all others: as a list names them."""
        first = {i: self.records[i] for i in parent_ids if i in self.records}
        self.records = {**first, **self.records}

    @property
    def completed(self) -> bool:
        """Whether every order did, shadows aside."""
        return all(record.changed.state is ParentState.COMPLETED for record in self.orders())

    def orders(self) -> list[ParentRecord]:
        """The real parents, without their shadows."""
        return [record for record in self.records.values() if not record.is_shadow]

    def shadows_of(self, parent_id: str) -> Mapping[str, ParentRecord]:
        """The shadows of a parent by algo."""
        return self._shadows_by_parent.get(parent_id, {})

    def parents(self) -> list[ParentDocument]:
        """One document a real parent, shadows inside."""
        return [self._parent(record) for record in self.orders()]

    def _parent(self, record: ParentRecord) -> ParentDocument:
        changed, spec, own = record.changed, record.changed.spec, record.own
        instrument = self.instruments[spec.instrument]
        average, mid = record.average_price(instrument), changed.arrival_mid_half_ticks
        target, filled = _amounts(changed, instrument)
        return {
            "id": spec.parent_id,
            "symbol": spec.symbol,
            "side": "buy" if spec.side is Side.BUY else "sell",
            "target_kind": spec.target_kind.value,
            "target": target,
            "filled": filled,
            "avg_price": None if average is None else _in_full(average),
            "arrival_price": None if mid is None else f"{instrument.tick * mid / 2:f}",
            "state": changed.state.value,
            "reason": changed.reason,
            "algo": spec.algo,
            "benchmark": spec.benchmark.value,
            "gain_bps": finite(own.gain_bps) if own else None,
            "full_gain_bps": finite(own.full_gain_bps) if own else None,
            "arrival_slippage_bps": finite(own.arrival_slippage_bps) if own else None,
            "shortfall": _shortfall(own.measures) if own else None,
            "measures": _measures(own.measures) if own else None,
            "participation_rate": finite(own.participation_rate) if own else None,
            "flags": flags_of(own) if own else None,
            "reasons": dict(own.reasons) if own else None,
            "impact": record.impact.to_json(instrument),
            "children": record.children,
            "fills": record.fills,
            "decisions": record.decision_count,
            "started_ns": changed.started_ns,
            "ended_ns": changed.ended_ns,
            "window_ns": record.window_ns,
            "shadows": self._shadows(spec.parent_id, own),
        }

    def _shadows(self, parent_id: str, own: SlippageMeasured | None) -> list[ShadowDocument]:
        return [_shadow(algo, r, own) for algo, r in self.shadows_of(parent_id).items()]


def _shadow(algo: str, record: ParentRecord, own: SlippageMeasured | None) -> ShadowDocument:
    """One beside its parent's own row."""
    state, measured = record.changed.state.value, record.own
    if own is None or measured is None:
        return {
            "algo": algo,
            "state": state,
            "gain_bps": None,
            "full_gain_bps": None,
            "arrival_slippage_bps": None,
            "diff_gain_bps": None,
            "diff_full_bps": None,
            "diff_arrival_bps": None,
            "flags": None,
            "reasons": None,
        }
    (c,) = compare(own, {algo: measured})
    return {
        "algo": algo,
        "state": state,
        "gain_bps": finite(c.gain_bps),
        "full_gain_bps": finite(c.full_gain_bps),
        "arrival_slippage_bps": finite(c.arrival_slippage_bps),
        "diff_gain_bps": finite(c.diff_gain_bps),
        "diff_full_bps": finite(c.diff_full_bps),
        "diff_arrival_bps": finite(c.diff_arrival_bps),
        "flags": _flags_beside(own, measured),
        "reasons": dict(measured.reasons),
    }


def flags_of(row: SlippageMeasured) -> FlagsDocument:
    return {measure: dict(shares) for measure, shares in row.flags.items()}


def _flags_beside(own: SlippageMeasured, shadow: SlippageMeasured) -> FlagsDocument:
    """A shadow's flags; a difference has those of both sides, each with the larger share."""
    found = flags_of(shadow)
    for difference, measure in DIFFERENCES.items():
        sides = [row.flags.get(measure, {}) for row in (own, shadow)]
        shares = {fault: max(s.get(fault, 0.0) for s in sides) for side in sides for fault in side}
        if shares:
            found[difference] = shares
    return found


def _in_full(value: float) -> str:
    """A price to ten digits, never with an exponent."""
    return f"{Decimal(f'{value:.10g}'):f}"


def _amounts(changed: ParentChanged, instrument: Instrument) -> tuple[str, str]:
    """Target and what is filled of it, in the target's unit."""
    spec = changed.spec
    if spec.target_kind is TargetKind.QUANTITY:
        amounts = instrument.quantity(spec.target), instrument.quantity(changed.filled_lots)
    else:
        amounts = instrument.notional(spec.target), instrument.notional(changed.filled_tl)
    return f"{amounts[0]:f}", f"{amounts[1]:f}"


def _shortfall(measures: Mapping[str, float | str | None]) -> Shortfall:
    return cast(Shortfall, {name: measures[f"shortfall_{name}"] for name in Shortfall.__annotations__})


def _measures(measures: Mapping[str, float | str | None]) -> MeasuresDocument:
    return cast(MeasuresDocument, {name: finite(value) for name, value in measures.items()})


def finite(value: T) -> T | None:
    """JSON has no NaN: what is not known is null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
