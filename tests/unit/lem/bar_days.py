"""Hourly bars of six weeks in New York, laid out by hand: what a calendar must find by itself.

From 2012-10-22 to 2012-11-30: daylight saving ends on November 4th; closed on October 29th and 30th (the
storm) and on November 22nd; November 23rd closes at 13:00. The bar of 9:00 holds the open at 9:30.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from agent.barfiles.read_bars import Series
from agent.core.market.bars import FBarArray, empty_fbars
from agent.core.types import NS_PER_S

HOUR_NS = 3_600 * NS_PER_S
DAY_NS = 24 * HOUR_NS
CLOSED = {date(2012, 10, 29), date(2012, 10, 30), date(2012, 11, 22)}
EARLY = date(2012, 11, 23)
NEW_YORK = ZoneInfo("America/New_York")


def session_dates() -> list[date]:
    """The 27 dates New York traded on."""
    days = [date(2012, 10, 22) + timedelta(days=k) for k in range(40)]
    return [day for day in days if day.weekday() < 5 and day not in CLOSED]


def hours(zone: ZoneInfo | None = NEW_YORK) -> npt.NDArray[np.int64]:
    """Starts of the 186 hourly bars, ns: true UTC, or the wall clock's own reading with None."""
    walls = [
        datetime(day.year, day.month, day.day, hour)  # noqa: DTZ001
        for day in session_dates()
        for hour in range(9, 13 if day == EARLY else 16)
    ]
    seconds = [int(wall.replace(tzinfo=UTC if zone is None else zone).timestamp()) for wall in walls]
    return np.array(seconds, np.int64) * NS_PER_S


def bars_at(start_ns: npt.NDArray[np.int64], seed: int = 1) -> FBarArray:
    """A quiet walk from 100 whose volume is 1000 throughout."""
    bars = empty_fbars(len(start_ns))
    bars["start_ns"] = start_ns
    close = 100.0 * np.exp(0.002 * np.random.default_rng(seed).standard_normal(len(bars)).cumsum())
    bars["close"] = bars["vwap"] = close
    bars["open"] = np.append(100.0, close[:-1])
    bars["high"] = np.maximum(bars["open"], close)
    bars["low"] = np.minimum(bars["open"], close)
    bars["volume"], bars["quote_volume"] = 1e3, 1e3 * close
    bars["trades"], bars["taker_volume"] = 10.0, 5e2
    return bars


def series_at(start_ns: npt.NDArray[np.int64], seed: int = 1) -> Series:
    return Series("x", bars_at(start_ns, seed))
