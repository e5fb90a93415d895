"""A seeded synthetic market with the manners of a real one: tape rows, the same for the same seed.

Its symbols are in ``connectors.embedded.synthetic.synthetic_symbols``, its mechanics in ``synthetic_kernel``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

import numpy as np

from agent.core.arrays import IntArray
from agent.core.errors import OrderError
from agent.core.instrument import Instrument
from agent.core.market.tape import EventArray, Flag, Kind, empty_events
from agent.core.types import NS_PER_MS, NS_PER_S
from connectors.embedded.synthetic import synthetic_layout as k
from connectors.embedded.synthetic.synthetic_kernel import run
from connectors.embedded.synthetic.synthetic_symbols import SYMBOLS, SymbolParams, draws_of

START_NS = 1_723_161_600 * NS_PER_S
"""2024-08-09 00:00 UTC: market time of a synthetic market when none is given. Only differences matter."""

DELAY_NS = 3 * NS_PER_MS  # recv_ns - exch_ns; the capture's median after its clock offset is removed
_CHUNK_NS = NS_PER_S
_OUT_ROWS = 65536
_DIRTY_ROWS = 16384


class _Symbol:
    """One symbol's state; ``rows_until`` advances it."""

    def __init__(self, params: SymbolParams, number: int, seed: int, start_ns: int) -> None:
        base, quote = params.symbol.split("/")
        tick, lot = Decimal(params.tick), Decimal(params.lot)
        self.instrument = Instrument(
            number=number,
            exchange="binance",
            symbol=params.symbol,
            base=base,
            quote=quote,
            settle=quote,
            tick=tick,
            lot=lot,
            min_notional=Decimal(params.min_notional),
        )
        self._p = params.vector()
        self._rng = np.random.default_rng([seed, draws_of(params.symbol, number)])
        self._floats = np.array([params.start_price / float(tick) + 0.5, 0.0, 0.0, 1.0])
        self._ints = np.zeros(k.I_SIZE, np.int64)
        first_flush = start_ns - start_ns % k.FLUSH_NS + k.FLUSH_NS
        # Ids as large as the exchange's own, and of different size: a mix-up shows.
        self._ints[:6] = (start_ns, first_flush, start_ns, 3_700_000_000, 50_000_000_000, 1)
        self._keys = np.zeros((2, k.CAPACITY), np.int64)
        self._lots = np.zeros((2, k.CAPACITY), np.int64)
        self._counts = np.zeros(2, np.int64)
        self._dirty = np.zeros((_DIRTY_ROWS, 2), np.int64)
        self._out = np.zeros((_OUT_ROWS, k.COLUMNS), np.int64)

    def rows_until(self, until_ns: int, *, trades_only: bool = False) -> EventArray:
        """Return the rows up to ``until_ns`` exchange time; with ``trades_only`` the book stays bare."""
        pieces = []
        while self._ints[k.NOW] < until_ns:
            count = run(
                until_ns,
                self._p,
                self._floats,
                self._ints,
                self._keys,
                self._lots,
                self._counts,
                self._dirty,
                self._rng,
                self._out,
                trades_only,
            )
            pieces.append(self._rows(self._out[:count]))
        return np.concatenate(pieces) if pieces else empty_events()

    def open_book(self) -> EventArray:
        """Draw a whole book around the present price and return it as a snapshot."""
        p, rng = self._p, self._rng
        bid = int(np.floor(self._floats[k.EFFICIENT]))
        self._ints[k.N_DIRTY], self._ints[k.REQUOTE_AT] = 0, k.NEVER
        for s, best in ((0, bid), (1, -(bid + 1))):
            away = np.unique(rng.integers(1, int(p[k.REACH]), int(p[k.LEVELS])))
            keys = best - np.append(away[::-1], 0)
            keys = keys[keys > 0] if s == 0 else keys
            sizes = rng.lognormal(p[k.LEVEL_MU], p[k.LEVEL_SIGMA], len(keys))
            sizes[-1] = rng.lognormal(p[k.TOUCH_MU], p[k.TOUCH_SIGMA])
            self._counts[s] = len(keys)
            self._keys[s, : len(keys)] = keys
            self._lots[s, : len(keys)] = np.maximum(1, sizes)
        return self._snapshot()

    def _snapshot(self) -> EventArray:
        n, m = self._counts.tolist()
        table = np.zeros((n + m + 2, k.COLUMNS), np.int64)
        table[:, k.T_NS], table[:, k.ID] = self._ints[k.NOW], self._ints[k.UPDATE_ID]
        table[:, k.KIND] = Kind.LEVEL
        table[0, k.KIND], table[-1, k.KIND], table[-1, k.FLAGS] = (
            Kind.SNAPSHOT_BEGIN,
            Kind.SNAPSHOT_END,
            Flag.LAST,
        )
        table[1 : n + 1, k.TICKS], table[1 : n + 1, k.LOTS] = self._keys[0, :n][::-1], self._lots[0, :n][::-1]
        table[n + 1 : -1, k.TICKS], table[n + 1 : -1, k.LOTS] = (
            -self._keys[1, :m][::-1],
            self._lots[1, :m][::-1],
        )
        table[1 : n + 1, k.SIDE_COL], table[n + 1 : -1, k.SIDE_COL] = 1, -1
        return self._rows(table)

    def _rows(self, table: IntArray) -> EventArray:
        rows = empty_events(len(table))
        columns = (
            ("exch_ns", k.T_NS),
            ("ext_id", k.ID),
            ("price_ticks", k.TICKS),
            ("qty_lots", k.LOTS),
            ("kind", k.KIND),
            ("side", k.SIDE_COL),
            ("flags", k.FLAGS),
        )
        for name, at in columns:
            rows[name] = table[:, at]
        rows["recv_ns"] = rows["exch_ns"] + DELAY_NS
        rows["instrument"] = self.instrument.number
        return rows


