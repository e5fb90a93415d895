"""Interval bars as the features, the algos and the model see them: floats, one row an interval.

They are computed from the trades the tape has shown so far (``agent.core.market.tape``), bucketed by
``exch_ns``; a late trade therefore revises its bar for later decisions, never for earlier ones.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agent.core.arrays import FloatArray as FloatArray

FBarArray = npt.NDArray[np.void]
"""One-dimensional array of ``FBAR`` rows, oldest first, contiguous in time."""


FBAR = np.dtype(
    [
        ("start_ns", "<i8"),  # start of the interval, exchange time
        ("open", "<f8"),
        ("high", "<f8"),
        ("low", "<f8"),
        ("close", "<f8"),
        ("vwap", "<f8"),  # without trades: the last known price, and volume 0
        ("volume", "<f8"),  # base
        ("quote_volume", "<f8"),
        ("trades", "<f8"),
        ("taker_volume", "<f8"),  # base bought by takers; NaN where unknown
        # The book at the interval's end, as seen then. NaN where no book was seen.
        ("spread_bps", "<f8"),
        ("touch_imbalance", "<f8"),  # (bid size - ask size) / (bid size + ask size), in [-1, 1]
        ("microprice_bps", "<f8"),  # microprice minus mid
        ("bid_depth", "<f8"),  # base within DEPTH_BAND_BPS of the mid
        ("ask_depth", "<f8"),
    ]
)

BOOK_COLUMNS = ("spread_bps", "touch_imbalance", "microprice_bps", "bid_depth", "ask_depth")

DEPTH_BAND_BPS = 10.0


def empty_fbars(n: int) -> FBarArray:
    """Return ``n`` rows of NaN (``start_ns`` 0): an interval about which nothing is known."""
    bars = np.zeros(n, dtype=FBAR)
    for name in FBAR.names or ():
        if name != "start_ns":
            bars[name] = np.nan
    return bars
