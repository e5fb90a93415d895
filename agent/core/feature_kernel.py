"""The arithmetic of ``agent.core.features``, compiled: additions, products and roots only, in a fixed order.

Logarithms and sines are NumPy's, taken before and after on whole arrays: both have to be the same function
for a live row and for a training series. Sums over the last bars go by doubling (a bar and the one before
it, that pair and the one before it, ...), so a window gives a long series' sums to the bit. What is unknown
enters sums as 0 and is counted beside them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agent.core.bars import FBAR
from agent.core.jit import njit
from agent.core.types import NS_PER_S

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

LONG_SPAN = 32
SHORT_SPAN = 8
MIN_RETURNS = 2
LIMIT = 8.0  # features are clipped to +- this
DAY_NS = 86_400 * NS_PER_S
TINY = 1e-12

_COLUMN = {name: k for k, name in enumerate(FBAR.names or ())}
HIGH, LOW, CLOSE, VWAP = (_COLUMN[name] for name in ("high", "low", "close", "vwap"))
VOLUME, TRADES, TAKER = (_COLUMN[name] for name in ("volume", "trades", "taker_volume"))
SPREAD, TOUCH, MICRO = (_COLUMN[name] for name in ("spread_bps", "touch_imbalance", "microprice_bps"))
BID, ASK = _COLUMN["bid_depth"], _COLUMN["ask_depth"]
LOGGED = (CLOSE, VWAP, HIGH, LOW)
"""Columns whose logarithms the kernels are given, in this order: ``logs`` [4, T]."""

# Rows of the sums: what is added up over the last bars.
SQUARE, RETURNS, PRODUCT, PRODUCTS, LONG_SQUARE, LONGS, PRICE, PRICES = range(8)
VOLUMES, VOLUMES_KNOWN, COUNTS, COUNTS_KNOWN, BOUGHT, OF = range(8, 14)
SUMS = 14


@njit
def positive(bars: Float64, columns: tuple[int, ...], out: Float64) -> None:
    """out [S, C, T]: columns of ``bars`` [S, T, 15] where they are finite and above 0, else 1."""
    for s in range(bars.shape[0]):
        for c in range(len(columns)):
            for i in range(bars.shape[1]):
                x = bars[s, i, columns[c]]
                out[s, c, i] = x if np.isfinite(x) and x > 0 else 1.0


@njit
def _priced(bars: Float64, i: int, column: int) -> bool:
    """Whether the price is known; before the first bar none is."""
    return i >= 0 and np.isfinite(bars[i, column]) and bars[i, column] > 0


@njit
def _counted(bars: Float64, i: int, column: int) -> bool:
    """Whether the amount is known."""
    return np.isfinite(bars[i, column]) and bars[i, column] >= 0  # type: ignore[no-any-return]


@njit
def _move(logs: Float64, i: int, k: int) -> float:
    """Log return over the last ``k`` bars; before the first bar logs count as 0."""
    return logs[i] - (logs[i - k] if i >= k else 0.0)  # type: ignore[no-any-return]


@njit
def _double(sums: Float64, width: int, span: int) -> None:
    """Sums over the last ``width`` bars become sums over the last ``span`` ones, in place."""
    while width < span:
        for row in range(sums.shape[0]):
            for i in range(sums.shape[1] - 1, width - 1, -1):
                sums[row, i] += sums[row, i - width]
            for i in range(min(width, sums.shape[1])):
                sums[row, i] += 0.0  # as where bars stand before: -0 becomes 0
        width *= 2


@njit
def _returned(bars: Float64, i: int, k: int) -> bool:
    return _priced(bars, i, CLOSE) and _priced(bars, i - k, CLOSE)


@njit
def sigmas(bars: Float64, logs: Float64, out: Float64) -> None:
    """out [S, T]: ``sigma_of`` the last LONG_SPAN returns; ``logs`` [S, 1, T] of closes."""
    sums = np.empty((2, bars.shape[1]))
    for s in range(bars.shape[0]):
        for i in range(bars.shape[1]):
            known = _returned(bars[s], i, 1)
            move = _move(logs[s, 0], i, 1)
            sums[0, i], sums[1, i] = (move * move, 1.0) if known else (0.0, 0.0)
        _double(sums, 1, LONG_SPAN)
        for i in range(bars.shape[1]):
            out[s, i] = _sigma_of(sums[0, i], sums[1, i])


@njit
def _sigma_of(square: float, count: float) -> float:
    """Root mean square of returns; NaN where there are too few, or none that moved."""
    mean = square / max(count, 1.0)
    if count >= MIN_RETURNS and np.isfinite(mean) and mean > TINY * TINY:
        return np.sqrt(mean)  # type: ignore[no-any-return]
    return np.nan


@njit
def _terms(bars: Float64, logs: Float64, sums: Float64) -> None:
    """What is summed, bar by bar: ``sums`` [SUMS, T] before any doubling."""
    for i in range(len(bars)):
        for k in range(SUMS):
            sums[k, i] = 0.0
        move = _move(logs[0], i, 1)
        if _returned(bars, i, 1):
            sums[SQUARE, i], sums[RETURNS, i] = move * move, 1.0
            if _returned(bars, i - 1, 1):
                sums[PRODUCT, i], sums[PRODUCTS, i] = move * _move(logs[0], i - 1, 1), 1.0
        if _returned(bars, i, SHORT_SPAN):
            long = _move(logs[0], i, SHORT_SPAN)
            sums[LONG_SQUARE, i], sums[LONGS, i] = long * long / SHORT_SPAN, 1.0
        if _priced(bars, i, VWAP):
            sums[PRICE, i], sums[PRICES, i] = logs[1, i], 1.0
        if _counted(bars, i, TRADES):
            sums[COUNTS, i], sums[COUNTS_KNOWN, i] = bars[i, TRADES], 1.0
        if _counted(bars, i, VOLUME):
            sums[VOLUMES, i], sums[VOLUMES_KNOWN, i] = bars[i, VOLUME], 1.0
            if _counted(bars, i, TAKER):
                sums[BOUGHT, i], sums[OF, i] = bars[i, TAKER], bars[i, VOLUME]


@njit
def arguments(bars: Float64, logs: Float64, whole: Int64, delta_ns: int, out: Float64, known: Bool) -> None:
    """Every feature of the last R bars of each series, [F, S * R], up to its last logarithm or sine.

    ``bars`` [S, T, 15], the same as integers in ``whole``, and the logs [S, 4, T] of LOGGED. ``out`` is what
    that function is to be taken of (1 where unknown), or the feature itself; F goes as FEATURE_NAMES.
    """
    short = np.empty((SUMS, bars.shape[1]))
    rows = out.shape[1] // max(1, len(bars))
    for s in range(len(bars)):
        _terms(bars[s], logs[s], short)
        _double(short, 1, SHORT_SPAN)
        long = short.copy()
        _double(long, SHORT_SPAN, LONG_SPAN)
        _rows(bars[s], logs[s], whole[s, :, 0], delta_ns, short, long, s * rows, rows, out, known)


@njit
def _rows(
    bars: Float64,
    logs: Float64,
    start_ns: Int64,
    delta_ns: int,
    short: Float64,
    long: Float64,
    first: int,
    rows: int,
    out: Float64,
    known: Bool,
) -> None:
    """The last ``rows`` bars of one series, into columns ``first`` and on."""
    for r in range(first, first + rows):
        i = len(bars) - rows + r - first
        sigma = _sigma_of(long[SQUARE, i], long[RETURNS, i])
        _prices(bars, logs, i, sigma, r, out, known)
        _spans(bars, logs, i, sigma, short, long, r, out, known)
        _volumes(bars, i, short, long, r, out, known)
        _book(bars, i, sigma, long, r, out, known)
        _time(start_ns[i], delta_ns, r, out, known)


@njit
def _prices(bars: Float64, logs: Float64, i: int, sigma: float, r: int, out: Float64, known: Bool) -> None:
    """return_vwap .. close_location: the newest bar's prices in units of sigma."""
    sure, unit = (True, sigma) if sigma > 0 else (False, 1.0)
    close, vwap = _priced(bars, i, CLOSE), _priced(bars, i, VWAP)
    ranged = _priced(bars, i, HIGH) and _priced(bars, i, LOW)
    width = logs[2, i] - logs[3, i]
    out[0, r], known[0, r] = _move(logs[1], i, 1) / unit, vwap and _priced(bars, i - 1, VWAP) and sure
    out[1, r], known[1, r] = _move(logs[0], i, 1) / unit, _returned(bars, i, 1) and sure
    out[2, r], known[2, r] = (logs[0, i] - logs[1, i]) / unit, close and vwap and sure
    out[3, r], known[3, r] = width / unit, ranged and sure
    out[4, r] = 2.0 * (logs[0, i] - logs[3, i]) / max(width, TINY) - 1.0
    known[4, r] = close and ranged and width > TINY


