"""ccxt's structures to tape rows: pure functions, one batch at a time, integers out.

ccxt has already turned the exchange's decimal strings into the nearest doubles. Multiplied by
``1 / tick`` and rounded, such a double gives the exact number of ticks while that number is below
2**50; whatever lies further from a whole number than rounding explains takes a slower exact way
(``Decimal`` of the exchange's own string), and what is still no multiple of the tick is rounded
and counted as off-tick. So no trade costs a ``Decimal`` unless something is odd about it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from math import isfinite
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from agent.core.arrays import FloatArray, IntArray
from agent.core.instrument import Instrument
from agent.core.market.tape import EVENT, EventArray, Flag, Kind, empty_events
from agent.core.money import MOST_TL
from agent.core.types import NS_PER_MS
from connectors.ccxt_types import CcxtTicker, CcxtTrade, Level, UsableTrade
from connectors.continuity.sane_numbers import fits, is_number, is_size, is_stamp
from connectors.continuity.stand_in_ids import Telling, is_trade_number
from connectors.units.exchange_units import ExchangeUnits, units_of

EXACT_BELOW = float(2**50)
"""Above this many ticks or lots a double may stand for two neighbours: the exact way decides."""

_TOLERANCE = 1e-7
_ULPS = 4.0 * 2.0**-53  # one rounding when parsed, one when multiplied; twice that to be safe
_SIDES = {"buy": 1, "sell": -1}  # of the taker; any other is unknown, and stays so
_RAW_PRICE = ("p", "price", "px", "rate")
_RAW_AMOUNT = ("q", "qty", "size", "amount", "sz", "volume", "vol", "v")


@dataclass(frozen=True, slots=True)
class Unit:
    """A tick or a lot, ready for vectorised conversion of doubles to counts."""

    size: Decimal
    per_one: float  # 1 / size where that is a whole number, else 0
    coarse: bool = False  # coarser than the exchange's own step: what is off it is rounded, one at least

    @classmethod
    def of(cls, size: Decimal, *, coarse: bool = False) -> Unit:
        inverse = 1 / size
        whole = inverse == inverse.to_integral_value() and inverse < 2**53
        return cls(size, float(inverse) if whole else 0.0, coarse)

    def counts(
        self, values: Sequence[float] | FloatArray, raw: Sequence[str] | None = None
    ) -> tuple[IntArray, int]:
        """Return (whole units of each value, how many were no multiple). Values must be finite."""
        x = np.asarray(values, dtype=np.float64)
        x = x * self.per_one if self.per_one else x / float(self.size)
        n = np.rint(x)
        if self.coarse:
            n = np.maximum(n, x > 0)
            x = np.where(np.abs(x) <= EXACT_BELOW, n, x)
        if not len(x) or (np.abs(x - n).max() <= _TOLERANCE and x.max() <= EXACT_BELOW and x.min() >= 0):
            return n.astype(np.int64), 0  # the usual case, in as few passes as can be
        odd = (np.abs(x - n) > _TOLERANCE + _ULPS * np.abs(x)) | (np.abs(x) > EXACT_BELOW)
        out = np.where(odd, 0.0, n).astype(np.int64)
        off = 0
        for i in np.flatnonzero(odd).tolist():
            text = raw[i] if raw is not None else repr(float(values[i]))
            count = Decimal(text) / self.size
            whole = count.to_integral_value(rounding=ROUND_HALF_EVEN)
            out[i] = _within(int(whole))  # more is told where money is (``fits``)
            off += int(whole != count and not self.coarse)
        return out, off

    def prices_within(self, values: Sequence[float], side: int) -> tuple[IntArray, int]:
        """``counts`` of a book's prices: a bid off the tick is rounded down, an ask up.

        So a step coarser than the market never makes its book cross.
        """
        ticks, off = self.counts(values)
        if off:
            rounding = ROUND_FLOOR if side > 0 else ROUND_CEILING
            exact = (Decimal(repr(float(v))) / self.size for v in values)
            whole = (int(x.to_integral_value(rounding=rounding)) for x in exact)
            ticks = np.array([_within(x) for x in whole], dtype=np.int64)
        return ticks, off


def _within(count: int) -> int:
    """Ticks or lots that a book can hold: two of them add up, and none is the ladder's mark for nothing."""
    return max(1 - MOST_TL, min(MOST_TL - 1, count))


