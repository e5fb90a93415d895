"""The page of ``lem evaluate``: made from its JSON document alone, showing what is there.

What the page says stands in ``templates/evaluation.html.j2`` and ``one_evaluation.html.j2``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.pages.elements import Drawings, Table
from agent.pages.numbers import decimals_for
from agent.pages.shell import render
from agent.pages.source import Source
from lem.page import evaluation_charts as charts
from lem.page import headline
from lem.page import page_tables as tables
from lem.page.frontier_page import frontier
from lem.page.regimes_page import Regimes, regimes


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation. ``anchor`` and ``heading`` are "" where it is alone on its page."""

    anchor: str
    heading: str
    facts: headline.Facts
    tiles: headline.Tiles | None
    summary: Table | None
    gain: Drawings
    gains: list[Table]
    fraction: Drawings
    deviation: Drawings
    impact: Drawings
    horizon: Drawings | None
    horizon_table: Table | None
    regimes: Regimes | None
    comparisons: list[tables.Comparison]
    quality: Table | None


def evaluation_page(document: Mapping[str, object]) -> str:
    """The document of one evaluation, or of several under "documents", as one HTML file.

    The same document gives the same bytes. Numbers in tables carry their path in the document, which
    travels inside the page.
    """
    whole = Source(document)
    sources = whole.entries("documents") or [whole]
    alone = len(sources) == 1
    units = {unit for source in sources if (unit := source.duration("interval_ns"))}
    return render(
        "lem.page/evaluation.html.j2",
        title=f"Large Execution Model on {headline.where(sources)}",
        document=document,
        n=sources[0].text("n"),
        interval=units.pop() if len(units) == 1 else "",
        facts=None if alone else headline.facts(whole),
        summary=None if alone else tables.summary(whole, min(map(_decimals, sources))),
        evaluations=[_evaluation(source, alone) for source in sources],
        frontier=frontier(whole),
    )


def _decimals(source: Source) -> int:
    return decimals_for(1e4 * (source.real("sigma") or 1e-4))


def _evaluation(source: Source, alone: bool) -> Evaluation:
    d = _decimals(source)
    where = headline.where([source])
    return Evaluation(
        anchor="" if alone else f"evaluation-{source.name}-",
        heading="" if alone else where[:1].upper() + where[1:],
        facts=headline.facts(source, command=alone),
        tiles=headline.tiles(source, d),
        summary=tables.summary(source, d) if alone else None,
        gain=charts.against_min_period(source, charts.GAIN, ("quantity", "notional")),
        gains=tables.gains(source, d),
        fraction=charts.fractions(source),
        deviation=charts.against_min_period(source, charts.DEVIATION, ("quantity",)),
        impact=charts.against_min_period(source, charts.NET, ("quantity",)),
        horizon=charts.fixed_horizon(source),
        horizon_table=tables.horizon(source, d),
        regimes=regimes(source, d),
        comparisons=tables.comparisons(source, d),
        quality=tables.quality(source),
    )
