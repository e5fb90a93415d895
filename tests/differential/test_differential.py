"""The paper venue against hftbacktest: the same fills, to the lot, the tick and the nanosecond.

What the two do differently on purpose is listed in docs/fill-model.md, and counted here.
"""

from __future__ import annotations

import pytest

from agent.core.market.tape import EventArray
from tests.differential.compare import Counts, counts, differing, explain
from tests.differential.ours import Run
from tests.differential.plans import random_plan
from tests.differential.records import Records, Rules
from tests.differential.reference import run_reference
from tests.differential.tapes import capture_tape, random_tape

MS = 1_000_000
UPDATES_AN_ORDER = 48  # so that a tape has room for them all


def assert_same(tape: EventArray, orders: Records, rules: Rules) -> Counts:
    """Both venues make the same of ``orders``; the first difference is shown with the tape around it."""
    theirs = run_reference(tape, orders, rules)
    ours = Run(rules)(tape, orders)
    wrong = differing(ours, theirs)
    if wrong:
        pytest.fail(f"{len(wrong)} of {len(orders)}: {explain(wrong[0], tape, orders, ours, theirs)}")
    return counts(orders, ours)


@pytest.mark.slow
def test_the_same_fills_on_a_short_random_tape() -> None:
    """A hundred orders on a random tape: every fill, cancel and refusal is the reference's."""
    rules = Rules()
    tape = random_tape(11, 100 * UPDATES_AN_ORDER)
    found = assert_same(tape, random_plan(tape, rules, 100, 11), rules)
    assert found.orders == 100
    assert found.resting_fills > 30
    assert found.partial_fills > 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_fills_on_random_tapes(seed: int) -> None:
    """No difference over 1,000 random orders on a hostile tape, hundreds of them filled resting."""
    rules = Rules()
    tape = random_tape(seed, 1000 * UPDATES_AN_ORDER)
    found = assert_same(tape, random_plan(tape, rules, 1000, seed), rules)
    assert found.orders == 1000
    assert found.resting_fills > 500
    assert found.partial_fills > 100
    assert found.taker_fills > 300
    assert min(found.cancelled, found.refused) > 50


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "rules"), [(3, Rules(2 * MS, 3 * MS, MS)), (4, Rules(80 * MS, 90 * MS, 40 * MS))]
)
def test_the_same_fills_at_other_latencies(seed: int, rules: Rules) -> None:
    """No difference when orders, answers and market data travel faster, or slower."""
    tape = random_tape(seed, 1000 * UPDATES_AN_ORDER)
    found = assert_same(tape, random_plan(tape, rules, 1000, seed), rules)
    assert found.resting_fills > 150
    assert found.partial_fills > 30


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
