"""Decisions on a thread: many in one call, each as if alone; what is late or fails is told."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from time import monotonic, sleep

import numpy as np
import pytest

from agent.core.errors import InternalError
from agent.core.market.bars import empty_fbars
from agent.core.types import MarketView, OrderView, Slice
from agent.deciding.decision_thread import MOST_TOGETHER, DecisionThread, ThreadedPolicy
from agent.system_clock import SystemClock
from lem.bars.simulate import simulate
from lem.network.model_config import SCENARIOS
from lem.serving.predictor import LemAlgo

S = 10**9
MARKET = MarketView(0, S, empty_fbars(2), math.nan, math.nan)
SIDE, KIND, BENCHMARK = SCENARIOS[0]
ORDER = OrderView(SIDE, KIND, BENCHMARK, 0, 0, 9, S, 0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0)


class Held:
    """Answers with the order's ``t`` / 100, once it is let go; notes how many came in each call."""

    name = "held"

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.go = Event()

    def decide(self, order: OrderView, market: MarketView) -> Slice:
        return self.decide_many([(order, market)])[0]

    def decide_many(self, requests: Sequence[tuple[OrderView, MarketView]]) -> list[Slice]:
        self.calls.append(len(requests))
        self.go.wait(10)
        return [Slice(order.t / 100, False, reason="") for order, _ in requests]


class Broken:
    name = "broken"

    def decide(self, order: OrderView, market: MarketView) -> Slice:
        raise InternalError("it is broken")


@pytest.fixture
def thread() -> Iterator[DecisionThread]:
    made = DecisionThread(SystemClock(), ThreadPoolExecutor(1))
    yield made
    made.close()


def until(condition: Callable[[], bool]) -> None:
    end_s = monotonic() + 10
    while not condition():
        assert monotonic() < end_s
        sleep(0.001)


def ask(policies: Sequence[ThreadedPolicy], first: int = 0) -> None:
    for number, policy in enumerate(policies, first):
        policy.request(f"d{number}", replace(ORDER, t=number), MARKET)


def test_what_waits_is_decided_in_one_call(thread: DecisionThread) -> None:
    """The thread is busy with one when 70 more ask: they are two calls, and each has its own answer."""
    held, late = Held(), list[str]()
    policies = [ThreadedPolicy(held, thread, late) for _ in range(71)]
    ask(policies[:1])
    until(lambda: held.calls == [1])
    ask(policies[1:], 1)
    held.go.set()
    until(lambda: sum(held.calls) == 71 and not thread.waiting)
    until(lambda: all(p._asked[f"d{n}"].answer for n, p in enumerate(policies)))
    answers = [policy.collect(f"d{number}") for number, policy in enumerate(policies)]
    assert [answer.share for answer in answers if answer] == [n / 100 for n in range(71)]
    assert held.calls == [1, MOST_TOGETHER, 70 - MOST_TOGETHER]
    assert late == []


def test_a_late_decision_is_told_and_never_answered(thread: DecisionThread) -> None:
    """Two wait behind a call: the one collected too early is left out of the next, the other is in it."""
    held, late = Held(), list[str]()
    policies = [ThreadedPolicy(held, thread, late) for _ in range(3)]
    ask(policies[:1])
    until(lambda: held.calls == [1])
    ask(policies[1:], 1)
    assert policies[1].collect("d1") is None
    assert late == ["d1"]
    held.go.set()
    until(lambda: len(held.calls) == 2)
    until(lambda: policies[2]._asked["d2"].answer is not None)
    answer = policies[2].collect("d2")
    assert answer is not None
    assert (answer.share, held.calls) == (0.02, [1, 1])


def test_algos_do_not_share_a_call(thread: DecisionThread) -> None:
    """Two algos in turn: four calls of one; a decision of one algo never comes from another."""
    one, two, late = Held(), Held(), list[str]()
    policies = [ThreadedPolicy((one, two)[n % 2], thread, late) for n in range(4)]
    ask(policies)
    one.go.set()
    two.go.set()
    until(lambda: all(p._asked[f"d{n}"].answer for n, p in enumerate(policies)))
    assert one.calls == two.calls == [1, 1]


def test_what_fails_is_raised_where_it_is_collected(thread: DecisionThread) -> None:
    """A model that fails ends the run; the thread goes on for the others."""
    late = list[str]()
    broken, fine = ThreadedPolicy(Broken(), thread, late), ThreadedPolicy(held := Held(), thread, late)
    held.go.set()
    ask([broken, fine])
    until(lambda: fine._asked["d1"].answer is not None)
    with pytest.raises(InternalError, match="it is broken"):
        broken.collect("d0")
    assert fine.collect("d1") is not None


def test_the_model_decides_together_what_it_decides_alone(thread: DecisionThread) -> None:
    """Thirty orders on three series, asked for at once: each answer is to the bit the one for it alone, and
    orders that see the same bars share one encoding though each has a view of its own."""
    bars = simulate("seasonal", np.random.default_rng(2), 3, 60, 5e-4, S)
    requests = [
        (replace(ORDER, t=4, n=9 + n, remaining=1 - n / 50), replace(MARKET, bars=bars[n % 3]))
        for n in range(30)
    ]
    lem, late = LemAlgo.load(), list[str]()
    policies = [ThreadedPolicy(lem, thread, late) for _ in requests]
    for number, (policy, request) in enumerate(zip(policies, requests, strict=True)):
        policy.request(f"d{number}", *request)
    until(lambda: all(p._asked[f"d{n}"].answer for n, p in enumerate(policies)))
    answers = [policy.collect(f"d{number}") for number, policy in enumerate(policies)]
    alone = [LemAlgo.load().decide(*request) for request in requests]
    assert [replace(a, latency_ns=None) for a in answers if a] == alone
    before = lem.predictor._streams.taken
    assert before == 3 * 60
    lem.decide_many(requests)
    assert lem.predictor._streams.taken == before
