"""Estimators of the evaluation: means with control variates, and confidence intervals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from agent.core.arrays import BoolArray, FloatArray, IntArray
from lem.evaluation.evaluation_document import GainSummary

Z95 = 1.959964
PERCENTILES = (5, 25, 50, 75, 95)
RESAMPLES = 1_000


@dataclass(frozen=True, slots=True)
class Mean:
    """An estimated mean and half of its 95 % interval."""

    value: float
    half_width: float

    @property
    def interval(self) -> list[float]:
        """Both ends of the interval."""
        return [self.value - self.half_width, self.value + self.half_width]


class Estimate(Protocol):
    """How a mean and its 95 % interval are estimated from one number an order, [N]."""

    def mean(self, x: FloatArray, exposure: FloatArray, paired: FloatArray | None = None) -> Mean:
        """Mean of ``x``. Control variates: ``exposure`` where the drift is known, ``paired`` without one."""

    def within(self, x: FloatArray, exposure: FloatArray, chosen: BoolArray) -> Mean:
        """Mean of ``x`` over the ``chosen`` orders."""

    def ratio(self, x: FloatArray, y: FloatArray) -> Mean:
        """Mean of ``x`` over mean of ``y``, paired."""


@dataclass(frozen=True, slots=True)
class Independent:
    """Orders on independent simulated paths, with control variates; ``paired`` on martingales only."""

    martingale: bool

    def mean(self, x: FloatArray, exposure: FloatArray, paired: FloatArray | None = None) -> Mean:
        known = [] if paired is None or not self.martingale else [paired]
        return controlled_mean(x, [exposure, *known])

    def within(self, x: FloatArray, exposure: FloatArray, chosen: BoolArray) -> Mean:
        return self.mean(x[chosen], exposure[chosen])

    def ratio(self, x: FloatArray, y: FloatArray) -> Mean:
        """By the delta method."""
        value = float(x.mean() / y.mean())
        spread = float((x - value * y).std() / abs(y.mean()))
        return Mean(value, Z95 * spread / float(np.sqrt(len(x))))


@dataclass(frozen=True, slots=True)
class Blocks:
    """Serially dependent orders in order of time: a moving-block bootstrap, ``block`` orders a block.

    Source: H. Kuensch, Annals of Statistics 17 (1989). Means over the same number of orders use the same
    draws.
    """

    block: int
    seed: int

    def mean(self, x: FloatArray, exposure: FloatArray, paired: FloatArray | None = None) -> Mean:
        return Mean(float(x.mean()), Z95 * float(self._resampled(x).std()))

    def within(self, x: FloatArray, exposure: FloatArray, chosen: BoolArray) -> Mean:
        return self.ratio(np.where(chosen, x, 0.0), chosen.astype(np.float64))

    def ratio(self, x: FloatArray, y: FloatArray) -> Mean:
        over = self._resampled(y)
        some = over > 0  # a resample may hold none of a rare kind
        spread = float((self._resampled(x)[some] / over[some]).std()) if some.any() else 0.0
        return Mean(float(x.mean() / y.mean()), Z95 * spread)

    def _resampled(self, x: FloatArray) -> FloatArray:
        block = max(1, min(self.block, len(x)))
        total = np.concatenate([[0.0], x.cumsum()])
        sums = (total[block:] - total[:-block]) / block
        out: FloatArray = sums[_draws(len(x), block, self.seed)].mean(1)
        return out


@lru_cache(maxsize=4)
def _draws(count: int, block: int, seed: int) -> IntArray:
    """First entries of the blocks of every resample, [RESAMPLES, blocks]."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, count - block + 1, (RESAMPLES, -(-count // block)))


def controlled_mean(x: FloatArray, controls: list[FloatArray]) -> Mean:
    """Mean of independent ``x`` [N], using control variates of known mean 0 with least-squares weights.

    Source: P. Glasserman, Monte Carlo Methods in Financial Engineering (2003), 4.1.
    """
    useful = [c for c in controls if len(c) and np.ptp(c) > 0]
    if not useful or len(x) < 10:
        return Mean(float(x.mean()), Z95 * float(x.std()) / np.sqrt(len(x)))
    table = np.stack(useful, axis=1)
    centred = table - table.mean(0)
    weights = np.linalg.lstsq(centred, x - x.mean(), rcond=None)[0]
    residual = x - table @ weights
    return Mean(float(residual.mean()), Z95 * float(residual.std()) / float(np.sqrt(len(x))))


def gain_summary(x: FloatArray, mean: Mean) -> GainSummary:
    """The paper's columns for gains ``x`` [N] in bps."""
    p5, p25, median, p75, p95 = (float(v) for v in np.percentile(x, PERCENTILES))
    return {
        "mean": mean.value,
        "std": float(x.std()),
        "median": median,
        "p5": p5,
        "p25": p25,
        "p75": p75,
        "p95": p95,
        "ci95": mean.interval,
        "raw_mean": float(x.mean()),
    }
