"""The frontier on a page: its plots, and a table of their points."""

from __future__ import annotations

from dataclasses import dataclass

from agent.pages.elements import Column, Drawings, Table, table
from agent.pages.source import Source
from lem.page.frontier_charts import curve_title, frontier_charts
from lem.page.looks import look


@dataclass(frozen=True, slots=True)
class Frontier:
    """``points``: the title of each drawing and a table of its points."""

    drawings: Drawings
    points: tuple[tuple[str, Table | None], ...]


def frontier(source: Source) -> Frontier | None:
    """A drawing for each market and participation, and the points; None where the document has none."""
    curves = source.entries("frontier/curves")
    if not curves:
        return None
    return Frontier(frontier_charts(curves), tuple((curve_title(one), _table(one)) for one in curves))


def _order(point: Source) -> tuple[str, bool, float]:
    """By side, then risk aversion; the rules, which have none, last."""
    risk_aversion = point.real("risk_aversion")
    return point.text("side"), risk_aversion is None, risk_aversion or 0.0


def _table(curve: Source) -> Table | None:
    rows = sorted(curve.entries("points") + curve.entries("rules"), key=_order)
    columns = [
        Column("side", [p.text("side") for p in rows], "word"),
        Column("strategy", [look(p.text("strategy")).label for p in rows], "word"),
        Column("risk aversion", [p.number("risk_aversion", 2) for p in rows]),
        Column("mean gain", [p.number("gain_sigma", 4) for p in rows]),
        Column("std", [p.number("std_sigma", 3) for p in rows]),
        Column("impact", [p.number("impact_sigma", 4) for p in rows]),
        Column("after impact", [p.number("net_sigma", 4) for p in rows]),
        Column("95 % interval", [p.interval("net_sigma_ci95", 4) for p in rows], "ci"),
        Column("objective", [p.number("objective", 5) for p in rows]),
        Column("model above the optimum's", [p.interval("excess_ci95", 5) for p in rows], "ci"),
    ]
    own = [p.text("strategy") == "lem" for p in rows]
    starts = [i > 0 and p.text("side") != rows[i - 1].text("side") for i, p in enumerate(rows)]
    caption = f"{curve_title(curve)}: gains, deviation and impact in units of sigma"
    return table(columns, caption, starts, own)
