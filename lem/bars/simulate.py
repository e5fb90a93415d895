"""Simulated markets: bars with a known law, so that a gain can be compared with an exact optimum.

Within an interval the close-to-close move e and the average's distance from the last close g are jointly
Gaussian with var e = s^2, var g = s^2 / 3, cov = s^2 / 2 (a Brownian path and its average); high and low
are drawn from the bridge's maximum law. ``gaussian`` instead prints once an interval, at its end.

====================  ================================================================================
gaussian              driftless arithmetic walk; an interval's price is its end; constant volume
gaussian-bars         the same walk in continuous time; an interval's price is its average
gaussian-volume       as gaussian, with independent lognormal volume (log deviation VOLUME_SIGMA)
gaussian-bars-volume  as gaussian-bars, with the same volume
stochastic-vol        log volatility an AR(1), returns with jumps, volume follows volatility
seasonal              U-shaped volume and volatility over the day
mean-reversion        price pulled back to a slow level, half-life HALF_LIFE intervals
momentum              returns with autocorrelation MOMENTUM at lag one
book-signal           the touch imbalance at a bar's end says where the next move leans: an AR(1) signal
flow-signal           the same with the takers' share of the volume
regimes               calm, busy and trending periods, switching at random
====================  ================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from agent.core.arrays import FloatArray, IntArray
from agent.core.errors import InputError
from agent.core.market.bars import FBarArray, empty_fbars
from agent.core.types import DAY_NS

MARTINGALES = ("gaussian", "gaussian-bars", "gaussian-volume", "gaussian-bars-volume")
PREDICTABLE = ("momentum", "mean-reversion", "book-signal", "flow-signal")
"""Markets whose next moves can be forecast to a known extent: see ``lem.optima.arrival_optimum``."""
HALF_LIFE = 4.0
MOMENTUM = 0.3
SIGNAL_RHO = 0.8  # of the signal, interval to interval; its variance is 1
SIGNAL_DRIFT = 0.3  # the next move's mean, in its volatility, for a signal of 1
VOLUME_SIGMA = 0.6
MONDAY_NS = 20_000 * DAY_NS


@dataclass(frozen=True, slots=True)
class Laws:
    """Volatility [S,T] around 1, volume [S,T] around 1, and how past moves push the next one."""

    volatility: FloatArray
    volume: FloatArray
    reversion: float = 0.0  # pull of the slow level, per interval
    momentum: float = 0.0
    gap: FloatArray | None = None  # [S] from the slow level at the start, in units of volatility
    drift: FloatArray | None = None  # [S,T] in units of volatility
    jumps: FloatArray | None = None  # [S,T] in units of volatility
    book: FloatArray | None = None  # [S,T] in (-1, 1): the touch imbalance at each bar's end; else noise
    taker_share: FloatArray | None = None  # [S,T] in (0, 1); else leaning with the move
    printed_once: bool = field(default=False)


def simulate(
    market: str,
    rng: np.random.Generator,
    series: int,
    length: int,
    sigma: float | FloatArray,
    delta_ns: int,
) -> FBarArray:
    """Return FBAR rows [series, length] of ``market``, ``sigma`` an interval (one, or one a series).

    Raises InputError on an unknown market.
    """
    return simulate_with_drift(market, rng, series, length, sigma, delta_ns)[0]


def simulate_with_drift(
    market: str,
    rng: np.random.Generator,
    series: int,
    length: int,
    sigma: float | FloatArray,
    delta_ns: int,
) -> tuple[FBarArray, FloatArray]:
    """As ``simulate``, with each bar's expected move [series, length]: a log return, to its close.

    The expectation given the market's whole state when the bar begins, hidden variables included; the bar's
    average moves half as far. No model may see it: it takes the noise out of training.
    """
    if market not in MARKETS:
        raise InputError(f"unknown market {market!r}: use one of {', '.join(MARKETS)}")
    steps = DAY_NS // delta_ns + 1
    start_ns = MONDAY_NS + delta_ns * rng.integers(0, 14 * steps, series)[:, None]
    start_ns = start_ns + delta_ns * np.arange(length)
    laws = MARKETS[market](rng, series, length, start_ns)
    scale = np.broadcast_to(np.asarray(sigma, np.float64), series)[:, None] * laws.volatility
    bars = empty_fbars(series * length).reshape(series, length)
    bars["start_ns"] = start_ns
    drift = _prices(bars, laws, scale, rng, arithmetic=market in MARTINGALES)
    _flows(bars, laws, rng)
    _books(bars, laws, scale, rng)
    return bars, drift


def _prices(
    bars: FBarArray, laws: Laws, scale: FloatArray, rng: np.random.Generator, *, arithmetic: bool
) -> FloatArray:
    shape = bars.shape
    z, w = rng.standard_normal(shape), rng.standard_normal(shape)
    shock = scale * z if laws.jumps is None else scale * (z + laws.jumps)
    move = _with_feedback(shock, scale, laws)
    expected = move - shock
    average = scale * w / np.sqrt(12.0) + 0.5 * (shock + expected)
    close = np.cumsum(move, axis=1)
    before = np.concatenate([np.zeros((shape[0], 1)), close[:, :-1]], axis=1)
    level = 10.0 ** rng.uniform(-2.0, 5.0, (shape[0], 1))

    def price(x: FloatArray) -> FloatArray:
        return level * np.maximum(1.0 + x, 0.01) if arithmetic else level * np.exp(x)

    if laws.printed_once:
        for name in ("open", "high", "low", "close", "vwap"):
            bars[name] = price(close)
        return expected
    reach = -2.0 * scale**2 * np.log(rng.uniform(1e-12, 1.0, (2, *shape)))
    high = 0.5 * (move + np.sqrt(move**2 + reach[0]))
    low = 0.5 * (move - np.sqrt(move**2 + reach[1]))
    bars["open"], bars["close"], bars["vwap"] = price(before), price(close), price(before + average)
    bars["high"] = price(before + np.maximum(high, average))
    bars["low"] = price(before + np.minimum(low, average))
    return expected


def _with_feedback(shock: FloatArray, scale: FloatArray, laws: Laws) -> FloatArray:
    """Add to each move what follows from the past: drift, momentum, and the pull of the slow level."""
    move = shock if laws.drift is None else shock + scale * laws.drift
    if not laws.momentum and not laws.reversion:
        return move
    out = np.empty_like(move)
    last = np.zeros(len(move))
    gap = np.zeros(len(move)) if laws.gap is None else scale[:, 0] * laws.gap
    for t in range(move.shape[1]):
        last = move[:, t] + laws.momentum * last - laws.reversion * gap
        gap = gap + last
        out[:, t] = last
    return out


def _flows(bars: FBarArray, laws: Laws, rng: np.random.Generator) -> None:
    """Volume, trades, and takers that lean with the move."""
    shape = bars.shape
    size = 10.0 ** rng.uniform(-1.0, 4.0, (shape[0], 1))
    bars["volume"] = laws.volume * size
    bars["quote_volume"] = bars["volume"] * bars["vwap"]
    bars["trades"] = np.floor(laws.volume * 10.0 ** rng.uniform(1.0, 4.0, (shape[0], 1))) + 1.0
    move = np.log(bars["close"] / bars["open"])
    lean = np.tanh(0.5 * move / (np.std(move, axis=1, keepdims=True) + 1e-12))
    noise = 0.15 * rng.standard_normal(shape)
    share = np.clip(0.5 + 0.2 * lean + noise, 0.0, 1.0) if laws.taker_share is None else laws.taker_share
    bars["taker_volume"] = bars["volume"] * share


def _books(bars: FBarArray, laws: Laws, scale: FloatArray, rng: np.random.Generator) -> None:
    """A book without information on the next move, unless the law has a signal in it."""
    shape = bars.shape
    ratio = 10.0 ** rng.uniform(-2.0, 0.0, (shape[0], 1))
    bars["spread_bps"] = 1e4 * scale * ratio * np.exp(0.3 * rng.standard_normal(shape))
    bars["touch_imbalance"] = rng.uniform(-1.0, 1.0, shape) if laws.book is None else laws.book
    bars["microprice_bps"] = 0.5 * bars["spread_bps"] * bars["touch_imbalance"]
    depth = bars["volume"].mean(1, keepdims=True) * 10.0 ** rng.uniform(-1.0, 1.0, (shape[0], 1))
    for side in ("bid_depth", "ask_depth"):
        bars[side] = depth * np.exp(0.4 * rng.standard_normal(shape))


# --- the markets ------------------------------------------------------------------------------------

Market = Callable[[np.random.Generator, int, int, IntArray], Laws]


def _ar1(rng: np.random.Generator, series: int, length: int, rho: float) -> FloatArray:
    """Stationary Gaussian AR(1) of unit variance, [S,T]."""
    noise = rng.standard_normal((series, length))
    out = np.empty_like(noise)
    out[:, 0] = noise[:, 0]
    for t in range(1, length):
        out[:, t] = rho * out[:, t - 1] + np.sqrt(1.0 - rho * rho) * noise[:, t]
    return out


def _noisy_volume(rng: np.random.Generator, volatility: FloatArray) -> FloatArray:
    noise = _ar1(rng, volatility.shape[0], volatility.shape[1], 0.7)
    return volatility**0.8 * np.exp(0.5 * noise - 0.125)


def _gaussian(rng: np.random.Generator, series: int, length: int, start_ns: IntArray) -> Laws:
    return Laws(np.ones((series, length)), np.ones((series, length)), printed_once=True)


def _gaussian_bars(rng: np.random.Generator, series: int, length: int, start_ns: IntArray) -> Laws:
    return Laws(np.ones((series, length)), np.ones((series, length)))


def _independent_volume(rng: np.random.Generator, series: int, length: int) -> FloatArray:
    """Lognormal of mean 1."""
    return np.exp(VOLUME_SIGMA * rng.standard_normal((series, length)) - 0.5 * VOLUME_SIGMA**2)


def _gaussian_volume(rng: np.random.Generator, series: int, length: int, start_ns: IntArray) -> Laws:
    ones = np.ones((series, length))
    return Laws(ones, _independent_volume(rng, series, length), printed_once=True)


def _gaussian_bars_volume(rng: np.random.Generator, series: int, length: int, start_ns: IntArray) -> Laws:
    return Laws(np.ones((series, length)), _independent_volume(rng, series, length))


def _stochastic_vol(rng: np.random.Generator, series: int, length: int, start_ns: IntArray) -> Laws:
    spread = rng.uniform(0.2, 0.6, (series, 1))
    volatility = np.exp(spread * _ar1(rng, series, length, 0.97) - spread**2)
    jumps = np.where(rng.random((series, length)) < 0.02, 4.0 * rng.standard_normal((series, length)), 0.0)
    return Laws(volatility, _noisy_volume(rng, volatility), jumps=jumps)


def _seasonal(rng: np.random.Generator, series: int, length: int, start_ns: IntArray) -> Laws:
    day = 2.0 * np.pi * ((start_ns % DAY_NS) / DAY_NS)
    u_shape = 1.0 + 0.5 * np.cos(day) + 0.2 * np.cos(2.0 * day)
    return Laws(np.sqrt(u_shape), _noisy_volume(rng, u_shape))


def _mean_reversion(rng: np.random.Generator, series: int, length: int, start_ns: IntArray) -> Laws:
    volume = _noisy_volume(rng, np.ones((series, length)))
    pull = reversion_pull()
    gap = rng.standard_normal(series) / np.sqrt(1.0 - (1.0 - pull) ** 2)  # its stationary law
    return Laws(np.ones((series, length)), volume, reversion=pull, gap=gap)


def reversion_pull() -> float:
    """Share of the gap to the slow level that an interval closes on average."""
    return float(1.0 - 0.5 ** (1.0 / HALF_LIFE))


def _momentum(rng: np.random.Generator, series: int, length: int, start_ns: IntArray) -> Laws:
    volume = _noisy_volume(rng, np.ones((series, length)))
    return Laws(np.ones((series, length)), volume, momentum=MOMENTUM)


def _normal_cdf(x: FloatArray) -> FloatArray:
    rank: FloatArray = torch.special.ndtr(torch.from_numpy(x)).numpy()
    return rank


def _signal(rng: np.random.Generator, series: int, length: int) -> tuple[FloatArray, FloatArray]:
    """(the signal's rank in (0, 1) at each bar's end, the drift it gave to each bar), [S,T]."""
    x = _ar1(rng, series, length + 1, SIGNAL_RHO)
    return _normal_cdf(x[:, 1:]), SIGNAL_DRIFT * x[:, :-1]


def _book_signal(rng: np.random.Generator, series: int, length: int, start_ns: IntArray) -> Laws:
    rank, drift = _signal(rng, series, length)
    ones = np.ones((series, length))
    return Laws(ones, _noisy_volume(rng, ones), drift=drift, book=2.0 * rank - 1.0)


def _flow_signal(rng: np.random.Generator, series: int, length: int, start_ns: IntArray) -> Laws:
    rank, drift = _signal(rng, series, length)
    ones = np.ones((series, length))
    return Laws(ones, _noisy_volume(rng, ones), drift=drift, taker_share=rank)


def _regimes(rng: np.random.Generator, series: int, length: int, start_ns: IntArray) -> Laws:
    """Three states (calm, busy, trending either way), each kept with probability 0.97 an interval."""
    state = np.empty((series, length), np.int64)
    state[:, 0] = rng.integers(0, 4, series)
    switch = rng.random((series, length)) < 0.03
    drawn = rng.integers(0, 4, (series, length))
    for t in range(1, length):
        state[:, t] = np.where(switch[:, t], drawn[:, t], state[:, t - 1])
    volatility = np.array([0.5, 1.6, 1.0, 1.0])[state]
    drift = np.array([0.0, 0.0, 0.25, -0.25])[state]
    return Laws(volatility, _noisy_volume(rng, volatility), drift=drift)


MARKETS: dict[str, Market] = {
    "gaussian": _gaussian,
    "gaussian-bars": _gaussian_bars,
    "gaussian-volume": _gaussian_volume,
    "gaussian-bars-volume": _gaussian_bars_volume,
    "stochastic-vol": _stochastic_vol,
    "seasonal": _seasonal,
    "mean-reversion": _mean_reversion,
    "momentum": _momentum,
    "book-signal": _book_signal,
    "flow-signal": _flow_signal,
    "regimes": _regimes,
}
