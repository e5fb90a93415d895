"""Plots as inline SVG: the same data give the same bytes, and colours follow the page's theme.

No state is shared with matplotlib's own (no pyplot). A colour is drawn as a number that stands for a CSS
variable of ``agent.pages.shell`` and is replaced by it; text stays text, so that it can be read out and
found.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agent.pages.markup import Markup, tag

if TYPE_CHECKING:
    from matplotlib.axes import Axes

VARIABLES = (
    "ink",
    "soft",
    "rule",
    "paper",
    "s-bound",
    "s-buy",
    "s-sell",
    "s-lem",
    "s-stop",
    "s-dump",
    "s-twap",
    "s-curve",
    "s-ac",
    "s-impact",
)
COLOUR = {name: f"#0a{k:02x}0b" for k, name in enumerate(VARIABLES)}
SMALL = (3.4, 2.5)  # inches, of 72 units of the drawing each
WIDE = (5.0, 3.2)
SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.image_inline": True,
    "font.size": 8.0,
    "axes.edgecolor": COLOUR["soft"],
    "axes.labelcolor": COLOUR["ink"],
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": COLOUR["ink"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.linewidth": 0.6,
    "grid.color": COLOUR["rule"],
    "grid.linewidth": 0.5,
    "text.color": COLOUR["ink"],
    "xtick.color": COLOUR["soft"],
    "ytick.color": COLOUR["soft"],
    "xtick.labelcolor": COLOUR["ink"],
    "ytick.labelcolor": COLOUR["ink"],
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "lines.linewidth": 1.3,
    "lines.markersize": 4.0,
    "path.simplify": False,
}


def figure(
    name: str, what: str, draw: Callable[[Axes], None], size: tuple[float, float] = SMALL, note: str = ""
) -> Markup:
    """``<figure>`` with what ``draw`` puts on one pair of axes.

    ``name`` is unique on the page, ``what`` says in words what is seen, ``size`` is in inches.
    """
    caption = tag("figcaption", note) if note else Markup()
    return tag("figure", Markup(_svg(name, what, draw, size)), caption, id=f"figure-{name}")


def _svg(name: str, what: str, draw: Callable[[Axes], None], size: tuple[float, float]) -> str:
    from io import StringIO

    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context(SETTINGS | {"svg.hashsalt": name}):
        drawing = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(drawing)
        draw(drawing.add_subplot())
        out = StringIO()
        drawing.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return _inline(out.getvalue(), name, what)


def _inline(svg: str, name: str, what: str) -> str:
    """The drawing without what a page does not need: header, metadata, fixed size, ids nothing refers to."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.S)
    used = set(re.findall(r'(?:href="|url\()#([\w-]+)', svg))
    svg = re.sub(r' id="([\w.-]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{name}-", svg)  # ids unique on the page, whatever else is on it
    opening = svg[: svg.index(">") + 1]
    label = f'<svg role="img" {re.sub(r" (?:width|height)=.[^ ]*pt.", "", opening)[5:]}{tag("title", what)}'
    svg = _smaller(svg[len(opening) :])
    for variable, number in COLOUR.items():
        svg = svg.replace(number, f"var(--{variable})")
    return label + svg


def _smaller(svg: str) -> str:
    """Coordinates to a hundredth of a unit, no font lists (the page has its own), no idle white space."""
    svg = re.sub(r"(?<=base64,)[^\"]*", lambda m: "".join(m[0].split()), svg)
    svg = re.sub(r" font-family: [^;]*;", "", svg)
    svg = re.sub(r' transform="rotate\(-0 [^)]*\)"', "", svg)
    svg = re.sub(r"<[^>]*>", lambda m: re.sub(r"-?\d+\.\d{3,}", _hundredths, m[0]), svg)  # not in text
    svg = re.sub(r">\s+<", "><", svg)
    return re.sub(r"\s+", " ", svg).strip()


def _hundredths(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def swatch(colour: str, style: str, marker: str, hollow: bool = False) -> Markup:
    """A legend's line and mark in the page's own colours; ``style`` is a dash pattern, "" for none."""
    line = tag(
        "path",
        d="M1 6H27",
        fill="none",
        stroke=f"var(--{colour})",
        stroke_width="2",
        stroke_dasharray=style or None,
    )
    fill = "var(--paper)" if hollow else f"var(--{colour})"
    shapes = {
        "o": "M14 2.5a3.5 3.5 0 1 0 .01 0z",
        "s": "M11 3h6v6h-6z",
        "^": "M14 2l4 7h-8z",
        "v": "M14 10l4-7h-8z",
        "D": "M14 1.5L18 6l-4 4.5L10 6z",
        "P": "M12.7 2h2.6v2.7H18v2.6h-2.7V10h-2.6V7.3H10V4.7h2.7z",
        "X": "M11 2.500l3 2 3-2v2l-1.500 1.500 1.500 1.500v2l-3-2-3 2v-2L12.500 6 11 4.500z",
    }
    mark = (
        tag("path", d=shapes[marker], fill=fill, stroke=f"var(--{colour})") if marker in shapes else Markup()
    )
    return tag("svg", line, mark, viewBox="0 0 28 12", aria_hidden="true")
