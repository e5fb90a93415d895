"""Tables of an evaluation, as the paper has them; every number carries its path in the document."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lem.page.charts import strategies
from lem.page.markup import Markup, join, tag
from lem.page.source import PERCENT, Source
from lem.page.words import TARGETS, look


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
        row = (tag("td", cell, class_=kind) for cell, kind in zip(cells, kinds, strict=True))
        body.append(tag("tr", *row, class_=" ".join(marks) or None))
    inside = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body))
    return tag("div", inside, class_="scroll", tabindex="0")


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
    for k, (key, rows) in enumerate(grouped(source).items()):
        names = strategies([r.find() for r in rows])
        cells = [(r, name) for r in rows for name in ["lem", *names]]
        inner = _comparison(cells, f"{_named(key)}, bps", decimals)
        folded.append(tag("details", tag("summary", _named(key)), inner, open="" if k == 0 else None))
    return join(*folded)


def _comparison(cells: list[tuple[Source, str]], caption: str, d: int) -> Markup:
    at = [r if name == "lem" else r.part(f"baselines/{name}") for r, name in cells]
    own = [name == "lem" for _, name in cells]
    mean = ["gain_bps/mean" if mine else "gain_bps_mean" for mine in own]
    std = ["gain_bps/std" if mine else "gain_bps_std" for mine in own]
    versus = [r.part(f"versus/{name}") for r, name in cells]
    columns = [
        Column("side, m", [f"{r.find('side')}, {r.find('min_period')}" for r, _ in cells], "word"),
        Column("strategy", [look(name).label for _, name in cells], "word"),
        Column("mean gain", [s.number(p, d) for s, p in zip(at, mean, strict=True)]),
        Column("std", [s.number(p, d) for s, p in zip(at, std, strict=True)]),
        Column("|slippage|", [s.number("abs_slippage_bps_mean", d) for s in at]),
        Column("after impact", [s.number("gain_after_impact_bps_mean", d) for s in at]),
        Column("arrival gain", [s.number("arrival_gain_bps_mean", d) for s in at]),
        Column("95 % interval", [s.interval("arrival_gain_bps_ci95", d) for s in at], "ci"),
        Column("intervals taken", [s.number("intervals_mean", 1) for s in at]),
        *differences(versus, d),
    ]
    return table(columns, caption, [i > 0 and mine for i, mine in enumerate(own)], own)


def differences(versus: list[Source], d: int) -> list[Column]:
    """Columns of the model's paired differences: whatever means and intervals ``versus`` holds."""
    names = list(dict.fromkeys(key for one in versus for key in (one.find() or {})))
    out = []
    for name in names:
        label = f"model less this: {name.replace('_bps', '').replace('_', ' ')}"
        if all(isinstance(one.find(name), (list, type(None))) for one in versus):
            out.append(Column(label, [one.interval(name, d) for one in versus], "ci"))
        else:
            out.append(Column(label, [one.number(name, d) for one in versus]))
    return out


def quality(source: Source) -> Markup:
    """What was found in each file of bars."""
    found = source.parts("quality")
    names = list(dict.fromkeys(key for one in found for key in (one.find() or {})))
    columns = [Column("series", [one.name for one in found], "word")]
    columns += [Column(name.replace("_", " "), [one.count(name) for one in found]) for name in names]
    return table(columns, "Rows of each file of bars, and what was found in them") if found else Markup()