@dataclass(frozen=True, slots=True)
class TradeReading:
    """What of an exchange's trades is read otherwise than ccxt reads it (``connectors.units``)."""

    maker_side: bool = False
    size_at_end: bool = False
    ids: tuple[str, ...] = ()
    unshared_ids: bool = False
    stamp: str = ""

    @classmethod
    def of(cls, units: ExchangeUnits, *, inverse: bool) -> TradeReading:
        at_end = units.size_at_end and inverse
        return cls(units.maker_side, at_end, units.ids, units.unshared_ids, units.stamp)

    def amounts(self, trades: Sequence[UsableTrade]) -> list[float]:
        return [_last_number(t["info"], t["amount"]) if self.size_at_end else t["amount"] for t in trades]

    def stamps_ms(self, trades: Sequence[UsableTrade]) -> list[int]:
        own = [t["timestamp"] for t in trades]
        if not self.stamp:
            return own
        raw = [t["info"].get(self.stamp) if isinstance(t["info"], Mapping) else None for t in trades]
        return [cast("int", said) if is_stamp(said) else ms for said, ms in zip(raw, own, strict=True)]

    def id_of(self, trade: CcxtTrade) -> str | None:
        """The id that stream and request share; ccxt's own where the raw trade has none of the members."""
        if self.unshared_ids:
            return None
        info = trade["info"] if self.ids else None
        found = [info[name] for name in self.ids if info.get(name)] if isinstance(info, Mapping) else []
        return str(found[0]) if found else trade["id"]


AS_CCXT_READS = TradeReading()


@dataclass(frozen=True, slots=True)
class CoinVolume:
    """A volume in base coin as a quantity of contracts, each of ``multiplier`` coins, or money if inverse."""

    multiplier: float
    inverse: bool

    def quantity(self, coins: float, price: float) -> float:
        return coins * (price if self.inverse else 1.0) / self.multiplier


def _last_number(row: object, otherwise: float) -> float:
    """The last member of a raw row that is a list of numbers."""
    last = row[-1] if isinstance(row, list) and row else None
    return float(cast("float", last)) if is_size(last) else otherwise


@dataclass(frozen=True, slots=True)
class Scale:
    """An instrument's number and units, and how its exchange's trades are read."""

    number: int
    tick: Unit
    lot: Unit
    reading: TradeReading = AS_CCXT_READS
    coin_klines: CoinVolume | None = None  # where klines count coins, and quantities do not

    @classmethod
    def of(cls, instrument: Instrument, *, coarse: bool = False) -> Scale:
        """``coarse``: the lot is coarser than the exchange's step (``connectors.units.money_room``)."""
        units, tick = units_of(instrument.exchange), Unit.of(instrument.tick)
        lot = Unit.of(instrument.lot, coarse=coarse)
        reading = TradeReading.of(units, inverse=instrument.inverse)
        in_coins = ("inverse" if instrument.inverse else "linear") in units.klines_in_coins
        coins = CoinVolume(float(instrument.multiplier), instrument.inverse)
        return cls(instrument.number, tick, lot, reading, coins if in_coins and instrument.contract else None)


# --- trades ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TradeBatch:
    """A batch of trades by column, all of length n."""

    ids: IntArray
    stamp_ns: IntArray  # the exchange's stamp, uncorrected
    ticks: IntArray
    lots: IntArray
    side: npt.NDArray[np.int8]
    hashed: bool  # some id was not a number: its hash stands for it
    off_tick: int


