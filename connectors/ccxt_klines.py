"""Klines of any length of time through ccxt: forwards page by page, whole bars only, nothing invented.

On Binance the implicit endpoint is asked, because ccxt's unified candles leave out the money, the trades
and the takers' share. Elsewhere those columns are left out. A failed request is tried again with growing
pauses, and whatever ends the work, what was read is in the file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from agent.core.errors import ExchangeError, InputError
from agent.core.types import NS_PER_MS
from connectors.ccxt_link import CcxtLink, load_ccxt
from connectors.kline_file import FULL, PLAIN, FloatArray, KlineFile, Source, Spans
from connectors.markets import unknown_symbol

_FULL_AT = (0, 1, 2, 3, 4, 5, 7, 8, 9, 10)  # of Binance's twelve columns; the first six are everybody's
_CAREFUL_PAGE = 100  # bars, where ccxt does not say how many an exchange gives at once


@dataclass(frozen=True, slots=True)
class Patience:
    """How requests are repeated: pauses double from ``first_pause_s``. A kill loses ``save_pages``."""

    tries: int = 6
    connect_tries: int = 3
    first_pause_s: float = 1.0
    page: int = 1_000  # bars at once, or fewer where the exchange gives fewer
    save_pages: int = 20


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a file holds now. ``missing`` bars lie in ``gaps`` places; ``path`` None: no bars, no file."""

    source: Source
    path: Path | None
    bars: int
    new_bars: int
    from_ms: int | None  # open of the first bar
    to_ms: int | None  # end of the last
    gaps: int
    missing: int
    longest: tuple[int, int] | None  # (bars, ms at which it begins)

    def to_json(self) -> dict[str, Any]:
        return {
            "symbol": self.source.symbol,
            "path": None if self.path is None else str(self.path),
            "bars": self.bars,
            "new_bars": self.new_bars,
            "from_ns": None if self.from_ms is None else self.from_ms * NS_PER_MS,
            "to_ns": None if self.to_ms is None else self.to_ms * NS_PER_MS,
            "gaps": self.gaps,
            "missing": self.missing,
            "columns": list(self.source.columns),
        }


def fetched(file: KlineFile) -> Fetched:
    """Count what a file holds and lacks."""
    times, step_ms = file.times, file.source.step_ms
    if not len(times):
        return Fetched(file.source, None, 0, 0, None, None, 0, 0, None)
    lost = np.diff(times) // step_ms - 1
    worst = int(np.argmax(lost)) if (lost > 0).any() else None
    return Fetched(
        source=file.source,
        path=file.path,
        bars=len(times),
        new_bars=len(times) - file.had,
        from_ms=int(times[0]),
        to_ms=int(times[-1]) + step_ms,
        gaps=int((lost > 0).sum()),
        missing=int(lost.sum()),
        longest=None if worst is None else (int(lost[worst]), int(times[worst]) + step_ms),
    )