class SyntheticMarket:
    """A ``MarketSource``: each symbol on its own (no correlation), one stream of rows.

    ``seconds`` None goes on for ever; ``past_s`` is how much the exchange remembers at its start;
    ``trades_per_s`` replaces each symbol's natural pace, for load tests.
    """

    def __init__(
        self,
        seed: int = 1,
        symbols: Sequence[str] = ("BTC/USDT",),
        *,
        seconds: float | None = None,
        past_s: float = 3 * 3600.0,
        trades_per_s: float | None = None,
        start_ns: int = START_NS,
    ) -> None:
        """Raises OrderError for a symbol the generator has no constants for."""
        unknown = [symbol for symbol in symbols if symbol not in SYMBOLS]
        if unknown:
            raise OrderError(
                f"the synthetic market has no symbol {unknown[0]!r}: choose among {', '.join(SYMBOLS)}"
            )
        self._start_ns, self._past_ns = start_ns, round(past_s * NS_PER_S)
        self._end_ns = None if seconds is None else start_ns + round(seconds * NS_PER_S)
        self._symbols = []
        for number, symbol in enumerate(symbols):
            params = SYMBOLS[symbol] if trades_per_s is None else SYMBOLS[symbol].busier(trades_per_s)
            self._symbols.append(_Symbol(params, number, seed, start_ns - self._past_ns))
        self._past: EventArray | None = None

    @property
    def instruments(self) -> Sequence[Instrument]:
        return [symbol.instrument for symbol in self._symbols]

    @property
    def start_ns(self) -> int:
        return self._start_ns

    def past(self) -> EventArray:
        """The trades of the ``past_s`` before the start; made at the first call."""
        if self._past is None:
            pieces = [symbol.rows_until(self._start_ns, trades_only=True) for symbol in self._symbols]
            self._past = _in_order(pieces)
        return self._past

    def batches(self) -> Iterator[EventArray]:
        """One pass only: the market cannot go back in time."""
        self.past()
        # The opening book comes with the first rows: once there is a batch, all code is compiled.
        pieces = [symbol.open_book() for symbol in self._symbols]
        at_ns = self._start_ns
        while self._end_ns is None or at_ns < self._end_ns:
            at_ns = at_ns + _CHUNK_NS if self._end_ns is None else min(at_ns + _CHUNK_NS, self._end_ns)
            pieces.append(_in_order([symbol.rows_until(at_ns) for symbol in self._symbols]))
            yield np.concatenate(pieces)
            pieces = []


def _in_order(pieces: list[EventArray]) -> EventArray:
    """Merge by ``recv_ns``; rows of one update share it and stay together, symbols in their order."""
    if len(pieces) == 1:
        return pieces[0]
    rows = np.concatenate(pieces)
    return rows[np.argsort(rows["recv_ns"], kind="stable")]


def synthetic_session(
    seed: int,
    seconds: float,
    symbols: Sequence[str] = ("BTC/USDT",),
    *,
    past_s: float = 0.0,
    trades_per_s: float | None = None,
    start_ns: int = START_NS,
) -> tuple[list[Instrument], EventArray]:
    """Return (instruments, tape rows numbered from 1); the past, if there is one, flagged HISTORY."""
    market = SyntheticMarket(
        seed, symbols, seconds=seconds, past_s=past_s, trades_per_s=trades_per_s, start_ns=start_ns
    )
    past = market.past().copy()
    past["recv_ns"] = start_ns
    past["flags"] |= np.uint32(Flag.HISTORY)
    events = np.concatenate([past, *market.batches()])
    events["seq"] = np.arange(1, len(events) + 1)
    return list(market.instruments), events
