"""The page of ``lem explain``: what one decision looked at, and what would have changed it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from agent.pages.markup import Markup, join, section, tag
from agent.pages.plot import COLOUR, WIDE, figure
from agent.pages.shell import page
from lem.page.page_tables import Column, table
from lem.page.source import PERCENT, Source

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Record = dict[str, Any]
ROWS = 15  # features and inputs that are drawn
BLUE = (0.23, 0.51, 0.84)  # seen on light and dark; the weight is its opacity
WORDS = {
    "selection weight": "What part of the model's view of a bar comes from a feature; the weights of a bar"
    " add up to 1. They say where the model looks, not what is true.",
    "attention": "How much each past bar counts in the newest context, mean of the heads; adds up to 1.",
    "flip": "The nearest value of one input, all others as they were, at which the decision would turn"
    " between going on and finishing. An exact statement about the model.",
    "share": "What the decision trades now, of the whole order.",
    "features": "They have no unit: each is scaled by the market's own recent past.",
    "forecasts": "What the model's context says of the next bars, in the features' own units; the allocation"
    " does not use them.",
}


def explanation_page(document: dict[str, Any]) -> str:
    """The document of ``lem explain --json`` as one HTML file; the same document gives the same bytes."""
    source = Source(document)
    title = f"Why decision {document.get('decision', '')} was what it was"
    lines = [join(tag("dt", term), tag("dd", meaning)) for term, meaning in WORDS.items()]
    body = join(
        tag("h1", title),
        _lead(source),
        section(
            "flips",
            "What would have changed it",
            join(_flips(source), _flip_table(source)),
            "One input at a time, over its range. Round: as it was; cross: where the decision would turn."
            " Inputs that turn it soonest first.",
        ),
        section(
            "attention",
            "Which bars it looked at",
            tag("div", _attention(source), _closes(source), class_="figures wide"),
            "Attention by age of the bar, the newest on the right, beside the closes of the same bars.",
        ),
        section(
            "weights",
            "Which features it looked at",
            join(_weights(source), _weight_table(source)),
            "Selection weights bar by bar, the newest on the right; the stronger the colour, the greater.",
        ),
        section("forecasts", "What it expected", _forecasts(source)),
        section("words", "What the words mean", tag("dl", *lines, class_="terms")),
    )
    return page(title, body, document)


def _lead(source: Source) -> Markup:
    chance, share = source.number("finish_probability", 3), source.number("share", 2, PERCENT)
    ends = bool(source.find("may_finish")) and (source.real("finish_probability") or 0.0) > 0.5
    what = "It finishes the order in this interval" if ends else "It goes on"
    held = "" if source.find("may_finish") else ", as it may not finish yet"
    does = join(what, held, ": finish probability ", chance, " (above one half it finishes), ")
    told = join(share, " % of the order now if it goes on. Interval ", source.count("interval"), "; model ")
    lead = tag("p", does, told, tag("code", str(source.find("digest"))), ".", class_="lead")
    made = source.find("reproduce")
    return join(lead, tag("pre", str(made)) if made else "")


def distance(flip: Record) -> float:
    """Nearest flips first, by the part of the input's range; then by how much the share moves."""
    if flip["flips_at"] is None:
        return 2.0 - float(flip["shares"][1] - flip["shares"][0])
    return float(abs(flip["flips_at"] - flip["value"]) / (flip["high"] - flip["low"] + 1e-12))


def _nearest(source: Source) -> list[Source]:
    return sorted(source.parts("flips"), key=lambda f: distance(f.find()))


def _flips(source: Source) -> Markup:
    """Each input on its own range, from its least to its greatest value."""
    shown = [f.find() for f in _nearest(source)[:ROWS]]
    if not shown:
        return Markup()

    def draw(ax: Axes) -> None:
        for y, flip in enumerate(shown):
            extent = flip["high"] - flip["low"] or 1.0
            now = (flip["value"] - flip["low"]) / extent
            ax.plot([0, 1], [y, y], color=COLOUR["rule"], linewidth=3.0, solid_capstyle="round")
            if flip["flips_at"] is not None:
                turn = (flip["flips_at"] - flip["low"]) / extent
                ax.plot([now, turn], [y, y], color=COLOUR["s-sell"], linewidth=1.2)
                ax.plot([turn], [y], color=COLOUR["s-sell"], marker="X", markersize=6)
            ax.plot([now], [y], color=COLOUR["s-lem"], marker="o", markersize=6)
        ax.set_yticks(range(len(shown)), [f["name"] for f in shown])
        ax.set_xticks([0, 0.5, 1], ["least", "range of the input", "greatest"])
        ax.invert_yaxis()
        ax.grid(visible=False)

    drawn = figure(
        "flips", "inputs and the values that would turn the decision", draw, (5.0, 0.6 + 0.26 * len(shown))
    )
    return tag("div", drawn, class_="figures mid")


