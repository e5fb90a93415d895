"""What a session holds: counts, gaps, rates over time, spreads and mids, its inputs and results.

The tape is read once, in the memory of its present books. Spreads and mids are samples on an even grid of
moments, so that a busy second counts no more than a quiet one; rows that are history are counted and left out
of rates and prices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import numpy as np

from agent.core.arrays import FloatArray, IntArray
from agent.core.canonical import TAPE_ROW
from agent.core.errors import SessionError
from agent.core.instrument import Instrument
from agent.core.market.tape import SPANS, BarArray, EventArray, Flag, Kind, interruption
from agent.core.market.trading_time import BarFlag
from agent.core.money import exact_sum, values_tl
from agent.core.session_header import SessionHeader
from agent.core.types import NS_PER_S
from storage.recordings.catalogue import DAMAGED, ListedSession, look_at, size_of
from storage.recordings.opening_rows import Opening
from storage.recordings.session import SessionReader
from storage.recordings.slicing import span

BINS = 120  # at most, and none shorter than a second
SAMPLES = 600
_DIGITS = 10  # after the point: more is the noise of ticks as floats
_KINDS = [kind.name.lower() for kind in Kind]
_PAST = int(Flag.HISTORY | Flag.CARRIED)


@dataclass(frozen=True, slots=True)
class OverTime:
    """One instrument's course: mids and spreads at moments on an even grid, counts in bins of time."""

    sample_ns: list[int]
    mid: list[float | None]
    spread_bps: list[float | None]
    trades: list[int]
    book_updates: list[int]


@dataclass(frozen=True, slots=True)
class BarsInspection:
    """Bars of one instrument: klines that warmed a run up, or all there is. Amounts are decimal strings."""

    bars: int
    interval_ns: int  # of the first
    first_ns: int  # where the first opens
    last_ns: int  # where the last ends
    low: str | None
    high: str | None
    first_close: str | None
    last_close: str | None
    volume: str
    turnover: str
    without_volume: int
    absent: int  # missing in what it was made of: an empty bar stands for each
    closed: int  # outside the regular session: seen, never traded
    splits: int


@dataclass(frozen=True, slots=True)
class InstrumentInspection:
    """What a tape holds of one instrument. Volume and turnover are decimal strings."""

    number: int
    symbol: str
    exchange: str
    counts: dict[str, int]  # rows by kind
    volume: str
    turnover: str  # in the quote currency
    low: str | None
    high: str | None
    mid: dict[str, float] | None  # first, last, quantiles and mean
    spread_bps: dict[str, float] | None
    book_share: float  # of the moments at which there was a two-sided book
    peak_trades_per_s: float
    over_time: OverTime
    bars: BarsInspection | None  # None where there are none


@dataclass(slots=True)
class InspectedGap:
    """A gap on the tape; ``to_ns`` and ``lost`` are None for one that was never closed."""

    number: int
    stream: str
    from_ns: int
    to_ns: int | None = None
    lost: int | None = None

    def to_json(self, symbols: Mapping[int, str]) -> dict[str, object]:
        return {
            "symbol": symbols.get(self.number, "?"),
            "stream": self.stream,
            "from_ns": self.from_ns,
            "to_ns": self.to_ns,
            "lost": self.lost,
            "seconds": None if self.to_ns is None else (self.to_ns - self.from_ns) / 1e9,
        }


@dataclass(frozen=True, slots=True)
class Inspection:
    """A session's whole account. ``journal`` and ``results`` count its inputs and results by kind."""

    listed: ListedSession
    header: SessionHeader
    start_ns: int
    end_ns: int
    bin_ns: int
    instruments: list[InstrumentInspection]
    gaps: list[InspectedGap]
    journal: dict[str, int]
    results: dict[str, int]

    def to_json(self) -> dict[str, object]:
        symbols = {i.number: i.symbol for i in self.instruments}
        return {
            **self.listed.to_json(),
            "origin": dict(self.header.origin),
            "clock_offsets": dict(self.header.clock_offsets),
            "instruments": [asdict(i) for i in self.instruments],
            "gaps": [gap.to_json(symbols) for gap in self.gaps],
            "rates": {"start_ns": self.start_ns, "bin_ns": self.bin_ns},
            "journal": self.journal,
            "results": self.results,
        }


@dataclass(slots=True)
class _SymbolCounts:
    """What is gathered of one instrument."""

    trades: IntArray  # [bin]
    book: IntArray  # [bin] updates: rows that end one
    counts: Counter[str] = field(default_factory=Counter)
    lots: int = 0
    tick_lots: int = 0
    low: int = 0
    high: int = 0
    bid: list[int | None] = field(default_factory=list)  # [sample] ticks
    ask: list[int | None] = field(default_factory=list)


