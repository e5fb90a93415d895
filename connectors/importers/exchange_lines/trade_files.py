"""Trades of files beside a book's archive: brought in at their own times, before what came after them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agent.core.arrays import FloatArray, IntArray
from agent.core.market.tape import EVENT, EventArray, Flag, Kind
from connectors.importers.decimals import CLIPPED, SCALE
from connectors.importers.import_report import ImportReport
from connectors.importers.price_scale import FinerPricesError
from connectors.importers.raw_rows import Place, RawBuffer
from connectors.importers.symbols import Symbol
from connectors.importers.trades.trade_tables import read_trades
from connectors.importers.trades.trades_importer import joined, with_gaps

_MOST = float(1 << 62)


class TradeFiles:
    """Read whole, in order of time. ``until`` puts them into the buffer."""

    def __init__(
        self, paths: Sequence[Path], symbol: Symbol, report: ImportReport, place: Place, price_scale: int
    ) -> None:
        """Raises InputError, and FinerPricesError where prices have more decimals."""
        pieces = [read_trades(path, symbol) for path in paths]
        self.names = [piece.name for piece in pieces]  # what each file calls the market
        trades = joined(pieces, report)
        rows = np.zeros(len(trades.price), EVENT)
        rows["recv_ns"] = rows["exch_ns"] = trades.time_ns
        rows["ext_id"] = np.arange(len(rows)) if trades.ids is None else trades.ids
        rows["price_ticks"] = _prices(trades.price, price_scale)
        rows["qty_lots"] = np.maximum(1, np.minimum(np.rint(trades.amount * 10.0**SCALE), CLIPPED))
        rows["side"], rows["kind"], rows["flags"] = trades.side, Kind.TRADE, int(Flag.LAST)
        self._rows = with_gaps(rows, trades.ids, symbol.market, report)
        self._times: IntArray = self._rows["recv_ns"].copy()
        self._next = 0
        self._place = place
        place.open(" and ".join(path.name for path in paths))
        self._code = place.code

    @property
    def first_ns(self) -> int:
        return int(self._times[0])

    @property
    def last_ns(self) -> int:
        return int(self._times[-1])

    def until(self, at_ns: int, buffer: RawBuffer) -> None:
        """Put in what traded by then."""
        if self._next == len(self._times) or self._times[self._next] > at_ns:
            return
        end = int(np.searchsorted(self._times, at_ns, side="right"))
        here, self._place.code = self._place.code, self._code
        for row in self._rows[self._next : end]:
            _put(row, buffer)
        self._next, self._place.code = end, here


def _put(row: EventArray, buffer: RawBuffer) -> None:
    recv_ns, number, lots = int(row["recv_ns"]), int(row["ext_id"]), int(row["qty_lots"])
    if row["kind"] == Kind.TRADE:
        price, side = int(row["price_ticks"]), int(row["side"])
        buffer.trade(recv_ns, int(row["exch_ns"]), number, price, lots, side, 0)
    else:
        buffer.mark(recv_ns, Kind(int(row["kind"])), number, int(row["flags"]), lots)


def _prices(prices: FloatArray, scale: int) -> IntArray:
    """In units of 10^-scale. Raises FinerPricesError."""
    with np.errstate(over="ignore"):
        scaled = prices * 10.0**scale
    whole = np.rint(np.minimum(scaled, _MOST))
    if scale == SCALE and (np.abs(scaled - whole) > np.abs(scaled) * 1e-15 + 1e-6).any():
        raise FinerPricesError
    found: IntArray = whole.astype(np.int64)
    return found
