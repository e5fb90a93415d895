"""Contiguous runs: bars that follow each other with no gap and no split between them.

Which bar follows which is known from the series' calendar; without one the market never closes. Bars of a
market that closes need their calendar, because its nights cannot be told from gaps.
"""

from __future__ import annotations

import numpy as np

from agent.barfiles.closing import refuse_closing
from agent.barfiles.read_bars import Series, neighbours
from agent.barfiles.splits import Split, find_splits
from agent.core.arrays import IntArray


def contiguous_runs(series: Series, delta_ns: int) -> tuple[IntArray, list[Split]]:
    """The first row of each run of ``delta_ns`` bars, from 0 on, and the splits that some of them begin with.

    Raises InputError on a series without a calendar whose market closes.
    """
    refuse_closing(series, delta_ns)
    splits = find_splits(series)
    gaps = np.flatnonzero(~neighbours(series, delta_ns)) + 1
    rows = np.array([0, *(split.row for split in splits)], np.int64)
    return np.union1d(gaps, rows[: len(series.bars)]), splits
