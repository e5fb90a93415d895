"""Estimates of impact from a tape: volatility, volume, the square-root coefficient, its fading, the spread.

Everything is measured on a grid of one step (a second): the mid and the half-spread at its points, and the
signed volume of the trades between them. The rules:

* an estimate carries its standard error and how many observations made it;
* nothing is filled in: a step without a two-sided book at either end is left out;
* the coefficient and the half-life are fitted *together*, on the law that ``impact`` applies: the flow E
  fades, the mid moves with Y sigma sqrt(E / V), and what is left over is noise. Returns of one step are
  regressed on the changes of the root; the half-life is where least is left over. Errors of both come
  from leaving out one twentieth of the tape after the other (the jackknife: Tukey, 1958), since the noise
  is neither of one size nor normal;
* beside them stand the plain regressions of a window's return on the root of its signed volume, and the
  mean move after a trade (the response function of Bouchaud, Gefen, Potters and Wyart, 2004, Quantitative
  Finance 4(2)): they assume less, and mix fading with the memory of the flow. Their errors are robust to
  heteroscedastic and autocorrelated noise (Newey and West, 1987).

The flow is the whole market's. Its takers know things and follow each other, so Y is what trading *goes
with*, not only what it causes: of a parent order's own impact it is the usual estimate from a public tape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from agent.core.arrays import FloatArray
from agent.core.errors import InputError

DAY_S = 86_400.0
LEAST_S, LEAST_TRADES = 300, 200
HORIZONS_S = (1, 2, 5, 10, 30, 60, 300)
RESPONSE_S = (1, 5, 10, 30, 60, 300)
BLOCKS = 20  # of time, left out one after the other
T_95 = 2.093  # Student's, 19 degrees of freedom
SURE = 3.0  # standard errors above 0 that a coefficient must be: the best of several is looked at


@dataclass(frozen=True, slots=True)
class Sampled:
    """One instrument on the grid: n + 1 points, n steps of ``step_s`` seconds between them."""

    step_s: float
    mid: FloatArray  # [n + 1], NaN without a two-sided book
    half_spread_bps: FloatArray  # [n + 1], idem
    trade_s: FloatArray  # [trades] seconds since the first point, none before it or after the last
    trade_lots: FloatArray  # [trades] signed: above 0 the taker bought

    @property
    def seconds(self) -> float:
        return (len(self.mid) - 1) * self.step_s


@dataclass(frozen=True, slots=True)
class Estimate:
    value: float
    error: float  # one standard error
    observations: int


@dataclass(frozen=True, slots=True)
class Fit:
    """A coefficient at one horizon: return = Y sigma sign(Q) sqrt(|Q| / V) + noise, through the origin."""

    horizon_s: float
    y: Estimate
    r2: float


@dataclass(frozen=True, slots=True)
class Fading:
    """Y and the displacement's half-life, fitted together; ``low_s`` to ``high_s`` holds 95 %."""

    y: Estimate
    half_life_s: float
    low_s: float
    high_s: float
    r2: float
    identified: bool  # the half-life and its interval lie within what this tape can resolve


@dataclass(frozen=True, slots=True)
class Estimates:
    """All of one instrument. Volatility and spread in bps, volume in lots, both a day."""

    seconds: float
    trades: int
    sigma_bps: Estimate
    volume_lots: Estimate
    half_spread_bps: Estimate
    fading: Fading
    windows: tuple[Fit, ...]
    response_bps: tuple[tuple[float, Estimate], ...]  # (seconds after a trade, mean signed move)


def estimate(tape: Sampled, symbol: str) -> Estimates:
    """Everything at once. Raises InputError where the tape is too short."""
    _long_enough(tape, symbol)
    logs = np.log(tape.mid)
    sigma = volatility(logs, tape.step_s)
    volume = _volume(tape)
    scale = sigma.value * 1e-4 / math.sqrt(volume.value)  # the law's return for one lot, at Y = 1
    return Estimates(
        seconds=tape.seconds,
        trades=len(tape.trade_lots),
        sigma_bps=sigma,
        volume_lots=volume,
        half_spread_bps=_mean(tape.half_spread_bps),
        fading=_fading(tape, logs, scale),
        windows=tuple(_windows(tape, logs, scale)),
        response_bps=tuple(_response(tape, logs)),
    )


