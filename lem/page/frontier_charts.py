"""Plots of the frontier: mean gain after impact against deviation, for each market and participation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from agent.pages.elements import Drawings
from agent.pages.plot import COLOUR, figure
from agent.pages.source import Source
from lem.page.looks import legend, look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVES = ("programme", "lem")
SHOWN = ("optimal_stopping", "dump", "twap")
SIZE = (4.2, 3.3)
MARGIN = 0.3  # of the curves' extent: how far from them a rule may lie and still be drawn in place
LEAST_STD, LEAST_NET = 0.12, 0.04  # extents in sigma, so that noise does not look like a difference
SEEN = {"gaussian": "walk", "gaussian-bars": "walk seen as bars"}


@dataclass(frozen=True, slots=True)
class Point:
    """A strategy at one risk aversion, mean of the sides, in units of sigma; ``half``: of its interval."""

    risk_aversion: float
    std: float
    net: float
    half: float


def frontier_charts(curves: Sequence[Source]) -> Drawings:
    """A drawing for each curve, and the legend."""
    drawn = [
        figure(
            f"frontier-{k}",
            f"mean gain after impact against deviation, {curve_title(one)}",
            partial(_panel, curve=one),
            SIZE,
        )
        for k, one in enumerate(curves)
    ]
    return Drawings(tuple(drawn), legend([*CURVES, *SHOWN]), "three")


def curve_title(curve: Source) -> str:
    """The market as it is called on the page, and the participation."""
    market = curve.text("market")
    return f"{SEEN.get(market, market)}, {100 * (curve.real('participation') or 0.0):g} % of the volume"


def _both_sides(points: list[Source], strategy: str) -> list[Point]:
    """Mean over the sides of a strategy's points, in order of risk aversion."""
    groups: dict[float, list[Source]] = {}
    for point in points:
        if point.text("strategy") == strategy:
            groups.setdefault(point.real("risk_aversion") or 0.0, []).append(point)
    return [_mean(x, group) for x, group in sorted(groups.items())]


def _mean(risk_aversion: float, group: list[Source]) -> Point:
    std, net = (sum(p.real(name) or 0.0 for p in group) / len(group) for name in ("std_sigma", "net_sigma"))
    ends = [found for p in group if (found := p.ends("net_sigma_ci95"))]
    half = sum(0.5 * (b - a) for a, b in ends) / max(1, len(ends))  # the sides share their paths
    return Point(risk_aversion, std, net, half)


def _panel(ax: Axes, curve: Source) -> None:
    points, drawn = curve.entries("points"), []
    for name in CURVES:
        line, one = _both_sides(points, name), look(name)
        drawn += line
        ax.errorbar(
            [p.std for p in line],
            [p.net for p in line],
            [p.half for p in line],
            color=COLOUR[one.colour],
            linestyle=one.style,
            marker=one.marker,
            elinewidth=0.6,
        )
        for p in line[:1] + line[-1:]:
            text, at = f"{p.risk_aversion:g}", (p.std, p.net)
            ax.annotate(text, at, (4, 4), textcoords="offset points", fontsize=7, color=COLOUR[one.colour])
    if drawn:
        _rules(ax, curve.entries("rules"), drawn)
    ax.set_title(curve_title(curve))
    ax.set_xlabel("standard deviation of the gain, sigma")
    ax.set_ylabel("mean gain after impact, sigma")


def _extent(values: list[float], least: float) -> tuple[float, float]:
    """The values' range, at least ``least`` wide, with a margin on both sides."""
    half = (0.5 + MARGIN) * max(max(values) - min(values), least)
    middle = 0.5 * (min(values) + max(values))
    return middle - half, middle + half


def _rules(ax: Axes, rules: list[Source], drawn: list[Point]) -> None:
    """Rules near the curves in their place; those far from it named with their coordinates."""
    left, right = ax.set_xlim(*_extent([p.std for p in drawn], LEAST_STD))
    low, high = ax.set_ylim(*_extent([p.net for p in drawn], LEAST_NET))
    far = []
    for name in SHOWN:
        for p in _both_sides(rules, name):
            one = look(name)
            if left <= p.std <= right and low <= p.net <= high:
                colour = COLOUR[one.colour]
                ax.plot([p.std], [p.net], linestyle="none", marker=one.marker, markersize=6, color=colour)
            else:
                far.append(f"{one.label}: {p.std:.2f}, {p.net:.2f}")
    if far:
        text = "beyond the edges (x, y):\n" + "\n".join(far)
        ax.text(0.98, 0.03, text, transform=ax.transAxes, fontsize=6.5, ha="right", color=COLOUR["soft"])
