"""The page of ``agent sessions inspect --html``: where data is missing, how busy it was, spread and mid.

One file without script or network, made of the inspection's document, which travels inside it. What the page
says stands in ``templates/session.html.j2``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import floor, log10
from typing import TYPE_CHECKING

import numpy as np

from agent.pages.elements import Column, Drawings, LegendEntry, Table, Tile, table
from agent.pages.numbers import Number
from agent.pages.plot import COLOUR, figure, legend_entry
from agent.pages.shell import render
from agent.pages.source import Source

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNITS = {"hours": 3600e9, "minutes": 60e9, "seconds": 1e9}
EVENTS = {
    "trade": "trades",
    "level": "book levels",
    "bbo": "best bids and offers",
    "snapshot_begin": "snapshots begun",
    "snapshot_end": "snapshots ended",
    "gap_begin": "gaps begun",
    "gap_end": "gaps ended",
    "stale": "silences begun",
    "alive": "silences ended",
    "history": "rows of history",
}
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


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument's section; ``drawings`` is None where there is no tape of it."""

    number: int
    symbol: str
    tiles: tuple[Tile, ...]
    events: tuple[tuple[str, Number], ...]
    drawings: Drawings | None


def session_page(document: Mapping[str, object]) -> str:
    """The whole file as text. ``document`` comes from ``storage.recordings.inspection``."""
    source = Source(document)
    clock = Clock(_ns(source, "start_ns"), _ns(source, "end_ns"))
    return render(
        "agent.report/session.html.j2",
        title=f"Session {source.text('session')}",
        document=document,
        state="; ".join([source.text("state"), *source.texts("problems")]),
        source=source.text("source"),
        start=_utc(clock.start_ns),
        end=_utc(clock.end_ns),
        events=source.count("events"),
        bars=source.count("bars"),
        megabytes=source.number("bytes", 1, 1e-6),
        compacted=bool(source.find("compacted")),
        results=_counts(source, "results", {}),
        gaps=_gaps(source.entries("gaps")),
        instruments=[_instrument(source, one, clock) for one in source.entries("instruments")],
        orders=_orders(source.entries("orders")),
    )


def _ns(source: Source, below: str) -> int:
    """The time at a path, exact to the nanosecond; 0 where there is none."""
    value = source.find(below)
    return value if isinstance(value, int) else 0


def _utc(ns: int) -> str:
    return str(np.datetime64(ns // 10**6, "ms")).replace("T", " ") + " UTC"


def _counts(source: Source, below: str, names: Mapping[str, str]) -> tuple[tuple[str, Number], ...]:
    """What was counted, in the order of ``names``, others last."""
    keys = source.keys(below)
    order = [*(k for k in names if k in keys), *(k for k in keys if k not in names)]
    return tuple((names.get(k, k), n) for k in order if (n := source.entry(below, k).count("")) is not None)


def _gaps(gaps: Sequence[Source]) -> Table | None:
    columns = [
        Column("symbol", [g.text("symbol") for g in gaps], "word"),
        Column("stream", [g.text("stream") for g in gaps], "word"),
        Column("from", [_utc(_ns(g, "from_ns")) for g in gaps], "word"),
        Column("seconds", [g.number("seconds", 3) or "never closed" for g in gaps]),
        Column("events lost", [g.count("lost") for g in gaps]),
    ]
    return table(columns, "")


def _orders(orders: Sequence[Source]) -> Table | None:
    names = {"order": "id", "side": "side", "symbol": "symbol", "algo": "algo", "state": "state"}
    return table([Column(n, [o.text(key) for o in orders], "word") for n, key in names.items()], "")


def _instrument(source: Source, one: Source, clock: Clock) -> Instrument:
    events = _counts(one, "counts", EVENTS)
    drawn = _drawings(source, one, clock) if events else None
    return Instrument(_ns(one, "number"), one.text("symbol"), tuple(_tiles(one)), events, drawn)


def _tiles(one: Source) -> list[Tile]:
    """Headline numbers of an instrument, those that there are."""
    decimals = _price_decimals(one.real("mid/high") or 1.0)
    made = [
        ([one.count("counts/trade")], "", "trades"),
        ([one.number("peak_trades_per_s", 1)], "/s", "trades at the busiest time"),
        ([one.number("spread_bps/median", 4)], "bps", "median spread"),
        ([one.number(f"mid/{end}", decimals) for end in ("low", "high")], "", "lowest / highest mid"),
    ]
    known = [(tuple(n for n in numbers if n is not None), unit, what) for numbers, unit, what in made]
    return [Tile(*given) for given in known if given[0]]


def _price_decimals(price: float) -> int:
    """Six digits of a price."""
    return min(12, max(0, 5 - floor(log10(price)))) if price > 0 else 2


def _drawings(source: Source, one: Source, clock: Clock) -> Drawings:
    symbol, number = one.text("symbol"), _ns(one, "number")
    gaps = tuple(_span(g, clock) for g in source.entries("gaps") if g.text("symbol") == symbol)
    axis = TimeAxis(clock, gaps)
    bin_ns = _ns(source, "rates/bin_ns")
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
    end_ns = clock.end_ns if gap.find("to_ns") is None else _ns(gap, "to_ns")
    start, end = clock.since_start([_ns(gap, "from_ns"), end_ns])
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
