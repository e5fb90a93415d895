"""One parent order or shadow as a run's events show it, and the few numbers that follow."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypedDict

from agent.core.events import ChildChanged, ChildFilled, DecisionTaken, ParentChanged, SlippageMeasured
from agent.core.instrument import Instrument
from agent.core.orders.child_order import TERMINAL
from agent.core.types import TargetKind


class ImpactDocument(TypedDict):
    """What the impact model added to a parent's fills; positive is cost."""

    cost: str  # in the settle currency, exact
    cost_bps: float
    displacement_bps: float  # by how much our own flow had moved the mid, on average over the fills


@dataclass(slots=True)
class ImpactSeen:
    """What the impact model made of a parent's fills, summed over their lots; exact."""

    added: int = 0  # ticks x lots that it added to the book's prices
    cost_tl: int = 0  # the same in the instrument's money
    displaced: int = 0  # half ticks x lots by which our own flow had moved the mid
    mids: int = 0  # half ticks x lots: what basis points are of
    fills: int = 0

    def add(self, fill: ChildFilled, instrument: Instrument) -> None:
        """Count a fill, unless no model priced it."""
        if fill.impact_ticks is None or fill.displacement_half_ticks is None:
            return
        self.added += fill.impact_ticks * fill.qty_lots
        book_ticks = fill.price_ticks - fill.side * fill.impact_ticks
        paid, without = (instrument.value_tl(p, fill.qty_lots) for p in (fill.price_ticks, book_ticks))
        self.cost_tl += abs(paid - without)
        self.displaced += fill.displacement_half_ticks * fill.qty_lots
        self.mids += fill.mid_half_ticks * fill.qty_lots
        self.fills += 1

    def to_json(self, instrument: Instrument) -> ImpactDocument | None:
        """Money and bps of the mid; None when no model was on."""
        if not self.mids:
            return None
        return {
            "cost": f"{instrument.notional(self.cost_tl).normalize():f}",
            "cost_bps": 2 * self.added / self.mids * 1e4,
            "displacement_bps": self.displaced / self.mids * 1e4,
        }


SHOWN = 5
"""Decisions kept of an order: those that may still be shown. A run of weeks makes a hundred thousand."""


@dataclass(slots=True)
class ParentRecord:
    """What has been seen of one parent or shadow: what is shown of it, and counts of all else."""

    changed: ParentChanged
    children: int = 0  # sent so far
    open: set[str] = field(default_factory=set)  # ids of those that are not over
    fills: int = 0
    decision_count: int = 0
    decisions: list[DecisionTaken] = field(default_factory=list)  # the last ``SHOWN``; 1 once it is history
    own: SlippageMeasured | None = None  # against the order's own benchmark
    impact: ImpactSeen = field(default_factory=ImpactSeen)

    def saw_child(self, child: ChildChanged) -> None:
        """A child has changed: its first change is that it was sent."""
        if child.state in TERMINAL:
            self.open.discard(child.child_id)
        elif child.child_id not in self.open:
            self.open.add(child.child_id)
            self.children += 1

    def decided(self, decision: DecisionTaken) -> None:
        self.decision_count += 1
        self.decisions.append(decision)
        del self.decisions[:-SHOWN]

    def shorten(self) -> None:
        """The order is over, and others are shown: of its decisions the last one stays."""
        del self.decisions[:-1]

    @property
    def is_shadow(self) -> bool:
        return self.changed.spec.shadow_of is not None

    @property
    def filled_share(self) -> float:
        """Share of the target."""
        changed, spec = self.changed, self.changed.spec
        done = changed.filled_lots if spec.target_kind is TargetKind.QUANTITY else changed.filled_tl
        return done / spec.target

    def average_price(self, instrument: Instrument) -> float | None:
        """Of the fills, in the quote currency; None before the first."""
        lots = self.changed.filled_lots
        if not lots:
            return None
        return float(instrument.average_ticks(self.changed.filled_tl, lots)) * float(instrument.tick)

    def worth(self, instrument: Instrument) -> Decimal:
        """What the whole order is worth in the settle currency, at its arrival; 0 where nothing tells."""
        changed, spec = self.changed, self.changed.spec
        if spec.target_kind is TargetKind.NOTIONAL:
            return instrument.notional(spec.target)
        mid_half_ticks = changed.arrival_mid_half_ticks or changed.decision_mid_half_ticks
        if mid_half_ticks is None or mid_half_ticks < 2:
            return instrument.notional(changed.filled_tl)
        return instrument.notional(instrument.value_tl(mid_half_ticks // 2, spec.target))

    @property
    def window_ns(self) -> int | None:
        """Length of the used window, which ends with the interval in which the order did; None until then."""
        changed, spec = self.changed, self.changed.spec
        if changed.started_ns is None or changed.ended_ns is None:
            return None
        intervals = -(-(changed.ended_ns - changed.started_ns) // spec.interval_ns)
        return min(max(1, intervals), spec.max_intervals) * spec.interval_ns

    def elapsed_share(self, now_ns: int) -> float:
        """How much of the longest allowed duration has passed, in [0, 1]."""
        changed = self.changed
        if changed.started_ns is None:
            return 0.0
        until_ns = now_ns if changed.ended_ns is None else changed.ended_ns
        return max(0.0, min(1.0, (until_ns - changed.started_ns) / changed.spec.max_duration_ns))

    def gain_so_far_bps(self, instrument: Instrument) -> float | None:
        """The average against the benchmark as it stood at the last decision; positive is good."""
        average = self.average_price(instrument)
        running = self.decisions[-1].view.benchmark_price if self.decisions else None
        if average is None or running is None or not math.isfinite(running):
            return None
        return -int(self.changed.spec.side) * (average / running - 1) * 1e4
