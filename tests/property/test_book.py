"""The book, what lanes consumed of it, and the queue: the kernel against models in plain Python."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.instrument import Instrument
from agent.core.market.ladder import (
    BASE,
    BEST,
    FAR,
    LEVELS,
    NOTHING,
    WINDOW,
    Ladders,
    clear_levels,
    level_lots,
    lots_within,
    new_ladders,
    next_key,
    put_level,
)
from agent.core.market.sorted_levels import set_level
from agent.core.market.tape import EVENT, EventArray, Flag, Kind
from agent.core.market.trade_bars import BookSample
from agent.core.orders.venue_messages import VenueOrder
from agent.core.types import Side, TimeInForce
from agent.venue.kernel import loop as k
from agent.venue.kernel.tape_market import TapeMarket

BTC = Instrument(0, "test", "BTC/USDT", "BTC", "USDT", "USDT", Decimal("0.01"), Decimal("0.001"))
FOREVER_NS = 2**62
TIMELESS = settings(deadline=None)
"""The first example of a fresh checkout compiles the kernel: seconds, not milliseconds."""
Row = tuple[Kind, int, int, int]
"""(kind, price, lots, side); an update is a list of them."""


def tape(updates: list[list[Row]]) -> EventArray:
    """Stamped rows, one update a nanosecond, the last row of each flagged LAST."""
    rows: list[Any] = []
    for ns, update in enumerate(updates, start=1):
        for i, (kind, price, lots, side) in enumerate(update):
            last = int(Flag.LAST) if i == len(update) - 1 else 0
            rows.append((ns, ns, len(rows) + 1, 0, price, lots, 0, kind, side, last))
    return np.array(rows, dtype=EVENT)


def feed(market: TapeMarket, update: list[Row]) -> list[tuple[int, ...]]:
    """Show one update to a market; return the fills of resting orders it caused."""
    at, events = 0, tape([update])
    while at < len(events):
        at, _ = market.run(events, at, FOREVER_NS)
    return market.drain_fills()


def snapshot(levels: list[Row]) -> list[Row]:
    return [(Kind.SNAPSHOT_BEGIN, 0, 0, 0), *levels, (Kind.SNAPSHOT_END, 0, 0, 0)]


def order(number: int, side: Side, price: int, lots: int, lane: int = 0, cap_tl: int = 0) -> VenueOrder:
    return VenueOrder(number, lane, 0, side, TimeInForce.GTC, price, lots, cap_tl)


sides = st.sampled_from([1, -1])
levels = st.tuples(st.just(Kind.LEVEL), st.integers(95, 105), st.integers(0, 9), sides)
unique_levels = st.lists(levels, max_size=12, unique_by=lambda r: (r[1], r[3]))
updates = st.one_of(st.lists(levels, min_size=1, max_size=6), st.builds(snapshot, unique_levels))


@TIMELESS
@given(changes=st.lists(st.tuples(st.integers(-30, 30), st.integers(0, 9)), max_size=60))
def test_a_side_is_a_sorted_dictionary(changes: list[tuple[int, int]]) -> None:
    """Sets and deletes agree with a dictionary; keys stay ascending, without a double."""
    key, qty, count = np.zeros(64, np.int64), np.zeros(64, np.int64), 0
    model: dict[int, int] = {}
    for at, lots in changes:
        count, before = set_level(key, qty, count, at, lots)
        assert before == model.pop(at, 0)
        if lots:
            model[at] = lots
    assert list(zip(key[:count].tolist(), qty[:count].tolist(), strict=True)) == sorted(model.items())


def levels_of(book: Ladders, row: int) -> list[tuple[int, int]]:
    """(key, lots) of a side, from the best."""
    found, at = [], int(book.head[row, BEST])
    while at != NOTHING:
        found.append((at, level_lots(book, row, at)))
        at = next_key(book, row, at)
    return found


NEAR, FAR_OFF = st.integers(-70, 70), st.integers(-5 * WINDOW, 5 * WINDOW)
at_edges = st.builds(lambda edge, off: edge * WINDOW // 8 + off, st.integers(-20, 20), st.integers(-2, 2))
puts = st.tuples(st.one_of(NEAR, NEAR, FAR_OFF, at_edges), st.integers(-1, 9))


@TIMELESS
@given(changes=st.lists(st.one_of(puts, puts, puts, st.just(None)), max_size=80))
def test_a_ladder_is_a_sorted_dictionary(changes: list[tuple[int, int] | None]) -> None:
    """Levels put near, far and at the window's edges, and clears, agree with a dictionary at each step."""
    book, model = new_ladders(1, 128), dict[int, int]()
    for change in changes:
        if change is None:
            clear_levels(book, 1)
            model.clear()
        else:
            at, lots = change
            assert put_level(book, 1, at, lots) == model.pop(at, 0)
            if lots > 0:
                model[at] = lots
        ordered = sorted(model.items(), reverse=True)
        assert levels_of(book, 1) == ordered
        for i, worst in enumerate(list(model)[:3]):
            assert lots_within(book, 1, worst - i) == sum(q for p, q in ordered if p >= worst - i)
        if ordered:  # whatever the order of changes, the touch is in the window: it is what the loop needs
            assert 0 <= ordered[0][0] - book.head[1, BASE] < WINDOW
    assert not book.lots[0].any()
    assert [level_lots(book, 1, at) for at in range(-75, 75)] == [model.get(at, 0) for at in range(-75, 75)]


