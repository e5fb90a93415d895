"""Files of trades as arrays: archives of Binance, Bybit, OKX and Kraken, ccxt's and freqtrade's trades.

Columns are known by their names, as those of bars are (``agent.barfiles.column_names``), or by the number of
them where a file has no header. A side is the taker's; of Binance the column says whether the buyer waited.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agent.barfiles.bar_tables import is_number, raw_table, refuse_equal_names
from agent.barfiles.column_names import TIMES_OF_DAY, by_name_and_clock, plain
from agent.barfiles.file_times import to_ns, with_clock
from agent.core.arrays import BoolArray, FloatArray, IntArray
from agent.core.errors import InputError
from connectors.importers.symbols import MarketKind, Symbol

NAMES: dict[str, tuple[str, ...]] = {
    "time": (
        *("transacttime", "createdtime", "tradetime", "timestamp", "timestampms", "time", "ts", "t"),
        *("unix", "datetime", "date"),
    ),
    "price": ("price", "p", "rate"),
    "amount": ("quantity", "qty", "amount", "size", "q", "volume", "vol", "v"),
    "buyer_waited": ("isbuyermaker", "buyermaker", "m"),
    "side": ("side", "takerside", "s"),
    "id": ("aggtradeid", "tradeid", "id", "trdmatchid", "tid", "execid", "a"),
    "symbol": ("symbol", "instrumentname", "instrumentid", "instid", "market", "pair"),
}
NEEDED = ("time", "price", "amount")
OF_A_BOOK = ("issnapshot", "level", "depth", "levels")
"""Columns that levels of a book have and trades have not: a price and an amount are no trade then."""

_AGGREGATED = (
    "agg_trade_id",
    "price",
    "quantity",
    "first_trade_id",
    "last_trade_id",
    "transact_time",
    "is_buyer_maker",
)
_SINGLE = ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker")
_BEST = "is_best_match"
_FREQTRADE = ("timestamp", "id", "type", "side", "price", "amount", "cost")
_BOOLEANS = ("true", "false")


@dataclass(frozen=True, slots=True)
class Trades:
    """Trades of one symbol in the file's order. ``side``: 1 the taker bought, -1 sold, 0 unknown."""

    time_ns: IntArray
    price: FloatArray
    amount: FloatArray
    side: IntArray
    ids: IntArray | None  # None where they are no numbers, or one is missing
    rows: int  # of the file, of any symbol
    name: str  # the symbol's in the file, "" where it names none


def names_without_header(path: Path, cells: Sequence[str]) -> list[str] | None:
    """Names for a first line that is a trade, None for a header. Raises InputError."""
    del path
    flags = [cell.casefold() in _BOOLEANS for cell in cells]
    if len(cells) < len(NEEDED) or not is_number(cells[0]) or not is_number(cells[1]):
        return None
    if len(cells) == 3:
        return ["time", "price", "amount"]  # Kraken's
    known = {8: (*_AGGREGATED, _BEST), 6: _SINGLE}
    if len(cells) == 7:
        return list((*_SINGLE, _BEST) if flags[5] else _AGGREGATED) if flags[6] else list(_FREQTRADE)
    return list(known[len(cells)]) if len(cells) in known and flags[-1] else None


def recognised(columns: Sequence[str]) -> dict[str, str]:
    """The file's columns by the product's names."""
    return by_name_and_clock(columns, NAMES, "time")


def of_a_book(columns: Sequence[str]) -> str:
    """The column that shows a table to be of a book, "" of any other."""
    return next((column for column in columns if plain(column) in OF_A_BOOK), "")


def read_trades(path: Path, symbol: Symbol) -> Trades:
    """The symbol's trades of one file. Raises InputError."""
    table = raw_table(path, names_without_header, {7: _FREQTRADE})
    if column := of_a_book(table.column_names):
        raise InputError(f"{path} shows the levels of a book (column {column}), not trades: give its trades")
    found = recognised(table.column_names)
    refuse_equal_names(path, table, found.values())
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise InputError(
            f"{path} lacks {', '.join(missing)} of a trade: it has {', '.join(table.column_names)}"
        )
    rows, name = len(table), ""
    if "symbol" in found:
        table, name = _of_symbol(path, table, found["symbol"], symbol)
    return Trades(
        time_ns=_times(path, table, found),
        price=_numbers(path, table, found["price"]),
        amount=_numbers(path, table, found["amount"]),
        side=_sides(table, found),
        ids=_ids(table, found),
        rows=rows,
        name=name,
    )


def _times(path: Path, table: pa.Table, found: dict[str, str]) -> IntArray:
    clock = next((one for one in TIMES_OF_DAY if one in found), None)
    if clock is None:
        return to_ns(path.name, table[found["time"]])
    return with_clock(path.name, table[found["time"]], table[found[clock]], of_hours=clock == "hour")


def _of_symbol(path: Path, table: pa.Table, column: str, symbol: Symbol) -> tuple[pa.Table, str]:
    names = pc.unique(table[column].cast(pa.string())).drop_null().to_pylist()
    pair = f"{symbol.base}{symbol.quote}"
    ends = ("",) if symbol.market is MarketKind.SPOT else ("", "SWAP", "PERP", symbol.settle)
    ours = {(pair + end + symbol.expiry).casefold() for end in ends}
    mine = [name for name in names if plain(name) in ours]
    if len(mine) != 1:
        raise InputError(
            f"{path} holds no trades of {symbol.unified}: it has {', '.join(names[:12])};"
            " give another --symbol"
        )
    return table.filter(pc.equal(table[column].cast(pa.string()), mine[0])), mine[0]


def _numbers(path: Path, table: pa.Table, column: str) -> FloatArray:
    try:
        values: FloatArray = table[column].cast(pa.float64(), safe=False).to_numpy().astype(np.float64)
    except pa.ArrowException as error:
        raise InputError(f"{path}: column {column} is {table[column].type}: give numbers") from error
    bad = ~(np.isfinite(values) & (values > 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"{path}: row {row + 1} has {column} {values[row]:g}: a trade's is above 0; correct the row or"
            " remove it"
        )
    return values


def _sides(table: pa.Table, found: dict[str, str]) -> IntArray:
    if "buyer_waited" in found:
        texts = pc.utf8_lower(table[found["buyer_waited"]].cast(pa.string())).fill_null("")
        return _which(pc.equal(texts, "false"), pc.equal(texts, "true"))
    if "side" in found:
        texts = pc.utf8_lower(table[found["side"]].cast(pa.string())).fill_null("")
        buys, sells = (pc.is_in(texts, pa.array(v)) for v in (["buy", "b", "bid"], ["sell", "s", "ask"]))
        return _which(buys, sells)
    return np.zeros(len(table), np.int64)


def _which(buys: pa.ChunkedArray, sells: pa.ChunkedArray) -> IntArray:
    bought: BoolArray = buys.to_numpy()
    sold: BoolArray = sells.to_numpy()
    return bought.astype(np.int64) - sold.astype(np.int64)


def _ids(table: pa.Table, found: dict[str, str]) -> IntArray | None:
    """The trades' ids; without one for each, none tells two trades apart."""
    if "id" not in found or not pa.types.is_integer(table[found["id"]].type):
        return None
    ids = table[found["id"]]
    if ids.null_count or (len(ids) and pc.max(ids).as_py() > np.iinfo(np.int64).max):
        return None
    out: IntArray = ids.cast(pa.int64()).to_numpy().astype(np.int64)
    return out
