"""What the model does in calm and wild, falling and rising markets, as known before each order began."""

from __future__ import annotations

from dataclasses import dataclass

from agent.pages.elements import Column, Drawings, Table, table
from agent.pages.numbers import PERCENT
from agent.pages.source import Source
from lem.page.regimes_charts import regime_name, regimes_charts


@dataclass(frozen=True, slots=True)
class Regimes:
    """``definitions``: what each kind of regime is."""

    drawings: Drawings
    table: Table | None
    definitions: dict[str, str]


def regimes(source: Source, decimals: int) -> Regimes | None:
    """The drawings and a table of the document's summary by regime; None where it has none."""
    found = [r for r in source.entries("regimes/summary") if r.find("kind") and r.find("regime")]
    if not found:
        return None
    definitions = {kind.name: kind.text() for kind in source.entries("regimes/definitions")}
    return Regimes(regimes_charts(source, found), _table(found, decimals), definitions)


def _table(found: list[Source], d: int) -> Table | None:
    columns = [
        Column("regime", [regime_name(r) for r in found], "word"),
        Column("side", [r.text("side") for r in found], "word"),
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
    starts = [i > 0 and r.text("kind") != found[i - 1].text("kind") for i, r in enumerate(found)]
    caption = "Means over targets, benchmarks and the min periods that leave room to stop"
    return table(columns, caption, starts)
