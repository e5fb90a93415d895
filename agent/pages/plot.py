"""Plots as inline SVG: the same data give the same bytes, and colours follow the page's theme.

No state is shared with matplotlib's own (no pyplot). A colour is drawn as a number that stands for a CSS
variable of the page and is replaced by it; text stays text, so that it can be read out and found, and is
never taken for a formula. matplotlib escapes the text that it writes; what is added here goes through
``Markup``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from io import StringIO
from typing import TYPE_CHECKING

from markupsafe import Markup

from agent.pages.elements import Figure, LegendEntry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.typing import RcKeyType

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
VARIABLE = {number: f"var(--{name})" for name, number in COLOUR.items()}
SMALL = (3.4, 2.5)  # inches, of 72 units of the drawing each
WIDE = (5.0, 3.2)
LONGEST = 44  # characters of a title or a row's name
SETTINGS: dict[RcKeyType, object] = {
    "svg.fonttype": "none",
    "svg.image_inline": True,
    "text.parse_math": False,
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
DASHES = {"-": "", "--": "6 4", ":": "1.5 3", "-.": "7 3 1.5 3"}
MARKS = {
    "o": "M14 2.5a3.5 3.5 0 1 0 .01 0z",
    "s": "M11 3h6v6h-6z",
    "^": "M14 2l4 7h-8z",
    "v": "M14 10l4-7h-8z",
    "D": "M14 1.5L18 6l-4 4.5L10 6z",
    "P": "M12.7 2h2.6v2.7H18v2.6h-2.7V10h-2.6V7.3H10V4.7h2.7z",
    "X": "M11 2.500l3 2 3-2v2l-1.500 1.500 1.500 1.500v2l-3-2-3 2v-2L12.500 6 11 4.500z",
}


def legend_entry(label: str, colour: str, style: str, marker: str, hollow: bool = False) -> LegendEntry:
    """``style`` and ``marker`` are matplotlib's own, so that a legend shows what the plot does."""
    return LegendEntry(label, colour, DASHES[style], MARKS.get(marker, ""), hollow)


def figure(
    name: str, what: str, draw: Callable[[Axes], None], size: tuple[float, float] = SMALL, note: str = ""
) -> Figure:
    """What ``draw`` puts on one pair of axes.

    ``name`` is unique on the page, ``what`` says in words what is seen, ``size`` is in inches.
    """
    anchor = identifier(name)
    return Figure(f"figure-{anchor}", _inline(_svg(anchor, draw, size), anchor, what), note)


def named_rows(ax: Axes, names: Sequence[str]) -> None:
    """Name the rows 0, 1, ... of ``ax`` from the top."""
    ax.set_yticks(range(len(names)), [_cut(name) for name in names])
    ax.invert_yaxis()


def _cut(name: str) -> str:
    """A name that would leave no room for the plot is cut."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


def identifier(name: str) -> str:
    """``name`` as an id: what is no letter, digit, "-" or "." becomes its code; two names stay two."""
    return re.sub(r"[^A-Za-z0-9.-]", lambda m: f"_{ord(m[0]):x}_", name)


def _svg(salt: str, draw: Callable[[Axes], None], size: tuple[float, float]) -> str:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    with rc_context({**SETTINGS, "svg.hashsalt": salt}):
        drawing = Canvas(figsize=size, layout="constrained")
        FigureCanvasSVG(drawing)
        ax = drawing.add_subplot()
        draw(ax)
        ax.set_title(_cut(ax.get_title(loc="left")))
        out = StringIO()
        drawing.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _inline(svg: str, anchor: str, what: str) -> Markup:
    """The drawing without what a page does not need: header, metadata, fixed size, ids nothing refers to."""
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.S)
    end = svg.index(">") + 1
    opening = Markup(re.sub(r' (?:width|height)="[^"]*pt"', "", svg[:end]).replace("<svg", '<svg role="img"'))
    used = set(re.findall(r'(?:href="|url\()#([\w-]+)', svg))
    inside = re.sub(r"<[^>]*>", lambda tag: _smaller(_renamed(tag[0], anchor, used)), svg[end:])
    inside = re.sub(r"\s+", " ", re.sub(r">\s+<", "><", inside)).strip()
    return opening + Markup("<title>{}</title>").format(what) + Markup(inside)


def _renamed(tag: str, anchor: str, used: set[str]) -> str:
    """A tag with ids that are unique on the page, and colours that are the page's."""
    tag = re.sub(r' id="([\w.-]+)"', lambda m: f' id="{anchor}-{m[1]}"' if m[1] in used else "", tag)
    tag = re.sub(r'(href="|url\()#', rf"\g<1>#{anchor}-", tag)
    return re.sub(r"#0a[0-9a-f]{2}0b", lambda m: VARIABLE.get(m[0], m[0]), tag)


def _smaller(tag: str) -> str:
    """A tag with coordinates to a hundredth of a unit and no list of fonts: the page has its own."""
    tag = re.sub(r"(?<=base64,)[^\"]*", lambda m: "".join(m[0].split()), tag)
    tag = re.sub(r" font-family: [^;]*;", "", tag)
    tag = re.sub(r' transform="rotate\(-0 [^)]*\)"', "", tag)
    return re.sub(r"-?\d+\.\d{3,}", _hundredths, tag)


def _hundredths(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
