"""Tables of an evaluation, as the paper has them; every number carries its path in the document."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from agent.pages.markup import Markup, join, tag
from lem.page.charts import FIXED, strategies
from lem.page.glossary import TARGETS, look
from lem.page.source import PERCENT, Source

SOME = 3
DIFFERENCES = {
    "gain": "gain_bps",
    "after impact": "gain_after_impact_bps",
    "arrival gain": "arrival_gain_bps",
}
PATH = re.compile(r'data-path="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, its cells, and the class of its cells."""

    heading: str
    cells: Sequence[str]
    kind: str = ""


def table(
    columns: Iterable[Column], caption: str, starts: Sequence[bool] = (), own: Sequence[bool] = ()
) -> Markup:
    """A table that scrolls by itself where it is too wide. Columns without any text are left out.

    ``starts``: rows that open a group; ``own``: rows to stand out.
    """
    shown = [c for c in columns if any(c.cells)]  # an empty list is no column
    if not shown:
        return Markup()
    kinds = [(c.kind + (" first" if k == 0 else "")).strip() or None for k, c in enumerate(shown)]
    head = tag(
        "tr", *(tag("th", c.heading, class_=kind, scope="col") for c, kind in zip(shown, kinds, strict=True))
    )
    body = []
    for i, cells in enumerate(zip(*(c.cells for c in shown), strict=True)):
        marks = [name for name, on in (("group", starts), ("own", own)) if i < len(on) and on[i]]
        shared, short = _hoisted(cells)
        row = (tag("td", cell, class_=kind) for cell, kind in zip(short, kinds, strict=True))
        body.append(tag("tr", *row, class_=" ".join(marks) or None, data_at=shared or None))
    inside = tag("table", tag("thead", head), tag("tbody", *body), aria_label=caption)
    above = tag("p", caption, class_="caption")  # outside: a phone scrolls the table, not what it is
    return join(above, tag("div", inside, class_="scroll", tabindex="0"))


def _hoisted(cells: Sequence[str]) -> tuple[str, list[str]]:
    """The start that the paths of a row's numbers share, and its cells with paths from there on."""
    paths = [path for cell in cells for path in PATH.findall(cell)]
    keys = zip(*(path.split("/")[:-1] for path in paths), strict=False)
    shared = "".join(f"{same[0]}/" for same in takewhile(lambda k: len(set(k)) == 1, keys))
    cut = [cell.replace(f'data-path="{shared}', 'data-path="') if shared else cell for cell in cells]
    return shared, [
        Markup(short) if isinstance(cell, Markup) else short for short, cell in zip(cut, cells, strict=True)
    ]


def grouped(source: Source) -> dict[tuple[str, str], list[Source]]:
    """Rows of each (target, benchmark), by side and min period."""
    out: dict[tuple[str, str], list[Source]] = {}
    for row in source.parts("rows"):
        out.setdefault((row.find("target_kind"), row.find("benchmark")), []).append(row)
    order = sorted(out, key=lambda k: (k[0] != "quantity", k[1]))
    return {k: sorted(out[k], key=lambda r: (r.find("side"), r.find("min_period"))) for k in order}


def gains(source: Source, decimals: int) -> Markup:
    """The paper's table for each target and benchmark."""
    return join(*(_gains(key, rows, decimals) for key, rows in grouped(source).items()))


