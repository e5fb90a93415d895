"""What a signal has been worth on its own record: regressions of each move on the signal before it, compiled.

A signal is seen at a bar's end: the last move, the distance from the mean price, the takers' lean, the touch
imbalance. Over the last SPAN bars, with r the move after a signal s and sigma the recent volatility,

    beta = sum s r / sum s^2;   edge = beta rms(s) / sigma;   call = beta s_now / sigma

so the call is the next move as the record has it, in sigmas. Both are multiplied by SCALE. The rules are
those of ``agent.core.market.feature_formulas``: sums by doubling, additions, products and roots in a fixed
order.
"""

from __future__ import annotations

import numpy as np

from agent.core.arrays import BoolArray, FloatArray
from agent.core.compile.jit import njit

SIGNALS = ("momentum", "reversion", "taker", "book")
SPAN = 128  # moves on record: from 64 a lag-one correlation of 0.3 is 2.5 of its errors, from 128 it is 3.5
DISTANCE = 64  # bars that the mean price is taken over
AT_LEAST = 8  # moves on record
SCALE = 5.0
TINY = 1e-12
MEMORY = SPAN + DISTANCE  # bars: of a distance from its mean at the start of the record


@njit
def double(sums: FloatArray, width: int, span: int) -> None:
    """Sums over the last ``width`` bars become sums over the last ``span`` ones, in place."""
    while width < span:
        for row in range(sums.shape[0]):
            for i in range(sums.shape[1] - 1, width - 1, -1):
                sums[row, i] += sums[row, i - width]
            for i in range(min(width, sums.shape[1])):
                sums[row, i] += 0.0  # as where bars stand before: -0 becomes 0
        width *= 2


@njit
def record(
    signals: FloatArray, sure: BoolArray, moves: FloatArray, moved: BoolArray, sums: FloatArray
) -> None:
    """Sums over SPAN bars: for each signal s r, s^2 and how many, ``sums`` [3 * SIGNALS, T].

    ``signals``, ``sure`` [SIGNALS, T] at each bar's end; ``moves``, ``moved`` [T]: the move to its close.
    """
    for i in range(len(moves)):
        for k in range(len(signals)):
            before = i > 0 and moved[i] and sure[k, i - 1]
            s = signals[k, i - 1] if before else 0.0
            sums[3 * k, i] = s * moves[i] if before else 0.0
            sums[3 * k + 1, i] = s * s
            sums[3 * k + 2, i] = 1.0 if before else 0.0
    double(sums, 1, SPAN)


@njit
def worth(product: float, square: float, count: float, sigma: float) -> tuple[float, float]:
    """(beta / sigma times SCALE, rms of the signal); NaN where the record is too short or flat."""
    if not (count >= AT_LEAST and sigma > 0):
        return np.nan, np.nan
    mean, power = product / count, square / count
    if not power > TINY * TINY:
        return np.nan, np.nan
    return SCALE * (mean / power / sigma), np.sqrt(power)
