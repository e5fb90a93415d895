"""The arithmetic of the features, compiled: additions, products and roots only, in a fixed order.

Logarithms and sines are NumPy's, taken before and after on whole arrays: both have to be the same function
for a live row and for a training series. Sums over the last bars go by doubling (a bar and the one before
it, that pair and the pair before it, ...), so a window gives a long series' sums to the bit. What is unknown
is NaN, here and in all that is computed from it; sums leave it out and count the rest.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agent.core.arrays import BoolArray, FloatArray, IntArray
from agent.core.compile.jit import njit, njit_part
from agent.core.market.bars import FBAR
from agent.core.market.feature_names import ROW
from agent.core.market.signal_kernel import DISTANCE, SIGNALS, double, record, worth

LONG_SPAN = 32
SHORT_SPAN = 8
MIN_RETURNS = 2
LIMIT = 8.0  # features are clipped to +- this
TINY = 1e-12

_COLUMN = {name: k for k, name in enumerate(FBAR.names or ())}
LOGGED = np.array([_COLUMN[name] for name in ("close", "vwap", "high", "low")])
CLOSE, VWAP, HIGH, LOW = range(4)  # rows of the logs
AMOUNTS = np.array(
    [_COLUMN[name] for name in ("volume", "trades", "taker_volume", "spread_bps", "bid_depth", "ask_depth")]
)
VOLUME, TRADES, TAKER, SPREAD, BID, ASK = range(6)  # rows of the amounts
TOUCH, MICRO = _COLUMN["touch_imbalance"], _COLUMN["microprice_bps"]

# Rows of the sums: what is added up over the last bars, and of how many it is known.
SQUARE, RETURNS, PRODUCT, PRODUCTS, LONG_SQUARE, LONGS, PRICE, PRICES = range(8)
VOLUMES, VOLUMES_KNOWN, COUNTS, COUNTS_KNOWN, BOUGHT, OF = range(8, 14)
SUMS = 14
ROW_RETURN_VWAP = ROW["return_vwap"]
ROW_RETURN_CLOSE = ROW["return_close"]
ROW_CLOSE_TO_VWAP = ROW["close_to_vwap"]
ROW_RANGE = ROW["range"]
ROW_CLOSE_LOCATION = ROW["close_location"]
ROW_VOLATILITY_SHORT = ROW["volatility_short"]
ROW_VOLATILITY_LONG = ROW["volatility_long"]
ROW_MOMENTUM_2 = ROW["momentum_2"]
ROW_MOMENTUM_8 = ROW["momentum_8"]
ROW_MOMENTUM_32 = ROW["momentum_32"]
ROW_DISTANCE_8 = ROW["distance_8"]
ROW_DISTANCE_32 = ROW["distance_32"]
ROW_AUTOCORRELATION = ROW["autocorrelation"]
ROW_VARIANCE_RATIO = ROW["variance_ratio"]
ROW_VOLUME = ROW["volume"]
ROW_TRADES = ROW["trades"]
ROW_TAKER = ROW["taker"]
ROW_TAKER_8 = ROW["taker_8"]
ROW_SPREAD = ROW["spread"]
ROW_TOUCH_IMBALANCE = ROW["touch_imbalance"]
ROW_MICROPRICE = ROW["microprice"]
ROW_DEPTH = ROW["depth"]
ROW_DEPTH_IMBALANCE = ROW["depth_imbalance"]
SIGNAL = ROW[f"{SIGNALS[0]}_edge"]  # the first feature of the signals' record


class FeatureInputs(NamedTuple):
    """One series of T bars."""

    bars: FloatArray  # [T, 15]
    logs: FloatArray  # [4, T] of LOGGED
    amounts: FloatArray  # [6, T] of AMOUNTS
    short: FloatArray  # [SUMS, T] over SHORT_SPAN bars
    long: FloatArray  # [SUMS, T] over LONG_SPAN bars


@njit
def known(bars: FloatArray, columns: IntArray, least: float, out: FloatArray) -> None:
    """out [S, C, T]: columns of ``bars`` [S, T, 15]; NaN where not finite or below ``least``."""
    for s in range(bars.shape[0]):
        for c in range(len(columns)):
            for i in range(bars.shape[1]):
                x = bars[s, i, columns[c]]
                out[s, c, i] = x if np.isfinite(x) and x >= least else np.nan


@njit_part
def _move(logs: FloatArray, i: int, k: int) -> float:
    """Log return over the last ``k`` bars."""
    return logs[i] - logs[i - k] if i >= k else np.nan


@njit_part
def _note(sums: FloatArray, row: int, i: int, x: float) -> None:
    """``x`` is summed in ``row`` and counted in the next, if it is known."""
    there = x == x
    sums[row, i], sums[row + 1, i] = x if there else 0.0, 1.0 if there else 0.0


@njit_part
def _mean(sums: FloatArray, row: int, i: int, at_least: int) -> float:
    """Mean of what ``_note`` summed; NaN where fewer than ``at_least`` were known."""
    return sums[row, i] / sums[row + 1, i] if sums[row + 1, i] >= at_least else np.nan


@njit_part
def _sigma(sums: FloatArray, i: int) -> float:
    """Root mean square of the returns; NaN where there are too few, or none that moved."""
    mean = _mean(sums, SQUARE, i, MIN_RETURNS)
    return np.sqrt(mean) if np.isfinite(mean) and mean > TINY * TINY else np.nan


@njit
def sigmas(logs: FloatArray, out: FloatArray) -> None:
    """out [S, T]: ``_sigma`` of the last LONG_SPAN returns; ``logs`` [S, 1, T] of closes."""
    sums = np.empty((2, out.shape[1]))
    for s in range(out.shape[0]):
        for i in range(out.shape[1]):
            move = _move(logs[s, 0], i, 1)
            _note(sums, SQUARE, i, move * move)
        double(sums, 1, LONG_SPAN)
        for i in range(out.shape[1]):
            out[s, i] = _sigma(sums, i)


@njit
def arguments(bars: FloatArray, logs: FloatArray, amounts: FloatArray, out: FloatArray) -> None:
    """Every feature but those of time, of the last R bars of each series, [F, S * R].

    ``bars`` [S, T, 15], the logs [S, 4, T] of LOGGED, the amounts [S, 6, T]. ``out`` is what the last
    logarithm is to be taken of, or the feature itself; NaN where unknown. F goes as FEATURE_NAMES.
    """
    short = np.empty((SUMS, bars.shape[1]))
    rows = out.shape[1] // max(1, len(bars))
    for s in range(len(bars)):
        _terms(logs[s], amounts[s], short)
        double(short, 1, SHORT_SPAN)
        long = short.copy()
        double(long, SHORT_SPAN, LONG_SPAN)
        series = FeatureInputs(bars[s], logs[s], amounts[s], short, long)
        signals, records = _signals(series)
        for r in range(rows):
            i = bars.shape[1] - rows + r
            sigma = _sigma(long, i)
            _prices(series, i, sigma, out, s * rows + r)
            _spans(series, i, sigma, out, s * rows + r)
            _volumes(series, i, out, s * rows + r)
            _book(series, i, sigma, out, s * rows + r)
            for k in range(len(signals)):
                beta, rms = worth(records[3 * k, i], records[3 * k + 1, i], records[3 * k + 2, i], sigma)
                out[SIGNAL + 2 * k, s * rows + r] = beta * rms
                out[SIGNAL + 2 * k + 1, s * rows + r] = beta * signals[k, i]


@njit_part
def _terms(logs: FloatArray, amounts: FloatArray, sums: FloatArray) -> None:
    """What is summed, bar by bar: ``sums`` [SUMS, T] before any doubling."""
    before = np.nan
    for i in range(logs.shape[1]):
        move, long = _move(logs[CLOSE], i, 1), _move(logs[CLOSE], i, SHORT_SPAN)
        _note(sums, SQUARE, i, move * move)
        _note(sums, PRODUCT, i, move * before)
        _note(sums, LONG_SQUARE, i, long * long / SHORT_SPAN)
        _note(sums, PRICE, i, logs[VWAP, i])
        _note(sums, VOLUMES, i, amounts[VOLUME, i])
        _note(sums, COUNTS, i, amounts[TRADES, i])
        volume, taker = amounts[VOLUME, i], amounts[TAKER, i]
        both = volume == volume and taker == taker
        sums[BOUGHT, i], sums[OF, i] = taker if both else 0.0, volume if both else 0.0
        before = move


@njit_part
def _prices(series: FeatureInputs, i: int, sigma: float, out: FloatArray, r: int) -> None:
    """return_vwap .. close_location: the newest bar's prices in units of sigma."""
    logs = series.logs
    width = logs[HIGH, i] - logs[LOW, i]
    out[ROW_RETURN_VWAP, r] = _move(logs[VWAP], i, 1) / sigma
    out[ROW_RETURN_CLOSE, r] = _move(logs[CLOSE], i, 1) / sigma
    out[ROW_CLOSE_TO_VWAP, r] = (logs[CLOSE, i] - logs[VWAP, i]) / sigma
    out[ROW_RANGE, r] = width / sigma
    out[ROW_CLOSE_LOCATION, r] = (
        2.0 * (logs[CLOSE, i] - logs[LOW, i]) / width - 1.0 if width > TINY else np.nan
    )


