"""Plots of an evaluation: each measure against the min period, one small drawing for each scenario."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.pages.markup import Markup, join, tag
from agent.pages.plot import COLOUR, WIDE, figure, swatch
from lem.page.glossary import TARGETS, legend, look
from lem.page.source import Source

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = dict[str, Any]
Scenario = tuple[str, str, str]
FIXED = ("twap", "vwap_curve", "almgren_chriss")
NAMES = ("lem", "optimal_impact", "optimal_risk", "optimal_stopping", "dump", *FIXED)


@dataclass(frozen=True, slots=True)
class Measure:
    """``own`` and ``other`` find the value for the model and a baseline, ``error`` the model's interval."""

    name: str
    label: str
    own: Callable[[Row], float | None]
    other: str
    error: Callable[[Row], list[float] | None] = lambda _: None
    bound: str = ""
    without: tuple[str, ...] = ()


GAIN = Measure(
    "gain",
    "mean gain, bps",
    lambda r: r["gain_bps"].get("mean"),
    "gain_bps_mean",
    lambda r: r["gain_bps"].get("ci95"),
    "bound_gain_bps",
    ("optimal_impact", "optimal_risk"),
)
DEVIATION = Measure(
    "deviation", "standard deviation of the gain, bps", lambda r: r["gain_bps"].get("std"), "gain_bps_std"
)
NET = Measure(
    "net",
    "mean gain after impact, bps",
    lambda r: r.get("gain_after_impact_bps_mean"),
    "gain_after_impact_bps_mean",
)


def scenarios(
    rows: list[Row], kinds: tuple[str, ...] = ("quantity", "notional")
) -> dict[Scenario, list[Row]]:
    """The rows of each scenario in order of min period; time-weighted benchmarks first."""
    out: dict[Scenario, list[Row]] = {}
    for row in sorted(
        rows,
        key=lambda r: (
            (kinds.index(r["target_kind"]), r["benchmark"], r["side"])
            if r["target_kind"] in kinds
            else (9, "", "")
        ),
    ):
        if row["target_kind"] in kinds:
            out.setdefault((row["side"], row["target_kind"], row["benchmark"]), []).append(row)
    return {key: sorted(found, key=lambda r: int(r["min_period"])) for key, found in out.items()}


def strategies(rows: list[Row]) -> list[str]:
    """The baselines that any row has, in the page's order; unknown ones last."""
    present = {name for row in rows for name in row.get("baselines", {})}
    return [n for n in NAMES if n in present] + sorted(present - set(NAMES))


def against_min_period(source: Source, measure: Measure, kinds: tuple[str, ...]) -> Markup:
    """A legend, and a drawing for each scenario."""
    rows: list[Row] = source.find("rows") or []
    names = [n for n in strategies(rows) if n not in measure.without]
    drawn = [
        figure(
            f"{_anchor(source)}{measure.name}-{'-'.join(key)}",
            f"{measure.label} against the min period: {_title(key)}",
            partial(_panel, key=key, rows=found, measure=measure, names=names),
        )
        for key, found in scenarios(rows, kinds).items()
    ]
    shown = (["bound"] if measure.bound else []) + ["lem", *names]
    return join(legend(shown), tag("div", *drawn, class_="figures"))


def _anchor(source: Source) -> str:
    return source.at.replace("/", "-") + "-" if source.at else ""


def _title(key: Scenario) -> str:
    return f"{key[0]}, {TARGETS.get(key[1], key[1])}, {key[2].upper()}"


def _panel(ax: Axes, key: Scenario, rows: list[Row], measure: Measure, names: list[str]) -> None:
    periods = [row["min_period"] for row in rows]
    ax.axhline(0.0, color=COLOUR["soft"], linewidth=0.6)
    for name in names:
        values = [row.get("baselines", {}).get(name, {}).get(measure.other) for row in rows]
        _line(ax, periods, values, name)
    if measure.bound:
        _line(ax, periods, [row.get(measure.bound) for row in rows], "bound")
    own = [measure.own(row) for row in rows]
    _line(ax, periods, own, "lem")
    ends = [(x, y, *e) for x, y, e in zip(periods, own, map(measure.error, rows), strict=True) if e]
    if ends:
        x, y, low, high = (np.array(column) for column in zip(*ends, strict=True))
        ax.errorbar(x, y, [y - low, high - y], color=COLOUR["s-lem"], capsize=2.5, linestyle="none")
    ax.set_title(_title(key))
    ax.set_xlabel("min period m, intervals")
    ax.set_ylabel("bps")
    ax.set_xticks(periods)


