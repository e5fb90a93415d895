"""Tables of an evaluation, as the paper has them; every number carries its path in the document."""

from __future__ import annotations

from dataclasses import dataclass

from agent.pages.elements import Cell, Column, Table, table
from agent.pages.numbers import PERCENT
from agent.pages.source import Source
from lem.page.evaluation_charts import min_period
from lem.page.looks import FIXED, look, strategies, target_and_benchmark

SOME = 3
QUANTILES = {"P5": "p5", "P25": "p25", "median": "median", "P75": "p75", "P95": "p95"}
DIFFERENCES = {
    "gain": "gain_bps",
    "after impact": "gain_after_impact_bps",
    "arrival gain": "arrival_gain_bps",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The strategies on the orders of one target and benchmark, and what the model does better."""

    title: str
    strategies: Table | None
    differences: Table | None


@dataclass(frozen=True, slots=True)
class Line:
    """One strategy in one row of the document; ``at``: where its values are."""

    row: Source
    strategy: str

    @property
    def own(self) -> bool:
        return self.strategy == "lem"

    @property
    def at(self) -> Source:
        return self.row if self.own else self.row.entry("baselines", self.strategy)


def _grouped(source: Source) -> list[list[Source]]:
    """Rows of each target and benchmark, by side and min period; fixed quantity first."""
    out: dict[tuple[bool, str, str], list[Source]] = {}
    for row in source.entries("rows"):
        kind, benchmark = row.text("target_kind"), row.text("benchmark")
        out.setdefault((kind != "quantity", benchmark, kind), []).append(row)
    return [sorted(out[k], key=lambda r: (r.text("side"), min_period(r))) for k in sorted(out)]


def gains(source: Source, decimals: int) -> list[Table]:
    """The paper's table for each target and benchmark."""
    made = [_gains(rows, decimals) for rows in _grouped(source)]
    return [one for one in made if one is not None]


def _gains(rows: list[Source], d: int) -> Table | None:
    differ = len({r.text("orders") for r in rows}) > 1
    columns = [
        Column("side", [r.text("side") for r in rows], "word"),
        Column("m", [r.count("min_period") for r in rows]),
        Column("orders", [r.count("orders") for r in rows] if differ else []),
        Column("mean", [r.number("gain_bps/mean", d) for r in rows]),
        Column("95 % interval", [r.interval("gain_bps/ci95", d) for r in rows], "ci"),
        Column("std", [r.number("gain_bps/std", d) for r in rows]),
        *(Column(name, [r.number(f"gain_bps/{key}", d) for r in rows]) for name, key in QUANTILES.items()),
        Column("bound", [r.number("bound_gain_bps", d) for r in rows]),
        Column("of bound, %", [r.number("fraction_of_bound", 1, PERCENT) for r in rows]),
        Column("kept by regret, %", [r.number("regret/fraction_of_bound", 2, PERCENT) for r in rows]),
        Column("95 % interval", [r.interval("regret/ci95", 2, PERCENT) for r in rows], "ci"),
    ]
    starts = [i > 0 and r.text("side") != rows[i - 1].text("side") for i, r in enumerate(rows)]
    caption = f"Gain in bps, {target_and_benchmark(rows[0])}"
    if not differ:
        caption += f"; {rows[0].real('orders') or 0:,.0f} orders a row"
    return table(columns, caption, starts)


def comparisons(source: Source, decimals: int) -> list[Comparison]:
    """Model and baselines under each other, by target and benchmark."""
    found = []
    for rows in _grouped(source):
        names = ["lem", *strategies(rows)]
        lines = [Line(row, name) for row in rows for name in names]
        title = target_and_benchmark(rows[0])
        found.append(Comparison(title, _strategies(lines, decimals), _differences(lines, decimals)))
    return found


def _strategies(lines: list[Line], d: int) -> Table | None:
    at = [line.at for line in lines]
    own = [line.own for line in lines]
    columns = [
        *_who(lines),
        Column("mean gain", [s.number(_gain(mine, "mean"), d) for s, mine in zip(at, own, strict=True)]),
        Column("std", [s.number(_gain(mine, "std"), d) for s, mine in zip(at, own, strict=True)]),
        Column("|slippage|", [s.number("abs_slippage_bps_mean", d) for s in at]),
        Column("after impact", [s.number("gain_after_impact_bps_mean", d) for s in at]),
        Column("arrival gain", [s.number("arrival_gain_bps_mean", d) for s in at]),
        Column("95 % interval", [s.interval("arrival_gain_bps_ci95", d) for s in at], "ci"),
        Column("intervals taken", [s.number("intervals_mean", 1) for s in at]),
    ]
    starts = [i > 0 and mine for i, mine in enumerate(own)]
    return table(columns, "Each strategy, bps", starts, own)


def _gain(own: bool, measure: str) -> str:
    return f"gain_bps/{measure}" if own else f"gain_bps_{measure}"


def _who(lines: list[Line]) -> list[Column]:
    sides = [f"{line.row.text('side')}, {line.row.text('min_period')}" for line in lines]
    return [
        Column("side, m", sides, "word"),
        Column("strategy", [look(line.strategy).label for line in lines], "word"),
    ]


def _differences(lines: list[Line], d: int) -> Table | None:
    """The model less each baseline, on the same orders."""
    lines = [line for line in lines if line.row.entry("versus", line.strategy).find()]
    at = [line.row.entry("versus", line.strategy) for line in lines]
    columns = _who(lines)
    for heading, measure in DIFFERENCES.items():
        columns.append(Column(heading, [s.number(f"{measure}_mean", d) for s in at]))
        columns.append(Column("95 % interval", [s.interval(f"{measure}_ci95", d) for s in at], "ci"))
    starts = [i > 0 and line.row.at != lines[i - 1].row.at for i, line in enumerate(lines)]
    return table(columns, "The model less each of the others on the same orders, bps", starts)


def summary(source: Source, d: int) -> Table | None:
    """One line per target and benchmark, buy and sell together over the min periods with room to stop."""
    rows = source.entries("summary")
    if not rows:
        return None
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
    own = [r.text("target_kind") == "all" for r in rows]
    periods = ", ".join(rows[0].texts("min_periods"))
    return table(columns, f"Mean of buy and sell over m = {periods}, as fractions of the bound", own, own)


def _which(row: Source) -> str:
    both = row.text("target_kind"), row.text("benchmark")
    return "all" if both == ("all", "all") else target_and_benchmark(row)


def horizon(source: Source, d: int) -> Table | None:
    """Mean |slippage| where m = n, and against the static volume curve's."""
    rows = [r for r in source.entries("rows") if r.find("min_period") == source.find("n")]
    names = [n for n in strategies(rows) if n in FIXED]
    columns = [
        Column("side", [r.text("side") for r in rows], "word"),
        Column("target, benchmark", [_which(r) for r in rows], "word"),
        Column(look("lem").label, [r.number("abs_slippage_bps_mean", d) for r in rows]),
        *(
            Column(look(n).label, [r.entry("baselines", n).number("abs_slippage_bps_mean", d) for r in rows])
            for n in names
        ),
        Column("model against the curve, %", [r.number("slippage_against_curve/percent", 1) for r in rows]),
        Column("95 % interval", [r.interval("slippage_against_curve/ci95", 1) for r in rows], "ci"),
    ]
    return table(columns, "Mean absolute difference from the benchmark, bps (less is better)")


def quality(source: Source) -> Table | None:
    """What was found in each file of bars."""
    files = source.entries("quality")
    names = dict.fromkeys(entry.name for one in files for entry in one.entries(""))
    odd = [name for name in names if any(one.entry("", name).find() for one in files)]  # found in some file
    columns = [Column("series", [one.name for one in files], "word")]
    columns += [Column(n.replace("_", " "), [_found(one.entry("", n)) for one in files]) for n in odd]
    clean = "nothing odd" if len(columns) == 2 else "what was odd"
    return table(columns, f"Bars in each file, and {clean} in them")


def _found(one: Source) -> Cell:
    """A number, a text, or the first few of a list."""
    value = one.find()
    if isinstance(value, list):
        return ", ".join(one.texts("")[:SOME]) + (" ..." if len(value) > SOME else "")
    return value if isinstance(value, str) else one.count("")
