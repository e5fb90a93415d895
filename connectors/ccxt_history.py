"""Warm-up over REST: the latest trades backwards, one-minute klines behind them, and the book of now.

Nothing waits silently: both are bounded in pages and in time, and return what they have by then.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np

from agent.core.market.bars import DEPTH_BAND_BPS
from agent.core.market.tape import BAR, BarArray
from agent.core.market.trade_bars import BookSample
from agent.core.types import NS_PER_MS, NS_PER_S
from connectors.ccxt_link import CcxtLink
from connectors.ccxt_types import Candle, UsableTrade
from connectors.kline_rows import bar_rows, binance_bar_rows
from connectors.normalise import Scale, level_counts, trade_ids, usable

MINUTE_NS = 60 * NS_PER_S
BOOK_DEADLINE_S = 5.0
JUDGED_LEVELS = 100
"""Levels a side whose prices judge the price step, where the exchange is known to take such a number."""

Page = list[UsableTrade]


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    trade_pages: int = 60
    kline_pages: int = 12
    deadline_s: float = 20.0  # for trades, and again for klines


async def recent_trades(
    link: CcxtLink, symbol: str, scale: Scale, since_ms: int, limits: HistoryLimits
) -> Page:
    """Return trades oldest first, without a hole up to the newest, from ``since_ms`` or later on.

    By id backwards where the exchange can, else forwards from ``since_ms``: then a part that does not
    reach the newest page is left out rather than leaving a hole behind it.
    """
    pages: list[Page] = []
    by_id = link.quirks.aggregates
    walk = _backwards if by_id else _forwards
    await _within(limits.deadline_s, walk(link, symbol, since_ms, limits.trade_pages, pages))
    merged: dict[int, UsableTrade] = {}
    for page in pages:
        ids, _ = trade_ids(page, scale.reading)
        merged.update(zip(ids.tolist(), page, strict=True))
    inside = (t for t in merged.values() if t["timestamp"] >= since_ms)
    return sorted(inside, key=lambda t: _id(t) if by_id else t["timestamp"])


def _id(trade: UsableTrade) -> int:
    """Its number, on an exchange that numbers its trades."""
    return int(trade["id"] or 0)


async def _backwards(link: CcxtLink, symbol: str, since_ms: int, most: int, pages: list[Page]) -> None:
    page = usable(await link.trades(symbol))
    size = link.quirks.page or len(page)
    while page:
        pages.append(page)
        first = _id(page[0])
        if page[0]["timestamp"] < since_ms or first <= 0 or len(pages) >= most:
            return
        older = usable(await link.trades(symbol, from_id=max(0, first - size)))
        page = [t for t in older if _id(t) < first]


async def _forwards(link: CcxtLink, symbol: str, since_ms: int, most: int, pages: list[Page]) -> None:
    newest = usable(await link.trades(symbol))
    pages.append(newest)
    if not newest or newest[0]["timestamp"] <= since_ms:
        return
    walked: list[Page] = []
    at_ms = since_ms
    while len(walked) < most:
        page = usable(await link.trades(symbol, since_ms=at_ms))
        walked.append(page)
        if not page or page[-1]["timestamp"] <= at_ms:
            return
        at_ms = page[-1]["timestamp"]
        if at_ms >= newest[0]["timestamp"]:
            pages[:0] = walked  # joined: everything between is there
            return


async def recent_bars(
    link: CcxtLink, symbol: str, scale: Scale, since_ms: int, until_ms: int, limits: HistoryLimits
) -> BarArray:
    """Return the closed one-minute klines from ``since_ms`` to ``until_ms`` (exchange time), or none."""
    candles: dict[int, Candle] = {}
    raw = link.quirks.klines is not None
    if raw or (link.exchange.has.get("fetchOHLCV") and "1m" in (link.exchange.timeframes or {})):
        await _within(limits.deadline_s, _candles(link, symbol, since_ms, limits.kline_pages, candles))
    step_ms = MINUTE_NS // NS_PER_MS
    closed = [candles[ms] for ms in sorted(candles) if since_ms <= ms <= until_ms - step_ms]
    if not closed:
        return np.zeros(0, dtype=BAR)
    make = binance_bar_rows if raw else bar_rows
    return make(closed, scale, MINUTE_NS, link.clock.offset_ns)


async def _candles(link: CcxtLink, symbol: str, since_ms: int, most: int, candles: dict[int, Candle]) -> None:
    at_ms = since_ms
    for _ in range(most):
        page = await _kline_page(link, symbol)(at_ms)
        new = {int(c[0]): c for c in page if int(c[0]) not in candles}
        candles.update(new)
        if not new:
            return
        at_ms = max(new) + 1


def _kline_page(link: CcxtLink, symbol: str) -> Callable[[int], Awaitable[list[Candle]]]:
    async def page(at_ms: int) -> list[Candle]:
        if link.quirks.klines is None:
            got = await link.exchange.fetch_ohlcv(symbol, "1m", at_ms)
        else:  # ccxt's unified candles leave out quote and taker volume
            market_id = link.exchange.market(symbol)["id"]
            request = {"symbol": market_id, "interval": "1m", "startTime": at_ms, "limit": 1000}
            got = await getattr(link.exchange, link.quirks.klines)(request)
        return [c for c in got if isinstance(c, list)]

    return page


async def _within(deadline_s: float, work: Awaitable[None]) -> None:
    """Do ``work`` until done, failed or out of time: what it has collected by then is what there is."""
    with contextlib.suppress(Exception):
        await asyncio.wait_for(work, deadline_s)


async def book_prices(link: CcxtLink, symbol: str) -> list[float]:
    """The prices in the book of this moment, as sent; none where there is no book to be had in time."""
    try:
        levels = None if link.quirks.book_limit is None else JUDGED_LEVELS
        book = await asyncio.wait_for(link.exchange.fetch_order_book(symbol, levels), BOOK_DEADLINE_S)
        return [float(level[0]) for level in (*book["bids"], *book["asks"])]
    except Exception:
        return []  # the step stands as stated


async def book_now(link: CcxtLink, symbol: str, scale: Scale) -> BookSample | None:
    """Touch and depth; None where the exchange gives no two-sided book in time. Never raises but to stop."""
    try:
        book = await asyncio.wait_for(link.exchange.fetch_order_book(symbol), BOOK_DEADLINE_S)
        bids, asks = level_counts(book["bids"], scale, 1)[0], level_counts(book["asks"], scale, -1)[0]
    except Exception:
        return None  # the stream brings one, or says why not
    if not bids or not asks or bids[0][0] >= asks[0][0]:
        return None
    mid = (bids[0][0] + asks[0][0]) / 2
    return BookSample(*bids[0], *asks[0], _depth(bids, mid), _depth(asks, mid))


def _depth(levels: Sequence[tuple[int, int]], mid: float) -> int:
    return sum(lots for ticks, lots in levels if abs(ticks - mid) <= mid * DEPTH_BAND_BPS * 1e-4)
