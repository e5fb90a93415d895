"""Markets drawn by a seed, and one order worked on each through the whole engine.

Ticks, lots, minimums and prices of every size, spot and inverse, and a book deep enough that what an order
gets is its algorithm's doing and not the market's. Trades come every 100 ms, in random sizes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np

from agent import app
from agent.config import Config, LatencyMs, Order, Risk, Tactics, Venue
from agent.core.events import AuditEvent, ChildChanged, ChildFilled, DecisionTaken, ParentChanged
from agent.core.instrument import Instrument
from agent.core.market.tape import BAR, BarArray, EventArray, Flag, Kind, empty_events
from tests.fakes import start

MS, S = 10**6, 10**9
START_NS = 1_700_000_000 * S
STEP_NS = 100 * MS
WARM_UP = 200  # steps before the order
LEVELS = 8
RICH = {name: Decimal(10) ** 30 for name in ("BTC", "USDT", "USD")}


@dataclass(frozen=True)
class MarketCase:
    """One market and the size of an order that it can bear. ``least_lots``: the smallest order it takes."""

    seed: int
    instrument: Instrument
    mid_ticks: int
    least_lots: int
    target_lots: int
    side: str

    @property
    def mid(self) -> Decimal:
        return self.instrument.price(self.mid_ticks)


@cache
def market(seed: int) -> MarketCase:
    """A market drawn by ``seed``: every third is inverse."""
    rng = np.random.default_rng(seed)
    inverse = seed % 3 == 2
    tick = Decimal(1).scaleb(-int(rng.integers(0, 7)))
    lot = Decimal(1) if inverse else Decimal(1).scaleb(-int(rng.integers(0, 9)))
    mid_ticks = int(10 ** rng.uniform(2.0, 7.0))
    least = int(10 ** rng.uniform(0.0, 3.0)) if rng.random() < 0.7 else 1
    by_money = rng.random() < 0.5 and not inverse
    money = tick * mid_ticks * lot * least
    instrument = Instrument(
        0,
        "test",
        "BTC/USD:BTC" if inverse else "BTC/USDT",
        "BTC",
        "USD" if inverse else "USDT",
        "BTC" if inverse else "USDT",
        tick,
        lot,
        1 if by_money else least,
        money if by_money else Decimal(0),
        multiplier=Decimal(100) if inverse else Decimal(1),
        inverse=inverse,
    )
    target = least * int(rng.integers(60, 400)) + int(rng.integers(0, least))
    return MarketCase(seed, instrument, mid_ticks, least, target, "buy" if rng.random() < 0.5 else "sell")


def tape(case: MarketCase, seconds: int, share: float = 0.1) -> EventArray:
    """A deep book whose mid takes small steps, and trades of which the order is about ``share``."""
    rng = np.random.default_rng(case.seed + 1)
    steps = WARM_UP + seconds * 10
    mean_lots = max(1.0, case.target_lots / share / (seconds * 10))
    depth = 4 * case.target_lots
    rows: list[tuple[Any, ...]] = []
    mid, seq = case.mid_ticks, 0

    def row(now: int, kind: Kind, price: int, lots: int, side: int, flags: int) -> None:
        nonlocal seq
        seq += 1
        rows.append((now, now - 5 * MS, seq, seq, price, lots, 0, kind, side, flags))

    def book(now: int) -> None:
        row(now, Kind.SNAPSHOT_BEGIN, 0, 0, 0, 0)
        for side in (1, -1):
            for level in range(LEVELS):
                row(now, Kind.LEVEL, mid - side * level - (1 if side > 0 else 0), depth, side, 0)
        row(now, Kind.SNAPSHOT_END, 0, 0, 0, int(Flag.LAST))

    book(START_NS)
    for k in range(1, steps):
        now = START_NS + k * STEP_NS
        if k % 10 == 0:
            mid += int(rng.integers(-1, 2)) if case.mid_ticks > 2_000 else 0
            book(now)
        side = 1 if rng.random() < 0.5 else -1
        lots = max(1, int(mean_lots * rng.exponential()))
        row(now, Kind.TRADE, mid if side > 0 else mid - 1, lots, side, int(Flag.LAST))
    events = empty_events(len(rows))
    events[:] = np.array(rows, dtype=events.dtype)
    return events


def klines(case: MarketCase, curve: list[int]) -> BarArray:
    """Five days of one-minute klines, with the ``curve``, by minute, from the order's start on."""
    rows = np.zeros(5 * 1_440, BAR)
    minute_ns = 60 * S
    first = (START_NS // minute_ns - len(rows)) * minute_ns
    rows["open_ns"] = first + minute_ns * np.arange(len(rows))
    rows["delta_ns"] = minute_ns
    rows["recv_ns"] = START_NS - 1
    start_minute = (START_NS + WARM_UP * STEP_NS) // minute_ns % 1_440
    by_minute = {(start_minute + k) % 1_440: volume for k, volume in enumerate(curve)}
    minutes = rows["open_ns"] // minute_ns % 1_440
    rows["base_lots"] = [by_minute.get(int(m), 1_000) for m in minutes]
    for name in ("open_ticks", "high_ticks", "low_ticks", "close_ticks"):
        rows[name] = case.mid_ticks
    rows["taker_base_lots"] = rows["taker_quote_tl"] = -1
    return rows


@dataclass
class Worked:
    """An order worked to its end, and what came of it."""

    case: MarketCase
    order: Order
    tape: EventArray
    start_ns: int
    events: list[AuditEvent] = field(repr=False)
    travel_ns: int = 0  # from sending until the tape shows the book that is met

    def of(self, kind: type[Any]) -> list[Any]:
        return [e for e in self.events if isinstance(e, kind)]

    @property
    def fills(self) -> list[ChildFilled]:
        return self.of(ChildFilled)

    @property
    def decisions(self) -> list[DecisionTaken]:
        return self.of(DecisionTaken)

    @property
    def last(self) -> ParentChanged:
        found: list[ParentChanged] = self.of(ParentChanged)
        return found[-1]

    @property
    def target(self) -> int:
        return self.case.target_lots

    @property
    def slack_lots(self) -> int:
        """A lot and a least order, a hundredth more for a moving price: no order follows a curve closer."""
        return self.case.least_lots + self.case.least_lots // 100 + 2

    def filled_by(self, at_ns: int) -> int:
        """Lots filled at the venue by a time."""
        return sum(f.qty_lots for f in self.fills if f.fill_ns <= at_ns)

    def filled_in(self, interval: int) -> int:
        """Lots filled by the children that an interval sent."""
        of = {c.child_id: c.interval for c in self.of(ChildChanged)}
        return sum(f.qty_lots for f in self.fills if of[f.child_id] == interval)

    def traded_by(self, at_ns: int) -> int:
        """The market's lots from the order's start until a time, both as the exchange stamps them."""
        rows = self.tape
        inside = (
            (rows["kind"] == Kind.TRADE) & (rows["exch_ns"] >= self.start_ns) & (rows["exch_ns"] <= at_ns)
        )
        return int(rows["qty_lots"][inside].sum())


def work(
    case: MarketCase,
    round_trip_ms: float,
    *,
    history: BarArray | None = None,
    share: float = 0.1,
    **order: Any,
) -> Worked:
    """Work one order of ``case`` with entry a third of the round trip, to its end and a while on."""
    values: dict[str, Any] = {
        "quantity": case.instrument.quantity(case.target_lots),
        "side": case.side,
        "interval": 5 * S,
        "min_duration": 20 * S,
        "max_duration": 60 * S,
        "shadows": (),
    } | order
    entry, answer = round_trip_ms / 3, 2 * round_trip_ms / 3
    way = LatencyMs(median_ms=entry)
    heard, shown = LatencyMs(median_ms=answer + 5), LatencyMs(median_ms=5)
    venue = Venue(entry=way, cancel=way, acknowledgement=heard, market_data=shown, balances=RICH)
    config = Config(
        order=Order(**values),
        venue=venue,
        risk=Risk(max_orders_per_s=None, max_notional=None, price_collar_bps=None),
        tactics=Tactics(repeg=500 * MS),
    )
    rows = tape(case, values["max_duration"] // S + 15, share)
    engine = app.build_engine(config, [case.instrument], app.inline_policies(config))
    if history is not None:
        engine.on_bars(history)
    at = int(np.flatnonzero(rows["recv_ns"] >= START_NS + WARM_UP * STEP_NS)[0])
    first = start(case.instrument, rows, config.order)
    start_ns = int(rows["recv_ns"][at - 1])
    engine.advance(rows[:at])
    engine.command(type(first)(start_ns, int(rows["seq"][at - 1]), first.spec, first.shadows))
    engine.advance(rows[at:])
    engine.close(int(rows["recv_ns"][-1]))
    return Worked(case, config.order, rows, start_ns, engine.drain(), round((entry + 5) * MS))
