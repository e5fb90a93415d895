"""One marketable order at once; what it misses is tried again at the end of the interval."""

from __future__ import annotations

from functools import partial

from agent.engine.tactics.base_tactic import Tactic


class Sweep(Tactic):
    """Crosses to the whole goal at the beginning and at the last call."""

    def plan(self, now_ns: int, end_ns: int) -> None:
        self.cross(now_ns, self.goal)
        last_ns = self.last_call_ns(end_ns, now_ns)
        self.at(last_ns, partial(self.cross, goal=self.goal))
        if self.finishing:
            self.at(self.second_call_ns(last_ns), partial(self.cross, goal=self.goal))
