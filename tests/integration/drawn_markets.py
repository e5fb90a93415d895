"""Markets drawn up to and past what 64 bits hold: their tape, and what was traded on it, in exact numbers."""

from __future__ import annotations

import random
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np

from agent.core.instrument import Instrument
from agent.core.market.tape import EventArray, Flag, Kind, empty_events
from agent.core.money import MOST_TL
from agent.core.session_header import SessionHeader
from agent.core.types import NS_PER_S
from storage.recordings.session import SessionWriter

START_NS = 1_700_000_000 * NS_PER_S
SECONDS, A_SECOND = 20, 5
"""Trades come ``A_SECOND`` to the second."""

Row = tuple[int, int, int, int, int, int]
"""(ns after the start, kind, side, ticks, lots, flags)."""


@dataclass(frozen=True)
class DrawnMarket:
    """One market, its tape, and its trades as (ns after the start, ticks, lots)."""

    instrument: Instrument
    events: EventArray
    trades: list[tuple[int, int, int]]

    @property
    def unit(self) -> Fraction:
        """The money of one tick of one lot."""
        return Fraction(self.instrument.tick) * Fraction(self.instrument.lot)

    @property
    def largest_tl(self) -> int:
        return max(ticks * lots for _, ticks, lots in self.trades)

    def traded(self, begin_ns: int, end_ns: int) -> tuple[int, int]:
        """(lots, ticks x lots) of a window [begin, end), from the start of the tape."""
        inside = [(ticks, lots) for at, ticks, lots in self.trades if begin_ns <= at < end_ns]
        return sum(lots for _, lots in inside), sum(ticks * lots for ticks, lots in inside)

    def record(self, path: Path) -> Path:
        header = SessionHeader(path.name, (self.instrument,), START_NS, config={}, fingerprint={})
        writer = SessionWriter.create(path, header)
        writer.events(self.events)
        writer.close(int(self.events["recv_ns"][-1]))
        return path


def drawn_market(seed: int) -> DrawnMarket:
    """Steps of 1e-15 to 1e3, prices of 4 to a billion ticks, trades of a unit to ten times the bound."""
    draw = random.Random(seed)
    tick, lot = (Decimal(draw.choice((1, 1, 2, 5))).scaleb(draw.randint(-15, 3)) for _ in range(2))
    price = max(4, int(10 ** draw.uniform(0.7, 9)))
    worth = 10 ** draw.choice((draw.uniform(-17, 0), draw.uniform(-2, 0), draw.uniform(-0.5, 1)))
    lots = max(1, min(MOST_TL, int(MOST_TL * worth) // price))
    rows, trades = _rows(draw, price, lots)
    events = empty_events(len(rows))
    columns = ("recv_ns", "kind", "side", "price_ticks", "qty_lots", "flags")
    for name, column in zip(columns, zip(*rows, strict=True), strict=True):
        events[name] = column
    events["recv_ns"] += START_NS
    events["exch_ns"], events["seq"] = events["recv_ns"], np.arange(1, len(rows) + 1)
    number = np.cumsum(events["kind"] == Kind.TRADE)
    events["ext_id"] = np.where(events["kind"] == Kind.TRADE, number, 0)
    instrument = Instrument(0, "drawn", "A/B", "A", "B", "B", tick, lot)
    return DrawnMarket(instrument, events, trades)


def _rows(draw: random.Random, price: int, lots: int) -> tuple[list[Row], list[tuple[int, int, int]]]:
    """A book of three levels a side that is sent anew each second, and trades at its touch."""
    rows: list[Row] = []
    trades = []
    last = int(Flag.LAST)
    for second in range(SECONDS):
        at = second * NS_PER_S
        mid = max(5, int(price * draw.uniform(0.999, 1.001)))
        rows.append((at, Kind.SNAPSHOT_BEGIN, 0, 0, 0, 0))
        sizes = (lots, min(MOST_TL, 2 * lots), MOST_TL)
        for k, size in enumerate(sizes, start=1):
            rows += [(at, Kind.LEVEL, side, mid - side * k, size, 0) for side in (1, -1)]
        rows.append((at, Kind.SNAPSHOT_END, 0, 0, 0, last))
        for k in range(A_SECOND):
            side, size = draw.choice((1, -1)), max(1, int(lots * draw.uniform(0.3, 1)))
            then = at + (2 * k + 1) * NS_PER_S // (2 * A_SECOND)
            rows.append((then, Kind.TRADE, side, mid + side, size, last))
            trades.append((then, mid + side, size))
    return rows, trades
