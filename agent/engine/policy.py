"""An algo as the engine asks it, answered inline: cheap schedules always, every algo in a replay."""

from __future__ import annotations

from collections.abc import Set

from agent.core.ports import Algo
from agent.core.types import MarketView, OrderView, Slice


class InlinePolicy:
    """Decides when asked. ``overruns`` are decisions that were late in the run being replayed."""

    def __init__(self, algo: Algo, overruns: Set[str] = frozenset()) -> None:
        self._algo, self._overruns = algo, overruns
        self._answers: dict[str, Slice] = {}

    def request(self, decision_id: str, order: OrderView, market: MarketView) -> None:
        if decision_id not in self._overruns:
            self._answers[decision_id] = self._algo.decide(order, market)

    def collect(self, decision_id: str) -> Slice | None:
        return self._answers.pop(decision_id, None)
