"""Estimators of the evaluation: means with control variates, and confidence intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.core.bars import FloatArray

Z95 = 1.959964
PERCENTILES = (5, 25, 50, 75, 95)
RESAMPLES = 1_000


@dataclass(frozen=True, slots=True)
class Mean:
    value: float
    half_width: float  # of the 95 % interval

    @property
    def interval(self) -> list[float]:
        return [self.value - self.half_width, self.value + self.half_width]


def controlled_mean(x: FloatArray, controls: list[FloatArray]) -> Mean:
    """Mean of independent ``x`` [N], using variates of known mean 0, with least-squares weights.

    Source: P. Glasserman, Monte Carlo Methods in Financial Engineering (2003), 4.1.
    """
    useful = [c for c in controls if np.ptp(c) > 0]
    if not useful or len(x) < 10:
        return Mean(float(x.mean()), Z95 * float(x.std()) / np.sqrt(len(x)))
    table = np.stack(useful, axis=1)
    centred = table - table.mean(0)
    weights = np.linalg.lstsq(centred, x - x.mean(), rcond=None)[0]
    residual = x - table @ weights
    return Mean(float(residual.mean()), Z95 * float(residual.std()) / float(np.sqrt(len(x))))


def block_bootstrap(x: FloatArray, block: int, seed: int) -> Mean:
    """Mean of serially dependent ``x`` [N] with a moving-block bootstrap of ``block`` entries a block.

    Source: H. Kuensch, Annals of Statistics 17 (1989).
    """
    block = max(1, min(block, len(x)))
    rng = np.random.default_rng(seed)
    sums = np.convolve(x, np.ones(block), "valid") / block
    draws = rng.integers(0, len(sums), (RESAMPLES, -(-len(x) // block)))
    return Mean(float(x.mean()), Z95 * float(sums[draws].mean(1).std()))


def summary(x: FloatArray, mean: Mean) -> dict[str, Any]:
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