def _gains(key: tuple[str, str], rows: list[Source], decimals: int) -> Markup:
    d = decimals
    columns = [
        Column("side", [r.find("side") for r in rows], "word"),
        Column("m", [r.count("min_period") for r in rows]),
        Column(
            "orders", [r.count("orders") for r in rows] if len({r.find("orders") for r in rows}) > 1 else []
        ),
        Column("mean", [r.number("gain_bps/mean", d) for r in rows]),
        Column("95 % interval", [r.interval("gain_bps/ci95", d) for r in rows], "ci"),
        Column("std", [r.number("gain_bps/std", d) for r in rows]),
        *(
            Column(name, [r.number(f"gain_bps/{path}", d) for r in rows])
            for name, path in (
                ("P5", "p5"),
                ("P25", "p25"),
                ("median", "median"),
                ("P75", "p75"),
                ("P95", "p95"),
            )
        ),
        Column("bound", [r.number("bound_gain_bps", d) for r in rows]),
        Column("of bound, %", [r.number("fraction_of_bound", 1, PERCENT) for r in rows]),
        Column("kept by regret, %", [r.number("regret/fraction_of_bound", 2, PERCENT) for r in rows]),
        Column("95 % interval", [r.interval("regret/ci95", 2, PERCENT) for r in rows], "ci"),
    ]
    starts = [i > 0 and r.find("side") != rows[i - 1].find("side") for i, r in enumerate(rows)]
    many = f"{rows[0].find('orders'):,} orders a row" if not columns[2].cells else ""
    return table(columns, "; ".join(p for p in (f"Gain in bps, {_named(key)}", many) if p), starts)


def _named(key: tuple[str, str]) -> str:
    return f"{TARGETS.get(key[0], key[0])}, against {key[1].upper()}"


def comparison(source: Source, decimals: int) -> Markup:
    """Model and baselines under each other, folded by target and benchmark."""
    folded = []
    for key, rows in grouped(source).items():
        names = strategies([r.find() for r in rows])
        cells = [(r, name) for r in rows for name in ["lem", *names]]
        inner = join(
            _comparison(cells, "Each strategy, bps", decimals),
            _differences(cells, "The model less each of the others on the same orders, bps", decimals),
        )
        folded.append(tag("details", tag("summary", _named(key)), inner))
    return join(*folded)


def _comparison(cells: list[tuple[Source, str]], caption: str, d: int) -> Markup:
    at = [r if name == "lem" else r.part(f"baselines/{name}") for r, name in cells]
    own = [name == "lem" for _, name in cells]
    mean = ["gain_bps/mean" if mine else "gain_bps_mean" for mine in own]
    std = ["gain_bps/std" if mine else "gain_bps_std" for mine in own]
    columns = [
        *_who(cells),
        Column("mean gain", [s.number(p, d) for s, p in zip(at, mean, strict=True)]),
        Column("std", [s.number(p, d) for s, p in zip(at, std, strict=True)]),
        Column("|slippage|", [s.number("abs_slippage_bps_mean", d) for s in at]),
        Column("after impact", [s.number("gain_after_impact_bps_mean", d) for s in at]),
        Column("arrival gain", [s.number("arrival_gain_bps_mean", d) for s in at]),
        Column("95 % interval", [s.interval("arrival_gain_bps_ci95", d) for s in at], "ci"),
        Column("intervals taken", [s.number("intervals_mean", 1) for s in at]),
    ]
    return table(columns, caption, [i > 0 and mine for i, mine in enumerate(own)], own)


def _who(cells: list[tuple[Source, str]]) -> list[Column]:
    return [
        Column("side, m", [f"{r.find('side')}, {r.find('min_period')}" for r, _ in cells], "word"),
        Column("strategy", [look(name).label for _, name in cells], "word"),
    ]


def _differences(cells: list[tuple[Source, str]], caption: str, d: int) -> Markup:
    """The model less each baseline, on the same orders."""
    cells = [(r, name) for r, name in cells if r.find(f"versus/{name}")]
    if not cells:
        return Markup()
    columns = _who(cells)
    for heading, measure in DIFFERENCES.items():
        paths = [f"versus/{name}/{measure}" for _, name in cells]
        means = [r.number(f"{p}_mean", d) for (r, _), p in zip(cells, paths, strict=True)]
        ends = [r.interval(f"{p}_ci95", d) for (r, _), p in zip(cells, paths, strict=True)]
        columns += [Column(heading, means), Column("95 % interval", ends, "ci")]
    starts = [i > 0 and r.at != cells[i - 1][0].at for i, (r, _) in enumerate(cells)]
    return table(columns, caption, starts)


