"""What the kit's partials draw: tables, headline numbers and drawings with their legends, as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from markupsafe import Markup

from agent.pages.numbers import Interval, Number

Cell = str | Number | Interval | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, its cells, and the class of its cells (``word``, ``ci`` or none: a number)."""

    heading: str
    cells: Sequence[Cell]
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """``kind``: the row's classes; ``at``: where the paths of its numbers begin."""

    cells: tuple[Cell, ...]
    kind: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """``kinds``: the class of each column."""

    caption: str
    headings: tuple[str, ...]
    kinds: tuple[str, ...]
    rows: tuple[Row, ...]


def table(
    columns: Iterable[Column], caption: str, starts: Sequence[bool] = (), own: Sequence[bool] = ()
) -> Table | None:
    """The table of the columns that show anything, None where none does.

    ``starts``: rows that open a group; ``own``: rows to stand out.
    """
    shown = [c for c in columns if any(c.cells)]  # an empty list is no column
    if not shown:
        return None
    rows = []
    for i, cells in enumerate(zip(*(c.cells for c in shown), strict=True)):
        marks = [name for name, on in (("group", starts), ("own", own)) if i < len(on) and on[i]]
        at = _common_path(cells)
        rows.append(Row(tuple(_below(cell, at) for cell in cells), " ".join(marks), at))
    kinds = [(c.kind + (" first" if k == 0 else "")).strip() for k, c in enumerate(shown)]
    return Table(caption, tuple(c.heading for c in shown), tuple(kinds), tuple(rows))


def _common_path(cells: Iterable[Cell]) -> str:
    """The beginning that the paths of a row's numbers share: written once, it makes a page much smaller."""
    keys = zip(*(number.path.split("/")[:-1] for cell in cells for number in _numbers(cell)), strict=False)
    return "".join(f"{same[0]}/" for same in takewhile(lambda k: len(set(k)) == 1, keys))


def _numbers(cell: Cell) -> tuple[Number, ...]:
    if isinstance(cell, Interval):
        return cell.low, cell.high
    return (cell,) if isinstance(cell, Number) else ()


def _below(cell: Cell, at: str) -> Cell:
    """The cell with its paths from ``at`` on."""
    if isinstance(cell, Interval):
        return Interval(_shortened(cell.low, at), _shortened(cell.high, at))
    return _shortened(cell, at) if isinstance(cell, Number) else cell


def _shortened(number: Number, at: str) -> Number:
    return replace(number, path=number.path.removeprefix(at))


@dataclass(frozen=True, slots=True)
class Tile:
    """Headline numbers side by side, their unit, and a line that says what they are.

    ``beside``: a further number, printed after the line with a unit of its own.
    """

    numbers: tuple[Number, ...]
    unit: str
    what: str
    beside: Number | None = None


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """A name beside its line and mark, in ``colour``, which is a variable of the page.

    ``dashes``: an SVG dash pattern, "" for a whole line; ``mark``: a path, "" for none; ``hollow``: the mark
    is an outline; ``band``: no line and mark but a shaded band.
    """

    label: str
    colour: str
    dashes: str = ""
    mark: str = ""
    hollow: bool = False
    band: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing; ``anchor`` is its id on the page, ``note`` stands under it."""

    anchor: str
    svg: Markup
    note: str = ""


@dataclass(frozen=True, slots=True)
class Drawings:
    """Drawings side by side under one legend; ``layout``: "" for small ones, or ``three wide mid``."""

    figures: tuple[Figure, ...]
    legend: tuple[LegendEntry, ...] = ()
    layout: str = ""
