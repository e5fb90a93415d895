"""What the model does in calm and wild, falling and rising markets, as known before each order began."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from agent.pages.elements import Column, Drawings, Figure, Table, table
from agent.pages.numbers import PERCENT
from agent.pages.plot import COLOUR, WIDE, figure, legend_entry, named_rows
from agent.pages.source import Source
from lem.page.evaluation_charts import anchor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT = 0.32  # inches a regime, beyond an inch for the axis
MARKS = {"buy": "o", "sell": "s"}


@dataclass(frozen=True, slots=True)
class Regimes:
    """``definitions``: what each kind of regime is."""

    drawings: Drawings
    table: Table | None
    definitions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Measure:
    """``name``: of the document's mean and interval; ``ideal``: where a line is drawn."""

    name: str
    label: str
    ideal: float


MEASURES = (
    Measure("fraction_of_bound", "mean gain / bound", 1.0),
    Measure("versus_rule_fraction", "model less the stopping rule, part of the bound", 0.0),
)


def regimes(source: Source, decimals: int) -> Regimes | None:
    """Two drawings and a table of the document's summary by regime; None where it has none."""
    found = [r for r in source.entries("regimes/summary") if r.find("kind") and r.find("regime")]
    if not found:
        return None
    legend = tuple(legend_entry(side, f"s-{side}", "-", mark) for side, mark in MARKS.items())
    drawn = tuple(_drawn(source, found, measure) for measure in MEASURES)
    definitions = {kind.name: kind.text() for kind in source.entries("regimes/definitions")}
    return Regimes(Drawings(drawn, legend, "wide"), _table(found, decimals), definitions)


def _drawn(source: Source, found: list[Source], measure: Measure) -> Figure:
    names = list(dict.fromkeys(map(_name, found)))
    return figure(
        f"{anchor(source)}regimes-{measure.name.replace('_', '-')}",
        f"{measure.label}, by regime",
        partial(_panel, found=found, names=names, measure=measure),
        (WIDE[0], 1.0 + HEIGHT * len(names)),
    )


def _name(row: Source) -> str:
    return f"{row.text('kind')}: {row.text('regime')}"


def _panel(ax: Axes, found: list[Source], names: list[str], measure: Measure) -> None:
    ax.axvline(measure.ideal, color=COLOUR["s-bound"], linestyle="--", linewidth=1.0)
    for side, shift in (("buy", -0.13), ("sell", 0.13)):
        for row in found:
            value = row.real(f"{measure.name}_mean")
            if row.find("side") != side or value is None:
                continue
            y = names.index(_name(row)) + shift
            low, high = row.ends(f"{measure.name}_ci95") or (value, value)
            width = np.array([[value - low], [high - value]])
            colour, mark = COLOUR[f"s-{side}"], MARKS[side]
            ax.errorbar([value], [y], xerr=width, color=colour, marker=mark, capsize=2, elinewidth=1.1)
    named_rows(ax, names)
    ax.set_xlabel(measure.label)


def _table(found: list[Source], d: int) -> Table | None:
    columns = [
        Column("regime", [_name(r) for r in found], "word"),
        Column("side", [r.text("side") for r in found], "word"),
        Column("orders", [r.count("orders") for r in found]),
        Column("sigma, bps", [r.number("sigma", d, 1e4) for r in found]),
        Column("mean gain, bps", [r.number("gain_bps_mean", d) for r in found]),
        Column("of bound, %", [r.number("fraction_of_bound_mean", 1, PERCENT) for r in found]),
        Column("95 % interval", [r.interval("fraction_of_bound_ci95", 1, PERCENT) for r in found], "ci"),
        Column(
            "less the stopping rule, % of bound",
            [r.number("versus_rule_fraction_mean", 1, PERCENT) for r in found],
        ),
        Column("95 % interval", [r.interval("versus_rule_fraction_ci95", 1, PERCENT) for r in found], "ci"),
    ]
    starts = [i > 0 and r.text("kind") != found[i - 1].text("kind") for i, r in enumerate(found)]
    caption = "Means over targets, benchmarks and the min periods that leave room to stop"
    return table(columns, caption, starts)