def test_a_ladders_worked_example() -> None:
    """The window, its bits and the far levels, as the head of ``agent.core.market.ladder`` has them."""
    book = new_ladders(1, 16)

    def stands() -> tuple[int, ...]:
        return tuple(int(book.head[0, column]) for column in (BASE, BEST, LEVELS, FAR))

    put_level(book, 0, 1_000_000, 5)
    assert stands() == (950_848, 1_000_000, 1, 0)
    assert (book.lots[0, 49_152], book.words[0, 768], book.groups[0, 12]) == (5, 1, 1)
    put_level(book, 0, 950_000, 7)
    assert stands() == (950_848, 1_000_000, 2, 1)
    assert (book.far_key[0, 0], book.far_lots[0, 0]) == (950_000, 7)
    put_level(book, 0, 1_020_000, 3)
    assert stands() == (970_848, 1_020_000, 3, 1)
    assert (book.lots[0, 49_152], book.lots[0, 29_152]) == (3, 5)
    assert put_level(book, 0, 1_020_000, 0) == 3
    assert stands() == (950_848, 1_000_000, 2, 1)
    assert levels_of(book, 0) == [(1_000_000, 5), (950_000, 7)]


@dataclass
class NaiveBook:
    """Two dictionaries of price to lots."""

    sides: dict[int, dict[int, int]] = field(default_factory=lambda: {1: {}, -1: {}})

    def show(self, update: list[Row]) -> None:
        for kind, price, lots, side in update:
            if kind is Kind.SNAPSHOT_BEGIN:
                self.sides = {1: {}, -1: {}}
            elif kind is Kind.LEVEL:
                self.sides[side].pop(price, None)
                if lots:
                    self.sides[side][price] = lots

    def sample(self) -> tuple[int, BookSample]:
        """(mid in half ticks, the sample); zeros while one-sided or crossed. Depth within 10 bps."""
        bids, asks = self.sides[1], self.sides[-1]
        if not bids or not asks or max(bids) >= min(asks):
            return 0, BookSample(0, 0, 0, 0, 0, 0)
        bid, ask = max(bids), min(asks)
        mid, band = Decimal(bid + ask) / 2, Decimal(bid + ask) / 2 / 1000
        depths = (
            sum(q for p, q in bids.items() if p >= mid - band),
            sum(q for p, q in asks.items() if p <= mid + band),
        )
        return bid + ask, BookSample(bid, bids[bid], ask, asks[ask], *depths)


@TIMELESS
@given(shown=st.lists(updates, max_size=15), scale=st.sampled_from([1, 100]))
def test_the_book_is_what_the_tape_showed(shown: list[list[Row]], scale: int) -> None:
    """After every update touch, mid and depth are those of two dictionaries; crossed has no mid.

    Prices near 100 ticks have one level inside the band of depth, near 10,000 several.
    """
    market, model = TapeMarket([BTC]), NaiveBook()
    for update in shown:
        moved = [(kind, p + 100 * (scale - 1), lots, side) for kind, p, lots, side in update]
        feed(market, moved)
        model.show(moved)
        mid, sample = model.sample()
        assert (market.mid_half_ticks(0), market.book(0)) == (mid, sample)


def test_a_book_may_be_any_size() -> None:
    """Five thousand levels a side, more than there was room for, all stand where they were put."""
    market = TapeMarket([BTC])
    rows: list[Row] = [(Kind.LEVEL, 50_000 - s * d, d, s) for d in range(1, 5001) for s in (1, -1)]
    feed(market, snapshot(rows))
    book = market.state.book
    assert levels_of(book, 0) == [(50_000 - d, d) for d in range(1, 5001)]
    assert levels_of(book, 1) == [(-50_000 - d, d) for d in range(1, 5001)]