def _long_enough(tape: Sampled, symbol: str) -> None:
    whole = int(np.count_nonzero(np.isfinite(np.diff(tape.mid)))) * tape.step_s
    trades = len(tape.trade_lots)
    if whole < LEAST_S or trades < LEAST_TRADES:
        raise InputError(
            f"{symbol}: {whole:.0f} s with a two-sided book and {trades} trades are too little to calibrate"
            f" from: at least {LEAST_S} s and {LEAST_TRADES} trades are needed (an hour is better);"
            " record a longer session"
        )
    if np.nanstd(np.diff(np.log(tape.mid))) == 0.0:
        raise InputError(f"{symbol}: the mid never moves on this tape: there is nothing to calibrate from")


def volatility(logs: FloatArray, step_s: float) -> Estimate:
    """Daily volatility in bps from returns of 10 s (of 60 s where there is an hour), every offset used.

    Averaging over offsets: Zhang, Mykland and Ait-Sahalia (2005), J. Am. Stat. Assoc. 100.
    """
    horizon_s = 60.0 if (len(logs) - 1) * step_s >= 3600 else 10.0
    lag = max(1, round(horizon_s / step_s))
    squares = _known((logs[lag:] - logs[:-lag]) ** 2)
    count = len(squares) // lag  # returns that do not overlap
    variance = float(squares.mean())
    error = float(squares.std()) / math.sqrt(count)
    sigma = math.sqrt(variance / (lag * step_s) * DAY_S) * 1e4
    return Estimate(sigma, sigma * error / (2 * variance), count)


def _volume(tape: Sampled) -> Estimate:
    """Lots a day; the error from volumes of ten seconds."""
    blocks = max(2, int(tape.seconds / 10))
    sums, _ = np.histogram(tape.trade_s, blocks, (0.0, tape.seconds), weights=np.abs(tape.trade_lots))
    to_day = DAY_S * blocks / tape.seconds
    return Estimate(float(sums.mean()) * to_day, float(sums.std(ddof=1)) / math.sqrt(blocks) * to_day, blocks)


def _mean(values: FloatArray) -> Estimate:
    known = _known(values)
    error = math.sqrt(_long_run_variance(known - known.mean()) / len(known))
    return Estimate(float(known.mean()), error, len(known))


def _known(values: FloatArray) -> FloatArray:
    return values[np.isfinite(values)]


# --- Y and the half-life, together ---------------------------------------------------------------


