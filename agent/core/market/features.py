"""Market features per interval: one definition for training, evaluation and live, versioned.

Rules kept here:

* causal: row i depends on bars <= i only;
* finite memory: row i depends on bars >= i - FEATURE_SPAN only, so that a live window of
  ``lookback + FEATURE_SPAN`` bars and a long training series give the same rows, bit for bit (sums are
  taken by doubling, elementwise, never by running totals: ``agent.core.market.feature_formulas``);
* scale-free: returns and ranges in units of recent volatility, volumes against their recent mean;
* a source that is missing, or an input that is not finite, makes its features *absent* (mask False,
  value 0), never NaN.

Volume is compared with its mean over LONG_SPAN bars, not with its time-of-day mean: a live window
holds hours, not days, and the sine and cosine of the time of day let a model learn the rest.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agent.core.arrays import BoolArray, FloatArray, IntArray
from agent.core.market import feature_formulas as kernel
from agent.core.market.bars import FBAR, FBarArray
from agent.core.market.feature_names import FEATURE_NAMES, ROW
from agent.core.market.signal_kernel import MEMORY
from agent.core.types import DAY_NS, NS_PER_S

Float32Array = npt.NDArray[np.float32]

FEATURE_SPAN = MEMORY  # bars of memory
LONG_SPAN, SHORT_SPAN = kernel.LONG_SPAN, kernel.SHORT_SPAN
MIN_RETURNS = kernel.MIN_RETURNS
LIMIT = kernel.LIMIT
BAR_COLUMNS = len(FBAR.names or ())  # of 8 bytes each
SMALLEST = 5e-324  # the least number above 0

_LOGS = [ROW[name] for name in ("volatility_short", "variance_ratio", "volume", "trades", "spread", "depth")]
_SINES, _COSINES = ([ROW[f"{cycle}_{wave}"] for cycle in ("day", "week")] for wave in ("sin", "cos"))
_LOG10, _DELTA = ROW["volatility_long"], ROW["log_delta"]


def features(bars: FBarArray, delta_ns: int, newest: int | None = None) -> tuple[Float32Array, BoolArray]:
    """Return feature values float32 [..., T, F] and where they are known, bool [..., T, F].

    ``bars``: FBAR rows [..., T] of ``delta_ns`` each, oldest first along the last axis. ``newest``: only that
    many of the last rows are wanted. Absent values are 0. Never raises on the content of the bars.
    """
    length = bars.shape[-1]
    rows = length if newest is None else min(newest, length)
    floats = _as_floats(bars)
    columns = np.empty((len(FEATURE_NAMES), len(floats) * rows))
    with np.errstate(all="ignore"):
        logs = _logs(floats, kernel.LOGGED)
        kernel.arguments(floats, logs, _known(floats, kernel.AMOUNTS, 0.0), columns)
        _take_logs(columns)
        _put_time(columns, bars["start_ns"][..., length - rows :].reshape(-1), delta_ns)
    shape = (*bars.shape[:-1], rows, len(FEATURE_NAMES))
    values, mask = np.empty(shape, np.float32), np.empty(shape, np.bool_)
    flat = (columns.shape[1], columns.shape[0])
    kernel.settle(columns, values.reshape(flat), mask.reshape(flat))
    return values, mask


def _take_logs(columns: FloatArray) -> None:
    """The logarithm of each column [F, N] that has one, in place."""
    for f in _LOGS:
        np.log(columns[f], out=columns[f])
    columns[_LOG10] = (np.log10(columns[_LOG10]) + 3.0) / 1.5


def _put_time(columns: FloatArray, start_ns: IntArray, delta_ns: int) -> None:
    """Columns [F, N] of the clock and of the interval's length; NaN where the time is not known."""
    end = start_ns + delta_ns  # a decision is taken at the end of the bar
    for cycle, length_ns in enumerate((DAY_NS, 7 * DAY_NS)):
        angle = 2.0 * np.pi * ((end % length_ns) / length_ns)
        angle[start_ns <= 0] = np.nan
        columns[_SINES[cycle]], columns[_COSINES[cycle]] = np.sin(angle), np.cos(angle)
    columns[_DELTA] = (np.log10(delta_ns / NS_PER_S) - 2.0) / 2.0


def recent_sigma(bars: FBarArray) -> FloatArray:
    """Return the volatility of close-to-close log returns an interval, [..., T]; NaN where unknown.

    Root mean square of the last LONG_SPAN returns (mean taken as 0), of at least MIN_RETURNS.
    """
    floats = _as_floats(bars)
    out = np.empty(floats.shape[:2])
    with np.errstate(all="ignore"):
        kernel.sigmas(_logs(floats, kernel.LOGGED[:1]), out)
    return out.reshape(bars.shape)


def _as_floats(bars: FBarArray) -> FloatArray:
    """The bars as floats [S, T, BAR_COLUMNS], ``start_ns`` among them as it is stored."""
    flat = np.ascontiguousarray(bars, FBAR)
    if not flat.flags.writeable:  # the formulae are compiled for arrays that can be written to
        flat = flat.copy()
    count = flat.size // max(1, flat.shape[-1])
    return flat.view(np.float64).reshape(count, flat.shape[-1], BAR_COLUMNS)


def _known(floats: FloatArray, columns: IntArray, least: float) -> FloatArray:
    """Some columns, [S, len(columns), T]; NaN where not finite or below ``least``."""
    out = np.empty((len(floats), len(columns), floats.shape[1]))
    kernel.known(floats, columns, least, out)
    return out


def _logs(floats: FloatArray, columns: IntArray) -> FloatArray:
    """Logarithms of some columns, [S, len(columns), T]; NaN where not finite or not above 0."""
    out = _known(floats, columns, SMALLEST)
    return np.log(out, out=out)
