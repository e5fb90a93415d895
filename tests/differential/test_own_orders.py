"""Several orders of ours alive at once: in one lane they stand in one queue, in hftbacktest beside it.

hftbacktest counts no order of its own ahead of another, so one trade may fill several of them with the
same lots. A lane's order waits for those of the lane that joined its price before, and a trade at its price
has met the lane's orders at better prices first.
"""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.market.tape import EventArray, Kind
from tests.differential.compare import differing
from tests.differential.ours import Run, Setting
from tests.differential.plans import random_crowd
from tests.differential.records import REFUSED, Outcome, Records, Rules
from tests.differential.reference import run_reference
from tests.differential.tapes import capture_tape, random_tape

pytestmark = pytest.mark.slow

RULES = Rules(together=True)
ALLOWED = (("self_trade", "allow"),)  # on both sides at once: what meets is not this test's matter
TAPES = ["1", "2", "btcusdt", "ethusdt"]


def tape_of(name: str) -> EventArray:
    return random_tape(int(name), 20_000) if name.isdigit() else capture_tape(name)


def crowd_of(tape: EventArray) -> Records:
    return random_crowd(tape, RULES, 1500, 1, alive=5)


@pytest.mark.parametrize("name", TAPES)
def test_orders_in_lanes_of_their_own_are_the_same(name: str) -> None:
    """Five at once, at the same and at different prices, on both sides: no difference lane by lane."""
    tape = tape_of(name)
    orders = crowd_of(tape)
    assert most_at_once(orders) == 5
    ours = Run(RULES, Setting(venue=ALLOWED))(tape, orders)
    assert differing(ours, run_reference(tape, orders, RULES)) == []


@pytest.mark.parametrize(
    ("name", "made", "apart"), [("1", 1179, 36), ("2", 1177, 37), ("btcusdt", 1460, 5), ("ethusdt", 1459, 3)]
)
def test_an_order_waits_for_the_lane_s_orders_ahead(name: str, made: int, apart: int) -> None:
    """In one lane only orders that ours come before differ, are filled later, and by no lot twice."""
    tape = tape_of(name)
    orders = crowd_of(tape)
    ours = Run(RULES, Setting(shared_lane=True, venue=ALLOWED))(tape, orders)
    theirs = run_reference(tape, orders, RULES)
    wrong = differing(ours, theirs)
    for number in wrong:
        assert ahead_of(orders, ours, number) or met_before(tape, orders, ours, number)
        assert never_sooner(ours, theirs, number)
    assert (len(orders), len(wrong)) == (made, apart)
    assert lots_filled_twice(tape, orders, ours) == 0


def test_a_lot_that_fills_two_orders_is_caught() -> None:
    """The count of lots filled twice sees the 135 that orders in lanes of their own share."""
    tape = tape_of("1")
    orders = crowd_of(tape)
    apart = Run(RULES, Setting(venue=ALLOWED))(tape, orders)
    assert lots_filled_twice(tape, orders, apart) == 135


def most_at_once(orders: Records) -> int:
    """How many orders are out at the same time at most."""
    over = np.sort(orders["cancel_ns"])
    return int(max(i + 1 - np.searchsorted(over, at) for i, at in enumerate(orders["send_ns"])))


def ahead_of(orders: Records, ours: Outcome, number: int) -> list[int]:
    """Our orders at the price and side of ``number`` that stood there when it came."""
    came_ns = orders["send_ns"] + orders["entry_ns"]
    now_ns = came_ns[number - 1]
    same = np.ones(len(orders), np.bool_)
    for field in ("side", "price_ticks"):
        same &= orders[field] == orders[field][number - 1]
    stood = (ours.ends["outcome"] != REFUSED) & (came_ns <= now_ns) & (ours.ends["exch_ns"] >= now_ns)
    return [n for n in orders["number"][same & stood].tolist() if n < number]


def met_before(tape: EventArray, orders: Records, ours: Outcome, number: int) -> list[int]:
    """Our orders at better prices that a trade at the price of ``number`` filled while it stood."""
    order, fills = orders[number - 1], ours.fills
    side, price = int(order["side"]), int(order["price_ticks"])
    trades = tape[(tape["kind"] == Kind.TRADE) & (tape["price_ticks"] == price) & (tape["side"] == -side)]
    of = orders[fills["number"] - 1]
    better = (of["side"] == side) & ((of["price_ticks"] - price) * side > 0)
    stood = fills["exch_ns"] >= order["send_ns"] + order["entry_ns"]
    stood &= fills["exch_ns"] <= ours.ends["exch_ns"][number - 1]
    by_trade = np.isin(fills["exch_ns"] + RULES.feed_ns, trades["recv_ns"])
    found: list[int] = np.unique(fills["number"][better & stood & by_trade]).tolist()
    return found


def never_sooner(ours: Outcome, theirs: Outcome, number: int) -> bool:
    """Whether at every moment the order has at most the lots that it has in ``theirs``."""
    mine, other = (o.fills[o.fills["number"] == number] for o in (ours, theirs))
    return all(
        mine["lots"][mine["exch_ns"] <= at].sum() <= other["lots"][other["exch_ns"] <= at].sum()
        for at in mine["exch_ns"]
    )


def lots_filled_twice(tape: EventArray, orders: Records, outcome: Outcome) -> int:
    """Lots of resting fills at the price of a lone trade beyond what it had left for that price.

    Our orders at better prices meet the trade first. Where a level crosses any of the prices in
    the same nanosecond, or there are more trades, there is no telling: not counted.
    """
    fills: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for fill in outcome.fills[outcome.fills["maker"] == 1]:
        at = (int(fill["exch_ns"]) + RULES.feed_ns, int(orders["side"][fill["number"] - 1]))
        fills.setdefault(at, []).append((int(fill["last_price_ticks"]), int(fill["lots"])))
    twice = 0
    for (at_ns, side), filled in fills.items():
        rows = tape[slice(*np.searchsorted(tape["recv_ns"], (at_ns, at_ns + 1)))]
        trades = rows[(rows["kind"] == Kind.TRADE) & (rows["side"] == -side)]
        if len(trades) != 1:
            continue
        price, traded = int(trades["price_ticks"][0]), int(trades["qty_lots"][0])
        far = rows[(rows["kind"] == Kind.LEVEL) & (rows["side"] == -side)]
        nearest = max((at for at, _ in filled), key=lambda at: at * side)
        if ((nearest - far["price_ticks"]) * side < 0).all():
            better = sum(lots for at, lots in filled if (at - price) * side > 0)
            here = sum(lots for at, lots in filled if at == price)
            twice += max(0, here - max(0, traded - better))
    return twice