@njit
def _spans(
    bars: Float64,
    logs: Float64,
    i: int,
    sigma: float,
    short: Float64,
    long: Float64,
    r: int,
    out: Float64,
    known: Bool,
) -> None:
    """volatility_short .. variance_ratio: what the last 2 to 32 returns say."""
    sure, unit = (True, sigma) if sigma > 0 else (False, 1.0)
    _log_ratio(_sigma_of(short[SQUARE, i], short[RETURNS, i]), sigma, 5, r, out, known)
    out[6, r], known[6, r] = unit, sure
    for n in range(3):
        k = 2 if n == 0 else SHORT_SPAN if n == 1 else LONG_SPAN
        out[7 + n, r] = _move(logs[0], i, k) / unit / np.sqrt(np.float64(k))
        known[7 + n, r] = _returned(bars, i, k) and sure
    for n in range(2):
        k, sums = (SHORT_SPAN, short) if n == 0 else (LONG_SPAN, long)
        mean = sums[PRICE, i] / max(sums[PRICES, i], 1.0)
        out[10 + n, r] = (logs[0, i] - mean) / unit / np.sqrt(np.float64(k))
        known[10 + n, r] = _priced(bars, i, CLOSE) and sums[PRICES, i] >= 2.0 and sure
    square = unit * unit
    out[12, r] = 3.0 * (long[PRODUCT, i] / max(long[PRODUCTS, i], 1.0) / square)
    known[12, r] = long[PRODUCTS, i] >= SHORT_SPAN and sure
    variance = long[LONG_SQUARE, i] / max(long[LONGS, i], 1.0)
    enough = long[LONGS, i] >= SHORT_SPAN and sure
    _log_ratio(variance if enough else np.nan, square, 13, r, out, known)


