"""The market that a paper venue fills from: what it keeps and lets go, and which trades it calls late."""

from __future__ import annotations

from typing import Any

import pytest

from agent.core.market.ladder import FAR, LEVELS, level_lots
from agent.core.market.tape import EventArray, Flag, Kind, empty_events
from agent.core.orders.venue_messages import VenueOrder
from agent.core.types import Side, TimeInForce
from tests.venue import LAST, MS, Stand


def buy(number: int, lane: int, lots: int) -> VenueOrder:
    return VenueOrder(number, lane, 0, Side.BUY, TimeInForce.GTC, 10_001, lots)


def rows(*values: tuple[Kind, int, int, int, int]) -> EventArray:
    """One update at 100 ms: (kind, price, lots, side, flags) each."""
    events = empty_events(len(values))
    for i, (kind, price, lots, side, flags) in enumerate(values):
        row: Any = (100 * MS, 50 * MS, i + 1, 0, price, lots, 0, kind, side, flags)
        events[i] = row
    return events


def test_one_lane_is_forgotten_and_no_other() -> None:
    """What a shadow took is let go when it is done; what the parent and another shadow took stays taken."""
    market = Stand().market
    for lane in (0, 1, 2):
        assert market.take(lane + 1, lane, buy(lane + 1, lane, 30), 10 * MS) == 30
    market.forget_lane(1)
    again = [market.take(lane + 11, lane, buy(lane + 11, lane, 30), 20 * MS) for lane in (0, 1, 2)]
    assert again == [0, 30, 0]


def test_many_orders_rest_at_once() -> None:
    """More than there was room for at the start: one trade below them all fills as many as it is large."""
    market = Stand().market
    for number in range(1, 301):
        market.rest(number, 0, buy(number, 0, 1), 1)
    fills = rows((Kind.TRADE, 9_900, 250, -1, LAST))
    market.run(fills, 0, 2**62)
    filled = [order for order, *_ in market.drain_fills()]
    assert filled == list(range(1, 251))


@pytest.mark.parametrize("far", [100, 2100])
def test_a_book_far_from_its_touch_is_kept_whole(far: int) -> None:
    """Levels beyond the window come in one batch, more than there was room for; some go, and are counted."""
    market, touch = Stand().market, 1_000_000
    levels = [(Kind.LEVEL, price, price, 1, 0) for price in range(far, 0, -1)]
    gone = [(Kind.LEVEL, price, 0, 1, 0) for price in range(1, far + 1, 2)]
    market.run(rows((Kind.LEVEL, touch, 5, 1, 0), (Kind.LEVEL, 10_001, 0, -1, 0), *levels, *gone), 0, 2**62)
    book = market.state.book
    assert [level_lots(book, 0, price) for price in range(1, far + 1)] == [
        0 if price % 2 else price for price in range(1, far + 1)
    ]
    near = 3  # the stand's two bids, and the touch
    assert (book.head[0, FAR], book.head[0, LEVELS]) == (far // 2 + near - 1, far // 2 + near)


LATE_ROWS = [
    ("a late trade", Kind.TRADE, Flag.LATE, 1),
    ("a trade fetched for a gap", Kind.TRADE, Flag.BACKFILL, 1),
    ("a trade in its turn", Kind.TRADE, Flag(0), 0),
    ("a trade of the warm-up", Kind.TRADE, Flag.LATE | Flag.HISTORY, 0),
    ("a level of a late batch", Kind.LEVEL, Flag.LATE, 0),
    ("a mark of a late batch", Kind.SNAPSHOT_BEGIN, Flag.LATE, 0),
]


@pytest.mark.parametrize(("_what", "kind", "flags", "late"), LATE_ROWS, ids=[row[0] for row in LATE_ROWS])
def test_only_trades_come_late(_what: str, kind: Kind, flags: Flag, late: int) -> None:
    """A measure is marked with the share of the lots that came late, whatever else carries the flag."""
    market = Stand().market
    market.run(rows((kind, 9_999, 7, 1, int(flags) | LAST)), 0, 2**62)
    shares = market.faults(0).shares(0, 200 * MS, lambda _begin, _end: 10)
    assert shares == ({"late_trades": 0.7} if late else {})
