"""The frontier: mean gain after impact against deviation, for the model and the exact optimum."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from agent.pages.markup import Markup, join, tag
from agent.pages.plot import COLOUR, figure
from lem.page.glossary import legend, look
from lem.page.page_tables import Column, table
from lem.page.source import Source

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Point = dict[str, Any]
CURVES = ("programme", "lem")
SHOWN = ("optimal_stopping", "dump", "twap")
SIZE = (4.2, 3.3)
ROOM = 0.3  # of the curves' extent: how far from them a rule may lie and still be drawn in place
LEAST = {"std_sigma": 0.12, "net_sigma": 0.04}  # extents, so that noise does not look like a difference


def frontier(source: Source) -> Markup:
    """A drawing for each market and participation, and the points; "" where the document has none."""
    curves = source.parts("frontier/curves")
    if not curves:
        return Markup()
    drawn = [
        figure(
            f"frontier-{k}",
            f"mean gain after impact against deviation, {_named(one)}",
            partial(_panel, curve=one),
            SIZE,
        )
        for k, one in enumerate(curves)
    ]
    folded = [tag("details", tag("summary", f"The points: {_named(one)}"), _table(one)) for one in curves]
    return join(legend([*CURVES, *SHOWN]), tag("div", *drawn, class_="figures three"), *folded)


def _named(curve: Source) -> str:
    seen = {"gaussian": "walk", "gaussian-bars": "walk seen as bars"}
    market = str(curve.find("market"))
    return f"{seen.get(market, market)}, {100 * (curve.real('participation') or 0.0):g} % of the volume"


def _both_sides(points: list[Point], strategy: str) -> list[Point]:
    """Mean over the sides of a strategy's points, in order of risk aversion."""
    groups: dict[float, list[Point]] = {}
    for point in points:
        if point.get("strategy") == strategy:
            groups.setdefault(point.get("risk_aversion", 0.0), []).append(point)
    names = ("std_sigma", "net_sigma")
    out = []
    for x, group in sorted(groups.items()):
        mean = {name: sum(p[name] for p in group) / len(group) for name in names}
        ends = [p["net_sigma_ci95"] for p in group if p.get("net_sigma_ci95")]
        mean["half_width"] = sum(0.5 * (b - a) for a, b in ends) / max(1, len(ends))  # the sides share paths
        out.append({"risk_aversion": x, **mean})
    return out


def _panel(ax: Axes, curve: Source) -> None:
    points: list[Point] = curve.find("points") or []
    drawn = []
    for name in CURVES:
        line, one = _both_sides(points, name), look(name)
        drawn += line
        x, y, half = ([p[key] for p in line] for key in ("std_sigma", "net_sigma", "half_width"))
        ax.errorbar(
            x, y, half, color=COLOUR[one.colour], linestyle=one.style, marker=one.marker, elinewidth=0.6
        )
        for point in line[:1] + line[-1:]:
            text, at = f"{point['risk_aversion']:g}", (point["std_sigma"], point["net_sigma"])
            ax.annotate(text, at, (4, 4), textcoords="offset points", fontsize=7, color=COLOUR[one.colour])
    _rules(ax, curve.find("rules") or [], drawn)
    ax.set_title(_named(curve))
    ax.set_xlabel("standard deviation of the gain, sigma")
    ax.set_ylabel("mean gain after impact, sigma")


def _rules(ax: Axes, rules: list[Point], drawn: list[Point]) -> None:
    """Rules near the curves in their place; those far from it named with their coordinates."""
    ends = []
    for axis in ("std_sigma", "net_sigma"):
        values = [p[axis] for p in drawn]
        extent = max(max(values) - min(values), LEAST[axis])
        middle = 0.5 * (min(values) + max(values))
        half = (0.5 + ROOM) * extent
        ends.append((middle - half, middle + half))
    ax.set_xlim(*ends[0])
    ax.set_ylim(*ends[1])
    far = []
    for name in SHOWN:
        for point in _both_sides(rules, name):
            x, y, one = point["std_sigma"], point["net_sigma"], look(name)
            if ends[0][0] <= x <= ends[0][1] and ends[1][0] <= y <= ends[1][1]:
                ax.plot([x], [y], linestyle="none", marker=one.marker, markersize=6, color=COLOUR[one.colour])
            else:
                far.append(f"{one.label}: {x:.2f}, {y:.2f}")
    if far:
        told = "beyond the edges (x, y):\n" + "\n".join(far)
        ax.text(0.98, 0.03, told, transform=ax.transAxes, fontsize=6.5, ha="right", color=COLOUR["soft"])


def _table(curve: Source) -> Markup:
    rows = sorted(
        curve.parts("points") + curve.parts("rules"),
        key=lambda p: (p.find("side"), p.find("risk_aversion") is None, p.find("risk_aversion") or 0.0),
    )
    columns = [
        Column("side", [str(p.find("side")) for p in rows], "word"),
        Column("strategy", [look(str(p.find("strategy"))).label for p in rows], "word"),
        Column("risk aversion", [p.number("risk_aversion", 2) for p in rows]),
        Column("mean gain", [p.number("gain_sigma", 4) for p in rows]),
        Column("std", [p.number("std_sigma", 3) for p in rows]),
        Column("impact", [p.number("impact_sigma", 4) for p in rows]),
        Column("after impact", [p.number("net_sigma", 4) for p in rows]),
        Column("95 % interval", [p.interval("net_sigma_ci95", 4) for p in rows], "ci"),
        Column("objective", [p.number("objective", 5) for p in rows]),
        Column("model above the optimum's", [p.interval("excess_ci95", 5) for p in rows], "ci"),
    ]
    own = [p.find("strategy") == "lem" for p in rows]
    starts = [i > 0 and p.find("side") != rows[i - 1].find("side") for i, p in enumerate(rows)]
    return table(columns, f"{_named(curve)}: gains, deviation and impact in units of sigma", starts, own)
