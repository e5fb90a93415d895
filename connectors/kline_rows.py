"""Klines, as ccxt unifies them or as Binance sends them, to BAR rows.

A bar's start keeps to the grid of its length, so a clock offset moves it by whole bars only (an
embedded exchange may live in another year), and by none when the offset is a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import structlog

from agent.core.arrays import FloatArray
from agent.core.market.tape import BAR, BarArray, Flag
from agent.core.money import MOST_TL, all_fit
from agent.core.types import NS_PER_MS
from connectors.ccxt_types import Candle
from connectors.normalise import CoinVolume, Scale

log = structlog.get_logger("feed")


def on_grid_ns(open_ms: int, delta_ns: int, offset_ns: int) -> int:
    """Return a bar's start on our clock, moved by whole bars."""
    return open_ms * NS_PER_MS - round(offset_ns / delta_ns) * delta_ns


def bar_rows(candles: Sequence[Candle], scale: Scale, delta_ns: int, offset_ns: int) -> BarArray:
    """ccxt candles ``[ms, open, high, low, close, base volume]`` to BAR rows flagged HISTORY.

    ccxt leaves out the quote volume: it is taken as volume x (high + low + close) / 3. Taker volume
    is -1 (unknown) and the trade count 0. A volume in coins of a market that counts contracts is turned into
    contracts first, at that price where they are inverse.
    """
    if scale.coin_klines is not None:
        candles = [_in_contracts(candle, scale.coin_klines) for candle in candles]
    rows = _bars(candles, scale, delta_ns, offset_ns)
    typical = (rows["high_ticks"].astype(np.float64) + rows["low_ticks"] + rows["close_ticks"]) / 3.0
    rows, money = _counted(rows, rows["base_lots"] * typical)
    rows["quote_tl"] = money
    rows["taker_base_lots"] = rows["taker_quote_tl"] = -1
    return rows


def _counted(rows: BarArray, money_tl: FloatArray) -> tuple[BarArray, FloatArray]:
    """The bars whose money can be counted, and it. The others are told of: what they cover stays unknown."""
    counted = (money_tl <= MOST_TL) & all_fit(rows["high_ticks"], rows["base_lots"], inverse=False)
    if not counted.all():
        log.warning(
            "klines_too_large",
            refused=int(np.count_nonzero(~counted)),
            reason="a minute worth more than 64 bits hold is not taken: its history stays unknown",
        )
    found: FloatArray = np.rint(money_tl[counted])
    return rows[counted], found


def _in_contracts(candle: Candle, coins: CoinVolume) -> Candle:
    start, opened, high, low, close, volume = map(float, candle[:6])
    return start, opened, high, low, close, coins.quantity(volume, (high + low + close) / 3.0)


def binance_bar_rows(klines: Sequence[Candle], scale: Scale, delta_ns: int, offset_ns: int) -> BarArray:
    """Binance's own klines to BAR rows: also quote volume, trade count and taker volumes, as sent.

    Columns: open time, open, high, low, close, volume, close time, quote volume, trades, taker base,
    taker quote.
    """
    rows = _bars(klines, scale, delta_ns, offset_ns)
    unit = float(scale.tick.size * scale.lot.size)
    rows["trades"] = [int(k[8]) for k in klines]
    rows["taker_base_lots"], _ = scale.lot.counts([float(k[9]) for k in klines])
    money, bought = (np.array([float(k[column]) for k in klines]) / unit for column in (7, 10))
    rows["taker_quote_tl"] = np.rint(np.minimum(bought, MOST_TL))
    rows, money = _counted(rows, money)
    rows["quote_tl"] = money
    return rows


def _bars(candles: Sequence[Candle], scale: Scale, delta_ns: int, offset_ns: int) -> BarArray:
    rows = np.zeros(len(candles), dtype=BAR)
    rows["open_ns"] = [on_grid_ns(int(c[0]), delta_ns, offset_ns) for c in candles]
    rows["delta_ns"], rows["instrument"], rows["flags"] = delta_ns, scale.number, Flag.HISTORY
    for column, name in enumerate(("open_ticks", "high_ticks", "low_ticks", "close_ticks"), start=1):
        rows[name], _ = scale.tick.counts([float(c[column]) for c in candles])
    rows["base_lots"], _ = scale.lot.counts([float(c[5]) for c in candles])
    return rows
