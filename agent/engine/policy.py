"""How the engine gets an algo's answer: inline for cheap schedules always, for every algo in a replay."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set

from agent.core.ports import Algo, SlicePolicy
from agent.core.types import MarketView, OrderView, Slice


class InlinePolicy:
    """Decides at once. ``overruns`` are decisions that were late in the run being replayed."""

    def __init__(self, algo: Algo, overruns: Set[str] = frozenset()) -> None:
        self._algo, self._overruns = algo, overruns
        self._answers: dict[str, Slice] = {}

    def request(self, decision_id: str, order: OrderView, market: MarketView) -> None:
        if decision_id not in self._overruns:
            self._answers[decision_id] = self._algo.decide(order, market)

    def collect(self, decision_id: str) -> Slice | None:
        return self._answers.pop(decision_id, None)


class WatchedPolicy:
    """Shows ``seen`` the views that a policy gets, and changes nothing."""

    def __init__(self, policy: SlicePolicy, seen: Callable[[str, OrderView, MarketView], None]) -> None:
        self._policy, self._seen = policy, seen

    def request(self, decision_id: str, order: OrderView, market: MarketView) -> None:
        self._seen(decision_id, order, market)
        self._policy.request(decision_id, order, market)

    def collect(self, decision_id: str) -> Slice | None:
        return self._policy.collect(decision_id)


class HandedOverPolicy:
    """Recorded decisions by one policy, later ones by another; each answers what it was asked."""

    def __init__(self, past: SlicePolicy, coming: SlicePolicy, handed_over: Callable[[], bool]) -> None:
        self._past, self._coming, self._handed_over = past, coming, handed_over
        self._asked: dict[str, SlicePolicy] = {}

    def request(self, decision_id: str, order: OrderView, market: MarketView) -> None:
        self._asked[decision_id] = asked = self._coming if self._handed_over() else self._past
        asked.request(decision_id, order, market)

    def collect(self, decision_id: str) -> Slice | None:
        return self._asked.pop(decision_id).collect(decision_id)


TOLERANCE = 1e-5
"""How far a decision recomputed on another machine may be from the recorded one."""


class RecordedPolicy:
    """Gives the recorded answers back, and says in ``doubts`` where recomputing them gives others."""

    def __init__(
        self, algo: Algo, recorded: Mapping[str, Slice], overruns: Set[str], doubts: list[str]
    ) -> None:
        self._algo, self._recorded, self._overruns, self._doubts = algo, recorded, overruns, doubts

    def request(self, decision_id: str, order: OrderView, market: MarketView) -> None:
        was = self._recorded.get(decision_id)
        if was is None or decision_id in self._overruns:
            return
        now = self._algo.decide(order, market)
        apart = abs(now.share - was.share)
        if was.finish_probability is not None and now.finish_probability is not None:
            apart = max(apart, abs(now.finish_probability - was.finish_probability))
        if not apart <= TOLERANCE or now.finish != was.finish:
            self._doubts.append(
                f"decision {decision_id}: recorded share {was.share:.9g} finish {was.finish},"
                f" recomputed {now.share:.9g} {now.finish} (model {was.model} then, {now.model} now)"
            )

    def collect(self, decision_id: str) -> Slice | None:
        return None if decision_id in self._overruns else self._recorded.get(decision_id)
