"""Small marketable slices, evenly spread over the interval."""

from __future__ import annotations

from functools import partial

from agent.engine.tactics.base_tactic import Tactic


class TwapMicro(Tactic):
    """Crosses to an evenly growing part of the goal, and to all of it at the last call."""

    def plan(self, now_ns: int, end_ns: int) -> None:
        last_ns = self.last_call_ns(end_ns, now_ns)
        most = max(1, self.goal // self.order.least_units())
        count = min(self.order.settings.micro_slices, most)
        for j in range(count):
            at_ns = now_ns + (last_ns - now_ns) * j // count
            self.at(at_ns, partial(self.cross, goal=self.goal * (j + 1) // count))
        self.at(last_ns, partial(self.cross, goal=self.goal))
        if self.finishing:
            self.at(self.second_call_ns(last_ns), partial(self.cross, goal=self.goal))
