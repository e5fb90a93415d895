"""Where the paper venue and hftbacktest differ: each class alone, counted, and its reason checked.

docs/fill-model.md explains the classes. An order that differs for another reason fails these tests.
"""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.market.tape import EventArray, Kind
from tests.differential.compare import counts, differing
from tests.differential.ours import SHARED_LANE, Run
from tests.differential.plans import Style, random_plan
from tests.differential.records import (
    FILLED,
    GTC,
    LOG_PROBABILITY,
    POWER_PROBABILITY,
    STOPPED,
    Outcome,
    Records,
    Rules,
)
from tests.differential.reference import run_reference
from tests.differential.tapes import capture_tape, random_tape

pytestmark = pytest.mark.slow


def fills_of(outcome: Outcome, number: int) -> Records:
    return outcome.fills[outcome.fills["number"] == number]


def end_of(outcome: Outcome, number: int) -> Records:
    return outcome.ends[outcome.ends["number"] == number][0]


def traded_lots(tape: EventArray, at_ns: int, price_ticks: int) -> int:
    """Lots traded at ``price_ticks`` in the nanosecond ``at_ns`` of our clock, 0 if none."""
    same = (tape["kind"] == Kind.TRADE) & (tape["recv_ns"] == at_ns) & (tape["price_ticks"] == price_ticks)
    return int(tape["qty_lots"][same].sum())


def test_an_exactly_filled_order_stops_the_reference() -> None:
    """With orders of any size the only difference: hftbacktest breaks off after one that was filled."""
    rules = Rules()
    stopped: list[int] = []
    for seed in (1, 2, 3):
        tape = random_tape(seed, 20_000, even=False)
        orders = random_plan(tape, rules, 1000, seed, Style(odd=False))
        ours, theirs = Run(rules)(tape, orders), run_reference(tape, orders, rules)
        wrong = differing(ours, theirs)
        for number in wrong:
            assert end_of(theirs, number)["outcome"] == STOPPED
            assert end_of(ours, number)["outcome"] == FILLED
        stopped.append(len(wrong))
    assert stopped == [2, 4, 2]


def test_the_rest_of_a_taker_is_not_given_to_it() -> None:
    """hftbacktest fills all of a marketable GTC at its limit, however little is shown; here it rests."""
    rules = Rules()
    tape = random_tape(1, 20_000)
    orders = random_plan(tape, rules, 1000, 1, Style(taking=GTC))
    ours, theirs = Run(rules)(tape, orders), run_reference(tape, orders, rules)
    wrong = differing(ours, theirs)
    for number in wrong:
        order, mine, other = orders[number - 1], fills_of(ours, number), fills_of(theirs, number)
        assert order["tif"] == GTC
        assert len(other) == 1
        assert (other["lots"][0], other["last_price_ticks"][0]) == (order["lots"], order["price_ticks"])
        assert mine["exch_ns"][0] == other["exch_ns"][0]
        assert mine["lots"][0] < order["lots"]
        assert not mine["maker"][0]
        assert mine["maker"][1:].all()  # the rest came later, to an order that stood in the book
    assert len(wrong) == 19
    assert counts(orders, ours).taker_fills == 59


def test_lots_taken_once_are_gone() -> None:
    """With consumption on, takers in one lane get no more than the reference's, and only takers differ."""
    rules = Rules()
    tape = random_tape(1, 20_000)
    orders = random_plan(tape, rules, 1000, 1)
    ours, theirs = Run(rules, SHARED_LANE)(tape, orders), run_reference(tape, orders, rules)
    wrong = differing(ours, theirs)
    for number in wrong:
        side = int(orders["side"][number - 1])
        mine, other = fills_of(ours, number), fills_of(theirs, number)
        assert len(other) == 1
        assert not other["maker"][0]
        assert mine["lots"].sum() <= other["lots"][0]
        if mine["lots"].sum() == other["lots"][0]:
            assert mine["last_price_ticks"][0] * side >= other["last_price_ticks"][0] * side
        taken = np.isin(orders["number"], theirs.fills["number"][theirs.fills["maker"] == 0])
        assert taken[(orders["side"] == side) & (orders["number"] < number)].any()
    assert len(wrong) == 108


def test_the_power_probability_queue_is_the_same_on_random_tapes() -> None:
    """No difference for the exponents 1, 2 and 3, fractions of lots included."""
    tape = random_tape(4, 20_000)
    for power in (1.0, 2.0, 3.0):
        rules = Rules(queue_model=POWER_PROBABILITY, queue_power=power)
        orders = random_plan(tape, rules, 1000, 4)
        ours = Run(rules)(tape, orders)
        assert differing(ours, run_reference(tape, orders, rules)) == []
        assert differing(ours, Run(Rules())(tape, orders)) != []  # the model matters on this tape


def assert_filled_too_much(
    tape: EventArray, rules: Rules, ours: Outcome, theirs: Outcome, number: int
) -> None:
    """Both fill the order at one time first; hftbacktest by more than that trade's size, ours by no more."""
    mine, other = fills_of(ours, number)[0], fills_of(theirs, number)[0]
    assert mine["exch_ns"] == other["exch_ns"]
    at_ns = int(other["exch_ns"]) + rules.feed_ns
    traded = traded_lots(tape, at_ns, int(other["last_price_ticks"]))
    assert 0 < mine["lots"] <= traded < other["lots"]


@pytest.mark.parametrize(("symbol", "numbers"), [("btcusdt", []), ("ethusdt", [1110, 1534])])
def test_no_trade_fills_more_than_it_traded(symbol: str, numbers: list[int]) -> None:
    """hftbacktest's estimate of lots ahead falls below 0 by cancels; the next trade then fills too much."""
    rules = Rules(queue_model=POWER_PROBABILITY)
    tape = capture_tape(symbol)
    orders = random_plan(tape, rules, 2000, 1)
    ours, theirs = Run(rules)(tape, orders), run_reference(tape, orders, rules)
    assert differing(ours, theirs) == numbers
    for number in numbers:
        assert_filled_too_much(tape, rules, ours, theirs, number)


def test_the_log_probability_queue_differs_where_an_estimate_fell_below_zero() -> None:
    """On a random tape three orders differ: by the next trade hftbacktest fills more than was traded."""
    tape, rules = random_tape(4, 20_000), Rules(queue_model=LOG_PROBABILITY)
    orders = random_plan(tape, rules, 1000, 4)
    ours, theirs = Run(rules)(tape, orders), run_reference(tape, orders, rules)
    assert differing(ours, theirs) == [173, 200, 365]
    for number in (173, 200, 365):
        assert_filled_too_much(tape, rules, ours, theirs, number)
    assert differing(ours, Run(Rules())(tape, orders)) != []  # the model matters on this tape


@pytest.mark.parametrize(("symbol", "numbers"), [("btcusdt", []), ("ethusdt", [1946])])
def test_the_logarithm_of_an_estimate_below_zero(symbol: str, numbers: list[int]) -> None:
    """hftbacktest takes the logarithm of 1 - 14,407 lots ahead: not a number, and the order goes last."""
    tape, rules = capture_tape(symbol), Rules(queue_model=LOG_PROBABILITY)
    orders = random_plan(tape, rules, 2000, 1)
    ours, theirs = Run(rules)(tape, orders), run_reference(tape, orders, rules)
    assert differing(ours, theirs) == numbers
    for number in numbers:
        mine, other = fills_of(ours, number), fills_of(theirs, number)
        assert mine["exch_ns"][0] < other["exch_ns"][0]  # what we fill first, it counts as ahead
        assert mine["lots"].sum() == other["lots"].sum()
