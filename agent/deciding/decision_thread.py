"""Algos that decide on a thread, so that a model never blocks the event loop: many decisions in one call.

Theory of operation
-------------------
One thread decides for all the orders of a run. What is asked for waits in a queue; the thread takes all that
waits, up to ``MOST_TOGETHER``, by algo, and decides it in one call (``decide_many``), so that orders that see
the same bars share one encoding. The more orders ask at one moment, the larger the calls; an order that asks
alone is answered at once. An answer never depends on what else was in its call, so neither does a run's
result: where calls are cut is a matter of time, and is not recorded.

Worked example: 3 orders ask while the thread is idle. It takes the first, or whatever is there when it comes
to look; the other 2 are its second call. One of them is collected before its answer is there: that is told
as late, its answer is dropped, and the other's is not touched.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from threading import Lock

from agent.core.clock import Clock
from agent.core.errors import InternalError
from agent.core.ports import Algo, BatchAlgo
from agent.core.types import MarketView, OrderView, Slice

MOST_TOGETHER = 64
"""Decisions of one call: those that wait for the next see no more than this before them."""


@dataclass(slots=True, eq=False)
class _Asked:
    """A decision that was asked for; one of ``answer`` and ``error`` is set once it is there."""

    algo: Algo
    order: OrderView
    market: MarketView
    answer: Slice | None = None
    error: BaseException | None = None
    dropped: bool = field(default=False)


class DecisionThread:
    """Decides what the policies of a run ask for. ``close`` ends it; what waits then is never decided."""

    def __init__(self, clock: Clock, executor: Executor) -> None:
        """``executor``: of one thread; ``close`` shuts it down."""
        self._clock, self._executor = clock, executor
        self._waiting: deque[_Asked] = deque()
        self._lock = Lock()
        self._running = False

    @property
    def waiting(self) -> int:
        """How many decisions are asked for and not begun."""
        return len(self._waiting)

    def ask(self, algo: Algo, order: OrderView, market: MarketView) -> _Asked:
        asked = _Asked(algo, order, market)
        with self._lock:
            self._waiting.append(asked)
            idle, self._running = not self._running, True
        if idle:
            self._executor.submit(self._decide_all)
        return asked

    def close(self) -> None:
        self._waiting.clear()
        self._executor.shutdown(wait=False, cancel_futures=True)

    # --- on the thread ----------------------------------------------------------------------------

    def _decide_all(self) -> None:
        while together := self._take():
            self._decide(together)

    def _take(self) -> list[_Asked]:
        """The first that waits and those of its algo right behind it."""
        taken: list[_Asked] = []
        with self._lock:
            while self._waiting and len(taken) < MOST_TOGETHER:
                if taken and self._waiting[0].algo is not taken[0].algo:
                    break
                asked = self._waiting.popleft()
                if not asked.dropped:
                    taken.append(asked)
            self._running = bool(taken)
        return taken

    def _decide(self, together: Sequence[_Asked]) -> None:
        """Each answer's latency is how long the call took that it came out of."""
        algo, began_ns = together[0].algo, self._clock.now_ns()
        try:
            answers = _decided(algo, [(asked.order, asked.market) for asked in together])
        except Exception as error:  # it ends the run where the answer is collected
            for asked in together:
                asked.error = error
            return
        took_ns = self._clock.now_ns() - began_ns
        for asked, answer in zip(together, answers, strict=True):
            asked.answer = replace(answer, latency_ns=took_ns)


def _decided(algo: Algo, requests: Sequence[tuple[OrderView, MarketView]]) -> Sequence[Slice]:
    if isinstance(algo, BatchAlgo):
        return algo.decide_many(requests)
    return [algo.decide(order, market) for order, market in requests]


class ThreadedPolicy:
    """One order's algo on the thread of all.

    ``late`` collects the ids of decisions that were not there in time: the one thing about inference
    that a replay has to know.
    """

    def __init__(self, algo: Algo, thread: DecisionThread, late: list[str]) -> None:
        self._algo, self._thread, self._late = algo, thread, late
        self._asked: dict[str, _Asked] = {}

    def request(self, decision_id: str, order: OrderView, market: MarketView) -> None:
        self._asked[decision_id] = self._thread.ask(self._algo, order, market)

    def collect(self, decision_id: str) -> Slice | None:
        """The answer, or None where it is late. Raises what deciding raised."""
        asked = self._asked.pop(decision_id, None)
        if asked is None:
            raise InternalError(f"decision {decision_id} is collected, and nobody asked for it")
        if asked.error is not None:
            raise asked.error
        if asked.answer is None:
            asked.dropped = True
            self._late.append(decision_id)
        return asked.answer
