"""The features once more, in plain NumPy: an independent definition that the compiled one must equal.

Column by column over whole arrays, as they were first defined.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agent.core.arrays import BoolArray, FloatArray
from agent.core.market.bars import FBarArray
from agent.core.market.feature_names import FEATURE_NAMES
from agent.core.types import NS_PER_S

Float32Array = npt.NDArray[np.float32]
Known = tuple[FloatArray, BoolArray]
"""A column and where it is known; unknown entries hold 0."""

LONG_SPAN, SHORT_SPAN = 32, 8
MIN_RETURNS = 2
LIMIT = 8.0
DAY_NS = 86_400 * NS_PER_S
TINY = 1e-12


def features(bars: FBarArray, delta_ns: int) -> tuple[Float32Array, BoolArray]:
    """Return feature values float32 [..., T, F] and where they are known, bool [..., T, F].

    ``bars``: FBAR rows [..., T] of ``delta_ns`` each, oldest first along the last axis. Absent values are
    0. Never raises on the content of the bars.
    """
    with np.errstate(all="ignore"):
        columns = _columns(bars, delta_ns)
    values = np.zeros((*bars.shape, len(FEATURE_NAMES)), np.float32)
    mask = np.zeros(values.shape, np.bool_)
    for f, name in enumerate(FEATURE_NAMES):
        column, known = columns[name]
        known = known & np.isfinite(column)
        values[..., f] = np.where(known, np.clip(column, -LIMIT, LIMIT), 0.0)
        mask[..., f] = known
    return values, mask


def recent_sigma(bars: FBarArray) -> FloatArray:
    """Return the volatility of close-to-close log returns an interval, [..., T]; NaN where unknown.

    Root mean square of the last LONG_SPAN returns (mean taken as 0), of at least MIN_RETURNS.
    """
    with np.errstate(all="ignore"):
        sigma, known = _sigma(_log_return(_logs(bars["close"])), LONG_SPAN)
    return np.where(known, sigma, np.nan)


def _columns(bars: FBarArray, delta_ns: int) -> dict[str, Known]:
    close, vwap = _logs(bars["close"]), _logs(bars["vwap"])
    returns = _log_return(close)
    sigma = _sigma(returns, LONG_SPAN)
    return {
        "return_vwap": _ratio(_log_return(vwap), sigma),
        "return_close": _ratio(returns, sigma),
        "close_to_vwap": _ratio(_minus(close, vwap), sigma),
        **_range_columns(bars, close, sigma),
        "volatility_short": _log_ratio(_sigma(returns, SHORT_SPAN), sigma),
        "volatility_long": ((np.log10(np.where(sigma[1], sigma[0], 1.0)) + 3.0) / 1.5, sigma[1]),
        **{f"momentum_{k}": _momentum(close, sigma, k) for k in (2, SHORT_SPAN, LONG_SPAN)},
        **{f"distance_{k}": _distance(close, vwap, sigma, k) for k in (SHORT_SPAN, LONG_SPAN)},
        **_persistence_columns(close, returns, sigma),
        **_volume_columns(bars),
        **_book_columns(bars, sigma),
        **_time_columns(bars, delta_ns),
        **_signal_columns(bars, close, vwap, returns, sigma),
    }


def _range_columns(bars: FBarArray, close: Known, sigma: Known) -> dict[str, Known]:
    high, low = _logs(bars["high"]), _logs(bars["low"])
    width = _minus(high, low)
    inside = (2.0 * (close[0] - low[0]) / np.maximum(width[0], TINY) - 1.0, close[1] & width[1])
    return {"range": _ratio(width, sigma), "close_location": (inside[0], inside[1] & (width[0] > TINY))}


def _persistence_columns(close: Known, returns: Known, sigma: Known) -> dict[str, Known]:
    """Whether moves go on or come back, measured (Lo and MacKinlay, Rev. Financial Studies 1, 1988)."""
    before = _delay(returns, 1)
    both = returns[1] & before[1]
    products = _mean((returns[0] * before[0], both), LONG_SPAN, SHORT_SPAN)
    square = (sigma[0] * sigma[0], sigma[1])
    long = _log_return(close, SHORT_SPAN)
    variance = _mean((long[0] * long[0] / SHORT_SPAN, long[1]), LONG_SPAN, SHORT_SPAN)
    correlation = _ratio(products, square)
    return {
        "autocorrelation": (3.0 * correlation[0], correlation[1]),
        "variance_ratio": _log_ratio(variance, square),
    }


def _volume_columns(bars: FBarArray) -> dict[str, Known]:
    volume, trades, taker = (_amounts(bars[name]) for name in ("volume", "trades", "taker_volume"))
    both = volume[1] & taker[1]
    bought, of = (
        _sums(np.where(both, taker[0], 0.0), SHORT_SPAN),
        _sums(np.where(both, volume[0], 0.0), SHORT_SPAN),
    )
    return {
        "volume": _against_mean(volume),
        "trades": _against_mean(trades),
        "taker": (2.0 * taker[0] / np.maximum(volume[0], TINY) - 1.0, both & (volume[0] > 0)),
        "taker_8": (2.0 * bought / np.maximum(of, TINY) - 1.0, both & (of > 0)),
    }


def _book_columns(bars: FBarArray, sigma: Known) -> dict[str, Known]:
    spread = _amounts(bars["spread_bps"])
    bid, ask = _amounts(bars["bid_depth"]), _amounts(bars["ask_depth"])
    depth = (bid[0] + ask[0], bid[1] & ask[1] & (bid[0] + ask[0] > 0))
    mean_volume = _mean(_amounts(bars["volume"]), LONG_SPAN, 1)
    touch, micro = bars["touch_imbalance"], bars["microprice_bps"]
    balance = (bid[0] - ask[0]) / np.where(depth[1], depth[0], 1.0)
    return {
        "spread": _log_ratio((spread[0] * 1e-4, spread[1]), sigma),
        "touch_imbalance": (touch, np.isfinite(touch)),
        "microprice": _ratio((micro * 1e-4, np.isfinite(micro)), sigma),
        "depth": _log_ratio(depth, mean_volume),
        "depth_imbalance": (balance, depth[1]),
    }


def _signal_columns(
    bars: FBarArray, close: Known, vwap: Known, returns: Known, sigma: Known
) -> dict[str, Known]:
    """Moves regressed on the signal before them over 128 bars: its worth, and what it calls for."""
    volume, taker = _amounts(bars["volume"]), _amounts(bars["taker_volume"])
    traded = volume[1] & taker[1] & (volume[0] > 0)
    touch = np.isfinite(bars["touch_imbalance"])
    signals = {
        "momentum": returns,
        "reversion": _minus(close, _mean(vwap, 64, 2)),
        "taker": (2.0 * taker[0] / np.where(traded, volume[0], 1.0) - 1.0, traded),
        "book": (np.where(touch, bars["touch_imbalance"], 0.0), touch),
    }
    out: dict[str, Known] = {}
    for name, signal in signals.items():
        before = _delay(signal, 1)
        both = before[1] & returns[1]
        count = _sums(both.astype(np.float64), 128)
        of = np.maximum(count, 1.0)
        mean = _sums(np.where(both, before[0] * returns[0], 0.0), 128) / of
        power = _sums(np.where(both, before[0] * before[0], 0.0), 128) / of
        enough = (count >= 8) & sigma[1] & (power > TINY * TINY)
        beta = 5.0 * (mean / np.where(enough, power, 1.0) / np.where(sigma[1], sigma[0], 1.0))
        known = enough & np.isfinite(beta)
        out[f"{name}_edge"] = (beta * np.sqrt(power), known)
        out[f"{name}_call"] = (beta * signal[0], known & signal[1])
    return out


def _time_columns(bars: FBarArray, delta_ns: int) -> dict[str, Known]:
    start = bars["start_ns"]
    dated = start > 0
    end = start + delta_ns  # a decision is taken at the end of the bar
    day = 2.0 * np.pi * ((end % DAY_NS) / DAY_NS)
    week = 2.0 * np.pi * ((end % (7 * DAY_NS)) / (7 * DAY_NS))
    delta = np.full(start.shape, (np.log10(delta_ns / NS_PER_S) - 2.0) / 2.0)
    return {
        "day_sin": (np.sin(day), dated),
        "day_cos": (np.cos(day), dated),
        "week_sin": (np.sin(week), dated),
        "week_cos": (np.cos(week), dated),
        "log_delta": (delta, np.ones(start.shape, np.bool_)),
    }


# --- columns that may be unknown --------------------------------------------------------------------


def _amounts(column: FloatArray) -> Known:
    known = np.isfinite(column) & (column >= 0)
    return np.where(known, column, 0.0), known


def _logs(column: FloatArray) -> Known:
    known = np.isfinite(column) & (column > 0)
    return np.log(np.where(known, column, 1.0)), known


def _minus(a: Known, b: Known) -> Known:
    return a[0] - b[0], a[1] & b[1]


def _shift(x: FloatArray, k: int) -> FloatArray:
    """``x`` delayed by ``k`` rows, 0 (or False) before the first."""
    out = np.zeros_like(x)
    if k < x.shape[-1]:
        out[..., k:] = x[..., : x.shape[-1] - k]
    return out


def _delay(a: Known, k: int) -> Known:
    known = np.zeros_like(a[1])
    if k < known.shape[-1]:
        known[..., k:] = a[1][..., : known.shape[-1] - k]
    return _shift(a[0], k), known


def _log_return(logs: Known, k: int = 1) -> Known:
    return _minus(logs, _delay(logs, k))


def _sums(x: FloatArray, span: int) -> FloatArray:
    """Sum of the last ``span`` rows, a power of two: log2(span) elementwise additions."""
    total = np.asarray(x, np.float64)
    width = 1
    while width < span:
        total = total + _shift(total, width)
        width *= 2
    return total


def _mean(a: Known, span: int, at_least: int) -> Known:
    count = _sums(a[1].astype(np.float64), span)
    return _sums(np.where(a[1], a[0], 0.0), span) / np.maximum(count, 1.0), count >= at_least


def _sigma(returns: Known, span: int) -> Known:
    square, known = _mean((returns[0] * returns[0], returns[1]), span, MIN_RETURNS)
    return np.sqrt(square), known & np.isfinite(square) & (square > TINY * TINY)


def _ratio(a: Known, b: Known) -> Known:
    return a[0] / np.where(b[1], b[0], 1.0), a[1] & b[1]


def _log_ratio(a: Known, b: Known) -> Known:
    known = a[1] & b[1] & (a[0] > 0) & (b[0] > 0)
    return np.log(np.where(known, a[0], 1.0) / np.where(known, b[0], 1.0)), known


def _against_mean(a: Known) -> Known:
    """Log of a volume against its recent mean; an interval without trades counts as a hundredth."""
    mean = _mean(a, LONG_SPAN, MIN_RETURNS)
    known = a[1] & mean[1] & (mean[0] > 0)
    return np.log(np.where(known, a[0] / np.where(known, mean[0], 1.0), 1.0) + 0.01), known


def _momentum(close: Known, sigma: Known, k: int) -> Known:
    value, known = _ratio(_log_return(close, k), sigma)
    return value / np.sqrt(k), known


def _distance(close: Known, vwap: Known, sigma: Known, k: int) -> Known:
    value, known = _ratio(_minus(close, _mean(vwap, k, 2)), sigma)
    return value / np.sqrt(k), known