def inspect_session(path: Path) -> Inspection:
    """The whole account. Raises SessionError for what is no session, or an empty one."""
    reader = SessionReader(path)
    first, last = span(reader)
    step = max(NS_PER_S, -(-(last - first + 1) // BINS))
    tape = _TapeCounts(reader.instruments[-1].number + 1 if reader.instruments else 0, first, last, step)
    for batch in reader.batches():
        tape.add(batch)
    tape.finish()
    listed, bars = look_at(path), reader.bars()
    found = replace(
        listed,
        state=DAMAGED if reader.losses else listed.state,
        problems=list(dict.fromkeys([*reader.losses, *listed.problems])),
        bytes=size_of(path),
        start_ns=first,
        end_ns=last,
    )
    return Inspection(
        listed=found,
        header=reader.header,
        start_ns=first,
        end_ns=last,
        bin_ns=step,
        instruments=[_instrument(i, tape, bars[bars["instrument"] == i.number]) for i in reader.instruments],
        gaps=tape.gaps,
        journal=dict(Counter(str(e.get("kind")) for e in reader.journal())),
        results=dict(Counter(r.partition("|")[0] for r in reader.outcome() if not r.startswith(TAPE_ROW))),
    )


class _TapeCounts:
    """One pass over the tape."""

    def __init__(self, instruments: int, first: int, last: int, step: int) -> None:
        self._bins = (last - first) // step + 1
        self.symbols = [
            _SymbolCounts(np.zeros(self._bins, np.int64), np.zeros(self._bins, np.int64))
            for _ in range(instruments)
        ]
        self.gaps: list[InspectedGap] = []
        self.grid = np.linspace(first, last, SAMPLES).astype(np.int64)
        self._first, self.bin_ns = first, step
        self._opening = Opening()
        self._next = 0  # sample to take

    def add(self, batch: EventArray) -> None:
        self._count(batch)
        cuts = np.searchsorted(batch["recv_ns"], self.grid[self._next :], side="right")
        start = 0
        for cut in cuts[cuts < len(batch)].tolist():
            self._opening.add(batch[start:cut])
            self._sample()
            start = cut
        self._opening.add(batch[start:])

    def finish(self) -> None:
        """Take the samples after the last row."""
        while self._next < len(self.grid):
            self._sample()

    def _sample(self) -> None:
        for number, symbol in enumerate(self.symbols):
            book = self._opening.books.get(number)
            bid, ask = (book.touch() if book else None) or (None, None)
            symbol.bid.append(bid)
            symbol.ask.append(ask)
        self._next += 1

    def _count(self, batch: EventArray) -> None:
        kind = batch["kind"]
        when = np.clip((batch["recv_ns"] - self._first) // self.bin_ns, 0, self._bins - 1)
        for number in np.unique(batch["instrument"]).tolist():
            if not 0 <= number < len(self.symbols):
                raise SessionError(
                    f"the tape holds rows of instrument {number}, which the session does not list"
                )
            mine, symbol = batch["instrument"] == number, self.symbols[number]
            past = batch["flags"] & _PAST != 0
            live = mine & ~past
            counts = np.bincount(kind[live], minlength=len(_KINDS) + 1)
            symbol.counts.update({k: int(n) for k, n in zip(_KINDS, counts[1:], strict=False) if n})
            symbol.counts["history"] += int(np.count_nonzero(mine & past))
            trade = live & (kind == Kind.TRADE) & (batch["flags"] & Flag.IMPOSSIBLE == 0)
            update = live & (kind != Kind.TRADE) & (batch["flags"] & Flag.LAST != 0)
            symbol.trades += np.bincount(when[trade], minlength=self._bins)
            symbol.book += np.bincount(when[update], minlength=self._bins)
            if trade.any():
                self._prices(symbol, batch[trade])
        for row in batch[kind >= Kind.GAP_BEGIN].tolist():
            self._mark(row)

    def _prices(self, symbol: _SymbolCounts, trades: EventArray) -> None:
        price, lots = trades["price_ticks"], trades["qty_lots"]
        symbol.lots += exact_sum(lots)
        symbol.tick_lots += exact_sum(values_tl(price, lots, inverse=False))
        symbol.low = min(symbol.low or int(price[0]), int(price.min()))
        symbol.high = max(symbol.high, int(price.max()))

    def _mark(self, row: tuple[int, ...]) -> None:
        """A gap's edge: what ends closes the last open one of its kind."""
        recv_ns, lost, number, kind, flags = row[0], row[5], row[6], row[7], row[9]
        found = interruption(kind, flags)
        if found is None:
            return
        name, ended = found
        if kind in SPANS:
            self.gaps.append(InspectedGap(number, name, row[1], recv_ns))
            return
        if not ended:
            self.gaps.append(InspectedGap(number, name, recv_ns))
            return
        for gap in reversed(self.gaps):
            if gap.to_ns is None and (gap.number, gap.stream) == (number, name):
                gap.to_ns, gap.lost = recv_ns, lost
                return


def _instrument(instrument: Instrument, tape: _TapeCounts, bars: BarArray) -> InstrumentInspection:
    """One instrument's counts, volumes, prices, spreads, and their course over time."""
    symbol = tape.symbols[instrument.number]
    bid, ask = (np.array([np.nan if x is None else x for x in side]) for side in (symbol.bid, symbol.ask))
    mid = (bid + ask) / 2
    spread_bps = (ask - bid) / mid * 1e4
    tick = float(instrument.tick)
    return InstrumentInspection(
        number=instrument.number,
        symbol=instrument.symbol,
        exchange=instrument.exchange,
        counts={kind: n for kind, n in symbol.counts.items() if n},
        volume=f"{instrument.quantity(symbol.lots):f}",
        turnover=f"{_turnover(instrument, symbol.lots, symbol.tick_lots):f}",
        low=f"{instrument.price(symbol.low):f}" if symbol.lots else None,
        high=f"{instrument.price(symbol.high):f}" if symbol.lots else None,
        mid=_summary(mid * tick),
        spread_bps=_summary(spread_bps),
        book_share=float(np.isfinite(mid).mean()),
        peak_trades_per_s=float(symbol.trades.max() / tape.bin_ns * 1e9),
        over_time=OverTime(
            sample_ns=tape.grid.tolist(),
            mid=_nulls(mid * tick),
            spread_bps=_nulls(spread_bps),
            trades=symbol.trades.tolist(),
            book_updates=symbol.book.tolist(),
        ),
        bars=_bars(instrument, bars) if len(bars) else None,
    )


def _bars(instrument: Instrument, bars: BarArray) -> BarsInspection:
    """What the bars hold; prices are those of bars in which something traded."""
    traded = bars[bars["base_lots"] > 0]
    lots = sum(bars["base_lots"].tolist())  # Python's: those of years need not fit 64 bits

    def price(ticks: int) -> str | None:
        return f"{instrument.price(ticks):f}" if len(traded) else None

    def flagged(flag: BarFlag) -> int:
        return int(np.count_nonzero(bars["flags"] & np.uint32(flag)))

    return BarsInspection(
        bars=len(bars),
        interval_ns=int(bars["delta_ns"][0]),
        first_ns=int(bars["open_ns"].min()),
        last_ns=int((bars["open_ns"] + bars["delta_ns"]).max()),
        low=price(int(traded["low_ticks"].min(initial=2**62))),
        high=price(int(traded["high_ticks"].max(initial=0))),
        first_close=price(int(traded["close_ticks"][0]) if len(traded) else 0),
        last_close=price(int(traded["close_ticks"][-1]) if len(traded) else 0),
        volume=f"{instrument.quantity(lots):f}",
        turnover=f"{_turnover(instrument, lots, sum(bars['quote_tl'].tolist())):f}",
        without_volume=len(bars) - len(traded),
        absent=flagged(BarFlag.ABSENT),
        closed=flagged(BarFlag.CLOSED),
        splits=flagged(BarFlag.SPLIT),
    )


def _turnover(instrument: Instrument, lots: int, tick_lots: int) -> Decimal:
    if instrument.inverse:  # a contract is a sum of the quote currency
        return instrument.quote_notional(1, lots)
    return instrument.notional(tick_lots)


def _summary(values: FloatArray) -> dict[str, float] | None:
    """First, last and quantiles of the samples that there are."""
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    names = ("low", "p5", "median", "p95", "high")
    quantiles = dict(zip(names, np.quantile(known, [0, 0.05, 0.5, 0.95, 1]).tolist(), strict=True))
    found = {"first": float(known[0]), "last": float(known[-1]), **quantiles, "mean": float(known.mean())}
    return {name: round(value, _DIGITS) for name, value in found.items()}


def _nulls(values: FloatArray) -> list[float | None]:
    return [None if np.isnan(v) else round(float(v), _DIGITS) for v in values]
