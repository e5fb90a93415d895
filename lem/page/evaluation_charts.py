"""Plots of an evaluation: each measure against the min period, one small drawing for each scenario."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from agent.pages.elements import Drawings, LegendEntry
from agent.pages.plot import COLOUR, WIDE, figure, legend_entry, named_rows
from agent.pages.source import Source
from lem.page.looks import TARGETS, legend, look, strategies

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = tuple(TARGETS)


@dataclass(frozen=True, slots=True, order=True)
class Scenario:
    """What the orders of a row are."""

    kind: str
    benchmark: str
    side: str

    @property
    def title(self) -> str:
        return f"{self.side}, {TARGETS.get(self.kind, self.kind)}, {self.benchmark.upper()}"

    @property
    def anchor(self) -> str:
        return f"{self.side}-{self.kind}-{self.benchmark}"


@dataclass(frozen=True, slots=True)
class Measure:
    """Paths in a row: ``own`` the model's value, ``other`` a baseline's, ``interval`` and ``bound``.

    ``without``: baselines that are not drawn.
    """

    name: str
    label: str
    own: str
    other: str
    interval: str = ""
    bound: str = ""
    without: tuple[str, ...] = ()


GAIN = Measure(
    "gain",
    "mean gain, bps",
    "gain_bps/mean",
    "gain_bps_mean",
    "gain_bps/ci95",
    "bound_gain_bps",
    ("optimal_impact", "optimal_risk"),
)
DEVIATION = Measure("deviation", "standard deviation of the gain, bps", "gain_bps/std", "gain_bps_std")
NET = Measure(
    "net", "mean gain after impact, bps", "gain_after_impact_bps_mean", "gain_after_impact_bps_mean"
)


@dataclass(frozen=True, slots=True)
class Point:
    """A value with its interval, at a min period."""

    min_period: int
    value: float
    low: float
    high: float


def min_period(row: Source) -> int:
    return int(row.real("min_period") or 0)


def anchor(source: Source) -> str:
    """What makes the anchors of one document's drawings differ from another's on the same page."""
    return source.at.replace("/", "-") + "-" if source.at else ""


def scenarios(source: Source, kinds: Sequence[str] = KINDS) -> dict[Scenario, list[Source]]:
    """The rows of each scenario in order of min period; time-weighted benchmarks first."""
    found: dict[Scenario, list[Source]] = {}
    for row in source.entries("rows"):
        if row.text("target_kind") in kinds:
            one = Scenario(*(row.text(key) for key in ("target_kind", "benchmark", "side")))
            found.setdefault(one, []).append(row)
    order = sorted(found, key=lambda one: (kinds.index(one.kind), one.benchmark, one.side))
    return {one: sorted(found[one], key=min_period) for one in order}


def against_min_period(source: Source, measure: Measure, kinds: Sequence[str]) -> Drawings:
    """A legend, and a drawing for each scenario."""
    names = [n for n in strategies(source.entries("rows")) if n not in measure.without]
    drawn = [
        figure(
            f"{anchor(source)}{measure.name}-{one.anchor}",
            f"{measure.label} against the min period: {one.title}",
            partial(_panel, one=one, rows=rows, measure=measure, names=names),
        )
        for one, rows in scenarios(source, kinds).items()
    ]
    return Drawings(tuple(drawn), legend([*(["bound"] if measure.bound else []), "lem", *names]))


def _panel(ax: Axes, one: Scenario, rows: list[Source], measure: Measure, names: list[str]) -> None:
    periods = [min_period(row) for row in rows]
    ax.axhline(0.0, color=COLOUR["soft"], linewidth=0.6)
    for name in names:
        _line(ax, periods, [row.entry("baselines", name).real(measure.other) for row in rows], name)
    if measure.bound:
        _line(ax, periods, [row.real(measure.bound) for row in rows], "bound")
    own = [row.real(measure.own) for row in rows]
    _line(ax, periods, own, "lem")
    if measure.interval:
        points = [(x, y, row.ends(measure.interval)) for x, y, row in zip(periods, own, rows, strict=True)]
        _intervals(ax, [Point(x, y, *ends) for x, y, ends in points if y is not None and ends])
    ax.set_title(one.title)
    ax.set_xlabel("min period m, intervals")
    ax.set_ylabel("bps")
    ax.set_xticks(periods)


def _line(ax: Axes, x: Sequence[float], y: Sequence[float | None], name: str) -> None:
    known = [(a, b) for a, b in zip(x, y, strict=True) if b is not None]
    one = look(name)
    if known:
        ax.plot(
            *zip(*known, strict=True),
            color=COLOUR[one.colour],
            linestyle=one.style,
            marker=one.marker,
            linewidth=1.8 if name == "lem" else 1.1,
            zorder=4 if name == "lem" else 2,
        )


def _intervals(ax: Axes, points: list[Point]) -> None:
    if points:
        x, y, low, high = _columns(points)
        ax.errorbar(x, y, [y - low, high - y], color=COLOUR["s-lem"], capsize=2.5, linestyle="none")


def _columns(points: list[Point]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Min periods, values, and lower and upper ends: [4, points]."""
    return np.array([[p.min_period, p.value, p.low, p.high] for p in points], np.float64).T


