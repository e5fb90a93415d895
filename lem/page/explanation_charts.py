"""Plots of one decision: what would turn it, and where the model looked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from agent.core.market.feature_names import feature_label
from agent.pages.elements import Drawings, Figure
from agent.pages.plot import COLOUR, WIDE, figure, named_rows
from agent.pages.source import Source

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS = 15  # features and inputs that are drawn
BLUE = (0.23, 0.51, 0.84)  # seen on light and dark; the weight is its opacity
FloatArray = npt.NDArray[np.float64]


def flips(nearest: Sequence[Source]) -> Drawings | None:
    """Each input on its own range, from its least to its greatest value."""
    shown = nearest[:ROWS]
    if not shown:
        return None
    what = "inputs and the values that would turn the decision"
    size = (5.0, 0.6 + 0.26 * len(shown))
    return Drawings((figure("flips", what, partial(_flips, shown=shown), size),), layout="mid")


def _flips(ax: Axes, shown: Sequence[Source]) -> None:
    for y, flip in enumerate(shown):
        low, high = flip.real("low") or 0.0, flip.real("high") or 0.0
        extent = high - low or 1.0
        now, turns_at = ((flip.real("value") or 0.0) - low) / extent, flip.real("flips_at")
        ax.plot([0, 1], [y, y], color=COLOUR["rule"], linewidth=3.0, solid_capstyle="round")
        if turns_at is not None:
            x = (turns_at - low) / extent
            ax.plot([now, x], [y, y], color=COLOUR["s-sell"], linewidth=1.2)
            ax.plot([x], [y], color=COLOUR["s-sell"], marker="X", markersize=6)
        ax.plot([now], [y], color=COLOUR["s-lem"], marker="o", markersize=6)
    named_rows(ax, [feature_label(f.text("name")) for f in shown])
    ax.set_xticks([0, 0.5, 1], ["least", "range of the input", "greatest"])
    ax.grid(visible=False)


def bars(source: Source) -> Drawings:
    """Attention over past bars, and the closes of the same bars; each where the document has it."""
    drawn = (_attention(source.reals("attention")), _closes(source.reals("closes")))
    return Drawings(tuple(one for one in drawn if one is not None), layout="wide")


def _attention(values: list[float | None]) -> Figure | None:
    if not any(values):
        return None
    age, weight = _by_age(values)

    def draw(ax: Axes) -> None:
        ax.fill_between(age, weight, step="mid", color=COLOUR["s-lem"], linewidth=0)
        ax.axhline(1.0 / len(values), color=COLOUR["soft"], linestyle="--", linewidth=0.8)
        ax.set_ylim(bottom=0.0)
        _ages(ax, age)
        ax.set_ylabel("attention")

    return figure("attention", "attention over past bars", draw, WIDE, "Dashed: every bar alike.")


def _closes(values: list[float | None]) -> Figure | None:
    if not [v for v in values if v is not None]:
        return None
    age, close = _by_age(values)

    def draw(ax: Axes) -> None:
        ax.plot(age, close, color=COLOUR["ink"], linewidth=1.0)
        _ages(ax, age)
        ax.set_ylabel("close")
        ax.ticklabel_format(axis="y", useOffset=False)

    return figure("closes", "closes of the same bars", draw, WIDE)


def _by_age(values: list[float | None]) -> tuple[FloatArray, FloatArray]:
    """(age of each bar as a negative number, its value), oldest first."""
    kept = np.array([np.nan if v is None else v for v in values], np.float64)[::-1]
    return np.arange(1.0 - len(kept), 1.0), kept


def _ages(ax: Axes, age: FloatArray) -> None:
    ax.set_xlim(age[0] - 0.5, max(age[-1] + 0.5, age[0] + 0.6))
    ax.set_xlabel("bars before the newest one that the decision saw")


def weights(features: Sequence[Source]) -> Drawings | None:
    """The most weighty features bar by bar; a bar's weight is the opacity of one colour."""
    shown = sorted((f for f in features if f.find("weights")), key=lambda f: -_weight(f))[:ROWS]
    if not shown:
        return None
    table = np.array([f.reals("weights")[::-1] for f in shown], np.float64)
    names = [feature_label(f.text("name")) for f in shown]
    drawn = figure(
        "weights",
        "selection weights of features over time",
        partial(_weights, table=table, names=names),
        (WIDE[0], 0.7 + 0.2 * len(shown)),
        f"The strongest is {table.max():.3f}. All {len(features)} features are in the table.",
    )
    return Drawings((drawn,), layout="mid")


def _weight(feature: Source) -> float:
    return max(feature.real("weight") or 0.0, feature.real("mean_weight") or 0.0)


def _weights(ax: Axes, table: FloatArray, names: list[str]) -> None:
    pixels = np.empty((*table.shape, 4))
    pixels[..., :3] = BLUE
    pixels[..., 3] = table / max(float(table.max()), 1e-12)
    extent = (0.5 - table.shape[1], 0.5, -0.5, len(names) - 0.5)
    ax.imshow(pixels, aspect="auto", interpolation="nearest", origin="lower", extent=extent)
    named_rows(ax, names)
    ax.set_xlabel("bars before the newest one that the decision saw")
    ax.grid(visible=False)
