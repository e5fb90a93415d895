"""Coroutines for a caller without a loop: in order, beside it or not, and no error of one is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from storage.log.bulk.steps import Steps

both = pytest.mark.parametrize("beside", [True, False])


class Work:
    """Notes what was done, and on which thread; ``fails`` at one of its numbers."""

    def __init__(self, fails: int | None = None) -> None:
        self.done: list[int] = []
        self.threads: set[int] = set()
        self.may_go_on = threading.Event()
        self._fails = fails

    def step(self, number: int, *, waits: bool = False) -> Callable[[], Coroutine[Any, Any, int]]:
        async def work() -> int:
            if waits:
                await asyncio.to_thread(self.may_go_on.wait, 20)
            self.threads.add(threading.get_ident())
            if number == self._fails:
                raise ValueError(f"step {number}")
            self.done.append(number)
            return number

        return work


@both
def test_steps_are_taken_in_order_on_one_thread(beside: bool) -> None:
    """Whatever was begun is done before the next begins."""
    work, steps = Work(), Steps(beside=beside)
    for number in range(20):
        steps.begin(work.step(number))
    assert steps.run(work.step(20)) == 20
    steps.close(work.step(21))
    assert work.done == list(range(22))
    assert (work.threads == {threading.get_ident()}) is not beside


def test_beside_nobody_waits_for_one_step() -> None:
    """The caller goes on while it is under way, and waits at the next."""
    work, steps = Work(), Steps(beside=True)
    steps.begin(work.step(1, waits=True))
    assert work.done == []
    work.may_go_on.set()
    steps.begin(work.step(2))
    assert work.done[0] == 1
    steps.close(work.step(3))
    assert work.done == [1, 2, 3]


@both
def test_an_error_is_raised_at_the_next_step_at_the_latest(beside: bool) -> None:
    """And that next one is not taken."""
    work, steps = Work(fails=1), Steps(beside=beside)

    def both_steps() -> None:
        steps.begin(work.step(1))
        steps.begin(work.step(2))

    with pytest.raises(ValueError, match="step 1"):
        both_steps()
    steps.close(work.step(3))
    assert work.done == [3]


@both
def test_closing_takes_the_last_step_whatever_came_before(beside: bool) -> None:
    """Connections are let go though the batch before failed."""
    work, steps = Work(fails=1), Steps(beside=beside)
    if beside:
        steps.begin(work.step(1))
    steps.close(work.step(2))
    assert work.done == [2]