def _flip_table(source: Source) -> Markup:
    rows = _nearest(source)
    columns = [
        Column("input", [str(f.find("name")) for f in rows], "word"),
        Column("value", [f.number("value", 3) for f in rows]),
        Column("turns at", [f.number("flips_at", 3) or "never" for f in rows]),
        Column("least", [f.number("low", 2) for f in rows]),
        Column("greatest", [f.number("high", 2) for f in rows]),
        Column("share it could ask for, %", [f.interval("shares", 2, PERCENT) for f in rows], "ci"),
    ]
    inside = table(columns, "Every input, over its range with the others as they were")
    return tag("details", tag("summary", "Every input in numbers"), inside) if rows else Markup()


def _by_age(values: list[Any]) -> tuple[Any, Any]:
    """(age of each bar as a negative number, its value), oldest first."""
    kept = np.array([np.nan if v is None else v for v in values], float)[::-1]
    return np.arange(1 - len(kept), 1), kept


def _attention(source: Source) -> Markup:
    values = source.find("attention") or []
    if not any(values):
        return Markup()

    def draw(ax: Axes) -> None:
        age, weight = _by_age(values)
        ax.fill_between(age, weight, step="mid", color=COLOUR["s-lem"], linewidth=0)
        ax.axhline(1.0 / len(values), color=COLOUR["soft"], linestyle="--", linewidth=0.8)
        ax.set_ylim(bottom=0.0)
        _ages(ax, age)
        ax.set_ylabel("attention")

    return figure("attention", "attention over past bars", draw, WIDE, "Dashed: every bar alike.")


def _closes(source: Source) -> Markup:
    values = source.find("closes") or []
    if not [v for v in values if v is not None]:
        return Markup()

    def draw(ax: Axes) -> None:
        age, close = _by_age(values)
        ax.plot(age, close, color=COLOUR["ink"], linewidth=1.0)
        _ages(ax, age)
        ax.set_ylabel("close")
        ax.ticklabel_format(axis="y", useOffset=False)

    return figure("closes", "closes of the same bars", draw, WIDE)


def _ages(ax: Axes, age: Any) -> None:
    ax.set_xlim(age[0] - 0.5, max(age[-1] + 0.5, age[0] + 0.6))
    ax.set_xlabel("bars before the newest one that the decision saw")


def _weights(source: Source) -> Markup:
    """The most weighty features bar by bar; a bar's weight is the opacity of one colour."""
    shown = [f for f in source.find("features") or [] if f.get("weights")]
    shown = sorted(shown, key=lambda f: -max(f["weight"], f["mean_weight"]))[:ROWS]
    if not shown:
        return Markup()

    def draw(ax: Axes) -> None:
        table = np.array([f["weights"][::-1] for f in shown], float)
        pixels = np.empty((*table.shape, 4))
        pixels[..., :3] = BLUE
        pixels[..., 3] = table / max(float(table.max()), 1e-12)
        extent = (0.5 - table.shape[1], 0.5, len(shown) - 0.5, -0.5)
        ax.imshow(pixels, aspect="auto", interpolation="nearest", extent=extent)
        ax.set_yticks(range(len(shown)), [f["name"] for f in shown])
        ax.set_xlabel("bars before the newest one that the decision saw")
        ax.grid(visible=False)

    most = max(max(f["weights"]) for f in shown)
    drawn = figure(
        "weights",
        "selection weights of features over time",
        draw,
        (WIDE[0], 0.7 + 0.2 * len(shown)),
        f"The strongest is {most:.3f}. All {len(source.find('features'))} features are in the table.",
    )
    return tag("div", drawn, class_="figures mid")


def _weight_table(source: Source) -> Markup:
    rows = source.parts("features")
    columns = [
        Column("feature", [str(f.find("name")) for f in rows], "word"),
        Column("value", [f.number("value", 3) or "absent" for f in rows]),
        Column("weight at the newest bar", [f.number("weight", 4) for f in rows]),
        Column("mean weight", [f.number("mean_weight", 4) for f in rows]),
    ]
    inside = table(columns, "Selection weights")
    return tag("details", tag("summary", "Every feature in numbers"), inside) if rows else Markup()


def _forecasts(source: Source) -> Markup:
    names = list(source.find("forecasts") or {})
    columns = [
        Column("forecast", [_ahead(name) for name in names], "word"),
        Column("value", [source.number(f"forecasts/{name}", 3) for name in names]),
    ]
    return table(columns, "In the features' own units") if names else Markup()


def _ahead(name: str) -> str:
    """As in "momentum_8, 8 bars ahead" for momentum_8_8_ahead."""
    what, _, bars = name.removesuffix("_ahead").rpartition("_")
    return f"{what}, {bars} bar{'s' if bars != '1' else ''} ahead" if what else name