def summary(source: Source, d: int) -> Markup:
    """One line per target and benchmark, buy and sell together over the min periods with room to stop."""
    rows = source.parts("summary")
    if not rows:
        return Markup()
    periods = ", ".join(map(str, rows[0].find("min_periods") or []))
    columns = [
        Column("interval", [r.duration("interval_ns") for r in rows], "word"),
        Column("target, benchmark", [_which(r) for r in rows], "word"),
        Column("mean gain, bps", [r.number("gain_bps_mean", d) for r in rows]),
        Column("bound, bps", [r.number("bound_gain_bps", d) for r in rows]),
        Column("of bound, %", [r.number("fraction_of_bound", 1, PERCENT) for r in rows]),
        Column("95 % interval", [r.interval("ci95", 1, PERCENT) for r in rows], "ci"),
        Column("lowest, %", [r.number("lowest/fraction_of_bound", 1, PERCENT) for r in rows]),
        Column("at m", [r.count("lowest/min_period") for r in rows]),
        Column("stopping rule, %", [r.number("rule_fraction_of_bound", 1, PERCENT) for r in rows]),
        Column("model less rule, %", [r.number("versus_rule/fraction_of_bound", 1, PERCENT) for r in rows]),
        Column("95 % interval", [r.interval("versus_rule/ci95", 1, PERCENT) for r in rows], "ci"),
        Column("arrival gain, bps", [r.number("arrival_gain_bps_mean", d) for r in rows]),
        Column("95 % interval", [r.interval("arrival_gain_bps_ci95", d) for r in rows], "ci"),
    ]
    own = [r.find("target_kind") == "all" for r in rows]
    return table(columns, f"Mean of buy and sell over m = {periods}, as fractions of the bound", own, own)


def _which(row: Source) -> str:
    key = str(row.find("target_kind")), str(row.find("benchmark"))
    return "all" if key == ("all", "all") else _named(key)


def horizon(source: Source, d: int) -> Markup:
    """Mean |slippage| where m = n, and against the static volume curve's."""
    rows = [r for r in source.parts("rows") if r.find("min_period") == source.find("n")]
    names = [n for n in strategies([r.find() for r in rows]) if n in FIXED]
    if not rows:
        return Markup()
    columns = [
        Column("side", [str(r.find("side")) for r in rows], "word"),
        Column("target, benchmark", [_which(r) for r in rows], "word"),
        Column(look("lem").label, [r.number("abs_slippage_bps_mean", d) for r in rows]),
        *(
            Column(look(n).label, [r.number(f"baselines/{n}/abs_slippage_bps_mean", d) for r in rows])
            for n in names
        ),
        Column("model against the curve, %", [r.number("slippage_against_curve/percent", 1) for r in rows]),
        Column("95 % interval", [r.interval("slippage_against_curve/ci95", 1) for r in rows], "ci"),
    ]
    return table(columns, "Mean absolute difference from the benchmark, bps (less is better)")


def quality(source: Source) -> Markup:
    """What was found in each file of bars."""
    found = source.parts("quality")
    names = list(dict.fromkeys(key for one in found for key in (one.find() or {})))
    columns = [Column("series", [one.name for one in found], "word")]
    odd = [name for name in names if any(one.find(name) for one in found)]  # the rest was not found in any
    columns += [Column(name.replace("_", " "), [_found(one, name) for one in found]) for name in odd]
    clean = "nothing odd" if len(columns) == 2 else "what was odd"
    return table(columns, f"Bars in each file, and {clean} in them") if found else Markup()


def _found(one: Source, name: str) -> str:
    value = one.find(name)
    if isinstance(value, list):
        return ", ".join(str(x) for x in value[:SOME]) + (" ..." if len(value) > SOME else "")
    return value if isinstance(value, str) else one.count(name)
