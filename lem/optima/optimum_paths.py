"""Policies of the optima on simulated paths: what a schedule gains, what it pays in impact, and its risk.

Prices are S_0 (1 + sigma x) on an arithmetic walk or its bars. x starts at 0, and policies see it as a
deviation. As sigma -> 0 (``sigma`` of a study is 1e-6 by default) gains are those of the optima.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np

from agent.core.arrays import FloatArray
from agent.core.errors import InputError
from lem.optima.optimum_terms import Schedule, Terms

BATCH = 20_000
MAX_PATHS = 10_000_000
SMALL = 1e-6
Policy = Callable[[FloatArray, FloatArray, int, "FloatArray | float", FloatArray], Schedule]
"""``run`` of any optimum: (price, last, side, sigma, volume) -> Schedule."""


@dataclass(frozen=True, slots=True)
class SimulatedPaths:
    """N simulated paths, [N, n]: prices and moves as deviations from S_0 (fractions), volume around 1."""

    price: FloatArray
    last: FloatArray
    move: FloatArray
    volume: FloatArray


def draw_paths(
    rng: np.random.Generator, count: int, terms: Terms, sigma: float = SMALL, volume_sigma: float = 0.0
) -> SimulatedPaths:
    """Draw ``count`` paths of the price law in ``terms``, with iid lognormal volume of mean 1."""
    z, w, v = rng.standard_normal((3, count, terms.n))
    move = sigma * z
    last = np.cumsum(move, axis=1) - move
    price = last + (0.5 * move + sigma * w / sqrt(12.0) if terms.bars else move)
    return SimulatedPaths(price, last, move, np.exp(volume_sigma * v - 0.5 * volume_sigma**2))


@dataclass(frozen=True, slots=True)
class SimulatedOutcomes:
    """Per path, in units of sigma: gain against the benchmark, impact paid, and a martingale of mean 0."""

    gain: FloatArray
    impact: FloatArray
    martingale: FloatArray


def outcomes(
    schedule: Schedule,
    paths: SimulatedPaths,
    side: int,
    sigma: float,
    unit: float,
    *,
    vwap: bool = False,
    notional: bool = False,
) -> SimulatedOutcomes:
    """Judge ``schedule`` on ``paths``; ``unit``: impact of a whole order in one interval of usual volume.

    The martingale is side sum_s R_s move_s (what is left, times the move it is exposed to), of mean zero
    under any policy that does not look ahead.
    """
    n = schedule.shares.shape[1]
    done = np.arange(n) <= schedule.finish[:, None]
    weights = np.where(done, paths.volume if vwap else 1.0, 0.0)
    mean = (weights * paths.price).sum(1) / weights.sum(1)
    shares = schedule.shares
    if notional:
        total = (shares * paths.price / (1.0 + paths.price)).sum(1)
        achieved = total / (1.0 - total)
    else:
        achieved = (shares * paths.price).sum(1)
    gain = -side * (achieved - mean) / ((1.0 + mean) * sigma)
    impact = (unit * shares**1.5 / np.sqrt(np.maximum(paths.volume, 0.01))).sum(1)
    after = np.maximum(1.0 - np.cumsum(shares, axis=1), 0.0)
    exposed = after * paths.move + shares * (paths.price - paths.last)
    return SimulatedOutcomes(gain, impact, side * exposed.sum(1) / sigma)


@dataclass(frozen=True, slots=True)
class Study:
    """Means over simulated paths, each with its standard error; gains in units of sigma.

    ``objective``: mean of c + lambda max(c, 0)^2, c = (impact - gain) / sqrt(n), of
    ``lem.network.objective.loss``.
    """

    paths: int
    gain: float
    gain_error: float
    gain_std: float
    impact: float
    net: float
    net_error: float
    objective: float
    objective_error: float

    @property
    def half_width(self) -> float:
        """Of the 95 % interval around ``net``."""
        return 1.96 * self.net_error


def study(
    policy: Policy,
    terms: Terms,
    paths: int,
    seed: int,
    *,
    side: int = 1,
    sigma: float = SMALL,
    unit: float = 0.0,
    risk_aversion: float = 0.0,
    volume_sigma: float = 0.0,
    vwap: bool = False,
    notional: bool = False,
) -> Study:
    """Run ``policy`` on ``paths`` fresh paths and measure it, with the martingale as control variate.

    Raises InputError on a number of paths out of bounds.
    """
    check_paths(paths)
    rng = np.random.default_rng(seed)
    batches = []
    for first in range(0, paths, BATCH):
        drawn = draw_paths(rng, min(BATCH, paths - first), terms, sigma, volume_sigma)
        schedule = policy(drawn.price, drawn.last, side, sigma, drawn.volume)
        batches.append(outcomes(schedule, drawn, side, sigma, unit, vwap=vwap, notional=notional))
    gain, impact, martingale = (
        np.concatenate([getattr(batch, name) for batch in batches])
        for name in ("gain", "impact", "martingale")
    )
    cost = (impact - gain) / sqrt(terms.n)
    objective = cost + risk_aversion * np.maximum(cost, 0.0) ** 2
    control = martingale
    gain_mean, gain_error = controlled(gain, control)
    net_mean, net_error = controlled(gain - impact, control)
    objective_mean, objective_error = controlled(objective, control)
    return Study(
        paths,
        gain_mean,
        gain_error,
        float(gain.std()),
        float(impact.mean()),
        net_mean,
        net_error,
        objective_mean,
        objective_error,
    )


def check_paths(paths: int) -> None:
    if not 100 <= paths <= MAX_PATHS:
        raise InputError(f"{paths} simulated paths: give 100 to {MAX_PATHS}")


def controlled(values: FloatArray, control: FloatArray) -> tuple[float, float]:
    """(mean, standard error) of ``values`` [N] given a ``control`` [N] of known mean zero."""
    spread = float(control.var())
    slope = float(np.cov(values, control, ddof=0)[0, 1]) / spread if spread > 1e-18 else 0.0
    rest = values - slope * control
    return float(rest.mean()), float(rest.std() / sqrt(len(rest)))
