"""The summary of a run: audit events folded into one record a parent, shadows beside it.

A view like any other: it never asks the engine anything, so a live run and its replay print the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from agent.core.events import (
    AuditEvent,
    ChildChanged,
    ChildFilled,
    DecisionTaken,
    ParentChanged,
    SlippageMeasured,
)
from agent.core.instrument import Instrument
from agent.core.types import Side, TargetKind
from agent.shadow import compare

SHORTFALL = ("delay", "trading", "opportunity", "fees", "total")


@dataclass(slots=True)
class ImpactSeen:
    """What the impact model made of a parent's fills, summed over their lots; exact."""

    added: int = 0  # ticks x lots that it added to the book's prices
    cost_tl: int = 0  # the same in the instrument's money
    displaced: int = 0  # half ticks x lots by which our own flow had moved the mid
    mids: int = 0  # half ticks x lots: what basis points are of
    fills: int = 0

    def add(self, fill: ChildFilled, instrument: Instrument) -> None:
        """Count a fill; one that no model priced says nothing."""
        if fill.impact_ticks is None or fill.displacement_half_ticks is None:
            return
        self.added += fill.impact_ticks * fill.qty_lots
        book_ticks = fill.price_ticks - fill.side * fill.impact_ticks
        paid, asked = (instrument.value_tl(p, fill.qty_lots) for p in (fill.price_ticks, book_ticks))
        self.cost_tl += abs(paid - asked)
        self.displaced += fill.displacement_half_ticks * fill.qty_lots
        self.mids += fill.mid_half_ticks * fill.qty_lots
        self.fills += 1

    def to_json(self, instrument: Instrument) -> dict[str, Any] | None:
        """Money and bps of the mid, positive is cost; None when no model was on."""
        if not self.mids:
            return None
        return {
            "cost": f"{instrument.notional(self.cost_tl).normalize():f}",
            "cost_bps": 2 * self.added / self.mids * 1e4,
            "displacement_bps": self.displaced / self.mids * 1e4,
        }


@dataclass(slots=True)
class ParentRecord:
    """What has been seen of one parent or shadow."""

    changed: ParentChanged
    children: set[str] = field(default_factory=set)
    fills: int = 0
    decisions: list[DecisionTaken] = field(default_factory=list)
    slippage: dict[str, SlippageMeasured] = field(default_factory=dict)
    impact: ImpactSeen = field(default_factory=ImpactSeen)

    @property
    def own(self) -> SlippageMeasured | None:
        """The row against the order's own benchmark."""
        return self.slippage.get(self.changed.spec.benchmark)


class Summary:
    """Folds audit events; ``parents`` gives the JSON of the command line contract."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self.instruments = list(instruments)
        self.records: dict[str, ParentRecord] = {}

    def add(self, events: Iterable[AuditEvent]) -> None:
        for event in events:
            if isinstance(event, ParentChanged):
                record = self.records.get(event.spec.parent_id)
                if record is None:
                    self.records[event.spec.parent_id] = ParentRecord(event)
                else:
                    record.changed = event
            elif isinstance(event, ChildChanged):
                self.records[event.parent_id].children.add(event.child_id)
            elif isinstance(event, ChildFilled):
                self.records[event.parent_id].fills += 1
                self.records[event.parent_id].impact.add(event, self.instruments[event.instrument])
            elif isinstance(event, DecisionTaken):
                self.records[event.parent_id].decisions.append(event)
            elif isinstance(event, SlippageMeasured):
                self.records[event.parent_id].slippage[event.benchmark] = event

    def shadows_of(self, parent_id: str) -> dict[str, ParentRecord]:
        """The shadows of a parent by algo."""
        return {
            r.changed.spec.algo: r for r in self.records.values() if r.changed.spec.shadow_of == parent_id
        }

    def parents(self) -> list[dict[str, Any]]:
        """One record a real parent, shadows inside; money and quantities as decimal strings."""
        return [
            self._parent(record) for record in self.records.values() if record.changed.spec.shadow_of is None
        ]

    def _parent(self, record: ParentRecord) -> dict[str, Any]:
        changed, spec, own = record.changed, record.changed.spec, record.own
        instrument = self.instruments[spec.instrument]
        by_quantity = spec.target_kind is TargetKind.QUANTITY
        lots = changed.filled_lots
        average = None
        if lots:
            average = float(instrument.average_ticks(changed.filled_tl, lots)) * float(instrument.tick)
        target = instrument.quantity(spec.target) if by_quantity else instrument.notional(spec.target)
        filled = instrument.quantity(lots) if by_quantity else instrument.notional(changed.filled_tl)
        return {
            "id": spec.parent_id,
            "symbol": spec.symbol,
            "side": "buy" if spec.side is Side.BUY else "sell",
            "target_kind": spec.target_kind.value,
            "target": str(target),
            "filled": str(filled),
            "avg_price": None if average is None else f"{average:.10g}",
            "arrival_price": (
                None
                if changed.arrival_mid_half_ticks is None
                else str(instrument.tick * changed.arrival_mid_half_ticks / 2)
            ),
            "state": changed.state.value,
            "reason": changed.reason,
            "algo": spec.algo,
            "benchmark": spec.benchmark.value,
            "gain_bps": number(own and own.gain_bps),
            "full_gain_bps": number(own and own.full_gain_bps),
            "arrival_slippage_bps": number(own and own.arrival_slippage_bps),
            "shortfall": {name: own.measures[f"shortfall_{name}"] for name in SHORTFALL} if own else None,
            "measures": {k: number(v) for k, v in own.measures.items()} if own else None,
            "participation_rate": number(own and own.participation_rate),
            "impact": record.impact.to_json(instrument),
            "children": len(record.children),
            "fills": record.fills,
            "decisions": len(record.decisions),
            "started_ns": changed.started_ns,
            "ended_ns": changed.ended_ns,
            "shadows": self._shadows(spec.parent_id, own),
        }

    def _shadows(self, parent_id: str, own: SlippageMeasured | None) -> list[dict[str, Any]]:
        shadows = self.shadows_of(parent_id)
        measured = {algo: r.own for algo, r in shadows.items() if r.own is not None}
        if own is None:
            return [{"algo": algo, "state": r.changed.state.value} for algo, r in shadows.items()]
        return [
            {
                "algo": c.algo,
                "state": shadows[c.algo].changed.state.value,
                "gain_bps": number(c.gain_bps),
                "full_gain_bps": number(c.full_gain_bps),
                "arrival_slippage_bps": number(c.arrival_slippage_bps),
                "diff_gain_bps": number(c.diff_gain_bps),
                "diff_full_bps": number(c.diff_full_bps),
                "diff_arrival_bps": number(c.diff_arrival_bps),
            }
            for c in compare(own, measured)
        ]


def number(value: Any) -> Any:
    """JSON has no NaN: what is not known is null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
