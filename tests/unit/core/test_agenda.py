"""The agenda's order: by time, by rank, by order of scheduling."""

from __future__ import annotations

from agent.core.agenda import FAR_FUTURE_NS, Agenda, Rank


def test_the_worked_example() -> None:
    """What is due comes by time, then by rank, then as it was scheduled; actions may add entries."""
    agenda, done = Agenda(), list[str]()

    def note(what: str) -> None:
        done.append(what)
        if what == "order 1":
            agenda.add(10, Rank.REPORT, lambda now_ns: note("report of order 1"))

    agenda.add(10, Rank.TIMER, lambda now_ns: note("timer"))
    agenda.add(10, Rank.VENUE, lambda now_ns: note("order 1"))
    agenda.add(10, Rank.VENUE, lambda now_ns: note("order 2"))
    agenda.add(9, Rank.REPORT, lambda now_ns: note("report"))
    for row_ns in (9, 10, 11):  # before each row of the tape, what is due before it
        while (due := agenda.pop(row_ns - 1)) is not None:
            due[1](due[0])
        done.append(f"row {row_ns}")
    assert done == [
        *("row 9", "report", "row 10", "order 1", "order 2", "report of order 1", "timer", "row 11"),
    ]
    assert (len(agenda), agenda.next_ns) == (0, FAR_FUTURE_NS)
