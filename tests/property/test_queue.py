"""Where a resting order stands: queue models against plain Python, and the bounds that all of them keep."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.market.ladder import level_lots
from agent.core.market.tape import Kind
from agent.core.types import Side
from agent.venue.kernel import loop as k
from agent.venue.kernel.state import R_LANE, R_LOTS
from agent.venue.kernel.tape_market import TapeMarket
from tests.property.test_book import (
    BTC,
    PRICE,
    START,
    TIMELESS,
    NaiveBook,
    Offered,
    Row,
    far,
    feed,
    near,
    order,
    trades,
)

Behind = Callable[[float, float], float]
"""The probability that a cancelled lot stood behind us, from the lots behind and in front."""


def power(p: float) -> Behind:
    return lambda back, front: back**p / (back**p + front**p)


def logarithm(back: float, front: float) -> float:
    return math.log(1 + back) / (math.log(1 + back) + math.log(1 + front))


MODELS = {
    "power 1": (k.POWER_PROBABILITY, 1.0, power(1.0)),
    "power 2.5": (k.POWER_PROBABILITY, 2.5, power(2.5)),
    "power 3": (k.POWER_PROBABILITY, 3.0, power(3.0)),
    "log": (k.LOG_PROBABILITY, 3.0, logarithm),
}
shown_rows = st.lists(st.one_of(trades, near, near, far), max_size=40)


@dataclass
class NaiveQueue:
    """A resting bid at PRICE: of the lots that left and were not traded, a share stood ahead of us."""

    ahead: float
    left: int
    behind: Behind
    traded: int = 0
    whole: bool = False  # the reference's rule
    offered: Offered = field(default_factory=Offered)

    def show(self, row: Row, before: int, book: NaiveBook) -> int:
        """Lots filled by one row that is an update of its own. ``before``: lots displayed before it."""
        kind, price, lots, side = row
        filled = 0
        if kind is Kind.TRADE and side < 0 and price < PRICE:
            filled = self.left if self.whole else min(self.left, lots)
            self.ahead = 0
        elif kind is Kind.TRADE and side < 0 and price == PRICE:
            filled = min(self.left, math.floor(max(0.0, lots - self.ahead) + 0.5))
            self.traded += lots
            self.ahead = max(0.0, self.ahead - lots)
        elif kind is Kind.LEVEL:
            if side > 0 and price == PRICE:
                self._cancelled(before, lots)
            if side < 0:
                self.offered.show(price, before, lots)
            mid, sample = book.sample()
            if mid and sample.ask_ticks <= PRICE:
                filled = self.left if self.whole else self.offered.take(book.sides[-1], PRICE, self.left)
        self.left -= filled
        return filled

    def _cancelled(self, before: int, after: int) -> None:
        gone = before - after - self.traded
        back = max(0.0, before - self.ahead)
        if gone > 0 and self.ahead > 0:
            stood_behind = self.behind(back, self.ahead) * gone
            too_many = max(0.0, stood_behind - back)  # more than stood there: these were ahead
            self.ahead -= gone - stood_behind + too_many
        self.traded = 0
        self.ahead = max(0.0, min(self.ahead, after))


EXAMPLE: list[tuple[Row, dict[str, tuple[float, int]]]] = [  # (ahead, lots filled) under each model
    ((Kind.TRADE, 99, 8, -1), {"risk averse": (12, 0), "power 1": (12, 0)}),
    ((Kind.LEVEL, 99, 12, 1), {"risk averse": (12, 0), "power 1": (12, 0)}),
    ((Kind.LEVEL, 99, 30, 1), {"risk averse": (12, 0), "power 1": (12, 0)}),
    ((Kind.LEVEL, 99, 20, 1), {"risk averse": (12, 0), "power 1": (8, 0)}),
    ((Kind.TRADE, 99, 10, -1), {"risk averse": (2, 0), "power 1": (0, 2)}),
    ((Kind.TRADE, 98, 1, -1), {"risk averse": (0, 1), "power 1": (0, 1)}),
    ((Kind.LEVEL, 99, 0, 1), {"risk averse": (0, 0), "power 1": (0, 0)}),
    ((Kind.LEVEL, 98, 0, 1), {"risk averse": (0, 0), "power 1": (0, 0)}),
    ((Kind.LEVEL, 98, 3, -1), {"risk averse": (0, 3), "power 1": (0, 2)}),
    ((Kind.LEVEL, 98, 4, -1), {"risk averse": (0, 1), "power 1": (0, 0)}),
]


@pytest.mark.parametrize("name", ["risk averse", "power 1"])
def test_the_worked_example(name: str) -> None:
    """The example at the head of ``agent.venue.kernel.queue``: a bid of 5 behind 20, row by row."""
    model, exponent = (k.RISK_AVERSE, 1.0) if name == "risk averse" else (k.POWER_PROBABILITY, 1.0)
    market = TapeMarket([BTC], model, exponent)
    for row in (*START, (Kind.LEVEL, 99, 20, 1)):
        feed(market, [row])
    market.rest(1, 0, order(1, Side.BUY, 99, 5), 5)
    assert market.state.ahead[0] == 20
    for row, expected in EXAMPLE:
        fills = feed(market, [row])
        ahead, filled = expected[name]
        assert sum(fill[2] for fill in fills) == filled
        assert all(fill[1] == 99 for fill in fills)
        if market.state.counts[k.N_RESTING]:
            assert float(market.state.ahead[0]) == pytest.approx(ahead)
    assert not market.state.counts[k.N_RESTING]


@pytest.mark.parametrize("name", MODELS)
@TIMELESS
@given(shown=st.integers(0, 30), lots=st.integers(1, 20), rows=shown_rows, whole=st.booleans())
def test_a_probability_queue_is_the_plain_one(
    name: str, shown: int, lots: int, rows: list[Row], whole: bool
) -> None:
    """Row by row the kernel fills what the plain model fills, and stands where it stands."""
    model, exponent, behind = MODELS[name]
    market, book = TapeMarket([BTC], model, exponent, k.WHOLE if whole else k.SHOWN), NaiveBook()
    for row in (*START, (Kind.LEVEL, PRICE, shown, 1)):
        feed(market, [row])
        book.show([row])
    market.rest(1, 0, order(1, Side.BUY, PRICE, lots), lots)
    queue = NaiveQueue(shown, lots, behind, whole=whole)
    for row in rows:
        before = book.sides[row[3]].get(row[1], 0)
        book.show([row])
        fills = feed(market, [row])
        assert sum(f[2] for f in fills) == queue.show(row, before, book)
        if not queue.left:
            break
        assert float(market.state.ahead[0]) == pytest.approx(queue.ahead, abs=1e-9)


@TIMELESS
@given(
    model=st.sampled_from(sorted(k.QUEUE_MODELS.values())),
    shown=st.integers(0, 30),
    orders=st.lists(st.tuples(st.integers(0, 1), st.integers(1, 9)), min_size=1, max_size=4),
    rows=shown_rows,
)
def test_no_order_stands_outside_its_queue(
    model: int, shown: int, orders: list[tuple[int, int]], rows: list[Row]
) -> None:
    """Under every model: 0 <= ahead <= displayed lots + the lane's own that came earlier, at every row."""
    market = TapeMarket([BTC], model)
    for row in (*START, (Kind.LEVEL, PRICE, shown, 1)):
        feed(market, [row])
    for number, (lane, lots) in enumerate(orders, start=1):
        market.rest(number, lane, order(number, Side.BUY, PRICE, lots, lane), lots)
    for row in rows:
        feed(market, [row])
        resting = market.state.resting[: market.state.counts[k.N_RESTING]]
        displayed = level_lots(market.state.book, 0, PRICE)
        for i, r in enumerate(resting):
            own = sum(int(q[R_LOTS]) for q in resting[:i] if q[R_LANE] == r[R_LANE])
            assert 0 <= market.state.ahead[i] <= displayed + own
