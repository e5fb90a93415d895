"""What the model does in calm and wild, falling and rising markets, as known before each order began."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from agent.pages.markup import Markup, join, tag
from agent.pages.plot import COLOUR, WIDE, figure, swatch
from lem.page.page_tables import Column, table
from lem.page.source import PERCENT, Source

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Record = dict[str, Any]
HEIGHT = 0.32  # inches a regime, beyond an inch for the axis


def regimes(source: Source, decimals: int) -> Markup:
    """Two drawings and a table of the document's summary by regime; "" where it has none."""
    found = [r for r in source.parts("regimes/summary") if r.find("kind") and r.find("regime")]
    if not found:
        return Markup()
    records: list[Record] = [r.find() for r in found]
    drawn = [
        _drawn(source, records, "fraction_of_bound", "mean gain / bound", 1.0),
        _drawn(
            source, records, "versus_rule_fraction", "model less the stopping rule, part of the bound", 0.0
        ),
    ]
    sides = [tag("li", swatch(f"s-{s}", "", m), s) for s, m in (("buy", "o"), ("sell", "s"))]
    return join(
        tag("ul", *sides, class_="legend"),
        tag("div", *drawn, class_="figures wide"),
        _table(found, decimals),
        _definitions(source),
    )


def _drawn(source: Source, records: list[Record], measure: str, label: str, ideal: float) -> Markup:
    names = list(dict.fromkeys(_name(r) for r in records))
    prefix = source.at.replace("/", "-") + "-" if source.at else ""
    return figure(
        f"{prefix}regimes-{measure.replace('_', '-')}",
        f"{label}, by regime",
        lambda ax: _panel(ax, records, names, measure, label, ideal),
        (WIDE[0], 1.0 + HEIGHT * len(names)),
    )


def _name(record: Record) -> str:
    return f"{record['kind']}: {record['regime']}"


def _panel(ax: Axes, records: list[Record], names: list[str], measure: str, label: str, ideal: float) -> None:
    ax.axvline(ideal, color=COLOUR["s-bound"], linestyle="--", linewidth=1.0)
    for side, shift in (("buy", -0.13), ("sell", 0.13)):
        for record in records:
            value, ends = record.get(f"{measure}_mean"), record.get(f"{measure}_ci95")
            if record.get("side") != side or value is None:
                continue
            y = names.index(_name(record)) + shift
            low, high = ends or (value, value)
            width = np.array([[value - low], [high - value]])
            colour, mark = COLOUR[f"s-{side}"], "o" if side == "buy" else "s"
            ax.errorbar([value], [y], xerr=width, color=colour, marker=mark, capsize=2, elinewidth=1.1)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set_xlabel(label)


def _table(found: list[Source], d: int) -> Markup:
    columns = [
        Column("regime", [_name(r.find()) for r in found], "word"),
        Column("side", [str(r.find("side")) for r in found], "word"),
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
    starts = [i > 0 and r.find("kind") != found[i - 1].find("kind") for i, r in enumerate(found)]
    return table(
        columns, "Means over targets, benchmarks and the min periods that leave room to stop", starts
    )


def _definitions(source: Source) -> Markup:
    told = source.find("regimes/definitions") or {}
    lines = [join(tag("dt", str(kind)), tag("dd", str(meaning))) for kind, meaning in told.items()]
    return tag("dl", *lines, class_="facts") if lines else Markup()