def _fading(tape: Sampled, logs: FloatArray, scale: float) -> Fading:
    returns = np.diff(logs)
    known = np.isfinite(returns)
    r = returns[known]

    def sums(half_lives: FloatArray) -> _Sums:
        return _Sums.of((scale * _root_changes(tape, half_lives))[known], r)

    shortest, longest = 2 * tape.step_s, tape.seconds / 6
    grid = np.geomspace(shortest, longest, 60)
    found = sums(grid)
    half_life_s = found.peak(grid)
    exact = sums(np.array([half_life_s]))
    y = exact.y(0)
    without = range(BLOCKS)
    spread = _jackknife(np.log([found.peak(grid, block) for block in without]))
    error = _jackknife(np.array([found.y(found.best(block), block) for block in without]))
    low_s, high_s = (half_life_s * math.exp(sign * T_95 * spread) for sign in (-1, 1))
    return Fading(
        Estimate(y, error, len(r)),
        half_life_s,
        low_s,
        high_s,
        y * float(exact.xr.sum()) / float(r @ r),
        bool(shortest < low_s and high_s < longest and y > SURE * error),
    )


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums of squares and products by block of time and half-life: all that least squares needs."""

    xx: FloatArray  # [block, half-life]
    xr: FloatArray

    @classmethod
    def of(cls, x: FloatArray, r: FloatArray) -> _Sums:
        starts = np.arange(BLOCKS) * len(r) // BLOCKS
        return cls(np.add.reduceat(x * x, starts), np.add.reduceat(x * r[:, None], starts))

    def _total(self, without: int | None) -> tuple[FloatArray, FloatArray]:
        if without is None:
            return self.xx.sum(axis=0), self.xr.sum(axis=0)
        kept = np.arange(BLOCKS) != without
        return self.xx[kept].sum(axis=0), self.xr[kept].sum(axis=0)

    def _explained(self, without: int | None) -> FloatArray:
        """Sum of squares that each half-life accounts for; 0 where the coefficient would be negative."""
        xx, xr = self._total(without)
        return np.where(xr > 0, xr * xr / xx, 0.0)

    def best(self, without: int | None = None) -> int:
        """The half-life that leaves least over."""
        return int(np.argmax(self._explained(without)))

    def peak(self, half_lives_s: FloatArray, without: int | None = None) -> float:
        """The same between the points of the (geometric) grid, by the parabola through the best three."""
        at = self.best(without)
        if not 0 < at < len(half_lives_s) - 1:
            return float(half_lives_s[at])
        before, top, after = self._explained(without)[at - 1 : at + 2]
        bend = before - 2 * top + after
        offset = 0.5 * (before - after) / bend if bend < 0 else 0.0
        return float(half_lives_s[at] * (half_lives_s[at + 1] / half_lives_s[at]) ** offset)

    def y(self, column: int, without: int | None = None) -> float:
        xx, xr = self._total(without)
        return float(xr[column] / xx[column])


def _jackknife(left_out: FloatArray) -> float:
    """Standard error of an estimate from what it is without each block."""
    count = len(left_out)
    return math.sqrt((count - 1) / count * float(((left_out - left_out.mean()) ** 2).sum()))


def _root_changes(tape: Sampled, half_lives_s: FloatArray) -> FloatArray:
    """[step, half-life]: change of sign(E) sqrt(|E|) over each step, E being the flow that fades."""
    steps = len(tape.mid) - 1
    step = np.minimum((tape.trade_s / tape.step_s).astype(np.int64), steps - 1)
    age_s = (step + 1) * tape.step_s - tape.trade_s
    arrived = np.empty((steps, len(half_lives_s)))
    for j, half_life_s in enumerate(half_lives_s):
        faded = tape.trade_lots * np.exp2(-2.0 * age_s / half_life_s)
        arrived[:, j] = np.bincount(step, faded, steps)
    keep = np.exp2(-2.0 * tape.step_s / half_lives_s)
    flow = np.zeros((steps + 1, len(half_lives_s)))
    for k in range(steps):
        flow[k + 1] = flow[k] * keep + arrived[k]
    changes: FloatArray = np.diff(np.sign(flow) * np.sqrt(np.abs(flow)), axis=0)
    return changes


# --- what assumes less -----------------------------------------------------------------------------


def _windows(tape: Sampled, logs: FloatArray, scale: float) -> list[Fit]:
    fits = []
    for horizon_s in HORIZONS_S:
        lag = max(1, round(horizon_s / tape.step_s))
        count = (len(logs) - 1) // lag
        if count < 20:
            break
        r = np.diff(logs[: count * lag + 1 : lag])
        edges = np.arange(count + 1) * lag * tape.step_s
        flow, _ = np.histogram(tape.trade_s, edges, weights=tape.trade_lots)
        x = scale * np.sign(flow) * np.sqrt(np.abs(flow))
        x, r = x[np.isfinite(r)], _known(r)
        if not x.any():
            continue
        y = float(x @ r / (x @ x))
        (error,) = _robust_errors(x[:, None], r - y * x)
        left = r - y * x
        fits.append(Fit(lag * tape.step_s, Estimate(y, error, len(r)), 1.0 - float(left @ left / (r @ r))))
    return fits


def _response(tape: Sampled, logs: FloatArray) -> list[tuple[float, Estimate]]:
    """Mean move of the mid from the grid point before a trade to some seconds later, in its direction."""
    steps = len(logs) - 1
    step = np.minimum((tape.trade_s / tape.step_s).astype(np.int64), steps - 1)
    signs = np.sign(tape.trade_lots)
    found = []
    for after_s in RESPONSE_S:
        lag = max(1, round(after_s / tape.step_s))
        usable = step + lag <= steps
        if np.count_nonzero(usable) < LEAST_TRADES // 2 or lag > steps // 4:
            break
        move = signs[usable] * (logs[step[usable] + lag] - logs[step[usable]]) * 1e4
        found.append((lag * tape.step_s, _mean(move)))
    return found


# --- errors ----------------------------------------------------------------------------------------


def _lags(count: int) -> int:
    return int(4 * (count / 100) ** (2 / 9))


def _long_run_variance(centred: FloatArray) -> float:
    """Newey and West's, with Bartlett's weights."""
    total = float(centred @ centred)
    lags = _lags(len(centred))
    for lag in range(1, lags + 1):
        total += 2 * (1 - lag / (lags + 1)) * float(centred[lag:] @ centred[:-lag])
    return max(total, 0.0) / len(centred)


def _robust_errors(x: FloatArray, left: FloatArray) -> list[float]:
    """Standard errors of least squares; ``x`` is [step, coefficient], columns of zeros are dropped."""
    scores = x * left[:, None]
    lags = _lags(len(left))
    meat = scores.T @ scores
    for lag in range(1, lags + 1):
        cross = scores[lag:].T @ scores[:-lag]
        meat += (1 - lag / (lags + 1)) * (cross + cross.T)
    bread = np.linalg.pinv(x.T @ x)
    return [float(v) for v in np.sqrt(np.maximum(np.diag(bread @ meat @ bread), 0.0))]
