"""Perold's implementation shortfall as one formula, which the split one must equal."""

from __future__ import annotations

from fractions import Fraction

from agent.core.money import PPM, cost_of_half_ticks
from agent.core.types import Side


def perold(
    side: Side,
    size_lots: Fraction,
    filled_lots: int,
    filled_tl: int,
    fee_tlp: int,
    *,
    decision: int,
    end: int,
    inverse: bool = False,
) -> Fraction:
    """Return s [X (P_avg - P_d) + (S - X)(P_n - P_d)] + fees, in half ticks x lots."""
    at_decision, at_end = (cost_of_half_ticks(mid, inverse=inverse) for mid in (decision, end))
    traded = (-2 if inverse else 2) * filled_tl - filled_lots * at_decision
    missed = (size_lots - filled_lots) * (at_end - at_decision)
    return side * (traded + missed) + Fraction(2 * fee_tlp, PPM)
