"""The stopping programme as one of the programmes: a policy that runs on paths, and notional orders.

Without impact, risk or volume the gain depends on when one stops only (``agent.algos.optimal_stopping``);
the policy trades 1/n until then. A fixed notional achieves the harmonic mean of its prices, which lies below
the arithmetic one by about their relative variance: a buyer gains it and a seller loses it. That is of second
order, so as sigma -> 0 both targets have one bound; at a finite sigma the quantity policy is run on paths
and paired with its own limit, whose mean is known exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from agent.algos.optimal_stopping import MAX_INTERVALS
from agent.core.errors import InputError
from agent.core.market.bars import FloatArray
from lem.optima.bound import gain_sigma, stop_interval
from lem.optima.optimum_paths import BATCH, SMALL, Paths, check_paths, draw_paths, outcomes
from lem.optima.programme import Schedule, Tape, Terms, even_schedule, tape
from lem.optima.vwap_optimum import VwapProgramme

MAX_REACH = 0.2
"""Largest sigma sqrt(n): an arithmetic walk stays positive within five deviations."""


@dataclass(frozen=True, slots=True)
class StoppingProgramme:
    """The solution. ``gain_sigma``: expected gain in units of sigma."""

    terms: Terms
    gain_sigma: float

    def run(
        self,
        price: FloatArray,
        last: FloatArray,
        side: int,
        sigma: FloatArray | float,
        volume: FloatArray | None = None,
    ) -> Schedule:
        """Run the policy on N paths: see ``lem.optima.programme.Tape``; ``volume`` is not looked at."""
        terms = self.terms
        seen: Tape = tape(price, last, sigma, volume, terms.n)
        m = max(terms.m, terms.first + 1)
        finish = stop_interval(seen.price, seen.last, side, seen.sigma, terms.n, m, terms.price)
        return even_schedule(terms, finish)


def solve_stopping(terms: Terms) -> StoppingProgramme:
    """Solve for a quantity against TWAP (cached beneath). Raises InputError on impossible terms."""
    terms.checked(MAX_INTERVALS)
    return StoppingProgramme(terms, gain_sigma(terms.n, terms.m, terms.max_rate, terms.price))


@dataclass(frozen=True, slots=True)
class NotionalGain:
    """Expected gain of a fixed notional in units of sigma, and half of its 95 % interval."""

    side: int
    sigma: float
    paths: int
    gain_sigma: float
    half_width: float


def notional_gain(
    programme: StoppingProgramme | VwapProgramme, side: int, sigma: float, paths: int, seed: int
) -> NotionalGain:
    """Simulate a notional order of ``side`` under the quantity's optimal policy at volatility ``sigma``.

    Raises InputError on a volatility that an arithmetic walk cannot have, or a bad number of paths.
    """
    terms = programme.terms
    if not 0.0 < sigma * sqrt(terms.n) <= MAX_REACH:
        raise InputError(
            f"sigma {sigma:g} over {terms.n} intervals: give more than 0, at most"
            f" {MAX_REACH / sqrt(terms.n):.3g} an interval, or the walk would reach 0"
        )
    check_paths(paths)
    vwap = isinstance(programme, VwapProgramme)
    volume_sigma = programme.volume_sigma if isinstance(programme, VwapProgramme) else 0.0
    rng = np.random.default_rng(seed)
    parts = []
    for first in range(0, paths, BATCH):
        drawn = draw_paths(rng, min(BATCH, paths - first), terms, sigma, volume_sigma)
        limit = scaled(drawn, SMALL / sigma)
        schedule = programme.run(drawn.price, drawn.last, side, sigma, drawn.volume)
        paired = programme.run(limit.price, limit.last, side, SMALL, limit.volume)
        notional = outcomes(schedule, drawn, side, sigma, 0.0, vwap=vwap, notional=True).gain
        parts.append(notional - outcomes(paired, limit, side, SMALL, 0.0, vwap=vwap).gain)
    difference = np.concatenate(parts)
    error = float(difference.std() / sqrt(paths))
    return NotionalGain(side, sigma, paths, programme.gain_sigma + float(difference.mean()), 1.96 * error)


def scaled(paths: Paths, by: float) -> Paths:
    """The same paths at another volatility."""
    return Paths(by * paths.price, by * paths.last, by * paths.move, paths.volume)