class KlineFetcher:
    """One exchange's klines into files. ``name`` is the exchange's in messages and in the files."""

    def __init__(
        self,
        link: CcxtLink,
        name: str,
        patience: Patience | None = None,
        say: Callable[[str], None] = lambda note: None,
    ) -> None:
        """``say`` is told when a request has to wait."""
        self._link, self._name, self._say = link, name, say
        self._patience = patience or Patience()

    async def connect(self, symbols: list[str], interval: str) -> None:
        """Load the markets and check the names. Raises InputError with near names, or ExchangeError."""
        exchange = self._link.exchange
        await self._patiently("list its markets", exchange.load_markets, self._patience.connect_tries)
        if not exchange.has.get("fetchOHLCV"):
            raise InputError(f"{self._name} gives no klines through ccxt: choose another --exchange")
        for symbol in symbols:
            if symbol not in exchange.markets:
                raise unknown_symbol(symbol, self._name, exchange.symbols)
        known = [i for i in exchange.timeframes or {} if not i.endswith(("M", "y"))]  # of unequal lengths
        if interval not in known:
            raise InputError(
                f"{self._name} has no klines of {interval!r}: choose --interval from {', '.join(known)}"
            )

    async def now_ms(self) -> int:
        """Return the exchange's time, or ours where it does not tell. Raises ExchangeError."""
        exchange = self._link.exchange
        if not exchange.has.get("fetchTime"):
            return int(exchange.milliseconds())
        return int(await self._patiently("tell its time", exchange.fetch_time, self._patience.tries))

    async def fetch(
        self,
        symbol: str,
        interval: str,
        span_ms: tuple[int, int],
        out: Path,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Fetched:
        """Bring what ``out``'s file lacks of [from, to), ms; ``to`` must not lie in the future.

        ``progress`` is told bars done and to do. Raises InputError (a file that cannot be extended),
        ExchangeError (no answer), RecordingError; what was read by then is in the file.
        """
        file = KlineFile.open(out, self._source(symbol, interval))
        todo = file.unasked((span_ms[0], span_ms[1] - file.source.step_ms + 1))  # whole bars
        try:
            await self._fill(file, todo, progress)
        except ExchangeError as error:
            raise ExchangeError(
                f"{error}; {len(file.times)} bars are kept in {file.path}:"
                " run the same command again to go on"
            ) from error
        finally:
            if todo:
                file.save()
        return fetched(file)

    def _source(self, symbol: str, interval: str) -> Source:
        step_ms = int(self._link.exchange.parse_timeframe(interval)) * 1_000
        columns = PLAIN if self._link.quirks.klines is None else FULL
        return Source(self._name, symbol, interval, step_ms, columns)

    async def _fill(self, file: KlineFile, todo: Spans, progress: Callable[[int, int], None]) -> None:
        step_ms, pages = file.source.step_ms, 0
        total_ms, done_ms = sum(b - a for a, b in todo), 0
        for start, end in todo:
            at_ms = start
            while at_ms < end:
                progress(ceil((done_ms + at_ms - start) / step_ms), ceil(total_ms / step_ms))
                rows, next_ms = await self._page(file.source, at_ms, end)
                file.add(rows, (at_ms, min(next_ms, end)))
                at_ms, pages = next_ms, pages + 1
                if pages % self._patience.save_pages == 0:
                    file.save()
            done_ms += end - start
        progress(ceil(total_ms / step_ms), ceil(total_ms / step_ms))

    async def _page(self, source: Source, at_ms: int, end_ms: int) -> tuple[FloatArray, int]:
        """Return bars that open in [at, end), from ``at_ms`` on, and where to go on."""
        size = self._page_size(source.symbol)
        raw = self._link.quirks.klines is not None

        async def ask() -> FloatArray:
            return self._rows(await self._request(source, at_ms, end_ms, size), raw)

        rows = await self._patiently(f"give klines of {source.symbol}", ask, self._patience.tries)
        rows = rows[rows[:, 0] >= at_ms]
        # an empty page: Binance has looked ahead to the end, others maybe at one page's time only
        nothing_until_ms = end_ms if raw else at_ms + size * source.step_ms
        next_ms = int(rows[:, 0].max()) + 1 if len(rows) else nothing_until_ms
        return rows[rows[:, 0] < end_ms], next_ms

    async def _request(self, source: Source, at_ms: int, end_ms: int, size: int) -> Any:
        exchange, klines = self._link.exchange, self._link.quirks.klines
        if klines is None:
            return await exchange.fetch_ohlcv(source.symbol, source.interval, at_ms, size)
        request = {"symbol": exchange.market(source.symbol)["id"], "limit": size}
        request |= {"interval": exchange.timeframes[source.interval]}
        request |= {"startTime": at_ms, "endTime": end_ms - 1}
        return await getattr(exchange, klines)(request)

    def _page_size(self, symbol: str) -> int:
        limit = self._link.exchange.feature_value(symbol, "fetchOHLCV", "limit")
        return min(self._patience.page, int(limit) if limit else _CAREFUL_PAGE)

    def _rows(self, answer: Any, raw: bool) -> FloatArray:
        """Rows [N, columns]. Raises ConnectionError for an answer that holds no klines."""
        columns = _FULL_AT if raw else _FULL_AT[: len(PLAIN)]
        try:
            rows = [[np.nan if k[i] is None else float(k[i]) for i in columns] for k in answer]
        except (TypeError, ValueError, IndexError, KeyError) as error:
            raise ConnectionError(f"no klines but {str(answer)[:60]!r}") from error
        return np.array(rows, dtype=np.float64).reshape(-1, len(columns))

    async def _patiently(self, what: str, call: Callable[[], Awaitable[Any]], tries: int) -> Any:
        """Call until it answers, with doubling pauses. Raises ExchangeError after ``tries``."""
        ccxt = load_ccxt()
        attempt = 0
        while True:
            attempt += 1
            try:
                return await call()
            except (ccxt.NetworkError, ConnectionError) as error:
                if attempt == tries:
                    raise ExchangeError(
                        f"{self._name} did not {what} in {tries} tries ({_brief(error)}): check the network"
                    ) from error
                pause_s = self._patience.first_pause_s * 2 ** (attempt - 1)
                self._say(f"no answer, try {attempt + 1} of {tries} in {pause_s:g} s")
                await asyncio.sleep(pause_s)
            except ccxt.BaseError as error:
                raise ExchangeError(f"{self._name} refused to {what} ({_brief(error)})") from error


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]
