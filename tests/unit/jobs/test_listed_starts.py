"""Orders of a list start at their times, once there is a book; what one does is no matter of another."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agent.core.errors import InternalError, OrderError, RecordingError
from agent.jobs.listed_starts import ListedStarts, Start

S = 10**9
NOW_S = 1_700_000_000
NAMES = ("a", "b", "c", "d", "e")


class Run:
    """What starts, and whose market shows a book."""

    def __init__(self, *starts: Start) -> None:
        self.listed = ListedStarts(starts, NAMES[: len(starts)], 5 * S)
        self.started: list[str] = []
        self.books = set(NAMES)
        self.refused: dict[str, Exception] = {}
        self.listed.begin(NOW_S * S)

    def at(self, seconds: float) -> list[str]:
        """What has started by so many seconds after the beginning."""
        self.listed.start_due(int((NOW_S + seconds) * S), lambda n: NAMES[n] in self.books, self._start)
        return self.started

    def _start(self, number: int) -> None:
        if NAMES[number] in self.refused:
            raise self.refused[NAMES[number]]
        self.started.append(NAMES[number])


def test_each_starts_once_at_its_time() -> None:
    """After the beginning, at a moment, or at once where that is past."""
    run = Run(3 * S, 0, _utc(NOW_S + 2), _utc(NOW_S - 60), 0)
    assert run.at(0) == ["b", "d", "e"]
    assert run.at(1.9) == ["b", "d", "e"]
    assert run.listed.pending == 2
    assert run.at(2) == ["b", "d", "e", "c"]
    assert run.at(60) == ["b", "d", "e", "c", "a"]
    assert (run.listed.pending, run.listed.not_started) == (0, [])


def test_a_market_without_a_book_is_waited_for_and_then_given_up() -> None:
    """From the order's own time on; the others start."""
    run = Run(0, 10 * S, 0)
    run.books = {"c"}
    assert run.at(1) == ["c"]
    run.books = {"b", "c"}
    assert run.at(4.9) == ["c"]
    assert run.listed.pending == 2
    run.at(5)
    assert [one.name for one in run.listed.not_started] == ["a"]
    assert "no order book within 5 s" in run.listed.not_started[0].reason
    assert run.at(10) == ["c", "b"]


def test_a_refused_order_ends_no_other() -> None:
    """It is told why; what is no refusal of an order is raised."""
    run = Run(0, 0, 0)
    run.refused = {"a": OrderError("too large")}
    assert run.at(0) == ["b", "c"]
    assert run.listed.not_started == [("a", "too large")]
    for trouble in (RecordingError("the disk is full"), InternalError("a fault")):
        broken = Run(0, 0)
        broken.refused = {"a": trouble}
        with pytest.raises(type(trouble)):
            broken.at(0)


def test_what_has_not_started_at_the_end_is_told() -> None:
    """In the order of the list."""
    run = Run(9 * S, 0, 7 * S)
    run.books = {"a", "c"}
    run.at(1)
    run.listed.give_up("the run ended before")
    assert [(one.name, one.reason) for one in run.listed.not_started] == [
        (name, "the run ended before") for name in "abc"
    ]
    assert run.listed.pending == 0


def test_what_ends_before_it_began_is_told_too() -> None:
    """No market showed a book: nothing is due, nothing starts, and nobody says that all went well."""
    listed = ListedStarts((0, 5 * S), NAMES[:2], 5 * S)
    listed.start_due(NOW_S * S, lambda n: True, lambda n: pytest.fail("started"))
    assert listed.pending == 2
    listed.give_up("the run ended")
    assert [one.name for one in listed.not_started] == ["a", "b"]
    listed.begin(NOW_S * S)
    assert listed.pending == 0


def test_a_run_that_goes_on_starts_what_had_not_started() -> None:
    """At the times that they had; an order that was started is never started again."""
    run = Run()
    run.listed = ListedStarts((0, 7 * S, 0, 30 * S), NAMES[:4], 5 * S)
    run.listed.leave_out({"a", "c"})
    run.listed.begin(NOW_S * S)
    assert run.listed.pending == 2
    assert run.at(8) == ["b"]
    assert run.at(29) == ["b"]
    assert run.at(30) == ["b", "d"]


def test_many_that_are_due_start_a_few_at_a_time() -> None:
    """The market is looked at in between."""
    names = [str(n) for n in range(50)]
    listed, started = ListedStarts([0] * 50, names, 5 * S), list[int]()
    listed.begin(NOW_S * S)
    counts = []
    for _ in range(4):
        listed.start_due(NOW_S * S, lambda n: True, started.append)
        counts.append(len(started))
    assert counts == [20, 40, 50, 50]
    assert sorted(started) == list(range(50))


def _utc(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_no_more_start_than_the_model_can_decide_for() -> None:
    """Four orders of the model a call, and those before the fifth: in the order in which they are due."""
    names = [str(n) for n in range(12)]
    listed, started = ListedStarts([0] * 12, names, 5 * S, frozenset(range(2, 12))), list[int]()
    listed.begin(NOW_S * S)
    for expected in (6, 10, 12):
        listed.start_due(NOW_S * S, lambda _: True, started.append)
        assert started == list(range(expected))
    assert listed.pending == 0
