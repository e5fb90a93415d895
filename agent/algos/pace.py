"""What some names promise beyond a share for each interval: how fast, or with what volume, it is worked.

A schedule says how much of the order an interval gets. ``pov`` promises a share of the volume as it trades,
and ``immediate`` to trade at once: a tactic that spread their slices over the interval would break both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.algos.pov import COMPLETE, RATE


@dataclass(frozen=True, slots=True)
class Pace:
    """``rate``: most own volume, as a share of the market's since the start; None: no limit.

    ``at_once``: a slice is crossed at its interval's beginning. ``complete``: the last interval trades what
    the rate has left.
    """

    rate: float | None = None
    at_once: bool = False
    complete: bool = False


def pace_of(algo: str, params: Mapping[str, float]) -> Pace:
    """The pace that an algo's name promises; an algo that promises none leaves it to the tactic."""
    if algo == "pov":
        return Pace(rate=params.get("rate", RATE), complete=bool(params.get(COMPLETE, 0.0)))
    return Pace(at_once=algo == "immediate")
