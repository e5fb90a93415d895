"""Shadow orders: what other algos would have done with the same order on the same tape.

A shadow is a parent row with ``shadow_of``, worked by the same engine through a lane of the venue of
its own: its own account, its own consumption of the book, the same tape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from agent.core.events import SlippageMeasured
from agent.core.types import ParentSpec


def shadow_specs(spec: ParentSpec, algos: Sequence[str]) -> list[ParentSpec]:
    """Return one shadow of ``spec`` per algo."""
    return [
        replace(spec, parent_id=f"{spec.parent_id}~{algo}", algo=algo, shadow_of=spec.parent_id)
        for algo in algos
    ]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A parent against one shadow. Differences are parent minus shadow, positive is good.

    A difference of gains is against a benchmark; money saved is ``diff_arrival_bps`` only.
    """

    algo: str
    gain_bps: float
    full_gain_bps: float | None
    arrival_slippage_bps: float
    diff_gain_bps: float
    diff_full_bps: float | None
    diff_arrival_bps: float


def compare(parent: SlippageMeasured, shadows: Mapping[str, SlippageMeasured]) -> list[Comparison]:
    """Pair a parent's own-benchmark row with those of its shadows (by algo), on the same tape."""
    rows = []
    for algo, shadow in shadows.items():
        both = parent.full_gain_bps is not None and shadow.full_gain_bps is not None
        rows.append(
            Comparison(
                algo=algo,
                gain_bps=shadow.gain_bps,
                full_gain_bps=shadow.full_gain_bps,
                arrival_slippage_bps=shadow.arrival_slippage_bps,
                diff_gain_bps=parent.gain_bps - shadow.gain_bps,
                diff_full_bps=(parent.full_gain_bps or 0.0) - (shadow.full_gain_bps or 0.0) if both else None,
                diff_arrival_bps=shadow.arrival_slippage_bps - parent.arrival_slippage_bps,
            )
        )
    return rows
