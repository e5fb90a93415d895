"""The starts of a list of orders: each at its time, once there is a book. One refused ends no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from functools import partial
from heapq import heapify, heappop
from typing import NamedTuple

import structlog

from agent.core.errors import InputError, OrderError
from agent.core.types import NS_PER_S
from agent.durations import Start, moment_ns

log = structlog.get_logger("order")

MOST_AT_ONCE = 20
"""Orders started without a pause: each takes a millisecond, and the market does not wait."""
MOST_MODELS_AT_ONCE = 4
"""Of those, orders that the model decides for: its first look at a market takes ten, and the decision is due
in a hundred (``engine.decision_latency``)."""


class NotStarted(NamedTuple):
    """An order of the list that never worked, and why."""

    name: str
    reason: str


class ListedStarts:
    """Of one run. Orders are known by their numbers in the list."""

    def __init__(
        self,
        starts: Sequence[Start],
        names: Sequence[str],
        book_within_ns: int,
        by_model: Set[int] = frozenset(),
    ) -> None:
        """``book_within_ns``: how long after its time an order waits for its market's first book.

        ``by_model``: the orders that a model decides for.
        """
        self.not_started: list[NotStarted] = []
        self.names = names
        self._starts, self._book_within_ns, self._by_model = starts, book_within_ns, by_model
        self._begun = False
        self._waiting = [(0, number) for number in range(len(starts))]  # (due, number), a heap once begun
        self._bookless: list[tuple[int, int]] = []  # due, and their market shows nothing yet

    @property
    def pending(self) -> int:
        """How many are still to start."""
        return len(self._waiting) + len(self._bookless)

    def begin(self, now_ns: int) -> None:
        """The run has begun: times count from now, and those that have passed are now."""
        if self._begun or not self._waiting:
            return
        self._begun = True
        self._waiting = [(self._due_ns(number, now_ns), number) for _, number in self._waiting]
        heapify(self._waiting)

    def _due_ns(self, number: int, begun_ns: int) -> int:
        start = self._starts[number]
        return begun_ns + start if isinstance(start, int) else max(begun_ns, moment_ns(start))

    def leave_out(self, started: Set[str]) -> None:
        """The run goes on, and these have been started: they are done with."""
        self._waiting = [one for one in self._waiting if self.names[one[1]] not in started]

    def start_due(self, now_ns: int, has_book: Callable[[int], bool], start: Callable[[int], None]) -> None:
        """Start what is due, ``MOST_AT_ONCE`` a call, and no more than the model can decide for in time.

        ``has_book`` and ``start`` take an order's number; ``start`` may refuse it.
        """
        if not self._begun:
            return
        due, self._bookless = [*self._bookless, *self._due(now_ns)], []
        for due_ns, number in due:
            if has_book(number):
                self._try(number, partial(start, number))
            elif now_ns - due_ns < self._book_within_ns:
                self._bookless.append((due_ns, number))
            else:
                self._try(number, self._no_book)

    def _due(self, now_ns: int) -> Iterator[tuple[int, int]]:
        models = MOST_MODELS_AT_ONCE
        for _ in range(MOST_AT_ONCE):
            if not self._waiting or self._waiting[0][0] > now_ns:
                return
            models -= self._waiting[0][1] in self._by_model
            if models < 0:
                return
            yield heappop(self._waiting)

    def give_up(self, reason: str) -> None:
        """What has not started never will."""
        for _, number in sorted([*self._waiting, *self._bookless], key=lambda one: one[1]):
            self._refuse(number, reason)
        self._waiting, self._bookless = [], []

    def _no_book(self) -> None:
        waited_s = self._book_within_ns / NS_PER_S
        raise OrderError(
            f"its market has shown no order book within {waited_s:g} s (feed.connect_timeout):"
            " it may be halted or delisted"
        )

    def _try(self, number: int, start: Callable[[], None]) -> None:
        try:
            start()
        except InputError as error:
            self._refuse(number, str(error))

    def _refuse(self, number: int, reason: str) -> None:
        self.not_started.append(NotStarted(self.names[number], reason))
        log.error("order_not_started", order=self.names[number], reason=reason)
