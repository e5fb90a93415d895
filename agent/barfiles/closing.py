"""Markets that close, given without their calendar: told by the hours and days that never have a bar."""

from __future__ import annotations

import numpy as np

from agent.barfiles.read_bars import Series, neighbours
from agent.core.errors import InputError
from agent.core.types import DAY_NS, NS_PER_S

WEEK_DAYS = 7
FEWEST_NIGHTS = 3
_HOUR_NS = 3600 * NS_PER_S
_DAY_HOURS = 24


def refuse_closing(series: Series, delta_ns: int) -> None:
    """Refuse bars without a calendar that leave out the same days of every week, or hours of every day.

    Each night would be taken for a gap. Raises InputError.
    """
    if series.grid is not None or delta_ns > DAY_NS or len(series.bars) < 2:
        return
    closed = _closed_days(series) or _closed_hours(series, delta_ns)
    if closed:
        share = float((~neighbours(series, delta_ns)).mean())
        raise InputError(
            f"{100 * share:.3g} % of {series.name}'s bars are not followed by the next, and {closed}: the"
            " market closes; name its calendar, as in --calendar XNYS (24/7 for a market that never does)"
        )


def _closed_days(series: Series) -> str:
    """Days of the week without a bar, of two weeks or more; of less, a weekend between days."""
    start_ns = series.bars["start_ns"]
    days = start_ns // DAY_NS
    span = int(days[-1] - days[0])
    seen = np.unique(days % WEEK_DAYS)
    if span >= 2 * WEEK_DAYS and len(seen) < WEEK_DAYS:
        return f"{WEEK_DAYS - len(seen)} days of the week have none"
    weekend = np.isin((days + 3) % WEEK_DAYS, (5, 6))  # 1970 began with a Thursday
    if span < 2 * WEEK_DAYS and not weekend.any() and (np.diff(days) == 3).any() and span >= 3:
        return "the weekend has none" if (np.diff(days) <= 3).all() else ""
    return ""


def _closed_hours(series: Series, delta_ns: int) -> str:
    """Hours of the day that have no bar in three nights or more."""
    start_ns = series.bars["start_ns"]
    if delta_ns > _HOUR_NS or (start_ns[-1] - start_ns[0]) < FEWEST_NIGHTS * DAY_NS:
        return ""
    seen = len(np.unique(start_ns // _HOUR_NS % _DAY_HOURS))
    return f"{_DAY_HOURS - seen} hours of the day have none" if seen < _DAY_HOURS else ""