@njit_part
def _spans(series: FeatureInputs, i: int, sigma: float, out: FloatArray, r: int) -> None:
    """volatility_short .. variance_ratio: the last 2 to 32 returns."""
    close, short, long = series.logs[CLOSE], series.short, series.long
    square, eight = sigma * sigma, np.sqrt(np.float64(SHORT_SPAN))
    root = np.sqrt(np.float64(LONG_SPAN))
    out[ROW_VOLATILITY_SHORT, r] = _ratio(_sigma(short, i), sigma)
    out[ROW_VOLATILITY_LONG, r] = sigma
    out[ROW_MOMENTUM_2, r] = _move(close, i, 2) / sigma / np.sqrt(2.0)
    out[ROW_MOMENTUM_8, r] = _move(close, i, SHORT_SPAN) / sigma / eight
    out[ROW_MOMENTUM_32, r] = _move(close, i, LONG_SPAN) / sigma / root
    out[ROW_DISTANCE_8, r] = (close[i] - _mean(short, PRICE, i, 2)) / sigma / eight
    out[ROW_DISTANCE_32, r] = (close[i] - _mean(long, PRICE, i, 2)) / sigma / root
    out[ROW_AUTOCORRELATION, r] = 3.0 * (_mean(long, PRODUCT, i, SHORT_SPAN) / square)
    out[ROW_VARIANCE_RATIO, r] = _ratio(_mean(long, LONG_SQUARE, i, SHORT_SPAN), square)


