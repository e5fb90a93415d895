"""Plots by regime: what the model reaches of the bound, and what it gains on the stopping rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from agent.pages.elements import Drawings, Figure
from agent.pages.plot import COLOUR, WIDE, figure, legend_entry, named_rows
from agent.pages.source import Source
from lem.page.evaluation_charts import anchor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT = 0.32  # inches a regime, beyond an inch for the axis
MARKS = {"buy": "o", "sell": "s"}


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


def regimes_charts(source: Source, found: Sequence[Source]) -> Drawings:
    """A drawing of each measure; ``found``: the rows of the document's summary by regime."""
    legend = tuple(legend_entry(side, f"s-{side}", "-", mark) for side, mark in MARKS.items())
    return Drawings(tuple(_drawn(source, found, measure) for measure in MEASURES), legend, "wide")


def regime_name(row: Source) -> str:
    """The kind of regime and which it is: trend: falling."""
    return f"{row.text('kind')}: {row.text('regime')}"


def _drawn(source: Source, found: Sequence[Source], measure: Measure) -> Figure:
    names = list(dict.fromkeys(map(regime_name, found)))
    return figure(
        f"{anchor(source)}regimes-{measure.name.replace('_', '-')}",
        f"{measure.label}, by regime",
        partial(_panel, found=found, names=names, measure=measure),
        (WIDE[0], 1.0 + HEIGHT * len(names)),
    )


def _panel(ax: Axes, found: Sequence[Source], names: list[str], measure: Measure) -> None:
    ax.axvline(measure.ideal, color=COLOUR["s-bound"], linestyle="--", linewidth=1.0)
    for side, shift in (("buy", -0.13), ("sell", 0.13)):
        for row in found:
            value = row.real(f"{measure.name}_mean")
            if row.find("side") != side or value is None:
                continue
            y = names.index(regime_name(row)) + shift
            low, high = row.ends(f"{measure.name}_ci95") or (value, value)
            width = np.array([[value - low], [high - value]])
            colour, mark = COLOUR[f"s-{side}"], MARKS[side]
            ax.errorbar([value], [y], xerr=width, color=colour, marker=mark, capsize=2, elinewidth=1.1)
    named_rows(ax, names)
    ax.set_xlabel(measure.label)
