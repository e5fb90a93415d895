"""Stretches: bars that follow each other with no gap and no split between them.

What follows what is said by the series' calendar; without one the market never closes. Bars of a market
that closes need their calendar, because nobody could tell its nights from gaps.
"""

from __future__ import annotations

import numpy as np

from agent.barfiles.calendars import DAY_NS, IntArray
from agent.barfiles.klines import Series, neighbours
from agent.core.errors import InputError
from lem.splits import Split, find_splits

SESSION_SHARE = 0.02  # of the steps
WEEK_DAYS = 7


def stretches(series: Series, delta_ns: int) -> tuple[IntArray, list[Split]]:
    """The first row of each stretch of ``delta_ns`` bars, from 0 on, and the splits some of them begin with.

    Raises InputError on a series without a calendar whose market closes.
    """
    _refuse_sessions(series, delta_ns)
    splits = find_splits(series)
    gaps = np.flatnonzero(~neighbours(series, delta_ns)) + 1
    rows = np.array([0, *(split.row for split in splits)], np.int64)
    return np.union1d(gaps, rows[: len(series.bars)]), splits


def _refuse_sessions(series: Series, delta_ns: int) -> None:
    """Many gaps, and some day of the week that never has a bar: a market that closes."""
    start_ns = series.bars["start_ns"]
    if series.grid is not None or len(start_ns) < 2 or start_ns[-1] - start_ns[0] < 2 * WEEK_DAYS * DAY_NS:
        return
    share = float((~neighbours(series, delta_ns)).mean())
    closed = WEEK_DAYS - len(np.unique(start_ns // DAY_NS % WEEK_DAYS))
    if share > SESSION_SHARE and closed:
        raise InputError(
            f"{100 * share:.0f} % of {series.name}'s bars are not followed by the next, and {closed} days of"
            " the week have none: the market closes; name its calendar, as in --calendar XNYS"
        )
