"""Trading calendars: the bars a market's sessions hold, so that a night, a weekend or a holiday is no gap.

A bar belongs to a session when it overlaps its trading hours (the bar from 9:00 to 10:00 holds the open at
9:30; early closes and lunch breaks count); a bar of a day belongs to the session of its date. Sessions,
holidays, early closes and daylight saving are those of the library ``exchange_calendars``, in UTC.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agent.core.arrays import IntArray
from agent.core.errors import InputError
from agent.core.types import DAY_NS, NS_PER_S

if TYPE_CHECKING:
    from exchange_calendars import ExchangeCalendar

MARGIN_NS = 3 * DAY_NS  # any clock is within a day of UTC; sessions on both sides of the data are needed
MAX_BARS = 30_000_000  # between the first and the last: a year of seconds
MIN_INSIDE_BY_ENDS = 0.9  # of the bars, to be taken as stamped at their end
MIN_INSIDE = 1 / 3  # of the bars: below, the calendar is another market's


@dataclass(frozen=True, slots=True)
class Sessions:
    """Sessions of one calendar, oldest first, [S] each in ns UTC; ``offset_ns``: wall clock less UTC."""

    calendar: str
    clock: str
    date_ns: IntArray  # midnight UTC of the session's date
    open_ns: IntArray
    close_ns: IntArray
    break_ns: IntArray  # without a break: the close, and ``resume_ns`` too
    resume_ns: IntArray
    offset_ns: IntArray

    def to_utc_ns(self, wall_ns: IntArray) -> IntArray:
        """UTC of times on the exchange's wall clock, by the offset of the session they fall in or before."""
        return wall_ns - self._offset(wall_ns, self.close_ns + self.offset_ns)

    def to_wall_ns(self, utc_ns: IntArray) -> IntArray:
        """The exchange's wall clock at ``utc_ns``."""
        return utc_ns + self._offset(utc_ns, self.close_ns)

    def _offset(self, time_ns: IntArray, close_ns: IntArray) -> IntArray:
        at = np.searchsorted(close_ns, time_ns, side="right")
        return self.offset_ns[np.minimum(at, len(close_ns) - 1)]


@dataclass(frozen=True, slots=True)
class Grid:
    """The bars a calendar expects, oldest first, [K] each: two bars are neighbours when their places are."""

    calendar: str
    interval_ns: int
    start_ns: IntArray  # UTC; of a bar of a day, midnight UTC of its session's date
    wall_ns: IntArray  # the same start on the exchange's clock
    session: IntArray  # number of the session, from 0

    def place(self, start_ns: IntArray) -> IntArray:
        """Where on the grid bars start, -1 where none is expected."""
        at = np.minimum(np.searchsorted(self.start_ns, start_ns), len(self.start_ns) - 1)
        return np.where(self.start_ns[at] == start_ns, at, -1)

    def coarser(self, interval_ns: int) -> tuple[Grid, IntArray]:
        """The grid of ``interval_ns`` bars counted from each session's first bar, and the bucket of each bar.

        A session's last bucket holds what is left; a day holds a whole session. Raises InputError when
        ``interval_ns`` is no multiple of the grid's, or longer than a day.
        """
        if interval_ns > DAY_NS or (interval_ns % self.interval_ns and interval_ns != DAY_NS):
            raise InputError(
                f"interval {interval_ns / NS_PER_S:g} s on calendar {self.calendar}: give a multiple of the"
                f" bars' {self.interval_ns / NS_PER_S:g} s, up to 1d (a whole session)"
            )
        begins = np.flatnonzero(np.diff(self.session, prepend=-1))
        slot = np.arange(len(self.session)) - np.repeat(begins, np.diff(np.append(begins, len(self.session))))
        per = interval_ns // self.interval_ns if interval_ns < DAY_NS else len(self.session)
        first = slot % per == 0
        start_ns, wall_ns = self.start_ns[first], self.wall_ns[first]
        if interval_ns == DAY_NS:
            start_ns = wall_ns = wall_ns // DAY_NS * DAY_NS
        return Grid(self.calendar, interval_ns, start_ns, wall_ns, self.session[first]), np.cumsum(first) - 1