# --- consumption ---------------------------------------------------------------------------------

BIDS: list[Row] = [(Kind.LEVEL, 94, 9, 1)]
asks = st.tuples(st.just(Kind.LEVEL), st.integers(100, 104), st.integers(0, 9), st.just(-1))
takes = st.tuples(st.integers(0, 1), st.integers(99, 105), st.integers(1, 15))  # lane, limit, lots


@TIMELESS
@given(steps=st.lists(st.one_of(asks, takes), max_size=40))
def test_displayed_lots_fill_a_lane_once(steps: list[Any]) -> None:
    """A lane gets of a level what was first shown and what was added, less what left; lanes do not meet.

    The model keeps what each level still offers each lane: growth adds, shrinking only bounds.
    """
    market = TapeMarket([BTC])
    feed(market, BIDS)
    shown: dict[int, int] = {}
    offered: dict[int, dict[int, int]] = {0: defaultdict(int), 1: defaultdict(int)}
    for number, step in enumerate(steps, start=1):
        if step[0] is Kind.LEVEL:
            _, price, after, _ = step
            feed(market, [step])
            for lane in offered.values():
                lane[price] = min(lane[price] + max(0, after - shown.get(price, 0)), after)
            shown[price] = after
            continue
        lane_number, limit, lots = step
        expected, left = [], lots
        for price in range(100, limit + 1):
            got = min(left, offered[lane_number][price])
            if got:
                expected.append((number, price, got))
            left -= got
            offered[lane_number][price] -= got
        filled = market.take(number, lane_number, order(number, Side.BUY, limit, lots), 1)
        assert [row[:3] for row in market.drain_fills()] == expected
        assert filled == lots - left


@TIMELESS
@given(first=st.integers(1, 9), took=st.integers(1, 9), again=st.integers(0, 12), gone=st.booleans())
def test_a_book_sent_again_is_no_refill(first: int, took: int, again: int, gone: bool) -> None:
    """A snapshot offers only what it shows beyond what was taken; a level it leaves out is forgotten."""
    market = TapeMarket([BTC])
    feed(market, snapshot([*BIDS, (Kind.LEVEL, 100, first, -1), (Kind.LEVEL, 101, 1, -1)]))
    filled = market.take(1, 0, order(1, Side.BUY, 100, took), 1)
    if gone:
        feed(market, snapshot([*BIDS, (Kind.LEVEL, 101, 1, -1)]))
    feed(market, snapshot([*BIDS, (Kind.LEVEL, 100, again, -1), (Kind.LEVEL, 101, 1, -1)]))
    now = market.take(2, 0, order(2, Side.BUY, 100, 50), 2)
    assert now == (again if gone else max(0, again - filled))


