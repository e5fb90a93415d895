"""The exact optimum against the arrival price on a market whose drift is known: when a signal says wait.

Theory of operation
-------------------
The state before interval t is y, the mean of the next move in units of sigma: a Gaussian AR(1), y' = rho y +
noise, known before each interval. The interval's price is its average, which has half of the move in it.
Without impact the expected cost is linear in the shares, so with max rate 1 the whole order trades in one
interval. For a buyer

    V_t(y) = max(-y/2, -y + E V_{t+1}(y')),   V_{n-1}(y) = -y/2:   trade when y/2 >= E V_{t+1}(y')

A seller sees -y. Invariant: what waiting adds falls as y rises, so there is one threshold an interval.

Worked example: n = 2, momentum, so rho = 0.3 and y_0 ~ N(0, 0.3145^2). Waiting gains -y - rho y/2, which
beats -y/2 when y < 0. The gain is E max(-y/2, -(1 + rho/2) y) = ((1 + rho)/2) 0.3145 / sqrt(2 pi) = 0.0816
sigma.

The markets of ``lem.bars.simulate`` and their signals:

==============  =====================================================================================
momentum        y = MOMENTUM times the last move
book-signal     y = SIGNAL_DRIFT x, x the normal score of the touch imbalance (the rank it is drawn as)
flow-signal     the same of the takers' share
mean-reversion  y = -kappa (S - level). The level is never printed: ``history`` bars of prices (and the
                order's own intervals) tell of it as a Gaussian filter has it, and then y is its mean
==============  =====================================================================================

The filter: each move is -kappa (S - level) + e, so the estimate of the level gains precision kappa^2 a move
on top of the stationary prior. With variance P left, and z ~ N(0, 1), the mean of the gap S - level goes to
(1 - kappa) gap + z s (1 - kappa P / s^2), s^2 = 1 + kappa^2 P. ``history`` None: the level is known, an
upper limit that no trader reaches.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

import numpy as np

from agent.core.arrays import FloatArray, IntArray
from agent.core.errors import InputError
from lem.bars.simulate import MOMENTUM, SIGNAL_DRIFT, SIGNAL_RHO, reversion_pull, simulate
from lem.optima.optimum_grids import normal_steps
from lem.optima.optimum_paths import BATCH, check_paths
from lem.optima.optimum_terms import MAX_N

DRIFTS = 1_201
MOVES = 161
REACH = 6.0
MINUTE_NS = 60_000_000_000
ARRIVAL_MARKETS = ("momentum", "mean-reversion", "book-signal", "flow-signal")


@dataclass(frozen=True, slots=True)
class DriftLaw:
    """y_0 ~ N(0, ``start``^2), y_{t+1} = ``rho`` y_t + ``noise``[t] z, [n]; in units of sigma."""

    rho: float
    start: float
    noise: FloatArray


@dataclass(frozen=True, slots=True)
class ArrivalOptimum:
    """The solution. ``gain_sigma``: expected arrival gain; trade once side y >= ``thresholds``[t], [n]."""

    market: str
    n: int
    gain_sigma: float
    thresholds: FloatArray
    law: DriftLaw

    def run(self, drift: FloatArray, side: int) -> IntArray:
        """Return the interval in which all is traded, [N].

        ``drift`` [N, n]: the next move's mean as known before each interval, in units of sigma
        (``known_drift``).
        """
        now = side * drift[:, : self.n] >= self.thresholds
        at: IntArray = now.argmax(axis=1)
        return at


def drift_law(market: str, n: int, history: int | None = None) -> DriftLaw:
    """Return the law of the known drift from an order's start on, after ``history`` closes.

    Raises InputError on a market whose drift is not known.
    """
    if market in ("book-signal", "flow-signal"):
        noise = SIGNAL_DRIFT * sqrt(1.0 - SIGNAL_RHO**2)
        return DriftLaw(SIGNAL_RHO, SIGNAL_DRIFT, np.full(n, noise))
    if market == "momentum":
        start = MOMENTUM / sqrt(1.0 - MOMENTUM**2)
        return DriftLaw(MOMENTUM, start, np.full(n, MOMENTUM))
    if market != "mean-reversion":
        raise InputError(
            f"no arrival optimum is known for {market!r}: there is one for {', '.join(ARRIVAL_MARKETS)}"
        )
    pull = reversion_pull()
    prior = 1.0 / (1.0 - (1.0 - pull) ** 2)
    if history is None:
        return DriftLaw(1.0 - pull, pull * sqrt(prior), np.full(n, pull))
    unknown = 1.0 / (1.0 / prior + pull**2 * (history - 1 + np.arange(n)))
    spread = np.sqrt(1.0 + pull**2 * unknown)
    noise_t = pull * spread * (1.0 - pull * unknown / spread**2)
    return DriftLaw(1.0 - pull, pull * sqrt(prior - float(unknown[0])), noise_t)


@lru_cache(maxsize=256)
def solve_arrival(market: str, n: int, history: int | None = None) -> ArrivalOptimum:
    """Solve for ``market``. Cached. Raises InputError on an unknown market, n or history."""
    if not 1 <= n <= MAX_N or (history is not None and history < 1):
        raise InputError(f"n = {n}, history = {history}: give 1 to {MAX_N} intervals and at least 1 close")
    law = drift_law(market, n, history)
    grid = np.linspace(-REACH, REACH, DRIFTS) * max(law.start, float(law.noise.max()))
    z, w = normal_steps(MOVES)
    thresholds = np.full(n, -np.inf)
    value = -0.5 * grid
    for t in range(n - 2, -1, -1):
        after = _extended(law.rho * grid[:, None] + law.noise[t] * z, grid, value) @ w
        wait = after - 0.5 * grid  # falls in y: one crossing
        thresholds[t] = np.interp(0.0, -wait, grid, left=-np.inf, right=np.inf)
        value = np.maximum(-0.5 * grid, -grid + after)
    start = _extended(law.start * z, grid, value) @ w
    return ArrivalOptimum(market, n, float(start), thresholds, law)


def arrival_gain_sigma(market: str, n: int, history: int | None = None) -> float:
    """Best expected gain against the arrival price, in units of sigma, over the stationary law."""
    return solve_arrival(market, n, history).gain_sigma


def known_drift(market: str, level: FloatArray, signal: FloatArray, history: int) -> FloatArray:
    """Return the next move's mean (sigmas) as known before each interval after ``history`` bars, [N, n].

    ``level`` [N, history + n]: log price at each bar's end over sigma, from any origin; ``signal`` likewise:
    the touch imbalance (book-signal) or the takers' share (flow-signal) of each bar, else unused.
    Raises InputError on an unknown market or less than 2 bars of history.
    """
    if history < 2:
        raise InputError(f"history is {history} bars: a drift is known from 2 on")
    before = slice(history - 1, level.shape[1] - 1)
    if market == "momentum":
        return MOMENTUM * np.diff(level, axis=1)[:, history - 2 : -1]
    if market in ("book-signal", "flow-signal"):
        rank = 0.5 * (signal + 1.0) if market == "book-signal" else signal
        return SIGNAL_DRIFT * normal_score(rank[:, before])
    law = drift_law(market, 1)
    return -(1.0 - law.rho) * filtered_gap(level)[:, before]


@dataclass(frozen=True, slots=True)
class ArrivalStudy:
    """The policy on ``paths`` simulated orders of either side, in units of sigma.

    ``gain``: mean of what the drifts it saw are worth, with its standard error; ``surprise``: mean of what
    prices then paid beyond that (0 but for noise), with its own.
    """

    paths: int
    gain: float
    gain_error: float
    surprise: float
    surprise_error: float


def study_arrival(
    market: str, n: int, history: int, paths: int, seed: int, sigma: float = 1e-4
) -> ArrivalStudy:
    """Run the policy on bars of ``lem.bars.simulate``. Raises InputError on arguments out of bounds."""
    check_paths(paths)
    optimum = solve_arrival(market, n, history)
    rng = np.random.default_rng(seed)
    expected, paid = [], []
    for first in range(0, paths, BATCH):
        bars = simulate(market, rng, min(BATCH, paths - first), history + n, sigma, MINUTE_NS)
        level = np.log(bars["close"] / bars["close"][:, :1]) / sigma
        book = market == "book-signal"
        signal = bars["touch_imbalance"] if book else bars["taker_volume"] / bars["volume"]
        drift = known_drift(market, level, signal, history)
        before = np.cumsum(drift, axis=1) - drift
        rows = np.arange(len(drift))
        for side in (1, -1):
            at = optimum.run(drift, side)
            expected.append(-side * (before + 0.5 * drift)[rows, at])
            price = bars["vwap"][rows, history + at] / bars["close"][:, history - 1]
            paid.append(-side * np.log(price) / sigma)
    gain = np.concatenate(expected)
    surprise = np.concatenate(paid) - gain
    errors = [float(x.std() / sqrt(len(x))) for x in (gain, surprise)]
    return ArrivalStudy(paths, float(gain.mean()), errors[0], float(surprise.mean()), errors[1])


def filtered_gap(level: FloatArray) -> FloatArray:
    """Mean of price - slow level given prices so far, [N, T] in sigmas, of the mean-reverting market."""
    pull = reversion_pull()
    precision = 1.0 - (1.0 - pull) ** 2  # of the stationary prior around the first price
    gap = np.zeros_like(level)
    estimate = level[:, 0].copy()
    for t in range(1, level.shape[1]):
        move = level[:, t] - level[:, t - 1]
        observed = level[:, t - 1] + move / pull  # the level, with noise of precision pull^2
        estimate = (precision * estimate + pull**2 * observed) / (precision + pull**2)
        precision += pull**2
        gap[:, t] = level[:, t] - estimate
    return gap


def normal_score(rank: FloatArray) -> FloatArray:
    """Standard normal quantiles of ``rank`` in (0, 1)."""
    import torch

    score: FloatArray = torch.special.ndtri(torch.from_numpy(np.ascontiguousarray(rank))).numpy()
    return score


def _extended(at: FloatArray, grid: FloatArray, value: FloatArray) -> FloatArray:
    """``value`` at ``at``: straight lines between the nodes of an even grid and beyond it."""
    step = grid[1] - grid[0]
    place = (at - grid[0]) / step
    i = np.clip(place.astype(np.int64), 0, len(grid) - 2)
    out: FloatArray = value[i] + (place - i) * (value[i + 1] - value[i])
    return out
