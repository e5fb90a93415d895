"""A price far from everything around it: the rule, real captures, and what a marked trade does not do."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.core.market.tape import EVENT, EventArray, Flag, Kind
from agent.core.market.trade_bars import TAKER_BASE
from agent.core.measures.data_faults import Fault
from agent.venue.kernel.tape_market import TapeMarket
from connectors.continuity.impossible_prices import MOVED, MOVED_BY_BOOK, PriceJudge, Touch
from tests.realdata import capture_files
from tests.unit.connectors.test_id_jumps import BTC

BOOK: Touch = (100, 101)


def judged(*ticks: int, judge: PriceJudge | None = None, touch: Touch = None) -> list[bool]:
    return (judge or PriceJudge()).impossible(np.array(ticks, np.int64), touch).tolist()


def test_the_worked_example() -> None:
    """The example at the head of ``impossible_prices``."""
    judge = PriceJudge()
    assert judged(100, 100, judge=judge, touch=BOOK) == [False, False]
    for price, impossible in ((140, False), (1_000, True), (60, True), (-1, True), (0, True)):
        fresh = PriceJudge()
        judged(100, 100, judge=fresh, touch=BOOK)
        assert judged(price, judge=fresh, touch=BOOK) == [impossible], price
    fresh = PriceJudge()
    judged(100, 100, judge=fresh, touch=BOOK)
    assert judged(160, judge=fresh, touch=BOOK) == [True]
    assert judged(3, 3, 3, 8, 3) == [False] * 5


def test_a_fall_that_walks_through_the_book_passes() -> None:
    """Each price near the one before: however deep, in one batch or in many."""
    fall = [int(10_000 * 0.9**n) for n in range(40)]
    assert not any(judged(*fall, touch=(10_000, 10_001)))
    judge = PriceJudge()
    assert not any(judged(price, judge=judge, touch=(10_000, 10_001))[0] for price in fall)


def test_one_wild_price_in_a_batch_is_marked_alone() -> None:
    """Before it and after it all is well; also when it is the first that was ever seen."""
    assert judged(100, 1_000, 101, -1, 99) == [False, True, False, True, False]
    assert judged(1_000, 100, 101, 99) == [True, False, False, False]


def test_a_market_that_has_moved_is_believed() -> None:
    """By its book at once; without one, after some trades in a row; against one, after many."""
    judge = PriceJudge()
    judged(100, 100, 100, judge=judge)
    assert judged(300, judge=judge, touch=(299, 301)) == [False]
    for touch, needed in ((None, MOVED), (BOOK, MOVED_BY_BOOK)):
        judge = PriceJudge()
        judged(100, 100, 100, judge=judge, touch=touch)
        moved = judged(*[300] * (needed + 3), judge=judge, touch=touch)
        assert moved == [True] * (needed - 1) + [False] * 4, touch


@pytest.mark.parametrize("symbol", ["btcusdt", "ethusdt"])
def test_real_captures_pass_untouched(symbol: str) -> None:
    """Every trade of the captures, one by one and in batches, with no book to help."""
    ticks = np.array(list(_prices(capture_files(symbol))), np.int64)
    assert len(ticks) > 10_000
    assert not PriceJudge().impossible(ticks, None).any()
    judge = PriceJudge()
    assert not any(judge.impossible(ticks[i : i + 7], None).any() for i in range(0, len(ticks), 7))
    wild = ticks.copy()
    wild[5_000], wild[7_000] = -1, 10 * wild[7_000]
    assert np.flatnonzero(PriceJudge().impossible(wild, None)).tolist() == [5_000, 7_000]


def _prices(paths: list[Path]) -> Iterator[int]:
    """Ticks of 0.01 of the capture's trades."""
    for path in paths:
        with gzip.open(path, "rt") as lines:
            for line in lines:
                message: dict[str, Any] = json.loads(line.split(" ", 1)[1])
                if str(message.get("stream", "")).endswith("@trade"):
                    yield round(float(message["data"]["p"]) * 100)


class Order:
    """One that rests in the book."""

    instrument, cap_tl = 0, 0

    def __init__(self, side: int, price_ticks: int, lots: int) -> None:
        self.side, self.price_ticks, self.lots = side, price_ticks, lots


def tape(*trades: tuple[int, int, int]) -> EventArray:
    """A book of 100 and 102, then trades (price, side, flags) of 5 lots, a second apart."""
    rows = np.zeros(2 + len(trades), EVENT)
    rows["recv_ns"] = rows["exch_ns"] = (1 + np.arange(len(rows))) * 10**9
    rows["seq"], rows["qty_lots"], rows["flags"] = np.arange(len(rows)), 5, int(Flag.LAST)
    rows["kind"][:2], rows["side"][:2], rows["price_ticks"][:2] = Kind.LEVEL, [1, -1], [100, 102]
    rows["flags"][0] = 0
    for at, (price, side, flags) in enumerate(trades, 2):
        rows["kind"][at], rows["price_ticks"][at], rows["side"][at] = Kind.TRADE, price, side
        rows["flags"][at] |= flags
    return rows


def market(*trades: tuple[int, int, int], order: Order | None = None) -> TapeMarket:
    """A market that has seen the tape; the order came after the book."""
    made, rows = TapeMarket([BTC]), tape(*trades)
    at, _ = made.run(rows[:2], 0, 2**62)
    if order is not None:
        made.rest(1, 0, order, order.lots)
    at, count = 0, len(rows) - 2
    while at < count:
        at, _ = made.run(rows[2:], at, 2**62)
    return made


def test_a_marked_trade_counts_for_nothing_and_flags_what_holds_it() -> None:
    """No trade of the market's, no fill of an order that it would reach; its share is of the volume."""
    wild = (1, -1, int(Flag.IMPOSSIBLE))
    seen = market((100, -1, 0), wild, (101, 1, 0), order=Order(1, 99, 5))
    assert seen.trades(0).price_ticks.tolist() == [100, 101]
    assert seen.drain_fills() == []
    assert market((100, -1, 0), (1, -1, 0), order=Order(1, 99, 5)).drain_fills() != []  # unmarked, it fills
    shares = seen.faults(0).shares(0, 10**11, lambda a, b: 10)
    assert shares == {Fault.IMPOSSIBLE_PRICE.value: pytest.approx(5 / 15)}
    assert seen.faults(0).shares(10**10, 10**11, lambda a, b: 10) == {}


@pytest.mark.parametrize(("side", "price"), [(1, 100), (-1, 102)])
def test_a_trade_of_an_unknown_taker_reaches_no_order(side: int, price: int) -> None:
    """Neither as a buyer's nor as a seller's; one whose taker is known does."""
    assert market((price, 0, 0), (price, 0, 0), order=Order(side, price, 5)).drain_fills() == []
    known = [(price, -side, 0)] * 3
    assert market(*known, order=Order(side, price, 5)).drain_fills() != []


def test_an_unknown_taker_counts_half_in_shares() -> None:
    """Of 3 x 5 lots, 7 or 8 count as bought; however the tape is cut."""
    seen = market(*[(101, 0, 0)] * 3)
    series = seen.series(0, 10**10, 0, 4)
    series.update(seen.trades(0))
    assert 7 <= series._table[4, TAKER_BASE] <= 8