@njit
def _volumes(bars: Float64, i: int, short: Float64, long: Float64, r: int, out: Float64, known: Bool) -> None:
    """volume .. taker_8."""
    traded, of = _counted(bars, i, VOLUME), short[OF, i]
    taken = traded and _counted(bars, i, TAKER)
    _against_mean(bars[i, VOLUME], traded, long[VOLUMES, i], long[VOLUMES_KNOWN, i], 14, r, out, known)
    counted = _counted(bars, i, TRADES)
    _against_mean(bars[i, TRADES], counted, long[COUNTS, i], long[COUNTS_KNOWN, i], 15, r, out, known)
    volume, taker = (bars[i, VOLUME], bars[i, TAKER]) if taken else (0.0, 0.0)
    out[16, r], known[16, r] = 2.0 * taker / max(volume, TINY) - 1.0, taken and volume > 0
    out[17, r], known[17, r] = 2.0 * short[BOUGHT, i] / max(of, TINY) - 1.0, taken and of > 0


@njit
def _book(bars: Float64, i: int, sigma: float, long: Float64, r: int, out: Float64, known: Bool) -> None:
    """spread .. depth_imbalance: the book at the bar's end."""
    spread = bars[i, SPREAD] * 1e-4 if _counted(bars, i, SPREAD) else np.nan
    _log_ratio(spread, sigma, 18, r, out, known)
    out[19, r], known[19, r] = bars[i, TOUCH], np.isfinite(bars[i, TOUCH])
    sure, unit = (True, sigma) if sigma > 0 else (False, 1.0)
    out[20, r], known[20, r] = bars[i, MICRO] * 1e-4 / unit, np.isfinite(bars[i, MICRO]) and sure
    deep = _counted(bars, i, BID) and _counted(bars, i, ASK)
    depth = bars[i, BID] + bars[i, ASK] if deep else np.nan
    usual = long[VOLUMES, i] / max(long[VOLUMES_KNOWN, i], 1.0)
    _log_ratio(depth, usual if long[VOLUMES_KNOWN, i] >= 1 else np.nan, 21, r, out, known)
    known[22, r] = deep and depth > 0
    out[22, r] = (bars[i, BID] - bars[i, ASK]) / depth if known[22, r] else 0.0


@njit
def _time(start_ns: int, delta_ns: int, r: int, out: Float64, known: Bool) -> None:
    """day_sin .. week_cos: angles; a decision is taken at the end of the bar. The last one is log_delta's."""
    end = start_ns + delta_ns
    day = 2.0 * np.pi * ((end % DAY_NS) / DAY_NS)
    week = 2.0 * np.pi * ((end % (7 * DAY_NS)) / (7 * DAY_NS))
    out[23, r], out[24, r], out[25, r], out[26, r] = day, day, week, week
    known[23:27, r] = start_ns > 0


@njit
def _log_ratio(a: float, b: float, f: int, r: int, out: Float64, known: Bool) -> None:
    """Feature ``f`` is the log of a / b; NaN is unknown."""
    known[f, r] = a > 0 and b > 0
    out[f, r] = a / b if known[f, r] else 1.0


@njit
def _against_mean(
    amount: float, sure: bool, total: float, count: float, f: int, r: int, out: Float64, known: Bool
) -> None:
    """Feature ``f`` is the log of an amount against its mean; nothing counts as a hundredth of it."""
    mean = total / max(count, 1.0)
    known[f, r] = sure and count >= MIN_RETURNS and mean > 0
    out[f, r] = (amount / mean if known[f, r] else 1.0) + 0.01


@njit
def settle(columns: Float64, known: Bool, values: npt.NDArray[np.float32], mask: Bool) -> None:
    """Columns [F, N] clipped to +- LIMIT as float32 [N, F]; what is not known and finite is 0 and masked."""
    for r in range(len(values)):
        for f in range(len(columns)):
            x = columns[f, r]
            mask[r, f] = known[f, r] and np.isfinite(x)
            values[r, f] = np.float32(min(max(x, -LIMIT), LIMIT)) if mask[r, f] else np.float32(0.0)
