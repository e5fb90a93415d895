"""Splits of raw prices: a session that opens at a simple ratio of the last close, without a rush of trading.

A real fall or rise of that size comes with news, and news with trading; a split comes with neither. So the
step from the last close to the open is a split when it

* is within NEAR of a ratio in RATIOS (2 for 1, 3 for 2, ... or 1 for 2, 1 for 3),
* is more than UNUSUAL times the volatility of the SPAN sessions before,
* is still there at the session's close (else the open is a bad print),
* and the session's traded money is at most RUSH times its median over those sessions;

or when it is beyond EXTREME, whatever else. A share handed out beside the dividend (a spin-off) looks the
same and does the same harm. Splits happen between sessions, so only bars on a calendar are searched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.barfiles.calendars import when
from agent.barfiles.read_bars import Series
from agent.core.arrays import FloatArray

RATIOS = {
    "5 for 4": 4 / 5,
    "4 for 3": 3 / 4,
    "3 for 2": 2 / 3,
    "5 for 3": 3 / 5,
    "2 for 1": 1 / 2,
    "5 for 2": 2 / 5,
    "3 for 1": 1 / 3,
    "1 for 2": 2.0,
    "1 for 3": 3.0,
}
NEAR = 0.03  # of the log ratio
UNUSUAL = 5.0
RUSH = 2.0
SPAN = 20  # sessions
MIN_SPAN = 5
EXTREME = float(np.log(3.5))
SMALLEST = min(abs(float(np.log(ratio))) for ratio in RATIOS.values()) - NEAR


@dataclass(frozen=True, slots=True)
class Split:
    """``row`` is the first bar after it; ``ratio`` the open over the close before; ``terms`` as RATIOS."""

    row: int
    date: str
    ratio: float
    terms: str

    def __str__(self) -> str:
        return f"{self.date} x{self.ratio:.4f} ({self.terms})"


def find_splits(series: Series) -> list[Split]:
    """Splits in the bars of a series on a calendar, oldest first; none for one that has no calendar."""
    if series.grid is None or len(series.bars) < 2:
        return []
    place = series.grid.place(series.bars["start_ns"])
    first = np.flatnonzero(np.diff(series.grid.session[place], prepend=-1))
    opened = series.bars["open"][first]
    closed = series.bars["close"][np.append(first[1:], len(series.bars)) - 1]
    money = np.add.reduceat(series.bars["quote_volume"], first)
    overnight = np.log(opened[1:] / closed[:-1])
    moves = np.diff(np.log(closed))
    out = []
    for k in np.flatnonzero(np.abs(overnight) > SMALLEST) + 1:
        step = float(overnight[k - 1])
        terms = _terms(step, moves[max(0, k - 1 - SPAN) : k], money[max(0, k - SPAN) : k + 1])
        if terms is not None:
            date = when(series.grid.wall_ns[place[first[k]]], "")[:10]
            out.append(Split(int(first[k]), date, float(np.exp(step)), terms))
    return out


def _terms(step: float, moves: FloatArray, money: FloatArray) -> str | None:
    """The split's terms; ``moves`` from close to close and ``money`` end with the session in question."""
    if abs(step) > EXTREME:
        return f"about 1 for {np.exp(step):.0f}" if step > 0 else f"about {np.exp(-step):.0f} for 1"
    name, ratio = min(RATIOS.items(), key=lambda one: abs(step - np.log(one[1])))
    before = moves[:-1]
    if abs(step - np.log(ratio)) > NEAR or len(before) < MIN_SPAN:
        return None
    unusual = abs(step) > UNUSUAL * np.sqrt(np.mean(before**2))
    stays = abs(moves[-1] - step) < abs(step) / 2
    calm = money[-1] <= RUSH * np.median(money[:-1])
    return name if unusual and stays and calm else None
