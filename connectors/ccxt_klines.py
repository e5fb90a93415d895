"""Klines of any length of time through ccxt: forwards page by page, extending what a file already has.

On Binance the implicit endpoint is used, because ccxt's unified candles leave out the money, the trades
and the takers' share. Elsewhere those columns are left out: nothing is invented.
"""

from __future__ import annotations

import asyncio
import difflib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from agent.core.errors import ExchangeError, InputError
from connectors.ccxt_link import network_errors
from connectors.ccxt_types import CcxtExchange
from connectors.exchange_quirks import quirks_of

PAGE = 1_000
RETRIES = 5
SAVE_PAGES = 20  # a kill loses at most these
WHOLE = ("open_time", "open", "high", "low", "close", "volume", "quote_volume", "n_trades")
TAKERS = ("taker_buy_base", "taker_buy_quote")
Row = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a file holds now. ``gaps``: places where bars are missing, ``missing`` bars altogether."""

    symbol: str
    path: Path
    bars: int
    new_bars: int
    from_ms: int | None
    to_ms: int | None
    gaps: int
    missing: int
    columns: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        return {
            "symbol": self.symbol,
            "path": str(self.path),
            "bars": self.bars,
            "new_bars": self.new_bars,
            "from_ns": None if self.from_ms is None else self.from_ms * 1_000_000,
            "to_ns": None if self.to_ms is None else self.to_ms * 1_000_000,
            "gaps": self.gaps,
            "missing": self.missing,
            "columns": list(self.columns),
        }


def check_names(exchange: CcxtExchange, symbols: list[str], interval: str) -> None:
    """Refuse symbols and intervals that the exchange does not have. Raises InputError, with near names."""
    for symbol in symbols:
        if symbol not in exchange.markets:
            near = difflib.get_close_matches(symbol, exchange.markets, n=3) or list(exchange.markets)[:3]
            raise InputError(f"{exchange.id} has no {symbol!r}: did you mean {' or '.join(near)}?")
    known = exchange.timeframes or {}
    if interval not in known:
        raise InputError(f"{exchange.id} has no klines of {interval!r}: it has {', '.join(known)}")


async def fetch_klines(
    exchange: CcxtExchange,
    symbol: str,
    interval: str,
    span_ms: tuple[int, int],
    out: Path,
    now_ms: int,
    progress: Callable[[int], None] = lambda at_ms: None,
) -> Fetched:
    """Download [from, to) into ``out``/SYMBOL-interval.parquet, from where an existing file ends.

    Whole bars only: the one still forming is left out. Raises ExchangeError when the exchange stays
    silent; what was read by then is in the file.
    """
    path = out / f"{symbol.replace('/', '').replace(':', '_')}-{interval}.parquet"
    step_ms = int(exchange.parse_timeframe(interval)) * 1_000
    raw = quirks_of(exchange.id).klines is not None
    columns = (*WHOLE, *TAKERS) if raw else WHOLE[:6]
    rows = _existing(path, columns)
    had, at_ms = len(rows), max([span_ms[0], *(int(row[0]) + step_ms for row in rows[-1:])])
    pages = 0
    end_ms = min(span_ms[1], now_ms if raw else span_ms[1])
    while at_ms < end_ms:
        page = await _page(exchange, symbol, interval, at_ms, len(columns), raw)
        new = [row for row in page if at_ms <= row[0] and row[0] + step_ms <= end_ms]
        if not new:
            break
        rows += new
        at_ms = int(new[-1][0]) + step_ms
        pages += 1
        progress(at_ms)
        if pages % SAVE_PAGES == 0:
            _write(path, rows, columns)
    _write(path, rows, columns)
    return _result(symbol, path, rows, had, step_ms, columns)


async def _page(
    exchange: CcxtExchange, symbol: str, interval: str, at_ms: int, width: int, raw: bool
) -> list[Row]:
    """One page of rows, fetched again with growing pauses when the network fails. Raises ExchangeError."""
    for attempt in range(RETRIES):
        try:
            if raw:
                market_id, timeframes = exchange.market(symbol)["id"], exchange.timeframes or {}
                request = {
                    "symbol": market_id,
                    "interval": timeframes[interval],
                    "startTime": at_ms,
                    "limit": PAGE,
                }
                got = await getattr(exchange, quirks_of(exchange.id).klines or "")(request)
            else:
                got = await exchange.fetch_ohlcv(symbol, interval, at_ms, PAGE)
            usable = [k for k in got if isinstance(k, list)]
            return [tuple(float(k[i]) for i in _COLUMNS[:width]) for k in usable]
        except network_errors() as error:
            if attempt == RETRIES - 1:
                raise ExchangeError(
                    f"{exchange.id} did not answer for {symbol} klines after {RETRIES} tries ({error});"
                    " what was read is kept: run the same command again to go on"
                ) from error
            await asyncio.sleep(0.5 * 2**attempt)
    return []


_COLUMNS = (0, 1, 2, 3, 4, 5, 7, 8, 9, 10)  # of Binance's klines; the first six are everybody's


def _existing(path: Path, columns: tuple[str, ...]) -> list[Row]:
    if not path.exists():
        return []
    try:
        table = pq.read_table(path, columns=list(columns))
    except (pa.ArrowInvalid, OSError, KeyError) as error:
        raise InputError(
            f"{path} is there but cannot be extended ({error}): move it away, or give another --out"
        ) from error
    return list(zip(*(table[name].to_pylist() for name in columns), strict=True))


def _write(path: Path, rows: list[Row], columns: tuple[str, ...]) -> None:
    """Atomic: a kill leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    integers = ("open_time", "n_trades")
    arrays = {
        name: pa.array(
            [int(r[i]) if name in integers else r[i] for r in rows],
            pa.int64() if name in integers else pa.float64(),
        )
        for i, name in enumerate(columns)
    }
    partial = path.with_suffix(".part")
    pq.write_table(pa.table(arrays), partial)
    partial.replace(path)


def _result(
    symbol: str, path: Path, rows: list[Row], had: int, step_ms: int, columns: tuple[str, ...]
) -> Fetched:
    times = [int(row[0]) for row in rows]
    jumps = [(b - a) // step_ms - 1 for a, b in itertools.pairwise(times) if b - a > step_ms]
    first, last = (times[0], times[-1]) if times else (None, None)
    return Fetched(symbol, path, len(rows), len(rows) - had, first, last, len(jumps), sum(jumps), columns)