def usable(trades: Sequence[CcxtTrade]) -> list[UsableTrade]:
    """Return the trades that have a price, a size and a stamp: the others are not guessed at."""
    if _all_usable(trades):
        return cast("list[UsableTrade]", list(trades))
    sized = [t if t["amount"] is not None else _with_raw_size(t) for t in trades]
    kept = [t for t in sized if is_size(t["amount"]) and is_stamp(t["timestamp"]) and _is_price(t["price"])]
    return cast("list[UsableTrade]", kept)


def _all_usable(trades: Sequence[CcxtTrade]) -> bool:
    """The usual case, in as few passes as can be."""
    amounts, prices = [t["amount"] for t in trades], [t["price"] for t in trades]
    stamps = [t["timestamp"] for t in trades]
    if not trades or {*map(type, amounts), *map(type, prices)} != {float} or set(map(type, stamps)) != {int}:
        return False
    few = cast("list[float]", [min(amounts), min(prices), sum(amounts), sum(prices)])  # type: ignore
    whole = few[0] > 0 and few[1] > 0 and isfinite(few[2]) and isfinite(few[3])
    return whole and is_stamp(min(stamps)) and is_stamp(max(stamps))  # type: ignore[type-var]


def _is_price(value: object) -> bool:
    """Also a negative one: it is kept on the tape as sent, and judged there (``impossible_prices``)."""
    return is_number(value) and value != 0


def fitting(trades: Sequence[UsableTrade], scale: Scale) -> list[UsableTrade]:
    """Those whose numbers, in ticks and lots, are within what can be added up."""
    per_tick, per_lot = 1 / float(scale.tick.size), 1 / float(scale.lot.size)
    most = (
        max([abs(t["price"]) for t in trades], default=0.0),
        max([t["amount"] for t in trades], default=0.0),
    )
    if fits(most[0] * per_tick, most[1] * per_lot):
        return list(trades)
    return [t for t in trades if fits(t["price"] * per_tick, t["amount"] * per_lot)]


def _with_raw_size(trade: CcxtTrade) -> CcxtTrade:
    """ccxt leaves out the amount of Kraken Futures' inverse trades: the exchange's own ``size`` is it."""
    info = trade["info"]
    size = _as_float(str(info.get("size"))) if isinstance(info, Mapping) else None
    return cast("CcxtTrade", {**trade, "amount": size})


def trade_columns(trades: Sequence[UsableTrade], scale: Scale, telling: Telling | None = None) -> TradeBatch:
    """Read usable ccxt trade structures."""
    ids, hashed = trade_ids(trades, scale.reading, telling)
    prices, amounts = [t["price"] for t in trades], scale.reading.amounts(trades)
    ticks, off_price = scale.tick.counts(prices)
    lots, off_size = scale.lot.counts(amounts)
    if off_price or off_size:  # look again, at what the exchange wrote
        ticks, off_price = scale.tick.counts(prices, [_raw(t, "price", _RAW_PRICE) for t in trades])
        lots, off_size = scale.lot.counts(amounts, [_raw(t, "amount", _RAW_AMOUNT) for t in trades])
    side = np.array([_SIDES.get(str(t["side"]), 0) for t in trades], dtype=np.int8)
    return TradeBatch(
        ids=ids,
        stamp_ns=np.array(scale.reading.stamps_ms(trades), dtype=np.int64) * NS_PER_MS,
        ticks=ticks,
        lots=lots,
        side=side if not scale.reading.maker_side else -side,
        hashed=hashed,
        off_tick=off_price + off_size,
    )


def _raw(trade: UsableTrade, field: Literal["price", "amount"], names: tuple[str, ...]) -> str:
    """The exchange's own string for ``field``, where it is there and means the same number."""
    info, value = trade.get("info"), trade[field]
    for name in names if isinstance(info, Mapping) else ():
        text = info.get(name) if isinstance(info, Mapping) else None
        if isinstance(text, str) and _as_float(text) == value:
            return text
    return repr(float(value))


