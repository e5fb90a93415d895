"""The paper venue against hftbacktest: the same fills, to the lot, the tick and the nanosecond.

What the two do differently on purpose is listed in docs/fill-model.md, and counted here.
"""

from __future__ import annotations

import pytest

from agent.core.tape import EventArray
from tests.differential.compare import Counts, counts, differing, explain
from tests.differential.ours import Run
from tests.differential.plans import random_plan
from tests.differential.records import Records, Rules
from tests.differential.reference import run_reference
from tests.differential.tapes import capture_tape, random_tape

UPDATES_AN_ORDER = 20


def assert_same(tape: EventArray, orders: Records, rules: Rules) -> Counts:
    """Both venues make the same of ``orders``; the first difference is shown with the tape around it."""
    theirs = run_reference(tape, orders, rules)
    ours = Run(rules)(tape, orders)
    wrong = differing(ours, theirs)
    if wrong:
        pytest.fail(f"{len(wrong)} of {len(orders)}: {explain(wrong[0], tape, orders, ours, theirs)}")
    return counts(orders, ours)


def test_the_same_fills_on_a_short_random_tape() -> None:
    """150 orders on one random tape: every fill, cancel and refusal is the reference's."""
    rules = Rules()
    tape = random_tape(11, 150 * UPDATES_AN_ORDER)
    found = assert_same(tape, random_plan(tape, rules, 150, 11), rules)
    assert found.resting_fills > 20
    assert found.partial_fills > 0


@pytest.mark.slow
def test_the_same_fills_on_random_tapes() -> None:
    """No difference over 2,000 random orders on four hostile tapes, hundreds of them filled resting."""
    rules = Rules()
    found: list[Counts] = []
    for seed in range(1, 5):
        tape = random_tape(seed, 1000 * UPDATES_AN_ORDER)
        found.append(assert_same(tape, random_plan(tape, rules, 1000, seed), rules))
    assert sum(c.orders for c in found) > 2000
    assert sum(c.resting_fills for c in found) > 600
    assert sum(c.partial_fills for c in found) > 100
    assert sum(c.taker_fills for c in found) > 600
    assert min(min(c.cancelled, c.refused) for c in found) > 10


@pytest.mark.slow
@pytest.mark.parametrize("symbol", ["btcusdt", "ethusdt"])
def test_the_same_fills_on_the_real_capture(symbol: str) -> None:
    """No difference over 2,000 random orders on ten minutes of a real market."""
    rules = Rules()
    tape = capture_tape(symbol)
    found = assert_same(tape, random_plan(tape, rules, 2000, 1), rules)
    assert found.orders == 2000
    assert found.resting_fills > 100
    assert found.partial_fills > 20
    assert found.taker_fills > 600