@TIMELESS
@given(lots=st.integers(1, 60), cap_tl=st.integers(0, 3000), sell=st.booleans())
def test_a_money_bound_is_kept_to_one_lot(lots: int, cap_tl: int, sell: bool) -> None:
    """Money never passes its bound, and stops short of it by less than a lot unless lots or book end."""
    market = TapeMarket([BTC])
    ladder: list[Row] = [(Kind.LEVEL, 100 - s * d, 4, s) for d in range(1, 6) for s in (1, -1)]
    feed(market, ladder)
    side, limit = (Side.SELL, 95) if sell else (Side.BUY, 105)
    filled = market.take(1, 0, order(1, side, limit, lots, cap_tl=cap_tl), 1)
    rows = market.drain_fills()
    spent = sum(row[1] * row[2] for row in rows)
    if cap_tl == 0:
        assert filled == min(lots, 20)
        return
    assert spent <= cap_tl
    if filled < min(lots, 20):
        following = 100 + side * (1 + filled // 4)  # price of the next lot the book offers
        emptied = 1 if sell and filled and filled % 4 == 0 else 0  # a sale stops at the level it emptied
        assert cap_tl - spent < following + emptied


# --- the queue -----------------------------------------------------------------------------------

PRICE = 99
at_or_near = st.sampled_from([PRICE, PRICE, PRICE, PRICE - 1, PRICE + 1])
trades = st.tuples(st.just(Kind.TRADE), at_or_near, st.integers(1, 12), sides)
near = st.tuples(st.just(Kind.LEVEL), st.integers(97, 99), st.integers(1, 9), st.just(1))
far = st.tuples(st.just(Kind.LEVEL), st.integers(98, 103), st.integers(0, 9), st.just(-1))
START: list[Row] = [(Kind.LEVEL, 96, 5, 1), (Kind.LEVEL, 98, 5, 1), (Kind.LEVEL, 110, 5, -1)]


@dataclass
class Offered:
    """What one lane may still take of the asks: a size that grows offers more, one that shrinks none."""

    lots: dict[int, int] = field(default_factory=dict)

    def show(self, price: int, before: int, after: int) -> None:
        free = self.lots.get(price, before)
        self.lots[price] = free + after - before if after > before else min(free, after)

    def take(self, asks: dict[int, int], limit: int, most: int) -> int:
        """Up to ``most`` lots at ``limit`` or better, which are then gone."""
        taken = 0
        for price in sorted(p for p in asks if p <= limit):
            lots = min(most - taken, self.lots.get(price, asks[price]))
            self.lots[price] = self.lots.get(price, asks[price]) - lots
            taken += lots
        return taken


@dataclass
class NaiveQueue:
    """A resting bid at PRICE, risk-averse: cancels help only when fewer lots are left than were ahead."""

    ahead: int
    left: int
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
            filled = min(self.left, max(0, lots - self.ahead))
            self.ahead = max(0, self.ahead - lots)
        elif kind is Kind.LEVEL:
            if side > 0 and price == PRICE:
                self.ahead = min(self.ahead, lots)
            if side < 0:
                self.offered.show(price, before, lots)
            mid, sample = book.sample()
            if mid and sample.ask_ticks <= PRICE:
                filled = self.left if self.whole else self.offered.take(book.sides[-1], PRICE, self.left)
        self.left -= filled
        return filled


@TIMELESS
@given(
    shown=st.integers(0, 9),
    lots=st.integers(1, 20),
    rows=st.lists(st.one_of(trades, near, far)),
    whole=st.booleans(),
)
def test_a_resting_order_waits_its_turn(shown: int, lots: int, rows: list[Row], whole: bool) -> None:
    """Row by row the risk-averse queue fills what a model of four rules fills, at the order's price."""
    market, book = TapeMarket([BTC], reach=k.WHOLE if whole else k.SHOWN), NaiveBook()
    for row in (*START, (Kind.LEVEL, PRICE, shown, 1)):
        feed(market, [row])
        book.show([row])
    market.rest(1, 0, order(1, Side.BUY, PRICE, lots), lots)
    queue = NaiveQueue(shown, lots, whole)
    for row in rows:
        before = book.sides[row[3]].get(row[1], 0)
        book.show([row])
        fills = feed(market, [row])
        assert sum(f[2] for f in fills) == queue.show(row, before, book)
        assert all(f[:2] == (1, PRICE) and f[3] == 1 for f in fills)
    assert int(market.state.counts[k.N_RESTING]) == (1 if queue.left else 0)


@TIMELESS
@given(
    shown=st.integers(0, 9),
    parts=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    rows=st.lists(st.one_of(trades, near, far)),
)
def test_splitting_an_order_gains_nothing(shown: int, parts: list[int], rows: list[Row]) -> None:
    """Several orders of a lane at one price fill together as one order of their sum does."""
    filled = []
    for sizes in ([sum(parts)], parts):
        market = TapeMarket([BTC])
        for row in (*START, (Kind.LEVEL, PRICE, shown, 1)):
            feed(market, [row])
        for number, lots in enumerate(sizes, start=1):
            market.rest(number, 0, order(number, Side.BUY, PRICE, lots), lots)
        filled.append([sum(f[2] for f in feed(market, [row])) for row in rows])
    assert filled[0] == filled[1]


@TIMELESS
@given(
    shown=st.lists(st.one_of(updates, trades.map(lambda r: [r])), min_size=1, max_size=40),
    cut=st.sampled_from([1, 7]),
    model=st.sampled_from(sorted(k.QUEUE_MODELS.values())),
)
def test_batches_cannot_matter(shown: list[list[Row]], cut: int, model: int) -> None:
    """Cut into 1, 7 or not at all, a tape leaves every array of the kernel and every fill the same."""
    events, results = tape(shown), []
    for size in (cut, len(events)):
        market, fills = TapeMarket([BTC], model), []
        feed(market, snapshot([*START, (Kind.LEVEL, PRICE, 4, 1)]))
        for number, side in ((1, Side.BUY), (2, Side.SELL)):
            market.rest(number, number, order(number, side, PRICE + (side < 0), 8), 8)
        for start in range(0, len(events), size):
            at, batch = 0, events[start : start + size]
            while at < len(batch):
                at, why = market.run(batch, at, FOREVER_NS)
                fills += market.drain_fills() if why == k.FILLED else []
        arrays = [*market.state.book, *market.state[1:]]
        results.append((fills, [array.tobytes() for array in arrays]))
    assert results[0] == results[1]