def _line(ax: Axes, x: list[float], y: list[float | None], name: str) -> None:
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


def fractions(source: Source) -> Markup:
    """Fraction of the bound as realised, and as kept by regret where that is known."""
    rows: list[Row] = source.find("rows") or []
    kinds = [
        ("fraction", "mean gain / bound, as realised", _realised),
        ("regret", "part of the bound kept, by regret", _kept),
    ]
    drawn = []
    for name, label, find in kinds:
        found = {
            key: points
            for key, group in scenarios(rows).items()
            if (points := [(r["min_period"], *value) for r in group if (value := find(r)) is not None])
        }
        if found:
            drawn.append(
                figure(
                    f"{_anchor(source)}{name}",
                    f"{label}, against the min period",
                    partial(_fraction_panel, found=found, label=label),
                    WIDE,
                )
            )
    if not drawn:
        return Markup()
    return join(_sides(list(scenarios(rows))), tag("div", *drawn, class_="figures wide"))


def _sides(keys: list[Scenario]) -> Markup:
    """The legend of scenarios: colour by side, line by benchmark, mark by target."""
    rows = []
    for side, kind, benchmark in keys:
        mark = swatch(
            "s-buy" if side == "buy" else "s-sell",
            "" if benchmark == "twap" else "1.5 3",
            "o" if kind == "quantity" else "s",
            kind != "quantity",
        )
        rows.append(tag("li", mark, _title((side, kind, benchmark))))
    return tag("ul", *rows, class_="legend")


def _realised(row: Row) -> tuple[float, float, float] | None:
    bound, fraction, ends = (
        row.get("bound_gain_bps"),
        row.get("fraction_of_bound"),
        row["gain_bps"].get("ci95"),
    )
    if fraction is None or not bound or not ends:
        return None
    return fraction, ends[0] / bound, ends[1] / bound


def _kept(row: Row) -> tuple[float, float, float] | None:
    kept = row.get("regret")
    return (kept["fraction_of_bound"], *kept["ci95"]) if kept else None


def _fraction_panel(
    ax: Axes, found: dict[Scenario, list[tuple[float, float, float, float]]], label: str
) -> None:
    ax.axhline(1.0, color=COLOUR["s-bound"], linestyle="--", linewidth=1.0)
    for i, (key, points) in enumerate(found.items()):
        side, kind, benchmark = key
        shift = 0.07 * (i - 0.5 * (len(found) - 1))
        colour = COLOUR["s-buy" if side == "buy" else "s-sell"]
        x, y, low, high = (np.array(column) for column in zip(*points, strict=True))
        ax.errorbar(
            x + shift,
            y,
            [y - low, high - y],
            color=colour,
            capsize=2,
            elinewidth=0.9,
            linewidth=1.0,
            linestyle="-" if benchmark == "twap" else ":",
            marker="o" if kind == "quantity" else "s",
            markerfacecolor=colour if kind == "quantity" else COLOUR["paper"],
        )
    ax.set_xticks(sorted({p[0] for points in found.values() for p in points}))
    ax.set_xlabel("min period m, intervals")
    ax.set_ylabel(label)


def fixed_horizon(source: Source) -> Markup:
    """Mean |slippage| where m = n, of every strategy in every scenario."""
    groups = scenarios(source.find("rows") or []).values()
    rows = [r for group in groups for r in group if r["min_period"] == source.find("n")]
    if not rows:
        return Markup()
    names = ["lem", *[n for n in strategies(rows) if n in ("twap", "vwap_curve")]]

    def draw(ax: Axes) -> None:
        for name in names:
            values = [_slippage(row, name) for row in rows]
            known = [(v, i) for i, v in enumerate(values) if v is not None]
            one = look(name)
            if known:
                x, y = zip(*known, strict=True)
                ax.plot(x, y, linewidth=0, marker=one.marker, markersize=6, color=COLOUR[one.colour])
        ax.set_yticks(range(len(rows)), [_title((r["side"], r["target_kind"], r["benchmark"])) for r in rows])
        ax.invert_yaxis()
        ax.set_xlim(left=0.0)
        ax.set_xlabel("mean |slippage|, bps")

    drawn = figure(f"{_anchor(source)}slippage", "mean absolute slippage where m = n", draw, WIDE)
    return join(legend(names), tag("div", drawn, class_="figures wide"))


def _slippage(row: Row, name: str) -> float | None:
    values = row if name == "lem" else row.get("baselines", {}).get(name, {})
    found = values.get("abs_slippage_bps_mean")
    return None if found is None else float(found)