@dataclass(frozen=True, slots=True)
class Fit:
    """How bars lie on a calendar: ``place`` [T] on ``grid`` or -1, and the clock their times are read in."""

    grid: Grid
    place: IntArray
    clock: str
    stamped_at_end: bool = False  # the times were the bars' ends: ``place`` is by their starts


def fit(calendar: str, start_ns: IntArray, interval_ns: int, *, look_for_ends: bool = True) -> Fit:
    """Lay bars [T] of ``interval_ns`` on ``calendar``, their times read as UTC or as the exchange's clock.

    The reading that leaves fewer bars outside the sessions is taken, UTC where both are equal; bars start
    at the most frequent phase of the interval. Bars of which most sessions lack the first, and have one too
    many behind the last, bear the time of their end, and are laid by their start. Raises InputError on an
    unknown calendar, intervals over a day, dates a calendar does not know, and when two thirds of the bars
    lie outside.
    """
    if interval_ns > DAY_NS:
        raise InputError(f"bars of {interval_ns / DAY_NS:g} days on calendar {calendar}: give up to one day")
    first, last = int(start_ns[0]) - MARGIN_NS, int(start_ns[-1]) + MARGIN_NS
    if (last - first) // interval_ns > MAX_BARS:
        raise InputError(
            f"bars of {interval_ns / NS_PER_S:g} s from {when(first)} to {when(last)}: at most {MAX_BARS} fit"
            " there; is one of the times wrong? narrow --from, --to"
        )
    known = sessions(calendar, first // DAY_NS, last // DAY_NS)
    other = known.to_wall_ns(start_ns) if interval_ns == DAY_NS else known.to_utc_ns(start_ns)
    clocks = {"UTC": start_ns, known.clock: other}
    best = _on_better_clock(known, clocks, interval_ns)
    if look_for_ends and interval_ns < DAY_NS:
        best = _by_ends(known, best, clocks, interval_ns)
    inside = float((best.place >= 0).mean())
    if inside < MIN_INSIDE:
        raise InputError(
            f"{100 * inside:.0f} % of the bars lie in sessions of {calendar}, read as UTC or as"
            f" {known.clock}: give the market's own --calendar, or none if it never closes"
        )
    return best


def _inside(one: Fit) -> int:
    return int((one.place >= 0).sum())


def _on_better_clock(
    known: Sessions, clocks: dict[str, IntArray], interval_ns: int, earlier_ns: int = 0
) -> Fit:
    """The bars laid by the clock that leaves more of them inside, the first where both are equal."""
    fits = (_lay(known, times - earlier_ns, interval_ns, clock) for clock, times in clocks.items())
    return max(fits, key=_inside)


def _by_ends(known: Sessions, best: Fit, clocks: dict[str, IntArray], interval_ns: int) -> Fit:
    """``best``, or the bars laid one interval earlier if that brings one more of most sessions inside."""
    moved = _on_better_clock(known, clocks, interval_ns, earlier_ns=interval_ns)
    seen = len(np.unique(moved.grid.session[moved.place[moved.place >= 0]]))
    mostly = _inside(moved) >= MIN_INSIDE_BY_ENDS * len(moved.place)
    if not mostly or _inside(moved) - _inside(best) < max(1, seen / 2):
        return best
    return Fit(moved.grid, moved.place, moved.clock, stamped_at_end=True)


class Hours(NamedTuple):
    """The hours of the session that each bar belongs to, [T] each in ns UTC, as in ``Sessions``."""

    open_ns: IntArray
    close_ns: IntArray
    break_ns: IntArray
    resume_ns: IntArray


def hours(calendar: str, start_ns: IntArray, interval_ns: int) -> Hours:
    """The hours around bars that lie on ``calendar``: of a day's bar those of its date's session."""
    first, last = int(start_ns[0]) - MARGIN_NS, int(start_ns[-1]) + MARGIN_NS
    known = sessions(calendar, first // DAY_NS, last // DAY_NS)
    if interval_ns == DAY_NS:
        at = np.searchsorted(known.date_ns, start_ns)
    else:
        at = np.searchsorted(known.close_ns, start_ns, side="right")
    return Hours(known.open_ns[at], known.close_ns[at], known.break_ns[at], known.resume_ns[at])


def when(start_ns: int, zone: str = "Z") -> str:
    """A time in ISO 8601, to the second."""
    return f"{np.datetime64(int(start_ns) // NS_PER_S, 's')}{zone}"


def _lay(known: Sessions, utc_ns: IntArray, interval_ns: int, clock: str) -> Fit:
    if interval_ns == DAY_NS:
        days = np.arange(len(known.date_ns))
        grid = Grid(known.calendar, interval_ns, known.date_ns, known.date_ns, days)
        return Fit(grid, grid.place(utc_ns // DAY_NS * DAY_NS), clock)
    phases, counts = np.unique(known.to_wall_ns(utc_ns) % DAY_NS % interval_ns, return_counts=True)
    grid = _intraday(known, interval_ns, int(phases[np.argmax(counts)]))
    return Fit(grid, grid.place(utc_ns), clock)


def _intraday(known: Sessions, interval_ns: int, phase_ns: int) -> Grid:
    """Bars that overlap the hours of each session, at ``phase_ns`` of the interval by wall clock."""
    wall_open = known.open_ns + known.offset_ns
    midnight = wall_open // DAY_NS * DAY_NS
    first = (wall_open - midnight - phase_ns) // interval_ns * interval_ns + phase_ns + midnight
    first -= known.offset_ns
    count = -(-(known.close_ns - first) // interval_ns)
    session = np.repeat(np.arange(len(first)), count)
    slot = np.arange(len(session)) - np.repeat(np.cumsum(count) - count, count)
    start_ns = first[session] + interval_ns * slot
    trades = (start_ns < known.break_ns[session]) | (start_ns + interval_ns > known.resume_ns[session])
    trades &= np.diff(start_ns, prepend=start_ns[:1] - 1) > 0  # two sessions that touch share a bar: once
    start_ns, session = start_ns[trades], session[trades]
    return Grid(known.calendar, interval_ns, start_ns, start_ns + known.offset_ns[session], session)


@lru_cache(maxsize=64)
def sessions(calendar: str, first_day: int, last_day: int) -> Sessions:
    """Sessions from one date to another, in days since 1970.

    Raises InputError on an unknown calendar, naming the nearest, and on dates it does not know.
    """
    import exchange_calendars as library  # pandas: too slow for --help

    dates = [str(np.datetime64(day, "D")) for day in (first_day, last_day)]
    try:
        with warnings.catch_warnings():  # of pandas, about the library's own calls
            warnings.simplefilter("ignore")
            found = library.get_calendar(calendar, start=dates[0], end=dates[1])
            return _sessions(found)
    except library.errors.InvalidCalendarName:
        names = library.get_calendar_names(include_aliases=True)
        raise InputError(_unknown(calendar, names)) from None
    except (library.errors.CalendarError, ValueError) as error:
        raise InputError(
            f"calendar {calendar} has no sessions from {dates[0]} to {dates[1]}: {error};"
            " narrow --from, --to or leave --calendar out"
        ) from error


def _sessions(found: ExchangeCalendar) -> Sessions:
    table = found.schedule

    def ns(name: str) -> IntArray:
        values: IntArray = (
            table[name].dt.tz_convert(None).to_numpy().astype("datetime64[ns]").astype(np.int64)
        )
        return values

    open_ns, close_ns = ns("open"), ns("close")
    wall = table["open"].dt.tz_convert(found.tz).dt.tz_localize(None).to_numpy().astype("datetime64[ns]")
    pauses, resumes = (
        np.where(table[name].isna(), close_ns, ns(name)) for name in ("break_start", "break_end")
    )
    return Sessions(
        calendar=str(found.name),
        clock=str(found.tz),
        date_ns=table.index.to_numpy().astype("datetime64[ns]").astype(np.int64),
        open_ns=open_ns,
        close_ns=close_ns,
        break_ns=pauses,
        resume_ns=resumes,
        offset_ns=wall.astype(np.int64) - open_ns,
    )


def _unknown(calendar: str, names: list[str]) -> str:
    near = get_close_matches(calendar.upper(), names, n=3, cutoff=0.6)
    hint = f"the nearest are {', '.join(near)}" if near else "for example XNYS, XNAS, XLON, XTKS, 24/7"
    return f"unknown calendar {calendar!r}: {hint} (names of exchange_calendars)"
