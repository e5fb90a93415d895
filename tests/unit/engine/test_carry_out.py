"""Users' commands in the engine: what they reach, what they answer, and that no value stops a run."""

from __future__ import annotations

import itertools
from dataclasses import replace
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pytest

from agent import app
from agent.config import Config, Order, Tactics
from agent.core.events import (
    AbandonParents,
    AuditEvent,
    ChildChanged,
    CommandHandled,
    CommandKind,
    ControlParent,
    ParentChanged,
    RiskRefused,
    SlippageMeasured,
    StartParent,
    carried_out,
)
from agent.core.money import MOST_TL
from agent.core.orders.amendments import MOST_RISK_AVERSION, amendment_fault
from agent.core.types import ChildState
from agent.shadow import shadow_specs
from tests.fakes import S, start, synthetic_tape

TAPE = synthetic_tape(seconds=12.0)
ORDER = Order(
    quantity=Decimal("0.5"),
    min_duration=4 * S,
    max_duration=8 * S,
    interval=S,
    algo="twap",
    shadows=("vwap",),
)


def run(
    order: Order,
    *commands: tuple[float, CommandKind, str | None, dict[str, Any]],
    later_s: float | None = None,
    repeg_by: Literal["cancel", "amend"] = "cancel",
) -> list[AuditEvent]:
    """Two orders on a tape, commands at so many seconds, and perhaps a third order later."""
    instrument, events = TAPE
    config = Config(order=order, tactics=Tactics(repeg_by=repeg_by, repeg=S // 5))
    engine = app.build_engine(config, [instrument], app.inline_policies(config))
    first = start(instrument, events, order)
    second = StartParent(first.recv_ns, first.seq, replace(first.spec, parent_id="s-P2"), ())
    given: list[Any] = [first, second]
    for at, kind, parent, amend in commands:
        given.append(ControlParent(first.recv_ns + int(at * S), 0, kind, parent, f"c{at}", amend))
    if later_s is not None:
        spec = replace(first.spec, parent_id="s-P3")
        given.append(StartParent(first.recv_ns + int(later_s * S), 0, spec, shadow_specs(spec, ("pov",))))
    begin = 0
    for command in given:
        cut = int(np.searchsorted(events["recv_ns"], command.recv_ns, side="right"))
        if cut > begin:
            engine.advance(events[begin:cut])
        begin = max(begin, cut)
        engine.command(command)
    engine.advance(events[begin:])
    engine.close(int(events["recv_ns"][-1]))
    return engine.drain()


def handled(events: list[AuditEvent]) -> list[CommandHandled]:
    return [event for event in events if isinstance(event, CommandHandled)]


def ends(events: list[AuditEvent]) -> dict[str, str]:
    """How each parent and shadow ended."""
    return {e.spec.parent_id: e.state.value for e in events if isinstance(e, ParentChanged)}


def test_kill_of_one_ends_that_one() -> None:
    """And its shadows; the other order works on to its end, children and all."""
    found = run(ORDER, (2, CommandKind.KILL, "s-P1", {}))
    assert ends(found) == {"s-P1": "cancelled", "s-P1~vwap": "cancelled", "s-P2": "completed"}
    (answer,) = handled(found)
    assert (answer.outcome, answer.parents) == ("done", ("s-P1",))


def test_kill_of_all_ends_all() -> None:
    """The answer counts and names the orders, not their shadows."""
    found = run(ORDER, (2, CommandKind.KILL, None, {}))
    assert set(ends(found).values()) == {"cancelled"}
    (answer,) = handled(found)
    assert answer.outcome == "2 parents cancelled; no order goes out any more"
    assert answer.parents == ("s-P1", "s-P2")
    assert carried_out(answer.outcome, None)


@pytest.mark.parametrize("kill_s", [0, 2])
def test_nothing_goes_out_after_a_kill_of_all(kill_s: float) -> None:
    """Before the first child and after some, in lanes that traded and in new ones: all is refused."""
    found = run(ORDER, (kill_s, CommandKind.KILL, None, {}), later_s=3)
    killed_ns = handled(found)[0].at_ns
    refused = [event for event in found if isinstance(event, RiskRefused)]
    assert {event.parent_id for event in refused} == {"s-P3", "s-P3~pov"}
    assert {event.rule for event in refused} == {"kill_switch"}
    sent = [event for event in found if isinstance(event, ChildChanged)]
    assert bool(sent) == (kill_s > 0)
    assert all(event.sent_ns <= killed_ns for event in sent)


def test_an_answer_says_who_did_and_who_could_not() -> None:
    """One of two is paused already: the other is paused, and the answer is no success."""
    pause = CommandKind.PAUSE
    one, both, none = handled(
        run(ORDER, (1, pause, "s-P1", {}), (2, pause, None, {}), (3, pause, "s-P9", {}))
    )
    assert (one.outcome, one.parents) == ("done", ("s-P1",))
    assert (both.outcome, both.parents) == ("done for s-P2; s-P1 is paused and cannot pause", ("s-P2",))
    assert (none.outcome, none.parents) == ("no working parent s-P9", ())
    assert [carried_out(a.outcome, a.parent_id) for a in (one, both, none)] == [True, False, False]


@pytest.mark.parametrize("repeg_by", ["cancel", "amend"])
def test_what_rests_follows_a_smaller_cap(repeg_by: Literal["cancel", "amend"]) -> None:
    """A pegged order's cap is amended to a thousandth: within a second nothing of it rests any more."""
    terms: dict[str, Any] = {"tactic": "peg", "shadows": (), "interval": 4 * S}
    order = replace(ORDER, **terms, quantity=Decimal(8), participation_cap=0.9)
    found = run(order, (0.8, CommandKind.AMEND, "s-P1", {"participation_cap": 0.001}), repeg_by=repeg_by)
    (answer,) = handled(found)
    assert answer.outcome == "done"
    children = [e for e in found if isinstance(e, ChildChanged) and e.parent_id == "s-P1"]
    before = {e.child_id: e for e in children if e.at_ns < answer.at_ns}
    after = {e.child_id: e for e in children if e.at_ns <= answer.at_ns + S}
    live = (ChildState.OPEN, ChildState.PARTIALLY_FILLED, ChildState.PENDING_AMEND, ChildState.PENDING_NEW)
    assert [e for e in before.values() if e.state in live]
    assert [e for e in after.values() if e.state in live] == []


REFUSED: list[dict[str, Any]] = [
    {},
    {"colour": 1},
    {"limit_price_ticks": 0},
    {"limit_price_ticks": -5},
    {"limit_price_ticks": 1.5},
    {"limit_price_ticks": True},
    {"limit_price_ticks": "5"},
    {"limit_price_ticks": 10**40},
    {"limit_price_ticks": float("nan")},
    {"limit_price": 59000.5},
    {"limit_price": "-1"},
    {"limit_price": "much"},
    {"limit_price": "NaN"},
    {"limit_price": "1e-40"},
    {"limit_price": "9e30"},
    {"limit_price": "1" * 50},
    {"limit_price": "60000", "limit_price_ticks": 6_000_000},
    {"participation_cap": 0},
    {"participation_cap": 1.01},
    {"participation_cap": float("inf")},
    {"participation_cap": [0.1]},
    {"risk_aversion": 0},
    {"risk_aversion": None},
    {"risk_aversion": float("nan")},
    {"risk_aversion": 1e13},
    {"risk_aversion": 1.0, "participation_cap": -1},
]


@pytest.mark.parametrize("amend", REFUSED, ids=str)
def test_what_is_no_amendment_is_answered_and_changes_nothing(amend: dict[str, Any]) -> None:
    """At the edge and in the engine, by one rule, which names what it does not know."""
    if "colour" in amend:
        assert amendment_fault(amend).startswith("cannot amend colour: ")
    assert amendment_fault(amend)
    found = run(ORDER, (2, CommandKind.AMEND, "s-P1", amend))
    (answer,) = handled(found)
    assert not carried_out(answer.outcome, answer.parent_id)
    assert answer.parents == ()
    assert ends(found)["s-P1"] == "completed"


def test_a_limit_price_is_given_in_money_or_in_ticks() -> None:
    """The same order comes of both; a price between two ticks is answered with its neighbours."""
    amend = CommandKind.AMEND
    in_money = run(ORDER, (2, amend, "s-P1", {"limit_price": "61000.5"}))
    in_ticks = run(ORDER, (2, amend, "s-P1", {"limit_price_ticks": 6_100_050}))
    for found in (in_money, in_ticks):
        last = [e for e in found if isinstance(e, ParentChanged) and e.spec.parent_id == "s-P1"][-1]
        assert last.spec.limit_price_ticks == 6_100_050
    assert [e for e in in_money if isinstance(e, ChildChanged)] == [
        e for e in in_ticks if isinstance(e, ChildChanged)
    ]
    (answer,) = handled(run(ORDER, (2, amend, "s-P1", {"limit_price": "61000.505"})))
    assert "not a multiple of the tick 0.01: use 61000.50 or 61000.51" in answer.outcome
    assert not carried_out(answer.outcome, answer.parent_id)


EXTREMES: list[dict[str, Any]] = [
    {"limit_price_ticks": 1},
    {"limit_price_ticks": MOST_TL // 50_000},
    {"limit_price_ticks": MOST_TL // 50_000 + 1},
    {"limit_price_ticks": None, "participation_cap": None},
    {"limit_price": None},
    {"limit_price": "0.01"},
    {"limit_price": "61000.001"},
    {"limit_price": "9e15"},
    {"participation_cap": 5e-324},
    {"participation_cap": 1},
    {"risk_aversion": 5e-324},
    {"risk_aversion": MOST_RISK_AVERSION},
]
ALGOS = ("twap", "vwap", "pov", "almgren_chriss", "optimal_stopping", "immediate")


@pytest.mark.parametrize("algo", ALGOS)
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_no_allowed_value_stops_a_run(algo: str, side: str) -> None:
    """The smallest and the largest, for every algo and tactic: the order ends in a state of its own."""
    for tactic, amend in itertools.product(("twap_micro", "peg", "sweep"), EXTREMES):
        order = replace(ORDER, **{"algo": algo, "side": side, "tactic": tactic, "shadows": ()})
        found = run(order, (2, CommandKind.AMEND, None, amend))
        assert set(ends(found).values()) <= {"completed", "expired"}, (tactic, amend)


def test_after_the_end_of_a_dead_run_nothing_happens() -> None:
    """Orders expire as they stood with what is left named, what was in flight is void, no timer fires."""
    instrument, events = TAPE
    order = replace(ORDER, **{"tactic": "peg"})
    config = Config(order=order)
    engine = app.build_engine(config, [instrument], app.inline_policies(config))
    first = start(instrument, events, order)
    sent = (e for e in run(order) if isinstance(e, ChildChanged) and e.state is ChildState.PENDING_NEW)
    at_ns = next(e.at_ns for e in sent if e.at_ns > first.recv_ns + 2 * S) + 1_000_000  # on its way
    cut, dead = (int(np.searchsorted(events["recv_ns"], t, side="right")) for t in (first.recv_ns, at_ns))
    engine.advance(events[:cut])
    engine.command(first)
    engine.advance(events[cut:dead])
    before = engine.drain()
    engine.command(AbandonParents(at_ns, int(events["seq"][dead - 1]) + 1, "the run died"))
    after = engine.drain()
    children = {e.child_id: e.state.value for e in [*before, *after] if isinstance(e, ChildChanged)}
    assert "expired" in {e.state.value for e in after if isinstance(e, ChildChanged)}
    assert set(children.values()) <= {"filled", "cancelled", "expired", "rejected"}
    assert set(ends([*before, *after]).values()) == {"expired"}
    (parent,) = (e for e in after if isinstance(e, ParentChanged) and e.spec.parent_id == "s-P1")
    assert parent.reason.endswith("BTC unfilled: the run died")
    engine.advance_time(at_ns + 120 * S)
    engine.close(at_ns + 120 * S)
    assert {type(e) for e in engine.drain()} == {SlippageMeasured}