@njit_part
def _volumes(series: FeatureInputs, i: int, out: FloatArray, r: int) -> None:
    """volume .. taker_8; nothing counts as a hundredth of the usual."""
    volume, taker = series.amounts[VOLUME, i], series.amounts[TAKER, i]
    bought, of = series.short[BOUGHT, i], series.short[OF, i]
    both = volume == volume and taker == taker
    out[ROW_VOLUME, r] = _against(volume, _mean(series.long, VOLUMES, i, MIN_RETURNS)) + 0.01
    out[ROW_TRADES, r] = (
        _against(series.amounts[TRADES, i], _mean(series.long, COUNTS, i, MIN_RETURNS)) + 0.01
    )
    out[ROW_TAKER, r] = 2.0 * taker / max(volume, TINY) - 1.0 if both and volume > 0 else np.nan
    out[ROW_TAKER_8, r] = 2.0 * bought / max(of, TINY) - 1.0 if both and of > 0 else np.nan


@njit_part
def _book(series: FeatureInputs, i: int, sigma: float, out: FloatArray, r: int) -> None:
    """spread .. depth_imbalance: the book at the bar's end."""
    bid, ask = series.amounts[BID, i], series.amounts[ASK, i]
    depth = bid + ask
    out[ROW_SPREAD, r] = _ratio(series.amounts[SPREAD, i] * 1e-4, sigma)
    out[ROW_TOUCH_IMBALANCE, r] = series.bars[i, TOUCH]
    out[ROW_MICROPRICE, r] = series.bars[i, MICRO] * 1e-4 / sigma
    out[ROW_DEPTH, r] = _ratio(depth, _mean(series.long, VOLUMES, i, 1))
    out[ROW_DEPTH_IMBALANCE, r] = (bid - ask) / depth if depth > 0 else np.nan


@njit_part
def _signals(series: FeatureInputs) -> tuple[FloatArray, FloatArray]:
    """The signals of ``agent.core.market.signal_kernel`` [SIGNALS, T], and their record [3 * SIGNALS, T]."""
    close, count = series.logs[CLOSE], len(series.bars)
    means = series.long[PRICE : PRICES + 1].copy()
    double(means, LONG_SPAN, DISTANCE)
    signals, moves = np.empty((len(SIGNALS), count)), np.empty(count)
    for i in range(count):
        volume, taker, touch = series.amounts[VOLUME, i], series.amounts[TAKER, i], series.bars[i, TOUCH]
        moves[i] = signals[0, i] = _move(close, i, 1)
        signals[1, i] = close[i] - _mean(means, 0, i, 2)
        signals[2, i] = 2.0 * taker / volume - 1.0 if volume > 0 else np.nan
        signals[3, i] = touch if np.isfinite(touch) else np.nan
    records = np.empty((3 * len(SIGNALS), count))
    record(signals, signals == signals, moves, moves == moves, records)
    return signals, records


@njit_part
def _ratio(a: float, b: float) -> float:
    """a / b where both are above 0."""
    return a / b if a > 0 and b > 0 else np.nan


@njit_part
def _against(amount: float, mean: float) -> float:
    return amount / mean if mean > 0 else np.nan


@njit
def settle(columns: FloatArray, values: npt.NDArray[np.float32], mask: BoolArray) -> None:
    """Columns [F, N] clipped to +- LIMIT as float32 [N, F]; what is not finite is 0 and masked."""
    for r in range(len(values)):
        for f in range(len(columns)):
            x = columns[f, r]
            mask[r, f] = np.isfinite(x)
            values[r, f] = np.float32(min(max(x, -LIMIT), LIMIT)) if mask[r, f] else np.float32(0.0)
