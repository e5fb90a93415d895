"""The gain of a fixed notional under the quantity's optimal policy: simulated, as no exact optimum is known.

A fixed notional achieves the harmonic mean of its prices. That lies below the arithmetic mean by about their
relative variance: a buyer gains it and a seller loses it. The difference is of second order, so as sigma -> 0
both targets have one optimum. At a finite sigma the quantity's policy is run on paths and paired with its own
limit on the same paths, whose mean is known exactly.

Example: half the money at 100 and half at 50 buys 0.01 + 0.02 of the asset for 2, at 66.67 instead of 75.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from agent.core.errors import InputError
from lem.optima.optimum_paths import BATCH, SMALL, SimulatedPaths, check_paths, draw_paths, outcomes
from lem.optima.stopping_optimum import StoppingOptimum
from lem.optima.vwap_optimum import VwapOptimum

MAX_REACH = 0.2
"""Largest sigma sqrt(n): an arithmetic walk stays positive within five deviations."""


@dataclass(frozen=True, slots=True)
class NotionalGain:
    """Expected gain of a fixed notional in units of sigma, and half of its 95 % interval."""

    side: int
    sigma: float
    paths: int
    gain_sigma: float
    half_width: float


def notional_gain(
    optimum: StoppingOptimum | VwapOptimum, side: int, sigma: float, paths: int, seed: int
) -> NotionalGain:
    """Simulate a notional order of ``side`` under the quantity's optimal policy at volatility ``sigma``.

    Raises InputError on a volatility that an arithmetic walk cannot have, or a bad number of paths.
    """
    terms = optimum.terms
    if not 0.0 < sigma * sqrt(terms.n) <= MAX_REACH:
        raise InputError(
            f"sigma {sigma:g} over {terms.n} intervals: give more than 0, at most"
            f" {MAX_REACH / sqrt(terms.n):.3g} an interval, or the walk would reach 0"
        )
    check_paths(paths)
    vwap = isinstance(optimum, VwapOptimum)
    volume_sigma = optimum.volume_sigma if isinstance(optimum, VwapOptimum) else 0.0
    rng = np.random.default_rng(seed)
    differences = []
    for first in range(0, paths, BATCH):
        drawn = draw_paths(rng, min(BATCH, paths - first), terms, sigma, volume_sigma)
        limit = scaled(drawn, SMALL / sigma)
        schedule = optimum.run(drawn.price, drawn.last, side, sigma, drawn.volume)
        paired = optimum.run(limit.price, limit.last, side, SMALL, limit.volume)
        notional = outcomes(schedule, drawn, side, sigma, 0.0, vwap=vwap, notional=True).gain
        differences.append(notional - outcomes(paired, limit, side, SMALL, 0.0, vwap=vwap).gain)
    difference = np.concatenate(differences)
    error = float(difference.std() / sqrt(paths))
    return NotionalGain(side, sigma, paths, optimum.gain_sigma + float(difference.mean()), 1.96 * error)


def scaled(paths: SimulatedPaths, by: float) -> SimulatedPaths:
    """The same paths at another volatility."""
    return SimulatedPaths(by * paths.price, by * paths.last, by * paths.move, paths.volume)
