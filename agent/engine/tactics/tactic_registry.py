"""Every tactic by its kind. A new one is a file beside this, a row here, and a ``TacticKind``."""

from __future__ import annotations

from agent.core.types import TacticKind
from agent.engine.tactics.base_tactic import Tactic, WorkingOrder
from agent.engine.tactics.peg import Peg
from agent.engine.tactics.sweep import Sweep
from agent.engine.tactics.twap_micro import TwapMicro

TACTICS: dict[TacticKind, type[Tactic]] = {
    TacticKind.TWAP_MICRO: TwapMicro,
    TacticKind.PEG: Peg,
    TacticKind.SWEEP: Sweep,
}


def create_tactic(kind: TacticKind, order: WorkingOrder) -> Tactic:
    """Return the tactic that works an order."""
    return TACTICS[kind](order)
