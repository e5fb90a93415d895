"""Every tactic by its name. A new one is a file beside this, and its name and class here: options,
configuration and ``--help`` read them here. Classes are imported where one is made, for help must be quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from agent.core.errors import InputError

if TYPE_CHECKING:
    from agent.engine.tactics.base_tactic import Tactic, WorkingOrder

TacticName = Literal["twap_micro", "peg", "sweep"]
TACTIC_NAMES: tuple[str, ...] = get_args(TacticName)


def tactic_classes() -> dict[str, type[Tactic]]:
    """The class of each name."""
    from agent.engine.tactics.peg import Peg
    from agent.engine.tactics.sweep import Sweep
    from agent.engine.tactics.twap_micro import TwapMicro

    return {"twap_micro": TwapMicro, "peg": Peg, "sweep": Sweep}


def create_tactic(name: str, order: WorkingOrder) -> Tactic:
    """Return the tactic that works an order. Raises InputError where a session names one that is not here."""
    if name not in TACTIC_NAMES:
        raise InputError(f"unknown tactic {name!r}: use one of {', '.join(TACTIC_NAMES)}")
    return tactic_classes()[name](order)
