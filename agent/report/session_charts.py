"""Plots of a recorded session: mid, spread and how busy it was over time, with where data is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from agent.pages.elements import Drawings, LegendEntry
from agent.pages.plot import COLOUR, figure, legend_entry
from agent.pages.source import Source

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNITS = {"hours": 3600e9, "minutes": 60e9, "seconds": 1e9}
RATES = {"book_updates": "s-twap", "trades": "s-dump"}
GAP_COLOUR = "s-ac"
SIZE = (4.2, 2.9)  # of a plot, inches


@dataclass(frozen=True, slots=True)
class Clock:
    """The session's own time: ns UTC, and the unit that its plots count from the start."""

    start_ns: int
    end_ns: int

    @property
    def unit(self) -> str:
        """The largest of which the session holds two."""
        return next((u for u, ns in UNITS.items() if self.end_ns - self.start_ns >= 2 * ns), "seconds")

    def since_start(self, times_ns: Sequence[float]) -> list[float]:
        """Each time in units from the start."""
        return [(at - self.start_ns) / UNITS[self.unit] for at in times_ns]


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """What every plot of an instrument shares; ``gaps``: ends of each in the clock's unit."""

    clock: Clock
    gaps: tuple[tuple[float, float], ...]

    def finish(self, ax: Axes, title: str, unit: str) -> None:
        """Mark the gaps and name the axes."""
        for start, end in self.gaps:
            ax.axvspan(start, end, color=COLOUR[GAP_COLOUR], alpha=0.3, linewidth=0.8)
        ax.set_title(title)
        ax.set_xlabel(f"{self.clock.unit} from the start")
        ax.set_ylabel(unit)


def session_charts(source: Source, one: Source, clock: Clock) -> Drawings:
    """The plots of one instrument of a session's inspection."""
    symbol, number = one.text("symbol"), one.whole("number")
    gaps = tuple(_span(g, clock) for g in source.entries("gaps") if g.text("symbol") == symbol)
    axis = TimeAxis(clock, gaps)
    bin_ns = source.whole("rates/bin_ns")
    mid = partial(_line, one=one, axis=axis, below="mid", title="mid", unit="price")
    spread = partial(_line, one=one, axis=axis, below="spread_bps", title="spread", unit="bps")
    rates = partial(_rates, one=one, axis=axis, bin_ns=bin_ns)
    figures = (
        figure(f"mid-{number}", f"mid of {symbol} over time", mid, SIZE),
        figure(f"spread-{number}", f"spread of {symbol} over time", spread, SIZE),
        figure(f"rates-{number}", f"trades and book updates of {symbol} a second", rates, SIZE),
    )
    legend = [legend_entry(name.replace("_", " "), colour, "-", "") for name, colour in RATES.items()]
    if gaps:
        legend.append(LegendEntry("data is missing", GAP_COLOUR, band=True))
    return Drawings(figures, tuple(legend), "three")


def _span(gap: Source, clock: Clock) -> tuple[float, float]:
    """A gap's ends; one that never closed lasts to the session's end."""
    end_ns = clock.end_ns if gap.find("to_ns") is None else gap.whole("to_ns")
    start, end = clock.since_start([gap.whole("from_ns"), end_ns])
    return start, end


def _line(ax: Axes, one: Source, axis: TimeAxis, below: str, title: str, unit: str) -> None:
    at = axis.clock.since_start([at or 0.0 for at in one.reals("over_time/sample_ns")])
    values = [np.nan if v is None else v for v in one.reals(f"over_time/{below}")]
    ax.plot(at, values, color=COLOUR["s-lem"], linewidth=1.0)
    axis.finish(ax, title, unit)
    ax.ticklabel_format(axis="y", useOffset=False)


def _rates(ax: Axes, one: Source, axis: TimeAxis, bin_ns: int) -> None:
    clock = axis.clock
    for name, colour in RATES.items():
        counts = one.reals(f"over_time/{name}")
        at = clock.since_start([clock.start_ns + k * bin_ns for k in range(len(counts))])
        rates = np.array([n or 0.0 for n in counts]) / (bin_ns / 1e9)
        ax.plot(at, rates, color=COLOUR[colour], linewidth=1.0, drawstyle="steps-post")
    axis.finish(ax, "trades and book updates a second", "1/s")