def fractions(source: Source) -> Drawings:
    """Fraction of the bound as realised, and as kept by regret where that is known."""
    kinds = (
        ("fraction", "mean gain / bound, as realised", _realised),
        ("regret", "part of the bound kept, by regret", _kept),
    )
    rows = scenarios(source)
    drawn = []
    for name, label, find in kinds:
        found = {one: [p for row in group if (p := find(row)) is not None] for one, group in rows.items()}
        found = {one: points for one, points in found.items() if points}
        if found:
            what, draw = f"{label}, against the min period", partial(_fractions, found=found, label=label)
            drawn.append(figure(f"{anchor(source)}{name}", what, draw, WIDE))
    return Drawings(tuple(drawn), tuple(map(_side_entry, rows)), "wide")


def _side_entry(one: Scenario) -> LegendEntry:
    """The look of a scenario: colour by side, line by benchmark, mark by target."""
    colour = "s-buy" if one.side == "buy" else "s-sell"
    style = "-" if one.benchmark == "twap" else ":"
    plain = one.kind == "quantity"
    return legend_entry(one.title, colour, style, "o" if plain else "s", hollow=not plain)


def _realised(row: Source) -> Point | None:
    bound, fraction = row.real("bound_gain_bps"), row.real("fraction_of_bound")
    ends = row.ends("gain_bps/ci95")
    if fraction is None or not bound or ends is None:
        return None
    return Point(min_period(row), fraction, ends[0] / bound, ends[1] / bound)


def _kept(row: Source) -> Point | None:
    kept, ends = row.real("regret/fraction_of_bound"), row.ends("regret/ci95")
    return None if kept is None or ends is None else Point(min_period(row), kept, *ends)


def _fractions(ax: Axes, found: dict[Scenario, list[Point]], label: str) -> None:
    ax.axhline(1.0, color=COLOUR["s-bound"], linestyle="--", linewidth=1.0)
    for i, (one, points) in enumerate(found.items()):
        shift = 0.07 * (i - 0.5 * (len(found) - 1))
        colour = COLOUR["s-buy" if one.side == "buy" else "s-sell"]
        x, y, low, high = _columns(points)
        ax.errorbar(
            x + shift,
            y,
            [y - low, high - y],
            color=colour,
            capsize=2,
            elinewidth=0.9,
            linewidth=1.0,
            linestyle="-" if one.benchmark == "twap" else ":",
            marker="o" if one.kind == "quantity" else "s",
            markerfacecolor=colour if one.kind == "quantity" else COLOUR["paper"],
        )
    ax.set_xticks(sorted({p.min_period for points in found.values() for p in points}))
    ax.set_xlabel("min period m, intervals")
    ax.set_ylabel(label)


def fixed_horizon(source: Source) -> Drawings | None:
    """Mean |slippage| where m = n, of every strategy in every scenario."""
    shown = {
        one.title: row
        for one, group in scenarios(source).items()
        for row in group
        if row.find("min_period") == source.find("n")
    }
    if not shown:
        return None
    names = ["lem", *[n for n in strategies(shown.values()) if n in ("twap", "vwap_curve")]]

    def draw(ax: Axes) -> None:
        for name in names:
            values = [_slippage(row, name) for row in shown.values()]
            known = [(v, i) for i, v in enumerate(values) if v is not None]
            one = look(name)
            if known:
                x, y = zip(*known, strict=True)
                ax.plot(x, y, linewidth=0, marker=one.marker, markersize=6, color=COLOUR[one.colour])
        named_rows(ax, list(shown))
        ax.set_xlim(left=0.0)
        ax.set_xlabel("mean |slippage|, bps")

    drawn = figure(f"{anchor(source)}slippage", "mean absolute slippage where m = n", draw, WIDE)
    return Drawings((drawn,), legend(names), "wide")


def _slippage(row: Source, name: str) -> float | None:
    return (row if name == "lem" else row.entry("baselines", name)).real("abs_slippage_bps_mean")