def _as_float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def trade_ids(
    trades: Sequence[CcxtTrade], reading: TradeReading = AS_CCXT_READS, telling: Telling | None = None
) -> tuple[IntArray, bool]:
    """Return (ids, whether some had to be hashed). ``telling``: None for a page, which tells by itself."""
    own = not reading.ids and not reading.unshared_ids
    texts = [t["id"] for t in trades] if own else [reading.id_of(t) for t in trades]
    try:
        ids = np.array([int(text or "none") for text in texts], dtype=np.int64)
    except (TypeError, ValueError, OverflowError):
        telling = telling or Telling()
        found = [_any_id(t, text, telling) for t, text in zip(trades, texts, strict=True)]
        return np.array(found, dtype=np.int64), True
    return ids, False


def _any_id(trade: CcxtTrade, text: str | None, telling: Telling) -> int:
    """The id as a number, or 63 bits of a stable hash of it (or of the trade, without an id)."""
    text = telling.stand_in(trade) if text is None else str(text)
    if is_trade_number(text):
        return int(text)
    digest = hashlib.blake2b(text.encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") & (2**63 - 1)


def trade_rows(columns: TradeBatch, number: int, offset_ns: int, flags: int = 0) -> EventArray:
    """Return one TRADE row a trade, each its own exchange update. ``late_rows`` marks the late ones."""
    rows = empty_events(len(columns.ids))
    rows["exch_ns"] = columns.stamp_ns - offset_ns
    rows["ext_id"] = columns.ids
    rows["price_ticks"] = columns.ticks
    rows["qty_lots"] = columns.lots
    rows["instrument"] = number
    rows["kind"] = Kind.TRADE
    rows["side"] = columns.side
    rows["flags"] = flags | Flag.LAST
    return rows


# --- books ----------------------------------------------------------------------------------------


class BookDiffer:
    """Turns consecutive ccxt books into LEVEL rows: what changed within ``depth`` levels a side.

    A level that leaves the window is deleted, so the tape's book is always exactly the window. An
    update that changes nothing within it restates the best bid (or ask): the book's age on the tape
    is the age of its last row.
    """

    def __init__(self, scale: Scale, depth: int) -> None:
        self.scale, self.depth = scale, depth
        self.off_tick = 0
        self._sides: tuple[dict[int, int], dict[int, int]] = ({}, {})

    def update(
        self, bids: Sequence[Level], asks: Sequence[Level], exch_ns: int, ext_id: int, *, snapshot: bool
    ) -> EventArray:
        """Return the rows that lead from the last book to this one; the last of them has LAST."""
        new = (self._window(bids, 1), self._window(asks, -1))
        old = ({}, {}) if snapshot else self._sides
        changes = [
            (side, tick, lots)
            for side, was, now in ((1, old[0], new[0]), (-1, old[1], new[1]))
            for tick, lots in _changes(was, now)
        ]
        self._sides = new
        if not changes and not snapshot:
            return self.restated(exch_ns, ext_id)
        return self._rows(changes, exch_ns, ext_id, snapshot)

    def begins_with(self, bids: Sequence[Level], asks: Sequence[Level], count: int) -> bool:
        """Whether these are the best ``count`` levels a side of the last book, or as many as are given."""
        told = (self._window(bids[:count], 1), self._window(asks[:count], -1))
        for (side, new), (_, last) in zip(_sided(told), _sided(self._sides), strict=True):
            best = sorted(last, reverse=side > 0)[: len(new)]
            if not new or new != {tick: last[tick] for tick in best}:
                return False
        return True

    def restated(self, exch_ns: int, ext_id: int = 0) -> EventArray:
        """The row that says that the last book is still so."""
        best = [(side, *_best(levels, side)) for side, levels in _sided(self._sides) if levels]
        return self._rows(best[:1], exch_ns, ext_id, snapshot=False)

    def _window(self, levels: Sequence[Level], side: int) -> dict[int, int]:
        counted, off_tick = level_counts(levels[: self.depth], self.scale, side)
        self.off_tick += off_tick
        window = dict(counted)
        return window if all(window.values()) else {k: v for k, v in window.items() if v}

    def _rows(
        self, changes: list[tuple[int, int, int]], exch_ns: int, ext_id: int, snapshot: bool
    ) -> EventArray:
        edge = 1 if snapshot else 0
        rows = empty_events(len(changes) + 2 * edge)
        if not len(rows):
            return rows
        rows["exch_ns"], rows["ext_id"], rows["instrument"] = exch_ns, ext_id, self.scale.number
        rows["kind"] = Kind.LEVEL
        if changes:
            side, tick, lots = np.array(changes, dtype=np.int64).T
            body = rows[edge : edge + len(changes)]
            body["side"], body["price_ticks"], body["qty_lots"] = side, tick, lots
        if snapshot:
            rows["kind"][0], rows["kind"][-1] = Kind.SNAPSHOT_BEGIN, Kind.SNAPSHOT_END
        rows["flags"][-1] = Flag.LAST
        return rows


def _changes(was: dict[int, int], now: dict[int, int]) -> list[tuple[int, int]]:
    """Deletions first, then sizes set, each by price: the order must not hang on hashes."""
    gone = sorted(was.keys() - now.keys())
    return [(tick, 0) for tick in gone] + sorted(now.items() - was.items())


def _sided(sides: tuple[dict[int, int], dict[int, int]]) -> Iterable[tuple[int, dict[int, int]]]:
    return ((1, sides[0]), (-1, sides[1]))


def _best(levels: dict[int, int], side: int) -> tuple[int, int]:
    tick = max(levels) if side > 0 else min(levels)
    return tick, levels[tick]


def level_counts(levels: Sequence[Level], scale: Scale, side: int) -> tuple[list[tuple[int, int]], int]:
    """(ticks, lots) of one side's levels in their order, and how many numbers were off the tick or lot.

    Sizes of levels that fall on one tick add up.
    """
    ticks, off_price = scale.tick.prices_within([float(level[0]) for level in levels], side)
    lots, off_size = scale.lot.counts([float(level[1]) for level in levels])
    counted = list(zip(ticks.tolist(), lots.tolist(), strict=True))
    if off_price:
        summed: dict[int, int] = {}
        for tick, size in counted:
            summed[tick] = _within(summed.get(tick, 0) + size)
        counted = list(summed.items())
    return counted, off_price + off_size


def bbo_rows(ticker: CcxtTicker, scale: Scale, exch_ns: int, ext_id: int = 0) -> EventArray:
    """Return BBO rows (bid, ask) of a ccxt ticker; none where it names neither."""
    sides = [
        (1, ticker.get("bid"), ticker.get("bidVolume")),
        (-1, ticker.get("ask"), ticker.get("askVolume")),
    ]
    known = [(side, price, size or 0.0) for side, price, size in sides if price]
    rows = empty_events(len(known))
    if known:
        rows["exch_ns"], rows["ext_id"], rows["instrument"] = exch_ns, ext_id, scale.number
        rows["kind"], rows["side"] = Kind.BBO, [k[0] for k in known]
        rows["price_ticks"] = [scale.tick.prices_within([price], side)[0][0] for side, price, _ in known]
        rows["qty_lots"] = scale.lot.counts([k[2] for k in known])[0]
        rows["flags"][-1] = Flag.LAST
    return rows


def mark_row(
    kind: Kind, stream: Flag, number: int, exch_ns: int, ext_id: int = 0, qty_lots: int = 0
) -> EventArray:
    """Return one GAP_* / STALE / ALIVE row that speaks of ``stream`` (Flag.TRADES or Flag.BOOK)."""
    rows = np.zeros(1, dtype=EVENT)
    rows["exch_ns"], rows["ext_id"], rows["qty_lots"] = exch_ns, ext_id, qty_lots
    rows["instrument"], rows["kind"], rows["flags"] = number, kind, stream | Flag.LAST
    return rows
