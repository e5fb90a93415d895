"""Tapes to compare venues on: random ones that are hostile by design, and the real captures.

A random tape keeps an exchange's own rule and no other: after an update the book is two-sided and not
crossed. Trades and book disagree as they may on a wire: a trade is told before, with, after, or never
by the book; it may be larger than what was displayed, inside the spread, or through several levels;
many rows share one time, and the sides of an update come in either order.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from agent.core.market.tape import EVENT, EventArray, Flag, Kind
from tests.loaded_captures import load
from tests.realdata import capture_files

START_NS = 1_000_000_000_000
_LEVELS = 12  # displayed levels a side
_Row = tuple[int, int, int, int]
"""kind, price, lots, side"""


class _Market:
    """A random book and the updates that it sends."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._rows: list[tuple[int, ...]] = []
        self._now = START_NS
        self.books: dict[int, dict[int, int]] = {1: {}, -1: {}}
        steps = [(side, step) for side in (1, -1) for step in range(1, _LEVELS + 1)]
        levels = [self._put(side, 10_000 - side * step, self._lots()) for side, step in steps]
        self._send([(Kind.SNAPSHOT_BEGIN, 0, 0, 0), *levels, (Kind.SNAPSHOT_END, 0, 0, 0)])

    def tape(self, updates: int) -> EventArray:
        moves = [self._trades, self._jump, self._bbo, *[self._sizes] * 4, *[self._odd_trade] * 10]
        for _ in range(updates):
            if self._rng.random() < 0.7:
                self._now += int(self._rng.exponential(6e6))
            if self._rng.random() < 0.01:
                self._snapshot()
            moves[self._rng.integers(len(moves))]()
        return np.array(self._rows, dtype=EVENT)

    def _lots(self) -> int:
        return 1 + int(self._rng.geometric(0.08))

    def _best(self, side: int) -> int:
        return side * max(side * price for price in self.books[side])

    def _put(self, side: int, price: int, lots: int) -> _Row:
        """Set a level (0 deletes it) and return its row."""
        if lots:
            self.books[side][price] = lots
        else:
            self.books[side].pop(price, None)
        return (Kind.LEVEL, price, lots, side)

    def _send(self, rows: list[_Row]) -> None:
        for i, (kind, price, lots, side) in enumerate(rows):
            flags = int(Flag.LAST) if i == len(rows) - 1 else 0
            seq = len(self._rows) + 1
            self._rows.append((self._now, self._now, seq, 0, price, lots, 0, int(kind), side, flags))

    def _send_levels(self, rows: list[_Row]) -> None:
        """One book update; its sides come in either order, and each side keeps some levels."""
        for side in (1, -1):
            while len(self.books[side]) < 4:
                deepest = side * min(
                    (side * p for p in self.books[side]), default=side * self._best(-side) - 2
                )
                rows.append(self._put(side, deepest - side, self._lots()))
        rows.sort(key=lambda row: row[3] * self._rng.choice((1, -1)))
        self._send(rows)

    def _trades(self) -> None:
        """A taker walks the book; the book tells of it before, after, or in part."""
        taker = int(self._rng.choice((1, -1)))
        left = self._lots() * int(self._rng.choice((1, 1, 2, 5)))
        trades: list[_Row] = []
        levels: list[_Row] = []
        for price in sorted(self.books[-taker], key=lambda p: taker * p)[:-2]:
            shown = self.books[-taker][price]
            taken = min(left, shown)
            trades.append((Kind.TRADE, price, taken, taker))
            joined = self._lots() if self._rng.random() < 0.3 else 0
            levels.append(self._put(-taker, price, shown - taken + joined))
            left -= taken
            if not left:
                break
        told = self._rng.random()
        if told < 0.25:
            self._send_levels(levels)
        for trade in trades:
            self._send([trade])
        if told >= 0.25:
            self._now += int(self._rng.choice((0, 0, 2_000_000)))
            self._send_levels(levels)

    def _sizes(self) -> None:
        """Orders join and leave near the touch, with nothing traded."""
        rows: dict[tuple[int, int], _Row] = {}
        for _ in range(self._rng.integers(1, 6)):
            side = int(self._rng.choice((1, -1)))
            price = self._best(side) - side * int(self._rng.integers(-1, 6))
            if side * price >= side * self._best(-side) or (side, price) in rows:
                continue
            lots = 0 if self._rng.random() < 0.3 else self._lots()
            if lots == 0 and len(self.books[side]) < 5:
                continue
            rows[side, price] = self._put(side, price, lots)
        if rows:
            self._send_levels(list(rows.values()))

    def _jump(self) -> None:
        """One side moves over levels of the other, which leave in the same update."""
        side = int(self._rng.choice((1, -1)))
        best = self._best(-side) + side * int(self._rng.integers(0, 3))
        rows = [self._put(-side, p, 0) for p in sorted(self.books[-side]) if side * p <= side * best]
        rows.append(self._put(side, best, self._lots()))
        if not self.books[-side]:
            rows.append(self._put(-side, best + side, self._lots()))
        self._send_levels(rows)

    def _odd_trade(self) -> None:
        """A trade that the book never tells of: at the touch, inside the spread, or through it."""
        taker = int(self._rng.choice((1, -1)))
        price = self._best(-taker) + taker * int(self._rng.choice((-2, -1, 0, 0, 0, 0, 0, 0, 1, 2)))
        self._send([(Kind.TRADE, price, int(self._rng.geometric(0.2)), taker)])

    def _snapshot(self) -> None:
        """The whole book again, some of its levels changed or gone, as after a lost connection."""
        levels = []
        for side in (1, -1):
            best = self._best(side)
            for price in sorted(self.books[side]):
                lots = self.books[side][price] if self._rng.random() < 0.8 else self._lots()
                gone = price != best and len(self.books[side]) > 4 and self._rng.random() < 0.1
                levels.append(self._put(side, price, 0 if gone else lots))
        shown = [row for row in levels if row[2]]
        self._send([(Kind.SNAPSHOT_BEGIN, 0, 0, 0), *shown, (Kind.SNAPSHOT_END, 0, 0, 0)])

    def _bbo(self) -> None:
        bid, ask = self._best(1), self._best(-1)
        self._send([(Kind.BBO, bid, self.books[1][bid], 1), (Kind.BBO, ask, self.books[-1][ask], -1)])


@cache
def random_tape(seed: int, updates: int, even: bool = True) -> EventArray:
    """Return a random tape of ``updates`` moves, about 4 s a thousand; its sizes are ``even`` or any."""
    tape = _Market(seed).tape(updates)
    return _even(tape) if even else tape


@cache
def capture_tape(symbol: str) -> EventArray:
    """Return the real capture of ``symbol`` ("btcusdt"), the book from its first snapshot on."""
    _, rows, _ = load(capture_files(symbol), symbol.upper())
    first = int(np.flatnonzero(rows["kind"] == Kind.SNAPSHOT_BEGIN)[0])
    return _even(rows[first:])


def _even(tape: EventArray) -> EventArray:
    """Return the tape in lots half as large, so that every size is even.

    hftbacktest 2.4.4 fails after a trade that fills an order to the last lot with nothing left over (see
    docs/fill-model.md). An order of an odd size can never be filled so.
    """
    tape = tape.copy()
    tape["qty_lots"] *= 2
    return tape
